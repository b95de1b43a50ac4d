//! Changes of the values of many series, kept in a file: the history includes the memory use of its own process, which
//! must not grow with the history.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, Write as _};

/// Size of a record in bytes.
const RECORD: usize = 16;

/// Collects changes in chronological order.
pub struct Changes {
    file: BufWriter<File>,
}

/// A scrape, and the value of a series from then on, if any.
pub type Change = (u32, Option<f64>);

impl Changes {
    pub fn new() -> io::Result<Self> {
        let file = BufWriter::new(tempfile::tempfile()?);
        Ok(Self { file })
    }

    /// Appends a change of a series.
    pub fn push(&mut self, series: usize, (scrape, value): Change) -> io::Result<()> {
        let series = u32::try_from(series).map_err(io::Error::other)?;
        // NaN marks the end of a series, since no sample is NaN.
        let value = value.unwrap_or(f64::NAN);
        self.file.write_all(&series.to_le_bytes())?;
        self.file.write_all(&scrape.to_le_bytes())?;
        self.file.write_all(&value.to_le_bytes())
    }

    /// The changes of each of so many series.
    pub fn by_series(self, series: usize) -> io::Result<Vec<Vec<Change>>> {
        let mut file = self.file.into_inner()?;
        file.rewind()?;
        let mut file = BufReader::new(file);
        let mut changes = vec![Vec::new(); series];
        let mut record = [0; RECORD];
        while !file.fill_buf()?.is_empty() {
            file.read_exact(&mut record)?;
            let number = |at: usize| {
                u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
            };
            let value = f64::from_le_bytes(std::array::from_fn(|byte| record[8 + byte]));
            let series = usize::try_from(number(0)).map_err(io::Error::other)?;
            changes[series].push((number(4), (!value.is_nan()).then_some(value)));
        }
        Ok(changes)
    }
}
