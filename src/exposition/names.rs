//! Metric names for dashboards and other users of the exposition, checked against the catalogue at compile time.

use super::catalogue::{EXPORTER_METRICS, VPS_METRICS};
use super::process::PROCESS_METRICS;

/// Returns `name` if the catalogue has it. In a constant, an unknown name does not compile.
///
/// # Panics
///
/// Panics if there is no such metric. In a constant, that is a compile error.
#[must_use]
pub const fn named(name: &'static str) -> &'static str {
    let mut group = 0;
    while group < VPS_METRICS.len() {
        let metrics = VPS_METRICS[group];
        let mut index = 0;
        while index < metrics.len() {
            if equal(metrics[index].metric.name, name) {
                return name;
            }
            index += 1;
        }
        group += 1;
    }
    let mut index = 0;
    while index < EXPORTER_METRICS.len() {
        if equal(EXPORTER_METRICS[index].name, name) {
            return name;
        }
        index += 1;
    }
    let mut index = 0;
    while index < PROCESS_METRICS.len() {
        if equal(PROCESS_METRICS[index].0.name, name) {
            return name;
        }
        index += 1;
    }
    panic!("the catalogue has no metric of this name");
}

/// Compares two strings in constants, where `==` is not available yet.
const fn equal(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let mut index = 0;
    while index < one.len() {
        if one[index] != other[index] {
            return false;
        }
        index += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_kind_are_found() {
        for name in [
            "kiwivm_up",
            "kiwivm_poll_interval_seconds",
            "kiwivm_exporter_vps_configured",
            "kiwivm_exporter_shard_ordinal",
            "kiwivm_exporter_total_shards",
            "process_open_fds",
        ] {
            assert_eq!(named(name), name);
        }
    }

    #[test]
    #[should_panic(expected = "no metric of this name")]
    fn rejects_an_unknown_name_of_the_same_length() {
        let _ = named("kiwivm_uq");
    }
}
