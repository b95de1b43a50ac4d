//! A streaming decoder for `getRawUsageStats`, whose response has megabytes of rows.
//!
//! `serde_json` needs a whole document. So the stream is split at the ends of the rows and each row is decoded by
//! itself. The rest of the response is small and decoded like any other.

use super::{DecodeError, Decoded, Fields, parse_response, unescaped};
use crate::kiwivm::lenient::{InvalidValue, Loose};
use crate::kiwivm::model::{Payload, UsageRow};
use crate::kiwivm::{ApiKey, Call, Reason};

/// The field with the list of rows.
pub const ROWS: &str = "data";

const FIELDS: &[&str] = &[
    "timestamp",
    "cpu_usage",
    "network_in_bytes",
    "network_out_bytes",
    "disk_read_bytes",
    "disk_write_bytes",
];
/// Size limit of a row, which has about 150 bytes.
const MAX_ROW_SIZE: usize = 64 << 10;
/// Size limit of the response without the rows. The API sends less than 100 bytes; the HTML page of a proxy has more.
const MAX_REST_SIZE: usize = 1 << 20;
/// Limit of the CPU usage: a thousand cores at 100 %.
const MAX_PERCENT: f64 = 100_000.0;

/// Decodes a response to `getRawUsageStats` in chunks of any size.
#[derive(Debug, Default)]
pub struct UsageStream {
    /// The response without the rows.
    rest: Vec<u8>,
    /// Number of open brackets in `rest`.
    depth: usize,
    /// Offset of the last string in `rest`.
    string_start: usize,
    last_string_is_data: bool,
    /// True if the next value is that of `data`.
    rows_follow: bool,
    text: StringState,
    rows: Option<Rows>,
    /// The items of the list so far, once it has begun.
    items: Option<Items>,
    /// The beginning of an incomplete row.
    item: Vec<u8>,
    problems: Vec<&'static str>,
}

/// Position relative to strings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum StringState {
    #[default]
    Outside,
    Inside,
    Escaped,
}

impl StringState {
    const fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Outside, b'"') | (Self::Escaped, _) => Self::Inside,
            (Self::Inside, b'\\') => Self::Escaped,
            (Self::Outside, _) | (Self::Inside, b'"') => Self::Outside,
            (Self::Inside, _) => Self::Inside,
        }
    }
}

/// The items of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Items {
    None,
    /// Items that cannot be rows.
    Other,
    /// At least one item is an object.
    Objects,
}

/// State of the list of rows while it is being read.
#[derive(Clone, Copy, Debug)]
struct Rows {
    /// True if the list is an object, as PHP sends a list with gaps.
    object: bool,
    /// Number of open brackets within the list.
    depth: usize,
    after_comma: bool,
}

impl UsageStream {
    /// Adds a chunk and passes on the rows that it completes.
    ///
    /// # Errors
    ///
    /// If the bytes are not a valid response. Discard the stream then.
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

    /// Finishes decoding after the last chunk.
    ///
    /// # Errors
    ///
    /// If the response is invalid or reports that the call failed. The rows passed on are invalid then.
    pub fn finish(self, key: &ApiKey) -> Result<Decoded, DecodeError> {
        if self.rows.is_some() {
            return Err(DecodeError::new(
                Reason::NotJson,
                "the response is cut off in its usage rows",
            ));
        }
        let mut fields = parse_response(Call::RawUsageStats, key, &self.rest, &[])?;
        if self.items == Some(Items::Other) {
            return Err(DecodeError::new(
                Reason::BadShape,
                "no usage row in the response is an object",
            ));
        }
        fields.problems(self.problems);
        Ok(Decoded {
            payload: Payload::Usage,
            problems: fields.problems,
        })
    }

    fn outside_rows(&mut self, byte: u8) -> Result<(), DecodeError> {
        if self.rest.len() >= MAX_REST_SIZE {
            return Err(DecodeError::new(
                Reason::BadShape,
                "the response is too long for one without usage rows",
            ));
        }
        self.rest.push(byte);
        let before = self.text;
        self.text = before.after(byte);
        if before != StringState::Outside {
            if self.text == StringState::Outside {
                let string = &self.rest[self.string_start + 1..self.rest.len() - 1];
                self.last_string_is_data = *unescaped(string) == *ROWS.as_bytes();
            }
            return Ok(());
        }
        match byte {
            b'"' => self.string_start = self.rest.len() - 1,
            // Rows are passed on as they arrive, so a second list cannot replace the first one.
            b'[' | b'{' if self.rows_follow && self.items.is_some() => {
                return Err(DecodeError::new(
                    Reason::BadShape,
                    "the response has more than one list of usage rows",
                ));
            }
            b'[' | b'{' if self.rows_follow => {
                self.items = Some(Items::None);
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

    /// Consumes bytes up to the end of a row, or all of them if the row is incomplete. Returns the number consumed.
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
                _ if before != StringState::Outside => return false,
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
        if self.item.len() + piece.len() > MAX_ROW_SIZE {
            return Err(DecodeError::new(
                Reason::BadShape,
                "the response has a usage row of more than 64 KiB",
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
        let Some(mut fields) = Fields::of(value, &[FIELDS]).map_err(|_| not_json())? else {
            self.items = self.items.max(Some(Items::Other));
            self.problem(ROWS);
            return Ok(());
        };
        self.items = Some(Items::Objects);
        let usage = read(&mut fields);
        for problem in fields.problems {
            self.problem(problem);
        }
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

/// Reads a row. Rejects one without a timestamp.
fn read(row: &mut Fields) -> Option<UsageRow> {
    let Some(timestamp) = row.read("timestamp", Loose::timestamp) else {
        row.problem("timestamp");
        return None;
    };
    Some(UsageRow {
        timestamp,
        cpu_percent: row.read("cpu_usage", percent),
        network_in: row.read("network_in_bytes", Loose::bytes),
        network_out: row.read("network_out_bytes", Loose::bytes),
        disk_read: row.read("disk_read_bytes", Loose::bytes),
        disk_written: row.read("disk_write_bytes", Loose::bytes),
    })
}

fn percent(value: &Loose) -> Result<Option<f64>, InvalidValue> {
    match value.real()? {
        Some(percent) if !(0.0..=MAX_PERCENT).contains(&percent) => Err(InvalidValue),
        percent => Ok(percent),
    }
}

/// Returns the value of `"key": value`.
fn after_key(entry: &[u8]) -> Option<&[u8]> {
    let mut text = StringState::Outside;
    let colon = entry.iter().position(|byte| {
        let before = text;
        text = text.after(*byte);
        before == StringState::Outside && *byte == b':'
    })?;
    let (key, value) = entry.split_at(colon);
    let key = key.trim_ascii();
    let quoted = key.len() > 1 && key.starts_with(b"\"") && key.ends_with(b"\"");
    quoted.then_some(&value[1..])
}

fn not_json() -> DecodeError {
    DecodeError::new(
        Reason::NotJson,
        "the response is not JSON (in its usage rows)",
    )
}
