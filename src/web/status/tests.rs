mod bandwidth;
mod page;

use std::time::Duration;

use super::*;
use crate::clock::{BEFORE_START, Moment};
use crate::config::{Expect, Multiplier};
use crate::exposition::Reloads;
use crate::fleet::{Fleet, Identity, PlannedCalls};
use crate::kiwivm::model::{
    self, Hypervisor, LiveInfo, Payload, RateLimitStatus, ServiceInfo, UsageRow,
};
use crate::kiwivm::{Call, CallError, Decoded, PerCall, Reason, Veid};
use crate::units::{Bytes, Points, UnixSeconds};

/// 2026-10-11 00:00, eleven days into a period of 31.
const TODAY: i64 = 1_791_676_800;
/// 2026-10-31 00:00.
const RESET: i64 = 1_793_404_800;
const DAY: i64 = 86_400;

#[expect(clippy::cast_precision_loss, reason = "dates")]
fn at(unix: i64) -> Moment {
    let elapsed = BEFORE_START + Duration::from_secs((unix - TODAY + 40 * DAY).unsigned_abs());
    Moment {
        elapsed,
        unix: UnixSeconds(unix as f64),
    }
}

fn now() -> Moment {
    at(TODAY)
}

fn fleet(names: &[&str]) -> Fleet {
    let identity = |(name, veid): (&&str, u64)| Identity {
        veid: Veid(veid),
        name: (*name).to_owned(),
        labels: Vec::new(),
        expect: Expect::Running,
        multiplier: Multiplier::Both,
        thresholds: std::sync::Arc::default(),
    };
    let identities = names.iter().zip(1..).map(identity).collect();
    let mut fleet = Fleet::new(identities, 3.0);
    let planned = PlannedCalls {
        points_exhausted: Some(false),
        intervals: PerCall::all(Some(Duration::from_secs(120))),
        allowed: Some([Points(500.0), Points(10_000.0)]),
        quota: Some(7),
        next_poll: Some(now().elapsed + Duration::from_secs(30)),
    };
    for (_, veid) in names.iter().zip(1..) {
        fleet.set_plan(Veid(veid), planned, now());
    }
    fleet
}

fn service() -> ServiceInfo {
    ServiceInfo {
        hypervisor: Some(Hypervisor::Kvm),
        data_counter: Some(Bytes(100 << 30)),
        monthly_data: Some(Bytes(1000 << 30)),
        data_multiplier: Some(0.5),
        data_next_reset: Some(UnixSeconds(RESET)),
        plan_ram: Some(Bytes(1 << 30)),
        suspended: Some(false),
        ..ServiceInfo::default()
    }
}

fn live() -> LiveInfo {
    LiveInfo {
        status: Some(model::Status::Running),
        cpu_throttled: Some(false),
        memory_available: Some(Bytes(512 << 20)),
        ..LiveInfo::default()
    }
}

fn respond(fleet: &mut Fleet, veid: u64, call: Call, payload: Payload, now: Moment) {
    let decoded = Decoded {
        payload,
        problems: Vec::new(),
    };
    fleet.apply(Veid(veid), call, &Ok(decoded), now);
}

fn respond_live(fleet: &mut Fleet, veid: u64, service: ServiceInfo, live: LiveInfo) {
    let payload = Payload::Live(Box::new(service), Box::new(live));
    respond(fleet, veid, Call::LiveServiceInfo, payload, now());
}

fn fail(fleet: &mut Fleet, veid: u64, reason: Reason, detail: &str, now: Moment) {
    let call = Call::LiveServiceInfo;
    let lock = (reason == Reason::Locked).then(|| model::Lock {
        task: Some(detail.to_owned()),
        progress: Some(0.4),
    });
    let error = CallError {
        lock,
        ..CallError::new(Veid(veid), call, reason, detail)
    };
    fleet.apply(Veid(veid), call, &Err(error), now);
}

/// The status after an hour without changes.
fn status(fleet: &mut Fleet, now: Moment) -> Status {
    let hour = Duration::from_secs(3600);
    let before = Moment {
        elapsed: now.elapsed.saturating_sub(hour),
        unix: now.unix - 3600.0,
    };
    fleet.evaluate_conditions(true, before);
    status_now(fleet, now)
}

fn status_now(fleet: &mut Fleet, now: Moment) -> Status {
    fleet.evaluate_conditions(true, now);
    let reloads = Reloads {
        successful: true,
        last_success: now.unix - 600.0,
    };
    Status::new(fleet, reloads, "/metrics", now)
}

/// A VPS after this response.
fn one(service: ServiceInfo, live: LiveInfo) -> VpsFacts {
    let mut fleet = fleet(&["one"]);
    respond_live(&mut fleet, 1, service, live);
    status(&mut fleet, now()).vps.remove(0)
}

