//! The HTTP server with well-behaved and misbehaving clients.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use kiwivm_exporter::clock::Clock;
use kiwivm_exporter::exposition::format::Format;
use kiwivm_exporter::exposition::{Reloads, UnknownVps};
use kiwivm_exporter::fleet::Fleet;
use kiwivm_exporter::units::UnixSeconds;
use kiwivm_exporter::web::{self, Options, ReloadError, Site, Status, Timeouts};
use reqwest::{Method, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::exporter::http;

/// A site whose metrics page shows the request.
#[derive(Default)]
pub struct Echo {
    /// If not zero, the metrics page has so many bytes instead.
    pub body: usize,
    /// A reload lasts until this is notified.
    pub reload: Notify,
    /// Time to render a page filtered by VPS. These pages are counted.
    pub rendering: Duration,
    pub rendered: AtomicU32,
}

impl Site for Echo {
    fn metrics(&self, format: Format, gzip: bool, vps: &[String]) -> Result<Bytes, UnknownVps> {
        if self.body > 0 {
            return Ok(vec![b'x'; self.body].into());
        }
        if !vps.is_empty() {
            std::thread::sleep(self.rendering);
            self.rendered.fetch_add(1, Ordering::Relaxed);
        }
        match vps.iter().find(|name| *name == "nope") {
            Some(name) => Err(UnknownVps(name.clone())),
            None => Ok(format!("{format:?} {gzip} {vps:?}").into()),
        }
    }

    fn status(&self) -> Status {
        let reloads = Reloads {
            successful: true,
            last_success: UnixSeconds(0.0),
        };
        let now = Clock::start().now();
        Status::new(&Fleet::new(Vec::new(), 3.0), reloads, "/metrics", now)
    }

    fn ready(&self) -> bool {
        false
    }

    fn reload(&self) -> BoxFuture<'_, Result<(), ReloadError>> {
        Box::pin(async {
            self.reload.notified().await;
            Err(ReloadError("wrong".to_owned()))
        })
    }
}

pub fn options() -> Options {
    Options {
        enable_lifecycle: true,
        ..Options::default()
    }
}

pub async fn start(options: Options, body: usize) -> String {
    let site = Echo {
        body,
        ..Echo::default()
    };
    site.reload.notify_one();
    start_site(Arc::new(site), options, pending()).await.0
}

/// Returns the address and the handle of the server task.
pub async fn start_site(
    site: Arc<Echo>,
    options: Options,
    stop: impl Future<Output = ()> + Send + 'static,
) -> (String, JoinHandle<()>) {
    let listeners = web::bind(&["127.0.0.1:0".to_owned()])
        .await
        .expect("there is a port");
    let address = listeners[0].local_addr().expect("it is bound").to_string();
    let serving = tokio::spawn(web::serve(listeners, site, options, stop));
    (address, serving)
}

#[tokio::test]
async fn routes_respond_with_the_expected_status() {
    let address = start(options(), 0).await;
    for (method, path, status) in [
        (Method::GET, "/", 200),
        (Method::HEAD, "/", 200),
        (Method::GET, "/status.json", 200),
        (Method::HEAD, "/status.json", 200),
        (Method::POST, "/status.json", 405),
        (Method::GET, "/sd", 503),
        (Method::POST, "/sd", 405),
        (Method::GET, "/metrics", 200),
        (Method::HEAD, "/metrics", 200),
        (Method::POST, "/metrics", 405),
        (Method::GET, "/-/healthy", 200),
        (Method::HEAD, "/-/healthy", 200),
        (Method::GET, "/-/ready", 503),
        (Method::POST, "/-/reload", 500),
        (Method::GET, "/-/reload", 405),
        (Method::GET, "/metrics/", 404),
        (Method::GET, "/nope", 404),
        (Method::DELETE, "/", 405),
        (Method::POST, "/", 405),
    ] {
        let response = http()
            .request(method.clone(), format!("http://{address}{path}"))
            .send()
            .await
            .expect("it responds");
        assert_eq!(response.status().as_u16(), status, "{method} {path}");
        assert_eq!(
            response.headers().contains_key("allow"),
            status == 405,
            "{method} {path}"
        );
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        if method == Method::HEAD {
            let length = response.headers()["content-length"]
                .to_str()
                .expect("it is text")
                .to_owned();
            assert_ne!(length, "0", "HEAD has the length of the GET response");
            assert_eq!(response.bytes().await.expect("it ends").len(), 0);
        }
    }
}

#[tokio::test]
async fn a_reload_over_http_must_be_enabled() {
    let closed = Options {
        enable_lifecycle: false,
        ..options()
    };
    let address = start(closed, 0).await;
    let response = http()
        .post(format!("http://{address}/-/reload"))
        .send()
        .await
        .expect("it responds");
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(
        response
            .text()
            .await
            .expect("it is text")
            .contains("--web.enable-lifecycle")
    );
}

