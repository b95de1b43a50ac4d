//! Checks the example configuration with Alertmanager itself: it is valid, every alert has a receiver, and
//! notifications are readable.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::exporter::{Exporter, http, write};

/// A file or folder of the project.
pub fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(shipped(path)).expect("it is shipped")
}

const EXAMPLE: &str = "deploy/alertmanager/alertmanager.yml";
/// In English, and in Chinese.
const TEMPLATES: [&str; 2] = ["kiwivm.tmpl", "kiwivm.zh.tmpl"];
pub const RULES: &str = "deploy/prometheus/rules/kiwivm.yml";

/// An alerting rule of the rule file.
#[derive(Clone)]
pub struct Rule {
    pub name: String,
    pub severity: String,
}

/// All shipped alerting rules.
pub fn rules() -> Vec<Rule> {
    let rules: Value = yaml_serde::from_str(&read(RULES)).expect("it is YAML");
    let groups = rules["groups"].as_array().expect("it is a list");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let rule = |rule: &Value| {
        Some(Rule {
            name: text(&rule["alert"])?,
            severity: text(&rule["labels"]["severity"])?,
        })
    };
    groups
        .iter()
        .flat_map(|group| group["rules"].as_array().expect("it is a list"))
        .filter(|rule| !rule["alert"].is_null())
        .map(|value| rule(value).unwrap_or_else(|| panic!("it has no severity: {value}")))
        .collect()
}

/// The shipped example, with each receiver replaced by a webhook at `webhook` plus the receiver's name. The chat
/// receiver also keeps its Discord configuration, with URL `webhook` plus `/chat/discord`.
pub fn example(webhook: &str) -> Value {
    let mut example: Value = yaml_serde::from_str(&read(EXAMPLE)).expect("it is YAML");
    let receivers = example["receivers"].as_array_mut().expect("it is a list");
    let discord = receivers
        .iter()
        .find(|receiver| receiver["name"] == "discord");
    let mut discord = discord.expect("it is there")["discord_configs"].clone();
    discord[0]["webhook_url"] = json!(format!("{webhook}/chat/discord"));
    for receiver in receivers {
        let name = receiver["name"].as_str().expect("it has a name");
        let url = format!("{webhook}/{name}");
        let mut replaced = json!({
            "name": name,
            "webhook_configs": [{"url": url, "send_resolved": true}],
        });
        if name == "chat" {
            replaced["discord_configs"] = discord.clone();
        }
        *receiver = replaced;
    }
    example
}

/// The same, but routes wait at most one second and ignore active times.
pub fn fast_example(webhook: &str) -> Value {
    fn shorten_waits(route: &mut Value) {
        let members = route.as_object_mut().expect("it is an object");
        members.insert("group_wait".to_owned(), json!("1s"));
        members.insert("group_interval".to_owned(), json!("1s"));
        members.remove("active_time_intervals");
        if let Some(routes) = members.get_mut("routes").and_then(Value::as_array_mut) {
            routes.iter_mut().for_each(shorten_waits);
        }
    }
    let mut example = example(webhook);
    shorten_waits(&mut example["route"]);
    example
}

/// A running Alertmanager, killed on drop.
pub struct Alertmanager {
    process: Exporter,
    _folder: TempDir,
}

impl Alertmanager {
    pub fn start(config: &Value) -> Self {
        let folder = TempDir::new().expect("disk is writable");
        // JSON is YAML.
        let config = write(folder.path(), "alertmanager.yml", &config.to_string());
        for name in TEMPLATES {
            let template = read(&format!("deploy/alertmanager/{name}"));
            write(folder.path(), name, &template);
        }
        let mut command = Command::new("prometheus-alertmanager");
        command.stdout(Stdio::null()).args([
            format!("--config.file={config}"),
            format!("--storage.path={}", folder.path().join("data").display()),
            "--web.listen-address=127.0.0.1:0".to_owned(),
            "--cluster.listen-address=".to_owned(),
        ]);
        let process = Exporter::wait_for_line(command, |line| {
            let (_, address) = line.split_once("msg=\"Listening on\" address=")?;
            Some(format!("http://{address}"))
        });
        Self {
            process,
            _folder: folder,
        }
    }

    pub fn url(&self) -> &str {
        &self.process.url
    }

    pub async fn post(&self, alerts: &[Value]) {
        let response = http()
            .post(format!("{}/api/v2/alerts", self.url()))
            .header("content-type", "application/json")
            .body(json!(alerts).to_string())
            .send()
            .await
            .expect("it responds");
        assert!(
            response.status().is_success(),
            "{:?}",
            response.text().await
        );
    }
}

/// Output of amtool. Panics if amtool reports an error.
fn amtool(arguments: &[&str]) -> String {
    let output = Command::new("amtool").args(arguments).output();
    let output = output.expect("amtool, of prometheus-alertmanager, is needed for this test");
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("it is text")
}

fn receiver_of(labels: &[&str]) -> String {
    let file = format!("--config.file={}", shipped(EXAMPLE).display());
    let mut arguments = vec!["config", "routes", "test", &file];
    arguments.extend(labels);
    amtool(&arguments).trim().to_owned()
}

#[test]
fn amtool_accepts_the_example() {
    amtool(&["check-config", &shipped(EXAMPLE).display().to_string()]);
}

