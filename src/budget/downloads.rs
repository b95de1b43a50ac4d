//! Limits the bytes of responses per day, by the sizes last seen.

use std::time::Duration;

use super::pace::Pace;
use super::window::{SavedAmount, Trailing};
use crate::kiwivm::{Call, PerCall};
use crate::units::{AccountTime, Bytes};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Maximum interval of usage because of its size.
const MAX_USAGE_INTERVAL: Duration = DAY;
/// Fraction of the limit that the other calls may take before they are stretched too.
const OTHERS_FRACTION: f64 = 0.9;

/// Response sizes and the bytes of the trailing day, for one VPS.
#[derive(Clone, Debug)]
pub struct Downloads {
    sizes: PerCall<Bytes>,
    day: Trailing,
}

impl Default for Downloads {
    fn default() -> Self {
        Self {
            sizes: PerCall::default(),
            day: Trailing::new(DAY, 48),
        }
    }
}

impl Downloads {
    /// Creates an empty record with known response sizes.
    #[must_use]
    pub fn with_sizes(sizes: PerCall<Bytes>) -> Self {
        Self {
            sizes,
            ..Self::default()
        }
    }

    /// Records a response of this size.
    pub fn received(&mut self, call: Call, bytes: Bytes, now: AccountTime) {
        self.sizes[call] = bytes;
        self.day.expire(now);
        self.day.add(now, as_f64(bytes));
    }

    /// Returns false if another response to this call would exceed `limit` in the trailing day. Only usage is
    /// limited like this. The other responses are small and more important.
    pub fn admits(&mut self, call: Call, limit: Bytes, now: AccountTime) -> bool {
        self.day.expire(now);
        call != Call::RawUsageStats || self.day.sum() + as_f64(self.sizes[call]) <= as_f64(limit)
    }

    /// Returns intervals that keep the responses of a day within `limit`. Usage stretches first, then the other
    /// calls.
    #[must_use]
    pub fn affordable(&self, wanted: Pace, limit: Bytes) -> Pace {
        let size = |call: Call| as_f64(self.sizes[call]);
        let limit = as_f64(limit);
        let per_day = |size: f64, interval: Duration| {
            size * DAY.as_secs_f64() / interval.as_secs_f64().max(1.0)
        };
        let mut pace = wanted;
        let inventory: f64 = wanted.inventory_calls().map(size).sum();
        let others = per_day(size(Call::LiveServiceInfo), wanted.live)
            + per_day(size(Call::RateLimitStatus), wanted.points)
            + per_day(inventory, wanted.inventory);
        let stretch = others / (OTHERS_FRACTION * limit);
        if stretch > 1.0 {
            pace.live = wanted.live.mul_f64(stretch);
            pace.points = wanted.points.mul_f64(stretch);
            pace.inventory = wanted.inventory.mul_f64(stretch);
        }
        let left = (limit - others.min(OTHERS_FRACTION * limit)).max(1.0);
        let needed =
            Duration::try_from_secs_f64(size(Call::RawUsageStats) * DAY.as_secs_f64() / left)
                .unwrap_or(MAX_USAGE_INTERVAL);
        pace.usage = wanted.usage.max(needed.min(MAX_USAGE_INTERVAL));
        pace
    }

    /// Returns the sizes last seen.
    #[must_use]
    pub const fn sizes(&self) -> PerCall<Bytes> {
        self.sizes
    }

    /// Returns the responses of the trailing day, for the state file.
    #[must_use]
    pub fn save(&self, now: AccountTime) -> Vec<SavedAmount> {
        self.day.save(now)
    }

    /// Restores the values that [`Self::sizes`] and [`Self::save`] returned `elapsed` ago.
    pub fn restore(
        &mut self,
        sizes: PerCall<Bytes>,
        received: &[SavedAmount],
        elapsed: Duration,
        now: AccountTime,
    ) {
        self.sizes = sizes;
        self.day.restore(received, elapsed, now);
    }
}

