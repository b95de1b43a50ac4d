//! From the bytes of an answer to what it says.
//!
//! A field in an unknown form costs that field and is named in [`Decoded::problems`]. Only bytes that are not JSON, JSON
//! that is not an object, and an `error` other than 0 cost the whole answer. Unknown keys, the picture of the console
//! among them, are passed over without a copy.

mod inventory;
mod list;
mod live;
mod service;
mod usage;

pub use usage::UsageStream;

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::lenient::{Loose, Odd};
use super::model::{Answer, Lock, Points, UsageRow};
use super::{Call, Reason};
use list::List;

/// An answer and the fields of it that could not be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// What the call brought.
    pub answer: Answer,
    /// Names of fields that arrived in no known form, each once.
    pub problems: Vec<&'static str>,
}

/// Why there is no answer in the bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct DecodeError {
    /// For the label.
    pub reason: Reason,
    /// In words; those of the API are cut short and without control characters.
    pub detail: String,
    /// With [`Reason::Locked`], when the API tells.
    pub lock: Option<Lock>,
}

impl DecodeError {
    fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            lock: None,
        }
    }
}

/// Decodes the answer to `call`. Usage rows are passed to `row` in the order of the API.
///
/// # Errors
///
/// When the bytes are no answer, or one that says that the call failed. What was passed to `row` until then does not
/// count.
pub fn decode(
    call: Call,
    body: &[u8],
    row: &mut dyn FnMut(UsageRow),
) -> Result<Decoded, DecodeError> {
    let inventory = |(inventory, fields)| (Answer::Inventory(inventory), fields);
    let (answer, fields) = match call {
        Call::ServiceInfo => {
            let mut fields = document(body, &[ENVELOPE, service::FIELDS], None)?;
            (
                Answer::Service(Box::new(service::read(&mut fields))),
                fields,
            )
        }
        Call::LiveServiceInfo => {
            let known = &[ENVELOPE, live::FIELDS, service::FIELDS];
            let mut fields = document(body, known, None)?;
            let service = service::read(&mut fields);
            let live = live::read(&mut fields, &service);
            (Answer::Live(Box::new(service), Box::new(live)), fields)
        }
        Call::RateLimitStatus => {
            const FIELDS: &[&str] = &["remaining_points_15min", "remaining_points_24h"];
            let mut fields = document(body, &[ENVELOPE, FIELDS], None)?;
            let points = Points {
                remaining_15m: fields.read("remaining_points_15min", Loose::count),
                remaining_24h: fields.read("remaining_points_24h", Loose::count),
            };
            (Answer::Points(points), fields)
        }
        Call::RawUsageStats => {
            let mut stream = UsageStream::default();
            stream.push(body, row)?;
            return stream.finish();
        }
        Call::SnapshotList => inventory(inventory::snapshots(body)?),
        Call::BackupList => inventory(inventory::backups(body)?),
        Call::SuspensionDetails => inventory(inventory::suspension_cases(body)?),
        Call::PolicyViolations => inventory(inventory::policy_violations(body)?),
        Call::AuditLog => inventory(inventory::audit_log(body)?),
        Call::MigrateLocations => inventory(inventory::locations(body)?),
    };
    Ok(Decoded {
        answer,
        problems: fields.problems,
    })
}

/// The known fields of an answer that says that the call succeeded; the items of `list` are passed on while reading.
fn document(
    body: &[u8],
    known: &'static [&'static [&'static str]],
    list: Option<&mut List<'_>>,
) -> Result<Fields, DecodeError> {
    // Some editors of PHP files leave a byte order mark before everything the page prints.
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(DecodeError::new(Reason::NotJson, "the answer is empty"));
    }
    let document = Document { known, list };
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let fields = document
        .deserialize(&mut deserializer)
        .and_then(|fields| deserializer.end().map(|()| fields))
        .map_err(|error| not_json(&error))?;
    let Some(mut fields) = fields else {
        return Err(DecodeError::new(
            Reason::BadShape,
            "the answer is JSON, but not an object",
        ));
    };
    fields.check_success()?;
    Ok(fields)
}

const ENVELOPE: &[&str] = &[
    "error",
    "message",
    "additionalErrorInfo",
    "additionalLockingInfo",
];

/// `serde_json`'s own words could quote the answer; where it broke off is enough.
fn not_json(error: &serde_json::Error) -> DecodeError {
    let what = if error.is_eof() {
        "the answer is cut off"
    } else {
        "the answer is not JSON"
    };
    DecodeError::new(
        Reason::NotJson,
        format!("{what} (line {}, column {})", error.line(), error.column()),
    )
}

