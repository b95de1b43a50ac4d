//! Values in whatever form PHP gave them: one helper for each rule, used for every field.
//!
//! `Ok(None)` is a field that says nothing (`null`, `""`, `"-"`); `Err(Odd)` is one in a form that nobody has seen.

use std::fmt;
use std::net::IpAddr;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::model::{LoadAverage, Processes};

/// Text beyond this is cut before it is kept: host names and plans are far shorter, packet logs far longer.
const TEXT_LIMIT: usize = 200;

/// A value in no known form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Odd;

/// A JSON value of any type.
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
    /// Text, cut to its first 200 characters.
    Text(String),
    /// An array.
    List(Vec<Loose>),
    /// An object, in its order.
    Map(Vec<(String, Loose)>),
}

impl Loose {
    fn says_nothing(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => matches!(text.trim(), "" | "-"),
            _ => false,
        }
    }

    /// A JSON integer, a float without fraction, or a decimal string.
    pub fn integer(&self) -> Result<Option<i128>, Odd> {
        match self {
            _ if self.says_nothing() => Ok(None),
            Self::Integer(integer) => Ok(Some(*integer)),
            Self::Real(real) => whole(*real).map(Some),
            Self::Text(text) => match text.trim().parse() {
                Ok(integer) => Ok(Some(integer)),
                Err(_) => real(text).and_then(whole).map(Some),
            },
            _ => Err(Odd),
        }
    }

    /// A count or size: an integer that is not negative.
    pub fn count(&self) -> Result<Option<u64>, Odd> {
        narrow(self.integer()?)
    }

    /// A time in Unix seconds.
    pub fn timestamp(&self) -> Result<Option<i64>, Odd> {
        narrow(self.integer()?)
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
            Self::Bool(_) | Self::List(_) | Self::Map(_) => Err(Odd),
        }
    }

    /// A list: an array, an object (a PHP list with gaps), or an empty value.
    pub fn list(&self) -> Result<Vec<&Self>, Odd> {
        match self {
            _ if self.says_nothing() => Ok(Vec::new()),
            Self::List(items) => Ok(items.iter().collect()),
            Self::Map(entries) => Ok(entries.iter().map(|(_, value)| value).collect()),
            _ => Err(Odd),
        }
    }

    /// A map: an object, or an empty value, `[]` included. A list with entries has no names to look up: it is odd.
    pub fn map(&self) -> Result<&[(String, Self)], Odd> {
        match self {
            _ if self.says_nothing() => Ok(&[]),
            Self::Map(entries) => Ok(entries),
            Self::List(items) if items.is_empty() => Ok(&[]),
            _ => Err(Odd),
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
            real(fields[index]).and_then(|load| if load < 0.0 { Err(Odd) } else { Ok(load) })
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

/// True for IPv6 addresses and subnets.
pub fn is_ipv6(address: &str) -> bool {
    let host = address.split('/').next().unwrap_or_default();
    match host.parse() {
        Ok(IpAddr::V6(_)) => true,
        Ok(IpAddr::V4(_)) => false,
        Err(_) => host.contains(':'),
    }
}

fn narrow<T: TryFrom<i128>>(integer: Option<i128>) -> Result<Option<T>, Odd> {
    integer
        .map(|integer| T::try_from(integer).map_err(|_| Odd))
        .transpose()
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

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Loose;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
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
        Ok(Loose::Text(value.chars().take(TEXT_LIMIT).collect()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Loose, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Loose::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Loose, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Loose::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loose(json: &str) -> Loose {
        serde_json::from_str(json).expect("it is JSON")
    }

    #[test]
    fn integers() {
        for (json, expected) in [
            ("7", Ok(Some(7))),
            ("7.0", Ok(Some(7))),
            ("\" 7 \"", Ok(Some(7))),
            ("\"7.0\"", Ok(Some(7))),
            ("18446744073709551615", Ok(Some(u64::MAX))),
            ("null", Ok(None)),
            ("\"\"", Ok(None)),
            ("\"-\"", Ok(None)),
            ("7.5", Err(Odd)),
            ("-7", Err(Odd)),
            ("18446744073709551616", Err(Odd)),
            ("1e300", Err(Odd)),
            ("\"seven\"", Err(Odd)),
            ("\"0x10\"", Err(Odd)),
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
        ] {
            assert_eq!(loose(json).real(), expected, "{json}");
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
        for odd in ["0.32", "a/b/c", "1 2", "1/2/3/4", "-1 2 3", "nan nan nan"] {
            assert_eq!(averages(odd), Err(Odd), "{odd}");
        }
    }

    #[test]
    fn text_is_cut_at_a_character() {
        let long = format!("\"{}\"", "é".repeat(5000));
        assert_eq!(loose(&long).text(), Ok(Some("é".repeat(TEXT_LIMIT))));
        assert_eq!(loose("12").text(), Ok(Some("12".to_owned())));
        assert_eq!(loose("{}").text(), Err(Odd));
    }

    #[test]
    fn families_of_addresses() {
        assert!(is_ipv6("2001:db8:12:34::"));
        assert!(is_ipv6("2001:db8::/64"));
        assert!(!is_ipv6("192.0.2.10"));
    }
}
