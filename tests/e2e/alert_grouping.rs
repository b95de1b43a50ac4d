//! Number of notifications per incident, in an Alertmanager with the example's routes and short waits.

use serde_json::{Value, json};

use crate::alertmanager::{Alertmanager, fast_example};
use crate::webhook::{Notification, Webhook};

fn alert(name: &str, severity: &str, veid: Option<u64>) -> Value {
    let mut labels = json!({"alertname": name, "severity": severity, "job": "kiwivm", "instance": "localhost:10064"});
    if let Some(veid) = veid {
        labels["veid"] = json!(veid.to_string());
        labels["vps"] = json!(format!("vps-{veid}"));
    }
    json!({ "labels": labels })
}

/// Receiver path, common alert name if any, and number of alerts.
fn summary_of(notification: &Notification) -> (String, String, usize) {
    let name = notification.body["commonLabels"]["alertname"].as_str();
    let alerts = notification.body["alerts"].as_array();
    (
        notification.path.clone(),
        name.unwrap_or_default().to_owned(),
        alerts.map_or(0, Vec::len),
    )
}

fn is(path: &str, name: &str, alerts: usize) -> impl Fn(&Notification) -> bool {
    let wanted = (path.to_owned(), name.to_owned(), alerts);
    move |notification| summary_of(notification) == wanted
}

#[tokio::test]
async fn pages_are_per_vps_messages_per_alert_and_digests_for_all() {
    let webhook = Webhook::start().await;
    let alertmanager = Alertmanager::start(&fast_example(&webhook.url));
    let of = |name, severity| move |veid| alert(name, severity, Some(veid));
    let mut alerts = Vec::new();
    alerts.extend([1, 2].map(of("KiwiVMSuspended", "critical")));
    alerts.extend([3, 4, 5].map(of("KiwiVMCPUThrottled", "warning")));
    alerts.extend([6].map(of("KiwiVMSnapshotPurgedSoon", "info")));
    alerts.extend([7].map(of("KiwiVMDiskImageMapped", "info")));
    alertmanager.post(&alerts).await;
    webhook
        .wait_for("a message", is("/chat", "KiwiVMCPUThrottled", 3))
        .await;
    webhook.wait_for("a digest", is("/digest", "", 2)).await;
    for vps in ["vps-1", "vps-2"] {
        let page = webhook.wait_for("a page", |received| {
            received.path == "/page" && received.body["commonLabels"]["vps"] == vps
        });
        assert_eq!(
            summary_of(&page.await),
            ("/page".to_owned(), "KiwiVMSuspended".to_owned(), 1)
        );
    }
    let mut received = webhook.received();
    received.retain(|received| received.path != "/chat/discord");
    assert_eq!(received.len(), 4, "{received:#?}");
}
