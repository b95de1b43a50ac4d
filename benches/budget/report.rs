//! The table of all scenarios and policies.

use std::fmt::Write as _;

use crate::Policy;
use crate::measures::Figures;
use crate::scenarios::{Kind, Scenario};

/// Acceptable silence in seconds in every scenario.
const SILENCE: f64 = 35.0;
/// Maximum wait of a call for the previous response of its VPS, in seconds.
const RESPONSE: f64 = 5.0;

/// All simulations of a scenario.
pub struct Run {
    pub scenario: Scenario,
    /// The results of each policy, by seed.
    pub results: Vec<(Policy, Vec<Figures>)>,
}

impl Run {
    pub fn of(&self, policy: Policy) -> &[Figures] {
        self.results
            .iter()
            .find(|(of, _)| *of == policy)
            .map_or(&[], |(_, figures)| figures)
    }

    /// Returns the longest acceptable silence, by seed.
    pub fn silence_limits(&self) -> Vec<f64> {
        self.of(Policy::Clairvoyant)
            .iter()
            .map(|figures| figures.planned_live_gap.max(SILENCE) + RESPONSE)
            .collect()
    }

    /// Returns the mean age relative to that of the clairvoyant, by seed.
    pub fn ratios(&self, figures: &[Figures]) -> Vec<f64> {
        figures
            .iter()
            .zip(self.of(Policy::Clairvoyant))
            .map(|(figures, best)| figures.mean_age / best.mean_age)
            .collect()
    }
}

pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

pub fn highest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(f64::MIN, f64::max)
}

/// Formats whole seconds.
pub fn seconds(seconds: f64) -> String {
    if seconds.is_finite() {
        format!("{seconds:.0}")
    } else {
        "never".to_owned()
    }
}

const HEADER: [(&str, &str); 17] = [
    ("mean", "age"),
    ("p99", "age"),
    ("mean", "ratio"),
    ("worst", "ratio"),
    ("longest", "silence"),
    ("until", ""),
    ("", "limit"),
    ("least", "left"),
    ("exceeded", "windows"),
    ("by", "points"),
    ("refused", "others"),
    ("refused", "own"),
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
        for (policy, figures) in &run.results {
            println!("{name:<30}{:<16}{}", policy.name(), row(run, figures));
            name = "";
        }
    }
}

const fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Account => "-- Likely and unlikely accounts",
        Kind::FirstHour => "-- First hour (6 hours simulated, ages of the first one)",
        Kind::Size => "-- Other sizes of the quota, 20 VPSes sharing, live 1",
        Kind::Misreading => "-- Wrong readings, 20 VPSes sharing, live 1",
        Kind::Failure => "-- Failures, VPSes sharing, live 1",
    }
}

fn row(run: &Run, figures: &[Figures]) -> String {
    let worst = |of: fn(&Figures) -> f64| highest(figures.iter().map(of));
    let ratios = run.ratios(figures);
    let silence = figures
        .iter()
        .max_by(|a, b| a.silence.total_cmp(&b.silence))
        .expect("there is at least one seed");
    let mut cells = [
        format!("{:.1}", worst(|figures| figures.mean_age)),
        seconds(worst(|figures| figures.age_99)),
        format!("{:.2}", mean(&ratios)),
        format!("{:.2}", highest(ratios.iter().copied())),
        seconds(silence.silence),
        seconds(silence.silence_ended),
        seconds(highest(run.silence_limits())),
        format!("{:.0}%", -100.0 * worst(|figures| -figures.least_left)),
        worst(|figures| figures.windows_exceeded as f64).to_string(),
        seconds(worst(|figures| figures.excess)),
        worst(|figures| figures.refusals_of_others as f64).to_string(),
        worst(|figures| figures.refused as f64).to_string(),
        format!("{:.0}%", 100.0 * worst(Figures::readings_part)),
        worst(|figures| figures.close_readings as f64).to_string(),
        worst(|figures| figures.readings_in_a_row as f64).to_string(),
        seconds(worst(|figures| figures.first_live)),
        seconds(worst(|figures| figures.first_usage)),
    ]
    .iter()
    .fold(String::new(), |line, cell| line + &format!("{cell:>9}"));
    let capped = worst(|figures| figures.capped as f64);
    if capped > 0.0 {
        let _ = write!(cells, "  capped {capped} times");
    }
    cells
}
