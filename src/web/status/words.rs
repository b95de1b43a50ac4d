//! Formats numbers, dates and text for people.

use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};

use time::OffsetDateTime;

use crate::units::{Bytes, UnixSeconds};

/// Maximum number of characters of foreign text; no legitimate name is longer.
const LONGEST_TEXT: usize = 400;

/// A time span in seconds, shown in one unit.
pub struct Span(pub i64);

impl Span {
    /// Rounds down to whole seconds.
    #[expect(clippy::cast_possible_truncation, reason = "floats saturate")]
    pub fn of(seconds: f64) -> Self {
        Self(seconds.floor() as i64)
    }
}

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.max(0) {
            seconds @ 0..=119 => write!(f, "{seconds} s"),
            seconds @ 120..=7199 => write!(f, "{} min", seconds / 60),
            seconds @ 7200..=172_799 => write!(f, "{} h", seconds / 3600),
            seconds => write!(f, "{} days", seconds / 86_400),
        }
    }
}

/// A size, shown in binary units as the vendor does.
pub struct Size(pub Bytes);

impl Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bytes::<f64>(mut value) = self.0.into();
        let mut unit = "B";
        for next in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
            if value < 1024.0 {
                break;
            }
            value /= 1024.0;
            unit = next;
        }
        let whole = (value - value.round()).abs() < 0.05;
        let digits = usize::from(value < 99.95 && !whole);
        write!(f, "{value:.digits$} {unit}")
    }
}

/// A part of a size. A common unit is shown once.
pub struct Amount(pub Size, pub Size);

impl Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [part, whole] = [&self.0, &self.1].map(ToString::to_string);
        let unit = whole.rsplit(' ').next().unwrap_or_default();
        write!(f, "{} of {whole}", part.trim_end_matches(unit).trim_end())
    }
}

/// A day, month and time, in the format of the alerts.
pub struct Date(pub UnixSeconds<i64>);

impl Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(at) = OffsetDateTime::from_unix_timestamp(self.0.0) else {
            return f.write_str("a time beyond the calendar");
        };
        let month = at.month().to_string();
        let month = month.get(..3).unwrap_or(&month);
        let (day, hour, minute) = (at.day(), at.hour(), at.minute());
        write!(f, "{day} {month} {hour:02}:{minute:02} UTC")
    }
}

/// A share in whole percent, rounded down so that no threshold appears to be reached early.
pub struct Percent(pub f64);

impl Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The epsilon compensates for rounding errors of whole percentages.
        let percent = (self.0 * 100.0 + 1e-9).floor();
        if self.0 > 0.0 && percent < 1.0 {
            f.write_str("under 1 %")
        } else {
            write!(f, "{percent} %")
        }
    }
}

/// A number of things, with the singular and plural of their name.
pub struct Count(pub usize, pub &'static str, pub &'static str);

impl Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}",
            self.0,
            if self.0 == 1 { self.1 } else { self.2 }
        )
    }
}

/// A date and time.
pub struct Utc(pub UnixSeconds<i64>);

impl Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(at) = OffsetDateTime::from_unix_timestamp(self.0.0) else {
            return f.write_str("a time beyond the calendar");
        };
        write!(
            f,
            "{:04}-{:02}-{:02} {:02}:{:02} UTC",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute()
        )
    }
}

impl Utc {
    /// The time in ISO 8601.
    pub fn iso(&self) -> String {
        self.to_string().replacen(' ', "T", 1).replace(" UTC", "Z")
    }
}

/// Text escaped for an element or an attribute.
pub struct Escaped<'a>(pub &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars().take(LONGEST_TEXT) {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c if c.is_control() || is_bidi_control(c) => {
                    f.write_char(char::REPLACEMENT_CHARACTER)?;
                }
                c => f.write_char(c)?,
            }
        }
        if self.0.chars().nth(LONGEST_TEXT).is_some() {
            f.write_char('…')?;
        }
        Ok(())
    }
}

/// Invisible characters that change the direction of text.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Foreign text within a line, isolated so that its direction does not affect the rest.
pub struct Foreign<'a>(pub &'a str);

impl Display for Foreign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<bdi>{}</bdi>", Escaped(self.0))
    }
}

/// The value, or "unknown".
pub fn or_unknown(value: Option<impl Display>) -> Cow<'static, str> {
    value.map_or(Cow::Borrowed("unknown"), |value| value.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_one_unit() {
        for (seconds, words) in [
            (-5, "0 s"),
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7199, "119 min"),
            (7200, "2 h"),
            (172_799, "47 h"),
            (172_800, "2 days"),
            (40 * 86_400, "40 days"),
        ] {
            assert_eq!(Span(seconds).to_string(), words);
        }
    }

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, words) in [
            (0, "0 B"),
            (999, "999 B"),
            (1536, "1.5 KiB"),
            (1000 << 30, "1000 GiB"),
            ((2 << 30) - 1, "2 GiB"),
            (123_456_789, "118 MiB"),
            (512 << 20, "512 MiB"),
            (2 << 30, "2 GiB"),
            (u64::MAX, "16384 PiB"),
        ] {
            assert_eq!(Size(Bytes(bytes)).to_string(), words, "{bytes}");
        }
    }

    #[test]
    fn percentages_are_rounded_down_but_not_to_zero() {
        for (ratio, words) in [
            (0.0, "0 %"),
            (0.001, "under 1 %"),
            (0.01, "1 %"),
            (0.29, "29 %"),
            (0.839, "83 %"),
            (0.998, "99 %"),
            (1.0, "100 %"),
            (1.134, "113 %"),
        ] {
            assert_eq!(Percent(ratio).to_string(), words, "{ratio}");
        }
    }

    #[test]
    fn times_are_in_utc() {
        let utc = |seconds| Utc(UnixSeconds(seconds)).to_string();
        assert_eq!(utc(1_792_540_860), "2026-10-21 00:01 UTC");
        assert_eq!(utc(i64::MAX), "a time beyond the calendar");
    }

    #[test]
    fn foreign_text_is_escaped_isolated_and_shortened() {
        let hostile = "<script>\"a\"&'\u{202e}gpj\u{2069}\n";
        assert_eq!(
            Foreign(hostile).to_string(),
            "<bdi>&lt;script&gt;&quot;a&quot;&amp;&#39;\u{fffd}gpj\u{fffd}\u{fffd}</bdi>"
        );
        let long = "x".repeat(1000);
        assert_eq!(Escaped(&long).to_string().chars().count(), LONGEST_TEXT + 1);
    }
}
