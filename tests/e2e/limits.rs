//! Bad clients, and the end, plain and over TLS.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use kiwivm_exporter::web::{Options, Patience};
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;

use crate::exporter::http;
use crate::server::{Echo, options, read_to_end, start, start_site};
use crate::tls::{SERVER, Site};

const HEALTHY: &[u8] = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n";
/// The same, and no more after it.
const METRICS_ONLY: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const HEALTHY_ONLY: &[u8] = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const RELOAD: &[u8] =
    b"POST /-/reload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
const METRICS: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";

async fn connect(address: &str) -> TcpStream {
    TcpStream::connect(address).await.expect("it accepts")
}

/// A reader that has the first bytes of a scrape, and takes no more for now.
async fn being_answered(address: &str) -> TcpStream {
    let mut reader = connect(address).await;
    reader
        .write_all(METRICS_ONLY)
        .await
        .expect("it takes bytes");
    reader
        .read_exact(&mut [0; 64])
        .await
        .expect("it begins to answer");
    reader
}

/// Whoever holds all connections does not keep a new one out.
#[tokio::test]
async fn the_connection_that_waited_longest_gives_way() {
    let few = Options {
        max_connections: 3,
        ..options()
    };
    let address = start(few, 64 << 20).await;
    let mut reader = being_answered(&address).await;
    let mut kept = connect(&address).await;
    kept.write_all(HEALTHY).await.expect("it takes bytes");
    assert_ne!(kept.read(&mut [0; 1024]).await.expect("it answers"), 0);
    let mut slow = connect(&address).await;
    slow.write_all(b"GET / HT").await.expect("it takes bytes");
    for _ in 0..5 {
        let answer = http()
            .get(format!("http://{address}/-/healthy"))
            .send()
            .await;
        assert_eq!(answer.expect("it answers").status(), StatusCode::OK);
    }
    assert_eq!(read_to_end(&mut kept).await, "");
    assert_eq!(read_to_end(&mut slow).await, "");
    // The one that is being answered is not among them.
    assert!(read_to_end(&mut reader).await.len() > (64 << 20) - 64);
}

#[tokio::test]
async fn when_everybody_is_being_answered_a_new_connection_is_closed() {
    let few = Options {
        max_connections: 1,
        ..options()
    };
    let echo = Arc::new(Echo::default());
    let (address, _serving) = start_site(echo.clone(), few, pending()).await;
    let mut asking = connect(&address).await;
    asking.write_all(RELOAD).await.expect("it takes bytes");
    // The request is being answered once a new connection is closed instead of it.
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    loop {
        let mut other = connect(&address).await;
        let _ = other.write_all(HEALTHY_ONLY).await;
        if read_to_end(&mut other).await.is_empty() {
            break;
        }
        asking = connect(&address).await;
        asking.write_all(RELOAD).await.expect("it takes bytes");
        tick.tick().await;
    }
    echo.reload.notify_one();
    assert!(read_to_end(&mut asking).await.contains(" 500 "));
}

/// One that takes nothing of its response gives way when no other does.
#[tokio::test]
async fn a_reader_that_stalls_gives_way_to_a_new_connection() {
    let few = Options {
        max_connections: 1,
        ..options()
    };
    let address = start(few, 64 << 20).await;
    let mut reader = being_answered(&address).await;
    let mut other = connect(&address).await;
    other.write_all(HEALTHY_ONLY).await.expect("it takes bytes");
    assert!(read_to_end(&mut other).await.contains(" 200 OK"));
    assert!(read_to_end(&mut reader).await.len() < 64 << 20);
}

/// A client with many connections loses them first, however new they are.
#[tokio::test]
async fn the_client_with_the_most_connections_gives_way() {
    let few = Options {
        max_connections: 4,
        ..options()
    };
    let address = start(few, 0).await;
    let mut kept = connect(&address).await;
    kept.write_all(HEALTHY).await.expect("it takes bytes");
    assert_ne!(kept.read(&mut [0; 1024]).await.expect("it answers"), 0);
    let mut flood = Vec::new();
    for _ in 0..10 {
        let socket = TcpSocket::new_v4().expect("there are sockets");
        let other = "127.0.0.2:0".parse().expect("it is an address");
        socket.bind(other).expect("all of 127.0.0.0/8 is loopback");
        let server = address.parse().expect("it is an address");
        let mut stream = socket.connect(server).await.expect("it accepts");
        stream.write_all(HEALTHY).await.expect("it takes bytes");
        assert_ne!(stream.read(&mut [0; 1024]).await.expect("it answers"), 0);
        flood.push(stream);
    }
    kept.write_all(HEALTHY).await.expect("it is still open");
    assert_ne!(kept.read(&mut [0; 1024]).await.expect("it answers"), 0);
}

/// Responses are asked for and not taken: neither scrapes nor pages are refused because of that.
#[tokio::test]
async fn clients_that_take_nothing_do_not_keep_scrapes_out() {
    let address = start(options(), 1 << 20).await;
    let client = http();
    let mut stalled = Vec::new();
    for _ in 0..45 {
        let mut stream = connect(&address).await;
        let hundred = METRICS.repeat(100);
        stream.write_all(&hundred).await.expect("it takes bytes");
        stream
            .read_exact(&mut [0; 64])
            .await
            .expect("it begins to answer");
        stalled.push(stream);
    }
    for path in ["/metrics", "/", "/-/healthy", "/status.json"] {
        for _ in 0..20 {
            let answer = client.get(format!("http://{address}{path}")).send().await;
            assert_eq!(answer.expect("it answers").status(), StatusCode::OK);
        }
    }
}

