//! The two windows in which KiwiVM counts API points, and trailing sums over these windows.

use std::collections::VecDeque;
use std::time::Duration;

use crate::units::{AccountTime, Points, PointsPerSecond};
use serde::{Deserialize, Serialize};

/// A window in which the API counts points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// 15 minutes.
    Quarter,
    /// 24 hours.
    Day,
}

impl Window {
    /// Both windows; `ALL[window as usize] == window`.
    pub const ALL: [Self; 2] = [Self::Quarter, Self::Day];

    /// Returns the value of the `window` label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quarter => "15m",
            Self::Day => "24h",
        }
    }

    /// Returns the length of the window in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Quarter => "15 minutes",
            Self::Day => "24 hours",
        }
    }

    /// Returns the length of the window.
    #[must_use]
    pub const fn length(self) -> Duration {
        WINDOW_LENGTHS[self as usize]
    }
}

/// The lengths of [`Window::ALL`].
pub const WINDOW_LENGTHS: [Duration; 2] =
    [Duration::from_secs(15 * 60), Duration::from_secs(24 * 3600)];
/// Buckets of each window, which are 20 seconds and 15 minutes wide. An amount may stay in its window for the width of
/// a bucket too long. That costs 1 to 2 % of the pace. A ledger takes 2 KB.
const BUCKETS: [u32; 2] = [45, 96];

/// Sum of the amounts in a trailing window, kept in buckets. A bucket counts in full until its latest amount has left
/// the window, so the sum is never too small.
#[derive(Clone, Debug, PartialEq)]
pub struct Trailing {
    width: u64,
    length: u64,
    /// For each bucket, the time of its latest amount in milliseconds and the sum of its amounts.
    buckets: VecDeque<(u64, f64)>,
    sum: f64,
    has_expired: bool,
}

impl Trailing {
    /// Creates an empty window of `length` with about `buckets` buckets.
    #[must_use]
    pub fn new(length: Duration, buckets: u32) -> Self {
        Self {
            width: millis(length / buckets).max(1),
            length: millis(length),
            buckets: VecDeque::new(),
            sum: 0.0,
            has_expired: false,
        }
    }

    /// Adds an amount. Times need not be in order.
    pub fn add(&mut self, at: AccountTime, amount: f64) {
        self.add_at(millis(at.since_zero()), amount);
    }

    fn add_at(&mut self, at: u64, amount: f64) {
        let start = at / self.width * self.width;
        let position = self.buckets.partition_point(|(latest, _)| *latest < start);
        match self.buckets.get_mut(position) {
            Some((latest, sum)) if *latest < start + self.width => {
                *latest = at.max(*latest);
                *sum += amount;
            }
            _ => self.buckets.insert(position, (at, amount)),
        }
        self.sum += amount;
    }

    /// Subtracts up to `amount`, from the latest amounts first.
    pub fn subtract(&mut self, mut amount: f64) {
        for (_, sum) in self.buckets.iter_mut().rev() {
            let taken = amount.min(*sum);
            *sum -= taken;
            self.sum -= taken;
            amount -= taken;
        }
    }

    /// Removes amounts that have left the window.
    pub fn expire(&mut self, now: AccountTime) {
        let now = millis(now.since_zero());
        while let Some((latest, sum)) = self.buckets.front().copied()
            && latest + self.length < now
        {
            self.buckets.pop_front();
            self.sum -= sum;
            self.has_expired = true;
        }
        if self.buckets.is_empty() {
            self.sum = 0.0;
        }
    }

