//! The rules for Prometheus: promtool reads them and runs their tests; every alert is complete, explained and tested.
//!
//! A program of its own, because days of samples keep all cores busy and end-to-end tests want theirs.

mod agreement;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use kiwivm_exporter::config::Threshold;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The page of the runbooks, without the heading.
const RUNBOOKS: &str =
    "https://github.com/kiwivm-exporter/kiwivm_exporter/blob/main/deploy/prometheus/runbooks.md#";

/// Nobody reads longer files, or longer expressions.
const LINES: (usize, usize) = (400, 6);

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
    hold: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct TestFile {
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
    for file in files("rules") {
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
    for (name, rule) in alerts() {
        assert!(name.starts_with("KiwiVM"), "{name}: the prefix");
        assert!(rule.record.is_none(), "{name}: a record as well");
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
        let tells = |label: &str| description.contains(&format!("{{{{ $labels.{label} }}}}"));
        let subject = tells("vps") && tells("veid") || tells("instance") || tells("job");
        assert!(
            subject || rule.expr.starts_with("absent("),
            "{name}: which?"
        );
        assert_eq!(
            *text("runbook_url"),
            format!("{RUNBOOKS}{}", name.to_lowercase())
        );
    }
}

/// One of two severities is the graver one, and has to be known when the other one is evaluated: it is left out then.
#[test]
fn critical_alerts_come_before_warnings_which_they_replace() {
    let alerts = alerts();
    let severity = |rule: &Rule| rule.labels["severity"].clone();
    for (index, (name, rule)) in alerts.iter().enumerate() {
        let graver = alerts
            .iter()
            .position(|(other, rule)| other == name && severity(rule) == "critical");
        let is_power = name == "KiwiVMNotAsExpected";
        if severity(rule) == "warning" && !is_power && graver.is_some() {
            assert!(graver < Some(index), "{name}: the critical one is later");
            assert!(
                rule.expr
                    .contains(r#"alertstate="firing", severity="critical""#),
                "{name}: both severities at a time"
            );
        }
    }
}

#[test]
fn the_rules_can_be_read_in_ten_minutes() {
    let (most_lines, most_of_expression) = LINES;
    for file in files("rules") {
        let text = std::fs::read_to_string(&file).expect("it is there");
        let lines = text.lines().count();
        assert!(lines <= most_lines, "{}: {lines} lines", file.display());
        // An expression ends where the next key of the rule begins.
        for (start, _) in text.match_indices("expr: ") {
            let expression = text[start..].lines().take_while(|line| {
                let key = line.trim_start().split(": ").next().unwrap_or_default();
                !matches!(key, "for" | "labels" | "annotations:") && !key.starts_with(['-', '#'])
            });
            let lines = expression.filter(|line| !line.trim().is_empty()).count();
            assert!(
                (1..=most_of_expression).contains(&lines),
                "{}: {lines} lines: {}",
                file.display(),
                &text[start..].lines().next().unwrap_or_default()
            );
        }
    }
}

/// A record that goes on from its own last value can only be understood with its past.
#[test]
fn no_record_feeds_on_itself() {
    for rule in rules() {
        if let Some(record) = rule.record {
            assert!(!rule.expr.contains(&record), "{record}");
        }
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

/// An alert that compares with a threshold that no configuration has never fires, and one that no alert uses does nothing.
#[test]
fn the_thresholds_of_the_exporter_are_those_of_the_rules() {
    const USE: &str = r#"vps:kiwivm_threshold:last{threshold=""#;
    let mut used = BTreeSet::new();
    for rule in rules() {
        for expression in rule.expr.split(USE).skip(1) {
            let (name, _) = expression.split_once('"').expect("the name ends");
            used.insert(name.to_owned());
        }
    }
    let configured = Threshold::ALL.map(|threshold| threshold.name().to_owned());
    let unknown: Vec<_> = used
        .difference(&BTreeSet::from(configured.clone()))
        .cloned()
        .collect();
    assert_eq!(unknown, [""; 0], "not configured");
    let unused: Vec<_> = configured
        .into_iter()
        // No rule alerts on few points any more, only on none.
        .filter(|name| !used.contains(name) && !name.starts_with("api_points_"))
        .collect();
    assert_eq!(unused, [""; 0], "in no rule");
}
