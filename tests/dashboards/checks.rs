//! Checks of every dashboard.

use std::collections::{BTreeMap, HashSet};

use kiwivm_exporter::config::Threshold;
use promql_parser::parser;
use serde_json::{Value, json};

use crate::generated;
use crate::grafana::TAG;
use crate::names::THRESHOLD;
use crate::promql::USAGE_STEP;

/// The panels and rows of a dashboard, including panels in collapsed rows.
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

/// Every expression of panels and variables, with the place that uses it.
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
            let (series, _) = series.expect("it queries the values of a label");
            expressions.insert(series.to_owned(), format!("{file}: {}", variable["name"]));
        }
    }
    expressions
}

/// The expression with variables replaced, as Grafana sends it to Prometheus.
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

/// A link to another dashboard would otherwise lose the selection.
#[test]
fn all_dashboards_have_the_same_variables() {
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
fn every_panel_has_a_title_a_description_a_unit_and_a_query() {
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
            // Table columns have their own units.
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
fn every_value_column_has_a_unit() {
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

/// Grafana sends a multi-value variable as a regular expression and escapes a single-value one for a string.
#[test]
fn multi_value_variables_use_regular_expression_matchers() {
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

/// The VPS dashboard is unreadable with several VPSes. The others select all of them by default.
#[test]
fn the_vps_dashboard_selects_one_vps_and_the_others_select_all() {
    for (file, dashboard) in generated() {
        let vps = &dashboard["templating"]["list"][3];
        assert_eq!(vps["name"], "vps");
        if file == "vps" {
            // Without a selection Grafana takes the first value.
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

/// Thresholds are set in the exporter's configuration. Colour steps may only separate 0 from more, and 100 % from less.
#[test]
fn colour_steps_contain_no_thresholds() {
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

/// Each threshold is used in a dashboard, except those that only alerts use.
#[test]
fn every_threshold_is_used() {
    // Conditions that rules compute over time, and those without a panel.
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

/// Dashboards must work without the rules. Names of recording rules have colons.
#[test]
fn no_expression_uses_a_recording_rule() {
    for (expression, place) in expressions() {
        // Every other part is a quoted string.
        for code in expression.split('"').step_by(2) {
            assert!(!code.contains(':'), "{place}: {code}");
        }
    }
}

#[test]
fn every_panel_has_a_text_for_missing_data() {
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

/// Without decimals, the axis only has labels at whole numbers: for shares 0 % and 100 %.
#[test]
fn axes_of_shares_have_labels_between_0_and_100_percent() {
    let mut shares = 0;
    for (file, dashboard) in generated() {
        for panel in panels(&dashboard).filter(|panel| panel["type"] == "timeseries") {
            let defaults = &panel["fieldConfig"]["defaults"];
            if defaults["unit"] == "percentunit" {
                shares += 1;
                assert_ne!(defaults["decimals"], 0, "{file}: {}", panel["title"]);
            }
        }
    }
    assert!(shares > 0);
}

/// The dashboard of a single VPS needs no names in its legends.
#[test]
fn legends_name_the_vps_in_dashboards_of_several() {
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

/// `Panel::interval` only affects queries added before it.
#[test]
fn rates_of_usage_rows_have_a_minimum_step() {
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
