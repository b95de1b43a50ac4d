//! Counters made of usage rows: each row is added exactly once, in whatever order and however often the API returns it.
//!
//! Counting begins with the first response that has a real row: the newest row of it is the beginning, and what is not
//! newer is never counted. A response without a real row begins nothing, or a day of traffic would seem to pass at once
//! when the rows are back.
//!
//! A row is new when it is newer than the newest one counted, or when it is at most [`LATE`] older than that, newer than
//! the beginning, and its time was not counted yet. What is older still may be a sum of rows that were counted (older rows
//! are coarser), so it is ignored. A history that starts anew goes on from the newest row counted.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::forecast::{HourSums, HourlyUsage};
use super::times::Times;
use crate::kiwivm::model::UsageRow;

/// Rows that arrive late are accepted for so long behind the newest, in seconds.
pub const LATE: i64 = 24 * 3600;
/// A row from the future, beyond a clock that is a little off, would hide every later row. In seconds.
pub(super) const CLOCK_TOLERANCE: f64 = 15.0 * 60.0;
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

/// Bytes in both directions, if one of them is known.
fn transfer(row: &UsageRow) -> Option<u64> {
    let directions = [row.network_in, row.network_out];
    directions.into_iter().flatten().reduce(u64::saturating_add)
}

/// True unless a row tells what cannot be at `now`, Unix seconds: the future, or a petabyte.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a time of this century")]
pub fn plausible(row: &UsageRow, now: f64) -> bool {
    row.timestamp as f64 <= now + CLOCK_TOLERANCE
        && amounts(row)
            .iter()
            .flatten()
            .all(|bytes| *bytes <= MOST_BYTES)
}

/// The memory of the rows of one VPS, once there was one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageHistory {
    /// The newest row.
    pub newest: UsageRow,
    /// The sums so far.
    pub totals: UsageTotals,
    /// Unix seconds: rows up to here are from before the counting.
    #[serde(default)]
    beginning: i64,
    /// The times counted within [`LATE`] of the newest, ascending.
    counted: Times,
    /// Rows of the last response that were too old to be counted, those that were counted and have grown too old included.
    /// `None` while no response was in order.
    old: Option<u64>,
    /// Rows of the last response that were impossible.
    impossible: u64,
}

/// Takes in the rows of one response, one by one and in any order. A row takes a step in a tree at most, so that the time
/// for a response grows with its length, whatever is in it.
#[derive(Clone, Debug)]
pub struct UsageReading {
    before: Option<UsageHistory>,
    newest: Option<UsageRow>,
    totals: UsageTotals,
    /// The times counted before and now.
    counted: BTreeSet<u32>,
    old: OldRows,
    impossible: u64,
    hours: HourSums,
    now: f64,
}

/// Number of rows in a response that are too old to be counted. Years of them come with every response, so their times cannot
/// be kept: in order a row that comes twice is seen, and a response in another order tells nothing.
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
    /// Begins to read the response to a call made at `now`, Unix seconds.
    #[must_use]
    pub fn new(before: Option<&UsageHistory>, now: f64) -> Self {
        Self {
            before: before.cloned(),
            newest: before.map(|before| before.newest),
            totals: before.map(|before| before.totals).unwrap_or_default(),
            counted: before.map_or_else(BTreeSet::new, |before| before.counted.iter().collect()),
            old: OldRows::default(),
            impossible: 0,
            hours: HourSums::new(now),
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
        if let Some(bytes) = transfer(&row) {
            self.hours.take(time, bytes);
        }
        if let Some(before) = &self.before {
            if row.timestamp <= before.beginning {
                return;
            }
            if row.timestamp <= before.newest.timestamp - LATE {
                self.old.take(time);
                return;
            }
            if !self.counted.insert(time) {
                return;
            }
            self.totals.add(&row);
        }
        if self
            .newest
            .is_none_or(|newest| row.timestamp > newest.timestamp)
        {
            self.newest = Some(row);
        }
    }

    /// Transfer by hour, in hours without rows as it was known before.
    #[must_use]
    pub fn hours(&self, before: Option<&HourlyUsage>) -> Option<HourlyUsage> {
        self.hours.merge(before)
    }

    /// Ends the reading of a response that succeeded; `None` as long as no real row has come.
    #[must_use]
    pub fn finish(self) -> Option<UsageHistory> {
        let newest = self.newest?;
        let Some(before) = self.before else {
            return Some(UsageHistory {
                newest,
                totals: self.totals,
                beginning: newest.timestamp,
                counted: Times::default(),
                old: Some(0),
                impossible: self.impossible,
            });
        };
        let late = self.old.count().zip(before.old);
        let mut totals = self.totals;
        totals.rows_ignored += late.map_or(0, |(old, known)| old.saturating_sub(known))
            + self.impossible.saturating_sub(before.impossible);
        // A response with half a history is not what the next one is compared with.
        let old = self
            .old
            .count()
            .filter(|old| before.old.is_none_or(|known| old * 2 >= known))
            .or(before.old);
        let mut grown_old = self.counted;
        let floor = newest.timestamp.saturating_sub(LATE).saturating_add(1);
        let counted = grown_old.split_off(&u32::try_from(floor).unwrap_or(0));
        Some(UsageHistory {
            newest,
            totals,
            beginning: before.beginning,
            counted: counted.into_iter().collect(),
            old: old.map(|old| old + grown_old.len() as u64),
            impossible: self.impossible,
        })
    }
}
