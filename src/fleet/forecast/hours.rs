//! Hourly sums of usage rows, the input of the forecast. Every usage response holds weeks of rows, so the sums are
//! rebuilt from each response. Two bytes per hour are enough to store them.

use crate::fleet::usage::CLOCK_TOLERANCE;
use crate::units::{Bytes, UnixSeconds};

/// Hours kept: enough for a whole period and for four whole weeks, from which each weekday gets a median.
pub const HOURS: u32 = 35 * 24;
/// Seconds of an hour.
pub const HOUR: f64 = 3600.0;
/// Minutes of an hour. Rows are five minutes apart, so two rows that end in the same minute are duplicates.
const MINUTES: u32 = 60;

/// Packed bytes have a mantissa of ten bits and a shift of six: an error of 0.1 % at most.
const MANTISSA_BITS: u32 = 10;
/// Marks an hour without rows. As a number of bytes it would be 2^73.
const ABSENT: u16 = u16::MAX;

/// Bytes in and out by hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HourlyUsage {
    /// The first hour, in hours since 1970.
    first: u32,
    /// Time of the newest row.
    newest: UnixSeconds<u32>,
    /// Oldest first. The first and the last hour have rows.
    sums: Box<[u16]>,
}

impl HourlyUsage {
    /// Bytes in an hour since 1970; `None` without rows. The sum of the last hour may still grow.
    pub(super) fn bytes(&self, hour: u32) -> Option<Bytes<f64>> {
        let index = usize::try_from(hour.checked_sub(self.first)?).ok()?;
        unpack(*self.sums.get(index)?)
    }

    /// The first hour with rows, in hours since 1970.
    pub(super) const fn first(&self) -> u32 {
        self.first
    }

    /// Time of the newest row.
    pub(super) const fn newest(&self) -> UnixSeconds<u32> {
        self.newest
    }

    /// The bytes from `from` to `to`, and how many of those hours are known.
    pub(super) fn between(&self, from: UnixSeconds, to: UnixSeconds) -> (Bytes<f64>, f64) {
        let (mut bytes, mut known) = (Bytes(0.0), 0.0);
        for hour in self.first..=hour_of(self.newest) {
            let begin = start_of(hour);
            // Rows cover the newest hour only up to the newest row.
            let end = (begin + HOUR).min(self.newest.into());
            let (Some(sum), true) = (self.bytes(hour), end > begin) else {
                continue;
            };
            let part = (to.min(end) - from.max(begin)).max(0.0);
            bytes += Bytes(sum.0 * part / (end - begin));
            known += part / HOUR;
        }
        (bytes, known)
    }
}

/// The hour since 1970 in which an interval ends.
pub(super) const fn hour_of(end: UnixSeconds<u32>) -> u32 {
    end.0.saturating_sub(1) / 3600
}

/// The beginning of an hour since 1970.
pub(super) fn start_of(hour: u32) -> UnixSeconds {
    UnixSeconds(f64::from(hour) * HOUR)
}

/// Hourly sums of the rows of one response.
#[derive(Clone, Debug)]
pub(in crate::fleet) struct HourSums {
    first: u32,
    newest: UnixSeconds<u32>,
    sums: Box<[Bytes]>,
    /// A bit for each minute in which a row ended.
    minutes: Box<[u64]>,
}

