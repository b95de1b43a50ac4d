//! Usage rows in the order of their times, without holding more than a few thousand of them in memory.
//!
//! The rows go to a temporary file in sorted stretches. The API sends the oldest first, so there is one stretch as a
//! rule; a history in another order has several, which are merged while reading.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;

use crate::kiwivm::model::UsageRow;

/// Rows that are sorted at a time.
const AT_A_TIME: usize = 4096;
/// Rows of a stretch that are read at a time.
const AHEAD: usize = 64;
const FIELDS: usize = 6;
const RECORD: usize = FIELDS * 8;
/// Stands for a field that did not arrive: no row has so many bytes.
const NONE: u64 = u64::MAX;

/// Takes in the rows of one VPS.
pub(super) struct Spool {
    file: File,
    rows: Vec<UsageRow>,
    /// Where the stretches end, in rows.
    ends: Vec<u64>,
    /// The last row that was written.
    last: i64,
    written: u64,
}

impl Spool {
    /// An empty one.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            file: tempfile::tempfile()?,
            rows: Vec::with_capacity(AT_A_TIME),
            ends: Vec::new(),
            last: i64::MAX,
            written: 0,
        })
    }

    /// Takes in a row.
    pub(super) fn push(&mut self, row: UsageRow) -> io::Result<()> {
        self.rows.push(row);
        if self.rows.len() < AT_A_TIME {
            return Ok(());
        }
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        self.rows.sort_by_key(|row| row.timestamp);
        let (Some(first), Some(last)) = (self.rows.first(), self.rows.last()) else {
            return Ok(());
        };
        let goes_on = first.timestamp > self.last && self.ends.pop().is_some();
        debug_assert!(goes_on || self.written == self.ends.last().copied().unwrap_or(0));
        self.last = last.timestamp;
        let mut bytes = Vec::with_capacity(self.rows.len() * RECORD);
        for row in self.rows.drain(..) {
            for field in fields(&row) {
                bytes.extend_from_slice(&field.to_le_bytes());
            }
            self.written += 1;
        }
        self.ends.push(self.written);
        self.file.write_all(&bytes)
    }

    /// Begins to give the rows back, each time once and in order. Of several rows of one time the first counts.
    pub(super) fn sorted(mut self) -> io::Result<Sorted> {
        self.write()?;
        let begins = [0].into_iter().chain(self.ends.iter().copied());
        let stretches = begins
            .zip(&self.ends)
            .map(|(next, end)| Stretch {
                next,
                end: *end,
                ahead: Vec::new(),
            })
            .collect();
        Ok(Sorted {
            file: self.file,
            stretches,
            last: None,
        })
    }
}

/// The rows in order.
pub(super) struct Sorted {
    file: File,
    stretches: Vec<Stretch>,
    last: Option<i64>,
}

struct Stretch {
    next: u64,
    end: u64,
    /// Rows that were read, the next one last.
    ahead: Vec<UsageRow>,
}

impl Sorted {
    /// The next row, if there is one.
    pub(super) fn next(&mut self) -> io::Result<Option<UsageRow>> {
        loop {
            for stretch in &mut self.stretches {
                stretch.read_ahead(&self.file)?;
            }
            let earliest = self
                .stretches
                .iter_mut()
                .filter(|stretch| !stretch.ahead.is_empty())
                .min_by_key(|stretch| stretch.ahead.last().map(|row| row.timestamp));
            let Some(row) = earliest.and_then(|stretch| stretch.ahead.pop()) else {
                return Ok(None);
            };
            if self.last.replace(row.timestamp) != Some(row.timestamp) {
                return Ok(Some(row));
            }
        }
    }
}

impl Stretch {
    fn read_ahead(&mut self, file: &File) -> io::Result<()> {
        if !self.ahead.is_empty() || self.next == self.end {
            return Ok(());
        }
        let left = usize::try_from(self.end - self.next).unwrap_or(AHEAD);
        let mut bytes = [0; AHEAD * RECORD];
        let bytes = &mut bytes[..AHEAD.min(left) * RECORD];
        file.read_exact_at(bytes, self.next * RECORD as u64)?;
        self.ahead.extend(bytes.chunks_exact(RECORD).map(row));
        self.next += self.ahead.len() as u64;
        self.ahead.reverse();
        Ok(())
    }
}

fn fields(row: &UsageRow) -> [u64; FIELDS] {
    [
        row.timestamp.cast_unsigned(),
        row.cpu_percent.map_or(NONE, f64::to_bits),
        row.network_in.unwrap_or(NONE),
        row.network_out.unwrap_or(NONE),
        row.disk_read.unwrap_or(NONE),
        row.disk_written.unwrap_or(NONE),
    ]
}

fn row(record: &[u8]) -> UsageRow {
    let field = |index: usize| {
        let bytes = record.get(index * 8..index * 8 + 8);
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(NONE, u64::from_le_bytes)
    };
    let known = |index: usize| Some(field(index)).filter(|field| *field != NONE);
    UsageRow {
        timestamp: field(0).cast_signed(),
        cpu_percent: known(1).map(f64::from_bits),
        network_in: known(2),
        network_out: known(3),
        disk_read: known(4),
        disk_written: known(5),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(timestamp: i64, network_in: Option<u64>) -> UsageRow {
        UsageRow {
            timestamp,
            cpu_percent: (timestamp % 3 == 0).then_some(0.5),
            network_in,
            network_out: Some(7),
            disk_read: None,
            disk_written: Some(0),
        }
    }

    fn through(rows: &[UsageRow]) -> (usize, Vec<UsageRow>) {
        let mut spool = Spool::new().expect("there is room");
        for row in rows {
            spool.push(*row).expect("there is room");
        }
        let mut sorted = spool.sorted().expect("there is room");
        let stretches = sorted.stretches.len();
        let mut found = Vec::new();
        while let Some(row) = sorted.next().expect("it can be read") {
            found.push(row);
        }
        (stretches, found)
    }

    #[test]
    fn a_history_in_order_is_one_stretch() {
        let rows: Vec<_> = (1..20_000).map(|at| row(at * 300, Some(1))).collect();
        assert_eq!(through(&rows), (1, rows));
        assert_eq!(through(&[]), (0, vec![]));
    }

    #[test]
    fn a_history_the_other_way_round_comes_back_in_order() {
        let rows: Vec<_> = (1..20_000).map(|at| row(at * 300, None)).collect();
        let reversed: Vec<_> = rows.iter().rev().copied().collect();
        let (stretches, found) = through(&reversed);
        assert_eq!((stretches, found), (5, rows));
    }

    proptest! {
        #[test]
        fn each_time_comes_once_and_the_first_row_of_it_counts(times in prop::collection::vec(1..2000_i64, 0..9000)) {
            let rows: Vec<_> = times.iter().zip(0..).map(|(time, at)| row(*time, Some(at))).collect();
            let mut expected = std::collections::BTreeMap::new();
            for row in &rows {
                expected.entry(row.timestamp).or_insert(*row);
            }
            let (_, found) = through(&rows);
            prop_assert_eq!(found, expected.into_values().collect::<Vec<_>>());
        }
    }
}
