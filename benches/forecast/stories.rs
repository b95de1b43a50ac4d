//! Owners and what their VPSes move, in per cent of the allowance.

use crate::chance::Chance;

/// Days of a period, and of the past before it.
pub const PERIOD: usize = 30;
pub const PAST: usize = 36;
/// Hours of a period.
pub const HOURS: usize = PERIOD * 24;

/// Result wanted of the forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// At most a tenth of the false hours that the rule has.
    Silence,
    /// Nothing longer than a moment.
    Steady,
    /// Two days of warning.
    Warning,
    /// The past cannot tell: shown, not judged.
    Nothing,
}

/// One kind of month.
pub struct Story {
    pub name: &'static str,
    pub wanted: Wanted,
    /// Per cent a day of each hour, from the beginning of the past to the end of the period.
    pub make: fn(&mut Chance) -> Vec<f64>,
}

const fn story(name: &'static str, wanted: Wanted, make: fn(&mut Chance) -> Vec<f64>) -> Story {
    Story { name, wanted, make }
}

pub const STORIES: &[Story] = &[
    story("weekdays 4 %", Wanted::Silence, |chance| {
        let monday = chance.below(7);
        days(|day| if (day + monday) % 7 < 5 { 4.0 } else { 0.0 })
    }),
    story("weekends 9 %, else 0.5 %", Wanted::Silence, |chance| {
        // Of 30 days, eight or nine are of a weekend; with ten the allowance would not last.
        let monday = chance.below(4);
        days(|day| if (day + monday) % 7 < 5 { 0.5 } else { 9.0 })
    }),
    story("three-day upload", Wanted::Silence, |chance| {
        let begin = PAST + chance.below(24);
        days(|day| {
            if (begin..begin + 3).contains(&day) {
                10.3
            } else {
                1.0
            }
        })
    }),
    story("two-day upload", Wanted::Silence, |chance| {
        let begin = PAST + chance.below(24);
        days(|day| {
            if (begin..begin + 2).contains(&day) {
                10.0
            } else {
                1.0
            }
        })
    }),
    story("weekdays, noisy", Wanted::Silence, |chance| {
        let monday = chance.below(7);
        let hours = days(|day| if (day + monday) % 7 < 5 { 3.9 } else { 0.2 });
        noisy(daily(hours), 0.3, chance)
    }),
    story("weekends, noisy", Wanted::Silence, |chance| {
        let monday = chance.below(7);
        let hours = days(|day| if (day + monday) % 7 < 5 { 0.5 } else { 8.0 });
        noisy(daily(hours), 0.3, chance)
    }),
    story("five-day upload", Wanted::Silence, |chance| {
        let begin = PAST + chance.below(24);
        days(|day| {
            if (begin..begin + 5).contains(&day) {
                7.0
            } else {
                1.0
            }
        })
    }),
    story("bursts of an hour, 2 %", Wanted::Silence, |chance| {
        let mut hours = noisy(days(|_| 1.6), 0.2, chance);
        for _ in 0..20 {
            let hour = chance.below(hours.len());
            hours[hour] += 48.0;
        }
        hours
    }),
    story("one burst of 12 %", Wanted::Silence, |chance| {
        let mut hours = daily(days(|_| 2.4));
        let begin = PAST * 24 + chance.below(28 * 24);
        for hour in &mut hours[begin..begin + 8] {
            *hour += 36.0;
        }
        hours
    }),
    story("nightly backup, 3 %", Wanted::Silence, |chance| {
        let at = chance.below(22);
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
    story("weekly backup, 18 %", Wanted::Silence, |chance| {
        // Four backups in a period.
        let at = 3 * 24 + chance.below(4 * 24 - 10);
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
    story("growth to 85 %", Wanted::Silence, |chance| {
        noisy(daily(growing(85.0)), 0.2, chance)
    }),
    story("switched off, 5 to 0.2 %", Wanted::Nothing, |chance| {
        let end = PAST + 3 + chance.below(9);
        days(|day| if day < end { 5.0 } else { 0.2 })
    }),
    story("strong noise, 80 %", Wanted::Silence, |chance| {
        let hours = days(|_| 80.0 / 30.0);
        let of_days: Vec<f64> = (0..PAST + PERIOD).map(|_| chance.factor(0.5)).collect();
        noisy(
            hours
                .iter()
                .enumerate()
                .map(|(hour, rate)| rate * of_days[hour / 24])
                .collect(),
            0.8,
            chance,
        )
    }),
    story("steady, 96 %", Wanted::Steady, |_| days(|_| 3.2)),
    story("day and night, 96 %", Wanted::Steady, |_| {
        daily(days(|_| 3.2))
    }),
    story("a little noise, 96 %", Wanted::Steady, |chance| {
        noisy(daily(days(|_| 3.2)), 0.3, chance)
    }),
    story("steady, 120 %", Wanted::Warning, |_| days(|_| 4.0)),
    story("day and night, 105 %", Wanted::Warning, |chance| {
        noisy(daily(days(|_| 3.5)), 0.2, chance)
    }),
    story("weekdays 5.5 %", Wanted::Warning, |chance| {
        let monday = chance.below(7);
        days(|day| if (day + monday) % 7 < 5 { 5.5 } else { 0.0 })
    }),
    story("growth to 120 %", Wanted::Warning, |chance| {
        noisy(daily(growing(120.0)), 0.2, chance)
    }),
    story("surge to 8 % for good", Wanted::Warning, |chance| {
        let begin = PAST + 8 + chance.below(8);
        days(|day| if day < begin { 2.0 } else { 8.0 })
    }),
    story("late surge to 10 %", Wanted::Warning, |chance| {
        let begin = PAST + 15 + chance.below(5);
        days(|day| if day < begin { 2.0 } else { 10.0 })
    }),
    story("late surge, day and night", Wanted::Warning, |chance| {
        let begin = PAST + 15 + chance.below(5);
        let hours = days(|day| if day < begin { 2.0 } else { 10.0 });
        noisy(daily(hours), 0.2, chance)
    }),
    story("runaway, 2 % an hour", Wanted::Nothing, |chance| {
        let begin = PAST * 24 + chance.below(24 * 24);
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

/// Most in the evening, little at night.
fn daily(hours: Vec<f64>) -> Vec<f64> {
    let part = |hour: usize| 1.0 + 0.85 * (hour as f64 / 24.0 * std::f64::consts::TAU).sin();
    hours
        .into_iter()
        .enumerate()
        .map(|(hour, rate)| rate * part(hour))
        .collect()
}

/// More each day, so much in the period.
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

fn noisy(hours: Vec<f64>, sigma: f64, chance: &mut Chance) -> Vec<f64> {
    hours
        .into_iter()
        .map(|rate| rate * chance.factor(sigma))
        .collect()
}
