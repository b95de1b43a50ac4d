//! The two windows in which KiwiVM counts points, and sums over the trailing part of a timeline.

use std::collections::VecDeque;
use std::time::Duration;

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
    /// Both; `ALL[window as usize] == window`.
    pub const ALL: [Self; 2] = [Self::Quarter, Self::Day];

    /// The value of the `window` label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quarter => "15m",
            Self::Day => "24h",
        }
    }
}

/// The lengths of [`Window::ALL`].
pub const WINDOW_LENGTHS: [Duration; 2] =
    [Duration::from_secs(15 * 60), Duration::from_secs(24 * 3600)];
/// How finely each window is kept: 5 seconds, 10 minutes. What is counted leaves that much late at worst.
const BUCKETS: [u32; 2] = [180, 144];

/// Amounts of the last `length` of time, kept in buckets. A bucket counts in full until its end has left the window,
/// so a sum is never too small.
#[derive(Clone, Debug, PartialEq)]
pub struct Trailing {
    width: u64,
    length: u64,
    buckets: VecDeque<(u64, f64)>,
    sum: f64,
    expired: f64,
}

impl Trailing {
    /// Nothing yet, over `length`, in about `buckets` buckets.
    #[must_use]
    pub fn new(length: Duration, buckets: u32) -> Self {
        Self {
            width: millis(length / buckets).max(1),
            length: millis(length),
            buckets: VecDeque::new(),
            sum: 0.0,
            expired: 0.0,
        }
    }

    /// Counts an amount at a time, in any order.
    pub fn add(&mut self, at: Duration, amount: f64) {
        let index = millis(at) / self.width;
        let position = self.buckets.partition_point(|(bucket, _)| *bucket < index);
        match self.buckets.get_mut(position) {
            Some((bucket, total)) if *bucket == index => *total += amount,
            _ => self.buckets.insert(position, (index, amount)),
        }
        self.sum += amount;
    }

    /// Takes back what [`Self::add`] counted at that time, unless it has left the window.
    pub fn take_back(&mut self, at: Duration, amount: f64) {
        let index = millis(at) / self.width;
        if let Ok(position) = self
            .buckets
            .binary_search_by_key(&index, |(bucket, _)| *bucket)
        {
            let taken = amount.min(self.buckets[position].1);
            self.buckets[position].1 -= taken;
            self.sum = (self.sum - taken).max(0.0);
        }
    }

    /// Forgets what has left the window.
    pub fn expire(&mut self, now: Duration) {
        let now = millis(now);
        while let Some((index, amount)) = self.buckets.front().copied() {
            if (index + 1) * self.width + self.length > now {
                break;
            }
            self.buckets.pop_front();
            self.sum -= amount;
            self.expired += amount;
        }
        if self.buckets.is_empty() {
            self.sum = 0.0;
        }
    }

    /// What is in the window, as of the last [`Self::expire`].
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sum.max(0.0)
    }

    /// What was counted at `from` or later, and perhaps up to a bucket before.
    #[must_use]
    pub fn since(&self, from: Duration) -> f64 {
        let first = millis(from) / self.width;
        self.buckets
            .iter()
            .rev()
            .take_while(|(bucket, _)| *bucket >= first)
            .map(|(_, amount)| amount)
            .sum()
    }

    /// All that has ever left the window, of the bucket that is leaving in proportion.
    #[must_use]
    pub fn expired(&self, now: Duration) -> f64 {
        let leaving = self.buckets.front().map_or(0.0, |(index, amount)| {
            let left = millis(now).saturating_sub(index * self.width + self.length);
            amount * (millis_f64(left) / millis_f64(self.width)).min(1.0)
        });
        self.expired + leaving
    }

    /// The highest steady rate a second, beginning at `now`, with which the sum stays within `limit` whenever what is
    /// in the window now leaves it. Zero when the limit is passed already.
    #[must_use]
    pub fn sustainable(&self, limit: f64, now: Duration) -> f64 {
        let now = millis(now);
        let mut left = self.sum();
        let mut rate = f64::INFINITY;
        for (index, amount) in &self.buckets {
            let expires = (index + 1) * self.width + self.length;
            rate =
                rate.min((limit - left) * 1000.0 / millis_f64(expires.saturating_sub(now).max(1)));
            left -= amount;
        }
        rate.min(limit * 1000.0 / millis_f64(self.length + self.width))
            .max(0.0)
    }

    /// Adds everything that another timeline of the same shape holds.
    pub fn merge(&mut self, other: &Self) {
        for (index, amount) in &other.buckets {
            self.add(Duration::from_millis(index * self.width), *amount);
        }
    }
}

/// What was spent in both windows, at the price at which it was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Ledger([Trailing; 2]);

impl Ledger {
    /// Nothing spent, in windows of these lengths.
    #[must_use]
    pub fn new(lengths: [Duration; 2]) -> Self {
        Self(std::array::from_fn(|window| {
            Trailing::new(lengths[window], BUCKETS[window])
        }))
    }

    /// Counts points spent at a time.
    pub fn add(&mut self, at: Duration, points: f64) {
        for window in &mut self.0 {
            window.add(at, points);
        }
    }

    /// Moves points from the time a call was sent to the time it ended: the API counted it somewhere in between.
    pub fn postpone(&mut self, from: Duration, to: Duration, points: f64) {
        for window in &mut self.0 {
            window.take_back(from, points);
            window.add(to, points);
        }
    }

    /// Forgets what has left each window.
    pub fn expire(&mut self, now: Duration) {
        for window in &mut self.0 {
            window.expire(now);
        }
    }

    /// One of the windows.
    #[must_use]
    pub fn window(&self, window: Window) -> &Trailing {
        &self.0[window as usize]
    }

    /// Adds everything that another ledger holds.
    pub fn merge(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            own.merge(other);
        }
    }

    /// The entries as ages in seconds and points, for a file: the fine window where it reaches, the coarse one before.
    #[must_use]
    pub fn save(&self, now: Duration) -> Vec<Entry> {
        let [fine, coarse] = &self.0;
        let reaches = fine
            .buckets
            .front()
            .map_or(u64::MAX, |(index, _)| index * fine.width);
        let mut before = coarse.sum() - fine.sum();
        let mut entries = Vec::new();
        for (index, amount) in &coarse.buckets {
            // The fine window covers the end of the coarse one; of a bucket in both, the rest is older.
            let amount = amount.min(before);
            if amount > 1e-9 {
                let at = (index * coarse.width + coarse.width - 1).min(reaches);
                entries.push(Entry::new(now, at, amount));
                before -= amount;
            }
        }
        entries.extend(
            fine.buckets
                .iter()
                .filter(|(_, amount)| *amount > 0.0)
                .map(|(index, amount)| {
                    Entry::new(now, index * fine.width + fine.width - 1, *amount)
                }),
        );
        entries
    }

    /// Puts back what [`Self::save`] gave.
    pub fn restore(&mut self, entries: &[Entry], now: Duration) {
        for entry in entries {
            let age =
                Duration::try_from_secs_f64(entry.age_seconds.max(0.0)).unwrap_or(Duration::MAX);
            if entry.points.is_finite() && entry.points > 0.0 {
                self.add(now.saturating_sub(age), entry.points);
            }
        }
        self.expire(now);
    }
}

/// Points spent some time ago.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Seconds before the file was written.
    pub age_seconds: f64,
    /// At the price at which they were sent.
    pub points: f64,
}

impl Entry {
    fn new(now: Duration, at: u64, points: f64) -> Self {
        Self {
            age_seconds: millis_f64(millis(now).saturating_sub(at)) / 1000.0,
            points,
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
