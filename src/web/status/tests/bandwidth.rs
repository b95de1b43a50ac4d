//! The transfer allowance and its forecast.

use super::*;

/// Bandwidth at a time, after `used` of 1000 GiB.
fn bandwidth(used: u64, unix: i64) -> Bandwidth {
    let mut fleet = fleet(&["one"]);
    let info = ServiceInfo {
        data_counter: Some(Bytes(used << 30)),
        ..service()
    };
    let payload = Payload::Service(Box::new(info));
    respond(&mut fleet, 1, Call::ServiceInfo, payload, at(unix));
    status(&mut fleet, at(unix)).vps.remove(0).bandwidth
}

fn near(a: Option<f64>, b: f64) -> bool {
    a.is_some_and(|a| (a - b).abs() < 1e-9)
}

#[test]
fn bytes_are_multiplied_before_the_share() {
    let bandwidth = one(service(), live()).bandwidth;
    assert_eq!(bandwidth.used_bytes, Some(Bytes(50 << 30)));
    assert_eq!(bandwidth.allowance_bytes, Some(Bytes(500 << 30)));
    assert_eq!(bandwidth.multiplier, Some(0.5));
    assert!(near(bandwidth.used_ratio, 0.1));
}

#[test]
fn the_even_pace_is_known_only_within_a_period() {
    // 2026-10-31 minus a month is 2026-09-30: a period of 31 days, of which 11 have passed.
    let today = bandwidth(100, TODAY);
    let start = RESET - 31 * DAY;
    assert_eq!(
        today.period_start_timestamp_seconds,
        Some(UnixSeconds(start))
    );
    assert!(near(today.even_pace_ratio, 11.0 / 31.0));
    for (unix, even) in [
        (start - 1, false),
        (start, true),
        (RESET - 1, true),
        (RESET, false),
    ] {
        let bandwidth = bandwidth(100, unix);
        assert_eq!(bandwidth.even_pace_ratio.is_some(), even, "{unix}");
    }
}

#[test]
fn high_use_of_the_allowance_or_a_forecast_of_it_is_a_concern() {
    // Five weeks at the daily pace since the last reset.
    let gib = |used: u64| {
        let mut fleet = fleet(&["one"]);
        let info = ServiceInfo {
            data_counter: Some(Bytes(used << 30)),
            ..service()
        };
        respond_live(&mut fleet, 1, info, live());
        let mut usage = fleet.start_usage(Veid(1), now());
        for hour in 0..35 * 24 {
            usage.take(UsageRow {
                timestamp: UnixSeconds(TODAY - hour * 3600),
                cpu_percent: None,
                network_in: Some(Bytes((used << 30) / 11 / 24)),
                network_out: None,
                disk_read: None,
                disk_written: None,
            });
        }
        fleet.apply_usage(Veid(1), usage);
        status(&mut fleet, now()).vps.remove(0)
    };
    assert_eq!(alerts(&gib(100)), []);
    assert!(
        gib(100)
            .bandwidth
            .forecast_ratio
            .is_some_and(|ratio| (ratio - 0.1 * 31.0 / 11.0).abs() < 0.01)
    );
    let runs_out = (Severity::Warning, "KiwiVMBandwidthWillRunOut");
    assert_eq!(alerts(&gib(400)), [runs_out]);
    assert_eq!(alerts(&gib(800)), [runs_out]);
    let soon = (Severity::Critical, "KiwiVMBandwidthWillRunOut");
    assert_eq!(alerts(&gib(985)), [soon]);
    assert_eq!(
        gib(400).concerns[0].text,
        "It has used 200 of 500 GiB. The allowance is expected to run out on 27 Oct 11:37 UTC, 3 days before the reset. \
         The VPS is then suspended."
    );
    let mut fleet = fleet(&["one"]);
    let much = ServiceInfo {
        data_counter: Some(Bytes(960 << 30)),
        ..service()
    };
    respond_live(&mut fleet, 1, much, live());
    let nearly = status(&mut fleet, now()).vps.remove(0);
    assert_eq!(
        alerts(&nearly),
        [(Severity::Critical, "KiwiVMBandwidthNearlyUsed")]
    );
}
