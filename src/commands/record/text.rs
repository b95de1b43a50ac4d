//! Replaces text and numbers that identify a person or an account.

use std::net::Ipv4Addr;

use super::fields::Rule;
use super::replacements::Replacements;
use super::shapes::{self, TextShape, shape_of};
use super::vocabulary::Vocabulary;
use crate::kiwivm::ApiKey;

/// Longer text is masked up to here, and its length is added. The decoders cut text after 200 characters.
const LONGEST: usize = 256;
/// Digits of a number that stays in a sentence or name: a code, a year, gigabytes.
const MOST_DIGITS: usize = 4;
/// Digits of a number with a unit, which may have one more: the gigabytes of a plan.
const MOST_DIGITS_WITH_UNIT: usize = 5;
/// Numbers in a name: versions have at most three, addresses have four.
const MOST_NUMBERS: usize = 3;
/// Smaller VEIDs cannot be told from other numbers.
const LEAST_VEID: u64 = 10_000;

/// Sanitises the strings and numbers of a run.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) vocabulary: Vocabulary,
    pub(super) replacements: Replacements,
    keys: Vec<ApiKey>,
    veids: Vec<u64>,
}

impl Texts {
    pub(super) fn new(veids: Vec<u64>, keys: Vec<ApiKey>) -> Self {
        Self {
            vocabulary: Vocabulary::new(),
            replacements: Replacements::default(),
            keys,
            veids,
        }
    }

    /// The text that may be shown in place of a string.
    pub(super) fn string(&mut self, text: &str, rule: Rule, identity: bool) -> String {
        if matches!(text.trim_ascii(), "" | "-") && text.len() <= LONGEST {
            return text.to_owned();
        }
        if shapes::is_number(text) {
            let digits = text.trim();
            return text.replace(digits, &self.number(digits, rule, identity));
        }
        let sanitised = match rule {
            Rule::Secret | Rule::Address | Rule::Veid => None,
            Rule::Host | Rule::Node => self.named(text, rule),
            Rule::Load => shapes::is_load(text).then(|| text.to_owned()),
            Rule::Name | Rule::Sentence | Rule::Unknown => self.by_shape(text, rule),
        };
        match sanitised {
            Some(sanitised) if !self.has_key(&sanitised) => sanitised,
            _ => masked(text),
        }
    }

    /// Sanitises a page or other text that is not JSON.
    pub(super) fn page(&mut self, text: &str) -> String {
        let redacted = self
            .keys
            .iter()
            .fold(text.to_owned(), |text, key| key.redact(&text));
        self.words(&redacted, Rule::Sentence)
    }

    /// The number that may be shown in place of one.
    pub(super) fn number(&mut self, number: &str, rule: Rule, identity: bool) -> String {
        let value: Option<u64> = number.parse().ok();
        match value {
            Some(veid) if rule == Rule::Veid || self.is_veid(veid) => {
                self.replacements.veid(veid).to_string()
            }
            Some(_) if rule == Rule::Address => {
                let replaced = self.address_number(number);
                replaced.unwrap_or_else(|| self.replacements.digits(number))
            }
            // Short numbers identify nobody.
            Some(_) if (identity || rule == Rule::Secret) && number.len() >= MOST_DIGITS => {
                self.replacements.digits(number)
            }
            None if identity || rule == Rule::Secret => masked(number).replace('0', "1"),
            _ => number.to_owned(),
        }
    }

    /// The name that may be shown for a member of a map. Numbers are treated as in values, because suspension cases refer
    /// to evidence by its name.
    pub(super) fn key(&mut self, name: &str, identity: bool) -> String {
        if shapes::is_number(name) {
            return self.number(name, Rule::Unknown, identity);
        }
        if name.is_empty() || (shapes::is_location(name) && !self.has_key(name)) {
            return name.to_owned();
        }
        match self.shaped(name) {
            Some(replaced) => replaced,
            None if self.words(name, Rule::Name) == name && !self.has_key(name) => name.to_owned(),
            None => self.replacements.name(name),
        }
    }

    pub(super) fn has_key(&self, text: &str) -> bool {
        self.keys.iter().any(|key| key.redact(text) != text)
    }

    fn is_veid(&self, value: u64) -> bool {
        value >= LEAST_VEID && self.veids.contains(&value)
    }

    fn address_number(&mut self, text: &str) -> Option<String> {
        let number: u32 = text.trim().parse().ok()?;
        let address = self.replacements.ipv4(Ipv4Addr::from(number));
        Some(u32::from(address).to_string())
    }

    fn named(&mut self, text: &str, rule: Rule) -> Option<String> {
        if let Some(TextShape::Address(..)) = shape_of(text) {
            return self.shaped(text);
        }
        let name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        (text.len() <= LONGEST / 2 && text.chars().all(name)).then(|| match rule {
            Rule::Node => self.replacements.node(text),
            _ => self.replacements.host(text),
        })
    }

    fn by_shape(&mut self, text: &str, rule: Rule) -> Option<String> {
        let is_public = shapes::is_date(text)
            || self.vocabulary.is_state(text.trim())
            || (rule == Rule::Name && shapes::is_location(text));
        if is_public && text.len() <= LONGEST {
            return Some(text.to_owned());
        }
        if rule == Rule::Unknown {
            return self
                .shaped(text)
                .or_else(|| self.replacements.known_host(text));
        }
        (text.chars().count() <= LONGEST).then(|| self.words(text, rule))
    }

