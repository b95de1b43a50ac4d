//! HTTP details: half-closed connections, the `Host` header, and cross-site requests.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::exporter::{Exporter, http};
use crate::server::{options, read_to_end, start};
use crate::tls::{SERVER, Site};

/// Sends a raw request and closes the writing side. Returns the response.
async fn half_closed(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    stream
        .write_all(request.as_bytes())
        .await
        .expect("the server reads");
    stream.shutdown().await.expect("it is open");
    read_to_end(&mut stream).await
}

/// The same without a pause, so that the end arrives before the server reads.
fn half_closed_at_once(address: &str, request: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).expect("it accepts");
    stream
        .write_all(request.as_bytes())
        .expect("the server reads");
    stream.shutdown(Shutdown::Write).expect("it is open");
    let mut response = String::new();
    let _ = stream.read_to_string(&mut response);
    response
}

async fn connect(address: &str) -> TcpStream {
    TcpStream::connect(address).await.expect("it accepts")
}

/// `nc -N` and socat do this. Chance decides if the end arrives together with the request, hence many attempts.
#[tokio::test]
async fn a_half_closed_connection_gets_its_response() {
    let exporter = Exporter::start(&["--demo"]);
    let address = exporter.url.trim_start_matches("http://");
    for _ in 0..100 {
        for version in ["1.0", "1.1"] {
            let request = format!("GET /-/healthy HTTP/{version}\r\nHost: x\r\n\r\n");
            let response = half_closed_at_once(address, &request);
            assert!(response.ends_with("is healthy.\n"), "{response}");
        }
    }
    let ten = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(10);
    let responses = half_closed(connect(address).await, &ten).await;
    assert_eq!(responses.matches(" 200 OK").count(), 10, "{responses}");
    let form = "POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nxx";
    let response = half_closed(connect(address).await, form).await;
    assert!(response.contains(" 403 "), "{response}");
    // Half a request gets no response.
    let half = "GET /metrics HTTP/1.1\r\nHost:";
    assert_eq!(half_closed(connect(address).await, half).await, "");
}

#[tokio::test]
async fn a_half_closed_connection_gets_large_and_slow_responses() {
    let body = 8 << 20;
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    let address = start(options(), body).await;
    let response = half_closed(connect(&address).await, request).await;
    assert!(response.len() > body, "{} bytes", response.len());

    let slow = bcrypt::hash("right", 8).expect("there is randomness");
    let site = Site::new(&format!("basic_auth_users: {{alice: {slow}}}\n"));
    let address = start(site.options(), 0).await;
    let request =
        "GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YWxpY2U6cmlnaHQ=\r\n\r\n";
    let response = half_closed(connect(&address).await, request).await;
    assert!(response.contains(" 200 OK"), "{response}");
}

#[tokio::test]
async fn a_half_closed_tls_connection_gets_its_response() {
    let site = Site::new(SERVER);
    let address = start(site.options(), 0).await;
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    for _ in 0..20 {
        let stream = site.authority.connect(&address).await;
        let response = half_closed(stream, request).await;
        assert!(response.ends_with("Text004 false []"), "{response}");
        let response = half_closed(connect(&address).await, request).await;
        assert!(response.contains(" 400 "), "{response}");
        assert!(
            response.contains("HTTP request to an HTTPS server"),
            "{response}"
        );
    }
}

#[tokio::test]
async fn requests_need_exactly_one_valid_host() {
    let address = start(options(), 0).await;
    for (version, headers, status) in [
        ("1.1", "Host: x\r\n", "200"),
        ("1.1", "Host: localhost:10064\r\n", "200"),
        ("1.1", "Host: kiwivm_exporter:10064\r\n", "200"),
        ("1.1", "Host: a.example.:\r\n", "200"),
        ("1.1", "Host: [::1]:10064\r\n", "200"),
        ("1.1", "Host: [fe80::1%25eth0]:80\r\n", "200"),
        ("1.1", "Host:\r\n", "200"),
        ("1.0", "", "200"),
        ("1.0", "Host: x\r\n", "200"),
        ("1.1", "", "400"),
        ("1.1", "Host: x\r\nHost: x\r\n", "400"),
        ("1.1", "Host: x\r\nhost: y\r\n", "400"),
        ("1.0", "Host: x\r\nHost: y\r\n", "400"),
        ("1.1", "Host: a b\r\n", "400"),
        ("1.1", "Host: a/b\r\n", "400"),
        ("1.1", "Host: http://x\r\n", "400"),
        ("1.1", "Host: user@x\r\n", "400"),
        ("1.1", "Host: x?y\r\n", "400"),
        ("1.1", "Host: x:port\r\n", "400"),
        ("1.1", "Host: x:65536\r\n", "400"),
        ("1.1", "Host: x:+1\r\n", "400"),
        ("1.1", "Host: :80\r\n", "400"),
        ("1.1", "Host: ::1\r\n", "400"),
        ("1.1", "Host: [::1\r\n", "400"),
        ("1.1", "Host: [x]\r\n", "400"),
        ("1.1", "Host: <x>\r\n", "400"),
        ("1.0", "Host: a\u{e4}b\r\n", "400"),
    ] {
        for path in ["/metrics", "/-/healthy", "/nope"] {
            let request = format!("GET {path} HTTP/{version}\r\n{headers}\r\n");
            let response = half_closed(connect(&address).await, &request).await;
            let expected = match (path, status) {
                ("/nope", "200") => "404",
                _ => status,
            };
            let line = response.lines().next().unwrap_or_default();
            assert!(line.contains(expected), "{request}{response}");
        }
    }
}

/// Guards against forms on other sites that a browser posts with the owner's credentials.
#[tokio::test]
async fn cross_site_reloads_are_refused() {
    let exporter = Exporter::start(&["--demo", "--web.enable-lifecycle"]);
    let host = exporter.url.trim_start_matches("http://");
    let reload = async |headers: &[(&str, &str)]| {
        let mut request = http().post(format!("{}/-/reload", exporter.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.expect("it responds").status().as_u16()
    };
    let own = format!("http://{host}");
    let secure = format!("https://{host}");
    for (headers, status) in [
        (&[][..], 200),
        (&[("sec-fetch-site", "same-origin")], 200),
        (&[("sec-fetch-site", "none")], 200),
        (&[("origin", &own)], 200),
        (&[("origin", &secure)], 200),
        // Sec-Fetch-Site takes precedence, because a proxy may have changed Host.
        (
            &[
                ("sec-fetch-site", "same-origin"),
                ("origin", "https://a.example"),
            ],
            200,
        ),
        (&[("sec-fetch-site", "cross-site")], 403),
        (&[("sec-fetch-site", "same-site")], 403),
        (&[("sec-fetch-site", "anything")], 403),
        (&[("sec-fetch-site", "cross-site"), ("origin", &own)], 403),
        (&[("origin", "http://a.example")], 403),
        (&[("origin", "null")], 403),
        (&[("origin", host)], 403),
        (&[("origin", "http://127.0.0.1")], 403),
    ] {
        assert_eq!(reload(headers).await, status, "{headers:?}");
    }
    // Reading changes nothing, so links from other pages work.
    let page = http()
        .get(&exporter.url)
        .header("sec-fetch-site", "cross-site");
    let page = page.send().await.expect("it responds");
    assert_eq!(page.status().as_u16(), 200);
}
