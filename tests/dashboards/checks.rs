//! What every dashboard is held to.

use std::collections::HashSet;

use promql_parser::parser;
use serde_json::Value;

use crate::grafana::TAG;
use crate::{generated, names};

/// The panels of a dashboard that show data.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let panels = dashboard["panels"].as_array().expect("it has panels");
    panels.iter().filter(|panel| panel["type"] != "row")
}

fn targets(panel: &Value) -> impl Iterator<Item = &Value> {
    panel["targets"].as_array().expect("it has targets").iter()
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
        for panel in dashboard["panels"].as_array().expect("it has panels") {
            assert!(ids.insert(panel["id"].clone()), "{file} {}", panel["id"]);
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
            assert_eq!(
                panel["datasource"]["uid"], "${datasource}",
                "{file}: {title}"
            );
            let defaults = &panel["fieldConfig"]["defaults"];
            let has_unit = match panel["type"].as_str() {
                // Each column has its own.
                Some("table") => true,
                _ => defaults.get("unit").is_some() || defaults.get("mappings").is_some(),
            };
            assert!(has_unit, "{file}: {title} has no unit");
            assert!(targets(panel).count() > 0, "{file}: {title} has no query");
            for target in targets(panel) {
                assert_eq!(
                    target["datasource"]["uid"], "${datasource}",
                    "{file}: {title}"
                );
            }
        }
    }
}

#[test]
fn every_expression_parses() {
    for (file, dashboard) in generated() {
        for panel in panels(&dashboard) {
            for target in targets(panel) {
                let expression = target["expr"].as_str().expect("it is text");
                let expression = expanded(expression);
                assert!(!expression.contains('$'), "{file}: {expression}");
                if let Err(error) = parser::parse(&expression) {
                    panic!("{file}: {}: {error}: {expression}", panel["title"]);
                }
            }
        }
    }
}

/// A recorded name that no dashboard uses would be held to the rules for nothing.
#[test]
fn the_recorded_series_are_in_use() {
    let dashboards = generated();
    for name in names::recorded::ALL {
        let used = dashboards
            .iter()
            .flat_map(|(_, dashboard)| panels(dashboard).flat_map(targets))
            .any(|target| {
                target["expr"]
                    .as_str()
                    .is_some_and(|text| text.contains(name))
            });
        assert!(used, "{name}");
    }
}
