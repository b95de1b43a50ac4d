//! Every query of every dashboard returns data from a real Prometheus with a day of the demo's history.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::backfill::unix_now;
use crate::demo_prometheus::DemoPrometheus;
use crate::exporter::TIMEOUT;

/// Days of history, enough for queries that look back a day.
const DAYS: u32 = 1;
/// Seconds between two points of a graph.
const STEP: u32 = 1800;
const DAY: i64 = 86_400;

struct Query {
    /// Dashboard, panel and letter.
    name: String,
    expression: String,
    instant: bool,
    /// True if the panel shows days to come.
    future: bool,
}

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The query as Grafana sends it, with all VPSes selected, even for single-select variables: some VPS has the data.
fn expanded(expression: &str) -> String {
    [
        ("$__rate_interval", "20m"),
        ("$__range", "1d"),
        ("$__interval", "30m"),
        ("$job", ".+"),
        ("$instance", ".+"),
        ("=\"$vps\"", "=~\".+\""),
        ("$vps", ".+"),
    ]
    .iter()
    .fold(expression.to_owned(), |text, (variable, value)| {
        text.replace(variable, value)
    })
}

/// Reports whether the query is one of a panel's three queries by severity, of which only one returns data.
fn is_one_per_severity(panel: &Value, letter: &str) -> bool {
    let overrides = panel["fieldConfig"]["overrides"].as_array();
    overrides
        .into_iter()
        .flatten()
        .any(|of| of["matcher"]["id"] == "byFrameRefID" && of["matcher"]["options"] == letter)
}

fn queries_of(dashboard: &str, panels: &[Value], queries: &mut Vec<Query>) {
    for panel in panels {
        if let Some(folded) = panel["panels"].as_array() {
            queries_of(dashboard, folded, queries);
        }
        let title = panel["title"].as_str().unwrap_or_default();
        let time_from = panel["timeFrom"].as_str().unwrap_or_default();
        let mut by_severity = Vec::new();
        for target in panel["targets"].as_array().into_iter().flatten() {
            let letter = target["refId"].as_str().expect("it has a letter");
            let expression = expanded(target["expr"].as_str().expect("it has an expression"));
            assert!(!expression.contains('$'), "{expression}");
            if is_one_per_severity(panel, letter) {
                by_severity.push(format!("({expression})"));
                continue;
            }
            queries.push(Query {
                name: format!("{dashboard}: {title}: {letter}"),
                expression,
                instant: target["instant"] == true,
                future: time_from.starts_with('+'),
            });
        }
        if !by_severity.is_empty() {
            assert_eq!(by_severity.len(), 3, "{title}");
            queries.push(Query {
                name: format!("{dashboard}: {title}: by severity"),
                expression: by_severity.join(" or "),
                instant: true,
                future: false,
            });
        }
    }
}

fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    let files = std::fs::read_dir(folder("grafana/dashboards")).expect("it is there");
    for file in files {
        let text = std::fs::read_to_string(file.expect("it can be listed").path());
        let dashboard: Value = serde_json::from_str(&text.expect("it is text")).expect("JSON");
        let panels = dashboard["panels"].as_array().expect("it has panels");
        let title = dashboard["title"].as_str().expect("it has a title");
        queries_of(title, panels, &mut queries);
    }
    assert!(queries.len() > 100, "{}", queries.len());
    queries
}

#[tokio::test]
async fn every_query_of_every_panel_returns_data() {
    let demo = DemoPrometheus::start(DAYS, &[]).await;
    let mut waiting = queries();
    let deadline = Instant::now() + TIMEOUT;
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    // Some calls fail only occasionally.
    while !waiting.is_empty() {
        tick.tick().await;
        let mut empty = Vec::new();
        for query in waiting {
            let prometheus = &demo.prometheus;
            let brought = if query.instant {
                prometheus.query(&query.expression).await
            } else {
                // Both ranges include the present.
                let now = unix_now();
                let (start, end) = if query.future {
                    (now, now + 31 * DAY)
                } else {
                    (now - DAY, now)
                };
                prometheus
                    .query_range(&query.expression, start, end, STEP)
                    .await
            };
            if brought.is_empty() {
                empty.push(query);
            }
        }
        waiting = empty;
        let names: Vec<_> = waiting.iter().map(|query| &query.name).collect();
        let late = Instant::now() >= deadline;
        assert!(names.is_empty() || !late, "no data: {names:#?}");
    }
}
