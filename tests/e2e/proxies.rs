//! The API behind a proxy: real proxies, and broken ones that the error must name.
//!
//! The API listens on 0.0.0.0, which reaches this machine, because loopback addresses bypass the proxy.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::certificates::{Authority, Pair};
use crate::exporter::{Exporter, PROGRAM, listening, write};
use crate::mock::Mock;

const PASSWORD: &str = "Canary: 100%41 p@ss/word";
/// The same, percent-encoded for a URL.
const ENCODED: &str = "Canary%3A%20100%2541%20p%40ss%2Fword";

/// An API with a certificate from a private CA.
struct Api {
    mock: Mock,
    folder: TempDir,
    port: u16,
}

impl Api {
    async fn start() -> (Self, Pair) {
        let authority = Authority::new();
        let pair = authority.issue(&["0.0.0.0", "127.0.0.1"]);
        let mock = Mock::start([1]).await;
        let behind = mock
            .endpoint
            .trim_start_matches("http://")
            .trim_end_matches("/v1");
        let port = tls_before(behind.to_owned(), &pair).await;
        let folder = TempDir::new().expect("disk is writable");
        write(folder.path(), "ca.pem", &authority.pem());
        (Self { mock, folder, port }, pair)
    }

    /// The program configured with this proxy.
    fn program(&self, proxy: &str) -> Command {
        let yaml = format!(
            "api: {{endpoint: \"https://0.0.0.0:{}/v1\", {proxy}}}\nvps: [{{name: one, veid: 1, api_key: private_x}}]\n",
            self.port
        );
        let mut command = Command::new(PROGRAM);
        command
            .arg(format!(
                "--config.file={}",
                write(self.folder.path(), "config.yaml", &yaml)
            ))
            .env("SSL_CERT_FILE", self.folder.path().join("ca.pem"));
        for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            command.env_remove(variable);
        }
        command
    }

    /// Polls the VPS once. Returns the exit code and all output.
    async fn check(&self, proxy: &str) -> (Option<i32>, String) {
        let mut command = self.program(proxy);
        command.arg("check");
        let output = tokio::task::spawn_blocking(move || command.output());
        exit_code_and_output(&output.await.expect("it does not panic").expect("it starts"))
    }

    async fn works(&self, proxy: &str) {
        let before = self.mock.requests().len();
        let (code, output) = self.check(proxy).await;
        assert_eq!(code, Some(0), "{proxy}: {output}");
        assert_eq!(self.mock.requests().len(), before + 1, "{proxy}");
    }

    async fn fails(&self, proxy: &str, reason: &str) {
        let (code, output) = self.check(proxy).await;
        assert_eq!(code, Some(1), "{proxy}: {output}");
        assert!(output.contains(reason), "{proxy}: {reason}: {output}");
        assert!(
            !output.contains("Canary") && !output.contains(ENCODED),
            "{proxy}: {output}"
        );
    }
}

fn exit_code_and_output(output: &Output) -> (Option<i32>, String) {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// Terminates TLS in front of an address, on all addresses of this machine.
async fn tls_before(address: String, pair: &Pair) -> u16 {
    let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("it is PEM");
    let provider = rustls::crypto::ring::default_provider();
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("they are compatible")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.expect("it is PEM")], key)
        .expect("they belong together");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("0.0.0.0:0")
        .await
        .expect("there is a port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, address) = (acceptor.clone(), address.clone());
            tokio::spawn(async move {
                let mut outer = acceptor.accept(stream).await.ok()?;
                let mut inner = TcpStream::connect(address).await.ok()?;
                tokio::io::copy_bidirectional(&mut outer, &mut inner)
                    .await
                    .ok()
            });
        }
    });
    port
}

