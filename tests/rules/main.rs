//! The rules for Prometheus: promtool reads them and runs their tests; every alert is complete, explained and tested.
//!
//! A program of its own, because days of samples keep all cores busy and end-to-end tests want theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The page of the runbooks, without the heading.
const RUNBOOKS: &str =
    "https://github.com/kiwivm-exporter/kiwivm_exporter/blob/main/deploy/prometheus/runbooks.md#";

/// Alerts about a yes or no: their value says nothing that the words do not.
const WITHOUT_VALUE: [&str; 8] = [
    "KiwiVMAuthenticationFailed",
    "KiwiVMCPUThrottled",
    "KiwiVMDiskThrottled",
    "KiwiVMExporterAbsent",
    "KiwiVMExporterDown",
    "KiwiVMLockedTooLong",
    "KiwiVMNotAsExpected",
    "KiwiVMReloadFailed",
];

#[derive(Deserialize)]
struct RuleFile {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

/// A recording rule or an alert.
#[derive(Deserialize)]
struct Rule {
    record: Option<String>,
    alert: Option<String>,
    expr: String,
    #[serde(rename = "for")]
    holds_for: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct TestFile {
    #[serde(default)]
    group_eval_order: Vec<String>,
    tests: Vec<RuleTest>,
}

#[derive(Deserialize)]
struct RuleTest {
    #[serde(default)]
    alert_rule_test: Vec<AlertTest>,
}

#[derive(Deserialize)]
struct AlertTest {
    alertname: String,
    /// None is written as an empty list or not at all.
    #[serde(default)]
    exp_alerts: Vec<ExpectedAlert>,
}

#[derive(Deserialize)]
struct ExpectedAlert {
    exp_labels: BTreeMap<String, String>,
    exp_annotations: BTreeMap<String, String>,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/prometheus")
        .join(name)
}

/// The YAML files of a folder, without those of its folders; there are some.
fn files(name: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder(name)).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{name} has no files");
    files
}

/// A file, its merge keys (`<<`) resolved.
fn parsed<T: DeserializeOwned>(path: &Path) -> T {
    let text = std::fs::read_to_string(path).expect("it is there");
    let parsed = yaml_serde::from_str(&text).and_then(|mut value: yaml_serde::Value| {
        value.apply_merge()?;
        yaml_serde::from_value(value)
    });
    parsed.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn rules() -> Vec<Rule> {
    let files = files("rules");
    let groups = files
        .iter()
        .flat_map(|file| parsed::<RuleFile>(file).groups);
    groups.flat_map(|group| group.rules).collect()
}

fn alerts() -> Vec<(String, Rule)> {
    let alerts = rules()
        .into_iter()
        .filter_map(|rule| Some((rule.alert.clone()?, rule)));
    let alerts: Vec<_> = alerts.collect();
    assert!(!alerts.is_empty());
    alerts
}

/// Runs promtool on a file; it must succeed.
fn promtool(arguments: &[&str], file: &Path) {
    let output = Command::new("promtool")
        .args(arguments)
        .arg(file)
        .output()
        .expect("the package prometheus has promtool");
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}: {}",
        file.display(),
        String::from_utf8_lossy(&said)
    );
}

#[test]
fn promtool_finds_no_fault_with_the_rules() {
    for file in files("rules").into_iter().chain(files("tests/owner")) {
        promtool(&["check", "rules", "--lint=all", "--lint-fatal"], &file);
    }
}

/// Side by side: a test of many days takes its time.
#[test]
fn the_tests_of_the_rules_pass() {
    let files = files("tests");
    std::thread::scope(|scope| {
        for file in &files {
            scope.spawn(move || promtool(&["test", "rules"], file));
        }
    });
}

#[test]
fn every_alert_is_complete() {
    let mut names = BTreeSet::new();
    for (name, rule) in alerts() {
        names.insert(name.clone());
        assert!(name.starts_with("KiwiVM"), "{name}: the prefix");
        assert!(rule.record.is_none(), "{name}: a record as well");
        assert!(rule.holds_for.is_some(), "{name}: for");
        let severity = rule.labels.get("severity").map(String::as_str);
        assert!(
            matches!(severity, Some("critical" | "warning" | "info")),
            "{name}: severity {severity:?}"
        );
        let text = |annotation: &str| {
            let text = rule.annotations.get(annotation);
            text.unwrap_or_else(|| panic!("{name}: no {annotation}"))
        };
        // Alertmanager groups by what does not change.
        assert!(!text("summary").contains("{{"), "{name}: summary");
        let description = text("description");
        assert_ne!(
            description.contains("$value"),
            WITHOUT_VALUE.contains(&name.as_str()),
            "{name}: the value in the description"
        );
        if rule.expr.contains("vps:kiwivm_vps_labels:known") {
            let tells = |label: &str| description.contains(&format!("{{{{ $labels.{label} }}}}"));
            assert!(tells("vps") && tells("veid"), "{name}: which VPS?");
        }
        assert_eq!(
            *text("runbook_url"),
            format!("{RUNBOOKS}{}", name.to_lowercase())
        );
    }
    for name in WITHOUT_VALUE {
        assert!(names.contains(name), "{name} is no alert");
    }
}

