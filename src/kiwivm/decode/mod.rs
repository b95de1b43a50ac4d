//! From the bytes of a response to what it says.
//!
//! A field in an unknown form costs that field and is named in [`Decoded::problems`]. Only a body that is not JSON, and a
//! response that is not to be believed, cost the whole response. Unknown fields, the picture of the console among them,
//! are skipped without a copy.

pub(super) mod inventory;
pub(super) mod live;
mod scan;
pub(super) mod service;
pub(super) mod usage;

pub use usage::UsageStream;

use std::borrow::Cow;

use super::lenient::{Loose, Odd};
use super::model::{Lock, Payload, Points, UsageRow};
use super::{ApiKey, Call, Reason, refusal};
use scan::Malformed;

/// Host names and plans are far shorter; text beyond this many characters is cut before it becomes a label.
const LONGEST_TEXT: usize = 200;

/// A response and the fields of it that could not be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// What the call brought.
    pub payload: Payload,
    /// Names of fields that arrived in no known form, each once.
    pub problems: Vec<&'static str>,
}

/// The reason why a body is not the response to a call that succeeded.
#[derive(Clone, Debug, PartialEq)]
pub struct DecodeError {
    /// For the label.
    pub reason: Reason,
    /// In words; those of the API are cut short, without control characters and without the key.
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

/// Decodes the response to `call`. Usage rows are passed to `row` in the order of the API. The key is taken out of every
/// text.
///
/// # Errors
///
/// If the body is not to be believed, or says that the call failed. What was passed to `row` until then does not count.
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
    let also = match call {
        Call::LiveServiceInfo => service::FIELDS,
        _ => &[],
    };
    let mut fields = document(call, key, body, also)?;
    let payload = match call {
        Call::ServiceInfo => Payload::Service(Box::new(service::read(&mut fields, key))),
        Call::LiveServiceInfo => {
            let service = service::read(&mut fields, key);
            let live = live::read(&mut fields, &service);
            Payload::Live(Box::new(service), Box::new(live))
        }
        Call::RateLimitStatus => Payload::Points(points(&mut fields)),
        _ => Payload::Inventory(inventory::read(call, &mut fields, key)),
    };
    Ok(Decoded {
        payload,
        problems: fields.problems,
    })
}

/// The planner relies on these numbers: one that is missing is as much of a problem as one that cannot be read.
fn points(fields: &mut Fields) -> Points {
    let mut number = |name| {
        let number = fields.read(name, Loose::count);
        if number.is_none() {
            fields.problem(name);
        }
        number
    };
    Points {
        remaining_15m: number("remaining_points_15min"),
        remaining_24h: number("remaining_points_24h"),
    }
}