/// A proxy from Debian, killed on drop.
struct Proxy {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Proxy {
    async fn start(command: impl FnOnce(&Path, u16) -> Command) -> Self {
        let free = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("there is a port");
        let port = free.local_addr().expect("it is bound").port();
        drop(free);
        let folder = TempDir::new().expect("disk is writable");
        let mut command = command(folder.path(), port);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}; tests/run installs it"));
        let address = format!("127.0.0.1:{port}");
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while TcpStream::connect(&address).await.is_err() {
            tick.tick().await;
        }
        Self {
            child,
            address,
            _folder: folder,
        }
    }

    async fn tinyproxy(more: &str) -> Self {
        Self::start(|folder, port| {
            let lines = format!("Port {port}\nListen 127.0.0.1\nLogFile \"/dev/null\"\n{more}\n");
            let mut command = Command::new("tinyproxy");
            command.args(["-d", "-c", &write(folder, "tinyproxy.conf", &lines)]);
            command
        })
        .await
    }

    async fn microsocks(credentials: &[&str]) -> Self {
        Self::start(|_, port| {
            let mut command = Command::new("microsocks");
            command
                .args(["-i", "127.0.0.1", "-p", &port.to_string()])
                .args(credentials);
            command
        })
        .await
    }
}

#[tokio::test]
async fn the_api_is_reached_through_http_proxies() {
    let (api, pair) = Api::start().await;
    let open = Proxy::tinyproxy("").await;
    api.works(&format!("proxy: \"http://{}\"", open.address))
        .await;
    // The same with TLS to the proxy.
    let tls = tls_before(open.address.clone(), &pair).await;
    api.works(&format!("proxy: \"https://127.0.0.1:{tls}/\""))
        .await;
    let locked = Proxy::tinyproxy("BasicAuth owner s3cret").await;
    let at = &locked.address;
    api.works(&format!("proxy: \"http://owner:s3cret@{at}\""))
        .await;
    write(api.folder.path(), "password", "s3cret\n");
    api.works(&format!(
        "proxy: \"http://owner@{at}\", proxy_password_file: password"
    ))
    .await;
    api.fails(
        &format!("proxy: \"http://{at}\""),
        &format!("proxy {at} requires a user name and a password: set them in api.proxy"),
    )
    .await;
    let refused = format!(
        "proxy {at} refused to connect to the API, or rejected the user name or password in api.proxy"
    );
    api.fails(&format!("proxy: \"http://owner:Canary@{at}\""), &refused)
        .await;
    let closed = Proxy::tinyproxy("ConnectPort 1").await;
    api.fails(
        &format!("proxy: \"http://{}\"", closed.address),
        &format!("proxy {} refused to connect to the API", closed.address),
    )
    .await;
}

#[tokio::test]
async fn the_api_is_reached_through_socks_proxies() {
    let (api, _) = Api::start().await;
    let open = Proxy::microsocks(&[]).await;
    for scheme in ["socks5", "socks5h"] {
        api.works(&format!("proxy: \"{scheme}://{}\"", open.address))
            .await;
    }
    let at = &open.address;
    api.fails(
        &format!("proxy: \"socks5://user:Canary@{at}\""),
        &format!("proxy {at} does not support authentication: remove the user name from api.proxy"),
    )
    .await;
    let locked = Proxy::microsocks(&["-u", "owner", "-P", PASSWORD]).await;
    let at = &locked.address;
    for scheme in ["socks5", "socks5h"] {
        api.works(&format!("proxy: \"{scheme}://owner:{ENCODED}@{at}\""))
            .await;
    }
    write(
        api.folder.path(),
        "password",
        &format!("\u{feff}{PASSWORD}\r\n"),
    );
    api.works(&format!(
        "proxy: \"socks5h://owner@{at}\", proxy_password_file: password"
    ))
    .await;
    api.fails(
        &format!("proxy: \"socks5h://{at}\""),
        &format!("proxy {at} requires a user name and a password: set them in api.proxy"),
    )
    .await;
    api.fails(
        &format!("proxy: \"socks5h://owner:CanaryWrong@{at}\""),
        &format!("proxy {at} rejected the user name or password in api.proxy"),
    )
    .await;
    // The proxy can be reached, but the API cannot.
    let nowhere = Api {
        port: 1,
        mock: api.mock.clone(),
        folder: TempDir::new().expect("disk is writable"),
    };
    write(nowhere.folder.path(), "ca.pem", "");
    nowhere
        .fails(
            &format!("proxy: \"socks5h://owner:{ENCODED}@{at}\""),
            &format!(
                "proxy {at}: error connecting to socks proxy: SOCKS error: connection refused"
            ),
        )
        .await;
}