    /// Returns the sum as of the last [`Self::expire`].
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sum.max(0.0)
    }

    /// Returns true if an amount ever left the window.
    #[must_use]
    pub const fn has_expired(&self) -> bool {
        self.has_expired
    }

    /// Returns the highest steady rate per second that keeps the sum within `limit` from `now` on, while the current
    /// amounts leave the window. Zero if the sum exceeds the limit already.
    #[must_use]
    pub fn sustainable(&self, limit: f64, now: AccountTime) -> f64 {
        let now = millis(now.since_zero());
        let mut left = self.sum();
        let mut rate = limit * 1000.0 / millis_f64(self.length + self.width);
        for (latest, sum) in &self.buckets {
            let expires_in = (latest + self.length).saturating_sub(now).max(1);
            rate = rate.min((limit - left) * 1000.0 / millis_f64(expires_in));
            left -= sum;
        }
        rate.max(0.0)
    }

    /// Adds the amounts of another window of the same length.
    pub fn merge(&mut self, other: &Self) {
        for (latest, sum) in &other.buckets {
            self.add_at(*latest, *sum);
        }
    }

    /// Returns the amounts with their ages.
    #[must_use]
    pub fn save(&self, now: AccountTime) -> Vec<SavedAmount> {
        let saved = |(latest, sum): &(u64, f64)| SavedAmount {
            age_seconds: millis_f64(millis(now.since_zero()).saturating_sub(*latest)) / 1000.0,
            amount: *sum,
        };
        self.buckets
            .iter()
            .filter(|(_, sum)| *sum > 0.0)
            .map(saved)
            .collect()
    }

    /// Restores the amounts that [`Self::save`] returned `elapsed` ago. Invalid amounts are ignored.
    pub fn restore(&mut self, entries: &[SavedAmount], elapsed: Duration, now: AccountTime) {
        for entry in entries {
            let age =
                Duration::try_from_secs_f64(entry.age_seconds.max(0.0)).unwrap_or(Duration::MAX);
            let at = now.checked_sub(elapsed).and_then(|at| at.checked_sub(age));
            if let Some(at) = at
                && entry.amount.is_finite()
                && entry.amount > 0.0
            {
                self.add(at, entry.amount);
            }
        }
        self.expire(now);
    }
}

/// A saved amount.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedAmount {
    /// Age in seconds at the time of saving.
    pub age_seconds: f64,
    /// The amount, in the unit of the window.
    pub amount: f64,
}

/// Points spent in both windows, at the prices when each call was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Ledger([Trailing; 2]);

impl Default for Ledger {
    fn default() -> Self {
        Self([0, 1].map(|window| Trailing::new(WINDOW_LENGTHS[window], BUCKETS[window])))
    }
}

impl Ledger {
    /// Adds points spent at a time.
    pub fn add(&mut self, at: AccountTime, points: Points) {
        self.0
            .iter_mut()
            .for_each(|window| window.add(at, points.0));
    }

    /// Corrects recent spending. `points` may be negative.
    pub fn correct(&mut self, now: AccountTime, points: Points) {
        if points >= Points::ZERO {
            self.add(now, points);
        } else {
            self.0
                .iter_mut()
                .for_each(|window| window.subtract(-points.0));
        }
    }

    /// Removes spending that has left each window.
    pub fn expire(&mut self, now: AccountTime) {
        self.0.iter_mut().for_each(|window| window.expire(now));
    }

    /// Returns the points spent in a window, as of the last [`Self::expire`].
    #[must_use]
    pub fn spent(&self, window: Window) -> Points {
        Points(self.0[window as usize].sum())
    }

    /// Returns true if spending ever left the window.
    #[must_use]
    pub const fn has_expired(&self, window: Window) -> bool {
        self.0[window as usize].has_expired()
    }

    /// Returns the highest steady rate that keeps the spending of a window within `limit`; see
    /// [`Trailing::sustainable`].
    #[must_use]
    pub fn sustainable(&self, window: Window, limit: Points, now: AccountTime) -> PointsPerSecond {
        PointsPerSecond(self.0[window as usize].sustainable(limit.0, now))
    }

    /// Adds the spending of another ledger.
    pub fn merge(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            own.merge(other);
        }
    }

    /// Returns the entries of each window.
    #[must_use]
    pub fn save(&self, now: AccountTime) -> [Vec<SavedAmount>; 2] {
        [0, 1].map(|window| self.0[window].save(now))
    }

    /// Restores the entries that [`Self::save`] returned `elapsed` ago.
    pub fn restore(
        &mut self,
        entries: &[Vec<SavedAmount>; 2],
        elapsed: Duration,
        now: AccountTime,
    ) {
        for (window, entries) in self.0.iter_mut().zip(entries) {
            window.restore(entries, elapsed, now);
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "exact for 285,000 years")]
const fn millis_f64(millis: u64) -> f64 {
    millis as f64
}

#[cfg(test)]
mod tests;
