//! The API client with every kind of response.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use kiwivm_exporter::fleet::UsageReading;
use kiwivm_exporter::kiwivm::{ApiKey, Call, Client, ClientOptions, Reason, Response, Veid};
use kiwivm_exporter::units::{Bytes, UnixSeconds};
use reqwest::Url;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::mock::{Mock, Reply};

const VEID: u64 = 1_000_001;
const KEY: &str = "private_CanaryCanaryCanary012345";

fn client(endpoint: &str) -> Client {
    let endpoint = Url::parse(endpoint).expect("it is a URL");
    Client::new(ClientOptions {
        endpoint,
        proxy: None,
    })
    .expect("loopback is allowed")
}

async fn call(mock: &Mock, call: Call) -> Response {
    let key = ApiKey::new(KEY).expect("it is a key");
    let response = client(&mock.endpoint)
        .call(Veid(VEID), &key, call, &mut |_| {})
        .await;
    assert!(!format!("{response:?}").contains("Canary"), "{response:?}");
    response
}

#[tokio::test]
async fn credentials_are_only_sent_in_the_body() {
    let mock = Mock::start([VEID]).await;
    for each in Call::ALL {
        let response = call(&mock, each).await;
        assert!(response.result.is_ok(), "{response:?}");
        assert!(response.bytes > Bytes(0));
    }
    for (request, call) in mock.requests().iter().zip(Call::ALL) {
        assert_eq!(request.line, format!("POST /v1/{} HTTP/1.1", call.name()));
        assert_eq!(request.form.len(), 2);
        assert_eq!(request.form["api_key"], KEY);
        assert_eq!(request.form["veid"], VEID.to_string());
    }
}

