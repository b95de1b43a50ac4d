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
    /// The beginning of a row whose end has not arrived.
    item: Vec<u8>,
    /// Empty: room for the fields of a row.
    fields: Fields,
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
        let mut left = bytes;
        while let Some(byte) = left.first() {
            let taken = if let Some(rows) = self.rows {
                self.within_rows(rows, left, row)?
            } else {
                self.outside_rows(*byte)?;
                1
            };
            left = &left[taken..];
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

    /// Takes in the bytes up to the end of a row, or all if it does not end in them. Returns how many that are.
    fn within_rows(
        &mut self,
        mut rows: Rows,
        bytes: &[u8],
        row: &mut dyn FnMut(UsageRow),
    ) -> Result<usize, DecodeError> {
        let mut text = self.text;
        let end = bytes.iter().position(|byte| {
            let before = text;
            text = before.after(*byte);
            match byte {
                _ if before != Text::Outside => return false,
                b',' | b']' | b'}' if rows.depth == 0 => return true,
                b'[' | b'{' => rows.depth += 1,
                b']' | b'}' => rows.depth -= 1,
                _ => {}
            }
            false
        });
        self.text = text;
        let mut piece = &bytes[..end.unwrap_or(bytes.len())];
        if self.item.is_empty() {
            piece = piece.trim_ascii_start();
        }
        if self.item.len() + piece.len() > LARGEST_ROW {
            return Err(DecodeError::new(
                Reason::BadShape,
                "the answer has a usage row of more than 64 KiB",
            ));
        }
        let Some(end) = end else {
            self.item.extend_from_slice(piece);
            self.rows = Some(rows);
            return Ok(bytes.len());
        };
        let byte = bytes[end];
        if byte != b',' && (byte == b'}') != rows.object {
            return Err(not_json());
        }
        let mut item = std::mem::take(&mut self.item);
        let value = if item.is_empty() {
            piece
        } else {
            item.extend_from_slice(piece);
            &item
        };
        if byte == b',' || rows.after_comma || !value.is_empty() {
            self.end_of_row(value, rows, row)?;
        }
        item.clear();
        self.item = item;
        self.rows = if byte == b',' {
            Some(Rows {
                after_comma: true,
                ..rows
            })
        } else {
            self.rest.push(byte);
            None
        };
        Ok(end + 1)
    }

    fn end_of_row(
        &mut self,
        value: &[u8],
        rows: Rows,
        row: &mut dyn FnMut(UsageRow),
    ) -> Result<(), DecodeError> {
        let value = if rows.object {
            after_key(value).ok_or_else(not_json)?
        } else {
            value
        };
        let mut deserializer = serde_json::Deserializer::from_slice(value);
        let item = Item(FIELDS, std::mem::take(&mut self.fields));
        let fields = serde::de::DeserializeSeed::deserialize(item, &mut deserializer)
            .and_then(|fields| deserializer.end().map(|()| fields))
            .map_err(|_| not_json())?;
        let Some(mut fields) = fields else {
            self.problem("data");
            return Ok(());
        };
        let usage = read(&mut fields);
        for problem in fields.problems.drain(..) {
            self.problem(problem);
        }
        fields.values.clear();
        self.fields = fields;
        if let Some(usage) = usage {
            row(usage);
        }
        Ok(())
    }

    fn problem(&mut self, name: &'static str) {
        if !self.problems.contains(&name) {
            self.problems.push(name);
        }
    }
}

/// A row; one without a time is none.
fn read(row: &mut Fields) -> Option<UsageRow> {
    let timestamp = row
        .read("timestamp", Loose::timestamp)
        .filter(|timestamp| *timestamp > 0);
    let Some(timestamp) = timestamp else {
        row.problem("timestamp");
        return None;
    };
    Some(UsageRow {
        timestamp,
        cpu_percent: row
            .read("cpu_usage", Loose::real)
            .filter(|percent| *percent >= 0.0),
        network_in: row.read("network_in_bytes", Loose::count),
        network_out: row.read("network_out_bytes", Loose::count),
        disk_read: row.read("disk_read_bytes", Loose::count),
        disk_written: row.read("disk_write_bytes", Loose::count),
    })
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
