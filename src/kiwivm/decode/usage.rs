//! The answer to `getRawUsageStats` as it arrives: megabytes of rows of which none is kept.
//!
//! `serde_json` wants a whole document. So the bytes are cut at the ends of the rows, each row is read by itself, and
//! what is left of the answer without them is small and read like any other.

use super::list::Item;
use super::{DecodeError, Decoded, ENVELOPE, Fields, document};
use crate::kiwivm::Reason;
use crate::kiwivm::lenient::Loose;
use crate::kiwivm::model::{Answer, UsageRow};

const FIELDS: &[&str] = &[
    "timestamp",
    "cpu_usage",
    "network_in_bytes",
    "network_out_bytes",
    "disk_read_bytes",
    "disk_write_bytes",
];
/// A row is 150 bytes.
const LARGEST_ROW: usize = 64 << 10;
/// Everything but the rows is less than 100 bytes; an HTML page in place of an answer is more.
const LARGEST_REST: usize = 1 << 20;
const ROWS: &[u8] = b"\"data\"";

/// Reads an answer to `getRawUsageStats` in pieces of any size.
#[derive(Debug, Default)]
pub struct UsageStream {
    /// The answer without the rows.
    rest: Vec<u8>,
    /// Brackets open in `rest`.
    depth: usize,
    /// Where the last string in `rest` begins, and whether the value of `data` comes next.
    string_start: usize,
    last_string_is_data: bool,
    rows_follow: bool,
    text: Text,
    rows: Option<Rows>,
    item: Vec<u8>,
    problems: Vec<&'static str>,
}

/// Whether a byte stands in a string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Text {
    #[default]
    Outside,
    Inside,
    Escaped,
}

impl Text {
    const fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Outside, b'"') | (Self::Escaped, _) => Self::Inside,
            (Self::Inside, b'\\') => Self::Escaped,
            (Self::Outside, _) | (Self::Inside, b'"') => Self::Outside,
            (Self::Inside, _) => Self::Inside,
        }
    }
}

/// The list of rows while it is being read.
#[derive(Clone, Copy, Debug)]
struct Rows {
    /// A PHP list with gaps arrives as an object.
    object: bool,
    /// Brackets open within the list.
    depth: usize,
    after_comma: bool,
}

impl UsageStream {
    /// Takes in the next bytes and passes on the rows that end in them.
    ///
    /// # Errors
    ///
    /// When the bytes are no answer. The stream is of no use after that.
    pub fn push(&mut self, bytes: &[u8], row: &mut dyn FnMut(UsageRow)) -> Result<(), DecodeError> {
        for byte in bytes {
            match self.rows {
                Some(rows) => self.within_rows(rows, *byte, row)?,
                None => self.outside_rows(*byte)?,
            }
        }
        Ok(())
    }

    /// What the answer says once all of it has arrived.
    ///
    /// # Errors
    ///
    /// When it is no answer, or one that says that the call failed. The rows passed on do not count then.
    pub fn finish(self) -> Result<Decoded, DecodeError> {
        if self.rows.is_some() {
            return Err(DecodeError::new(Reason::NotJson, "the answer is cut off"));
        }
        let mut fields = document(&self.rest, &[ENVELOPE, &["data"]], None)?;
        // Rows were taken out, so anything but an empty list is none.
        let odd = fields.get("data").is_some_and(|data| data.list().is_err());
        for problem in self.problems.into_iter().chain(odd.then_some("data")) {
            fields.problem(problem);
        }
        Ok(Decoded {
            answer: Answer::Usage,
            problems: fields.problems,
        })
    }

    fn outside_rows(&mut self, byte: u8) -> Result<(), DecodeError> {
        if self.rest.len() >= LARGEST_REST {
            return Err(DecodeError::new(
                Reason::BadShape,
                "the answer is long and is no list of usage rows",
            ));
        }
        self.rest.push(byte);
        let before = self.text;
        self.text = before.after(byte);
        if before != Text::Outside {
            if self.text == Text::Outside {
                self.last_string_is_data = &self.rest[self.string_start..] == ROWS;
            }
            return Ok(());
        }
        match byte {
            b'"' => self.string_start = self.rest.len() - 1,
            b'[' | b'{' if self.rows_follow => {
                self.rows = Some(Rows {
                    object: byte == b'{',
                    depth: 0,
                    after_comma: false,
                });
            }
            b'[' | b'{' => self.depth += 1,
            b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            self.rows_follow = byte == b':' && self.depth == 1 && self.last_string_is_data;
        }
        Ok(())
    }

