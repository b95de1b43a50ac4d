//! How much of its transfer a VPS will have used at the next reset, and when the allowance is reached.
//!
//! The level comes from the vendor's counter, the shape from usage rows: the rhythm of five weeks at most, and what has
//! lately been out of the ordinary, which goes on for as long as it has lasted. The forecast looks ahead only as far as it
//! can look back: nobody is told of an exhaustion in three weeks because of two days.

mod counter;
mod hours;
mod rhythm;

pub use counter::{Counter, CounterReading};
pub(super) use hours::HourSums;
pub use hours::{HOURS, HourlyUsage};

use serde::{Deserialize, Serialize};

use hours::{HOUR, hour_of};
use rhythm::Rhythm;

/// In the first hours of a period, counter and reset time may not belong together yet, and nothing urgent is to be told.
const FIRST_HOURS: f64 = 6.0;
/// What is forecast for the end of a period, in bytes of the counter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Use at the next reset.
    pub bytes: f64,
    /// When the allowance is reached, or was reached, Unix seconds; `None` if it lasts until the reset.
    pub exhaustion: Option<f64>,
    /// The reset, Unix seconds.
    pub reset: f64,
}

impl Forecast {
    /// The forecast by usage rows and the newest reading of the counter. `None` for as long as it would be a guess: in the
    /// first hours of a period, or in its first day with less than a week of rows.
    #[must_use]
    pub fn new(hours: &HourlyUsage, counter: &Counter, reading: &CounterReading) -> Option<Self> {
        let allowance = reading.allowance.filter(|allowance| *allowance > 0.0);
        let in_period = reading.start + FIRST_HOURS * HOUR..reading.reset;
        if !in_period.contains(&reading.at) || !reading.bytes.is_finite() {
            return None;
        }
        // The newest hour is incomplete unless its last row has come.
        let end = hours.newest() / 3600;
        let past: Vec<_> = (hours.first()..end)
            .rev()
            .map(|hour| hours.bytes(hour))
            .collect();
        let rhythm = Rhythm::of(&past).zip(counter.ratio());
        let (pace, looks_back) = match &rhythm {
            Some(_) => (0.0, reading.at - f64::from(hours.first()) * HOUR),
            None => counter.even_pace(hours, reading)?,
        };
        // Bytes of the counter a second in the hour that begins so many hours after the complete ones.
        let rate = |ahead: u32| match &rhythm {
            Some((rhythm, ratio)) => ratio * rhythm.ahead(ahead as usize) / HOUR,
            None => pace,
        };

        let (mut bytes, mut time) = (reading.bytes, reading.at);
        let mut exhaustion = None;
        for ahead in 0_u32.. {
            if time >= reading.reset {
                break;
            }
            let seconds = (f64::from(end + ahead + 1) * HOUR).min(reading.reset) - time;
            if seconds <= 0.0 {
                continue;
            }
            let added = rate(ahead) * seconds;
            if let Some(allowance) = allowance
                && exhaustion.is_none()
                && added > 0.0
                && bytes + added >= allowance
            {
                exhaustion = Some(time + seconds * ((allowance - bytes) / added).clamp(0.0, 1.0));
            }
            bytes += added;
            time += seconds;
        }
        // A use that ends just below the allowance is no reason to wake somebody.
        let uncertainty = rhythm
            .as_ref()
            .map_or(0.0, |(rhythm, _)| rhythm.uncertainty());
        let certain = |allowance| bytes - uncertainty * (bytes - reading.bytes) >= allowance;
        Some(Self {
            bytes,
            exhaustion: match allowance {
                Some(allowance) if reading.bytes >= allowance => {
                    let over = reading.bytes - allowance;
                    let reached = match &rhythm {
                        Some((_, ratio)) => reached(hours, over / ratio),
                        None => reading.at - over / pace,
                    };
                    // One that was over its allowance from the first was so at the start.
                    Some(reached.max(reading.start).min(reading.at))
                }
                Some(allowance) if certain(allowance) => {
                    exhaustion.filter(|at| at - reading.at <= looks_back)
                }
                _ => None,
            },
            reset: reading.reset,
        })
    }
}

/// When the rows had so many bytes less than now; minus infinity if they do not go back so far.
fn reached(hours: &HourlyUsage, mut over: f64) -> f64 {
    let mut end = f64::from(hours.newest());
    for hour in (hours.first()..=hour_of(hours.newest())).rev() {
        let begin = f64::from(hour) * HOUR;
        let bytes = hours.bytes(hour).unwrap_or(0.0);
        if bytes > 0.0 && bytes >= over {
            return end - (end - begin) * over / bytes;
        }
        over -= bytes;
        end = begin;
    }
    f64::NEG_INFINITY
}

#[cfg(test)]
mod tests;