fn alerts(vps: &VpsFacts) -> Vec<(Severity, &str)> {
    vps.concerns
        .iter()
        .map(|concern| (concern.level, concern.alert))
        .collect()
}

#[test]
fn missing_data_are_unknown() {
    let vps = one(
        ServiceInfo {
            monthly_data: Some(Bytes(0)),
            data_next_reset: Some(UnixSeconds(i64::MAX)),
            ..service()
        },
        LiveInfo::default(),
    );
    assert_eq!(vps.bandwidth.used_ratio, None);
    assert_eq!(vps.bandwidth.forecast_ratio, None);
    assert_eq!(vps.state, PowerState::Unknown);
    assert_eq!(vps.load, None);
    let page = status(&mut fleet(&["silent"]), now());
    assert_eq!(page.vps[0].state, PowerState::NotAskedYet);
    assert_eq!(page.vps[0].bandwidth, Bandwidth::default());
    assert_eq!(page.summary.unknown, 1);
    assert!(page.html(".").contains("<b>Bandwidth</b> unknown"));
    assert!(!page.html(".").contains("<svg"));
}

#[test]
fn the_most_important_state_wins() {
    let suspended = ServiceInfo {
        suspended: Some(true),
        data_counter: Some(Bytes(1001 << 30)),
        ..service()
    };
    let stopped = LiveInfo {
        status: Some(model::Status::Stopped),
        ..LiveInfo::default()
    };
    let vps = one(suspended, stopped.clone());
    assert_eq!(vps.state, PowerState::Suspended);
    assert_eq!(alerts(&vps), [(Severity::Critical, "KiwiVMSuspended")]);
    assert!(vps.concerns[0].text.contains("used up"));
    let vps = one(service(), stopped);
    assert_eq!(alerts(&vps), [(Severity::Critical, "KiwiVMNotAsExpected")]);

    let mut fleet = fleet(&["refused", "locked"]);
    fail(&mut fleet, 1, Reason::Auth, "no", now());
    respond_live(&mut fleet, 2, service(), live());
    fail(&mut fleet, 2, Reason::Locked, "Snapshot", now());
    let status = status(&mut fleet, now());
    assert_eq!(status.vps[0].state, PowerState::KeyRefused);
    assert_eq!(status.vps[1].state, PowerState::Locked);
    assert_eq!((status.summary.warning, status.summary.locked), (1, 1));
    let html = status.html(".");
    assert!(
        html.contains("locked: <bdi>Snapshot</bdi>, 40 % done"),
        "{html}"
    );
    assert!(html.contains("Last error 0 s ago: "), "{html}");
}

#[test]
fn sorts_by_severity_then_by_configuration() {
    let mut fleet = fleet(&["a", "b", "c", "d", "e", "f"]);
    let throttled = LiveInfo {
        cpu_throttled: Some(true),
        ..live()
    };
    let stopped = LiveInfo {
        status: Some(model::Status::Stopped),
        ..LiveInfo::default()
    };
    for (veid, live) in [
        (1, live()),
        (2, throttled.clone()),
        (3, stopped.clone()),
        (4, throttled),
        (5, stopped),
        (6, live()),
    ] {
        respond_live(&mut fleet, veid, service(), live);
    }
    let status = status(&mut fleet, now());
    let names: Vec<_> = status.vps.iter().map(|vps| vps.name.as_str()).collect();
    assert_eq!(names, ["c", "e", "b", "d", "a", "f"]);
    let Summary {
        vps,
        critical,
        warning,
        well,
        ..
    } = status.summary;
    assert_eq!((vps, critical, warning, well), (6, 2, 2, 2));
    assert!(
        status
            .html(".")
            .contains("<h1>4 of 6 VPSes need attention</h1>")
    );
}

#[test]
fn stale_data_are_unknown_and_the_concern_has_their_age() {
    let mut fleet = fleet(&["one", "two"]);
    respond_live(&mut fleet, 1, service(), live());
    respond_live(&mut fleet, 2, service(), live());
    let later = at(TODAY + 361);
    respond(
        &mut fleet,
        1,
        Call::ServiceInfo,
        Payload::Service(Box::new(service())),
        later,
    );
    let status = status_now(&mut fleet, later);
    assert_eq!(status.summary.pending, 2);
    assert!(
        status
            .html(".")
            .contains("<b>Warning in 15 min if it lasts</b> Calls have returned no data for too long (getLiveServiceInfo")
    );
    let quarter = at(TODAY + 361 + 900);
    respond(
        &mut fleet,
        1,
        Call::ServiceInfo,
        Payload::Service(Box::new(service())),
        quarter,
    );
    let status = status_now(&mut fleet, quarter);
    let [half, silent] = &status.vps[..] else {
        panic!("{status:?}")
    };
    for vps in [half, silent] {
        assert_eq!(vps.state, PowerState::Unknown);
        assert_eq!(vps.memory.available_bytes, None);
        assert_eq!(alerts(vps), [(Severity::Warning, "KiwiVMDataStale")]);
        assert!(vps.concerns[0].text.contains("getLiveServiceInfo"));
    }
    assert!(half.up && half.bandwidth.used_bytes.is_some());
    assert!(!silent.up && silent.bandwidth.used_bytes.is_none());
    assert!(
        silent.concerns[0]
            .text
            .ends_with("The last data is 21 min old.")
    );
    // Two VPSes are too few to detect a failing API.
    assert_eq!(status.concerns, []);
}

