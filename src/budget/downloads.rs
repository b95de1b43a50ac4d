//! Bytes of answers, by the sizes last seen.

use std::time::Duration;

use super::schedule::Pace;
use super::window::Trailing;
use crate::kiwivm::Call;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Usage is not put off for longer than this because of its size.
const LONGEST_USAGE: Duration = DAY;
/// Of the limit, what the other calls may take before they are stretched too.
const OF_THE_REST: f64 = 0.9;

/// What one VPS's answers weigh.
#[derive(Clone, Debug)]
pub struct Downloads {
    sizes: [u64; Call::ALL.len()],
    day: Trailing,
}

impl Default for Downloads {
    fn default() -> Self {
        Self {
            sizes: [0; Call::ALL.len()],
            day: Trailing::new(DAY, 48),
        }
    }
}

impl Downloads {
    /// Answers of these sizes, by [`Call::index`], were seen last.
    #[must_use]
    pub fn with_sizes(sizes: [u64; Call::ALL.len()]) -> Self {
        Self {
            sizes,
            ..Self::default()
        }
    }

    /// An answer of so many bytes arrived.
    pub fn received(&mut self, call: Call, bytes: u64, now: Duration) {
        self.sizes[call.index()] = bytes;
        self.day.expire(now);
        self.day.add(now, as_f64(bytes));
    }

    /// True unless another answer of this call would pass `limit` bytes in the trailing day. Only usage waits for
    /// that: the others are too important, and too small.
    pub fn admits(&mut self, call: Call, limit: u64, now: Duration) -> bool {
        self.day.expire(now);
        call != Call::RawUsageStats
            || self.day.sum() + as_f64(self.sizes[call.index()]) <= as_f64(limit)
    }

    /// Intervals that keep the answers of a day within `limit` bytes: usage stretches first, then the rest.
    #[must_use]
    pub fn bearable(&self, wanted: Pace, limit: u64) -> Pace {
        let [live, points, usage, _] = self.sizes.map(as_f64);
        let limit = as_f64(limit);
        let a_day = |size: f64, interval: Duration| {
            size * DAY.as_secs_f64() / interval.as_secs_f64().max(1.0)
        };
        let mut pace = wanted;
        let rest = a_day(live, wanted.live) + a_day(points, wanted.points);
        let too_much = rest / (OF_THE_REST * limit);
        if too_much > 1.0 {
            pace.live = wanted.live.mul_f64(too_much);
            pace.points = wanted.points.mul_f64(too_much);
        }
        let left = (limit - rest.min(OF_THE_REST * limit)).max(1.0);
        let needed =
            Duration::try_from_secs_f64(usage * DAY.as_secs_f64() / left).unwrap_or(LONGEST_USAGE);
        pace.usage = wanted.usage.max(needed.min(LONGEST_USAGE));
        pace
    }

    /// The sizes last seen, by [`Call::index`].
    #[must_use]
    pub const fn sizes(&self) -> [u64; Call::ALL.len()] {
        self.sizes
    }

    /// What was received in the trailing day.
    #[must_use]
    pub fn of_the_day(&self) -> f64 {
        self.day.sum()
    }

    /// Puts back what [`Self::sizes`] and [`Self::of_the_day`] told, as if it had all arrived just now.
    pub fn restore(&mut self, sizes: [u64; Call::ALL.len()], of_the_day: f64, now: Duration) {
        self.sizes = sizes;
        if of_the_day > 0.0 && of_the_day.is_finite() {
            self.day.add(now.saturating_sub(DAY / 2), of_the_day);
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "answers are far below 2^53 bytes"
)]
const fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}