#[test]
fn every_alert_has_a_runbook() {
    let runbooks = std::fs::read_to_string(folder("runbooks.md")).expect("the runbooks are there");
    let headings: BTreeSet<_> = runbooks
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    for (name, _) in alerts() {
        assert!(headings.contains(name.as_str()), "{name} has no runbook");
    }
}

/// The titles of a dashboard, or a row of it, and of all that is in it.
fn titles(of: &Value, found: &mut BTreeSet<String>) {
    found.extend(of["title"].as_str().map(str::to_owned));
    for panel in of["panels"].as_array().into_iter().flatten() {
        titles(panel, found);
    }
}

/// `**Check.** Dashboard "…", "…"`: where to look.
#[test]
fn every_runbook_names_a_dashboard_and_a_panel_that_are_there() {
    let dashboards = Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana/dashboards");
    let mut known = BTreeSet::new();
    for file in std::fs::read_dir(dashboards).expect("the folder is there") {
        let text = std::fs::read_to_string(file.expect("it can be listed").path());
        let dashboard = serde_json::from_str(&text.expect("it is text")).expect("it is JSON");
        titles(&dashboard, &mut known);
    }
    let runbooks = std::fs::read_to_string(folder("runbooks.md")).expect("the runbooks are there");
    let checks: Vec<_> = runbooks
        .lines()
        .filter(|line| line.starts_with("**Check.**"))
        .collect();
    let distinct: BTreeSet<_> = alerts().into_iter().map(|(name, _)| name).collect();
    assert_eq!(checks.len(), distinct.len(), "a check for each alert");
    for check in checks {
        // What stands in backquotes is a query, with quotes of its own.
        let words: String = check.split('`').step_by(2).collect();
        let named: Vec<_> = words.split('"').skip(1).step_by(2).collect();
        assert!(named.len() >= 2, "no panel: {check}");
        for name in named {
            assert!(known.contains(name), "{name} is not there: {check}");
        }
    }
}

#[test]
fn every_alert_is_tested_firing_and_silent() {
    let (mut firing, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for file in files("tests") {
        let tests: TestFile = parsed(&file);
        // promtool evaluates groups in any order; in another than this, alerts lag behind what is recorded for them.
        assert!(
            tests
                .group_eval_order
                .starts_with(&["kiwivm-thresholds".to_owned(), "kiwivm-records".to_owned()]),
            "{}: group_eval_order",
            file.display()
        );
        for test in tests
            .tests
            .into_iter()
            .flat_map(|test| test.alert_rule_test)
        {
            for alert in &test.exp_alerts {
                assert!(
                    !alert.exp_labels.is_empty() && !alert.exp_annotations.is_empty(),
                    "{}: {}",
                    file.display(),
                    test.alertname
                );
            }
            let fires = !test.exp_alerts.is_empty();
            if fires { &mut firing } else { &mut silent }.insert(test.alertname);
        }
    }
    let names: BTreeSet<_> = alerts().into_iter().map(|(name, _)| name).collect();
    assert_eq!(firing, names, "tested firing, and the alerts");
    assert_eq!(silent, names, "tested silent, and the alerts");
}

/// A name that is not configured is no number, and an alert that compares with it never fires.
#[test]
fn every_threshold_has_a_default_and_a_use() {
    const USE: &str = r#"scalar(threshold:kiwivm_alert:effective{threshold=""#;
    let (mut configured, mut used) = (BTreeSet::new(), BTreeSet::new());
    for rule in rules() {
        for expression in rule.expr.split(USE).skip(1) {
            let (name, _) = expression.split_once('"').expect("the name ends");
            used.insert(name.to_owned());
        }
        if rule.record.as_deref() == Some("threshold:kiwivm_alert:configured") {
            assert_eq!(rule.labels["source"], "default");
            let name = rule.labels["threshold"].clone();
            assert!(configured.insert(name.clone()), "{name} is there twice");
        }
    }
    assert_eq!(configured, used, "configured, and used");
}
