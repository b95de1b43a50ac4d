//! From the vendor's API to the owner's chat: simulator, exporter, Prometheus with the rules, Alertmanager with the
//! example. All are real and configured as shipped, except that routes wait less and notifications go to a local
//! webhook.
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::alertmanager::{Alertmanager, RULES, fast_example, shipped};
use crate::exporter::{Exporter, TIMEOUT, config};
use crate::owner::Owner;
use crate::prometheus::Prometheus;
use crate::simulator::set_key;
use crate::webhook::{Notification, Webhook};

const THROTTLED: u64 = 1_000_001;
const HEALTHY: u64 = 1_000_002;

/// Starts the exporter for two healthy VPSes, each polled every second.
async fn start() -> (Owner, Exporter, TempDir) {
    let arguments = ["--vps=2", "--points.sizes=1000000,100000000"];
    let owner = Owner::of(THROTTLED, &arguments).await;
    set_key(&owner.simulator, HEALTHY).await;
    // The account's time is not scaled. Only the exporter is fast.
    let (folder, flag) = config(&format!(
        "api: {{endpoint: \"{}/v1\"}}
budget: {{share: 1, scope: vps, download: 1000GiB}}
intervals: {{live: 30s}}
vps:
- {{name: tokyo, veid: {THROTTLED}, api_key: private_test, labels: {{env: prod, owner: anna}}}}
- {{name: paris, veid: {HEALTHY}, api_key: private_test, labels: {{env: prod}}}}
",
        owner.simulator.url
    ));
    let exporter = Exporter::start(&["--simulator.time-scale=30", &flag]);
    (owner, exporter, folder)
}

/// Waits until a query returns so many series.
async fn wait_for(prometheus: &Prometheus, query: &str, series: usize) {
    let deadline = Instant::now() + TIMEOUT;
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    loop {
        tick.tick().await;
        let found = prometheus.query(query).await;
        if found.len() == series {
            return;
        }
        assert!(Instant::now() < deadline, "{query}: {found:#?}");
    }
}

/// The firing alerts in Prometheus, without pending ones.
async fn firing(prometheus: &Prometheus) -> Vec<Value> {
    prometheus.query("ALERTS{alertstate=\"firing\"}").await
}

fn is_of(status: &'static str) -> impl Fn(&Notification) -> bool {
    move |received| received.path == "/chat" && received.body["status"] == status
}

#[tokio::test]
async fn a_throttled_vps_sends_one_alert_and_one_recovery() {
    let (owner, exporter, _folder) = start().await;
    let webhook = Webhook::start().await;
    let alertmanager = Alertmanager::start(&fast_example(&webhook.url));
    let prometheus = Prometheus::start_with(
        TempDir::new().expect("disk is writable"),
        &exporter.url,
        &format!(
            "rule_files: [\"{}\"]\nalerting: {{alertmanagers: [{{static_configs: [{{targets: [\"{}\"]}}]}}]}}\n",
            shipped(RULES).display(),
            alertmanager.url().trim_start_matches("http://")
        ),
    );
    // The rules were evaluated for both VPSes and no alert fires.
    let both = "vps:kiwivm_up:last and on (vps) count_over_time(kiwivm_cpu_throttled[1m]) > 3";
    wait_for(&prometheus, both, 2).await;
    assert_eq!(firing(&prometheus).await, [Value::Null; 0]);

    owner.set("throttled", json!(true)).await;
    let notification = webhook
        .wait_for("the alert arrives", is_of("firing"))
        .await
        .body;
    let alert = &notification["alerts"][0];
    assert_eq!(
        notification["alerts"].as_array().map(Vec::len),
        Some(1),
        "{notification}"
    );
    let instance = exporter.url.trim_start_matches("http://");
    assert_eq!(
        alert["labels"],
        json!({
            "alertname": "KiwiVMCPUThrottled", "severity": "warning", "job": "kiwivm", "instance": instance,
            "veid": THROTTLED.to_string(), "vps": "tokyo", "env": "prod", "owner": "anna",
        })
    );
    let annotation = |name: &str| alert["annotations"][name].as_str().unwrap_or_default();
    assert_eq!(annotation("summary"), "The CPU of the VPS is throttled.");
    assert!(annotation("description").contains("the CPU of VPS tokyo (1000001)"));
    assert!(annotation("runbook_url").ends_with("/runbooks.md#kiwivmcputhrottled"));
    // The message in Discord.
    let discord = webhook.wait_for("the Discord message arrives", |received| {
        received.path == "/chat/discord"
    });
    let discord = discord.await.body;
    let shown = &discord["embeds"][0];
    assert_eq!(
        shown["title"],
        "WARNING: tokyo: The CPU of the VPS is throttled."
    );
    let text = shown["description"].as_str().unwrap_or_default();
    assert!(
        text.contains(annotation("description")) && text.contains(annotation("runbook_url")),
        "{text}"
    );

    // Keep it firing for a while: repeated notifications or other alerts would show up.
    let often =
        "count_over_time(ALERTS{alertname=\"KiwiVMCPUThrottled\",alertstate=\"firing\"}[1m]) > 5";
    wait_for(&prometheus, often, 1).await;
    let firing = firing(&prometheus).await;
    assert_eq!(firing.len(), 1, "{firing:#?}");

    owner.set("throttled", json!(false)).await;
    let over = webhook
        .wait_for("the recovery arrives", is_of("resolved"))
        .await
        .body;
    assert_eq!(over["alerts"][0]["labels"], alert["labels"]);
    let received = webhook.received();
    let statuses: Vec<_> = received
        .iter()
        .filter(|received| received.path != "/chat/discord")
        .map(|received| (received.path.as_str(), received.body["status"].as_str()))
        .collect();
    assert_eq!(
        statuses,
        [("/chat", Some("firing")), ("/chat", Some("resolved"))]
    );
}
