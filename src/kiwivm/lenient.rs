//! Lenient conversions of the loosely typed values that PHP sends: one helper for each rule, used for every field.
//!
//! `Ok(None)` is a blank field (`null`, `""`, `"-"`). `Err(InvalidValue)` is one in an unknown form or with an
//! impossible value.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::model::{LoadAverage, Processes};
use crate::units::{Bytes, UnixSeconds};

/// An exbibyte, more than a thousand times any plan, disk or counter. Larger values are sentinels: an unsigned -1 or
/// the maximum of an integer type.
const MAX_COUNT: u64 = 1 << 60;
/// Unix seconds have ten digits from 2001 to 2286. Milliseconds have thirteen and are rejected.
const TIMESTAMPS: RangeInclusive<i64> = 1_000_000_000..=9_999_999_999;
/// Plausible multipliers. Every recorded one is 1; a premium location is reported to have 0.33.
const MULTIPLIERS: RangeInclusive<f64> = 0.001..=1000.0;
/// The load cannot exceed the number of tasks, which the kernel limits to 2^22.
const MAX_LOAD: f64 = 4_194_304.0;

/// A value in an unknown form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidValue;

/// A JSON value of any type. `decode` splits lists and objects.
#[derive(Clone, Debug, PartialEq)]
pub enum Loose {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number without a fraction.
    Integer(i128),
    /// Any other number.
    Real(f64),
    /// Text.
    Text(String),
    /// A list or an object.
    Nested,
}

impl Loose {
    /// Parses a value. Fails if it is not JSON (`NaN`, half of a surrogate pair) or fits no type (`1e999`).
    pub fn parse(value: &[u8]) -> Result<Self, InvalidValue> {
        match value.trim_ascii_start().first() {
            Some(b'[' | b'{') => Ok(Self::Nested),
            _ => serde_json::from_slice(value).map_err(|_| InvalidValue),
        }
    }