    fn within_rows(
        &mut self,
        mut rows: Rows,
        byte: u8,
        row: &mut dyn FnMut(UsageRow),
    ) -> Result<(), DecodeError> {
        let before = self.text;
        self.text = before.after(byte);
        let structural = before == Text::Outside && rows.depth == 0;
        match byte {
            b',' if structural => {
                self.end_of_row(rows, row)?;
                rows.after_comma = true;
            }
            b']' | b'}' if structural => {
                if (byte == b'}') != rows.object {
                    return Err(not_json());
                }
                if !self.item.is_empty() || rows.after_comma {
                    self.end_of_row(rows, row)?;
                }
                self.rest.push(byte);
                self.rows = None;
                return Ok(());
            }
            _ if self.item.is_empty() && byte.is_ascii_whitespace() => {}
            _ => {
                if before == Text::Outside {
                    match byte {
                        b'[' | b'{' => rows.depth += 1,
                        b']' | b'}' => rows.depth -= 1,
                        _ => {}
                    }
                }
                if self.item.len() >= LARGEST_ROW {
                    return Err(DecodeError::new(
                        Reason::BadShape,
                        "the answer has a usage row of more than 64 KiB",
                    ));
                }
                self.item.push(byte);
            }
        }
        self.rows = Some(rows);
        Ok(())
    }

    fn end_of_row(&mut self, rows: Rows, row: &mut dyn FnMut(UsageRow)) -> Result<(), DecodeError> {
        let value = if rows.object {
            after_key(&self.item).ok_or_else(not_json)?
        } else {
            &self.item
        };
        let mut deserializer = serde_json::Deserializer::from_slice(value);
        let fields = serde::de::DeserializeSeed::deserialize(Item(FIELDS), &mut deserializer)
            .and_then(|fields| deserializer.end().map(|()| fields))
            .map_err(|_| not_json())?;
        self.item.clear();
        match fields.map(read) {
            Some((usage, problems)) => {
                for problem in problems {
                    self.problem(problem);
                }
                if let Some(usage) = usage {
                    row(usage);
                }
            }
            None => self.problem("data"),
        }
        Ok(())
    }

    fn problem(&mut self, name: &'static str) {
        if !self.problems.contains(&name) {
            self.problems.push(name);
        }
    }
}

/// A row and its problems. A row without a time is none.
fn read(mut row: Fields) -> (Option<UsageRow>, Vec<&'static str>) {
    let timestamp = row
        .read("timestamp", Loose::timestamp)
        .filter(|timestamp| *timestamp > 0);
    let Some(timestamp) = timestamp else {
        row.problem("timestamp");
        return (None, row.problems);
    };
    let usage = UsageRow {
        timestamp,
        cpu_percent: row
            .read("cpu_usage", Loose::real)
            .filter(|percent| *percent >= 0.0),
        network_in: row.read("network_in_bytes", Loose::count),
        network_out: row.read("network_out_bytes", Loose::count),
        disk_read: row.read("disk_read_bytes", Loose::count),
        disk_written: row.read("disk_write_bytes", Loose::count),
    };
    (Some(usage), row.problems)
}

/// The value of `"key": value`.
fn after_key(entry: &[u8]) -> Option<&[u8]> {
    let mut text = Text::Outside;
    let colon = entry.iter().position(|byte| {
        let before = text;
        text = text.after(*byte);
        before == Text::Outside && *byte == b':'
    })?;
    let (key, value) = entry.split_at(colon);
    serde_json::from_slice::<serde::de::IgnoredAny>(key).ok()?;
    key.starts_with(b"\"").then_some(&value[1..])
}

fn not_json() -> DecodeError {
    DecodeError::new(
        Reason::NotJson,
        "the answer is not JSON (in its usage rows)",
    )
}
