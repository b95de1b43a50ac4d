//! Misbehaving clients and shutdown, over plain HTTP and TLS.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use kiwivm_exporter::web::{Options, Timeouts};
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;

use crate::exporter::http;
use crate::server::{Echo, METRICS, options, read_to_end, start, start_reading, start_site};
use crate::tls::{SERVER, Site};

const HEALTHY: &[u8] = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n";
/// The same, but closes the connection afterwards.
const METRICS_ONLY: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const HEALTHY_ONLY: &[u8] = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const RELOAD: &[u8] =
    b"POST /-/reload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

async fn connect(address: &str) -> TcpStream {
    TcpStream::connect(address).await.expect("it accepts")
}

/// A reader that got the first bytes of a scrape and reads no more for now.
async fn reader(address: &str) -> TcpStream {
    let mut reader = connect(address).await;
    start_reading(&mut reader, METRICS_ONLY).await;
    reader
}

/// A client that holds all connections does not block new ones.
#[tokio::test]
async fn the_longest_idle_connection_is_evicted_first() {
    let few = Options {
        max_connections: 3,
        ..options()
    };
    let address = start(few, 64 << 20).await;
    let mut reader = reader(&address).await;
    let mut kept = connect(&address).await;
    kept.write_all(HEALTHY).await.expect("the server reads");
    assert_ne!(kept.read(&mut [0; 1024]).await.expect("it responds"), 0);
    let mut slow = connect(&address).await;
    slow.write_all(b"GET / HT").await.expect("the server reads");
    for _ in 0..5 {
        let response = http()
            .get(format!("http://{address}/-/healthy"))
            .send()
            .await;
        assert_eq!(response.expect("it responds").status(), StatusCode::OK);
    }
    assert_eq!(read_to_end(&mut kept).await, "");
    assert_eq!(read_to_end(&mut slow).await, "");
    // The connection with a response in progress is kept.
    assert!(read_to_end(&mut reader).await.len() > (64 << 20) - 64);
}

#[tokio::test]
async fn a_new_connection_is_closed_if_all_others_are_busy() {
    let few = Options {
        max_connections: 1,
        ..options()
    };
    let echo = Arc::new(Echo::default());
    let (address, _serving) = start_site(echo.clone(), few, pending()).await;
    let mut reloading = connect(&address).await;
    reloading.write_all(RELOAD).await.expect("the server reads");
    // The reload is in progress once the server closes a new connection instead of this one.
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    loop {
        let mut other = connect(&address).await;
        let _ = other.write_all(HEALTHY_ONLY).await;
        if read_to_end(&mut other).await.is_empty() {
            break;
        }
        reloading = connect(&address).await;
        reloading.write_all(RELOAD).await.expect("the server reads");
        tick.tick().await;
    }
    echo.reload.notify_one();
    assert!(read_to_end(&mut reloading).await.contains(" 500 "));
}

/// A reader that takes nothing of its response is closed if no other connection can be.
#[tokio::test]
async fn a_stalled_reader_is_evicted_for_a_new_connection() {
    let few = Options {
        max_connections: 1,
        ..options()
    };
    let address = start(few, 64 << 20).await;
    let mut reader = reader(&address).await;
    let mut other = connect(&address).await;
    other
        .write_all(HEALTHY_ONLY)
        .await
        .expect("the server reads");
    assert!(read_to_end(&mut other).await.contains(" 200 OK"));
    assert!(read_to_end(&mut reader).await.len() < 64 << 20);
}

/// The client with the most connections loses its own first, even if they are newer.
#[tokio::test]
async fn connections_of_the_busiest_client_are_evicted_first() {
    let few = Options {
        max_connections: 4,
        ..options()
    };
    let address = start(few, 0).await;
    let mut kept = connect(&address).await;
    kept.write_all(HEALTHY).await.expect("the server reads");
    assert_ne!(kept.read(&mut [0; 1024]).await.expect("it responds"), 0);
    let mut flood = Vec::new();
    for _ in 0..10 {
        let socket = TcpSocket::new_v4().expect("there are sockets");
        let other = "127.0.0.2:0".parse().expect("it is an address");
        socket.bind(other).expect("all of 127.0.0.0/8 is loopback");
        let server = address.parse().expect("it is an address");
        let mut stream = socket.connect(server).await.expect("it accepts");
        stream.write_all(HEALTHY).await.expect("the server reads");
        assert_ne!(stream.read(&mut [0; 1024]).await.expect("it responds"), 0);
        flood.push(stream);
    }
    kept.write_all(HEALTHY).await.expect("it is still open");
    assert_ne!(kept.read(&mut [0; 1024]).await.expect("it responds"), 0);
}

/// Clients that request pages and read nothing do not block scrapes or pages.
#[tokio::test]
async fn clients_that_do_not_read_do_not_block_scrapes() {
    let address = start(options(), 1 << 20).await;
    let client = http();
    let mut stalled = Vec::new();
    for _ in 0..45 {
        let mut stream = connect(&address).await;
        let hundred = METRICS.repeat(100);
        start_reading(&mut stream, &hundred).await;
        stalled.push(stream);
    }
    for path in ["/metrics", "/", "/-/healthy", "/status.json"] {
        for _ in 0..20 {
            let response = client.get(format!("http://{address}{path}")).send().await;
            assert_eq!(response.expect("it responds").status(), StatusCode::OK);
        }
    }
}

/// Waits until the server closes a connection whose client does not read.
async fn wait_until_closed(stream: &mut (impl AsyncWrite + Unpin)) {
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    while stream.write_all(b"x").await.is_ok() && stream.flush().await.is_ok() {
        tick.tick().await;
    }
}

