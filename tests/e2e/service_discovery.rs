//! `/sd`: the addresses of the VPSes for Prometheus' HTTP service discovery.

use std::collections::BTreeSet;

use hyper::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use crate::exporter::{Exporter, config, http};
use crate::mock::{Mock, Reply, sample};
use crate::page::Page;
use crate::polled_vps;
use crate::prometheus::Prometheus;

async fn discover(exporter: &Exporter, query: &str) -> (StatusCode, String) {
    let url = format!("{}/sd{query}", exporter.url);
    let response = http().get(url).send().await.expect("it responds");
    (response.status(), response.text().await.expect("text"))
}

#[tokio::test]
async fn prometheus_discovers_the_vpses() {
    let exporter = Exporter::start(&["--demo"]);
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(50));
    while discover(&exporter, "").await.0 != StatusCode::OK {
        tick.tick().await;
    }
    let (_, list) = discover(&exporter, "?port=9100&port=9256").await;
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let wanted: BTreeSet<String> = list
        .as_array()
        .expect("a list")
        .iter()
        .flat_map(|group| group["targets"].as_array().expect("targets").clone())
        .map(|target| target.as_str().expect("text").to_owned())
        .collect();
    assert!(wanted.len() >= 12, "{wanted:?}");
    // Prometheus scrapes none of these addresses during the test, since the interval is a day.
    let more = format!(
        "- job_name: node\n  scrape_interval: 24h\n  scrape_timeout: 1s\n  http_sd_configs: [{{url: \"{}/sd?port=9100&port=9256\", refresh_interval: 1s}}]\n  relabel_configs:\n  - {{source_labels: [__meta_kiwivm_vps], target_label: vps}}\n",
        exporter.url
    );
    let folder = TempDir::new().expect("disk is writable");
    let prometheus = Prometheus::start_with(folder, &exporter.url, &more);
    loop {
        let targets = prometheus.active_targets().await;
        let nodes: Vec<Value> = targets
            .into_iter()
            .filter(|target| target["labels"]["job"] == "node")
            .collect();
        let instances: BTreeSet<String> = nodes
            .iter()
            .filter_map(|target| target["labels"]["instance"].as_str().map(str::to_owned))
            .collect();
        if instances == wanted {
            let named = nodes
                .iter()
                .all(|target| target["labels"]["vps"].is_string());
            assert!(named, "{nodes:?}");
            break;
        }
        tick.tick().await;
    }
}

#[tokio::test]
async fn targets_need_known_addresses_and_survive_api_failures() {
    let mock = Mock::start([1]).await;
    mock.reply_to_everything(1, Reply::Status(500, "sick"));
    let yaml = format!(
        "api: {{endpoint: \"{}\"}}\nintervals: {{live: 30s}}\nvps:\n- {{veid: 1, name: one, api_key: private_one, labels: {{customer: acme}}}}\n",
        mock.endpoint
    );
    let (_folder, flag) = config(&yaml);
    let exporter = Exporter::start(&[&flag]);
    exporter
        .wait_for("the VPS was polled", |page| {
            page.of("one", "kiwivm_up") == Some(0.0)
        })
        .await;
    let (status, text) = discover(&exporter, "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
    for query in ["?port=http", "?family=inet", "?port=0"] {
        let (status, text) = discover(&exporter, query).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
    }
    mock.recover(1);
    // A reload retries failed calls at once.
    exporter.signal("HUP");
    exporter
        .wait_for("the VPS is up", |page| {
            page.of("one", "kiwivm_up") == Some(1.0)
        })
        .await;
    let (status, list) = discover(&exporter, "").await;
    assert_eq!(status, StatusCode::OK, "{list}");
    let list: Value = serde_json::from_str(&list).expect("JSON");
    assert_eq!(list[0]["labels"]["customer"], "acme");
    assert_eq!(list[0]["labels"]["__meta_kiwivm_vps"], "one");
    mock.reply_to_everything(1, Reply::Status(500, "sick"));
    exporter
        .wait_for("a call failed again", |page| {
            let live = [
                ("vps", "one"),
                ("call", "getLiveServiceInfo"),
                ("reason", "http_status"),
            ];
            page.one("kiwivm_poll_errors_total", &live) >= Some(2.0)
        })
        .await;
    assert_eq!(discover(&exporter, "").await.0, StatusCode::OK);
}

#[tokio::test]
async fn an_odd_list_of_addresses_removes_no_target() {
    let mock = Mock::start([1]).await;
    mock.plenty_of_points(1);
    let yaml = polled_vps::yaml(&mock.endpoint, 1, "intervals: {live: 60s}\n");
    let (_folder, flag) = config(&yaml);
    let exporter = Exporter::start(&["--simulator.time-scale=300", &flag]);
    let addresses = |page: &Page| page.one("kiwivm_ip_addresses", &[("family", "ipv4")]);
    exporter
        .wait_for("the address is known", |page| addresses(page) == Some(1.0))
        .await;
    let (_, before) = discover(&exporter, "").await;
    assert!(before.contains("192.0.2.10:9100"), "{before}");
    for (addresses_now, count) in [("[]", Some(0.0)), ("[\"192.0.2.10\",\"unknown\"]", None)] {
        for (call, name) in [
            ("getLiveServiceInfo", "live_kvm_running.wire.json"),
            ("getServiceInfo", "service_info_kvm.json"),
        ] {
            let Reply::Body(body) = sample(name) else {
                unreachable!("samples are bodies")
            };
            let mut body: Value = serde_json::from_str(&body).expect("JSON");
            body["ip_addresses"] = serde_json::from_str(addresses_now).expect("JSON");
            mock.reply(1, call, Reply::Body(body.to_string()));
        }
        exporter
            .wait_for("the list is polled", |page| addresses(page) == count)
            .await;
        let (status, list) = discover(&exporter, "").await;
        assert_eq!(
            (status, list),
            (StatusCode::OK, before.clone()),
            "{addresses_now}"
        );
    }
}
