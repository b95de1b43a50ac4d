//! Golden pages parsed by their consumers, Python's parsers and Prometheus, and the content negotiation with common
//! clients.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::exporter::{Exporter, TIMEOUT, http};
use crate::mock::receive;
use crate::page::Page;
use crate::prometheus::{Prometheus, check_with, python};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Succeeds if the parser finds as many samples as the page has sample lines.
const PARSE: &str = "\
import sys
from prometheus_client.PARSER import text_string_to_metric_families
page = sys.stdin.read()
lines = [line for line in page.splitlines() if not line.startswith('#')]
assert sum(len(f.samples) for f in text_string_to_metric_families(page)) == len(lines) > 10
";

/// Parses a page with Python's parser for its format.
fn parse(content_type: &str, page: &str) {
    let parser = match content_type {
        OPENMETRICS => "openmetrics.parser",
        _ => "parser",
    };
    check_with(&python(), &["-c", &PARSE.replace("PARSER", parser)], page);
}

/// Every golden page with its content type.
fn golden_pages() -> Vec<(&'static str, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files = std::fs::read_dir(folder).expect("it is there");
    let page = |file: std::io::Result<std::fs::DirEntry>| {
        let path = file.expect("it can be listed").path();
        let openmetrics = path.to_string_lossy().ends_with(".openmetrics.txt");
        let page = std::fs::read_to_string(path).expect("it is text");
        (if openmetrics { OPENMETRICS } else { TEXT }, page)
    };
    let pages: Vec<_> = files.map(page).collect();
    assert!(pages.len() >= 4);
    pages
}

/// Serves one page to every client. Returns the address.
async fn serve(content_type: &'static str, page: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("there is a port");
    let address = listener.local_addr().expect("it is bound").to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            if receive(&mut stream).await.is_some() {
                let response = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
                    page.len()
                );
                let _ = stream.write_all(response.as_bytes()).await;
            }
        }
    });
    address
}

#[test]
fn python_reads_every_golden_page() {
    for (content_type, page) in golden_pages() {
        parse(content_type, &page);
    }
}

/// Sorted names and values. Labels are left out, because Prometheus writes them differently.
fn sorted(mut samples: Vec<(String, String)>) -> Vec<(String, String)> {
    samples.sort_unstable();
    samples
}

fn of_page(page: &str) -> Vec<(String, String)> {
    let name = |series: &str| series.split('{').next().unwrap_or_default().to_owned();
    let samples = Page::parse(page).samples.into_iter();
    sorted(
        samples
            .map(|(series, value)| (name(&series), value.to_string()))
            .collect(),
    )
}

fn of_prometheus(samples: &[Value]) -> Vec<(String, String)> {
    let sample = |sample: &Value| {
        let name = sample["metric"]["__name__"].as_str().expect("it has one");
        let value = sample["value"][1].as_str().expect("it has one");
        let value: f64 = value.parse().expect("it is a number");
        (name.to_owned(), value.to_string())
    };
    sorted(samples.iter().map(sample).collect())
}

#[tokio::test]
async fn prometheus_stores_every_sample_of_every_golden_page() {
    let mut jobs = String::new();
    let mut pages = Vec::new();
    for (index, (content_type, page)) in golden_pages().into_iter().enumerate() {
        let address = serve(content_type, page.clone()).await;
        let _ = writeln!(
            jobs,
            "- job_name: golden-{index}\n  static_configs: [{{targets: [\"{address}\"]}}]"
        );
        pages.push(page);
    }
    let empty = serve(TEXT, String::new()).await;
    let folder = TempDir::new().expect("disk is writable");
    let prometheus = Prometheus::start_with(folder, &empty, &jobs);
    let deadline = Instant::now() + TIMEOUT;
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    for (index, page) in pages.iter().enumerate() {
        let up = format!("up{{job=\"golden-{index}\"}} == 1");
        while prometheus.query(&up).await.is_empty() {
            assert!(Instant::now() < deadline, "{index} is not scraped");
            tick.tick().await;
        }
        // Without the series that Prometheus adds to each target.
        let held = prometheus
            .query(&format!(
                "{{job=\"golden-{index}\", __name__!~\"up|scrape_.*\"}}"
            ))
            .await;
        assert_eq!(of_prometheus(&held), of_page(page));
    }
}

/// Client, its Accept header, and the expected content type.
const CLIENTS: [(&str, Option<&str>, &str); 9] = [
    (
        "Prometheus 2.42",
        Some(
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        ),
        OPENMETRICS,
    ),
    (
        "Prometheus 2.55, scrape_protocols: [PrometheusText0.0.4]",
        Some("text/plain;version=0.0.4;q=0.2,*/*;q=0.1"),
        TEXT,
    ),
    (
        "Prometheus 3",
        Some(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
        ),
        OPENMETRICS,
    ),
    (
        "Prometheus 3 with native histograms",
        Some(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
        ),
        OPENMETRICS,
    ),
    (
        "Grafana Alloy, which scrapes with the code of Prometheus and requests legacy names",
        Some(
            "application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=underscores;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
        ),
        OPENMETRICS,
    ),
    (
        "vmagent",
        Some("text/plain;version=0.0.4;q=1,*/*;q=0.1"),
        TEXT,
    ),
    ("curl", Some("*/*"), TEXT),
    (
        "a browser",
        Some(
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
        ),
        TEXT,
    ),
    ("a script without the header", None, TEXT),
];

#[tokio::test]
async fn each_client_gets_a_supported_format() {
    let exporter = Exporter::start(&["--demo"]);
    for (client, accept, content_type) in CLIENTS {
        // Compressed responses must be labelled: browsers and curl --compressed rely on it.
        for encoding in ["identity", "gzip, deflate, br, zstd"] {
            let mut request = http()
                .get(format!("{}/metrics", exporter.url))
                .header("accept-encoding", encoding);
            if let Some(accept) = accept {
                request = request.header("accept", accept);
            }
            let response = request.send().await.expect("it responds");
            let header = |name| {
                let value = response.headers().get(name)?;
                Some(value.to_str().expect("it is text").to_owned())
            };
            assert_eq!(
                header("content-type").as_deref(),
                Some(content_type),
                "{client}"
            );
            let gzip = encoding != "identity";
            let content_encoding = header("content-encoding");
            assert_eq!(
                content_encoding.as_deref(),
                gzip.then_some("gzip"),
                "{client}"
            );
            assert!(header("vary").is_some_and(|vary| vary.contains("Accept-Encoding")));
            let body = response.bytes().await.expect("it ends");
            let page = if gzip {
                let mut page = String::new();
                let mut decoder = flate2::read::GzDecoder::new(&*body);
                std::io::Read::read_to_string(&mut decoder, &mut page).expect("it is gzip");
                page
            } else {
                String::from_utf8(body.to_vec()).expect("it is text")
            };
            parse(content_type, &page);
            assert_eq!(
                page.ends_with("# EOF\n"),
                content_type == OPENMETRICS,
                "{client}"
            );
        }
    }
}