#[tokio::test]
async fn a_stalled_reader_is_disconnected() {
    let site = Site::new(SERVER);
    let timeouts = Timeouts {
        write: Duration::from_secs(1),
        ..Timeouts::default()
    };
    let plain = Options {
        timeouts,
        ..options()
    };
    let secured = Options {
        timeouts,
        ..site.options()
    };
    let address = start(plain, 64 << 20).await;
    let mut reader = reader(&address).await;
    wait_until_closed(&mut reader).await;
    let address = start(secured, 64 << 20).await;
    let mut reader = site.authority.connect(&address).await;
    start_reading(&mut reader, METRICS).await;
    wait_until_closed(&mut reader).await;
}

#[tokio::test]
async fn tls_handshake_has_a_deadline_and_idle_connections_may_wait() {
    let site = Site::new(SERVER);
    let timeouts = Timeouts {
        request: Duration::from_secs(1),
        idle: Duration::from_secs(60),
        write: Duration::from_secs(60),
    };
    let options = Options {
        timeouts,
        ..site.options()
    };
    let address = start(options, 0).await;
    let mut silent = connect(&address).await;
    let mut half = connect(&address).await;
    half.write_all(&[22, 3, 1, 2, 0, 1, 0])
        .await
        .expect("the server reads");
    // After the handshake, the same deadline holds for the first request.
    let mut silent_after_handshake = site.authority.connect(&address).await;
    let mut kept = site.authority.connect(&address).await;
    kept.write_all(HEALTHY).await.expect("the server reads");
    assert_ne!(kept.read(&mut [0; 1024]).await.expect("it responds"), 0);
    for stream in [&mut silent, &mut half] {
        assert_eq!(read_to_end(stream).await, "");
    }
    assert_eq!(read_to_end(&mut silent_after_handshake).await, "");
    kept.write_all(HEALTHY).await.expect("it is still open");
    assert_ne!(kept.read(&mut [0; 1024]).await.expect("it responds"), 0);
}

#[tokio::test]
async fn oversized_requests_are_refused_over_tls() {
    let site = Site::new(SERVER);
    let address = start(site.options(), 0).await;
    let client = site.client();
    let long = "x".repeat(10 << 10);
    let request = client.get(format!("https://{address}/metrics?vps={long}"));
    let status = request.send().await.expect("it responds").status();
    assert_eq!(status, StatusCode::URI_TOO_LONG);
    let request = client.get(format!("https://{address}/"));
    let request = request.header("x", "x".repeat(20 << 10));
    let status = request.send().await.expect("it responds").status();
    assert_eq!(status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[tokio::test]
async fn a_stalled_tls_reader_is_evicted_for_the_next_request() {
    let site = Site::new(SERVER);
    let options = Options {
        max_requests: 1,
        ..site.options()
    };
    let address = start(options, 64 << 20).await;
    let mut stalled = site.authority.connect(&address).await;
    start_reading(&mut stalled, METRICS).await;
    let client = site.client();
    let response = client.get(format!("https://{address}/")).send().await;
    assert_eq!(response.expect("it responds").status(), StatusCode::OK);
    assert!(read_to_end(&mut stalled).await.len() < 64 << 20);
}

#[tokio::test]
async fn tls_responses_in_flight_are_finished_on_shutdown() {
    let site = Site::new(SERVER);
    let (stop, stopped) = oneshot::channel::<()>();
    let echo = Arc::new(Echo {
        body: 8 << 20,
        ..Echo::default()
    });
    let (address, serving) = start_site(echo.clone(), site.options(), async {
        let _ = stopped.await;
    })
    .await;
    let mut reader = site.authority.connect(&address).await;
    start_reading(&mut reader, METRICS).await;
    let mut reloading = site.authority.connect(&address).await;
    reloading
        .write_all(b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        .await
        .expect("the server reads");
    let mut idle = site.authority.connect(&address).await;
    idle.write_all(HEALTHY).await.expect("the server reads");
    assert_ne!(idle.read(&mut [0; 1024]).await.expect("it responds"), 0);
    let mut shaking = connect(&address).await;
    shaking
        .write_all(&[22, 3, 1, 2, 0, 1, 0])
        .await
        .expect("the server reads");
    stop.send(()).expect("it is serving");
    // Idle connections and unfinished handshakes are closed at once.
    assert_eq!(read_to_end(&mut idle).await, "");
    assert_eq!(read_to_end(&mut shaking).await, "");
    assert!(
        TcpStream::connect(&address).await.is_err(),
        "the server still listens"
    );
    echo.reload.notify_one();
    assert!(read_to_end(&mut reloading).await.contains(" 500 "));
    assert!(read_to_end(&mut reader).await.len() > (8 << 20) - 64);
    serving.await.expect("it ends by itself");
}

#[tokio::test]
async fn a_stalled_tls_reader_does_not_delay_shutdown() {
    let site = Site::new(SERVER);
    let echo = Arc::new(Echo {
        body: 64 << 20,
        ..Echo::default()
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let (address, serving) = start_site(echo, site.options(), async {
        let _ = stopped.await;
    })
    .await;
    let mut reader = site.authority.connect(&address).await;
    start_reading(&mut reader, METRICS).await;
    stop.send(()).expect("it is serving");
    let ended = tokio::time::timeout(Duration::from_secs(10), serving).await;
    ended
        .expect("it does not wait for the reader")
        .expect("it does not panic");
}