#[test]
fn every_alert_is_routed_by_its_severity() {
    for rule in rules() {
        let wanted = match rule.severity.as_str() {
            "critical" => "page",
            "warning" => "chat",
            "info" => "digest",
            other => panic!("{} has a severity without a route: {other}", rule.name),
        };
        let labels = [
            format!("alertname={}", rule.name),
            format!("severity={}", rule.severity),
        ];
        let labels = labels.each_ref().map(String::as_str);
        assert_eq!(receiver_of(&labels), wanted, "{labels:?}");
    }
}

#[test]
fn labels_of_the_owner_select_the_receiver() {
    let suspended = "alertname=KiwiVMSuspended";
    let of_vps = ["job=kiwivm", "instance=localhost:10064", "vps=one"];
    for (labels, wanted) in [
        (&[suspended, "severity=critical"][..], "page"),
        (&[suspended, "severity=critical", "env=prod"], "page"),
        (&[suspended, "severity=critical", "env=dev"], "chat"),
        (
            &["alertname=KiwiVMMemoryLow", "severity=warning", "env=dev"],
            "chat",
        ),
        (
            &[
                "alertname=KiwiVMSnapshotPurgedSoon",
                "severity=info",
                "env=dev",
            ],
            "digest",
        ),
        // An unknown severity, and an alert of another exporter.
        (&[suspended, "severity=page"], "chat"),
        (&["alertname=NodeDown", "severity=critical"], "chat"),
    ] {
        assert_eq!(
            receiver_of(&[labels, &of_vps].concat()),
            wanted,
            "{labels:?}"
        );
    }
}

/// Template data of a notification with `firing` firing alerts, followed by `resolved` resolved ones.
fn notification(firing: usize, resolved: usize) -> Value {
    let alert = |index: usize| {
        json!({
            "status": if index < firing { "firing" } else { "resolved" },
            "labels": {"alertname": "KiwiVMMemoryLow", "severity": "warning", "job": "kiwivm", "instance": "localhost:10064",
                "veid": index.to_string(), "vps": format!("vps-{index}"), "env": "prod"},
            "annotations": {"summary": "Available memory is low.", "description": format!("VPS vps-{index} has 8%."),
                "runbook_url": "https://example.com/runbooks#memory"},
        })
    };
    let alerts: Vec<_> = (0..firing + resolved).map(alert).collect();
    let mut common = alerts[0]["labels"].clone();
    if alerts.len() > 1 {
        let common = common.as_object_mut().expect("it is an object");
        common.retain(|label, _| label != "veid" && label != "vps");
    }
    json!({
        "receiver": "chat", "status": if firing > 0 { "firing" } else { "resolved" }, "groupLabels": {"alertname": "KiwiVMMemoryLow"},
        "commonLabels": common, "commonAnnotations": {"summary": "Available memory is low."}, "alerts": alerts,
    })
}

fn rendered(name: &str, data: &Value) -> String {
    let folder = TempDir::new().expect("disk is writable");
    amtool(&[
        "template",
        "render",
        &format!(
            "--template.glob={}",
            shipped("deploy/alertmanager/kiwivm*.tmpl").display()
        ),
        &format!("--template.text={{{{ template \"{name}\" . }}}}"),
        &format!(
            "--template.data={}",
            write(folder.path(), "data.json", &data.to_string())
        ),
    ])
    .trim()
    .to_owned()
}

#[test]
fn a_notification_states_the_problem_and_the_remedy() {
    let one = notification(1, 0);
    assert_eq!(
        rendered("kiwivm.title", &one),
        "WARNING: vps-0: Available memory is low."
    );
    assert_eq!(
        rendered("kiwivm.text", &one),
        "Available memory is low.\nVPS vps-0 has 8%.\nenv=prod\nWhat to do: https://example.com/runbooks#memory"
    );
    let over = notification(0, 1);
    assert_eq!(
        rendered("kiwivm.title", &over),
        "RESOLVED: vps-0: Available memory is low."
    );
    assert!(rendered("kiwivm.text", &over).starts_with("RESOLVED\nAvailable memory is low"));
}

#[test]
fn a_notification_of_many_alerts_is_truncated() {
    let many = notification(300, 2);
    assert_eq!(
        rendered("kiwivm.title", &many),
        "WARNING: Available memory is low. (300 firing, 2 resolved)"
    );
    let text = rendered("kiwivm.text", &many);
    assert_eq!(text.matches("What to do").count(), 12, "{text}");
    assert!(text.contains("And: vps-10 vps-11 ") && text.contains(" vps-299\n"));
    assert!(text.len() < 5000, "{}", text.len());
}

#[test]
fn every_alert_has_a_name_in_chinese() {
    let mut data = notification(1, 0);
    for rule in rules() {
        data["commonLabels"]["alertname"] = json!(rule.name);
        data["commonLabels"]["severity"] = json!(rule.severity);
        let title = rendered("kiwivm.title.zh", &data);
        let severities = ["严重：vps-0：", "警告：vps-0：", "提示：vps-0："];
        assert!(
            severities
                .iter()
                .any(|severity| title.starts_with(severity)),
            "{title}"
        );
        assert!(
            !title.contains("KiwiVM") && !title.contains("告警"),
            "{title}"
        );
    }
    let text = rendered("kiwivm.text.zh", &notification(1, 1));
    assert!(
        text.starts_with("可用内存不足\nVPS vps-0 has 8%.\n"),
        "{text}"
    );
    assert!(
        text.contains("已恢复\n可用内存不足\nVPS vps-1") && text.contains("处理方法："),
        "{text}"
    );
}
