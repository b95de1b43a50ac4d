//! Invariants of every metrics page.

use std::collections::BTreeSet;

fn samples(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        line.rsplit_once(' ')
            .unwrap_or_else(|| panic!("no sample: {line}"))
    })
}

/// Panics unless every sample has a finite value and no counter is negative.
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

/// Does the same as [`check_values`], and panics if a series is duplicate.
pub fn check(page: &str) {
    check_values(page);
    let mut seen = BTreeSet::new();
    for (series, _) in samples(page) {
        assert!(seen.insert(series), "duplicate series: {series}");
    }
}