/// The known fields of one object.
#[derive(Debug, Default)]
struct Fields {
    values: Vec<(&'static str, Loose)>,
    problems: Vec<&'static str>,
}

impl Fields {
    /// Takes in the value of a known key, and passes over any other.
    fn take<'de, A: MapAccess<'de>>(
        &mut self,
        map: &mut A,
        key: &str,
        mut known: impl Iterator<Item = &'static &'static str>,
    ) -> Result<(), A::Error> {
        match known.find(|name| **name == key) {
            Some(name) => self.values.push((name, map.next_value()?)),
            None => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    /// As in PHP, the last of several fields of one name counts.
    fn get(&self, name: &'static str) -> Option<&Loose> {
        self.values
            .iter()
            .rev()
            .find(|(field, _)| *field == name)
            .map(|(_, value)| value)
    }

    fn has(&self, name: &'static str) -> bool {
        self.get(name).is_some()
    }

    /// Reads a field by its rule; one in no known form is noted and none.
    fn read<T>(
        &mut self,
        name: &'static str,
        rule: impl FnOnce(&Loose) -> Result<Option<T>, Odd>,
    ) -> Option<T> {
        if let Ok(value) = rule(self.get(name)?) {
            value
        } else {
            self.problem(name);
            None
        }
    }

    fn problem(&mut self, name: &'static str) {
        if !self.problems.contains(&name) {
            self.problems.push(name);
        }
    }

    /// An answer without `error` is plausible (older clients take it), but noted.
    fn check_success(&mut self) -> Result<(), DecodeError> {
        let code = match self.get("error").map(Loose::integer) {
            Some(Ok(Some(0))) => return Ok(()),
            Some(Ok(Some(code))) => code,
            None | Some(Ok(None)) => {
                self.problem("error");
                return Ok(());
            }
            Some(Err(Odd)) => {
                return Err(DecodeError::new(
                    Reason::BadShape,
                    "the answer has an error field that is not a number",
                ));
            }
        };
        let message = self
            .words("message")
            .unwrap_or_else(|| "no message".to_owned());
        let reason = match code {
            700_005 => Reason::Auth,
            788_888 => Reason::Locked,
            700_001 => Reason::MissingParam,
            _ if speaks_of_rate_limit(&message) => Reason::RateLimited,
            _ => Reason::ApiOther,
        };
        Err(DecodeError {
            lock: (reason == Reason::Locked).then(|| self.lock()),
            ..DecodeError::new(reason, format!("the API answered {code}: {message}"))
        })
    }

    fn lock(&self) -> Lock {
        let info = self
            .get("additionalLockingInfo")
            .and_then(|info| info.map().ok())
            .unwrap_or_default();
        let percent = info
            .iter()
            .find(|(name, _)| name == "completed_percent")
            .and_then(|(_, percent)| percent.real().ok().flatten());
        Lock {
            task: self.words("additionalErrorInfo"),
            progress: percent
                .filter(|percent| (0.0..=100.0).contains(percent))
                .map(|percent| percent / 100.0),
        }
    }

    /// Words of the API that may be shown on one line.
    fn words(&self, name: &'static str) -> Option<String> {
        let text = self.get(name)?.text().ok().flatten()?;
        let shown = |c: char| if c.is_control() { ' ' } else { c };
        Some(text.chars().map(shown).collect())
    }
}

fn speaks_of_rate_limit(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["rate limit", "ratelimit", "too many"]
        .iter()
        .any(|words| message.contains(words))
}

/// Reads the known fields of the document; `None` when it is not an object.
struct Document<'a, 'l> {
    known: &'static [&'static [&'static str]],
    list: Option<&'a mut List<'l>>,
}

impl<'de> DeserializeSeed<'de> for Document<'_, '_> {
    type Value = Option<Fields>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// The visits of a value that is not what was looked for: it is read to its end and dropped.
macro_rules! ignore_scalars {
    ($value:expr) => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok($value)
        }
    };
}
use ignore_scalars;

impl<'de> Visitor<'de> for Document<'_, '_> {
    type Value = Option<Fields>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer")
    }

    ignore_scalars!(None);

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(Key(key)) = map.next_key()? {
            if let Some(list) = self.list.as_deref_mut().filter(|list| list.name == key) {
                map.next_value_seed(list)?;
            } else {
                fields.take(&mut map, &key, self.known.iter().copied().flatten())?;
            }
        }
        Ok(Some(fields))
    }
}

/// A key, borrowed unless it has escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests;
