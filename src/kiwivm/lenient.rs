//! Values in whatever form PHP gave them: one helper for each rule, used for every field.
//!
//! `Ok(None)` is a field that says nothing (`null`, `""`, `"-"`); `Err(Odd)` is one in a form that nobody has seen, or
//! one that cannot be true.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::model::{LoadAverage, Processes};

/// An exbibyte: no plan, disk or counter has a thousandth of it. Beyond are -1 without its sign and the largest integers
/// of some languages.
const LARGEST_COUNT: u64 = 1 << 60;
/// Unix seconds have ten digits from 2001 to 2286; milliseconds have thirteen.
const UNIX_SECONDS: RangeInclusive<i64> = 1_000_000_000..=9_999_999_999;
/// Every recorded multiplier is 1, and 0.33 is said of a premium location.
const MULTIPLIERS: RangeInclusive<f64> = 0.001..=1000.0;
/// No kernel has more tasks (2^22), so no load is higher.
const LARGEST_LOAD: f64 = 4_194_304.0;

/// A value in no known form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Odd;

/// A JSON value of any type. Lists and objects are cut into their parts elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub enum Loose {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number without fraction, as large as it may be.
    Integer(i128),
    /// Any other number.
    Real(f64),
    /// Text.
    Text(String),
    /// A list or an object.
    Nested,
}

impl Loose {
    /// Reads a value. One that is not JSON (`NaN`, half of a surrogate pair) or fits no type (`1e999`) is odd.
    pub fn parse(value: &[u8]) -> Result<Self, Odd> {
        match value.trim_ascii_start().first() {
            Some(b'[' | b'{') => Ok(Self::Nested),
            _ => serde_json::from_slice(value).map_err(|_| Odd),
        }
    }