    /// Returns true for `null`, `""` and `"-"`.
    pub fn is_blank(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => matches!(text.trim(), "" | "-"),
            _ => false,
        }
    }

    /// A JSON integer, a float without a fraction, or a string of digits. Text with a point is rejected: `1.000` may be
    /// one or a thousand.
    pub fn integer(&self) -> Result<Option<i128>, InvalidValue> {
        match self {
            _ if self.is_blank() => Ok(None),
            Self::Integer(integer) => Ok(Some(*integer)),
            Self::Real(real) => whole(*real).map(Some),
            Self::Text(text) => text.trim().parse().map(Some).map_err(|_| InvalidValue),
            _ => Err(InvalidValue),
        }
    }

    /// A count: an integer from 0 to 2^60.
    pub fn count(&self) -> Result<Option<u64>, InvalidValue> {
        self.count_of(1)
    }

    /// A size in bytes.
    pub fn bytes(&self) -> Result<Option<Bytes>, InvalidValue> {
        self.bytes_of(1)
    }

    /// A size in units of `unit` bytes.
    pub fn bytes_of(&self, unit: u64) -> Result<Option<Bytes>, InvalidValue> {
        Ok(self.count_of(unit)?.map(Bytes))
    }

    /// A count of multiples of `unit`.
    pub fn count_of(&self, unit: u64) -> Result<Option<u64>, InvalidValue> {
        let multiplied = |count: i128| {
            let product = u64::try_from(count).ok()?.checked_mul(unit)?;
            (product <= MAX_COUNT).then_some(product)
        };
        let count = self.integer()?;
        count
            .map(|count| multiplied(count).ok_or(InvalidValue))
            .transpose()
    }

    /// A time.
    pub fn timestamp(&self) -> Result<Option<UnixSeconds<i64>>, InvalidValue> {
        let time = |integer: i128| {
            let seconds = i64::try_from(integer).ok()?;
            TIMESTAMPS
                .contains(&seconds)
                .then_some(UnixSeconds(seconds))
        };
        let integer = self.integer()?;
        integer
            .map(|integer| time(integer).ok_or(InvalidValue))
            .transpose()
    }

    /// A finite number.
    #[expect(clippy::cast_precision_loss, reason = "the caller wants a float")]
    pub fn real(&self) -> Result<Option<f64>, InvalidValue> {
        match self {
            _ if self.is_blank() => Ok(None),
            Self::Integer(integer) => Ok(Some(*integer as f64)),
            Self::Real(value) if value.is_finite() => Ok(Some(*value)),
            Self::Text(text) => real(text).map(Some),
            _ => Err(InvalidValue),
        }
    }

    /// A multiplier of transfer. 0 or less would make every ratio meaningless.
    pub fn multiplier(&self) -> Result<Option<f64>, InvalidValue> {
        match self.real()? {
            Some(real) if !MULTIPLIERS.contains(&real) => Err(InvalidValue),
            real => Ok(real),
        }
    }

    /// A flag. Only here do `""` and `null` have a meaning: they are PHP's false.
    pub fn flag(&self) -> Result<Option<bool>, InvalidValue> {
        match self {
            Self::Null => Ok(Some(false)),
            Self::Bool(flag) => Ok(Some(*flag)),
            Self::Integer(integer) => Ok(Some(*integer != 0)),
            Self::Real(real) if real.is_finite() => Ok(Some(*real != 0.0)),
            Self::Text(text) => match text.trim() {
                "" => Ok(Some(false)),
                "-" => Ok(None),
                text if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
                text if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
                text => real(text).map(|real| Some(real != 0.0)),
            },
            _ => Err(InvalidValue),
        }
    }

    /// Text, or the digits of a number.
    pub fn text(&self) -> Result<Option<String>, InvalidValue> {
        match self {
            Self::Null => Ok(None),
            Self::Text(text) if text.is_empty() => Ok(None),
            Self::Text(text) => Ok(Some(text.clone())),
            Self::Integer(integer) => Ok(Some(integer.to_string())),
            Self::Real(real) => Ok(Some(real.to_string())),
            Self::Bool(_) | Self::Nested => Err(InvalidValue),
        }
    }

    /// A load line: five or three fields between white space, or OpenVZ's `a/b/c`.
    pub fn load_average(&self) -> Result<Option<LoadAverage>, InvalidValue> {
        let Some(line) = self.text()? else {
            return Ok(None);
        };
        let line = line.trim();
        if matches!(line, "" | "-") {
            return Ok(None);
        }
        // The fourth field of the KVM line contains a slash, so white space takes precedence.
        let fields: Vec<&str> = if line.contains(char::is_whitespace) {
            line.split_whitespace().collect()
        } else {
            line.split('/').collect()
        };
        if !matches!(fields.len(), 3 | 5) {
            return Err(InvalidValue);
        }
        let average = |index: usize| {
            real(fields[index]).and_then(|load| {
                let possible = (0.0..=MAX_LOAD).contains(&load);
                possible.then_some(load).ok_or(InvalidValue)
            })
        };
        let processes = fields.get(3).and_then(|field| {
            let (runnable, total) = field.split_once('/')?;
            Some(Processes {
                runnable: runnable.parse().ok()?,
                total: total.parse().ok()?,
            })
        });
        Ok(Some(LoadAverage {
            averages: [average(0)?, average(1)?, average(2)?],
            processes,
        }))
    }
}

/// Returns true for an IPv6 address or subnet, false for IPv4 and `None` for other text.
pub fn is_ipv6(address: &str) -> Option<bool> {
    let (host, prefix) = address.split_once('/').unwrap_or((address, "0"));
    let host: IpAddr = host.parse().ok()?;
    let bits: u8 = prefix.parse().ok()?;
    (bits <= 128).then_some(host.is_ipv6())
}

/// Parses a finite number. Rejects `inf`, `NaN` and `infinity`, which Rust's parser accepts.
fn real(text: &str) -> Result<f64, InvalidValue> {
    let text = text.trim();
    let plain = text
        .bytes()
        .all(|c| c.is_ascii_digit() || matches!(c, b'.' | b'-' | b'+' | b'e' | b'E'));
    match text.parse::<f64>() {
        Ok(value) if plain && value.is_finite() => Ok(value),
        _ => Err(InvalidValue),
    }
}

/// Converts a float without a fraction. Rejects those beyond 2^63, which are no valid count.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn whole(real: f64) -> Result<i128, InvalidValue> {
    if real.fract() == 0.0 && real.abs() < 9.3e18 {
        Ok(real as i128)
    } else {
        Err(InvalidValue)
    }
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor)
    }
}

struct LooseVisitor;

impl Visitor<'_> for LooseVisitor {
    type Value = Loose;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value that is not nested")
    }

    fn visit_unit<E: Error>(self) -> Result<Loose, E> {
        Ok(Loose::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Loose, E> {
        Ok(Loose::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Loose, E> {
        Ok(Loose::Integer(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Loose, E> {
        Ok(Loose::Integer(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Loose, E> {
        Ok(Loose::Real(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Loose, E> {
        Ok(Loose::Text(value.to_owned()))
    }
}

#[cfg(test)]
mod tests;
