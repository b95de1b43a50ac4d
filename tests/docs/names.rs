//! Checks that metrics, keys and alerts named in the documents exist.

use std::collections::BTreeSet;
use std::fs;

use kiwivm_exporter::exposition::catalogue::{EXPORTER_METRICS, vps_metrics};

use crate::generated::keys;
use crate::markdown::Document;
use crate::repository;

fn words(text: &str) -> impl Iterator<Item = &str> {
    // A colon is part of the name of a recording rule.
    text.split(|c: char| !c.is_ascii_alphanumeric() && !"_:".contains(c))
        .map(|word| word.trim_end_matches(':'))
}

/// Metrics of another exporter, which docs/migration.md translates.
const OTHER_EXPORTER: [&str; 5] = [
    "kiwivm_api_up",
    "kiwivm_cpu_usage_percent",
    "kiwivm_mem_available_bytes",
    "kiwivm_mem_total_bytes",
    "kiwivm_swap_available_bytes",
];

#[test]
fn metrics_exist() {
    let names: BTreeSet<&str> = vps_metrics()
        .map(|of_vps| of_vps.metric.name)
        .chain(EXPORTER_METRICS.iter().map(|metric| metric.name))
        .collect();
    for document in Document::english() {
        let is_migration = document.path == "docs/migration.md";
        for word in words(&document.text).filter(|word| word.starts_with("kiwivm_")) {
            if is_migration && OTHER_EXPORTER.contains(&word) {
                assert!(!names.contains(word), "{word} is a metric here");
                continue;
            }
            let known = names.contains(word) || word == "kiwivm_exporter" || word.ends_with('_');
            assert!(known, "{}: {word} is not a metric", document.path);
        }
    }
}

#[test]
fn keys_of_the_configuration_exist() {
    // A key of a VPS is also named without the list.
    let known: BTreeSet<String> = keys()
        .into_iter()
        .flat_map(|key| [key.path.replace("vps[].", ""), key.path])
        .collect();
    let sections: BTreeSet<&str> = known
        .iter()
        .filter_map(|key| Some(key.split_once('.')?.0))
        .collect();
    for document in Document::english() {
        // The chart has its own values with the same names.
        if document.path.starts_with("deploy/kubernetes") {
            continue;
        }
        for span in document.spans() {
            let Some((section, rest)) = span.split_once('.') else {
                continue;
            };
            let is_key = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.';
            if sections.contains(section) && rest.chars().all(is_key) {
                assert!(known.contains(&span), "{}: {span}", document.path);
            }
        }
    }
}

#[test]
fn alerts_exist() {
    let rules = fs::read_to_string(repository("deploy/prometheus/rules/kiwivm.yml"))
        .expect("the rules can be read");
    let alerts: BTreeSet<&str> = rules
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("- alert: "))
        .filter_map(|alert| alert.split(' ').next())
        .collect();
    let guide = Document::read("docs/alerts.md");
    for alert in &alerts {
        assert!(
            guide.text.contains(&format!("`{alert}`")),
            "docs/alerts.md lacks {alert}"
        );
    }
    for document in Document::english() {
        for word in words(&document.text) {
            let is_name = word.len() > "KiwiVM".len() && word.starts_with("KiwiVM");
            assert!(
                !is_name || alerts.contains(word),
                "{}: {word} is not an alert",
                document.path
            );
        }
    }
}
