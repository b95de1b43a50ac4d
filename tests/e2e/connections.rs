//! The API client against peers that close connections or go silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kiwivm_exporter::kiwivm::{
    ApiKey, Call, CallError, Client, ClientOptions, Phase, Proxy, Reason, Response, Veid,
};
use reqwest::Url;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::mock::{Reply, receive, sample};

const BACKLOG: i32 = 1;

fn client(endpoint: &str, proxy: Option<&str>) -> Client {
    let url = |url: &str| Url::parse(url).expect("it is a URL");
    Client::new(ClientOptions {
        endpoint: url(endpoint),
        proxy: proxy.map(|proxy| Proxy::parse(proxy).expect("it is a proxy")),
    })
    .expect("the options are in order")
}

async fn call(client: &Client, call: Call) -> Response {
    let key = ApiKey::new("private_x").expect("it is a key");
    client.call(Veid(1), &key, call, &mut |_| {}).await
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("there is a port");
    let address = listener.local_addr().expect("it is bound");
    (listener, address.to_string())
}

async fn respond(stream: &mut TcpStream) {
    let Reply::Body(body) = sample("service_info_kvm.json") else {
        unreachable!("samples are bodies")
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let response = [head.as_bytes(), body.as_bytes()].concat();
    stream.write_all(&response).await.expect("the client reads");
}

/// Serves so many requests on each connection. Closes it after reading one more.
async fn closes_after(requests: usize) -> (String, Arc<AtomicUsize>) {
    let (listener, address) = listen().await;
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counted = counted.clone();
            tokio::spawn(async move {
                for number in 0..=requests {
                    if receive(&mut stream).await.is_none() {
                        return;
                    }
                    counted.fetch_add(1, Ordering::Relaxed);
                    if number < requests {
                        respond(&mut stream).await;
                    }
                }
            });
        }
    });
    (format!("http://{address}/v1"), count)
}

#[tokio::test]
async fn a_closed_idle_connection_is_not_a_failure() {
    let (endpoint, count) = closes_after(2).await;
    let client = client(&endpoint, None);
    let mut sent = 0;
    for number in 1..=20 {
        let response = call(&client, Call::ServiceInfo).await;
        assert!(response.result.is_ok(), "{number}: {response:?}");
        sent += response.requests;
    }
    assert!(sent > 20, "no connection was kept");
    assert_eq!(count.load(Ordering::Relaxed), sent as usize);
}

#[tokio::test]
async fn each_closed_idle_connection_costs_one_request() {
    let (endpoint, count) = closes_after(1).await;
    let client = client(&endpoint, None);
    for _ in 0..3 {
        let calls = (0..4).map(|_| call(&client, Call::ServiceInfo));
        for response in futures_util::future::join_all(calls).await {
            assert!(response.result.is_ok(), "{response:?}");
            assert!(response.requests <= 2);
        }
    }
    assert!(count.load(Ordering::Relaxed) > 12, "no connection was kept");
}

/// A call that opens a connection may take over one that another call frees meanwhile. The server runs in another
/// thread to make this likely, and closes idle connections after a while.
#[tokio::test]
async fn calls_on_reused_connections_do_not_fail() {
    let (sender, endpoint) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("there is a runtime").block_on(async {
            let (listener, address) = listen().await;
            sender
                .send(format!("http://{address}/v1"))
                .expect("the receiver exists");
            for number in 0_u64.. {
                let Ok((mut stream, _)) = listener.accept().await else {
                    return;
                };
                tokio::spawn(async move {
                    if receive(&mut stream).await.is_some() {
                        respond(&mut stream).await;
                        tokio::time::sleep(Duration::from_millis(number % 7)).await;
                    }
                });
            }
        });
    });
    let client = client(&endpoint.await.expect("it starts"), None);
    let mut calls = JoinSet::new();
    for _ in 0..16 {
        let client = client.clone();
        calls.spawn(async move {
            for number in 0..60 {
                let response = call(&client, Call::ServiceInfo).await;
                assert!(response.result.is_ok(), "{number}: {response:?}");
                assert!(response.requests <= 2);
            }
        });
    }
    while let Some(ended) = calls.join_next().await {
        ended.expect("every call succeeds");
    }
}

#[tokio::test]
async fn a_closed_new_connection_is_a_failure() {
    let (endpoint, count) = closes_after(0).await;
    let response = call(&client(&endpoint, None), Call::ServiceInfo).await;
    assert_eq!((response.requests, count.load(Ordering::Relaxed)), (1, 1));
    let error = response.result.expect_err("it was closed");
    assert_eq!(
        (error.reason, error.timed_out_phase),
        (Reason::Connect, None)
    );
}

