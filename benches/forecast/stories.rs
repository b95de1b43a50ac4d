//! Traffic patterns of VPSes, in percent of the allowance.

use crate::random::Random;

/// Days of a period.
pub const PERIOD: usize = 30;
/// Days of rows before the period.
pub const PAST: usize = 36;
/// Hours of a period.
pub const HOURS: usize = PERIOD * 24;

/// The goal of the forecast for a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// At most a tenth of the rule's false hours.
    Silence,
    /// No long false warning.
    Steady,
    /// At least two days of warning.
    Warning,
    /// None, because the past does not predict it.
    Nothing,
}

/// A traffic pattern of one month.
pub struct Story {
    pub name: &'static str,
    pub goal: Goal,
    /// Generates hourly rates in percent per day, from the start of the past to the end of the period.
    pub make: fn(&mut Random) -> Vec<f64>,
}

const fn story(name: &'static str, goal: Goal, make: fn(&mut Random) -> Vec<f64>) -> Story {
    Story { name, goal, make }
}

pub const STORIES: &[Story] = &[
    story("weekdays 4 %", Goal::Silence, |random| {
        let monday = random.below(7);
        days(|day| if (day + monday) % 7 < 5 { 4.0 } else { 0.0 })
    }),
    story("weekends 9 %, else 0.5 %", Goal::Silence, |random| {
        // A period has eight or nine weekend days. With ten, the allowance would not last.
        let monday = random.below(4);
        days(|day| if (day + monday) % 7 < 5 { 0.5 } else { 9.0 })
    }),
    story("three-day upload", Goal::Silence, |random| {
        let begin = PAST + random.below(24);
        days(|day| {
            if (begin..begin + 3).contains(&day) {
                10.3
            } else {
                1.0
            }
        })
    }),
    story("two-day upload", Goal::Silence, |random| {
        let begin = PAST + random.below(24);
        days(|day| {
            if (begin..begin + 2).contains(&day) {
                10.0
            } else {
                1.0
            }
        })
    }),
    story("weekdays, noisy", Goal::Silence, |random| {
        let monday = random.below(7);
        let hours = days(|day| if (day + monday) % 7 < 5 { 3.9 } else { 0.2 });
        noisy(daily(hours), 0.3, random)
    }),
    story("weekends, noisy", Goal::Silence, |random| {
        let monday = random.below(7);
        let hours = days(|day| if (day + monday) % 7 < 5 { 0.5 } else { 8.0 });
        noisy(daily(hours), 0.3, random)
    }),
    story("five-day upload", Goal::Silence, |random| {
        let begin = PAST + random.below(24);
        days(|day| {
            if (begin..begin + 5).contains(&day) {
                7.0
            } else {
                1.0
            }
        })
    }),
    story("bursts of an hour, 2 %", Goal::Silence, |random| {
        let mut hours = noisy(days(|_| 1.6), 0.2, random);
        for _ in 0..20 {
            let hour = random.below(hours.len());
            hours[hour] += 48.0;
        }
        hours
    }),
    story("one burst of 12 %", Goal::Silence, |random| {
        let mut hours = daily(days(|_| 2.4));
        let begin = PAST * 24 + random.below(28 * 24);
        for hour in &mut hours[begin..begin + 8] {
            *hour += 36.0;
        }
        hours
    }),
    story("nightly backup, 3 %", Goal::Silence, |random| {
        let at = random.below(22);
        (0..(PAST + PERIOD) * 24)
            .map(|hour| {
                if (at..at + 2).contains(&(hour % 24)) {
                    36.0
                } else {
                    0.0
                }
            })
            .collect()
    }),
    story("weekly backup, 18 %", Goal::Silence, |random| {
        // Four backups in a period.
        let at = 3 * 24 + random.below(4 * 24 - 10);
        (0..(PAST + PERIOD) * 24)
            .map(|hour| {
                if (at..at + 9).contains(&(hour % 168)) {
                    48.0
                } else {
                    0.6
                }
            })
            .collect()
    }),
    story("growth to 85 %", Goal::Silence, |random| {
        noisy(daily(growing(85.0)), 0.2, random)
    }),
    story("switched off, 5 to 0.2 %", Goal::Nothing, |random| {
        let end = PAST + 3 + random.below(9);
        days(|day| if day < end { 5.0 } else { 0.2 })
    }),
    story("strong noise, 80 %", Goal::Silence, |random| {
        let hours = days(|_| 80.0 / 30.0);
        let of_days: Vec<f64> = (0..PAST + PERIOD).map(|_| random.factor(0.5)).collect();
        noisy(
            hours
                .iter()
                .enumerate()
                .map(|(hour, rate)| rate * of_days[hour / 24])
                .collect(),
            0.8,
            random,
        )
    }),
    story("steady, 96 %", Goal::Steady, |_| days(|_| 3.2)),
    story("day and night, 96 %", Goal::Steady, |_| {
        daily(days(|_| 3.2))
    }),
    story("a little noise, 96 %", Goal::Steady, |random| {
        noisy(daily(days(|_| 3.2)), 0.3, random)
    }),
    story("steady, 120 %", Goal::Warning, |_| days(|_| 4.0)),
    story("day and night, 105 %", Goal::Warning, |random| {
        noisy(daily(days(|_| 3.5)), 0.2, random)
    }),
    story("weekdays 5.5 %", Goal::Warning, |random| {
        let monday = random.below(7);
        days(|day| if (day + monday) % 7 < 5 { 5.5 } else { 0.0 })
    }),
    story("growth to 120 %", Goal::Warning, |random| {
        noisy(daily(growing(120.0)), 0.2, random)
    }),
    story("surge to 8 % for good", Goal::Warning, |random| {
        let begin = PAST + 8 + random.below(8);
        days(|day| if day < begin { 2.0 } else { 8.0 })
    }),
    story("late surge to 10 %", Goal::Warning, |random| {
        let begin = PAST + 15 + random.below(5);
        days(|day| if day < begin { 2.0 } else { 10.0 })
    }),
    story("late surge, day and night", Goal::Warning, |random| {
        let begin = PAST + 15 + random.below(5);
        let hours = days(|day| if day < begin { 2.0 } else { 10.0 });
        noisy(daily(hours), 0.2, random)
    }),
    story("runaway, 2 % an hour", Goal::Nothing, |random| {
        let begin = PAST * 24 + random.below(24 * 24);
        (0..(PAST + PERIOD) * 24)
            .map(|hour| if hour < begin { 1.0 } else { 48.0 })
            .collect()
    }),
];

fn days(rate: impl Fn(usize) -> f64) -> Vec<f64> {
    (0..(PAST + PERIOD) * 24)
        .map(|hour| rate(hour / 24))
        .collect()
}

/// Adds a daily cycle.
fn daily(hours: Vec<f64>) -> Vec<f64> {
    let factor = |hour: usize| 1.0 + 0.85 * (hour as f64 / 24.0 * std::f64::consts::TAU).sin();
    hours
        .into_iter()
        .enumerate()
        .map(|(hour, rate)| rate * factor(hour))
        .collect()
}

/// Returns rates that grow by a quarter a week and sum to `total` percent in the period.
fn growing(total: f64) -> Vec<f64> {
    let hours: Vec<f64> = (0..(PAST + PERIOD) * 24)
        .map(|hour| 1.25_f64.powf(hour as f64 / 168.0))
        .collect();
    let period: f64 = hours[PAST * 24..].iter().sum::<f64>() / 24.0;
    hours
        .into_iter()
        .map(|rate| rate * total / period)
        .collect()
}

fn noisy(hours: Vec<f64>, sigma: f64, random: &mut Random) -> Vec<f64> {
    hours
        .into_iter()
        .map(|rate| rate * random.factor(sigma))
        .collect()
}
