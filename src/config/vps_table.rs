//! Reads the rows of the vendor's export.

use csv::ByteRecord;
use zeroize::Zeroizing;

use super::key_source::{InvalidKey, parse_key};
use super::vps_file::VpsFileError;
use crate::kiwivm::{ApiKey, Veid};

/// A reader for the known columns, which are found by their names in the first row.
pub struct Table<'a> {
    text: &'a [u8],
    reader: csv::Reader<&'a [u8]>,
    record: ByteRecord,
    /// The offset and the line of the last row.
    pub place: (usize, u64),
    veid: usize,
    key: usize,
    hostname: Option<usize>,
    terminated: Option<usize>,
}

/// The values of a row in the known columns.
pub struct CsvFields {
    pub line: u64,
    pub veid: Option<Veid>,
    pub key: Result<ApiKey, InvalidKey>,
    pub hostname: String,
    pub terminated: bool,
}

impl<'a> Table<'a> {
    pub fn open(text: &'a [u8]) -> Result<Self, VpsFileError> {
        let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        // A spreadsheet program may have saved the file with another delimiter.
        let count = |delimiter: u8| first.split(|byte| *byte == delimiter).count();
        let delimiter = [b',', b';', b'\t']
            .into_iter()
            .rev()
            .max_by_key(|delimiter| count(*delimiter))
            .unwrap_or(b',');
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .from_reader(text);
        let mut record = ByteRecord::new();
        reader
            .read_byte_record(&mut record)
            .map_err(VpsFileError::NotCsv)?;
        let column = |name: &'static str| {
            let is = |field: &[u8]| field.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
            let mut found = record.iter().enumerate().filter(|(_, field)| is(field));
            let column = found.next().map(|(column, _)| column);
            match found.next() {
                Some(_) => Err(VpsFileError::DuplicateColumn(name)),
                None => Ok(column),
            }
        };
        let needed = |name: &'static str| column(name)?.ok_or(VpsFileError::MissingColumn(name));
        let (veid, key) = (needed("VEID")?, needed("API_KEY")?);
        let (hostname, terminated) = (column("HOSTNAME")?, column("IS_TERMINATED")?);
        Ok(Self {
            text,
            reader,
            record,
            place: (0, 1),
            veid,
            key,
            hostname,
            terminated,
        })
    }

    pub fn next(&mut self) -> Result<Option<CsvFields>, VpsFileError> {
        let read = self.reader.read_byte_record(&mut self.record);
        if !read.map_err(VpsFileError::NotCsv)? {
            return Ok(None);
        }
        self.advance_line();
        let field = |column: usize| {
            let field = String::from_utf8_lossy(self.record.get(column).unwrap_or_default());
            field.trim().to_owned()
        };
        let veid = field(self.veid).parse().ok().filter(|veid| *veid > 0);
        let key = Zeroizing::new(field(self.key));
        let terminated = self.terminated.map(field).unwrap_or_default();
        Ok(Some(CsvFields {
            line: self.place.1,
            veid: veid.map(Veid),
            key: parse_key(&key),
            hostname: self.hostname.map(field).unwrap_or_default(),
            terminated: ["1", "true", "yes"]
                .iter()
                .any(|yes| terminated.eq_ignore_ascii_case(yes)),
        }))
    }

    /// Advances to the line of the row that was read. The line number of the CSV reader is off, as it does not count
    /// the line break of the previous row.
    fn advance_line(&mut self) {
        let (mut at, mut line) = self.place;
        let begin = self.record.position().map_or(0, csv::Position::byte);
        while let Some(byte) = self.text.get(at) {
            let ends = matches!(byte, b'\r' | b'\n');
            if at as u64 >= begin && !ends {
                break;
            }
            at += 1;
            let within = *byte == b'\r' && self.text.get(at) == Some(&b'\n');
            line += u64::from(ends && !within);
        }
        self.place = (at, line);
    }
}
