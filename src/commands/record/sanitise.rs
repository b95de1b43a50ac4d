//! Sanitises a response. JSON is processed token by token, so that types, order of members, white space and escapes
//! stay as received, even if they are unusual.

use std::ops::Range;

use serde_json::Value;

use super::fields::{self, Names, Rule};
use super::shapes;
use super::text::{Texts, masked};
use crate::kiwivm::{ApiKey, Veid};

/// Characters of a page that are kept.
const LONGEST_PAGE: usize = 3000;
/// Levels of nesting; real responses have five.
const DEEPEST: usize = 100;
/// Longer than any number, `true`, `false` or `null` of the API.
const LONGEST_WORD: usize = 40;
/// Replacement for a string with invalid escapes: a string that no decoder can read either.
const UNREADABLE: &str = "\"\\ud800\"";

/// A sanitised response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sanitised {
    /// JSON with the structure of the original.
    Json(String),
    /// The valid beginning of invalid JSON, and the position of the first invalid byte.
    Broken(String, usize),
    /// The beginning of a page or of other text, with unknown words masked.
    Text(String),
}

impl Sanitised {
    /// The content of the file.
    #[must_use]
    pub fn content(&self) -> &str {
        match self {
            Self::Json(text) | Self::Broken(text, _) | Self::Text(text) => text,
        }
    }
}

/// Replaces secrets and private data in responses. The same text always gets the same replacement.
#[derive(Debug)]
pub struct Sanitiser {
    texts: Texts,
}

impl Sanitiser {
    /// A sanitiser for the responses of these VPSes.
    #[must_use]
    pub fn new(veids: impl IntoIterator<Item = Veid>, keys: Vec<ApiKey>) -> Self {
        let veids = veids.into_iter().map(|veid| veid.0).collect();
        Self {
            texts: Texts::new(veids, keys),
        }
    }

    /// Sanitises the body of a response.
    pub fn body(&mut self, body: &[u8]) -> Sanitised {
        const MARK: &[u8] = b"\xEF\xBB\xBF";
        let (mark, json) = match body.strip_prefix(MARK) {
            Some(json) => ("\u{feff}", json),
            None => ("", body),
        };
        if !matches!(json.trim_ascii_start().first(), Some(b'{' | b'[')) {
            let text = String::from_utf8_lossy(body);
            let beginning: String = text.chars().take(LONGEST_PAGE).collect();
            return Sanitised::Text(self.texts.page(&beginning));
        }
        let mut walk = Walk {
            texts: &mut self.texts,
            bytes: json,
            at: 0,
            output: mark.to_owned(),
            open: Vec::new(),
        };
        match walk.document() {
            Ok(()) => Sanitised::Json(walk.output),
            Err(NotJson) => Sanitised::Broken(walk.output, walk.at),
        }
    }

    /// Sanitises the value of a header.
    pub fn header(&mut self, text: &str) -> String {
        if shapes::is_number(text) || httpdate::parse_http_date(text).is_ok() {
            return text.to_owned();
        }
        self.texts.page(text)
    }
}

struct NotJson;

/// Treatment of a value, by its place in the document.
#[derive(Clone, Copy)]
struct Place {
    rule: Rule,
    /// The treatment of the names of members, if the value is an object.
    names: Names,
    /// True if a number may identify a person.
    identity: bool,
}

/// An object or array that is not closed yet.
struct Open {
    object: bool,
    empty: bool,
    place: Place,
}

struct Walk<'a> {
    texts: &'a mut Texts,
    bytes: &'a [u8],
    at: usize,
    output: String,
    /// An explicit stack: recursion could overflow on deeply nested input.
    open: Vec<Open>,
}

