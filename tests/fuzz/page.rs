//! What is true of every page of metrics.

use std::collections::BTreeSet;

fn samples(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        line.rsplit_once(' ')
            .unwrap_or_else(|| panic!("no sample: {line}"))
    })
}

/// Fails unless every sample has a finite value, and no counter is below zero.
pub fn check_values(page: &str) {
    for (series, value) in samples(page) {
        let number: f64 = value.parse().unwrap_or(f64::NAN);
        let name = series.split('{').next().unwrap_or_default();
        let least = if name.ends_with("_total") {
            0.0
        } else {
            f64::MIN
        };
        assert!((least..=f64::MAX).contains(&number), "{series} {value}");
    }
}

/// Fails as [`check_values`], and if a series is there twice.
pub fn check(page: &str) {
    check_values(page);
    let mut seen = BTreeSet::new();
    for (series, _) in samples(page) {
        assert!(seen.insert(series), "twice: {series}");
    }
}