#[tokio::test]
async fn every_kind_of_bad_response_has_its_reason_and_message() {
    let mock = Mock::start([VEID]).await;
    let huge = format!("{{\"x\":\"{}\"}}", "x".repeat(5 << 20));
    let repeats_the_key = format!("{{\"error\":5,\"message\":\"not for {KEY}\"}}");
    for (reply, reason, words) in [
        (
            Reply::Status(500, ""),
            Reason::HttpStatus,
            "HTTP status 500",
        ),
        (
            Reply::Status(403, "<html>"),
            Reason::HttpStatus,
            "HTTP status 403",
        ),
        (Reply::Status(302, ""), Reason::HttpStatus, "redirect"),
        (Reply::Status(429, ""), Reason::RateLimited, "429"),
        (
            Reply::Status(503, "{\"error\":1,\"message\":\"rate limit\"}"),
            Reason::RateLimited,
            "rate limit",
        ),
        (
            Reply::Body("<html>".to_owned()),
            Reason::NotJson,
            "not JSON",
        ),
        (Reply::Body(String::new()), Reason::NotJson, "empty"),
        (
            Reply::Body("[]".to_owned()),
            Reason::BadShape,
            "not an object",
        ),
        (
            Reply::Body(repeats_the_key),
            Reason::ApiOther,
            "not for [redacted]",
        ),
        (
            Reply::Truncated("{\"error\":0}".to_owned()),
            Reason::Connect,
            "getServiceInfo for VPS 1000001",
        ),
        (Reply::Body(huge), Reason::BodyTooLarge, "larger than 4 MiB"),
        (Reply::Drop, Reason::Connect, "check the network"),
    ] {
        mock.reply(VEID, "getServiceInfo", reply.clone());
        let error = call(&mock, Call::ServiceInfo)
            .await
            .result
            .expect_err("it is no usable response");
        assert_eq!(error.reason, reason, "{error}");
        let text = error.to_string();
        assert!(text.contains(words), "{reply:?}: {text}");
        assert!(
            !text.contains("Canary") && !text.contains("http://"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_refusal_reports_retry_after() {
    const REFUSED: &str = r#"{"error":429000,"message":"quota exceeded"}"#;
    let mock = Mock::start([VEID]).await;
    for (status, headers, body, reason, seconds) in [
        (
            429,
            "Retry-After: 90\r\n",
            REFUSED,
            Reason::RateLimited,
            Some(90),
        ),
        (429, "", REFUSED, Reason::RateLimited, None),
        (
            503,
            "Retry-After: 90\r\n",
            "",
            Reason::RateLimited,
            Some(90),
        ),
        (
            200,
            "Retry-After: 9999999\r\n",
            REFUSED,
            Reason::RateLimited,
            Some(86_400),
        ),
        (
            200,
            "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n",
            REFUSED,
            Reason::RateLimited,
            Some(0),
        ),
        (503, "Retry-After: later\r\n", "", Reason::HttpStatus, None),
        (
            503,
            "",
            r#"{"error":700005,"message":"no"}"#,
            Reason::HttpStatus,
            None,
        ),
    ] {
        let reply = Reply::Whole(status, headers, body.as_bytes().to_vec());
        mock.reply(VEID, "getServiceInfo", reply);
        let response = call(&mock, Call::ServiceInfo).await;
        let error = response.result.expect_err("it is refused");
        assert_eq!(error.reason, reason, "{error}");
        assert_eq!(
            error.retry_after.map(|wait| wait.as_secs()),
            seconds,
            "{error}"
        );
    }
    // A 429 is a refusal even with an unreadable body.
    let cut_off = Reply::Whole(429, "Content-Encoding: gzip\r\n", b"no gzip".to_vec());
    mock.reply(VEID, "getServiceInfo", cut_off);
    let error = call(&mock, Call::ServiceInfo)
        .await
        .result
        .expect_err("it is refused");
    assert_eq!(error.reason, Reason::RateLimited, "{error}");
}

#[tokio::test]
async fn a_refused_connection_is_a_connect_error() {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("there is a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
    drop(listener);
    let key = ApiKey::new(KEY).expect("it is a key");
    let response = client(&endpoint)
        .call(Veid(VEID), &key, Call::ServiceInfo, &mut |_| {})
        .await;
    let error = response.result.expect_err("the connection is refused");
    assert_eq!(error.reason, Reason::Connect, "{error}");
}

#[tokio::test]
async fn a_peer_that_does_not_speak_tls_is_a_tls_error() {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("there is a port");
    let endpoint = format!("https://{}", listener.local_addr().expect("it is bound"));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client connects");
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.read(&mut [0; 4096]).await;
    });
    let key = ApiKey::new(KEY).expect("it is a key");
    let response = client(&endpoint)
        .call(Veid(VEID), &key, Call::ServiceInfo, &mut |_| {})
        .await;
    let error = response.result.expect_err("it does not speak TLS");
    assert_eq!(error.reason, Reason::Tls, "{error}");
}

/// A day of rows, one a second, in shuffled order, compressed.
fn shuffled_day() -> Vec<u8> {
    const ROWS: u64 = 86_400;
    // A step that shares no factor with the length visits every row.
    let row = |at| format!("{{\"timestamp\":{}}}", 1_790_000_000 + at * 52_711 % ROWS);
    let rows: Vec<_> = (0..ROWS).map(row).collect();
    let body = format!("{{\"data\":[{}],\"error\":0}}", rows.join(","));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(body.as_bytes())
        .expect("writes to memory succeed");
    gzip.finish().expect("writes to memory succeed")
}

#[tokio::test]
async fn decoding_a_long_response_yields_to_other_tasks() {
    let mock = Mock::start([VEID]).await;
    let reply = Reply::Whole(200, "Content-Encoding: gzip\r\n", shuffled_day());
    mock.reply(VEID, "getRawUsageStats", reply);
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = turns.clone();
    // The test and the client share a thread, so this loop counts how often the client yields.
    tokio::spawn(async move {
        loop {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    let now = UnixSeconds(1_790_100_000.0);
    let mut reading = UsageReading::new(None, now);
    // A first response, and one whose rows are all known.
    for _ in 0..2 {
        let (mut rows, mut turn, mut at_a_time, mut most) = (0, 0, 0, 0);
        let key = ApiKey::new(KEY).expect("it is a key");
        let response = client(&mock.endpoint)
            .call(Veid(VEID), &key, Call::RawUsageStats, &mut |row| {
                reading.take(row);
                let now = turns.load(Ordering::Relaxed);
                at_a_time = if now == turn { at_a_time + 1 } else { 1 };
                turn = now;
                rows += 1;
                most = most.max(at_a_time);
            })
            .await;
        assert!(response.result.is_ok(), "{response:?}");
        assert_eq!(rows, 86_400);
        // The client yields every 16 KiB. A row is 25 bytes.
        assert!(most <= (16 << 10) / 25 + 1, "{most} rows in one turn");
        let history = reading.finish().expect("there are rows");
        assert_eq!(history.totals.rows_ignored, 0);
        reading = UsageReading::new(Some(&history), now);
    }
}

#[test]
fn the_endpoint_must_be_https_or_loopback() {
    for (endpoint, allowed) in [
        ("https://api.64clouds.com/v1", true),
        ("http://127.0.0.1:1/v1", true),
        ("http://[::1]:1/v1", true),
        ("http://localhost:1/v1", true),
        ("http://api.64clouds.com/v1", false),
        ("http://127.0.0.1.example.com/", false),
        ("ftp://127.0.0.1/", false),
    ] {
        let endpoint = Url::parse(endpoint).expect("it is a URL");
        let client = Client::new(ClientOptions {
            endpoint: endpoint.clone(),
            proxy: None,
        });
        assert_eq!(client.is_ok(), allowed, "{endpoint}");
    }
}
