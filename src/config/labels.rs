//! Reads the labels of a VPS.

use std::collections::BTreeMap;

use figment::value::{Dict, Value};

use super::locate::join;
use super::reader::{Reader, text};
use crate::kiwivm::contains_issued_key;

/// Labels that identify the VPS and the exporter of a series.
const IDENTITY_LABELS: &[&str] = &["veid", "vps", "job", "instance"];

/// Labels in use by metrics of this exporter, and by histograms and alerts of Prometheus.
const USED_LABELS: &[&str] = &[
    "alertname",
    "alertstate",
    "call",
    "clearable",
    "datacenter",
    "family",
    "field",
    "hostname",
    "ip_address",
    "le",
    "location",
    "location_id",
    "node",
    "os",
    "outcome",
    "plan",
    "quantile",
    "reason",
    "resource",
    "revision",
    "rustc",
    "severity",
    "status",
    "threshold",
    "version",
    "vm_type",
    "window",
];

/// Returns true if a VPS must not have a label of this name.
#[cfg(test)]
pub(crate) fn is_reserved_label(name: &str) -> bool {
    IDENTITY_LABELS.contains(&name) || USED_LABELS.contains(&name)
}

/// Reads the labels of a VPS. Problems are recorded, and their labels skipped.
pub fn labels(reader: &mut Reader, section: &Dict, path: &str) -> BTreeMap<String, String> {
    let path = join(path, "labels");
    let mut labels = BTreeMap::new();
    let entries = match section.get("labels") {
        None | Some(Value::Empty(..)) => return labels,
        Some(Value::Dict(_, entries)) => entries,
        Some(_) => {
            reader.problem(
                &path,
                "must be a mapping of names to values, such as {env: prod}",
            );
            return labels;
        }
    };
    for (name, value) in entries {
        let mut characters = name.chars();
        let valid = characters
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !name.starts_with("__");
        if !valid {
            reader.problem(&path, "a label name must consist of letters, digits and underscores, and must not begin with a digit or two underscores");
        } else if IDENTITY_LABELS.contains(&name.as_str()) {
            reader.problem(
                &join(&path, name),
                "identifies the VPS or the exporter: choose another name",
            );
        } else if USED_LABELS.contains(&name.as_str()) {
            reader.problem(
                &join(&path, name),
                format!("metrics or alerts already have a label {name}: choose another name, such as my_{name}"),
            );
        } else if let Some(value) = text(value).filter(|value| !contains_issued_key(value)) {
            labels.insert(name.clone(), value);
        } else {
            reader.problem(&join(&path, name), "must be text without API keys");
        }
    }
    labels
}