impl Walk<'_> {
    fn document(&mut self) -> Result<(), NotJson> {
        self.value(Place {
            rule: Rule::Unknown,
            names: Names::Fields,
            identity: false,
        })?;
        while let Some(open) = self.open.last_mut() {
            let empty = std::mem::replace(&mut open.empty, false);
            let (object, mut place) = (open.object, open.place);
            let close = if object { b'}' } else { b']' };
            match self.peek() {
                Some(byte) if byte == close => {
                    self.copy(byte);
                    self.open.pop();
                    continue;
                }
                Some(b',') if !empty => self.copy(b','),
                Some(_) if empty => {}
                _ => return Err(NotJson),
            }
            if object {
                place = self.name(place)?;
            }
            self.value(place)?;
        }
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(NotJson),
        }
    }

    /// Copies a string, a word, or the opening bracket of an object or array.
    fn value(&mut self, mut place: Place) -> Result<(), NotJson> {
        match self.peek() {
            Some(byte @ (b'{' | b'[')) if self.open.len() < DEEPEST => {
                self.copy(byte);
                let object = byte == b'{';
                if !object && place.names != Names::Unknown {
                    // A list in place of a map: its items have field names.
                    place.names = Names::Fields;
                }
                self.open.push(Open {
                    object,
                    empty: true,
                    place,
                });
            }
            Some(b'"') => {
                let (raw, text) = self.string()?;
                let new = text
                    .as_deref()
                    .map(|text| self.texts.string(text, place.rule, place.identity));
                self.push_string(raw, text.as_deref(), new);
            }
            Some(byte) if is_word(byte) => self.word(place),
            _ => return Err(NotJson),
        }
        Ok(())
    }

    /// Copies the name of a member and the colon, and returns the treatment of the value.
    fn name(&mut self, outside: Place) -> Result<Place, NotJson> {
        if self.peek() != Some(b'"') {
            return Err(NotJson);
        }
        let (raw, text) = self.string()?;
        let name = text.as_deref().unwrap_or_default();
        let known = self.texts.vocabulary.is_field(name);
        let stays = known || self.name_stays(name, outside.names);
        let new = if stays {
            name.to_owned()
        } else {
            self.texts.key(name, outside.identity)
        };
        self.push_string(raw, text.as_deref(), Some(new));
        if self.peek() != Some(b':') {
            return Err(NotJson);
        }
        self.copy(b':');
        Ok(if stays {
            of_field(outside, name, known)
        } else {
            of_data(outside)
        })
    }

    /// True if the name of an unknown field may be shown.
    fn name_stays(&self, name: &str, names: Names) -> bool {
        let is_field = match names {
            Names::Data | Names::DataTwice => false,
            Names::Fields => fields::looks_like_a_field(name),
            Names::Unknown => self.texts.vocabulary.is_of_field_words(name),
        };
        is_field && !self.texts.has_key(name)
    }

    /// Copies white space and returns the next byte after it.
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.bytes.get(self.at)?;
            if !byte.is_ascii_whitespace() {
                return Some(byte);
            }
            self.copy(byte);
        }
    }

    /// Copies an ASCII byte.
    fn copy(&mut self, byte: u8) {
        self.output.push(char::from(byte));
        self.at += 1;
    }

    /// Reads a string: its range with the quotes, and its text if its escapes are valid.
    fn string(&mut self) -> Result<(Range<usize>, Option<String>), NotJson> {
        let begin = self.at;
        let mut at = begin + 1;
        loop {
            match self.bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => at += 2,
                Some(_) => at += 1,
                None => return Err(NotJson),
            }
        }
        self.at = at + 1;
        let raw = begin..self.at;
        let text = serde_json::from_slice(&self.bytes[raw.clone()]).ok();
        Ok((raw, text))
    }

    /// Writes a string: unchanged if nothing is replaced, else with the slashes escaped as in the original.
    fn push_string(&mut self, raw: Range<usize>, text: Option<&str>, new: Option<String>) {
        let raw = &self.bytes[raw];
        let (Some(text), Some(new)) = (text, new) else {
            self.output.push_str(UNREADABLE);
            return;
        };
        if text == new {
            self.output.push_str(&String::from_utf8_lossy(raw));
            return;
        }
        let written = Value::from(new).to_string();
        let escaped = raw.windows(2).any(|pair| pair == b"\\/");
        if escaped {
            self.output.push_str(&written.replace('/', "\\/"));
        } else {
            self.output.push_str(&written);
        }
    }

    /// Copies a number or a literal.
    fn word(&mut self, place: Place) {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| !is_word(*byte));
        let word = String::from_utf8_lossy(&rest[..end.unwrap_or(rest.len())]);
        self.at += word.len();
        let number = word
            .bytes()
            .all(|c| c.is_ascii_digit() || b"+-.eE".contains(&c));
        let known = matches!(
            &*word,
            "true" | "false" | "null" | "NaN" | "Infinity" | "-Infinity"
        );
        let new = if known {
            word.into_owned()
        } else if number && word.len() <= LONGEST_WORD {
            self.texts.number(&word, place.rule, place.identity)
        } else {
            masked(&word).replace('0', "9")
        };
        self.output.push_str(&new);
    }
}

/// The place of a value whose name is data.
fn of_data(outside: Place) -> Place {
    Place {
        names: match outside.names {
            Names::DataTwice => Names::Data,
            Names::Data => Names::Unknown,
            // A PHP list with gaps is an object with numbers for names.
            names => names,
        },
        ..outside
    }
}

/// The place of the value of a field.
fn of_field(outside: Place, name: &str, known: bool) -> Place {
    let rule = match fields::rule_of(name, known) {
        // Everything within a secret is secret.
        Rule::Unknown if !known && outside.rule == Rule::Secret => Rule::Secret,
        rule => rule,
    };
    Place {
        rule,
        names: fields::names_of(name),
        identity: !known && fields::names_an_identity(name),
    }
}

/// True for a byte of a number or a literal, including those that PHP would not write.
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}
