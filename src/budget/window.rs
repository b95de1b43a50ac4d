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
/// The same where it matters less: a minute, an hour.
const COARSE_BUCKETS: [u32; 2] = [15, 24];
/// How many buckets there is room for at a time.
const MORE_BUCKETS: usize = 8;

/// Amounts of the last `length` of time, kept in buckets. A bucket counts in full until the latest of it has left the
/// window, so a sum is never too small.
#[derive(Clone, Debug, PartialEq)]
pub struct Trailing {
    width: u64,
    length: u64,
    buckets: VecDeque<Bucket>,
    sum: f64,
    expired: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Bucket {
    /// When the last of the amount was counted, in ms. Kept exactly, so that restarts, after which the bounds of buckets
    /// lie elsewhere, do not make an amount younger each time.
    latest: u64,
    /// How much earlier the first of it was counted, in ms.
    spread: u32,
    /// Rounded up to seven digits: there may be hundreds of buckets for each VPS.
    amount: f32,
}

impl Bucket {
    fn amount(self) -> f64 {
        f64::from(self.amount)
    }

    const fn earliest(self) -> u64 {
        self.latest.saturating_sub(self.spread as u64)
    }
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
        self.add_spread(millis(at), millis(at), amount);
    }

    fn add_spread(&mut self, earliest: u64, latest: u64, amount: f64) {
        let spread = |earliest, latest: u64| {
            u32::try_from(latest.saturating_sub(earliest)).unwrap_or(u32::MAX)
        };
        let index = latest / self.width;
        let position = self.position(index);
        match self.buckets.get_mut(position) {
            Some(bucket) if bucket.latest / self.width == index => {
                let earliest = bucket.earliest().min(earliest);
                bucket.latest = bucket.latest.max(latest);
                bucket.spread = spread(earliest, bucket.latest);
                let before = bucket.amount();
                bucket.amount = rounded_up(before + amount);
                self.sum += bucket.amount() - before;
            }
            _ => {
                if self.buckets.len() == self.buckets.capacity() {
                    // There are a few of these for each VPS: twice as many buckets as are ever filled would be felt.
                    self.buckets.reserve_exact(MORE_BUCKETS);
                }
                let spread = spread(earliest, latest);
                let bucket = Bucket {
                    latest,
                    spread,
                    amount: rounded_up(amount),
                };
                self.buckets.insert(position, bucket);
                self.sum += bucket.amount();
            }
        }
    }

    /// Where the bucket of this number is, or would be.
    fn position(&self, index: u64) -> usize {
        let begin = index * self.width;
        self.buckets.partition_point(|bucket| bucket.latest < begin)
    }

    /// Takes back what [`Self::add`] counted at that time, unless it has left the window.
    pub fn take_back(&mut self, at: Duration, amount: f64) {
        let index = millis(at) / self.width;
        let position = self.position(index);
        if let Some(bucket) = self.buckets.get_mut(position)
            && bucket.latest / self.width == index
        {
            let before = bucket.amount();
            bucket.amount = rounded_up((before - amount).max(0.0));
            self.sum = (self.sum - before + bucket.amount()).max(0.0);
        }
    }

