//! Finds the quantities of a text: sizes, shares, time spans, dates and numbers.

use time::{Date, Month, OffsetDateTime};

const DAY: f64 = 86_400.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bytes,
    Share,
    Span,
    Date,
    Number,
}

/// A quantity. Texts round, so it lies between two bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantity {
    kind: Kind,
    low: f64,
    high: f64,
}

impl Quantity {
    const fn new(kind: Kind, low: f64, high: f64) -> Self {
        Self { kind, low, high }
    }

    /// Moves a date by some seconds.
    pub fn later(self, seconds: f64) -> Self {
        match self.kind {
            Kind::Date => Self::new(self.kind, self.low + seconds, self.high + seconds),
            _ => self,
        }
    }

    fn agrees(self, other: Self) -> bool {
        let overlaps = self.low < other.high && other.low < self.high;
        self == other || self.kind == other.kind && overlaps
    }
}

/// A text divided into words and quantities.
#[derive(Debug)]
pub struct Text {
    /// The text with `#` in place of each quantity.
    pub words: String,
    pub quantities: Vec<Quantity>,
}

impl Text {
    /// Divides a text. Dates are those closest to `now`, Unix seconds.
    pub fn new(text: &str, now: f64) -> Self {
        let words: Vec<_> = text.split_whitespace().collect();
        let mut rest = &words[..];
        let mut divided = Self {
            words: String::new(),
            quantities: Vec::new(),
        };
        while let Some(first) = rest.first() {
            let (quantity, taken) = date(rest, now)
                .or_else(|| span(rest))
                .or_else(|| size(rest))
                .or_else(|| share(rest))
                .or_else(|| number(rest))
                .map_or((None, 1), |(quantity, taken)| (Some(quantity), taken));
            if let Some(quantity) = quantity {
                let last = rest[taken - 1];
                let end = last.trim_end_matches(['.', ',', ')']);
                divided.words += if first.starts_with('(') { "(#" } else { "#" };
                divided.words += &last[end.len()..];
                divided.quantities.push(quantity);
            } else {
                divided.words += first;
            }
            divided.words += " ";
            rest = &rest[taken..];
        }
        divided.words.truncate(divided.words.trim_end().len());
        divided
    }

    /// True if a quantity is one of this text or follows from two of them: their ratio, the rest of it, their
    /// difference, or the time from or until `now`.
    pub fn implies(&self, quantity: Quantity, now: f64) -> bool {
        let is_it = |derived: Quantity| derived.agrees(quantity);
        let stated = self.quantities.iter().copied();
        let mut pairs = stated
            .clone()
            .flat_map(|a| stated.clone().map(move |b| (a, b)));
        stated
            .clone()
            .any(|own| is_it(own) || time_to(own, now).is_some_and(is_it))
            || pairs.any(|(a, b)| a.kind == b.kind && derived(a, b).into_iter().any(is_it))
    }
}

fn derived(a: Quantity, b: Quantity) -> [Quantity; 3] {
    let share = Quantity::new(Kind::Share, a.low / b.high, a.high / b.low);
    let kind = if a.kind == Kind::Date {
        Kind::Span
    } else {
        a.kind
    };
    [
        share,
        Quantity::new(Kind::Share, 1.0 - share.high, 1.0 - share.low),
        Quantity::new(kind, a.low - b.high, a.high - b.low),
    ]
}

fn time_to(date: Quantity, now: f64) -> Option<Quantity> {
    let (low, high) = ((date.low - now).abs(), (date.high - now).abs());
    (date.kind == Kind::Date).then_some(Quantity::new(Kind::Span, low.min(high), low.max(high)))
}

/// Splits a word like `3.5GiB,` into its number, its unit and the number of its decimals.
fn split(word: &str) -> Option<(f64, &str, f64)> {
    let word = word
        .trim_start_matches('(')
        .trim_end_matches(['.', ',', ')']);
    let end = word.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (digits, unit) = word.split_at(end.unwrap_or(word.len()));
    let value = digits.parse().ok()?;
    let decimals = digits
        .split_once('.')
        .map_or(0, |(_, decimals)| decimals.len());
    let step = 0.1_f64.powi(i32::try_from(decimals).expect("a few digits"));
    Some((value, unit, step))
}

/// The unit of a number is part of its word or the next word.
fn with_unit<'a>(words: &[&'a str]) -> Option<(f64, &'a str, f64, usize)> {
    let (value, unit, step) = split(words.first()?)?;
    if unit.is_empty() {
        let unit = words.get(1)?.trim_end_matches(['.', ',', ')']);
        Some((value, unit, step, 2))
    } else {
        Some((value, unit, step, 1))
    }
}

fn unit_of_size(unit: &str) -> Option<f64> {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let position = units.iter().position(|known| *known == unit)?;
    Some(1024_f64.powi(i32::try_from(position).expect("a few units")))
}

