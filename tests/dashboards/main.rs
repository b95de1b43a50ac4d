//! Writes the Grafana dashboards in `grafana/dashboards` from the metric catalogue, and holds them to it.
//!
//! `UPDATE_GOLDEN=1 cargo test --test dashboards` writes the files; without it they are compared. A dashboard is a
//! module with a function `dashboard`, listed in [`all`].

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

/// The dashboards by the name of their file.
fn all() -> Vec<(&'static str, Dashboard)> {
    vec![
        ("fleet", fleet::dashboard()),
        ("vps", vps::dashboard()),
        ("exporter", exporter::dashboard()),
    ]
}

/// What Grafana is given, by the name of the file.
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
fn the_files_are_what_is_generated() {
    for (name, dashboard) in generated() {
        let path = folder().join(format!("{name}.json"));
        let text = format!("{dashboard:#}\n");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, text).expect("the dashboard can be written");
            continue;
        }
        let file = std::fs::read_to_string(&path).unwrap_or_default();
        for (number, (is, should)) in file.lines().zip(text.lines()).enumerate() {
            assert_eq!(
                is,
                should,
                "{name}.json:{}; UPDATE_GOLDEN=1 writes it anew",
                number + 1
            );
        }
        assert_eq!(file.lines().count(), text.lines().count(), "{name}.json");
    }
}

/// Grafana would go on to show a file that nobody keeps any more.
#[test]
fn there_is_no_other_file() {
    let names: Vec<_> = generated()
        .iter()
        .map(|(name, _)| format!("{name}.json"))
        .collect();
    for entry in std::fs::read_dir(folder()).expect("there is a folder") {
        let name = entry.expect("it can be read").file_name();
        assert!(names.iter().any(|known| **known == *name), "{name:?}");
    }
}