#[tokio::test]
async fn a_scrape_gets_the_requested_format_and_vpses() {
    let address = start(options(), 0).await;
    let get = async |query: &str, accept: &str| {
        let request = http()
            .get(format!("http://{address}/metrics{query}"))
            .header("accept", accept);
        let response = request
            .header("accept-encoding", "identity")
            .send()
            .await
            .expect("it responds");
        let content_type = response.headers()["content-type"]
            .to_str()
            .expect("it is text")
            .to_owned();
        (
            response.status().as_u16(),
            content_type,
            response.text().await.expect("it is text"),
        )
    };
    let text = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(
        get("", "*/*").await,
        (200, text.to_owned(), "Text004 false []".to_owned())
    );
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    let body = "OpenMetrics1 false [\"a b\", \"c+d\"]";
    assert_eq!(
        get("?vps=a+b&x=y&vps=c%2Bd", accept).await,
        (200, openmetrics.to_owned(), body.to_owned())
    );
    let (status, _, body) = get("?vps=nope", "*/*").await;
    assert_eq!(
        (status, body.as_str()),
        (400, "No VPS named \"nope\" is configured.\n")
    );
}

#[tokio::test]
async fn oversized_requests_are_refused() {
    let address = start(options(), 0).await;
    let long = "x".repeat(10 << 10);
    let response = http()
        .get(format!("http://{address}/metrics?vps={long}"))
        .send()
        .await
        .expect("it responds");
    assert_eq!(response.status(), StatusCode::URI_TOO_LONG);
    let response = http()
        .get(format!("http://{address}/"))
        .header("x", "x".repeat(20 << 10))
        .send()
        .await
        .expect("it responds");
    assert_eq!(
        response.status(),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
}

pub const METRICS: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";

/// Sends requests, and reads only the first bytes of the response.
pub async fn start_reading(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), requests: &[u8]) {
    stream.write_all(requests).await.expect("the server reads");
    let begun = stream.read_exact(&mut [0; 64]).await;
    begun.expect("the response begins");
}

/// Everything that a connection receives until it is closed.
pub async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response).await;
    String::from_utf8_lossy(&response).into_owned()
}

#[tokio::test]
async fn an_incomplete_request_times_out_before_an_idle_connection() {
    let timeouts = Timeouts {
        request: Duration::from_millis(300),
        idle: Duration::from_secs(60),
        write: Duration::from_secs(60),
    };
    let address = start(
        Options {
            timeouts,
            ..options()
        },
        0,
    )
    .await;
    let mut silent = TcpStream::connect(&address).await.expect("it accepts");
    let mut slow = TcpStream::connect(&address).await.expect("it accepts");
    slow.write_all(b"GET /metrics HT")
        .await
        .expect("the server reads");
    let mut kept = TcpStream::connect(&address).await.expect("it accepts");
    let request = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n";
    kept.write_all(request).await.expect("the server reads");
    assert_ne!(kept.read(&mut [0; 1024]).await.expect("it responds"), 0);
    // The first two end only because the server closes them. The third stays usable.
    assert_eq!(read_to_end(&mut silent).await, "");
    assert!(!read_to_end(&mut slow).await.contains("200 OK"));
    kept.write_all(request).await.expect("it is still open");
    assert_ne!(kept.read(&mut [0; 1024]).await.expect("it responds"), 0);
}

#[tokio::test]
async fn a_stalled_reader_is_evicted_for_the_next_request() {
    let most = Options {
        max_requests: 1,
        ..options()
    };
    let address = start(most, 64 << 20).await;
    let mut stalled = TcpStream::connect(&address).await.expect("it accepts");
    start_reading(&mut stalled, METRICS).await;
    // Health checks are not limited. A page is, and the stalled response gives way to it.
    for path in ["/-/healthy", "/"] {
        let response = http().get(format!("http://{address}{path}")).send().await;
        assert_eq!(response.expect("it responds").status(), StatusCode::OK);
    }
    assert!(read_to_end(&mut stalled).await.len() < 64 << 20);
}

#[tokio::test]
async fn a_response_in_flight_is_finished_on_shutdown() {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let body = 8 << 20;
    let site = Arc::new(Echo {
        body,
        ..Echo::default()
    });
    let (address, serving) = start_site(site, options(), async {
        let _ = stopped.await;
    })
    .await;
    let mut reader = TcpStream::connect(&address).await.expect("it accepts");
    start_reading(&mut reader, METRICS).await;
    stop.send(()).expect("it is serving");
    let rest = read_to_end(&mut reader).await;
    assert!(rest.len() > body - 64, "{} bytes", rest.len());
    serving.await.expect("it ends by itself");
    assert!(
        TcpStream::connect(&address).await.is_err(),
        "the server still listens"
    );
}
