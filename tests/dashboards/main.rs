//! Generates the Grafana dashboards in `grafana/dashboards` from the metric catalogue and checks them.
//!
//! `UPDATE_GOLDEN=1 cargo test --test dashboards` writes the files. Without it the files are compared. Each dashboard
//! is a module with a function `dashboard`, listed in [`all`].

mod checks;
mod exporter;
mod fleet;
mod grafana;
mod names;
mod problems;
mod promql;
mod variables;
mod vps;

use std::path::{Path, PathBuf};

use grafana::Dashboard;
use serde_json::Value;

/// All dashboards, each with the name of its file.
fn all() -> Vec<(&'static str, Dashboard)> {
    vec![
        ("fleet", fleet::dashboard()),
        ("vps", vps::dashboard()),
        ("exporter", exporter::dashboard()),
    ]
}

/// The JSON of each dashboard, with the name of its file.
fn generated() -> Vec<(&'static str, Value)> {
    all()
        .into_iter()
        .map(|(name, dashboard)| (name, dashboard.json()))
        .collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana/dashboards")
}

#[test]
fn files_match_the_generated_dashboards() {
    for (name, dashboard) in generated() {
        let path = folder().join(format!("{name}.json"));
        let text = format!("{dashboard:#}\n");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, text).expect("the dashboard can be written");
            continue;
        }
        let file = std::fs::read_to_string(&path).unwrap_or_default();
        for (number, (actual, expected)) in file.lines().zip(text.lines()).enumerate() {
            assert_eq!(
                actual,
                expected,
                "{name}.json:{}; UPDATE_GOLDEN=1 regenerates it",
                number + 1
            );
        }
        assert_eq!(file.lines().count(), text.lines().count(), "{name}.json");
    }
}

/// Grafana would provision a leftover file as well.
#[test]
fn the_folder_contains_no_other_file() {
    let names: Vec<_> = generated()
        .iter()
        .map(|(name, _)| format!("{name}.json"))
        .collect();
    for entry in std::fs::read_dir(folder()).expect("the folder exists") {
        let name = entry.expect("the folder can be listed").file_name();
        assert!(names.iter().any(|known| **known == *name), "{name:?}");
    }
}
