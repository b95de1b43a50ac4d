//! One month of a VPS: its usage rows, its counter, and the hourly results of the rule and the forecast.

use kiwivm_exporter::fleet::{Counter, CounterReading, Forecast, HourlyUsage, UsageReading};
use kiwivm_exporter::kiwivm::model::UsageRow;
use kiwivm_exporter::units::{Bytes, UnixSeconds};

use crate::rule::Rule;
use crate::stories::{HOURS, PAST, PERIOD};

/// Bytes of the allowance.
const ALLOWANCE: f64 = 1.0e12;
/// Unix time of a full hour, so that hours of the story match hours of the usage memory.
const START: i64 = 1_790_000_000 / 3600 * 3600;
/// Number of newest rows that the counter does not include yet.
const LAG_ROWS: usize = 3;

/// Circumstances of a VPS at the start of the month.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Circumstances {
    /// Days of rows before the period. With 0, the VPS is new.
    pub past: usize,
    /// Bytes of the counter per byte of rows.
    pub ratio: f64,
}

pub struct Month {
    /// Fractions of the allowance used in each hour, from the start of the past.
    hourly: Vec<f64>,
    /// Cumulative sums of `hourly`.
    sums: Vec<f64>,
    past: usize,
}

/// Results of a month.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Fraction of the allowance used at the reset.
    pub final_use: f64,
    /// Results of the rule and of the forecast.
    pub sides: [Side; 2],
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Side {
    /// Hours with a warning of exhaustion although the allowance lasts.
    pub false_hours: usize,
    /// Longest continuous false warning in hours.
    pub longest_false: usize,
    /// Days of continuous warning before the exhaustion.
    pub warning: Option<f64>,
    /// Error of the forecast in the middle of the period, as a fraction of the allowance.
    pub error: Option<f64>,
    warning_since: Option<usize>,
}

impl Side {
    fn record(&mut self, hour: usize, warns: bool, lasts: bool) {
        if !warns {
            self.warning_since = None;
            return;
        }
        let since = *self.warning_since.get_or_insert(hour);
        if lasts {
            self.false_hours += 1;
            self.longest_false = self.longest_false.max(hour + 1 - since);
        }
    }
}

impl Month {
    /// Creates a month from hourly rates in percent per day.
    pub fn new(rates: &[f64], circumstances: Circumstances) -> Self {
        let begin = (PAST - circumstances.past) * 24;
        let hourly: Vec<f64> = rates.iter().map(|rate| rate / 100.0 / 24.0).collect();
        let hourly: Vec<f64> = hourly
            .into_iter()
            .enumerate()
            .map(|(hour, part)| if hour < begin { 0.0 } else { part })
            .collect();
        let mut sum = 0.0;
        let mut sums = vec![0.0];
        for part in &hourly {
            sum += part;
            sums.push(sum);
        }
        Self {
            hourly,
            sums,
            past: circumstances.past,
        }
    }

    /// Returns the fraction used since the last reset, `back` hours before an hour of the period.
    pub fn used(&self, hour: usize, back: usize) -> f64 {
        let at = PAST * 24 + hour - back;
        let start = if back <= hour {
            PAST * 24
        } else {
            (PAST - PERIOD) * 24
        };
        self.sums[at] - self.sums[start]
    }

    /// Returns the fraction used in the 24 hours before that, if both ends lie in one period.
    pub fn used_in_a_day(&self, hour: usize, back: usize) -> Option<f64> {
        if back + 24 > hour && (back <= hour || back + 24 - hour > self.past * 24) {
            return None;
        }
        Some(self.used(hour, back) - self.used(hour, back + 24))
    }

    /// Simulates the month.
    pub fn run(&self, circumstances: Circumstances) -> Outcome {
        let start = START + (PAST * 24) as i64 * 3600;
        let reset = start + HOURS as i64 * 3600;
        let final_use = self.used(HOURS, 0);
        let exhausted = (0..=HOURS).find(|hour| self.used(*hour, 0) >= 1.0);
        let mut outcome = Outcome {
            final_use,
            ..Outcome::default()
        };
        let mut rule = Rule::default();
        let mut counter = Counter::default();
        let begin = (PAST - circumstances.past) * 24;
        let mut memory: Option<HourlyUsage> = None;
        let mut fed = begin;
        for hour in 1..exhausted.unwrap_or(HOURS) {
            let now = start + hour as i64 * 3600;
            let mut reading = UsageReading::new(None, UnixSeconds(now as f64));
            while fed < PAST * 24 + hour {
                for row in self.rows(fed, circumstances.ratio) {
                    reading.take(row);
                }
                fed += 1;
            }
            memory = reading.hours(memory.as_ref());
            let lag = self.hourly[PAST * 24 + hour - 1] * LAG_ROWS as f64 / 12.0;
            let reported = CounterReading {
                at: UnixSeconds(now as f64),
                bytes: Bytes((self.used(hour, 0) - lag) * ALLOWANCE),
                allowance: Some(Bytes(ALLOWANCE)),
                start: UnixSeconds(start as f64),
                reset: UnixSeconds(reset as f64),
            };
            counter.observe(&reported);
            let forecast = memory.as_ref().and_then(|memory| {
                counter.learn(memory, &reported);
                Forecast::new(memory, &counter, &reported)
            });
            let evaluation = rule.evaluate(self, hour);
            let lasts = exhausted.is_none();
            outcome.sides[0].record(hour, evaluation.firing, lasts);
            let exhaustion = forecast.and_then(|forecast| forecast.exhaustion);
            outcome.sides[1].record(hour, exhaustion.is_some(), lasts);
            if hour == HOURS / 2 {
                let error = |use_at_reset: f64| (use_at_reset - final_use).abs();
                outcome.sides[0].error = evaluation.projected.map(error);
                outcome.sides[1].error =
                    forecast.map(|forecast| error(forecast.bytes.0 / ALLOWANCE));
            }
            if std::env::var("FORECAST_TRACE").is_ok() && hour % 6 == 0 {
                println!(
                    "  day {:5.2} used {:5.1} rule {:5.1} {} forecast {:5.1} {}",
                    hour as f64 / 24.0,
                    self.used(hour, 0) * 100.0,
                    evaluation.projected.unwrap_or(f64::NAN) * 100.0,
                    if evaluation.firing { "!" } else { " " },
                    forecast.map_or(f64::NAN, |forecast| forecast.bytes.0 / ALLOWANCE * 100.0),
                    exhaustion.map_or(String::new(), |at| format!(
                        "! day {:.2}",
                        (at.0 - start as f64) / 86_400.0
                    )),
                );
            }
        }
        if let Some(exhausted) = exhausted {
            for side in &mut outcome.sides {
                side.warning = Some(
                    side.warning_since
                        .map_or(0.0, |since| (exhausted - since) as f64 / 24.0),
                );
            }
        }
        outcome
    }

    /// Returns the rows of an hour.
    fn rows(&self, hour: usize, ratio: f64) -> impl Iterator<Item = UsageRow> {
        let bytes = self.hourly[hour] * ALLOWANCE / ratio / 12.0;
        (1..=12).map(move |row| UsageRow {
            timestamp: UnixSeconds(START + hour as i64 * 3600 + row * 300),
            cpu_percent: None,
            network_in: Some(Bytes((bytes * 0.5) as u64)),
            network_out: Some(Bytes((bytes * 0.5) as u64)),
            disk_read: None,
            disk_written: None,
        })
    }
}
