//! Counters made of usage rows: each row is added exactly once, in whatever order and however often the API returns it.
//!
//! A row is new when it is newer than the newest one counted, or when it is at most [`LATE`] older than that and its
//! time was not counted yet. What is older still may be a sum of rows that were counted (older rows are coarser), so it
//! is ignored. The first answer is where counting begins: its rows are taken for counted. A history that starts anew
//! goes on from the newest row counted.

use serde::{Deserialize, Serialize};

use super::times::Times;
use crate::kiwivm::model::UsageRow;

/// Rows that arrive late are accepted for so long behind the newest, in seconds.
pub const LATE: i64 = 24 * 3600;
/// A row from the future, beyond a clock that is a little off, would hide every later row. In seconds.
const CLOCK_TOLERANCE: f64 = 15.0 * 60.0;
/// No VPS moves a petabyte in the interval of a row.
const MOST_BYTES: u64 = 1 << 50;

/// Sums of rows in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageTotals {
    /// Received from the network.
    pub network_in: u64,
    /// Sent to the network.
    pub network_out: u64,
    /// Read from disk.
    pub disk_read: u64,
    /// Written to disk.
    pub disk_written: u64,
    /// Rows ignored because they were too late or impossible; not bytes.
    pub rows_ignored: u64,
}

impl UsageTotals {
    /// Adds a row.
    pub fn add(&mut self, row: &UsageRow) {
        let sums = [
            &mut self.network_in,
            &mut self.network_out,
            &mut self.disk_read,
            &mut self.disk_written,
        ];
        for (sum, bytes) in sums.into_iter().zip(amounts(row)) {
            *sum = sum.saturating_add(bytes.unwrap_or(0));
        }
    }
}

const fn amounts(row: &UsageRow) -> [Option<u64>; 4] {
    [
        row.network_in,
        row.network_out,
        row.disk_read,
        row.disk_written,
    ]
}

/// True unless a row tells what can not be at `now`, Unix seconds: the future, or a petabyte.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a time of this century")]
pub fn plausible(row: &UsageRow, now: f64) -> bool {
    row.timestamp as f64 <= now + CLOCK_TOLERANCE
        && amounts(row)
            .iter()
            .flatten()
            .all(|bytes| *bytes <= MOST_BYTES)
}

/// What is remembered of the rows of one VPS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageHistory {
    /// The newest row that was counted; `None` while there was none.
    pub newest: Option<UsageRow>,
    /// The sums so far.
    pub totals: UsageTotals,
    /// Unix seconds: its time, or when an empty history was first seen.
    high_water: i64,
    /// The times counted within [`LATE`] of the newest, ascending.
    counted: Times,
    /// Rows of the last answer that were too old to be counted, those that were counted and have grown too old included.
    /// `None` while no answer was in order.
    old: Option<u64>,
    /// Rows of the last answer that were impossible.
    impossible: u64,
}

/// Takes in the rows of one answer, one by one.
#[derive(Clone, Debug)]
pub struct UsageReading {
    before: Option<UsageHistory>,
    /// What `before` has counted.
    counted: Vec<u32>,
    newest: Option<UsageRow>,
    totals: UsageTotals,
    new: Vec<u32>,
    old: OldRows,
    impossible: u64,
    now: f64,
}

/// How many rows of an answer are too old to be counted. Years of them come with every answer, so their times can not
/// be kept: in order a row that comes twice is seen, and an answer in another order tells nothing.
#[derive(Clone, Copy, Debug, Default)]
struct OldRows {
    count: u64,
    last: u32,
    disordered: bool,
}

impl OldRows {
    fn take(&mut self, time: u32) {
        self.count += u64::from(time > self.last);
        self.disordered |= time < self.last;
        self.last = time;
    }

    const fn count(self) -> Option<u64> {
        if self.disordered {
            None
        } else {
            Some(self.count)
        }
    }
}

impl UsageReading {
    /// Begins to read an answer to what was asked at `now`, Unix seconds.
    #[must_use]
    pub fn new(before: Option<&UsageHistory>, now: f64) -> Self {
        Self {
            before: before.cloned(),
            counted: before.map_or_else(Vec::new, |before| before.counted.iter().collect()),
            newest: before.and_then(|before| before.newest),
            totals: before.map(|before| before.totals).unwrap_or_default(),
            new: Vec::new(),
            old: OldRows::default(),
            impossible: 0,
            now,
        }
    }

    /// Takes in a row. Of several rows of one time the first counts.
    pub fn take(&mut self, row: UsageRow) {
        let time = u32::try_from(row.timestamp).ok();
        let Some(time) = time.filter(|_| plausible(&row, self.now)) else {
            self.impossible += 1;
            return;
        };
        match &self.before {
            Some(before) if row.timestamp <= before.high_water - LATE => {
                self.old.take(time);
                return;
            }
            Some(_) if self.counted.binary_search(&time).is_ok() => return,
            _ => {}
        }
        if !insert(&mut self.new, time) {
            return;
        }
        if self.before.is_none() {
            self.forget_the_old_of_a_first_answer();
        } else {
            self.totals.add(&row);
        }
        if self
            .newest
            .is_none_or(|newest| row.timestamp > newest.timestamp)
        {
            self.newest = Some(row);
        }
    }

    /// Years of rows may come, and only those of the last day are of use.
    fn forget_the_old_of_a_first_answer(&mut self) {
        const MANY: usize = 1024;
        if self.new.len() >= MANY {
            forget(&mut self.new).for_each(|time| self.old.take(time));
        }
    }

    /// What is known after an answer that succeeded.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "a time of this century")]
    pub fn finish(mut self) -> UsageHistory {
        let first = self.before.is_none();
        if first {
            forget(&mut self.new).for_each(|time| self.old.take(time));
        }
        let old = self.old.count();
        let (high_water, known_old, known_impossible) = match self.before {
            Some(before) => (before.high_water, before.old, before.impossible),
            None => (self.now as i64, None, 0),
        };
        self.new.append(&mut self.counted);
        self.new.sort_unstable();
        let high_water = match self.newest {
            Some(newest) if first => newest.timestamp,
            Some(newest) => high_water.max(newest.timestamp),
            None => high_water,
        };
        let grown_old = forget(&mut self.new).count() as u64;
        let mut totals = self.totals;
        if !first {
            let late = old.zip(known_old);
            totals.rows_ignored += late.map_or(0, |(old, known)| old.saturating_sub(known))
                + self.impossible.saturating_sub(known_impossible);
        }
        // An answer with half a history is not what the next one is compared with.
        let old = old
            .filter(|old| known_old.is_none_or(|known| old * 2 >= known))
            .or(known_old);
        UsageHistory {
            newest: self.newest,
            totals,
            high_water,
            counted: self.new.into_iter().collect(),
            old: old.map(|old| old + grown_old),
            impossible: self.impossible,
        }
    }
}

/// Inserts into ascending times; false when it is there already.
fn insert(times: &mut Vec<u32>, time: u32) -> bool {
    if times.last().is_none_or(|last| *last < time) {
        times.push(time);
        return true;
    }
    match times.binary_search(&time) {
        Ok(_) => false,
        Err(position) => {
            times.insert(position, time);
            true
        }
    }
}

/// Takes out the times that are [`LATE`] behind the last.
fn forget(times: &mut Vec<u32>) -> std::vec::IntoIter<u32> {
    let floor = times.last().map_or(0, |last| i64::from(*last) - LATE);
    let old = times.partition_point(|time| i64::from(*time) <= floor);
    let recent = times.split_off(old);
    std::mem::replace(times, recent).into_iter()
}
