//! What every dashboard is held to.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use promql_parser::parser;
use serde_json::Value;

use crate::grafana::TAG;
use crate::promql::USAGE_STEP;
use crate::{generated, names, problems};

/// The panels of a dashboard, those in folded rows too.
fn panels_and_rows(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let panels = dashboard["panels"].as_array().expect("it has panels");
    panels.iter().flat_map(|panel| {
        let folded = panel["panels"].as_array();
        std::iter::once(panel).chain(folded.into_iter().flatten())
    })
}

/// The panels of a dashboard that show data.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    panels_and_rows(dashboard).filter(|panel| panel["type"] != "row")
}

fn targets(panel: &Value) -> impl Iterator<Item = &Value> {
    panel["targets"].as_array().expect("it has targets").iter()
}

/// Every expression with the places where it is used: the panels' and those in the variables.
fn expressions() -> BTreeMap<String, String> {
    let mut expressions = BTreeMap::new();
    for (file, dashboard) in generated() {
        for target in panels(&dashboard).flat_map(|panel| targets(panel).map(move |t| (panel, t))) {
            let (panel, target) = target;
            let expression = target["expr"].as_str().expect("it is text").to_owned();
            expressions.insert(expression, format!("{file}: {}", panel["title"]));
        }
        for variable in dashboard["templating"]["list"]
            .as_array()
            .expect("there are variables")
        {
            let Some(query) = variable["query"]["query"].as_str() else {
                continue;
            };
            let series = query
                .strip_prefix("label_values(")
                .and_then(|rest| rest.rsplit_once(", "));
            let (series, _) = series.expect("it asks for the values of a label");
            expressions.insert(series.to_owned(), format!("{file}: {}", variable["name"]));
        }
    }
    expressions
}

/// The expression as Prometheus is sent it.
fn expanded(expression: &str) -> String {
    let mut expanded = expression.to_owned();
    for (name, value) in [
        ("$__rate_interval", "5m"),
        ("$__range", "1d"),
        ("$__interval", "1m"),
        ("$job", ".+"),
        ("$instance", ".+"),
        ("$vps", ".+"),
    ] {
        expanded = expanded.replace(name, value);
    }
    expanded
}

#[test]
fn identities_are_stable_and_unique() {
    let mut uids = HashSet::new();
    for (file, dashboard) in generated() {
        let uid = dashboard["uid"].as_str().expect("it has a uid");
        assert_eq!(uid, format!("kiwivm-{file}"));
        assert!(uids.insert(uid.to_owned()), "{uid} twice");
        assert!(dashboard.get("id").is_none(), "{file}");
        assert_eq!(dashboard["tags"][0], TAG);
        let mut ids = HashSet::new();
        for panel in panels_and_rows(&dashboard) {
            assert!(ids.insert(panel["id"].clone()), "{file} {}", panel["id"]);
        }
    }
}

/// Else a link from one to another would lose what was chosen.
#[test]
fn all_have_the_same_variables() {
    for (file, dashboard) in generated() {
        let variables = dashboard["templating"]["list"]
            .as_array()
            .expect("there are variables");
        let names: Vec<_> = variables.iter().map(|variable| &variable["name"]).collect();
        assert_eq!(names, ["datasource", "job", "instance", "vps"], "{file}");
        for variable in &variables[1..] {
            assert_eq!(variable["refresh"], 2, "{file}: {}", variable["name"]);
        }
    }
}

#[test]
fn every_panel_says_what_it_shows() {
    for (file, dashboard) in generated() {
        let mut titles = HashSet::new();
        for panel in panels(&dashboard) {
            let title = panel["title"].as_str().expect("it has a title");
            assert!(titles.insert(title), "{file}: {title} twice");
            let description = panel["description"].as_str().expect("it has one");
            assert!(description.ends_with('.'), "{file}: {title}: {description}");
            let source = "${datasource}";
            assert_eq!(panel["datasource"]["uid"], source, "{file}: {title}");
            let defaults = &panel["fieldConfig"]["defaults"];
            let has_unit = defaults.get("unit").is_some() || defaults.get("mappings").is_some();
            // The columns of a table have their own.
            assert!(
                has_unit || panel["type"] == "table",
                "{file}: {title} has no unit"
            );
            assert!(targets(panel).count() > 0, "{file}: {title} has no query");
            for target in targets(panel) {
                assert_eq!(target["datasource"]["uid"], source, "{file}: {title}");
            }
        }
    }
}

