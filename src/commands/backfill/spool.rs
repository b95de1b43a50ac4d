//! Usage rows in the order of their times, without holding more than a few thousand of them in memory.
//!
//! The rows go to a temporary file in sorted stretches. The API sends the oldest first, so a history is one stretch as a
//! rule; a history in another order has several, which are merged while reading.

use std::fs::File;
use std::io::{self, Write as _};
use std::ops::Range;
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

/// Takes in one history after the other.
pub(super) struct Spool {
    file: File,
    rows: Vec<UsageRow>,
    written: u64,
    /// The present history, and the last row of it that was written.
    stretches: Stretches,
    last: Option<i64>,
}

/// Where in the file the rows of a history are, in records.
pub(super) type Stretches = Vec<Range<u64>>;

impl Spool {
    /// An empty one.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            file: tempfile::tempfile()?,
            rows: Vec::with_capacity(AT_A_TIME),
            written: 0,
            stretches: Vec::new(),
            last: None,
        })
    }

    /// Takes in a row of the present history.
    pub(super) fn push(&mut self, row: UsageRow) -> io::Result<()> {
        self.rows.push(row);
        if self.rows.len() < AT_A_TIME {
            return Ok(());
        }
        self.write()
    }

    /// Ends the present history; the next row begins another.
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
        let goes_on = self.last.is_some_and(|last| first.timestamp > last);
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
            Some(stretch) if goes_on => stretch.end = self.written,
            _ => self.stretches.push(begin..self.written),
        }
        self.file.write_all(&bytes)
    }

    /// Gives the rows of a history back, each time once and in order. Of several rows of one time the first counts.
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

/// The rows in order.
pub(super) struct Sorted<'a> {
    file: &'a File,
    stretches: Vec<Stretch>,
    last: Option<i64>,
}

struct Stretch {
    left: Range<u64>,
    /// Rows that were read, the next one last.
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
        let left = usize::try_from(self.left.end - self.left.start).unwrap_or(AHEAD);
        let mut bytes = [0; AHEAD * RECORD];
        let bytes = &mut bytes[..AHEAD.min(left) * RECORD];
        file.read_exact_at(bytes, self.left.start * RECORD as u64)?;
        self.ahead.extend(bytes.chunks_exact(RECORD).map(row));
        self.left.start += self.ahead.len() as u64;
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

    fn through(rows: &[UsageRow]) -> (usize, Vec<UsageRow>) {
        let mut spool = Spool::new().expect("there is room");
        let stretches = put(&mut spool, rows);
        (stretches.len(), read(&spool, &stretches))
    }

    #[test]
    fn histories_do_not_mix_and_can_be_read_again() {
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