/// A peer that reads some bytes, sends `reply`, and then goes silent or closes.
async fn broken_proxy(reply: &'static [u8], closes: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("there is a port");
    let address = listener.local_addr().expect("it is bound").to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 1024];
                let _ = stream.read(&mut bytes).await;
                let _ = stream.write_all(reply).await;
                while !closes && stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    address
}

#[tokio::test]
async fn a_broken_proxy_is_named_in_the_error() {
    let (api, _) = Api::start().await;
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("there is a port");
        listener.local_addr().expect("it is bound").to_string()
    };
    let silent = broken_proxy(b"", false).await;
    let hangs_up = broken_proxy(b"", true).await;
    let error = broken_proxy(
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
        true,
    )
    .await;
    let page = broken_proxy(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", true).await;
    let junk = broken_proxy(b"SSH-2.0-OpenSSH_9.2\r\n", false).await;
    let tunnel = broken_proxy(b"HTTP/1.1 200 OK\r\n\r\n", false).await;
    for (scheme, at, reason) in [
        ("http", &closed, format!("proxy {closed}: ")),
        ("https", &closed, format!("proxy {closed}: ")),
        ("socks5h", &closed, format!("proxy {closed}: ")),
        ("http", &hangs_up, format!("proxy {hangs_up}: ")),
        ("https", &hangs_up, format!("proxy {hangs_up}: ")),
        ("socks5", &hangs_up, format!("proxy {hangs_up}: ")),
        (
            "http",
            &error,
            format!("proxy {error} refused to connect to the API"),
        ),
        ("socks5", &error, format!("proxy {error}: ")),
        (
            "http",
            &page,
            format!("proxy {page} rejected the user name or password"),
        ),
        (
            "http",
            &junk,
            format!("proxy {junk} refused to connect to the API"),
        ),
        ("https", &junk, format!("proxy {junk}: ")),
        ("socks5h", &junk, format!("proxy {junk}: ")),
        (
            "http",
            &silent,
            "the proxy did not connect within 5 s (check api.proxy)".to_owned(),
        ),
        (
            "socks5h",
            &silent,
            "the proxy did not connect within 5 s (check api.proxy)".to_owned(),
        ),
        (
            "https",
            &silent,
            format!("proxy {silent} did not connect within 5 s"),
        ),
        (
            "http",
            &tunnel,
            "the TLS handshake did not complete within 5 s (check api.proxy and any TLS interception)"
                .to_owned(),
        ),
    ] {
        api.fails(&format!("proxy: \"{scheme}://user:Canary@{at}\""), &reason)
            .await;
    }
    api.fails(
        "proxy: \"http://proxy.invalid:3128\"",
        "proxy proxy.invalid:3128: tunnel error: failed to create underlying connection: dns error",
    )
    .await;
    assert!(api.mock.requests().is_empty());
}

/// A SOCKS proxy that records the requested address and refuses it.
async fn recording_proxy() -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("there is a port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let written = recorded.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = [0; 512];
            let _ = stream.read(&mut bytes).await;
            let _ = stream.write_all(&[5, 0]).await;
            let read = stream.read(&mut bytes).await.unwrap_or_default();
            *written.lock().unwrap() = bytes[..read].to_vec();
            let _ = stream.write_all(&[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]).await;
        }
    });
    (address, recorded)
}