#[test]
fn a_condition_is_pending_until_it_has_lasted_long_enough() {
    let mut fleet = fleet(&["one"]);
    let stopped = LiveInfo {
        status: Some(model::Status::Stopped),
        ..LiveInfo::default()
    };
    respond_live(&mut fleet, 1, service(), stopped);
    let status = status_now(&mut fleet, now());
    let vps = &status.vps[0];
    assert_eq!((alerts(vps), vps.attention), (vec![], None));
    assert_eq!(
        vps.pending[0].fires_timestamp_seconds,
        UnixSeconds(TODAY + 600)
    );
    let html = status.html(".");
    assert!(html.contains("<h1>No VPS needs attention yet</h1>"));
    assert!(html.contains("<b>Critical in 10 min if it lasts</b> It is not running."));
    let status = status_now(&mut fleet, at(TODAY + 600));
    let firing = [(Severity::Critical, "KiwiVMNotAsExpected")];
    assert_eq!(alerts(&status.vps[0])[..1], firing);
    assert_eq!(
        status.vps[0].concerns[0].since_timestamp_seconds,
        UnixSeconds(TODAY)
    );
}

#[test]
fn vpses_whose_keys_are_all_refused_are_not_healthy() {
    let mut fleet = fleet(&["one", "two"]);
    for veid in 1..=2 {
        respond_live(&mut fleet, veid, service(), LiveInfo::default());
        let error = CallError::new(Veid(veid), Call::ServiceInfo, Reason::Auth, "refused");
        fleet.apply(Veid(veid), Call::ServiceInfo, &Err(error), now());
    }
    status_now(&mut fleet, now());
    let status = status_now(&mut fleet, at(TODAY + 300));
    assert_eq!(status.concerns[0].alert, "KiwiVMAllKeysRefused");
    assert_eq!((status.summary.well, status.summary.unknown), (0, 2));
    let title = "<h1>The state of 2 of 2 VPSes is unknown</h1>";
    assert!(status.html(".").contains(title));
}

#[test]
fn conditions_survive_a_restart() {
    let mut before = fleet(&["one"]);
    let stopped = LiveInfo {
        status: Some(model::Status::Stopped),
        ..LiveInfo::default()
    };
    respond_live(&mut before, 1, service(), stopped);
    status_now(&mut before, now());
    let saved = serde_json::to_string(&before.save_state(at(TODAY + 300))).unwrap();
    let mut after = fleet(&["one"]);
    let values = serde_json::from_str(&saved).unwrap();
    after.restore_state(values, Duration::from_secs(60), at(TODAY + 360));
    let status = status_now(&mut after, at(TODAY + 600));
    let firing = [(Severity::Critical, "KiwiVMNotAsExpected")];
    assert_eq!(alerts(&status.vps[0])[..1], firing);
}

#[test]
fn unknown_vpses_are_not_healthy() {
    let mut fleet = fleet(&["new", "failing"]);
    let payload = Payload::Service(Box::new(service()));
    respond(&mut fleet, 1, Call::ServiceInfo, payload, now());
    let error = CallError::new(Veid(2), Call::ServiceInfo, Reason::Timeout, "no response");
    fleet.apply(Veid(2), Call::ServiceInfo, &Err(error), now());
    let status = status(&mut fleet, now());
    assert_eq!((status.summary.well, status.summary.unknown), (0, 2));
    let title = "<h1>The state of 2 of 2 VPSes is unknown</h1>";
    assert!(status.html(".").contains(title));
    // After three intervals and the hold time of the alert.
    status_now(&mut fleet, at(TODAY + 361));
    let status = status_now(&mut fleet, at(TODAY + 361 + 900));
    assert_eq!(status.summary.warning, 2);
    let failing = status.vps.iter().find(|vps| vps.name == "failing").unwrap();
    assert!(
        failing.concerns[0]
            .text
            .ends_with("No data was ever received.")
    );
}
