//! The resources for the Prometheus Operator and Grafana.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::render::{file, only, read_yaml, rendered, set, texts, yaml};
use crate::tools::{repository, run, tool};

const RULES: &str = "deploy/prometheus/rules/kiwivm.yml";

#[test]
fn the_chart_has_the_rules_of_the_repository() {
    let objects = rendered(&set("everything"));
    let rule = objects.one("PrometheusRule");
    assert_eq!(rule["apiVersion"], "monitoring.coreos.com/v1");
    assert_eq!(rule["metadata"]["namespace"], "monitoring");
    assert_eq!(
        rule["metadata"]["labels"]["release"],
        "kube-prometheus-stack"
    );
    let groups = rule["spec"]["groups"].as_array().expect("it is a list");
    let rules = groups.iter().filter_map(|group| group["rules"].as_array());
    assert!(rules.map(Vec::len).sum::<usize>() > 30);
    assert_eq!(rule["spec"], read_yaml(&repository(RULES)));
    let extracted = file(&yaml_serde::to_string(&rule["spec"]).expect("it is plain data"));
    let report = run(tool("promtool")
        .args(["check", "rules"])
        .arg(extracted.path()));
    assert!(report.contains("SUCCESS"), "{report}");
}

#[test]
fn the_service_monitor_has_all_fields() {
    let objects = rendered(&set("everything"));
    let monitor = objects.one("ServiceMonitor");
    assert_eq!(monitor["apiVersion"], "monitoring.coreos.com/v1");
    assert_eq!(monitor["metadata"]["namespace"], "monitoring");
    assert_eq!(
        monitor["metadata"]["labels"]["release"],
        "kube-prometheus-stack"
    );
    let spec = &monitor["spec"];
    assert_eq!(
        spec["namespaceSelector"],
        json!({"matchNames": ["monitoring"]})
    );
    let endpoint = only(&spec["endpoints"]);
    for (field, value) in [
        ("port", json!("metrics")),
        ("path", json!("/kiwivm")),
        ("scheme", json!("http")),
        ("interval", json!("1m")),
        ("scrapeTimeout", json!("20s")),
        ("honorLabels", json!(false)),
    ] {
        assert_eq!(endpoint[field], value, "{field}");
    }
    assert_eq!(
        only(&endpoint["metricRelabelings"])["regex"],
        "kiwivm_poll_duration_seconds_bucket"
    );
    // The user's relabelings come last.
    let relabelings = endpoint["relabelings"].as_array().expect("it is a list");
    assert_eq!(
        relabelings.last(),
        Some(&json!({"targetLabel": "cluster", "replacement": "home"}))
    );

    let web = rendered(&set("web"));
    let endpoint = only(&web.one("ServiceMonitor")["spec"]["endpoints"]);
    assert_eq!(endpoint["scheme"], "https");
    assert_eq!(endpoint["tlsConfig"]["ca"]["secret"]["name"], "kiwivm-web");
    assert_eq!(endpoint["basicAuth"]["password"]["key"], "password");
}

#[test]
fn the_service_monitor_selects_the_service_and_its_port() {
    for name in ["everything", "shards", "web"] {
        let objects = rendered(&set(name));
        let service = objects.one("Service");
        let spec = &objects.one("ServiceMonitor")["spec"];
        let wanted = spec["selector"]["matchLabels"].as_object();
        for (label, value) in wanted.expect("it is a map") {
            assert_eq!(service["metadata"]["labels"][label], *value, "{name}");
        }
        let port = only(&service["spec"]["ports"]);
        assert_eq!(port["name"], only(&spec["endpoints"])["port"], "{name}");
        let of_container = only(&objects.container()["ports"]);
        assert_eq!(port["targetPort"], of_container["name"], "{name}");
        assert_eq!(of_container["containerPort"], 10064, "{name}");
        // KiwiVMExporterDown relies on this job label to find an exporter that never came up.
        let job = &service["metadata"]["labels"][spec["jobLabel"].as_str().expect("it is text")];
        let jobs = ["kiwivm", "kiwivm-exporter"];
        assert!(jobs.iter().any(|known| job == known), "{name}: {job}");
    }
    let rules = fs::read_to_string(repository(RULES)).expect("it can be read");
    assert!(rules.contains(r#"up{job=~"kiwivm(-exporter)?"}"#));
}

/// Applies relabelings as Prometheus does, limited to the features that the chart uses.
fn relabeled<'a>(
    relabelings: &'a Value,
    target: &[(&'a str, &'a str)],
) -> BTreeMap<&'a str, String> {
    let mut labels: BTreeMap<&str, String> = target
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    for rule in relabelings.as_array().expect("it is a list") {
        if rule["action"] == "labeldrop" {
            labels.remove(rule["regex"].as_str().expect("it is text"));
            continue;
        }
        assert!(rule["action"].is_null() && rule["regex"].is_null());
        let values: Vec<_> = texts(&rule["sourceLabels"])
            .iter()
            .map(|name| labels[name].clone())
            .collect();
        let joined = values.join(rule["separator"].as_str().unwrap_or(";"));
        let replacement = rule["replacement"].as_str().unwrap_or("$1");
        let name = rule["targetLabel"].as_str().expect("it is text");
        labels.insert(name, replacement.replace("$1", &joined));
    }
    labels
}

