//! Compares the forecast with the rule that it replaces, over simulated months: `cargo bench --bench forecast`.
//!
//! Columns: usage at the reset, hours of false exhaustion warnings (mean / most), days of continuous warning before a
//! real exhaustion (mean / least), and the error of the forecast in the middle of the period, in percent of the
//! allowance. `<<<` marks a story that misses its goal, which fails the bench.
//!
//! Environment variables: `FORECAST_SEEDS` (months per story, default 21), `FORECAST_ONLY` (part of a story's name),
//! `FORECAST_SEED` (a single seed), `FORECAST_TRACE` (prints every six hours).

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a simulation of small numbers"
)]

mod month;
mod random;
mod rule;
mod stories;

use month::{Circumstances, Month, Outcome};
use random::Random;
use stories::{Goal, STORIES, Story};

/// Default number of months per story.
const SEEDS: u64 = 21;
/// Longest false warning that [`Goal::Steady`] permits, in hours.
const LONGEST_FALSE_HOURS: usize = 1;

const CIRCUMSTANCES: [(&str, Circumstances); 4] = [
    (
        "five weeks of rows",
        Circumstances {
            past: 36,
            ratio: 1.0,
        },
    ),
    (
        "one direction counts",
        Circumstances {
            past: 36,
            ratio: 0.5,
        },
    ),
    (
        "ten days of rows",
        Circumstances {
            past: 10,
            ratio: 1.0,
        },
    ),
    (
        "a new VPS",
        Circumstances {
            past: 0,
            ratio: 1.0,
        },
    ),
];

fn main() {
    let setting = |name: &str| std::env::var(name).ok();
    let seeds: u64 = setting("FORECAST_SEEDS")
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(SEEDS);
    let only = setting("FORECAST_ONLY").unwrap_or_default();
    let only_seed: Option<u64> = setting("FORECAST_SEED").and_then(|seed| seed.parse().ok());
    let mut failed = false;
    for (name, circumstances) in CIRCUMSTANCES {
        println!(
            "\n{name}\n{:28} {:>5} | {:>13} {:>13} | {:>11} {:>11} | {:>11} {:>11}",
            "",
            "use",
            "false (rule)",
            "false (new)",
            "warn (rule)",
            "warn (new)",
            "err (rule)",
            "err (new)"
        );
        for story in STORIES.iter().filter(|story| story.name.contains(&only)) {
            let outcomes: Vec<Outcome> = (1..=seeds)
                .filter(|seed| only_seed.is_none_or(|only| only == *seed))
                .map(|seed| {
                    let rates = (story.make)(&mut Random::new(seed));
                    Month::new(&rates, circumstances).run(circumstances)
                })
                .collect();
            failed |= !report(story, circumstances, &outcomes);
        }
    }
    if failed {
        std::process::exit(1);
    }
}

/// Prints the line of a story, and returns true if the forecast meets its goal.
fn report(story: &Story, circumstances: Circumstances, outcomes: &[Outcome]) -> bool {
    let count = outcomes.len() as f64;
    let mean = |value: &dyn Fn(&Outcome) -> Option<f64>| {
        let values: Vec<f64> = outcomes.iter().filter_map(value).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let hours = |side: usize| {
        outcomes
            .iter()
            .map(|outcome| outcome.sides[side].false_hours)
            .sum::<usize>() as f64
            / count
    };
    let most = |side: usize| {
        outcomes
            .iter()
            .map(|outcome| outcome.sides[side].false_hours)
            .max()
            .unwrap_or(0)
    };
    let least = |side: usize| {
        outcomes
            .iter()
            .filter_map(|outcome| outcome.sides[side].warning)
            .reduce(f64::min)
    };
    let show = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
    let longest = outcomes
        .iter()
        .map(|outcome| outcome.sides[1].longest_false)
        .max()
        .unwrap_or(0);
    let met = match story.goal {
        Goal::Silence => hours(1) <= hours(0) / 10.0 || hours(1) < 0.5,
        Goal::Steady => longest <= LONGEST_FALSE_HOURS,
        Goal::Warning if circumstances.past >= 10 => least(1).is_none_or(|least| least >= 2.0),
        Goal::Warning | Goal::Nothing => true,
    };
    println!(
        "{:28} {:>4}% | {:>7.1} /{:>4} {:>7.1} /{:>4} | {:>5} /{:>4} {:>5} /{:>4} | {:>11} {:>11} {}",
        story.name,
        (mean(&|outcome| Some(outcome.final_use)).unwrap_or(0.0) * 100.0).round(),
        hours(0),
        most(0),
        hours(1),
        most(1),
        show(mean(&|outcome| outcome.sides[0].warning)),
        show(least(0)),
        show(mean(&|outcome| outcome.sides[1].warning)),
        show(least(1)),
        show(mean(&|outcome| Some(outcome.sides[0].error? * 100.0))),
        show(mean(&|outcome| Some(outcome.sides[1].error? * 100.0))),
        if met { "" } else { "<<<" },
    );
    met
}
