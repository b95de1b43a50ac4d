//! Months of many owners, beside the rule that the forecast replaces: `cargo bench --bench forecast`.
//!
//! The columns: use at the reset; hours in which an exhaustion was told though the allowance lasts (mean / most); days of
//! warning without a break if it does not (mean / least); error of the use at the reset in the middle of the period, in per
//! cent of the allowance. A line that ends in `<<<` misses what is wanted, and the bench fails.
//!
//! Environment variables: `FORECAST_SEEDS` (21) months a story, `FORECAST_ONLY` (part of a story's name), `FORECAST_SEED`
//! (only this one), `FORECAST_TRACE` (each quarter of a day).

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a simulation of small numbers"
)]

mod chance;
mod month;
mod stories;
mod today;

use chance::Chance;
use month::{Circumstances, Month, Outcome};
use stories::{STORIES, Story, Wanted};

/// Months of each story, unless `FORECAST_SEEDS` says otherwise.
const SEEDS: u64 = 21;
/// A moment, in hours.
const MOMENT: usize = 1;

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
                    let rates = (story.make)(&mut Chance::new(seed));
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

/// Prints a line, and tells whether the forecast does what is wanted of it.
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
    let good = match story.wanted {
        Wanted::Silence => hours(1) <= hours(0) / 10.0 || hours(1) < 0.5,
        Wanted::Steady => longest <= MOMENT,
        Wanted::Warning if circumstances.past >= 10 => least(1).is_none_or(|least| least >= 2.0),
        Wanted::Warning | Wanted::Nothing => true,
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
        if good { "" } else { "<<<" },
    );
    good
}