/// The rules look back a day, so consecutive pods must share their series, but two shards must not.
#[test]
fn a_new_pod_continues_the_series_of_the_previous_one() {
    let target = |name: &str, pod, address| {
        let objects = rendered(&set(name));
        let relabelings = &only(&objects.one("ServiceMonitor")["spec"]["endpoints"])["relabelings"];
        // The labels that the operator sets for a pod behind a Service.
        let labels = [
            ("job", "kiwivm-exporter"),
            ("namespace", "monitoring"),
            ("service", "kiwi"),
            ("endpoint", "metrics"),
            ("container", "kiwivm-exporter"),
            ("pod", pod),
            ("instance", address),
        ];
        relabeled(relabelings, &labels)
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect::<BTreeMap<String, String>>()
    };
    let before = target("web", "kiwi-5d9c-x7k2p", "10.0.0.7:10064");
    let after = target("web", "kiwi-5d9c-b2m4q", "10.0.0.9:10064");
    assert_eq!(before, after);
    assert_eq!(before["instance"], "monitoring/kiwi-kiwivm-exporter");
    let first = target("shards", "kiwi-0", "10.0.0.7:10064");
    let again = target("shards", "kiwi-0", "10.0.0.8:10064");
    let second = target("shards", "kiwi-1", "10.0.0.9:10064");
    assert_eq!(first, again);
    assert_eq!(first["instance"], "monitoring/kiwi-0");
    assert_eq!(second["instance"], "monitoring/kiwi-1");
}

#[test]
fn prometheus_accepts_the_relabelings() {
    for name in ["everything", "shards"] {
        let objects = rendered(&set(name));
        let endpoint = only(&objects.one("ServiceMonitor")["spec"]["endpoints"]);
        let own_names = |list: &Value| {
            let text = list.to_string();
            let text = text.replace("sourceLabels", "source_labels");
            yaml(&text.replace("targetLabel", "target_label"))
        };
        let scrape = json!({
            "job_name": "kiwivm",
            "relabel_configs": own_names(&endpoint["relabelings"]),
            "metric_relabel_configs": own_names(&endpoint["metricRelabelings"]),
        });
        let config = file(&json!({"scrape_configs": [scrape]}).to_string());
        run(tool("promtool")
            .args(["check", "config"])
            .arg(config.path()));
    }
}

/// Covers a replaced pod whose name is a label of the series, as with other kinds of service discovery.
#[test]
fn the_rules_join_the_series_of_two_pods() {
    let series = |pod: &str, values: &str, of: &str| {
        let labels = format!(r#"job="kiwivm",instance="monitoring/kiwi"{pod}"#);
        let of = match of {
            "up" => format!("up{{{labels}}}"),
            of => format!(r#"{of}{{{labels},veid="1",vps="tokyo-1"}}"#),
        };
        // The VPS is off, so an alert joins this with the expected state.
        let off = of.starts_with("kiwivm_running");
        let values = values.replace("1x", if off { "0x" } else { "1x" });
        json!({"series": of, "values": values})
    };
    let tested = |pods: &[(&str, &str)]| {
        let names = [
            "up",
            "kiwivm_up",
            "kiwivm_expected_running",
            "kiwivm_running",
        ];
        let all: Vec<_> = pods
            .iter()
            .flat_map(|(pod, values)| names.map(|name| series(pod, values, name)))
            .collect();
        let tests = json!({
            "rule_files": [repository(RULES)],
            "tests": [{"interval": "1m", "input_series": all, "promql_expr_test": [
                {"expr": "count(vps:kiwivm_up:last)", "eval_time": "40m", "exp_samples": [{"labels": "{}", "value": 1}]},
                {"expr": "count by (alertname) (ALERTS{alertstate='firing'})", "eval_time": "40m", "exp_samples": [
                    {"labels": "{alertname='KiwiVMNotAsExpected'}", "value": 1},
                    {"labels": "{alertname='KiwiVMExporterAbsent'}", "value": 1},
                ]},
            ]}],
        });
        let tests = file(&tests.to_string());
        let output = tool("promtool")
            .args(["test", "rules"])
            .arg(tests.path())
            .output();
        let output = output.expect("tests/run installs promtool");
        let report =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.success(), report.into_owned())
    };
    let (passed, report) = tested(&[("", "1x60")]);
    assert!(passed, "{report}");
    let two = [(r#",pod="a""#, "1x20 stale"), (r#",pod="b""#, "_x21 1x40")];
    let (passed, report) = tested(&two);
    assert!(passed, "{report}");
}

#[test]
fn the_chart_has_the_dashboards_of_the_repository() {
    let objects = rendered(&set("everything"));
    let mut found = BTreeMap::new();
    for map in objects.all("ConfigMap") {
        let metadata = &map["metadata"];
        if metadata["labels"]["grafana_dashboard"] != "1" {
            continue;
        }
        assert_eq!(metadata["annotations"]["grafana_folder"], "KiwiVM");
        assert_eq!(metadata["namespace"], "monitoring");
        // kubectl apply stores the whole object in an annotation of at most 256 KiB. A ConfigMap may have 1 MiB.
        assert!(map.to_string().len() < 256 << 10);
        for (name, text) in map["data"].as_object().expect("it is a map") {
            found.insert(name.clone(), text.as_str().expect("it is text").to_owned());
        }
    }
    let folder = repository("grafana/dashboards");
    let files: BTreeMap<String, String> = fs::read_dir(folder)
        .expect("it is a folder")
        .map(|entry| entry.expect("it can be read").path())
        .map(|path| (format!("kiwivm-{}", name(&path)), text(&path)))
        .collect();
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        files.keys().collect::<Vec<_>>()
    );
    assert!(found == files, "a dashboard differs from its file");
}

fn name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .expect("it is a file")
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("it can be read")
}

#[test]
fn monitoring_resources_are_disabled_by_default() {
    let objects = rendered(&set("minimal"));
    let kinds: Vec<_> = objects.0.iter().map(|object| &object["kind"]).collect();
    assert_eq!(
        kinds,
        ["Secret", "ConfigMap", "Service", "Deployment", "Pod"]
    );
    assert!(yaml(objects.config()).is_object());
}
