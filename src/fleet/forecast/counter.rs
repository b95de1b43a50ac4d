//! The counter of the vendor beside the usage rows. It may count one direction or both, begins anew at each reset, and
//! falls when a VPS is moved, so rows are related to it by what both told in the same time.

use serde::{Deserialize, Serialize};

use super::hours::{HOUR, HourlyUsage};

/// The counter lags behind the rows by so many seconds.
const LAG: f64 = 15.0 * 60.0;
/// Hours of counter and rows that make a ratio: a day, in which the lag is one part in a hundred.
const ENOUGH: f64 = 24.0;
/// The largest ratio that is believed, for a counter that is multiplied already.
const MOST: f64 = 4.0;
/// A period is a month, so reset times further apart than this belong to two periods.
const SAME_PERIOD: f64 = 86_400.0;
/// A counter that falls below this part of its last value began anew. Corrections of the vendor are smaller.
const FELL: f64 = 0.95;

/// The counter of a VPS, the allowance and the period, as one response tells them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CounterReading {
    /// When they were told, Unix seconds.
    pub at: f64,
    /// The counter, before any multiplier.
    pub bytes: f64,
    /// The allowance in bytes of the counter; `None` if it is not known.
    pub allowance: Option<f64>,
    /// When the period began, Unix seconds.
    pub start: f64,
    /// When the period ends, Unix seconds.
    pub reset: f64,
}

/// Since when the counter counts, and how it relates to usage rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counter {
    reset: f64,
    since: f64,
    base: f64,
    last: f64,
    ratio: Option<f64>,
}

impl Counter {
    /// Takes in the newest reading.
    pub fn observe(&mut self, reading: &CounterReading) {
        let same_period = (reading.reset - self.reset).abs() < SAME_PERIOD;
        if !same_period {
            (self.since, self.base) = (reading.start, 0.0);
        } else if reading.bytes < self.last * FELL {
            (self.since, self.base) = (reading.at, reading.bytes);
        }
        (self.reset, self.last) = (reading.reset, reading.bytes);
    }

    /// Relates the counter to the rows once a day of both is known. What was found out holds until then, also in the next
    /// period.
    pub fn learn(&mut self, hours: &HourlyUsage, reading: &CounterReading) {
        // Counting that began before the first row that is remembered is seen in part only.
        let until = (reading.at - LAG).min(f64::from(hours.newest()));
        let span = (until - self.since) / HOUR;
        let (rows, known) = hours.between(self.since, until);
        if known < ENOUGH {
            return;
        }
        let counted = (reading.bytes - self.base).max(0.0);
        // A VPS that moves nothing tells nothing.
        if rows <= 0.0 {
            return;
        }
        // A counter that counts more than the rows tell: rows are missing, or it counts that much.
        let explained = counted / rows;
        let covered = explained * known / span.max(known);
        self.ratio = Some(covered.max(explained.min(1.0)).min(MOST));
    }

    /// Bytes of the counter for each byte of usage rows.
    pub(super) const fn ratio(&self) -> Option<f64> {
        self.ratio
    }

    /// Bytes of the counter in a second on average, and the seconds in which that was so: of this period, or of the rows if
    /// they are younger. `None` in the first day.
    pub(super) fn even_pace(
        &self,
        hours: &HourlyUsage,
        reading: &CounterReading,
    ) -> Option<(f64, f64)> {
        let counted = (reading.bytes - self.base).max(0.0);
        let pace = |bytes: f64, since: f64| {
            let seconds = reading.at - since;
            (seconds >= ENOUGH * HOUR).then(|| (bytes / seconds, seconds))
        };
        let whole = pace(counted, self.since);
        // A VPS that is younger than the period has a counter that its rows explain.
        let first = f64::from(hours.first()) * HOUR;
        let (rows, _) = hours.between(self.since, reading.at);
        let own = pace(counted.min(rows), first.max(self.since));
        let paces = whole.into_iter().chain(own);
        paces.max_by(|(one, _), (other, _)| one.total_cmp(other))
    }
}
