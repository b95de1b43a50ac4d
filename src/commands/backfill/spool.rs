//! External sort of usage rows by time, with at most a few thousand of them in memory.
//!
//! The rows go to a temporary file in sorted stretches. The API sends the oldest first, so a history usually is one
//! stretch. A history in another order has several, which are merged while reading.

use std::fs::File;
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use crate::kiwivm::model::UsageRow;
use crate::units::{Bytes, UnixSeconds};

/// Rows sorted at a time, which bounds memory.
const SORT_ROWS: usize = 4096;
/// Rows of a stretch read at a time.
const READ_AHEAD: usize = 64;
const FIELDS: usize = 6;
const RECORD: usize = FIELDS * 8;
/// Encodes an absent field: no row has this many bytes.
const NONE: u64 = u64::MAX;

/// Stores histories, one after the other.
pub(super) struct Spool {
    file: File,
    rows: Vec<UsageRow>,
    written: u64,
    /// The current history, and the time of its last written row.
    stretches: Stretches,
    last: Option<UnixSeconds<i64>>,
}

/// The positions of the rows of a history in the file, in records.
pub(super) type Stretches = Vec<Range<u64>>;

impl Spool {
    /// An empty spool.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            file: tempfile::tempfile()?,
            rows: Vec::with_capacity(SORT_ROWS),
            written: 0,
            stretches: Vec::new(),
            last: None,
        })
    }

    /// Adds a row to the current history.
    pub(super) fn push(&mut self, row: UsageRow) -> io::Result<()> {
        self.rows.push(row);
        if self.rows.len() < SORT_ROWS {
            return Ok(());
        }
        self.write()
    }

    /// Ends the current history; the next row begins another.
    pub(super) fn end(&mut self) -> io::Result<Stretches> {
        self.write()?;
        self.last = None;
        Ok(std::mem::take(&mut self.stretches))
    }

    fn write(&mut self) -> io::Result<()> {
        self.rows.sort_by_key(|row| row.timestamp);
        let (Some(first), Some(last)) = (self.rows.first(), self.rows.last()) else {
            return Ok(());
        };
        let continues = self.last.is_some_and(|last| first.timestamp > last);
        self.last = Some(last.timestamp);
        let begin = self.written;
        let mut bytes = Vec::with_capacity(self.rows.len() * RECORD);
        for row in self.rows.drain(..) {
            for field in fields(&row) {
                bytes.extend_from_slice(&field.to_le_bytes());
            }
            self.written += 1;
        }
        match self.stretches.last_mut() {
            Some(stretch) if continues => stretch.end = self.written,
            _ => self.stretches.push(begin..self.written),
        }
        self.file.write_all(&bytes)
    }

    /// The rows of a history in order, one for each time. Of several rows of one time, the first counts.
    pub(super) fn sorted(&self, stretches: &[Range<u64>]) -> Sorted<'_> {
        let stretches = stretches.iter().map(|records| Stretch {
            left: records.clone(),
            ahead: Vec::new(),
        });
        Sorted {
            file: &self.file,
            stretches: stretches.collect(),
            last: None,
        }
    }
}

/// Iterates over the rows of a history in order.
pub(super) struct Sorted<'a> {
    file: &'a File,
    stretches: Vec<Stretch>,
    last: Option<UnixSeconds<i64>>,
}

struct Stretch {
    left: Range<u64>,
    /// Rows read ahead, the next one last.
    ahead: Vec<UsageRow>,
}