#[tokio::test]
async fn with_socks5h_the_proxy_resolves_the_name() {
    let (at, recorded) = recording_proxy().await;
    let check = async |scheme: &str| {
        let folder = TempDir::new().expect("disk is writable");
        let yaml = format!(
            "api: {{endpoint: \"https://api.invalid/v1\", proxy: \"{scheme}://{at}\"}}\nvps: [{{veid: 1, api_key: private_x}}]\n"
        );
        let flag = format!(
            "--config.file={}",
            write(folder.path(), "config.yaml", &yaml)
        );
        exit_code_and_output(&crate::exporter::run_without_blocking(&["check", &flag]).await).1
    };
    let error = check("socks5h").await;
    assert!(
        error.contains(&format!(
            "proxy {at}: error connecting to socks proxy: SOCKS error: host unreachable"
        )),
        "{error}"
    );
    let requested = recorded.lock().unwrap().clone();
    assert_eq!(requested, b"\x05\x01\x00\x03\x0bapi.invalid\x01\xbb");
    recorded.lock().unwrap().clear();
    let error = check("socks5").await;
    assert!(
        error.contains(
            "the name of the API cannot be resolved on this machine; use socks5h to let the proxy resolve it"
        ),
        "{error}"
    );
    assert!(
        recorded.lock().unwrap().is_empty(),
        "the proxy got no request"
    );
}

#[tokio::test]
async fn proxy_credentials_are_never_shown() {
    let (api, _) = Api::start().await;
    let proxy = Proxy::microsocks(&["-u", "owner", "-P", PASSWORD]).await;
    let urls = [
        format!("proxy: \"socks5h://owner:{ENCODED}@{}\"", proxy.address),
        format!(
            "proxy: \"socks5h://CanaryUser:CanaryWrong@{}\"",
            proxy.address
        ),
    ];
    for (url, up) in urls.iter().zip([1.0, 0.0]) {
        let mut command = api.program(url);
        command
            .args([
                "--web.listen-address=127.0.0.1:0",
                "--log.format=json",
                "--log.level=trace",
            ])
            .stdout(Stdio::null());
        let exporter = Exporter::wait_for_line(command, listening);
        exporter
            .wait_for("the VPS was polled", |page| {
                page.of("one", "kiwivm_up") == Some(up)
            })
            .await;
        for path in ["/", "/metrics", "/status.json"] {
            let text = exporter.get(path).await;
            assert!(!text.contains("Canary"), "{path}: {text}");
        }
        let log = exporter.log();
        assert!(!log.contains("Canary") && !log.contains(PASSWORD), "{log}");
    }
    let mut command = api.program(&urls[1]);
    let (_, summary) =
        exit_code_and_output(&command.arg("--config.check").output().expect("it starts"));
    assert!(
        summary.contains(&format!("The proxy is socks5h://{}.", proxy.address)),
        "{summary}"
    );
    assert!(!summary.contains("Canary"), "{summary}");
}

#[tokio::test]
async fn a_private_ca_is_trusted_and_a_proxy_from_the_environment_is_ignored() {
    let (api, _) = Api::start().await;
    api.works("proxy: null").await;
    let run = async |set: &[(&str, &str)], unset: &str| {
        let mut command = api.program("proxy: null");
        command
            .arg("check")
            .envs(set.iter().copied())
            .env_remove(unset);
        let output = tokio::task::spawn_blocking(move || command.output());
        exit_code_and_output(&output.await.expect("it does not panic").expect("it starts"))
    };
    let (code, text) = run(&[], "SSL_CERT_FILE").await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("certificate"), "{text}");
    let (code, text) = run(&[("SSL_CERT_FILE", "/nowhere/ca.pem")], "NOTHING").await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("SSL_CERT_FILE is not a file"), "{text}");
    let proxy = "http://user:Canary@127.0.0.1:9";
    for variable in ["HTTPS_PROXY", "all_proxy"] {
        let (code, text) = run(&[(variable, proxy)], "NOTHING").await;
        assert_eq!(code, Some(0), "the proxy must not be used: {text}");
        let line = format!("{variable} is set but not used; set api.proxy");
        assert_eq!(text.matches(&line).count(), 1, "{text}");
        assert!(!text.contains("Canary"), "{text}");
    }
}
