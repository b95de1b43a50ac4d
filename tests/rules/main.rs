//! Tests of the Prometheus rules: promtool validates them and runs their tests. Every alert must be complete,
//! documented and tested.
//!
//! This is a separate test program, because days of samples keep all cores busy and would slow down end-to-end tests.

mod agreement;
mod quantities;
mod stories;
mod texts;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use kiwivm_exporter::config::Threshold;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use agreement::metric_names;

/// URL of the runbooks, without the heading.
const RUNBOOKS: &str =
    "https://github.com/kiwivm-exporter/kiwivm_exporter/blob/main/deploy/prometheus/runbooks.md#";

/// Limits for the lines of a rule file and of an expression, to keep them readable.
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
    /// Empty or absent if no alert is expected.
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

/// The YAML files of a folder, without subfolders. Panics if there are none.
fn files(name: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder(name)).expect("the folder exists");
    let paths = entries.map(|entry| entry.expect("the folder can be listed").path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{name} has no files");
    files
}

/// Parses a file, with merge keys (`<<`) resolved.
fn parsed<T: DeserializeOwned>(path: &Path) -> T {
    let text = std::fs::read_to_string(path).expect("the file can be read");
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

/// Runs promtool on a file. Panics if it fails.
fn promtool(arguments: &[&str], file: &Path) {
    let (successful, output) = promtool_output(arguments, file);
    assert!(successful, "{}: {output}", file.display());
}

/// Runs promtool on a file. Returns true if it succeeds, and what it prints.
fn promtool_output(arguments: &[&str], file: &Path) -> (bool, String) {
    let output = Command::new("promtool")
        .args(arguments)
        .arg(file)
        .output()
        .expect("promtool must be installed (package prometheus)");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.success(), text)
}

#[test]
fn promtool_accepts_the_rules() {
    for file in files("rules") {
        promtool(&["check", "rules", "--lint=all", "--lint-fatal"], &file);
    }
}

/// Runs the files in parallel, because tests over many days take long.
#[test]
fn promtool_rule_tests_pass() {
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
        assert!(name.starts_with("KiwiVM"), "{name}: the prefix is missing");
        assert!(
            rule.record.is_none(),
            "{name}: it is a recording rule as well"
        );
        let severity = rule.labels.get("severity").map(String::as_str);
        assert!(
            matches!(severity, Some("critical" | "warning" | "info")),
            "{name}: severity {severity:?}"
        );
        let text = |annotation: &str| {
            let text = rule.annotations.get(annotation);
            text.unwrap_or_else(|| panic!("{name}: no {annotation}"))
        };
        // Alertmanager groups by the summary, so it must not vary.
        assert!(!text("summary").contains("{{"), "{name}: summary");
        let description = text("description");
        let names = |label: &str| description.contains(&format!("{{{{ $labels.{label} }}}}"));
        let subject = names("vps") && names("veid") || names("instance") || names("job");
        assert!(
            subject || rule.expr.starts_with("absent("),
            "{name}: the description names no subject"
        );
        assert_eq!(
            *text("runbook_url"),
            format!("{RUNBOOKS}{}", name.to_lowercase())
        );
    }
}