impl Sorted<'_> {
    /// The next row, if there is one.
    pub(super) fn next(&mut self) -> io::Result<Option<UsageRow>> {
        loop {
            for stretch in &mut self.stretches {
                stretch.read_ahead(self.file)?;
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
        if !self.ahead.is_empty() || self.left.is_empty() {
            return Ok(());
        }
        let left = usize::try_from(self.left.end - self.left.start).unwrap_or(READ_AHEAD);
        let mut bytes = [0; READ_AHEAD * RECORD];
        let bytes = &mut bytes[..READ_AHEAD.min(left) * RECORD];
        file.read_exact_at(bytes, self.left.start * RECORD as u64)?;
        self.ahead.extend(bytes.chunks_exact(RECORD).map(row));
        self.left.start += self.ahead.len() as u64;
        self.ahead.reverse();
        Ok(())
    }
}

fn fields(row: &UsageRow) -> [u64; FIELDS] {
    let bytes = |field: Option<Bytes>| field.map_or(NONE, |bytes| bytes.0);
    [
        row.timestamp.0.cast_unsigned(),
        row.cpu_percent.map_or(NONE, f64::to_bits),
        bytes(row.network_in),
        bytes(row.network_out),
        bytes(row.disk_read),
        bytes(row.disk_written),
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
        timestamp: UnixSeconds(field(0).cast_signed()),
        cpu_percent: known(1).map(f64::from_bits),
        network_in: known(2).map(Bytes),
        network_out: known(3).map(Bytes),
        disk_read: known(4).map(Bytes),
        disk_written: known(5).map(Bytes),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(timestamp: i64, network_in: Option<u64>) -> UsageRow {
        UsageRow {
            timestamp: UnixSeconds(timestamp),
            cpu_percent: (timestamp % 3 == 0).then_some(0.5),
            network_in: network_in.map(Bytes),
            network_out: Some(Bytes(7)),
            disk_read: None,
            disk_written: Some(Bytes(0)),
        }
    }

    fn read(spool: &Spool, stretches: &Stretches) -> Vec<UsageRow> {
        let mut sorted = spool.sorted(stretches);
        std::iter::from_fn(|| sorted.next().expect("it can be read")).collect()
    }

    fn put(spool: &mut Spool, rows: &[UsageRow]) -> Stretches {
        for row in rows {
            spool.push(*row).expect("there is room");
        }
        spool.end().expect("there is room")
    }

    fn round_trip(rows: &[UsageRow]) -> (usize, Vec<UsageRow>) {
        let mut spool = Spool::new().expect("there is room");
        let stretches = put(&mut spool, rows);
        (stretches.len(), read(&spool, &stretches))
    }

    #[test]
    fn histories_are_separate_and_can_be_read_again() {
        let mut spool = Spool::new().expect("there is room");
        let histories = [1, 2, 3].map(|scale| {
            let rows: Vec<_> = (1..5000 * scale)
                .map(|at| row(at * 300 * scale, None))
                .collect();
            (put(&mut spool, &rows), rows)
        });
        for (stretches, rows) in histories.iter().chain(&histories) {
            assert_eq!(stretches.len(), 1);
            assert_eq!(&read(&spool, stretches), rows);
        }
    }

    #[test]
    fn a_history_in_order_is_one_stretch() {
        let rows: Vec<_> = (1..20_000).map(|at| row(at * 300, Some(1))).collect();
        assert_eq!(round_trip(&rows), (1, rows));
        assert_eq!(round_trip(&[]), (0, vec![]));
    }

    #[test]
    fn sorts_a_reversed_history() {
        let rows: Vec<_> = (1..20_000).map(|at| row(at * 300, None)).collect();
        let reversed: Vec<_> = rows.iter().rev().copied().collect();
        let (stretches, found) = round_trip(&reversed);
        assert_eq!((stretches, found), (5, rows));
    }

    proptest! {
        #[test]
        fn keeps_the_first_row_of_each_time(times in prop::collection::vec(1..2000_i64, 0..9000)) {
            let rows: Vec<_> = times.iter().zip(0..).map(|(time, at)| row(*time, Some(at))).collect();
            let mut expected = std::collections::BTreeMap::new();
            for row in &rows {
                expected.entry(row.timestamp).or_insert(*row);
            }
            let (_, found) = round_trip(&rows);
            prop_assert_eq!(found, expected.into_values().collect::<Vec<_>>());
        }
    }
}