/// Waits for the server to end a connection whose response is not taken.
async fn cut_off(stream: &mut (impl AsyncWrite + Unpin)) {
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    while stream.write_all(b"x").await.is_ok() && stream.flush().await.is_ok() {
        tick.tick().await;
    }
}

#[tokio::test]
async fn a_reader_that_stalls_is_cut_off() {
    let site = Site::new(SERVER);
    let patience = Patience {
        write: Duration::from_secs(1),
        ..Patience::default()
    };
    let plain = Options {
        patience,
        ..options()
    };
    let secured = Options {
        patience,
        ..site.options()
    };
    let address = start(plain, 64 << 20).await;
    let mut reader = being_answered(&address).await;
    cut_off(&mut reader).await;
    let address = start(secured, 64 << 20).await;
    let mut reader = site.authority.connect(&address).await;
    reader.write_all(METRICS).await.expect("it takes bytes");
    reader
        .read_exact(&mut [0; 64])
        .await
        .expect("it begins to answer");
    cut_off(&mut reader).await;
}

#[tokio::test]
async fn who_does_not_shake_hands_is_cut_off_and_who_has_may_wait() {
    let site = Site::new(SERVER);
    let patience = Patience {
        request: Duration::from_secs(1),
        idle: Duration::from_secs(60),
        write: Duration::from_secs(60),
    };
    let options = Options {
        patience,
        ..site.options()
    };
    let address = start(options, 0).await;
    let mut silent = connect(&address).await;
    let mut half = connect(&address).await;
    half.write_all(&[22, 3, 1, 2, 0, 1, 0])
        .await
        .expect("it takes bytes");
    // One that shook hands has to send its first request in the same time, too.
    let mut wordless = site.authority.connect(&address).await;
    let mut kept = site.authority.connect(&address).await;
    kept.write_all(HEALTHY).await.expect("it takes bytes");
    assert_ne!(kept.read(&mut [0; 1024]).await.expect("it answers"), 0);
    for stream in [&mut silent, &mut half] {
        assert_eq!(read_to_end(stream).await, "");
    }
    assert_eq!(read_to_end(&mut wordless).await, "");
    kept.write_all(HEALTHY).await.expect("it is still open");
    assert_ne!(kept.read(&mut [0; 1024]).await.expect("it answers"), 0);
}

#[tokio::test]
async fn what_is_too_long_is_refused_over_tls() {
    let site = Site::new(SERVER);
    let address = start(site.options(), 0).await;
    let client = site.client();
    let long = "x".repeat(10 << 10);
    let request = client.get(format!("https://{address}/metrics?vps={long}"));
    let status = request.send().await.expect("it answers").status();
    assert_eq!(status, StatusCode::URI_TOO_LONG);
    let request = client.get(format!("https://{address}/"));
    let request = request.header("x", "x".repeat(20 << 10));
    let status = request.send().await.expect("it answers").status();
    assert_eq!(status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[tokio::test]
async fn a_reader_over_tls_that_stalls_gives_way_to_the_next_request() {
    let site = Site::new(SERVER);
    let options = Options {
        max_requests: 1,
        ..site.options()
    };
    let address = start(options, 64 << 20).await;
    let mut stalled = site.authority.connect(&address).await;
    stalled.write_all(METRICS).await.expect("it takes bytes");
    stalled
        .read_exact(&mut [0; 64])
        .await
        .expect("it begins to answer");
    let client = site.client();
    let answer = client.get(format!("https://{address}/")).send().await;
    assert_eq!(answer.expect("it answers").status(), StatusCode::OK);
    assert!(read_to_end(&mut stalled).await.len() < 64 << 20);
}

#[tokio::test]
async fn what_is_being_answered_over_tls_is_finished_when_the_server_stops() {
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
    reader.write_all(METRICS).await.expect("it takes bytes");
    reader
        .read_exact(&mut [0; 64])
        .await
        .expect("it begins to answer");
    let mut asking = site.authority.connect(&address).await;
    asking
        .write_all(b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        .await
        .expect("it takes bytes");
    let mut idle = site.authority.connect(&address).await;
    idle.write_all(HEALTHY).await.expect("it takes bytes");
    assert_ne!(idle.read(&mut [0; 1024]).await.expect("it answers"), 0);
    let mut shaking = connect(&address).await;
    shaking
        .write_all(&[22, 3, 1, 2, 0, 1, 0])
        .await
        .expect("it takes bytes");
    stop.send(()).expect("it is serving");
    // Idle ones and those that still shake hands are closed at once.
    assert_eq!(read_to_end(&mut idle).await, "");
    assert_eq!(read_to_end(&mut shaking).await, "");
    assert!(
        TcpStream::connect(&address).await.is_err(),
        "nobody listens any more"
    );
    echo.reload.notify_one();
    assert!(read_to_end(&mut asking).await.contains(" 500 "));
    assert!(read_to_end(&mut reader).await.len() > (8 << 20) - 64);
    serving.await.expect("it ends by itself");
}

#[tokio::test]
async fn a_reader_over_tls_that_takes_nothing_does_not_hold_up_the_end() {
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
    reader.write_all(METRICS).await.expect("it takes bytes");
    reader
        .read_exact(&mut [0; 64])
        .await
        .expect("it begins to answer");
    stop.send(()).expect("it is serving");
    let ended = tokio::time::timeout(Duration::from_secs(10), serving).await;
    ended
        .expect("it does not wait for the reader")
        .expect("it does not panic");
}
