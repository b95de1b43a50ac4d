//! The intervals of one VPS: those that are wanted, and the shape of those that are planned.

use std::time::Duration;

use crate::config::Collect;
use crate::kiwivm::{Call, PerCall};

/// The intervals of one VPS; `None` for a call that is not planned.
pub type Intervals = PerCall<Option<Duration>>;

/// The wanted intervals of one VPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Of `getLiveServiceInfo`, and of `getServiceInfo` while that has to stand in.
    pub live: Duration,
    /// Of `getRateLimitStatus`.
    pub points: Duration,
    /// Of `getRawUsageStats`.
    pub usage: Duration,
    /// Of each of [`Call::INVENTORY`] that is collected.
    pub inventory: Duration,
    /// Which inventory is collected.
    pub collect: Collect,
}

impl Pace {
    /// The inventory that is collected.
    pub fn inventory_calls(&self) -> impl Iterator<Item = Call> {
        let collect = self.collect;
        Call::INVENTORY
            .into_iter()
            .filter(move |call| collect.wants(*call))
    }

    /// The calls of the VPS in a second.
    #[must_use]
    pub fn calls_a_second(&self) -> f64 {
        let intervals = self.intervals();
        intervals
            .values()
            .flatten()
            .map(|interval| 1.0 / interval.as_secs_f64())
            .sum()
    }

    pub(super) fn intervals(&self) -> Intervals {
        let mut intervals = Intervals::default();
        intervals[Call::LiveServiceInfo] = Some(self.live);
        intervals[Call::RateLimitStatus] = Some(self.points);
        intervals[Call::RawUsageStats] = Some(self.usage);
        for call in self.inventory_calls() {
            intervals[call] = Some(self.inventory);
        }
        intervals
    }
}
