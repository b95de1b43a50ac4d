//! Dashboards and rules only use metrics and labels of the running program.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use promql_parser::parser::{self, Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde_json::Value;

use crate::exporter::{Exporter, TIMEOUT};
use crate::page::Page;

/// Labels added by Prometheus (the first two) or by expressions.
const ADDED_LABELS: [&str; 6] = [
    "job",
    "instance",
    "problem",
    "threshold",
    "source",
    "alertname",
];
/// Series that Prometheus adds.
const ADDED_SERIES: [&str; 3] = ["up", "scrape_duration_seconds", "ALERTS"];

/// Metrics in use with the labels they are selected by, and labels used for grouping or joining.
#[derive(Default)]
struct Uses {
    metrics: BTreeMap<String, BTreeSet<String>>,
    labels: BTreeSet<String>,
}

impl Uses {
    fn add(&mut self, expression: &str) {
        let expression = ["$__rate_interval", "$__range"]
            .iter()
            .fold(expression.to_owned(), |text, macro_| {
                text.replace(macro_, "5m")
            });
        let parsed = parser::parse(&expression);
        let parsed = parsed.unwrap_or_else(|error| panic!("{error}: {expression}"));
        let walked = walk_expr(self, &parsed);
        assert_eq!(walked, Ok(true));
    }

    fn add_selector(&mut self, selector: &VectorSelector) {
        let name = selector.name.clone().expect("each selector has a name");
        let labels = self.metrics.entry(name).or_default();
        let matchers = selector.matchers.matchers.iter();
        labels.extend(matchers.map(|matcher| matcher.name.clone()));
    }
}

impl ExprVisitor for Uses {
    type Error = Infallible;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Infallible> {
        match expression {
            Expr::VectorSelector(selector) => self.add_selector(selector),
            Expr::MatrixSelector(matrix) => self.add_selector(&matrix.vs),
            Expr::Aggregate(aggregate) => {
                let by = aggregate.modifier.iter();
                self.labels
                    .extend(by.flat_map(|by| by.labels().labels.clone()));
            }
            Expr::Binary(binary) => {
                let on = binary.modifier.iter().flat_map(|of| of.matching.iter());
                self.labels
                    .extend(on.flat_map(|on| on.labels().labels.clone()));
            }
            _ => {}
        }
        Ok(true)
    }
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    entries
        .map(|entry| entry.expect("it can be read").path())
        .collect()
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("it can be read")
}

/// Adds the expressions of the dashboards' panels and variables.
fn add_dashboards(uses: &mut Uses) {
    for file in files("grafana/dashboards") {
        let dashboard: Value = serde_json::from_str(&text(&file)).expect("it is JSON");
        for panel in dashboard["panels"].as_array().expect("it has panels") {
            for target in panel["targets"].as_array().into_iter().flatten() {
                uses.add(target["expr"].as_str().expect("it is text"));
            }
        }
        for variable in dashboard["templating"]["list"].as_array().expect("a list") {
            let query = variable["query"]["query"].as_str().unwrap_or_default();
            let values = query.strip_prefix("label_values(");
            if let Some((series, label)) = values.and_then(|rest| rest.rsplit_once(", ")) {
                uses.add(series);
                uses.labels.insert(label.trim_end_matches(')').to_owned());
            }
        }
    }
}

/// Adds the expressions of the rules. Returns the names that they record.
fn add_rules(uses: &mut Uses) -> BTreeSet<String> {
    let mut recorded = BTreeSet::new();
    for file in files("deploy/prometheus/rules") {
        let rules: Value = yaml_serde::from_str(&text(&file)).expect("it is YAML");
        let groups = rules["groups"].as_array().expect("there are groups");
        for rule in groups
            .iter()
            .filter_map(|group| group["rules"].as_array())
            .flatten()
        {
            uses.add(rule["expr"].as_str().expect("it is text"));
            recorded.extend(rule["record"].as_str().map(str::to_owned));
        }
    }
    recorded
}

/// The label names of a series in exposition syntax.
fn labels(series: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut rest = series.split_once('{').map_or("", |(_, labels)| labels);
    while let Some((name, value)) = rest.split_once("=\"") {
        names.insert(name.to_owned());
        let mut escaped = false;
        let end = value.find(|c| {
            let is_end = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            is_end
        });
        rest = end.map_or("", |end| value[end + 1..].trim_start_matches(','));
    }
    names
}

/// Metrics and labels that are in use but not on the page.
fn missing(uses: &Uses, page: &Page) -> Vec<String> {
    let mut known: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for series in page.samples.keys() {
        let name = series.split('{').next().unwrap_or_default();
        known.entry(name).or_default().extend(labels(series));
    }
    let mut missing = Vec::new();
    for (metric, used) in &uses.metrics {
        match known.get(metric.as_str()) {
            None => missing.push(metric.clone()),
            Some(labels) => {
                let unknown = used.iter().filter(|label| {
                    !labels.contains(*label) && !ADDED_LABELS[..2].contains(&label.as_str())
                });
                missing.extend(unknown.map(|label| format!("{metric}{{{label}}}")));
            }
        }
    }
    let everywhere: BTreeSet<&String> = known.values().flatten().collect();
    let unknown = uses
        .labels
        .iter()
        .filter(|label| !everywhere.contains(label) && !ADDED_LABELS.contains(&label.as_str()));
    missing.extend(unknown.map(|label| format!("by {label}")));
    missing
}

#[tokio::test]
async fn dashboards_and_rules_only_use_existing_metrics_and_labels() {
    let mut uses = Uses::default();
    add_dashboards(&mut uses);
    let recorded = add_rules(&mut uses);
    // The demo keeps no state.
    let is_of_state = |name: &str| name.starts_with("kiwivm_exporter_state_");
    uses.metrics.retain(|name, _| {
        !recorded.contains(name) && !ADDED_SERIES.contains(&name.as_str()) && !is_of_state(name)
    });
    // Guards against a reader that finds no expressions at all.
    assert!(uses.metrics.len() > 50, "{:?}", uses.metrics);

    let exporter = Exporter::start(&["--demo"]);
    let deadline = Instant::now() + TIMEOUT;
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    loop {
        tick.tick().await;
        let missing = missing(&uses, &exporter.scrape().await);
        if missing.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{missing:#?}");
    }
}

#[test]
fn missing_metrics_and_labels_are_found() {
    let page = Page::parse("a{x=\"1\",y=\"q\\\"},z=\"} 1\n");
    let mut uses = Uses::default();
    uses.add("sum by (x, w) (rate(a{y=\"1\", z=\"2\"}[5m])) / on (job, v) b");
    assert_eq!(missing(&uses, &page), ["a{z}", "b", "by v", "by w"]);
}
