//! When a forecast is available.

use super::*;
use crate::kiwivm::model::ServiceInfo;

const NOW: i64 = 1_790_000_000;
const DAY: i64 = 86_400;
/// Ten days into the period.
const RESET: i64 = NOW + 20 * DAY;

fn service(counter: u64) -> Result<Decoded, CallError> {
    response(Payload::Service(Box::new(ServiceInfo {
        data_counter: Some(Bytes(counter)),
        monthly_data: Some(Bytes(25_000_000)),
        data_next_reset: Some(UnixSeconds(RESET)),
        ..ServiceInfo::default()
    })))
}

/// Four weeks of rows with a million bytes a day in total.
fn rows(until: i64) -> Vec<UsageRow> {
    let row = |hour: i64| UsageRow {
        network_in: Some(Bytes(20_000)),
        network_out: Some(Bytes(1_000_000 / 24 - 20_000)),
        ..row(until - hour * 3600, 0)
    };
    (0..28 * 24).map(row).collect()
}

/// The forecast in millions, and true if the allowance lasts.
fn shown(fleet: &Fleet, now: Moment) -> Option<(f64, bool)> {
    let forecast = fleet.vps()[0].forecast(STALENESS, now)?;
    Some((
        (forecast.bytes.0 / 1e5).round() / 10.0,
        forecast.exhaustion.is_none(),
    ))
}

/// A fleet of one VPS with complete data, polled every ten minutes.
fn forecast_fleet() -> Fleet {
    let mut fleet = fleet(600);
    poll(&mut fleet, &rows(NOW), at(0));
    fleet.apply(VEID, Call::ServiceInfo, &service(10_000_000), at(0));
    fleet
}

#[test]
fn a_forecast_needs_fresh_rows_and_a_fresh_counter() {
    let mut fleet = fleet(600);
    poll(&mut fleet, &rows(NOW), at(0));
    assert_eq!(shown(&fleet, at(0)), None);
    fleet.apply(VEID, Call::ServiceInfo, &service(10_000_000), at(0));
    let (bytes, lasts) = shown(&fleet, at(0)).expect("there is a forecast");
    assert!((29.8..30.2).contains(&bytes) && !lasts, "{bytes}");
    assert!(shown(&fleet, at(1800)).is_some());
    assert_eq!(shown(&fleet, at(1801)), None);
    // Old rows stay old, however often they are polled.
    fleet.apply(VEID, Call::ServiceInfo, &service(10_000_000), at(1801));
    poll(&mut fleet, &rows(NOW), at(1801));
    assert_eq!(shown(&fleet, at(1801)), None);
    poll(&mut fleet, &rows(NOW + 1800), at(1802));
    assert!(shown(&fleet, at(1802)).is_some());
}

#[test]
fn no_forecast_without_a_counter_or_after_the_reset() {
    let mut fleet = forecast_fleet();
    let odd = response(Payload::Service(Box::default()));
    fleet.apply(VEID, Call::ServiceInfo, &odd, at(1));
    assert_eq!(shown(&fleet, at(1)), None);

    let mut fleet = forecast_fleet();
    let day = 86_400;
    for (seconds, known) in [(20 * day - 60, true), (20 * day, false)] {
        let now = NOW + i64::try_from(seconds).expect("it is small");
        fleet.apply(VEID, Call::ServiceInfo, &service(10_000_000), at(seconds));
        poll(&mut fleet, &rows(now), at(seconds));
        assert_eq!(shown(&fleet, at(seconds)).is_some(), known);
    }
}

/// The use of a suspended VPS does not grow.
#[test]
fn no_forecast_for_a_suspended_vps() {
    let mut fleet = forecast_fleet();
    let suspended = |suspended: Option<bool>| {
        let mut response = service(25_000_000);
        if let Ok(Decoded {
            payload: Payload::Service(info),
            ..
        }) = &mut response
        {
            info.suspended = suspended;
        }
        response
    };
    fleet.apply(VEID, Call::ServiceInfo, &suspended(Some(true)), at(1));
    assert_eq!(shown(&fleet, at(1)), None);
    for flag in [Some(false), None] {
        fleet.apply(VEID, Call::ServiceInfo, &suspended(flag), at(2));
        assert!(shown(&fleet, at(2)).is_some());
    }
}

#[test]
fn a_restart_keeps_the_forecast_until_rows_arrive() {
    let before = forecast_fleet();
    let expected = shown(&before, at(60));
    let saved = serde_json::to_string(&before.save_state(at(60))).expect("it is plain data");
    let saved = serde_json::from_str(&saved).expect("it was just written");
    let mut fleet = fleet(600);
    fleet.restore_state(saved, Duration::from_secs(60), at(120));
    assert_eq!(shown(&fleet, at(120)), expected);
    // The use already exceeds the forecast.
    fleet.apply(VEID, Call::ServiceInfo, &service(31_000_000), at(130));
    assert_eq!(
        shown(&fleet, at(130)).map(|forecast| forecast.0),
        Some(31.0)
    );
    poll(&mut fleet, &rows(NOW), at(140));
    fleet.apply(VEID, Call::ServiceInfo, &service(10_000_000), at(150));
    assert!(shown(&fleet, at(150)).is_some());
}
