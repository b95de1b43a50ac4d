//! Compatibility names of other exporters: configured, scraped and validated.

use std::collections::HashSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use kiwivm_exporter::config::Compatibility;
use kiwivm_exporter::exposition::compatibility::metrics_of;

use crate::exporter::{Exporter, config, write};
use crate::mock::Mock;
use crate::page::Page;
use crate::prometheus::{check_with, page_as, python};

const PARSE_OPENMETRICS: &str = "\
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
samples = {s.name for f in text_string_to_metric_families(sys.stdin.read()) for s in f.samples}
assert {'node_suspended', 'bandwagon_api_request_total'} <= samples
";

const BOTH: &str = "[bandwagon_exporter, bandwagonhost_cloud_exporter]";

fn yaml(mock: &Mock, compatibility: &str) -> String {
    format!(
        "api: {{endpoint: {}}}\ncompatibility: {compatibility}\n\
         vps: [{{name: one, veid: 1, api_key: private_x}}, {{name: two, veid: 2, api_key: private_y}}]\n",
        mock.endpoint
    )
}

/// Every foreign name.
fn foreign() -> impl Iterator<Item = &'static str> {
    let all = Compatibility::ALL.into_iter().flat_map(metrics_of);
    all.map(|foreign| foreign.metric.name)
}

fn is_foreign(series: &str) -> bool {
    let name = series.split('{').next().unwrap_or_default();
    foreign().any(|foreign| foreign == name)
}

/// Checks that promtool can parse the page. It may only report names that other exporters chose.
fn assert_readable(page: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is needed for this test");
    let mut stdin = promtool.stdin.take().expect("it is piped");
    stdin.write_all(page.as_bytes()).expect("it reads");
    drop(stdin);
    let output = promtool.wait_with_output().expect("it ends");
    let report = String::from_utf8([output.stdout, output.stderr].concat()).expect("it is text");
    for line in report.lines() {
        assert!(line.split(' ').next().is_some_and(is_foreign), "{line}");
    }
    // promtool accepts duplicate series; Prometheus does not.
    let mut series = HashSet::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, _) = line.rsplit_once(' ').expect("it is a sample");
        assert!(series.insert(name), "{name} twice");
    }
}

#[tokio::test]
async fn compatibility_names_follow_the_configuration() {
    let mock = Mock::start([1, 2]).await;
    // Both VPSes have the same host name and address. Their series must still differ.
    let (folder, flag) = config(&yaml(&mock, "[]"));
    let exporter = Exporter::start(&[&flag]);
    let page = exporter
        .wait_for("both are up", |page| {
            page.of("one", "kiwivm_up") == Some(1.0) && page.of("two", "kiwivm_up") == Some(1.0)
        })
        .await;
    assert!(!page.samples.keys().any(|series| is_foreign(series)));

    write(folder.path(), "config.yaml", &yaml(&mock, BOTH));
    exporter.signal("HUP");
    let served = |page: &Page| foreign().all(|name| page.series(name, &[]).next().is_some());
    let page = exporter.wait_for("the names are there", served).await;
    let address = [
        ("hostname", "vps1.example.com"),
        ("ip_address", "192.0.2.10"),
    ];
    let used = page.of("one", "kiwivm_bandwidth_used_bytes");
    assert_eq!(page.one("data_counter", &address), used);
    assert_eq!(page.one("bandwagon_data_counter", &address), used);
    assert_eq!(page.one("data_counter_gb", &address), Some(296.35));

    let text = page_as(&exporter, "text/plain").await;
    assert_readable(&text);
    let openmetrics = page_as(&exporter, "application/openmetrics-text").await;
    check_with(&python(), &["-c", PARSE_OPENMETRICS], &openmetrics);

    let second = Page::parse(&exporter.get("/metrics?vps=two").await);
    let requests = |veid| [("veid", veid)];
    let name = "bandwagon_api_request_total";
    assert!(second.one(name, &requests("2")).is_some());
    assert_eq!(second.one(name, &requests("1")), None);

    write(
        folder.path(),
        "config.yaml",
        &yaml(&mock, "[bandwagon_exporter]"),
    );
    exporter.signal("HUP");
    let page = exporter
        .wait_for("one set of names is gone", |page| {
            page.series("node_suspended", &[]).next().is_none()
        })
        .await;
    assert!(page.one("bandwagon_data_counter", &address).is_some());
}

#[test]
fn promtool_reads_the_golden_page() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let page = std::fs::read_to_string(golden.join("compatibility.txt")).expect("it is there");
    assert_readable(&page);
}

#[tokio::test]
async fn once_prints_compatibility_names() {
    let mock = Mock::start([1, 2]).await;
    let (_folder, flag) = config(&yaml(&mock, "[bandwagonhost_cloud_exporter]"));
    let arguments = ["once".to_owned(), flag];
    let run = move || crate::exporter::run(&arguments.each_ref().map(String::as_str));
    let output = tokio::task::spawn_blocking(run).await.expect("it ends");
    let page = Page::parse(&String::from_utf8_lossy(&output.stdout));
    assert_eq!(page.one("node_suspended", &[]), Some(0.0));
    assert_eq!(page.one("monthly_data_multiplier", &[]), Some(1.0));
    assert!(
        !page
            .samples
            .keys()
            .any(|series| series.starts_with("bandwagon"))
    );
}