impl HourSums {
    /// Creates empty sums for the response to a call made at `now`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "floats saturate"
    )]
    pub(in crate::fleet) fn new(now: UnixSeconds) -> Self {
        let end = ((now + CLOCK_TOLERANCE).0 / HOUR) as u32 + 1;
        Self {
            first: end.saturating_sub(HOURS),
            newest: UnixSeconds(0),
            sums: vec![Bytes(0); HOURS as usize].into(),
            minutes: vec![0; HOURS as usize].into(),
        }
    }

    /// Adds the bytes of the interval that ends at `end`.
    pub(in crate::fleet) fn add(&mut self, end: UnixSeconds<u32>, bytes: Bytes) {
        let Some(index) = hour_of(end).checked_sub(self.first) else {
            return;
        };
        let index = index as usize;
        let Some(minutes) = self.minutes.get_mut(index) else {
            return;
        };
        let minute = 1_u64 << (end.0.saturating_sub(1) / 60 % MINUTES);
        if *minutes & minute == 0 {
            *minutes |= minute;
            self.sums[index] = self.sums[index].saturating_add(bytes);
            self.newest = self.newest.max(end);
        }
    }

    /// Merges the sums of this response with the previous ones, which fill hours without rows.
    pub(in crate::fleet) fn merge(&self, before: Option<&HourlyUsage>) -> Option<HourlyUsage> {
        let known = |index: u32| match self.minutes[index as usize] {
            0 => before.and_then(|before| before.bytes(self.first + index)),
            _ => Some(self.sums[index as usize].into()),
        };
        let begin = (0..HOURS).find(|index| known(*index).is_some())?;
        let end = (0..HOURS).rfind(|index| known(*index).is_some())?;
        Some(HourlyUsage {
            first: self.first + begin,
            newest: before.map_or(self.newest, |before| before.newest.max(self.newest)),
            sums: (begin..=end).map(|index| pack(known(index))).collect(),
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bytes are finite and positive, and the mantissa has ten bits"
)]
fn pack(bytes: Option<Bytes<f64>>) -> u16 {
    let Some(Bytes(bytes)) = bytes else {
        return ABSENT;
    };
    let bytes = bytes as u64;
    let bits = u64::BITS - bytes.leading_zeros();
    let shift = bits.saturating_sub(MANTISSA_BITS);
    let half = if shift == 0 { 0 } else { 1 << (shift - 1) };
    let rounded = bytes.saturating_add(half) >> shift;
    // Rounding up may overflow to eleven bits.
    let carry = u32::from(rounded >> MANTISSA_BITS != 0);
    (((shift + carry) << MANTISSA_BITS) as u16) | (rounded >> carry) as u16
}

fn unpack(packed: u16) -> Option<Bytes<f64>> {
    let mantissa = packed & ((1 << MANTISSA_BITS) - 1);
    let shift = i32::from(packed >> MANTISSA_BITS);
    (packed != ABSENT).then(|| Bytes(f64::from(mantissa) * f64::powi(2.0, shift)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u32 = 1_790_000_000;

    fn sums(rows: &[(u32, u64)], before: Option<&HourlyUsage>) -> Option<HourlyUsage> {
        let mut sums = HourSums::new(UnixSeconds(f64::from(NOW)));
        for (end, bytes) in rows {
            sums.add(UnixSeconds(*end), Bytes(*bytes));
        }
        sums.merge(before)
    }

    #[test]
    fn a_row_counts_once_in_the_hour_in_which_it_ends() {
        let hour = NOW / 3600 - 5;
        let end = (hour + 1) * 3600;
        let rows = [(end, 7), (end, 7), (end - 300, 11), (end + 300, 100)];
        let usage = sums(&rows, None).expect("there are rows");
        assert_eq!(
            [hour - 1, hour, hour + 1].map(|hour| usage.bytes(hour)),
            [None, Some(Bytes(18.0)), Some(Bytes(100.0))]
        );
        assert_eq!(usage.newest(), UnixSeconds(end + 300));
    }

    #[test]
    fn hours_without_rows_keep_their_sums_and_old_hours_are_dropped() {
        let rows: Vec<_> = (1..=HOURS + 48)
            .map(|hour| (NOW - hour * 3600, 1000))
            .collect();
        let all = sums(&rows, None).expect("there are rows");
        assert!(all.sums.len() <= HOURS as usize);
        let later = sums(&[(NOW - 300, 5)], Some(&all)).expect("there are rows");
        let hour = hour_of(UnixSeconds(NOW - 3600 * 400));
        assert_eq!(later.bytes(hour), Some(Bytes(1000.0)));
        assert_eq!(later.newest(), UnixSeconds(NOW - 300));
        assert_eq!(sums(&[], Some(&all)), Some(all));
        assert_eq!(sums(&[], None), None);
    }

    #[test]
    fn partial_hours_count_by_their_length() {
        let hour = NOW / 3600 - 5;
        let begin = start_of(hour);
        let usage = sums(&[((hour + 1) * 3600, 600), (hour * 3600 + 5400, 900)], None);
        let usage = usage.expect("there are rows");
        for (from, to, bytes, hours) in [
            (begin, begin + HOUR, 600.0, 1.0),
            (begin + 1800.0, begin + 4500.0, 750.0, 0.75),
            (UnixSeconds(0.0), UnixSeconds(f64::MAX), 1500.0, 1.5),
        ] {
            assert_eq!(usage.between(from, to), (Bytes(bytes), hours));
        }
    }

    proptest! {
        #[test]
        fn packing_loses_at_most_a_thousandth(bytes in 0_u64..1 << 54) {
            #[expect(clippy::cast_precision_loss, reason = "it is rounded anyway")]
            let bytes = bytes as f64;
            let kept = unpack(pack(Some(Bytes(bytes)))).unwrap().0;
            prop_assert!((kept - bytes).abs() <= bytes / 1000.0, "{bytes} became {kept}");
            prop_assert_eq!(pack(Some(Bytes(kept))), pack(Some(Bytes(bytes))));
        }
    }
}