    /// The replacement of text with a recognised shape.
    fn shaped(&mut self, text: &str) -> Option<String> {
        let replaced = match shape_of(text)? {
            TextShape::Address(address, behind) => {
                // The length of a prefix is not private, but a port may be.
                let behind = match behind.strip_prefix(':') {
                    Some(port) => format!(":{}", masked(port)),
                    None => behind.to_owned(),
                };
                format!("{}{behind}", self.replacements.address(address))
            }
            TextShape::Mac(separator) => self.replacements.mac(text, separator),
            TextShape::Email => self.replacements.email(text),
            TextShape::Host => self.replacements.host(text),
            TextShape::Hex => self.replacements.hex(text),
            TextShape::Image(prefix, veid, times, hash, suffix) => {
                let veid = self.replacements.veid(veid);
                let hash = self.replacements.hex(hash);
                format!("{prefix}-{veid}-{times}{hash}{suffix}")
            }
            TextShape::Url(scheme, host, path) => {
                let host = self
                    .shaped(host)
                    .unwrap_or_else(|| self.replacements.host(host));
                let parts = path.split('/').map(|part| match shape_of(part) {
                    Some(TextShape::Image(..) | TextShape::Hex) => {
                        self.shaped(part).unwrap_or_default()
                    }
                    _ => masked(part),
                });
                format!("{scheme}://{host}{}", parts.collect::<Vec<_>>().join("/"))
            }
        };
        Some(replaced)
    }

    /// Keeps known words and masks the others.
    fn words(&mut self, text: &str, rule: Rule) -> String {
        const BREAKS: &str = "<>\"'()[]{}=;|";
        const AROUND: &str = ".,:!?";
        let is_break = |c: char| c.is_whitespace() || BREAKS.contains(c);
        let mut kept = String::with_capacity(text.len());
        for chunk in text.split_inclusive(is_break) {
            let end = chunk.trim_end_matches(is_break);
            let core = end.trim_matches(|c| AROUND.contains(c));
            let before = &end[..end.len() - end.trim_start_matches(|c| AROUND.contains(c)).len()];
            let before = if core.is_empty() { "" } else { before };
            let behind = &chunk[before.len() + core.len()..];
            kept.push_str(before);
            match self.shaped(core) {
                Some(replaced) if rule == Rule::Sentence || !is_template(core) => {
                    kept.push_str(&replaced);
                }
                _ => kept.push_str(&self.chunk(core, rule)),
            }
            kept.push_str(behind);
        }
        kept
    }

    /// Sanitises text without white space.
    fn chunk(&self, chunk: &str, rule: Rule) -> String {
        if rule == Rule::Name && shapes::is_location(chunk) {
            return chunk.to_owned();
        }
        let is_piece = |c: char| c.is_alphanumeric();
        // Encoded letters look like numbers and units.
        if chunk.contains(['&', '#', '%', '\\']) {
            return masked(chunk);
        }
        let pieces = || {
            chunk
                .split(|c| !is_piece(c))
                .filter(|piece| !piece.is_empty())
        };
        let numbers = pieces().filter(|piece| shapes::is_digits(piece)).count();
        let most = if rule == Rule::Name { MOST_NUMBERS } else { 1 };
        let mut kept = String::with_capacity(chunk.len());
        let mut rest = chunk;
        while let Some(first) = rest.chars().next() {
            let same = |c: char| is_piece(c) != is_piece(first);
            let (piece, behind) = rest.split_at(rest.find(same).unwrap_or(rest.len()));
            let known = !is_piece(first)
                || if shapes::is_digits(piece) {
                    numbers <= most && piece.len() <= MOST_DIGITS
                } else {
                    self.vocabulary.knows(piece) || (rule == Rule::Name && self.is_sized(piece))
                };
            if known {
                kept.push_str(piece);
            } else {
                kept.push_str(&masked(piece));
            }
            rest = behind;
        }
        kept
    }

    /// True for a known word followed by numbers, all of which but the last need a unit: `kvmv5`, `20g`, `dc2`,
    /// `10g512m1t`.
    fn is_sized(&self, piece: &str) -> bool {
        const UNITS: [&str; 8] = ["g", "m", "t", "k", "gb", "mb", "tb", "bit"];
        let letters = piece
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(piece.len());
        let (word, mut rest) = piece.split_at(letters);
        if !word.is_empty() && !self.vocabulary.knows(word) {
            return false;
        }
        while !rest.is_empty() {
            let digits = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            let unit = rest[digits..].find(|c: char| c.is_ascii_digit());
            let unit = unit.map_or(rest.len(), |unit| digits + unit);
            let known = UNITS.contains(&&*rest[digits..unit].to_ascii_lowercase());
            let last = digits == rest.len() && digits <= MOST_DIGITS;
            if !(last || (known && digits <= MOST_DIGITS_WITH_UNIT)) {
                return false;
            }
            rest = &rest[unit..];
        }
        true
    }
}

/// True for a template such as `debian-12.11.server`, which has the form of a host name.
fn is_template(core: &str) -> bool {
    core.contains('-') && matches!(shape_of(core), Some(TextShape::Host))
}

/// Masks every letter and digit, and every character that may be part of a password.
pub(super) fn masked(text: &str) -> String {
    let mask = |c: char| match c {
        _ if c.is_ascii_uppercase() => 'X',
        _ if c.is_ascii_digit() => '0',
        _ if c.is_whitespace() || c.is_control() || ".,:;-_/@+=".contains(c) => c,
        _ if c.is_ascii_punctuation() => '#',
        _ => 'x',
    };
    let length = text.chars().count();
    let mut masked: String = text.chars().take(LONGEST).map(mask).collect();
    if length > LONGEST {
        let more = format!("... [{length} characters]");
        masked.push_str(&more);
    }
    masked
}