    /// True for `null`, `""` and `"-"`.
    pub fn says_nothing(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => matches!(text.trim(), "" | "-"),
            _ => false,
        }
    }

    /// A JSON integer, a float without fraction, or a string of digits. Text with a point is odd: `1.000` may be one or
    /// a thousand.
    pub fn integer(&self) -> Result<Option<i128>, Odd> {
        match self {
            _ if self.says_nothing() => Ok(None),
            Self::Integer(integer) => Ok(Some(*integer)),
            Self::Real(real) => whole(*real).map(Some),
            Self::Text(text) => text.trim().parse().map(Some).map_err(|_| Odd),
            _ => Err(Odd),
        }
    }

    /// A count or size: an integer that is not negative, and no larger than any true one.
    pub fn count(&self) -> Result<Option<u64>, Odd> {
        self.count_of(1)
    }

    /// A size that is given in units of so many bytes, in bytes.
    pub fn count_of(&self, unit: u64) -> Result<Option<u64>, Odd> {
        let bytes = |count: i128| {
            let bytes = u64::try_from(count).ok()?.checked_mul(unit)?;
            (bytes <= LARGEST_COUNT).then_some(bytes)
        };
        let count = self.integer()?;
        count.map(|count| bytes(count).ok_or(Odd)).transpose()
    }

    /// A time in Unix seconds.
    pub fn timestamp(&self) -> Result<Option<i64>, Odd> {
        let time = |integer: i128| {
            let seconds = i64::try_from(integer).ok()?;
            UNIX_SECONDS.contains(&seconds).then_some(seconds)
        };
        let integer = self.integer()?;
        integer.map(|integer| time(integer).ok_or(Odd)).transpose()
    }

    /// A finite number.
    #[expect(clippy::cast_precision_loss, reason = "what is asked for is a float")]
    pub fn real(&self) -> Result<Option<f64>, Odd> {
        match self {
            _ if self.says_nothing() => Ok(None),
            Self::Integer(integer) => Ok(Some(*integer as f64)),
            Self::Real(value) if value.is_finite() => Ok(Some(*value)),
            Self::Text(text) => real(text).map(Some),
            _ => Err(Odd),
        }
    }

    /// A coefficient of transfer. One of 0 or less would turn every share into nonsense.
    pub fn multiplier(&self) -> Result<Option<f64>, Odd> {
        match self.real()? {
            Some(real) if !MULTIPLIERS.contains(&real) => Err(Odd),
            real => Ok(real),
        }
    }

    /// A flag. Unlike everywhere else `""` and `null` mean something here: they are PHP's false.
    pub fn flag(&self) -> Result<Option<bool>, Odd> {
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
            _ => Err(Odd),
        }
    }

    /// Text, or the digits of a number.
    pub fn text(&self) -> Result<Option<String>, Odd> {
        match self {
            Self::Null => Ok(None),
            Self::Text(text) if text.is_empty() => Ok(None),
            Self::Text(text) => Ok(Some(text.clone())),
            Self::Integer(integer) => Ok(Some(integer.to_string())),
            Self::Real(real) => Ok(Some(real.to_string())),
            Self::Bool(_) | Self::Nested => Err(Odd),
        }
    }

    /// A load line: five or three fields between white space, or OpenVZ's `a/b/c`.
    pub fn load_average(&self) -> Result<Option<LoadAverage>, Odd> {
        let Some(line) = self.text()? else {
            return Ok(None);
        };
        let line = line.trim();
        if matches!(line, "" | "-") {
            return Ok(None);
        }
        // The fourth field of the KVM line holds a slash of its own, so white space is looked for first.
        let fields: Vec<&str> = if line.contains(char::is_whitespace) {
            line.split_whitespace().collect()
        } else {
            line.split('/').collect()
        };
        if !matches!(fields.len(), 3 | 5) {
            return Err(Odd);
        }
        let average = |index: usize| {
            real(fields[index]).and_then(|load| {
                let possible = (0.0..=LARGEST_LOAD).contains(&load);
                possible.then_some(load).ok_or(Odd)
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

/// True for an IPv6 address or subnet, false for IPv4, `None` for other text.
pub fn is_ipv6(address: &str) -> Option<bool> {
    let (host, prefix) = address.split_once('/').unwrap_or((address, "0"));
    let host: IpAddr = host.parse().ok()?;
    let bits: u8 = prefix.parse().ok()?;
    (bits <= 128).then_some(host.is_ipv6())
}

/// Rust's own parser would take `inf`, `NaN` and `infinity`.
fn real(text: &str) -> Result<f64, Odd> {
    let text = text.trim();
    let plain = text
        .bytes()
        .all(|c| c.is_ascii_digit() || matches!(c, b'.' | b'-' | b'+' | b'e' | b'E'));
    match text.parse::<f64>() {
        Ok(value) if plain && value.is_finite() => Ok(value),
        _ => Err(Odd),
    }
}

/// Floats beyond 2^63 are not counts of anything here.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn whole(real: f64) -> Result<i128, Odd> {
    if real.fract() == 0.0 && real.abs() < 9.3e18 {
        Ok(real as i128)
    } else {
        Err(Odd)
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
mod tests {
    use super::*;

    fn loose(json: &str) -> Loose {
        Loose::parse(json.as_bytes()).expect("it is JSON")
    }

    #[test]
    fn integers() {
        for (json, expected) in [
            ("7", Ok(Some(7))),
            ("7.0", Ok(Some(7))),
            ("\" 7 \"", Ok(Some(7))),
            ("1152921504606846976", Ok(Some(1 << 60))),
            ("null", Ok(None)),
            ("\"\"", Ok(None)),
            ("\"-\"", Ok(None)),
            ("7.5", Err(Odd)),
            ("-7", Err(Odd)),
            ("1152921504606846977", Err(Odd)),
            ("9223372036854775807", Err(Odd)),
            ("18446744073709551615", Err(Odd)),
            ("18446744073709551616", Err(Odd)),
            ("1e300", Err(Odd)),
            ("\"seven\"", Err(Odd)),
            ("\"0x10\"", Err(Odd)),
            ("\"1.000\"", Err(Odd)),
            ("\"1,000\"", Err(Odd)),
            ("\"1 000\"", Err(Odd)),
            ("\"7 GB\"", Err(Odd)),
            ("\"1e3\"", Err(Odd)),
            ("true", Err(Odd)),
            ("[7]", Err(Odd)),
            ("{}", Err(Odd)),
        ] {
            assert_eq!(loose(json).count(), expected, "{json}");
        }
    }

    #[test]
    fn reals() {
        for (json, expected) in [
            ("0.33", Ok(Some(0.33))),
            ("\"0.33\"", Ok(Some(0.33))),
            ("1", Ok(Some(1.0))),
            ("null", Ok(None)),
            ("\"NaN\"", Err(Odd)),
            ("\"inf\"", Err(Odd)),
            ("\"1e999\"", Err(Odd)),
            ("\"0,33\"", Err(Odd)),
            ("\"33 %\"", Err(Odd)),
        ] {
            assert_eq!(loose(json).real(), expected, "{json}");
        }
    }

    #[test]
    fn sizes_in_units_are_bytes_or_odd() {
        assert_eq!(loose("\"41\"").count_of(1 << 30), Ok(Some(41 << 30)));
        for odd in [
            "41.5",
            "\"41G\"",
            "-1",
            "1073741825",
            "18446744073709551615",
        ] {
            assert_eq!(loose(odd).count_of(1 << 30), Err(Odd), "{odd}");
        }
    }

    #[test]
    fn times_are_seconds() {
        for (json, expected) in [
            ("1790812801", Ok(Some(1_790_812_801))),
            ("\"1790812801\"", Ok(Some(1_790_812_801))),
            ("null", Ok(None)),
            ("1790812801000", Err(Odd)),
            ("1790812801.5", Err(Odd)),
            ("\"2026-10-01\"", Err(Odd)),
            ("-1790812801", Err(Odd)),
            ("5", Err(Odd)),
        ] {
            assert_eq!(loose(json).timestamp(), expected, "{json}");
        }
    }

    #[test]
    fn what_is_no_value_is_odd() {
        for odd in [
            "NaN",
            "-Infinity",
            "1e999",
            "\"\\ud800\"",
            "\"a\nb\"",
            "\"\\x\"",
            "tru",
            "",
        ] {
            assert_eq!(Loose::parse(odd.as_bytes()), Err(Odd), "{odd}");
        }
        assert_eq!(Loose::parse(b"\"\xff\""), Err(Odd));
        for nested in ["[7]", " {}"] {
            assert_eq!(loose(nested), Loose::Nested);
        }
    }

    #[test]
    fn flags() {
        for (json, expected) in [
            ("\"\"", Ok(Some(false))),
            ("null", Ok(Some(false))),
            ("0", Ok(Some(false))),
            ("\"0\"", Ok(Some(false))),
            ("false", Ok(Some(false))),
            ("\"false\"", Ok(Some(false))),
            ("1", Ok(Some(true))),
            ("\"1\"", Ok(Some(true))),
            ("2", Ok(Some(true))),
            ("true", Ok(Some(true))),
            ("\"TRUE\"", Ok(Some(true))),
            ("\"-\"", Ok(None)),
            ("\"throttled\"", Err(Odd)),
            ("[]", Err(Odd)),
        ] {
            assert_eq!(loose(json).flag(), expected, "{json}");
        }
    }

    #[test]
    fn load_lines() {
        let averages = |text: &str| {
            Loose::Text(text.to_owned()).load_average().map(|load| {
                load.map(|load| (load.averages, load.processes.map(|p| (p.runnable, p.total))))
            })
        };
        assert_eq!(
            averages("0.32 0.25 0.10 1/335 2886523"),
            Ok(Some(([0.32, 0.25, 0.1], Some((1, 335)))))
        );
        assert_eq!(averages("1 2 3"), Ok(Some(([1.0, 2.0, 3.0], None))));
        assert_eq!(
            averages("0.04/0.09/0.05"),
            Ok(Some(([0.04, 0.09, 0.05], None)))
        );
        assert_eq!(averages("-"), Ok(None));
        assert_eq!(averages(""), Ok(None));
        for odd in [
            "0.32",
            "a/b/c",
            "1 2",
            "1/2/3/4",
            "-1 2 3",
            "nan nan nan",
            "1e300 0 0",
            "0,5 0,5 0,5",
        ] {
            assert_eq!(averages(odd), Err(Odd), "{odd}");
        }
    }

    #[test]
    fn text_and_digits() {
        assert_eq!(loose("\"é\"").text(), Ok(Some("é".to_owned())));
        assert_eq!(loose("12").text(), Ok(Some("12".to_owned())));
        assert_eq!(loose("\"\"").text(), Ok(None));
        assert_eq!(loose("{}").text(), Err(Odd));
    }

    #[test]
    fn families_of_addresses() {
        for (address, ipv6) in [
            ("2001:db8:12:34::", Some(true)),
            ("2001:db8::/64", Some(true)),
            ("192.0.2.10", Some(false)),
            ("192.0.2.0/24", Some(false)),
            ("vps1.example.com", None),
            ("192.0.2.10/x", None),
            ("2001:db8::/129", None),
            ("", None),
        ] {
            assert_eq!(is_ipv6(address), ipv6, "{address}");
        }
    }
}
