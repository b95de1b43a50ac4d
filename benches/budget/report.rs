//! The table of all scenarios and policies.

use std::fmt::Write as _;

use crate::Policy;
use crate::measures::Found;
use crate::scenarios::{Kind, Scenario};

/// Silence of so many seconds is acceptable everywhere.
const SILENCE: f64 = 35.0;
/// A call may wait so long for the last response of its VPS.
const RESPONSE: f64 = 5.0;

/// All simulations of a scenario.
pub struct Run {
    pub scenario: Scenario,
    /// The results of each policy, by seed.
    pub results: Vec<(Policy, Vec<Found>)>,
}

impl Run {
    pub fn of(&self, policy: Policy) -> &[Found] {
        self.results
            .iter()
            .find(|(of, _)| *of == policy)
            .map_or(&[], |(_, found)| found)
    }

    /// The longest silence that is acceptable, by seed.
    pub fn silence_limits(&self) -> Vec<f64> {
        self.of(Policy::Clairvoyant)
            .iter()
            .map(|found| found.planned_live_gap.max(SILENCE) + RESPONSE)
            .collect()
    }

    /// The mean age of a policy relative to that of the clairvoyant, by seed.
    pub fn ratios(&self, found: &[Found]) -> Vec<f64> {
        found
            .iter()
            .zip(self.of(Policy::Clairvoyant))
            .map(|(found, best)| found.mean_age / best.mean_age)
            .collect()
    }
}

pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

pub fn highest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(f64::MIN, f64::max)
}

/// Whole seconds.
pub fn seconds(seconds: f64) -> String {
    if seconds.is_finite() {
        format!("{seconds:.0}")
    } else {
        "never".to_owned()
    }
}

const HEADER: [(&str, &str); 16] = [
    ("mean", "age"),
    ("p99", "age"),
    ("mean", "ratio"),
    ("worst", "ratio"),
    ("longest", "silence"),
    ("", "limit"),
    ("least", "left"),
    ("exceeded", "windows"),
    ("by", "points"),
    ("refused", "others"),
    ("refused", "itself"),
    ("readings", ""),
    ("within", "a second"),
    ("most in", "a row"),
    ("first", "live"),
    ("first", "usage"),
];

pub fn print(runs: &[Run]) {
    for line in [
        HEADER.map(|(first, _)| first),
        HEADER.map(|(_, second)| second),
    ] {
        let cells = line.map(|cell| format!("{cell:>9}")).concat();
        println!("{:<30}{:<16}{cells}", "", "");
    }
    let mut kind = None;
    for run in runs {
        if kind.replace(run.scenario.kind) != Some(run.scenario.kind) {
            println!("{}", title(run.scenario.kind));
        }
        let mut name = run.scenario.name;
        for (policy, found) in &run.results {
            println!("{name:<30}{:<16}{}", policy.name(), row(run, found));
            name = "";
        }
    }
}

const fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Account => "-- Likely and unlikely accounts",
        Kind::FirstHour => "-- The first hour (6 hours, ages of the first)",
        Kind::Size => "-- Other sizes of the quota, 20 VPSes sharing, live 1",
        Kind::Misreading => "-- Readings that are wrong, 20 VPSes sharing, live 1",
        Kind::Failure => "-- Failures, VPSes sharing, live 1",
    }
}

fn row(run: &Run, found: &[Found]) -> String {
    let worst = |of: fn(&Found) -> f64| highest(found.iter().map(of));
    let ratios = run.ratios(found);
    let mut cells = [
        format!("{:.1}", worst(|found| found.mean_age)),
        seconds(worst(|found| found.age_99)),
        format!("{:.2}", mean(&ratios)),
        format!("{:.2}", highest(ratios.iter().copied())),
        seconds(worst(|found| found.silence)),
        seconds(highest(run.silence_limits())),
        format!("{:.0}%", -100.0 * worst(|found| -found.least_left)),
        worst(|found| found.windows_exceeded as f64).to_string(),
        seconds(worst(|found| found.excess)),
        worst(|found| found.refusals_of_others as f64).to_string(),
        worst(|found| found.refused as f64).to_string(),
        format!("{:.0}%", 100.0 * worst(Found::readings_part)),
        worst(|found| found.close_readings as f64).to_string(),
        worst(|found| found.readings_in_a_row as f64).to_string(),
        seconds(worst(|found| found.first_live)),
        seconds(worst(|found| found.first_usage)),
    ]
    .iter()
    .fold(String::new(), |line, cell| line + &format!("{cell:>9}"));
    let capped = worst(|found| found.capped as f64);
    if capped > 0.0 {
        let _ = write!(cells, "  capped {capped} times");
    }
    cells
}