/// The known fields of a response that is to be believed.
fn document<'a>(
    call: Call,
    key: &ApiKey,
    body: &'a [u8],
    also: &[&'static str],
) -> Result<Fields<'a>, DecodeError> {
    // Some editors of PHP files leave a byte order mark before everything the page prints.
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let known = [ENVELOPE, call.row().identified_by, also];
    let believed = match Fields::of(body, &known) {
        Ok(Some(mut fields)) => fields.check(call, key).map(|()| fields),
        Ok(None) => Err(DecodeError::new(
            Reason::BadShape,
            "the response is JSON, but not an object",
        )),
        Err(malformed) => Err(not_json(body, malformed)),
    };
    believed.map_err(|error| match error.reason {
        // A task of the VPS is named by its owner: its words say nothing of the API.
        Reason::Locked => error,
        _ if refusal::speaks_of_it(body) => DecodeError {
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

/// The known fields of one object, each of them read on its own.
#[derive(Debug, Default)]
struct Fields<'a> {
    values: Vec<(&'static str, &'a [u8])>,
    problems: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The known fields of a value; `None` if it is not an object.
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

    /// As in PHP, the last of several fields of one name counts.
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

    /// Reads a field by its rule; on failure notes a problem and returns `None`.
    fn read<T>(
        &mut self,
        name: &'static str,
        rule: impl FnOnce(&Loose) -> Result<Option<T>, Odd>,
    ) -> Option<T> {
        let read = Loose::parse(self.get(name)?).and_then(|value| rule(&value));
        if let Ok(value) = read {
            value
        } else {
            self.problem(name);
            None
        }
    }

    /// Reads text for a label. Text that is not as the API sent it is a problem: what is too long is cut, and control
    /// characters belong to no name.
    fn text(&mut self, name: &'static str, key: &ApiKey) -> Option<String> {
        let text = key.redact(&self.read(name, Loose::text)?);
        let text = text.trim();
        let kept = shortened(text);
        let odd = kept.contains(char::is_control);
        if odd || kept.len() < text.len() {
            self.problem(name);
        }
        (!odd && !kept.is_empty()).then(|| kept.to_owned())
    }

    /// Passes on each item of a list. A PHP list with gaps arrives as an object; so does a single item in place of a
    /// list, which has one of `item_fields`, and no more than one of them is an object: two are two items, whatever
    /// their names. Returns whether there is a list; what is no list is a problem.
    fn items(
        &mut self,
        name: &'static str,
        item_fields: &[&str],
        take: &mut dyn FnMut(&'a [u8]),
    ) -> Result<bool, Odd> {
        let Some(list) = self.get(name) else {
            return Ok(false);
        };
        let mut values = Vec::new();
        let (mut single, mut objects) = (false, 0);
        let read = match scan::first(list) {
            Some(b'[') => scan::items(list, &mut |item| values.push(item)).is_ok(),
            Some(b'{') => scan::members(list, &mut |name, value| {
                let is_object = scan::first(value) == Some(b'{');
                let named = item_fields.iter().any(|field| field.as_bytes() == name);
                objects += usize::from(is_object);
                single |= named && !is_object;
                values.push(value);
            })
            .is_ok(),
            _ => Loose::parse(list).is_ok_and(|value| value.says_nothing()),
        };
        if !read {
            self.problem(name);
            return Err(Odd);
        }
        if single && objects < 2 {
            values = vec![list];
        }
        values.into_iter().for_each(take);
        Ok(true)
    }

    /// Passes on the members of a map. An empty list is an empty map in PHP.
    fn members(
        &mut self,
        name: &'static str,
        take: &mut dyn FnMut(&'a [u8], &'a [u8]),
    ) -> Result<bool, Odd> {
        let Some(map) = self.get(name) else {
            return Ok(false);
        };
        let read = match scan::first(map) {
            Some(b'{') => scan::members(map, take).is_ok(),
            Some(b'[') => map[1..].trim_ascii() == b"]",
            _ => Loose::parse(map).is_ok_and(|value| value.says_nothing()),
        };
        if read {
            Ok(true)
        } else {
            self.problem(name);
            Err(Odd)
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

    /// The one place that decides whether a response is believed: `error` is 0, or is absent as for older clients, and
    /// the response has a field of its call. A page of something between here and the API has neither.
    fn check(&mut self, call: Call, key: &ApiKey) -> Result<(), DecodeError> {
        let error = self.get("error");
        let code = error.map(|error| Loose::parse(error).and_then(|error| error.integer()));
        let identified = call.row().identified_by.iter().any(|name| self.has(name));
        let problem = match code {
            Some(Ok(Some(0))) | None if identified => {
                if error.is_none() {
                    self.problem("error");
                }
                return Ok(());
            }
            Some(Ok(Some(code))) if code != 0 => return Err(self.error(code, key)),
            Some(Ok(Some(_))) | None => format!("no field of {} is in the response", call.name()),
            Some(Ok(None) | Err(Odd)) => {
                "the error field of the response is not a number".to_owned()
            }
        };
        let message = self.words("message", key);
        let message = message.map(|message| format!("; its message: {message}"));
        let detail = problem + &message.unwrap_or_default();
        Err(DecodeError::new(Reason::BadShape, detail))
    }

    fn error(&self, code: i128, key: &ApiKey) -> DecodeError {
        let message = self
            .words("message", key)
            .unwrap_or_else(|| "no message".to_owned());
        let reason = match code {
            700_005 => Reason::Auth,
            788_888 => Reason::Locked,
            700_001 => Reason::MissingParam,
            // The HTTP status in place of a code, alone or in front of the digits of one.
            429 | 429_000..=429_999 => Reason::RateLimited,
            _ => Reason::ApiOther,
        };
        DecodeError {
            lock: (reason == Reason::Locked).then(|| self.lock(key)),
            ..DecodeError::new(reason, format!("the API answered {code}: {message}"))
        }
    }

    fn lock(&self, key: &ApiKey) -> Lock {
        let info = self
            .get("additionalLockingInfo")
            .and_then(|info| Fields::of(info, &[&["completed_percent"]]).ok().flatten());
        let percent = info.and_then(|mut info| info.read("completed_percent", Loose::real));
        Lock {
            task: self.words("additionalErrorInfo", key),
            progress: percent
                .filter(|percent| (0.0..=100.0).contains(percent))
                .map(|percent| percent / 100.0),
        }
    }

    /// Words of the API that may be shown on one line.
    fn words(&self, name: &'static str, key: &ApiKey) -> Option<String> {
        let text = Loose::parse(self.get(name)?).ok()?.text().ok().flatten()?;
        let shown = |c: char| if c.is_control() { ' ' } else { c };
        Some(shortened(&key.redact(&text)).chars().map(shown).collect())
    }
}

fn shortened(text: &str) -> &str {
    let end = text.char_indices().nth(LONGEST_TEXT);
    end.map_or(text, |(end, _)| &text[..end])
}

/// The name of a field. PHP escapes slashes and everything beyond ASCII.
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
