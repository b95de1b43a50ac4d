//! Decodes response bodies.
//!
//! A field in an unknown form is dropped and listed in [`Decoded::problems`]. Only a body that is not JSON or fails
//! validation is rejected as a whole. Unknown fields, such as the screenshot of the console, are skipped.

pub(super) mod inventory;
pub(super) mod live;
mod scan;
pub(super) mod service;
pub(super) mod usage;

pub use usage::UsageStream;

use std::borrow::Cow;

use thiserror::Error;

use super::lenient::{InvalidValue, Loose};
use super::model::{Lock, Payload, RateLimitStatus, UsageRow};
use super::{ApiKey, Call, Reason, refusal};
use scan::Malformed;

/// Length limit of label values in characters. Host names and plans are far shorter.
const MAX_TEXT_LENGTH: usize = 200;

/// A decoded response and its unreadable fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The decoded content.
    pub payload: Payload,
    /// Names of fields in an unknown form, without duplicates.
    pub problems: Vec<&'static str>,
}

/// The reason why a body is not a successful response.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{detail}")]
pub struct DecodeError {
    /// The value of the `reason` label.
    pub reason: Reason,
    /// The cause in words. Text of the API is truncated, and control characters and the key are removed.
    pub detail: String,
    /// The task that holds the VPS, with [`Reason::Locked`] if the API reports it.
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

/// Decodes the response to `call`. Passes usage rows to `row` in the order of the API. Removes the key from all text.
///
/// # Errors
///
/// If the body does not pass validation, or reports that the call failed. Rows passed to `row` are invalid then.
pub fn decode(
    call: Call,
    key: &ApiKey,
    body: &[u8],
    row: &mut dyn FnMut(UsageRow),
) -> Result<Decoded, DecodeError> {
    if call == Call::RawUsageStats {
        let mut stream = UsageStream::default();
        stream.push(body, row)?;
        return stream.finish(key);
    }
    let extra_fields = match call {
        Call::LiveServiceInfo => service::FIELDS,
        _ => &[],
    };
    let mut fields = parse_response(call, key, body, extra_fields)?;
    let payload = match call {
        Call::ServiceInfo => Payload::Service(Box::new(service::read(&mut fields, key))),
        Call::LiveServiceInfo => {
            let service = service::read(&mut fields, key);
            let live = live::read(&mut fields, &service);
            Payload::Live(Box::new(service), Box::new(live))
        }
        Call::RateLimitStatus => Payload::RateLimit(points(&mut fields)),
        _ => Payload::Inventory(inventory::read(call, &mut fields, key)),
    };
    Ok(Decoded {
        payload,
        problems: fields.problems,
    })
}

/// Reads the remaining points. The planner relies on them, so a missing number is a problem too.
fn points(fields: &mut Fields) -> RateLimitStatus {
    let mut number = |name| {
        let number = fields.read(name, Loose::count);
        if number.is_none() {
            fields.problem(name);
        }
        number
    };
    RateLimitStatus {
        remaining_15m: number("remaining_points_15min"),
        remaining_24h: number("remaining_points_24h"),
    }
}

/// Parses a response, validates it and returns its known fields.
fn parse_response<'a>(
    call: Call,
    key: &ApiKey,
    body: &'a [u8],
    extra_fields: &[&'static str],
) -> Result<Fields<'a>, DecodeError> {
    // Some editors of PHP files leave a byte order mark before everything the page prints.
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let known = [ENVELOPE, call.row().identified_by, extra_fields];
    let validated = match Fields::of(body, &known) {
        Ok(Some(mut fields)) => fields.validate(call, key).map(|()| fields),
        Ok(None) => Err(DecodeError::new(
            Reason::BadShape,
            "the response is JSON, but not an object",
        )),
        Err(malformed) => Err(not_json(body, malformed)),
    };
    validated.map_err(|error| match error.reason {
        // The owner names the task, so its text may contain anything, such as "rate limit".
        Reason::Locked => error,
        _ if refusal::mentions_rate_limit(body) => DecodeError {
            reason: Reason::RateLimited,
            ..error
        },
        _ => error,
    })
}

const ENVELOPE: &[&str] = &[
    "error",
    "message",
    "additionalErrorInfo",
    "additionalLockingInfo",
];

fn not_json(body: &[u8], malformed: Malformed) -> DecodeError {
    let detail = if body.trim_ascii().is_empty() {
        "the response is empty".to_owned()
    } else if malformed.cut_off {
        format!("the response is cut off after {} bytes", body.len())
    } else {
        format!("the response is not JSON (at byte {})", malformed.at)
    };
    DecodeError::new(Reason::NotJson, detail)
}

