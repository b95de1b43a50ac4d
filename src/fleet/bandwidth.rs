//! The transfer allowance in the terms of the vendor's documentation: counter and allowance are both multiplied with
//! the coefficient of the location. The used share is the same without it.

use time::{Date, OffsetDateTime};

use super::CounterReading;
use crate::kiwivm::model::ServiceInfo;

/// Transfer used in bytes.
#[expect(clippy::cast_precision_loss, reason = "samples are 64-bit floats")]
pub fn used(info: &ServiceInfo) -> Option<f64> {
    multiplied(info.data_counter? as f64, info)
}

/// Transfer allowed in bytes.
#[expect(clippy::cast_precision_loss, reason = "samples are 64-bit floats")]
pub fn allowance(info: &ServiceInfo) -> Option<f64> {
    multiplied(info.monthly_data? as f64, info)
}

/// Bytes of the counter, times the multiplier. Responses before 2018 carry no multiplier: 1. With one that is not known,
/// neither are the bytes.
pub fn multiplied(bytes: f64, info: &ServiceInfo) -> Option<f64> {
    let known = !info.data_multiplier_unusable;
    known.then(|| bytes * info.data_multiplier.unwrap_or(1.0))
}

/// What the forecast takes from service info that arrived at `at`, Unix seconds.
#[expect(
    clippy::cast_precision_loss,
    reason = "samples are 64-bit floats, and times are of this century"
)]
pub(super) fn reading(info: &ServiceInfo, at: f64) -> Option<CounterReading> {
    let reset = info.data_next_reset?;
    let known = !info.data_multiplier_unusable;
    known.then_some(())?;
    Some(CounterReading {
        at,
        bytes: info.data_counter? as f64,
        allowance: info.monthly_data.map(|bytes| bytes as f64),
        start: period_start(reset)? as f64,
        reset: reset as f64,
    })
}

/// One calendar month before a reset; the last day of a shorter month where that month has no such day.
/// Both are Unix seconds; `None` for a time beyond the calendar.
pub fn period_start(reset: i64) -> Option<i64> {
    let reset = OffsetDateTime::from_unix_timestamp(reset).ok()?;
    let month = reset.month().previous();
    let year = if reset.month() == time::Month::January {
        reset.year() - 1
    } else {
        reset.year()
    };
    let day = reset.day().min(month.length(year));
    let date = Date::from_calendar_date(year, month, day).ok()?;
    Some(reset.replace_date(date).unix_timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(counter: u64, multiplier: Option<f64>) -> ServiceInfo {
        ServiceInfo {
            data_counter: Some(counter),
            monthly_data: Some(1_073_741_824_000),
            data_multiplier: multiplier,
            ..ServiceInfo::default()
        }
    }

    #[test]
    fn both_are_multiplied() {
        let info = info(318_203_948_576, Some(0.33));
        assert_eq!(used(&info), Some(318_203_948_576.0 * 0.33));
        assert_eq!(allowance(&info), Some(1_073_741_824_000.0 * 0.33));
    }

    #[test]
    fn without_a_multiplier_bytes_are_bytes() {
        assert_eq!(used(&info(7, None)), Some(7.0));
    }

    #[test]
    fn with_a_multiplier_that_is_none_nothing_is_known() {
        let info = ServiceInfo {
            data_multiplier_unusable: true,
            ..info(7, None)
        };
        assert_eq!((used(&info), allowance(&info)), (None, None));
    }

    #[test]
    fn a_period_is_a_calendar_month() {
        // 2026-10-21 00:00 to 2026-09-21 00:00.
        assert_eq!(
            period_start(1_792_540_800),
            Some(1_792_540_800 - 30 * 86_400)
        );
        // 2026-01-15 05:30 to 2025-12-15 05:30.
        assert_eq!(
            period_start(1_768_455_000),
            Some(1_768_455_000 - 31 * 86_400)
        );
        // 2026-03-31 12:00 to 2026-02-28 12:00.
        assert_eq!(
            period_start(1_774_958_400),
            Some(1_774_958_400 - 31 * 86_400)
        );
        assert_eq!(period_start(i64::MAX), None);
    }
}
