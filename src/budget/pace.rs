//! Wanted and planned intervals of one VPS.

use std::time::Duration;

use crate::config::Collect;
use crate::kiwivm::{Call, PerCall};

/// The planned intervals of one VPS; `None` for a call that is not planned.
pub type PlannedIntervals = PerCall<Option<Duration>>;

/// The wanted intervals of one VPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Interval of `getLiveServiceInfo`, and of `getServiceInfo` while that replaces it.
    pub live: Duration,
    /// Interval of `getRateLimitStatus`.
    pub points: Duration,
    /// Interval of `getRawUsageStats`.
    pub usage: Duration,
    /// Interval of each collected call of [`Call::INVENTORY`].
    pub inventory: Duration,
    /// The inventory calls to make.
    pub collect: Collect,
}

impl Pace {
    /// Returns the collected inventory calls.
    pub fn inventory_calls(&self) -> impl Iterator<Item = Call> {
        let collect = self.collect;
        Call::INVENTORY
            .into_iter()
            .filter(move |call| collect.includes(*call))
    }

    /// Returns the number of calls per second.
    #[must_use]
    pub fn calls_a_second(&self) -> f64 {
        let intervals = self.intervals();
        intervals
            .values()
            .flatten()
            .map(|interval| 1.0 / interval.as_secs_f64())
            .sum()
    }

    pub(super) fn intervals(&self) -> PlannedIntervals {
        let mut intervals = PlannedIntervals::default();
        intervals[Call::LiveServiceInfo] = Some(self.live);
        intervals[Call::RateLimitStatus] = Some(self.points);
        intervals[Call::RawUsageStats] = Some(self.usage);
        for call in self.inventory_calls() {
            intervals[call] = Some(self.inventory);
        }
        intervals
    }
}