/// `466GiB`, `1.5 GiB`, or `1 of 5 GiB`, where the unit is shown once.
fn size(words: &[&str]) -> Option<(Quantity, usize)> {
    let (value, unit, step, taken) = with_unit(words)?;
    let (unit, taken) = match unit {
        "of" => (with_unit(words.get(2..)?)?.1, 1),
        unit => (unit, taken),
    };
    let unit = unit_of_size(unit)?;
    // The page omits a decimal that is zero or of a large number.
    let half = if value < 99.95 { step.min(0.1) } else { step } / 2.0;
    let quantity = Quantity::new(Kind::Bytes, (value - half) * unit, (value + half) * unit);
    Some((quantity, taken))
}

/// `9.766%`, or `9 %`, which is rounded down.
fn share(words: &[&str]) -> Option<(Quantity, usize)> {
    let (value, unit, step, taken) = with_unit(words)?;
    let quantity = Quantity::new(
        Kind::Share,
        (value - step / 2.0) / 100.0,
        (value + step) / 100.0,
    );
    (unit == "%").then_some((quantity, taken))
}

/// `1d 2h 0m 3s`, or `26 h`, which is rounded down.
fn span(words: &[&str]) -> Option<(Quantity, usize)> {
    let of_word = |word: &&str| {
        let (value, unit, _) = split(word)?;
        let unit = match unit {
            "d" => DAY,
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            _ => return None,
        };
        Some(value * unit)
    };
    let end = words.iter().position(|word| word.ends_with([',', '.']));
    let clause = &words[..end.map_or(words.len(), |end| end + 1)];
    let parts: Vec<_> = clause.iter().map_while(of_word).collect();
    let total: f64 = parts.iter().sum();
    if !parts.is_empty() {
        return Some((
            Quantity::new(Kind::Span, total - 0.5, total + 0.5),
            parts.len(),
        ));
    }
    let (value, unit, _, taken) = with_unit(words)?;
    let unit = match unit {
        "days" => DAY,
        "h" => 3600.0,
        "min" => 60.0,
        "s" => 1.0,
        _ => return None,
    };
    Some((
        Quantity::new(Kind::Span, value * unit, (value + 1.0) * unit),
        taken,
    ))
}

/// `27 Oct 11:37 UTC`.
fn date(words: &[&str], now: f64) -> Option<(Quantity, usize)> {
    let [day, month, clock, zone, ..] = words else {
        return None;
    };
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = months.iter().position(|known| known == month)?;
    let month = Month::try_from(u8::try_from(month + 1).ok()?).ok()?;
    let (hour, minute) = clock.split_once(':')?;
    if !zone.starts_with("UTC") {
        return None;
    }
    let (day, hour, minute) = (day.parse().ok()?, hour.parse().ok()?, minute.parse().ok()?);
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds")]
    let year = OffsetDateTime::from_unix_timestamp(now as i64).ok()?.year();
    let times = [year - 1, year, year + 1].into_iter().filter_map(|year| {
        let date = Date::from_calendar_date(year, month, day).ok()?;
        let at = date
            .with_hms(hour, minute, 0)
            .ok()?
            .assume_utc()
            .unix_timestamp();
        #[expect(clippy::cast_precision_loss, reason = "a date")]
        let at = at as f64;
        Some(at)
    });
    let at = times.min_by(|a, b| (a - now).abs().total_cmp(&(b - now).abs()))?;
    Some((Quantity::new(Kind::Date, at, at + 60.0), 4))
}

fn number(words: &[&str]) -> Option<(Quantity, usize)> {
    let (value, unit, _) = split(words.first()?)?;
    unit.is_empty()
        .then_some((Quantity::new(Kind::Number, value, value), 1))
}

#[test]
fn both_notations_of_a_quantity_agree() {
    let now = 1_791_676_800.0;
    for (page, alert) in [
        ("used 400 of 1000 GiB.", "used 400GiB of 1000GiB."),
        ("100 MiB of 1 GiB", "100MiB, 9.766%."),
        ("12.3 GiB of 20 GiB", "61.5% of it. 7.7GiB is left."),
        ("50 of the 100 points", "50% of them"),
        ("87 % of it", "87.45% of it"),
        (
            "on 27 Oct 11:37 UTC, 3 days later",
            "in 16d 11h 37m 0s, 3d 2h 1m 0s later",
        ),
        ("newer than 28 Dec 04:00 UTC", "newer than 28 Dec 04:00 UTC"),
    ] {
        let page = Text::new(page, now);
        for quantity in Text::new(alert, now).quantities {
            assert!(page.implies(quantity, now), "{quantity:?} {page:?}");
        }
    }
    for (page, alert) in [
        ("400 of 1000 GiB", "402GiB"),
        ("400 of 1000 GiB", "41%"),
        ("on 27 Oct 11:37 UTC", "on 27 Oct 11:38 UTC"),
        ("on 27 Oct 11:37 UTC", "in 16d 11h 39m 0s"),
        ("2 addresses", "3 addresses"),
    ] {
        let page = Text::new(page, now);
        let of_alert = Text::new(alert, now).quantities[0];
        assert!(!page.implies(of_alert, now), "{of_alert:?} {page:?}");
    }
    assert_eq!(
        Text::new("It used 5 of 9 GiB (50%).", now).words,
        "It used # of # (#)."
    );
}
