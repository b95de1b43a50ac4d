//! The transfer allowance. By the vendor's documentation, counter and allowance are multiplied by the coefficient of
//! the location. The configuration can override this.

use time::{Date, OffsetDateTime};

use super::CounterReading;
use crate::config::Multiplier;
use crate::kiwivm::model::ServiceInfo;
use crate::units::{Bytes, UnixSeconds};

/// Transfer used.
pub fn used(info: &ServiceInfo, multiplier: Multiplier) -> Option<Bytes<f64>> {
    of_counter(info.data_counter?.into(), info, multiplier)
}

/// Transfer allowance.
pub fn allowance(info: &ServiceInfo, multiplier: Multiplier) -> Option<Bytes<f64>> {
    let bytes = Bytes::<f64>::from(info.monthly_data?);
    match multiplier {
        Multiplier::Both | Multiplier::Allowance => Some(bytes * coefficient(info)?),
        Multiplier::None => Some(bytes),
    }
}

/// Converts bytes of the counter to bytes as exported.
pub fn of_counter(
    bytes: Bytes<f64>,
    info: &ServiceInfo,
    multiplier: Multiplier,
) -> Option<Bytes<f64>> {
    match multiplier {
        Multiplier::Both => Some(bytes * coefficient(info)?),
        Multiplier::Allowance | Multiplier::None => Some(bytes),
    }
}

/// The multiplier. Responses before 2018 have none, which means 1. `None` if the value is unusable.
fn coefficient(info: &ServiceInfo) -> Option<f64> {
    let known = !info.data_multiplier_unusable;
    known.then(|| info.data_multiplier.unwrap_or(1.0))
}

/// The input of the forecast, from service info that arrived at `at`.
pub(super) fn reading(
    info: &ServiceInfo,
    multiplier: Multiplier,
    at: UnixSeconds,
) -> Option<CounterReading> {
    let bytes = info.data_counter?.into();
    // Without a usable multiplier the counter is not exported, so there is no forecast either.
    of_counter(bytes, info, multiplier)?;
    let reset = info.data_next_reset?;
    let allowance = info.monthly_data.map(Bytes::<f64>::from);
    Some(CounterReading {
        at,
        bytes,
        allowance: match multiplier {
            // Both values have the same factor or none, so it cancels out.
            Multiplier::Both | Multiplier::None => allowance,
            Multiplier::Allowance => allowance
                .zip(coefficient(info))
                .map(|(bytes, coefficient)| bytes * coefficient),
        },
        start: period_start(reset)?.into(),
        reset: reset.into(),
    })
}

/// One calendar month before a reset, or the last day of that month if it is shorter. `None` for a time beyond the
/// calendar.
pub fn period_start(reset: UnixSeconds<i64>) -> Option<UnixSeconds<i64>> {
    let reset = OffsetDateTime::from_unix_timestamp(reset.0).ok()?;
    let month = reset.month().previous();
    let year = if reset.month() == time::Month::January {
        reset.year() - 1
    } else {
        reset.year()
    };
    let day = reset.day().min(month.length(year));
    let date = Date::from_calendar_date(year, month, day).ok()?;
    Some(UnixSeconds(reset.replace_date(date).unix_timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(counter: u64, multiplier: Option<f64>) -> ServiceInfo {
        ServiceInfo {
            data_counter: Some(Bytes(counter)),
            monthly_data: Some(Bytes(1_073_741_824_000)),
            data_multiplier: multiplier,
            ..ServiceInfo::default()
        }
    }

    const PLAN: f64 = 1_073_741_824_000.0;
    const EACH: [Multiplier; 3] = [Multiplier::Both, Multiplier::Allowance, Multiplier::None];

    fn shown(info: &ServiceInfo) -> [(Option<f64>, Option<f64>); 3] {
        EACH.map(|multiplier| {
            let shown = [used(info, multiplier), allowance(info, multiplier)];
            let [used, allowance] = shown.map(|bytes| bytes.map(|bytes| bytes.0));
            (used, allowance)
        })
    }

    #[test]
    fn the_configuration_selects_the_multiplied_values() {
        assert_eq!(
            shown(&info(1000, Some(0.5))),
            [
                (Some(500.0), Some(PLAN / 2.0)),
                (Some(1000.0), Some(PLAN / 2.0)),
                (Some(1000.0), Some(PLAN)),
            ]
        );
        assert_eq!(shown(&info(7, None)), [(Some(7.0), Some(PLAN)); 3]);
    }

    #[test]
    fn an_unusable_multiplier_hides_the_values_it_applies_to() {
        let info = ServiceInfo {
            data_multiplier_unusable: true,
            ..info(7, None)
        };
        assert_eq!(
            shown(&info),
            [(None, None), (Some(7.0), None), (Some(7.0), Some(PLAN))]
        );
    }

    #[test]
    fn a_forecast_compares_exported_values() {
        let info = ServiceInfo {
            data_next_reset: Some(UnixSeconds(1_792_540_800)),
            ..info(1000, Some(0.5))
        };
        let compared = EACH.map(|multiplier| {
            let reading = reading(&info, multiplier, UnixSeconds(1_790_000_000.0))
                .expect("all fields are known");
            (reading.bytes.0, reading.allowance.map(|bytes| bytes.0))
        });
        assert_eq!(
            compared,
            [
                (1000.0, Some(PLAN)),
                (1000.0, Some(PLAN / 2.0)),
                (1000.0, Some(PLAN)),
            ]
        );
        let odd = ServiceInfo {
            data_multiplier_unusable: true,
            ..info
        };
        let allowances = EACH.map(|multiplier| {
            let reading = reading(&odd, multiplier, UnixSeconds(0.0))?;
            Some(reading.allowance)
        });
        assert_eq!(allowances, [None, Some(None), Some(Some(Bytes(PLAN)))]);
    }

    #[test]
    fn a_period_is_a_calendar_month() {
        for (reset, days) in [
            // 2026-10-21 00:00 to 2026-09-21 00:00.
            (1_792_540_800, 30),
            // 2026-01-15 05:30 to 2025-12-15 05:30.
            (1_768_455_000, 31),
            // 2026-03-31 12:00 to 2026-02-28 12:00.
            (1_774_958_400, 31),
        ] {
            let start = UnixSeconds(reset - days * 86_400);
            assert_eq!(period_start(UnixSeconds(reset)), Some(start));
        }
        assert_eq!(period_start(UnixSeconds(i64::MAX)), None);
    }
}
