//! Recognises strings by their form.

use std::net::IpAddr;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Text with a recognised form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextShape<'a> {
    /// An address and its suffix: `/64`, `:22` or nothing.
    Address(IpAddr, &'a str),
    /// A hardware address and its separator.
    Mac(char),
    /// A user and a domain.
    Email,
    /// The scheme, the host and port, and the rest from the slash on.
    Url(&'a str, &'a str, &'a str),
    /// Two labels or more, the last of letters.
    Host,
    /// A hash or token.
    Hex,
    /// The parts of the name of a disk image: prefix, VEID, `-time-date-`, hash, suffix.
    Image(&'a str, u64, &'a str, &'a str, &'a str),
}

/// Digits of a hash or token at least: hashes have 32 or more, tokens may have fewer.
const LEAST_HEX: usize = 16;
/// Longer text is not recognised. The decoders cut text at this length, so a longer replacement would be cut too.
const LONGEST: usize = 200;

/// The shape of a whole text.
pub(super) fn shape_of(text: &str) -> Option<TextShape<'_>> {
    if text.is_empty() || text.len() > LONGEST {
        return None;
    }
    address(text)
        .or_else(|| mac(text))
        .or_else(|| image(text))
        .or_else(|| url(text))
        .or_else(|| email(text))
        .or_else(|| is_hex(text).then_some(TextShape::Hex))
        .or_else(|| is_host(text).then_some(TextShape::Host))
}

fn address(text: &str) -> Option<TextShape<'_>> {
    let of = |address: &str, rest| Some(TextShape::Address(address.parse().ok()?, rest));
    let number = |digits: &str| !digits.is_empty() && digits.len() <= 5 && is_digits(digits);
    if let Some(found) = of(text, "") {
        return Some(found);
    }
    let at = text.rfind(['/', ':'])?;
    let (front, behind) = text.split_at(at);
    // The last group of an IPv6 address is not a port.
    let separated = number(&behind[1..]) && (behind.starts_with('/') || !front.contains(':'));
    separated.then(|| of(front, behind)).flatten()
}

fn mac(text: &str) -> Option<TextShape<'_>> {
    let separator = text.chars().nth(2).filter(|c| matches!(c, ':' | '-'))?;
    let mut groups = text.split(separator);
    let hex = |group: &str| group.len() == 2 && group.bytes().all(|c| c.is_ascii_hexdigit());
    (groups.clone().count() == 6 && groups.all(hex)).then_some(TextShape::Mac(separator))
}

/// `snapshot-1000001-1790640000-2026-09-29-<40 hex>.tar.gz`: the time of a snapshot is in its name only.
fn image(text: &str) -> Option<TextShape<'_>> {
    let (prefix, rest) = text.split_once('-')?;
    let (veid, rest) = rest.split_once('-')?;
    let hash_at = rest.rfind('-')? + 1;
    let (times, hash) = rest.split_at(hash_at);
    let (hash, suffix) = hash.split_at(hash.find('.').unwrap_or(hash.len()));
    let dated = times
        .trim_matches('-')
        .split('-')
        .all(|part| (1..=10).contains(&part.len()) && is_digits(part));
    let known = matches!(prefix, "snapshot" | "backup") && matches!(suffix, "" | ".tar.gz");
    (known && dated && is_hex(hash) && veid.len() <= 19 && is_digits(veid))
        .then(|| {
            Some(TextShape::Image(
                prefix,
                veid.parse().ok()?,
                times,
                hash,
                suffix,
            ))
        })
        .flatten()
}

fn url(text: &str) -> Option<TextShape<'_>> {
    let (scheme, rest) = text.split_once("://")?;
    let known = matches!(scheme, "http" | "https" | "ftp");
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    known.then_some(TextShape::Url(scheme, host, path))
}

fn email(text: &str) -> Option<TextShape<'_>> {
    let (user, domain) = text.split_once('@')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    (!user.is_empty() && user.chars().all(plain) && is_host(domain)).then_some(TextShape::Email)
}

fn is_hex(text: &str) -> bool {
    text.len() >= LEAST_HEX && text.bytes().all(|c| c.is_ascii_hexdigit()) && !is_digits(text)
}

fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_'))
    };
    let Some((_, last)) = text.trim_end_matches('.').rsplit_once('.') else {
        return false;
    };
    let top = last.len() >= 2 && last.bytes().all(|c| c.is_ascii_alphabetic());
    let top = top || last.starts_with("xn--");
    top && text.trim_end_matches('.').split('.').all(label)
}

pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit())
}

/// A decimal number of 64 bits at most, also with white space around it.
pub(super) fn is_number(text: &str) -> bool {
    /// Digits of the largest 64-bit number, a sign, a point and an exponent.
    const LONGEST_NUMBER: usize = 26;
    let text = text.trim();
    let plain = text
        .bytes()
        .all(|c| c.is_ascii_digit() || b"+-.eE".contains(&c));
    plain && text.len() <= LONGEST_NUMBER && text.parse::<f64>().is_ok()
}

/// A date, or a date and a time.
pub(super) fn is_date(text: &str) -> bool {
    let midnight = || format!("{text}T00:00:00Z");
    let whole = || text.replacen(' ', "T", 1) + "Z";
    let parses = |text: &str| OffsetDateTime::parse(text, &Rfc3339).is_ok();
    parses(text)
        || (text.len() == 10 && parses(&midnight()))
        || (text.len() == 19 && parses(&whole()))
}

/// `0.32 0.25 0.10 1/335 2886523` or `0.04/0.09/0.05`.
pub(super) fn is_load(text: &str) -> bool {
    /// Five decimals of six digits are much shorter.
    const LONGEST_LOAD: usize = 64;
    let mut parts = text.split([' ', '/']).filter(|part| !part.is_empty());
    let decimal = |part: &str| {
        part.matches('.').count() <= 1 && part.bytes().all(|c| c.is_ascii_digit() || c == b'.')
    };
    let count = parts.clone().count();
    text.len() <= LONGEST_LOAD && (3..=6).contains(&count) && parts.all(decimal)
}

/// The identifier of a location: `USCA_2`, `USCA_FMT`, `USNJ`.
pub(super) fn is_location(text: &str) -> bool {
    let (place, number) = text.split_once('_').unwrap_or((text, "1"));
    let upper = |text: &str| text.bytes().all(|c| c.is_ascii_uppercase());
    place.len() == 4
        && upper(place)
        && (1..=3).contains(&number.len())
        && (is_digits(number) || upper(number))
}