#[test]
fn every_column_with_a_value_has_a_unit() {
    for (file, dashboard) in generated() {
        for panel in panels(&dashboard).filter(|panel| panel["type"] == "table") {
            let transformations = panel["transformations"].as_array().expect("there are some");
            let organize = transformations.last().expect("there is one");
            let renamed = organize["options"]["renameByName"].as_object();
            let overrides = panel["fieldConfig"]["overrides"]
                .as_array()
                .expect("a list");
            for (field, column) in renamed.expect("columns have names") {
                let column_is = |of: &&Value| of["matcher"]["options"] == *column;
                let found = overrides
                    .iter()
                    .find(column_is)
                    .expect("each has properties");
                let properties = found["properties"].as_array().expect("a list");
                let has = |id| properties.iter().any(|property| property["id"] == id);
                assert!(
                    !field.starts_with("Value") || has("unit") || has("mappings"),
                    "{file}: {}: {column}",
                    panel["title"]
                );
            }
        }
    }
}

#[test]
fn every_expression_parses() {
    for (expression, place) in expressions() {
        let expression = expanded(&expression);
        assert!(!expression.contains('$'), "{place}: {expression}");
        if let Err(error) = parser::parse(&expression) {
            panic!("{place}: {error}: {expression}");
        }
    }
}

/// A variable that may hold several values is a regular expression.
#[test]
fn variables_are_matched_as_regular_expressions() {
    for (expression, place) in expressions() {
        for variable in ["$job", "$instance", "$vps"] {
            let uses = expression.matches(&format!("\"{variable}\"")).count();
            let matches = expression.matches(&format!("=~\"{variable}\"")).count();
            assert_eq!(uses, matches, "{place}: {expression}");
        }
    }
}

/// The recording rules and the defaults of the thresholds in the rule file.
fn rules() -> (HashSet<String>, BTreeMap<String, f64>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/rules/kiwivm.yml");
    let text = std::fs::read_to_string(path).expect("there are rules");
    let file: Value = yaml_serde::from_str(&text).expect("it is YAML");
    let groups = file["groups"].as_array().expect("there are groups");
    let mut recorded = HashSet::new();
    let mut thresholds = BTreeMap::new();
    for rule in groups
        .iter()
        .filter_map(|group| group["rules"].as_array())
        .flatten()
    {
        let Some(name) = rule["record"].as_str() else {
            continue;
        };
        recorded.insert(name.to_owned());
        if let Some(threshold) = rule["labels"]["threshold"].as_str() {
            let expression = rule["expr"].as_str().expect("it has an expression");
            thresholds.insert(threshold.to_owned(), product(expression));
        }
    }
    (recorded, thresholds)
}

/// The value of `vector(3 * 86400)`.
fn product(expression: &str) -> f64 {
    let inner = expression
        .strip_prefix("vector(")
        .and_then(|rest| rest.strip_suffix(')'));
    let factors = inner.expect("a threshold is a constant vector").split('*');
    factors
        .map(|factor| factor.trim().parse::<f64>().expect("it is a number"))
        .product()
}

#[test]
fn recorded_series_are_recorded_and_in_use() {
    let (recorded, _) = rules();
    let used = expressions();
    for name in names::recorded::ALL {
        assert!(recorded.contains(*name), "no rule records {name}");
        assert!(
            used.keys().any(|expression| expression.contains(name)),
            "{name}"
        );
    }
}

#[test]
fn thresholds_are_those_of_the_alerts() {
    let (_, thresholds) = rules();
    for (name, default) in problems::THRESHOLDS {
        assert_eq!(thresholds.get(*name), Some(default), "{name}");
    }
}

/// Where the rules are not loaded, their series are missing: who looks should be told why.
#[test]
fn panels_that_need_the_rules_say_so() {
    for (file, dashboard) in generated() {
        for panel in panels(&dashboard) {
            let needs = targets(panel).any(|target| {
                let expression = target["expr"].as_str().expect("it is text");
                let needed = names::recorded::ALL
                    .iter()
                    .filter(|name| **name != names::recorded::THRESHOLD);
                needed.into_iter().any(|name| expression.contains(name))
            });
            let says = panel["description"]
                .as_str()
                .expect("it is text")
                .contains("recording rules");
            assert_eq!(needs, says, "{file}: {}", panel["title"]);
        }
    }
}

/// Set before there is a query it would do nothing.
#[test]
fn rates_of_usage_rows_have_room_for_some() {
    for (file, dashboard) in generated() {
        for target in panels(&dashboard).flat_map(targets) {
            let expression = target["expr"].as_str().expect("it is text");
            let usage = [
                "kiwivm_network_",
                "kiwivm_disk_read_bytes_total",
                "kiwivm_disk_written_bytes_total",
            ];
            if usage.iter().any(|name| expression.contains(name)) && expression.contains("rate(") {
                assert_eq!(target["interval"], USAGE_STEP, "{file}: {expression}");
            }
        }
    }
}