#[tokio::test]
async fn a_usage_call_closes_its_connection() {
    let (listener, address) = listen().await;
    let client = client(&format!("http://{address}/v1"), None);
    let server = async {
        let (mut stream, _) = listener.accept().await.expect("it connects");
        receive(&mut stream).await.expect("it is a request");
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{\"data\":[],\"error\":0}";
        stream.write_all(response).await.expect("the client reads");
        stream.read(&mut [0; 16]).await
    };
    let (closed, response) = tokio::join!(server, call(&client, Call::RawUsageStats));
    assert!(response.result.is_ok(), "{response:?}");
    assert_eq!(closed.expect("it ends"), 0);
}

/// Accepts connections and sends `words` after the first bytes on each, then nothing.
async fn silent_after(words: &'static str) -> String {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while let Ok(1..) = stream.read(&mut [0; 4096]).await {
                    if stream.write_all(words.as_bytes()).await.is_err() {
                        return;
                    }
                    // Until the client gives up and closes.
                    let mut ignored = [0; 4096];
                    while let Ok(1..) = stream.read(&mut ignored).await {}
                }
            });
        }
    });
    address
}

/// A port that accepts no more connections because its backlog is full.
fn port_with_full_backlog() -> (Socket, Vec<Socket>, String) {
    let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).expect("there is a socket");
    let listener = socket();
    let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
    listener.bind(&any.into()).expect("there is a port");
    listener.listen(BACKLOG).expect("it is bound");
    let address = listener.local_addr().expect("it is bound");
    // The kernel queues one more than the backlog, and some systems round it up.
    let waiting = (0..8).map(|_| {
        let waiting = socket();
        waiting.set_nonblocking(true).expect("it can be set");
        let _ = waiting.connect(&address);
        waiting
    });
    let waiting = waiting.collect();
    let address = address.as_socket().expect("it is an address").to_string();
    (listener, waiting, address)
}

#[tokio::test]
async fn a_timeout_names_the_silent_leg_and_the_node_only_if_it_may_be_at_fault() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{";
    let (_listener, _waiting, port_with_full_backlog) = port_with_full_backlog();
    let silent = silent_after("").await;
    let partial = silent_after(HEAD).await;
    let tunnel = silent_after("HTTP/1.1 200 OK\r\n\r\n").await;
    let behind = |proxy: &str| client("https://api.invalid/v1", Some(&format!("http://{proxy}")));
    let direct = |scheme: &str, address: &str| client(&format!("{scheme}://{address}/v1"), None);
    let (live, info) = (Call::LiveServiceInfo, Call::ServiceInfo);
    let cases = [
        (
            direct("http", &port_with_full_backlog),
            live,
            Phase::Connection,
            "no connection to the API within 5 s",
        ),
        (
            direct("https", &silent),
            live,
            Phase::Tls,
            "TLS handshake did not complete within 5 s",
        ),
        (
            behind(&silent),
            live,
            Phase::Proxy,
            "proxy did not connect within 5 s (check api.proxy)",
        ),
        (
            behind(&port_with_full_backlog),
            live,
            Phase::Proxy,
            "proxy did not connect within 5 s (check api.proxy)",
        ),
        (
            behind(&tunnel),
            live,
            Phase::Tls,
            "TLS handshake did not complete within 5 s",
        ),
        (
            direct("http", &silent),
            info,
            Phase::FirstByte,
            "no response within 15 s (the API is slow",
        ),
        (
            direct("http", &silent),
            live,
            Phase::FirstByte,
            "no response within 30 s (the node may be busy)",
        ),
        (
            direct("http", &partial),
            info,
            Phase::Body,
            "did not complete, within 15 s (the network is slow",
        ),
    ];
    let calls = cases.iter().map(|(client, which, ..)| call(client, *which));
    let responses = futures_util::future::join_all(calls).await;
    for ((_, _, phase, words), response) in cases.iter().zip(responses) {
        let error: CallError = response.result.expect_err("the peer is silent");
        assert_eq!(
            (error.reason, error.timed_out_phase),
            (Reason::Timeout, Some(*phase)),
            "{error}"
        );
        let text = error.to_string();
        assert!(text.contains(words), "{text}");
        let node = *phase == Phase::FirstByte && error.call == live;
        assert_eq!(text.contains("node"), node, "{text}");
    }
}