    /// Forgets what has left the window.
    pub fn expire(&mut self, now: Duration) {
        let now = millis(now);
        while let Some(bucket) = self.buckets.front().copied() {
            if bucket.latest + self.length >= now {
                break;
            }
            self.buckets.pop_front();
            self.sum -= bucket.amount();
            self.expired += bucket.amount();
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
            .range(self.position(first)..)
            .map(|bucket| bucket.amount())
            .sum()
    }

    /// All that has ever left the window, of the bucket that is leaving in proportion.
    #[must_use]
    pub fn expired(&self, now: Duration) -> f64 {
        let leaving = self.buckets.front().map_or(0.0, |bucket| {
            let left = millis(now).saturating_sub(bucket.earliest() + self.length);
            let spread = f64::from(bucket.spread.max(1));
            bucket.amount() * (millis_f64(left) / spread).min(1.0)
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
        for bucket in &self.buckets {
            let expires = bucket.latest + self.length;
            rate =
                rate.min((limit - left) * 1000.0 / millis_f64(expires.saturating_sub(now).max(1)));
            left -= bucket.amount();
        }
        rate.min(limit * 1000.0 / millis_f64(self.length + self.width))
            .max(0.0)
    }

    /// Adds everything that another timeline of the same length holds.
    pub fn merge(&mut self, other: &Self) {
        for bucket in &other.buckets {
            self.add_spread(bucket.earliest(), bucket.latest, bucket.amount());
        }
    }

    /// The amounts and their ages, for a file.
    #[must_use]
    pub fn save(&self, now: Duration) -> Vec<Entry> {
        self.buckets
            .iter()
            .filter(|bucket| bucket.amount > 0.0)
            .map(|bucket| Entry {
                age_seconds: millis_f64(millis(now).saturating_sub(bucket.latest)) / 1000.0,
                spread_seconds: f64::from(bucket.spread) / 1000.0,
                amount: bucket.amount(),
            })
            .collect()
    }

    /// Puts back what [`Self::save`] gave `elapsed` ago. Amounts that no file of ours holds are passed over.
    pub fn restore(&mut self, entries: &[Entry], elapsed: Duration, now: Duration) {
        for entry in entries {
            let age =
                Duration::try_from_secs_f64(entry.age_seconds.max(0.0)).unwrap_or(Duration::MAX);
            if entry.amount.is_finite() && entry.amount > 0.0 {
                let at = now.saturating_sub(elapsed).saturating_sub(age);
                let spread = Duration::try_from_secs_f64(entry.spread_seconds).unwrap_or_default();
                self.add_spread(millis(at.saturating_sub(spread)), millis(at), entry.amount);
            }
        }
        self.expire(now);
    }
}

/// An amount that was counted some time ago.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Seconds from its latest part until it was saved.
    pub age_seconds: f64,
    /// Seconds from its earliest part to its latest.
    #[serde(default)]
    pub spread_seconds: f64,
    /// In the unit of what is counted.
    pub amount: f64,
}

/// What was spent in both windows, at the price at which it was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Ledger([Trailing; 2]);

impl Ledger {
    /// Nothing spent, in windows of these lengths.
    #[must_use]
    pub fn new(lengths: [Duration; 2]) -> Self {
        Self::of(lengths, BUCKETS)
    }

    /// The same in less memory: what is counted leaves up to a minute and up to an hour late.
    #[must_use]
    pub fn coarse(lengths: [Duration; 2]) -> Self {
        Self::of(lengths, COARSE_BUCKETS)
    }

    fn of(lengths: [Duration; 2], buckets: [u32; 2]) -> Self {
        Self(std::array::from_fn(|window| {
            Trailing::new(lengths[window], buckets[window])
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

    /// The entries of each window, for a file.
    #[must_use]
    pub fn save(&self, now: Duration) -> [Vec<Entry>; 2] {
        [0, 1].map(|window| self.0[window].save(now))
    }

    /// Puts back what [`Self::save`] gave `elapsed` ago.
    pub fn restore(&mut self, entries: &[Vec<Entry>; 2], elapsed: Duration, now: Duration) {
        for (window, entries) in self.0.iter_mut().zip(entries) {
            window.restore(entries, elapsed, now);
        }
    }
}

/// The smallest number of its kind that is not less.
#[expect(clippy::cast_possible_truncation, reason = "mended at once")]
fn rounded_up(amount: f64) -> f32 {
    let near = amount as f32;
    if f64::from(near) < amount {
        near.next_up()
    } else {
        near
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LENGTH: Duration = Duration::from_secs(900);
    const BUCKET: Duration = Duration::from_secs(5);

    fn trailing() -> Trailing {
        Trailing::new(LENGTH, 180)
    }

    proptest! {
        #[test]
        fn a_sum_is_never_too_small_and_late_by_a_bucket_at_most(
            amounts in prop::collection::vec((0_u64..3_000_000, 0.1_f64..20.0), 0..60),
            now in 3_000_000_u64..4_000_000,
            buckets in prop::sample::select(vec![BUCKETS[0], COARSE_BUCKETS[0]]),
        ) {
            let mut window = Trailing::new(LENGTH, buckets);
            for (at, amount) in &amounts {
                window.add(Duration::from_millis(*at), *amount);
            }
            let mut merged = trailing();
            merged.merge(&window);
            let now = Duration::from_millis(now);
            let within = |length: Duration| -> f64 {
                let from = now.saturating_sub(length);
                amounts
                    .iter()
                    .filter(|(at, _)| Duration::from_millis(*at) >= from)
                    .map(|(_, amount)| amount)
                    .sum()
            };
            for window in [&mut window, &mut merged] {
                window.expire(now);
                prop_assert!(window.sum() >= within(LENGTH) - 1e-6);
                let late = within(LENGTH + LENGTH / buckets);
                prop_assert!(window.sum() <= late * (1.0 + 1e-5) + 1e-6);
            }
        }

        #[test]
        fn what_is_sustainable_never_passes_the_limit(
            amounts in prop::collection::vec((0_u64..900_000, 0.1_f64..20.0), 0..60),
            limit in 1.0_f64..500.0,
        ) {
            let mut window = trailing();
            for (at, amount) in &amounts {
                window.add(Duration::from_millis(*at), *amount);
            }
            let begin = Duration::from_secs(900);
            window.expire(begin);
            let before = window.sum();
            let rate = window.sustainable(limit, begin);
            for second in 1..2000_u64 {
                let now = begin + Duration::from_secs(second);
                window.expire(now);
                if before <= limit {
                    prop_assert!(window.sum() <= limit + rate + 1e-6, "{} of {limit}", window.sum());
                }
                window.add(now, rate);
            }
        }
    }

    #[test]
    fn restarts_keep_what_is_in_the_window_and_do_not_make_it_younger() {
        let mut window = trailing();
        for second in 0..100 {
            window.add(Duration::from_secs(second), 1.0);
        }
        // Each process has its own clock, so the bounds of its buckets lie elsewhere.
        let mut clock = Duration::from_secs(100);
        for restart in 0_u64..60 {
            let saved = window.save(clock);
            clock = Duration::from_millis(90_000_000 + 1237 * restart);
            window = trailing();
            window.restore(&saved, Duration::from_secs(10), clock);
        }
        // 700 seconds have passed since the first was counted.
        assert!((window.sum() - 100.0).abs() < 1e-6);
        window.expire(clock + Duration::from_secs(202));
        assert!(window.sum() > 97.0, "{}", window.sum());
        window.expire(clock + Duration::from_secs(300) + 2 * BUCKET);
        assert!(window.sum() < 1e-6, "{}", window.sum());
    }

    #[test]
    fn amounts_that_no_file_of_ours_holds_are_passed_over() {
        let entry = |age_seconds, amount| Entry {
            age_seconds,
            spread_seconds: f64::NAN,
            amount,
        };
        let mut window = trailing();
        let odd = [
            entry(1.0, f64::NAN),
            entry(1.0, -5.0),
            entry(f64::NAN, 1.0),
            entry(-3.0, 2.0),
            entry(1e300, 4.0),
        ];
        window.restore(&odd, Duration::ZERO, Duration::from_secs(86_400));
        assert!((window.sum() - 3.0).abs() < 1e-9, "{}", window.sum());
    }

    #[test]
    fn a_call_counts_from_its_end() {
        let mut ledger = Ledger::new(WINDOW_LENGTHS);
        let (sent, ended) = (Duration::from_secs(100), Duration::from_secs(140));
        ledger.add(sent, 20.0);
        ledger.postpone(sent, ended, 20.0);
        ledger.expire(sent + WINDOW_LENGTHS[0] + Duration::from_secs(39));
        assert!((ledger.window(Window::Quarter).sum() - 20.0).abs() < 1e-9);
        ledger.expire(ended + WINDOW_LENGTHS[0] + BUCKET);
        assert!(ledger.window(Window::Quarter).sum() < 1e-9);
        assert!((ledger.window(Window::Day).sum() - 20.0).abs() < 1e-9);
    }
}
