//! What every dashboard is held to.

use std::collections::{BTreeMap, HashSet};

use kiwivm_exporter::config::Threshold;
use promql_parser::parser;
use serde_json::{Value, json};

use crate::generated;
use crate::grafana::TAG;
use crate::names::THRESHOLD;
use crate::promql::USAGE_STEP;

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

/// A variable that may hold several values is a regular expression. Grafana escapes one that may not for a string.
#[test]
fn variables_are_matched_by_what_they_may_hold() {
    for (file, dashboard) in generated() {
        let variables = dashboard["templating"]["list"].as_array();
        let variables = variables.expect("there are variables").iter();
        let queried = variables.filter(|variable| variable["type"] == "query");
        let matchers: Vec<_> = queried
            .map(|variable| {
                let name = variable["name"].as_str().expect("it is text");
                let operator = if variable["multi"] == true { "=~" } else { "=" };
                (
                    format!("\"${name}\""),
                    format!("{name}{operator}\"${name}\""),
                )
            })
            .collect();
        for target in panels(&dashboard).flat_map(targets) {
            let expression = target["expr"].as_str().expect("it is text");
            for (used, matcher) in &matchers {
                let uses = expression.matches(used).count();
                let matched = expression.matches(matcher).count();
                assert_eq!(uses, matched, "{file}: {expression}");
            }
        }
    }
}

/// The dashboard of one VPS is unreadable with more; the others begin with everything.
#[test]
fn exactly_one_vps_is_chosen_in_its_dashboard_and_all_in_the_others() {
    for (file, dashboard) in generated() {
        let vps = &dashboard["templating"]["list"][3];
        assert_eq!(vps["name"], "vps");
        if file == "vps" {
            // With no choice made, Grafana takes the first.
            assert_eq!(
                (&vps["multi"], &vps["includeAll"]),
                (&json!(false), &json!(false))
            );
            assert_eq!((&vps["current"], vps.get("allValue")), (&json!({}), None));
        } else {
            assert_eq!(
                (&vps["multi"], &vps["includeAll"]),
                (&json!(true), &json!(true)),
                "{file}"
            );
            assert_eq!(vps["current"]["value"], json!(["$__all"]), "{file}");
        }
    }
}

/// Owners set limits in the configuration: steps of colours tell only whether there is something, and 100 % from less.
#[test]
fn limits_come_from_the_metric() {
    fn steps<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
        match value {
            Value::Object(object) => {
                if let Some(list) = object.get("steps").and_then(Value::as_array) {
                    found.extend(list.iter().map(|step| &step["value"]));
                }
                object.values().for_each(|value| steps(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| steps(value, found)),
            _ => {}
        }
    }
    for (file, dashboard) in generated() {
        let mut found = Vec::new();
        steps(&dashboard, &mut found);
        assert!(!found.is_empty(), "{file}");
        for step in found {
            let plain = step.is_null() || step == &json!(0.0) || step == &json!(1.0);
            assert!(plain, "{file}: {step}");
        }
    }
}

/// Each threshold is compared with something in some dashboard, but those of what only alerts tell.
#[test]
fn thresholds_are_in_use() {
    // What rules compute over time, and what alerts alone tell.
    let alerts_only = [
        Threshold::ThrottleStarts,
        Threshold::DiskFullWarning,
        Threshold::DiskFullCritical,
        Threshold::DiskMapped,
        Threshold::SnapshotPurge,
    ];
    let used = expressions();
    for threshold in Threshold::ALL {
        let matcher = format!("threshold=\"{}\"", threshold.name());
        let found = used
            .keys()
            .any(|expression| expression.contains(THRESHOLD) && expression.contains(&matcher));
        assert_eq!(found, !alerts_only.contains(&threshold), "{matcher}");
    }
}

/// Dashboards work where no rules are loaded. The names of recording rules have colons.
#[test]
fn series_are_those_of_the_exporter_and_of_scrapes() {
    for (expression, place) in expressions() {
        // Every other part stands in quotes.
        for code in expression.split('"').step_by(2) {
            assert!(!code.contains(':'), "{place}: {code}");
        }
    }
}

#[test]
fn panels_without_data_say_why() {
    for (file, dashboard) in generated() {
        for panel in panels(&dashboard) {
            let text = panel["fieldConfig"]["defaults"]["noValue"].as_str();
            assert!(
                text.is_some_and(|text| text.len() > 3),
                "{file}: {}",
                panel["title"]
            );
        }
    }
}

/// With one VPS there is nothing to tell apart.
#[test]
fn names_of_vpses_stand_where_there_are_several() {
    let mut named = 0;
    for (file, dashboard) in generated() {
        for target in panels(&dashboard).flat_map(targets) {
            let legend = target["legendFormat"].as_str().unwrap_or_default();
            let has_name = legend.contains("{{vps}}");
            named += usize::from(has_name);
            assert!(!has_name || file != "vps", "{legend}");
        }
    }
    assert!(named > 0);
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
