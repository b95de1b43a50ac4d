//! The vendor's counter and its ratio to usage rows. The counter may count one direction or both, starts over at each
//! reset and falls when a VPS is migrated, so the ratio is measured over a time that both cover.

use serde::{Deserialize, Serialize};

use super::hours::{HOUR, HourlyUsage, start_of};
use crate::units::{Bytes, UnixSeconds};

/// Seconds by which the counter lags behind the rows.
const LAG: f64 = 15.0 * 60.0;
/// Hours of counter and rows needed for a ratio: a day, of which the lag is about one percent.
const ENOUGH: f64 = 24.0;
/// Maximum plausible ratio, for a counter that is already multiplied.
const MOST: f64 = 4.0;
/// Seconds between reset times of different periods, at least. A period is a month.
const SAME_PERIOD: f64 = 86_400.0;
/// A counter that falls below this part of its last value started over. Corrections by the vendor are smaller.
const FELL: f64 = 0.95;

/// Counter, allowance and period of a VPS, from one response.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CounterReading {
    /// Time of the response.
    pub at: UnixSeconds,
    /// The counter, before any multiplier.
    pub bytes: Bytes<f64>,
    /// The allowance in bytes of the counter; `None` if unknown.
    pub allowance: Option<Bytes<f64>>,
    /// Start of the period.
    pub start: UnixSeconds,
    /// End of the period.
    pub reset: UnixSeconds,
}

/// Start of the counter and its ratio to usage rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counter {
    reset: UnixSeconds,
    since: UnixSeconds,
    base: Bytes<f64>,
    last: Bytes<f64>,
    ratio: Option<f64>,
}

impl Counter {
    /// Applies the newest reading.
    pub fn observe(&mut self, reading: &CounterReading) {
        let same_period = (reading.reset - self.reset).abs() < SAME_PERIOD;
        if self.reset == UnixSeconds::default() {
            (self.since, self.base) = (reading.start, Bytes(0.0));
        } else if !same_period || reading.bytes < self.last * FELL {
            // The counter may not have started over at the start of the period: the vendor can move the reset, and the
            // start is a guess for a reset on the last days of a month.
            (self.since, self.base) = (reading.at, reading.bytes);
        }
        (self.reset, self.last) = (reading.reset, reading.bytes);
    }

    /// Measures the ratio of the counter to the rows once a day of both is known. Until then the previous ratio stays,
    /// also in the next period.
    pub fn learn(&mut self, hours: &HourlyUsage, reading: &CounterReading) {
        // The rows may cover only a part of the time since the counter started.
        let until = (reading.at - LAG).min(hours.newest().into());
        let span = (until - self.since) / HOUR;
        let (rows, known) = hours.between(self.since, until);
        if known < ENOUGH {
            return;
        }
        let counted = self.counted(reading);
        // Without traffic there is no ratio.
        if rows <= Bytes(0.0) {
            return;
        }
        // A ratio above 1 means missing rows or a multiplied counter.
        let explained = counted / rows.0;
        let covered = explained * known / span.max(known);
        self.ratio = Some(covered.max(explained.min(1.0)).min(MOST));
    }

    /// Bytes of the counter for each byte of usage rows.
    pub(super) const fn ratio(&self) -> Option<f64> {
        self.ratio
    }

    /// Counter bytes since the counter started.
    fn counted(&self, reading: &CounterReading) -> f64 {
        (reading.bytes - self.base).0.max(0.0)
    }

    /// Average counter bytes per second, and the number of seconds they are measured over: this period, or the rows if
    /// they are younger. `None` in the first day.
    pub(super) fn even_pace(
        &self,
        hours: &HourlyUsage,
        reading: &CounterReading,
    ) -> Option<(f64, f64)> {
        let counted = self.counted(reading);
        let pace = |bytes: f64, since: UnixSeconds| {
            let seconds = reading.at - since;
            (seconds >= ENOUGH * HOUR).then(|| (bytes / seconds, seconds))
        };
        let whole = pace(counted, self.since);
        // If the VPS is younger than the period, its rows cover the whole counter.
        let first = start_of(hours.first());
        let (rows, _) = hours.between(self.since, reading.at);
        let own = pace(counted.min(rows.0), first.max(self.since));
        let paces = whole.into_iter().chain(own);
        paces.max_by(|(one, _), (other, _)| one.total_cmp(other))
    }
}