/// A warning is suppressed while the critical alert of its name fires, so the critical one must be evaluated first.
#[test]
fn critical_alerts_precede_the_warnings_they_suppress() {
    let alerts = alerts();
    let severity = |rule: &Rule| rule.labels["severity"].clone();
    for (index, (name, rule)) in alerts.iter().enumerate() {
        let critical = alerts
            .iter()
            .position(|(other, rule)| other == name && severity(rule) == "critical");
        let is_power = name == "KiwiVMNotAsExpected";
        if severity(rule) == "warning" && !is_power && critical.is_some() {
            assert!(
                critical < Some(index),
                "{name}: the critical alert comes later"
            );
            assert!(
                rule.expr
                    .contains(r#"alertstate="firing", severity="critical""#),
                "{name}: both severities can fire at once"
            );
        }
    }
}

#[test]
fn rule_files_and_expressions_are_short() {
    let (max_lines, max_expression_lines) = LINES;
    for file in files("rules") {
        let text = std::fs::read_to_string(&file).expect("the file can be read");
        let lines = text.lines().count();
        assert!(lines <= max_lines, "{}: {lines} lines", file.display());
        // An expression ends at the next key of the rule.
        for (start, _) in text.match_indices("expr: ") {
            let expression = text[start..].lines().take_while(|line| {
                let key = line.trim_start().split(": ").next().unwrap_or_default();
                !matches!(key, "for" | "labels" | "annotations:") && !key.starts_with(['-', '#'])
            });
            let lines = expression.filter(|line| !line.trim().is_empty()).count();
            assert!(
                (1..=max_expression_lines).contains(&lines),
                "{}: {lines} lines: {}",
                file.display(),
                &text[start..].lines().next().unwrap_or_default()
            );
        }
    }
}

/// A recording rule that depends on its own last value is hard to reason about.
#[test]
fn no_recording_rule_depends_on_itself() {
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

/// Collects the titles of a dashboard or row, and of its panels.
fn titles(of: &Value, found: &mut BTreeSet<String>) {
    found.extend(of["title"].as_str().map(str::to_owned));
    for panel in of["panels"].as_array().into_iter().flatten() {
        titles(panel, found);
    }
}

/// Checks the references in lines such as `**Check.** Dashboard "…", "…"`.
#[test]
fn every_runbook_names_an_existing_dashboard_and_panel() {
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
    assert_eq!(checks.len(), distinct.len(), "each alert needs one check");
    for check in checks {
        // Text in backquotes is a query, which has its own quotes.
        let prose: String = check.split('`').step_by(2).collect();
        let named: Vec<_> = prose.split('"').skip(1).step_by(2).collect();
        assert!(named.len() >= 2, "no panel: {check}");
        for name in named {
            assert!(known.contains(name), "{name} does not exist: {check}");
        }
    }
}

/// Checks the queries with a sample of every metric of a VPS.
#[test]
fn prometheus_can_evaluate_every_query_of_the_runbooks() {
    let runbooks = std::fs::read_to_string(folder("runbooks.md")).expect("the runbooks are there");
    let blocks = runbooks.split("```promql\n").skip(1);
    let blocks: Vec<_> = blocks
        .filter_map(|block| block.split("```").next())
        .collect();
    assert!(!blocks.is_empty());
    let series: Vec<_> = metric_names()
        .into_iter()
        .map(|name| json!({"series": format!(r#"{name}{{vps="tokyo-1"}}"#), "values": "1x10"}))
        .collect();
    // A block is one query, or a query on each line.
    let queries = blocks.into_iter().flat_map(|block| {
        if block.contains("\n ") {
            vec![block]
        } else {
            block.lines().collect()
        }
    });
    let tests: Vec<_> = queries
        .map(|query| json!({"expr": query, "eval_time": "10m", "exp_samples": []}))
        .collect();
    let tests = json!({"interval": "1m", "input_series": series, "promql_expr_test": tests});
    let tests = json!({"tests": [tests]});
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), tests.to_string()).expect("it can be written");
    let (_, output) = promtool_output(&["test", "rules"], file.path());
    // promtool reports every result, because none is expected.
    assert!(output.contains("got:"), "{output}");
    assert!(!output.contains(", err: "), "{output}");
}

#[test]
fn every_alert_is_tested_as_firing_and_as_silent() {
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
    assert_eq!(firing, names, "alerts tested as firing");
    assert_eq!(silent, names, "alerts tested as silent");
}

/// An alert with an unknown threshold never fires, and a threshold without an alert has no effect.
#[test]
fn thresholds_of_exporter_and_rules_match() {
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
    assert_eq!(unknown, [""; 0], "unknown thresholds in the rules");
    let unused: Vec<_> = configured
        .into_iter()
        // The thresholds for low points exist, but the rules only alert if no points are left.
        .filter(|name| !used.contains(name) && !name.starts_with("api_points_"))
        .collect();
    assert_eq!(unused, [""; 0], "thresholds without a rule");
}
