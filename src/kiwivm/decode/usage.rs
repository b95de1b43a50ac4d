//! The rows of `getRawUsageStats`: read one by one, and dropped at once when they are old.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Fields, Key, ignore_scalars};
use crate::kiwivm::lenient::Loose;
use crate::kiwivm::model::UsageRow;

const FIELDS: &[&str] = &[
    "timestamp",
    "cpu_usage",
    "network_in_bytes",
    "network_out_bytes",
    "disk_read_bytes",
    "disk_write_bytes",
];

/// The rows kept so far.
#[derive(Debug, Default)]
pub(super) struct Rows {
    since: Option<i64>,
    pub(super) kept: Vec<UsageRow>,
    pub(super) problems: Vec<&'static str>,
}

impl Rows {
    pub(super) fn newer_than(since: Option<i64>) -> Self {
        Self {
            since,
            ..Self::default()
        }
    }

    fn problem(&mut self, name: &'static str) {
        if !self.problems.contains(&name) {
            self.problems.push(name);
        }
    }

    fn take(&mut self, row: Option<Fields>) {
        let Some(mut row) = row else {
            self.problem("data");
            return;
        };
        let timestamp = row.read("timestamp", Loose::timestamp);
        let Some(timestamp) = timestamp.filter(|timestamp| *timestamp > 0) else {
            self.problem("timestamp");
            return;
        };
        if self.since.is_some_and(|since| timestamp <= since) {
            return;
        }
        self.kept.push(UsageRow {
            timestamp,
            cpu_percent: row
                .read("cpu_usage", Loose::real)
                .filter(|percent| *percent >= 0.0),
            network_in: row.read("network_in_bytes", Loose::count),
            network_out: row.read("network_out_bytes", Loose::count),
            disk_read: row.read("disk_read_bytes", Loose::count),
            disk_written: row.read("disk_write_bytes", Loose::count),
        });
        for problem in row.problems {
            self.problem(problem);
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Rows {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Rows {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("usage rows")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.problem("data");
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.problem("data");
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.problem("data");
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.problem("data");
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if !text.is_empty() {
            self.problem("data");
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(row) = seq.next_element_seed(Row)? {
            self.take(row);
        }
        Ok(())
    }

    /// A PHP list with gaps arrives as an object.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key::<IgnoredAny>()?.is_some() {
            let row = map.next_value_seed(Row)?;
            self.take(row);
        }
        Ok(())
    }
}

/// Reads one row; `None` when it is not an object.
struct Row;

impl<'de> DeserializeSeed<'de> for Row {
    type Value = Option<Fields>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Row {
    type Value = Option<Fields>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a usage row")
    }

    ignore_scalars!(None);

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(Key(key)) = map.next_key()? {
            match FIELDS.iter().find(|name| **name == key) {
                Some(name) => fields.values.push((name, map.next_value()?)),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Some(fields))
    }
}