/// The known fields of an object, not parsed yet, and the problems found so far.
#[derive(Debug, Default)]
struct Fields<'a> {
    values: Vec<(&'static str, &'a [u8])>,
    problems: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// Collects the known fields of a value. Returns `None` if it is not an object.
    fn of(value: &'a [u8], known: &[&[&'static str]]) -> Result<Option<Self>, Malformed> {
        let mut fields = Self::default();
        let object = scan::members(value, &mut |name, value| {
            let name = unescaped(name);
            let known = known.iter().copied().flatten();
            if let Some(known) = known.copied().find(|known| known.as_bytes() == &*name) {
                fields.values.push((known, value));
            }
        })?;
        Ok(object.then_some(fields))
    }

    /// Returns the raw value of a field. The last of several fields with one name wins, as in PHP.
    fn get(&self, name: &'static str) -> Option<&'a [u8]> {
        self.values
            .iter()
            .rev()
            .find(|(field, _)| *field == name)
            .map(|(_, value)| *value)
    }

    fn has(&self, name: &'static str) -> bool {
        self.get(name).is_some()
    }

    /// Parses a field by its rule. On failure, records a problem and returns `None`.
    fn read<T>(
        &mut self,
        name: &'static str,
        rule: impl FnOnce(&Loose) -> Result<Option<T>, InvalidValue>,
    ) -> Option<T> {
        let read = Loose::parse(self.get(name)?).and_then(|value| rule(&value));
        if let Ok(value) = read {
            value
        } else {
            self.problem(name);
            None
        }
    }

    /// Parses text for a label. Truncates text that is too long and rejects text with control characters; both are
    /// problems.
    fn text(&mut self, name: &'static str, key: &ApiKey) -> Option<String> {
        let text = key.redact(&self.read(name, Loose::text)?);
        let text = text.trim();
        let truncated = truncate(text);
        let invalid = truncated.contains(char::is_control);
        if invalid || truncated.len() < text.len() {
            self.problem(name);
        }
        (!invalid && !truncated.is_empty()).then(|| truncated.to_owned())
    }

    /// Passes on each item of a list. Returns true if the list is present; any other value is a problem.
    ///
    /// PHP sends a list with gaps as an object, and may send a single item without its list. An object with one of
    /// `item_fields` is a single item, unless two of its members are objects: those are two items named like fields. The
    /// items of a nested list of objects count too, so `{"total":2,"items":[{},{}]}` is not shorter than it is.
    fn items(
        &mut self,
        name: &'static str,
        item_fields: &[&str],
        take: &mut dyn FnMut(&'a [u8]),
    ) -> Result<bool, InvalidValue> {
        let Some(list) = self.get(name) else {
            return Ok(false);
        };
        let mut values = Vec::new();
        let (mut single, mut objects) = (false, 0);
        let read = match scan::first(list) {
            Some(b'[') => scan::items(list, &mut |item| values.push(item)).is_ok(),
            Some(b'{') => scan::members(list, &mut |name, value| {
                let first = scan::first(value);
                let name = unescaped(name);
                let named = item_fields.iter().any(|field| field.as_bytes() == &*name);
                objects += usize::from(first == Some(b'{'));
                single |= named && !matches!(first, Some(b'{' | b'['));
                values.push(value);
            })
            .is_ok(),
            _ => Loose::parse(list).is_ok_and(|value| value.is_blank()),
        };
        if !read {
            self.problem(name);
            return Err(InvalidValue);
        }
        if single && objects < 2 {
            values = vec![list];
        }
        for value in values {
            let mut nested = Vec::new();
            let is_list = scan::first(value) == Some(b'[')
                && scan::items(value, &mut |item| nested.push(item)).is_ok();
            if is_list && nested.iter().any(|item| scan::first(item) == Some(b'{')) {
                self.problem(name);
                nested.into_iter().for_each(&mut *take);
            } else {
                take(value);
            }
        }
        Ok(true)
    }

    /// Passes on the members of a map. PHP sends an empty map as an empty list.
    fn members(
        &mut self,
        name: &'static str,
        take: &mut dyn FnMut(&'a [u8], &'a [u8]),
    ) -> Result<bool, InvalidValue> {
        let Some(map) = self.get(name) else {
            return Ok(false);
        };
        let read = match scan::first(map) {
            Some(b'{') => scan::members(map, take).is_ok(),
            Some(b'[') => map[1..].trim_ascii() == b"]",
            _ => Loose::parse(map).is_ok_and(|value| value.is_blank()),
        };
        if read {
            Ok(true)
        } else {
            self.problem(name);
            Err(InvalidValue)
        }
    }

    fn problem(&mut self, name: &'static str) {
        if !self.problems.contains(&name) {
            self.problems.push(name);
        }
    }

    fn problems(&mut self, names: impl IntoIterator<Item = &'static str>) {
        for name in names {
            self.problem(name);
        }
    }

    /// Accepts a response if `error` is 0 or absent, as in old responses, and the response has a field of its call. The
    /// page of a proxy has neither. This is the only place that decides it.
    fn validate(&mut self, call: Call, key: &ApiKey) -> Result<(), DecodeError> {
        let error = self.get("error");
        let code = error.map(|error| Loose::parse(error).and_then(|error| error.integer()));
        let identified = call.row().identified_by.iter().any(|name| {
            let Some(value) = self.get(name) else {
                return false;
            };
            match call {
                // The rows were removed from their list.
                Call::RawUsageStats => matches!(scan::first(value), Some(b'[' | b'{')),
                Call::LiveServiceInfo | Call::ServiceInfo => {
                    !Loose::parse(value).is_ok_and(|value| value.is_blank())
                }
                // A blank list may be PHP's empty list, and blank points are reported by their own names.
                _ => true,
            }
        });
        let problem = match code {
            Some(Ok(Some(0))) | None if identified => {
                if error.is_none() {
                    self.problem("error");
                }
                return Ok(());
            }
            Some(Ok(Some(code))) if code != 0 => return Err(self.error(code, key)),
            Some(Ok(Some(_))) | None => {
                format!(
                    "no field of {} in the response has a usable value",
                    call.name()
                )
            }
            Some(Ok(None) | Err(InvalidValue)) => {
                "the error field of the response is not a number".to_owned()
            }
        };
        let message = self.display_text("message", key);
        let message = message.map(|message| format!("; its message: {message}"));
        let detail = problem + &message.unwrap_or_default();
        Err(DecodeError::new(Reason::BadShape, detail))
    }

    fn error(&self, code: i128, key: &ApiKey) -> DecodeError {
        let message = self
            .display_text("message", key)
            .unwrap_or_else(|| "no message".to_owned());
        let reason = match code {
            700_005 => Reason::Auth,
            788_888 => Reason::Locked,
            700_001 => Reason::MissingParam,
            // HTTP status 429 used as an error code, alone or followed by three digits.
            429 | 429_000..=429_999 => Reason::RateLimited,
            _ => Reason::ApiOther,
        };
        DecodeError {
            lock: (reason == Reason::Locked).then(|| self.lock(key)),
            ..DecodeError::new(reason, format!("the API returned error {code}: {message}"))
        }
    }

    fn lock(&self, key: &ApiKey) -> Lock {
        let info = self
            .get("additionalLockingInfo")
            .and_then(|info| Fields::of(info, &[&["completed_percent"]]).ok().flatten());
        let percent = info.and_then(|mut info| info.read("completed_percent", Loose::real));
        Lock {
            task: self.display_text("additionalErrorInfo", key),
            progress: percent
                .filter(|percent| (0.0..=100.0).contains(percent))
                .map(|percent| percent / 100.0),
        }
    }

    /// Reads text of the API for display on one line.
    fn display_text(&self, name: &'static str, key: &ApiKey) -> Option<String> {
        let text = Loose::parse(self.get(name)?).ok()?.text().ok().flatten()?;
        let shown = |c: char| if c.is_control() { ' ' } else { c };
        Some(truncate(&key.redact(&text)).chars().map(shown).collect())
    }
}

fn truncate(text: &str) -> &str {
    let end = text.char_indices().nth(MAX_TEXT_LENGTH);
    end.map_or(text, |(end, _)| &text[..end])
}

/// Unescapes the name of a field. PHP escapes slashes and all characters beyond ASCII.
fn unescaped(name: &[u8]) -> Cow<'_, [u8]> {
    if !name.contains(&b'\\') {
        return Cow::Borrowed(name);
    }
    let quoted = [b"\"", name, b"\""].concat();
    let text = serde_json::from_slice::<String>(&quoted);
    Cow::Owned(text.map(String::into_bytes).unwrap_or_default())
}

#[cfg(test)]
mod tests;
