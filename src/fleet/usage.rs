//! Counters of usage rows. Each row is added exactly once, in any order and however often the API returns it.
//!
//! Counting starts with the first response that has a valid row: its newest row is the beginning, and rows up to it are
//! never counted. A response without a valid row does not start the counting; otherwise a whole day of traffic would be
//! counted at once when rows return.
//!
//! A row is new if it is newer than the newest counted row, or if it is at most [`LATE`] older than that, newer than
//! the beginning, and its time was not counted yet. Older rows are ignored because they are coarser and may be sums of
//! counted rows. If the API's history starts over, counting continues from the newest counted row.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::forecast::{HourSums, HourlyUsage};
use super::times::Times;
use crate::kiwivm::model::UsageRow;
use crate::units::{Bytes, UnixSeconds};

/// Seconds behind the newest row within which late rows are still counted.
pub const LATE: i64 = 24 * 3600;
/// Tolerated clock difference in seconds. Rows further in the future are rejected, because they would hide later rows.
pub(super) const CLOCK_TOLERANCE: f64 = 15.0 * 60.0;
/// Maximum plausible transfer of a row: no VPS transfers a pebibyte within one interval.
const MOST_BYTES: Bytes = Bytes(1 << 50);

/// Sums of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageTotals {
    /// Received from the network.
    pub network_in: Bytes,
    /// Sent to the network.
    pub network_out: Bytes,
    /// Read from disk.
    pub disk_read: Bytes,
    /// Written to disk.
    pub disk_written: Bytes,
    /// Number of rows ignored because they were too late or impossible.
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
            *sum = sum.saturating_add(bytes.unwrap_or_default());
        }
    }
}

const fn amounts(row: &UsageRow) -> [Option<Bytes>; 4] {
    [
        row.network_in,
        row.network_out,
        row.disk_read,
        row.disk_written,
    ]
}

/// Bytes in both directions, if at least one is known.
fn transfer(row: &UsageRow) -> Option<Bytes> {
    let directions = [row.network_in, row.network_out];
    directions
        .into_iter()
        .flatten()
        .reduce(Bytes::saturating_add)
}

/// False for a row from the future or with more than a pebibyte.
#[must_use]
pub fn plausible(row: &UsageRow, now: UnixSeconds) -> bool {
    UnixSeconds::from(row.timestamp) <= now + CLOCK_TOLERANCE
        && amounts(row)
            .iter()
            .flatten()
            .all(|bytes| *bytes <= MOST_BYTES)
}

/// State of the usage counters of one VPS, from its first row on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageHistory {
    /// The newest row.
    pub newest: UsageRow,
    /// The sums so far.
    pub totals: UsageTotals,
    /// Rows up to here predate the counting.
    #[serde(default)]
    beginning: UnixSeconds<i64>,
    /// The times counted within [`LATE`] of the newest, ascending.
    counted: Times,
    /// Number of rows of the last response that were too old to be counted, plus counted rows that have become too old.
    /// `None` until a response is in order.
    old: Option<u64>,
    /// Number of impossible rows in the last response.
    impossible: u64,
}

/// Reads the rows of one response, one by one and in any order. Each row costs at most one tree lookup, so the time for
/// a response is bounded by its length, whatever it contains.
#[derive(Clone, Debug)]
pub struct UsageReading {
    before: Option<UsageHistory>,
    newest: Option<UsageRow>,
    totals: UsageTotals,
    /// The times counted before this response and in it.
    counted: BTreeSet<u32>,
    old: OldRows,
    impossible: u64,
    hours: HourSums,
    now: UnixSeconds,
}

/// Number of rows in a response that are too old to be counted. A response may hold years of them, so their times are
/// not kept: duplicates are recognized only in ordered rows, and there is no number for an unordered response.
#[derive(Clone, Copy, Debug, Default)]
struct OldRows {
    count: u64,
    last: u32,
    disordered: bool,
}

impl OldRows {
    fn add(&mut self, time: u32) {
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
    /// Starts reading the response to a call made at `now`.
    #[must_use]
    pub fn new(before: Option<&UsageHistory>, now: UnixSeconds) -> Self {
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

    /// Adds a row. Of several rows with the same time the first counts.
    pub fn take(&mut self, row: UsageRow) {
        let time = u32::try_from(row.timestamp.0).ok();
        let Some(time) = time.filter(|_| plausible(&row, self.now)) else {
            self.impossible += 1;
            return;
        };
        if let Some(bytes) = transfer(&row) {
            self.hours.add(UnixSeconds(time), bytes);
        }
        if let Some(before) = &self.before {
            if row.timestamp <= before.beginning {
                return;
            }
            if row.timestamp <= before.newest.timestamp - LATE {
                self.old.add(time);
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

    /// Transfer by hour. Hours without rows keep their previous values.
    #[must_use]
    pub fn hours(&self, before: Option<&HourlyUsage>) -> Option<HourlyUsage> {
        self.hours.merge(before)
    }

    /// Finishes a successful response; `None` until the first valid row.
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
        // Do not compare the next response with one that has less than half of the history.
        let old = self
            .old
            .count()
            .filter(|old| before.old.is_none_or(|known| old * 2 >= known))
            .or(before.old);
        let mut grown_old = self.counted;
        let floor = newest.timestamp.0.saturating_sub(LATE).saturating_add(1);
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