fn as_f64(bytes: Bytes) -> f64 {
    Bytes::<f64>::from(bytes).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Collect;

    const WANTED: Pace = Pace {
        live: Duration::from_secs(120),
        points: Duration::from_secs(600),
        usage: Duration::from_secs(600),
        inventory: Duration::from_secs(3600),
        collect: Collect::NOTHING,
    };
    const MIB: u64 = 1 << 20;
    const LIMIT: Bytes = Bytes(50 * MIB);

    fn sizes(live: u64, points: u64, usage: u64) -> Downloads {
        let mut sizes = PerCall::default();
        sizes[Call::LiveServiceInfo] = Bytes(live);
        sizes[Call::RateLimitStatus] = Bytes(points);
        sizes[Call::RawUsageStats] = Bytes(usage);
        Downloads::with_sizes(sizes)
    }

    #[test]
    fn small_responses_keep_the_wanted_intervals() {
        let pace = sizes(4000, 100, 200_000).affordable(WANTED, LIMIT);
        assert_eq!(pace, WANTED);
    }

    #[test]
    fn usage_stretches_before_the_other_calls() {
        let downloads = sizes(4000, 100, 2 * MIB);
        let pace = downloads.affordable(WANTED, LIMIT);
        assert_eq!((pace.live, pace.points), (WANTED.live, WANTED.points));
        let per_day =
            |size: u64, interval: Duration| as_f64(Bytes(size)) * 86_400.0 / interval.as_secs_f64();
        let all =
            per_day(4000, pace.live) + per_day(100, pace.points) + per_day(2 * MIB, pace.usage);
        assert!(
            (0.99..1.001).contains(&(all / as_f64(LIMIT))),
            "{all} bytes"
        );
    }

    #[test]
    fn live_stretches_if_it_exceeds_the_limit_alone_and_usage_stays_daily() {
        let pace = sizes(MIB, 100, 2 * MIB).affordable(WANTED, LIMIT);
        let live = as_f64(Bytes(MIB)) * 86_400.0 / pace.live.as_secs_f64();
        assert!(live <= 0.9 * as_f64(LIMIT), "{live} bytes of live");
        assert!(pace.usage <= DAY);
    }

    #[test]
    fn large_usage_responses_wait_until_they_fit_into_the_day() {
        let mut downloads = Downloads::default();
        let start = AccountTime::from_secs(100_000);
        for hour in 0..3 {
            let now = start + Duration::from_secs(3600 * hour);
            assert!(downloads.admits(Call::RawUsageStats, Bytes(10 * MIB), now));
            downloads.received(Call::RawUsageStats, Bytes(3 * MIB), now);
        }
        let later = start + Duration::from_secs(3 * 3600);
        assert!(!downloads.admits(Call::RawUsageStats, Bytes(10 * MIB), later));
        assert!(downloads.admits(Call::LiveServiceInfo, Bytes(10 * MIB), later));
        let next_day = start + DAY + DAY / 48 + Duration::from_secs(1);
        assert!(downloads.admits(Call::RawUsageStats, Bytes(10 * MIB), next_day));
    }

    #[test]
    fn restarts_keep_the_age_of_received_bytes() {
        let mut downloads = Downloads::default();
        let mut clock = AccountTime::from_secs(200_000);
        downloads.received(Call::RawUsageStats, Bytes(3 * MIB), clock);
        let half_an_hour = Duration::from_secs(1800);
        for _ in 0..48 {
            let (sizes, saved) = (downloads.sizes(), downloads.save(clock));
            assert!(!downloads.admits(Call::RawUsageStats, Bytes(4 * MIB), clock));
            clock += Duration::from_secs(500_123);
            downloads = Downloads::default();
            downloads.restore(sizes, &saved, half_an_hour, clock);
        }
        assert!(downloads.admits(Call::RawUsageStats, Bytes(4 * MIB), clock + half_an_hour));
    }
}
