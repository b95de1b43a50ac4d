//! Forecasts the transfer of a VPS at the next reset, and the time at which its allowance is used up.
//!
//! The level comes from the vendor's counter and the shape from usage rows: a weekly rhythm from up to four weeks, plus
//! recent deviations, which are assumed to continue for as long as they have lasted. The forecast looks ahead only as
//! far as it can look back: two days of data never predict an exhaustion in three weeks.

mod counter;
mod hours;
mod rhythm;

pub use counter::{Counter, CounterReading};
pub(super) use hours::HourSums;
pub use hours::{HOURS, HourlyUsage};

use serde::{Deserialize, Serialize};

use crate::units::{Bytes, UnixSeconds};
use hours::{HOUR, hour_of, start_of};
use rhythm::Rhythm;

/// Hours after a reset without a forecast: counter and reset time may not match yet, and nothing is urgent.
const FIRST_HOURS: f64 = 6.0;
/// The forecast for the end of a period, in bytes of the counter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Use at the next reset.
    pub bytes: Bytes<f64>,
    /// When the allowance is or was used up; `None` if it lasts until the reset.
    pub exhaustion: Option<UnixSeconds>,
    /// The reset.
    pub reset: UnixSeconds,
}

impl Forecast {
    /// Computes the forecast from usage rows and the newest reading of the counter. `None` while data are insufficient:
    /// in the first hours of a period, or in its first day with less than a week of rows.
    #[must_use]
    pub fn new(hours: &HourlyUsage, counter: &Counter, reading: &CounterReading) -> Option<Self> {
        let allowance = reading
            .allowance
            .filter(|allowance| *allowance > Bytes(0.0));
        let in_period = reading.start + FIRST_HOURS * HOUR..reading.reset;
        if !in_period.contains(&reading.at) || !reading.bytes.0.is_finite() {
            return None;
        }
        // The newest hour is incomplete until its last row arrives.
        let end = hours.newest().0 / 3600;
        let past: Vec<_> = (hours.first()..end)
            .rev()
            .map(|hour| Some(hours.bytes(hour)?.0))
            .collect();
        let rhythm = Rhythm::of(&past).zip(counter.ratio());
        let (pace, looks_back) = match &rhythm {
            Some(_) => (0.0, reading.at - start_of(hours.first())),
            None => counter.even_pace(hours, reading)?,
        };
        // Counter bytes per second in the hour that starts `ahead` hours after the complete ones.
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
            let seconds = start_of(end + ahead + 1).min(reading.reset) - time;
            if seconds <= 0.0 {
                continue;
            }
            let added = Bytes(rate(ahead) * seconds);
            if let Some(allowance) = allowance
                && exhaustion.is_none()
                && added > Bytes(0.0)
                && bytes + added >= allowance
            {
                exhaustion =
                    Some(time + seconds * ((allowance - bytes).0 / added.0).clamp(0.0, 1.0));
            }
            bytes += added;
            time = time + seconds;
        }
        // Do not alert if the use may still end just below the allowance.
        let uncertainty = rhythm
            .as_ref()
            .map_or(0.0, |(rhythm, _)| rhythm.uncertainty());
        let certain = |allowance| bytes - (bytes - reading.bytes) * uncertainty >= allowance;
        Some(Self {
            bytes,
            exhaustion: match allowance {
                Some(allowance) if reading.bytes >= allowance => {
                    let Bytes(over) = reading.bytes - allowance;
                    let reached = match &rhythm {
                        Some((_, ratio)) => reached(hours, over / ratio),
                        None => reading.at - over / pace,
                    };
                    // If the period started above the allowance, the exhaustion is its start.
                    Some(reached.max(reading.start).min(reading.at))
                }
                Some(allowance) if certain(allowance) => {
                    exhaustion.filter(|at| *at - reading.at <= looks_back)
                }
                _ => None,
            },
            reset: reading.reset,
        })
    }
}

/// The time at which the rows had `over` bytes less than now; minus infinity if they do not go back that far.
fn reached(hours: &HourlyUsage, mut over: f64) -> UnixSeconds {
    let mut end = UnixSeconds::from(hours.newest());
    for hour in (hours.first()..=hour_of(hours.newest())).rev() {
        let begin = start_of(hour);
        let Bytes(bytes) = hours.bytes(hour).unwrap_or_default();
        if bytes > 0.0 && bytes >= over {
            return end - (end - begin) * over / bytes;
        }
        over -= bytes;
        end = begin;
    }
    UnixSeconds(f64::NEG_INFINITY)
}

#[cfg(test)]
mod tests;
