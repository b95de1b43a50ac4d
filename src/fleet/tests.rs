mod forecast;
mod silence;
mod suspension;
mod usage;

use std::time::Duration;

use super::*;
use crate::kiwivm::Reason;
use crate::kiwivm::model::{
    Backups, Inventory, Lock, PolicyViolations, RateLimitStatus, ServiceInfo, UsageRow,
};
use crate::units::{Bytes, UnixSeconds};

const VEID: Veid = Veid(1_000_001);
const STALENESS: f64 = 3.0;

fn at(seconds: u64) -> Moment {
    Moment {
        elapsed: Duration::from_secs(seconds),
        unix: UnixSeconds(1_790_000_000.0) + Duration::from_secs(seconds).as_secs_f64(),
    }
}

fn identity(veid: Veid) -> Identity {
    Identity {
        veid,
        name: veid.to_string(),
        labels: Vec::new(),
        expect: Expect::Running,
        multiplier: Multiplier::Both,
        thresholds: std::sync::Arc::default(),
    }
}

/// A fleet of one VPS whose calls are planned every `seconds`.
fn fleet(seconds: u64) -> Fleet {
    let mut fleet = Fleet::new(vec![identity(VEID)], STALENESS);
    for call in Call::ALL {
        fleet.set_interval(VEID, call, Some(Duration::from_secs(seconds)), at(0));
    }
    fleet
}

#[expect(clippy::unnecessary_wraps, reason = "`apply` takes a result")]
fn response(payload: Payload) -> Result<Decoded, CallError> {
    Ok(Decoded {
        payload,
        problems: Vec::new(),
    })
}

fn live() -> Result<Decoded, CallError> {
    response(Payload::Live(Box::default(), Box::default()))
}

fn failure(call: Call, reason: Reason) -> Result<Decoded, CallError> {
    Err(CallError::new(VEID, call, reason, "for the test"))
}

fn row(timestamp: i64, bytes: u64) -> UsageRow {
    UsageRow {
        timestamp: UnixSeconds(timestamp),
        cpu_percent: Some(1.0),
        network_in: Some(Bytes(bytes)),
        network_out: Some(Bytes(2 * bytes)),
        disk_read: None,
        disk_written: Some(Bytes(3 * bytes)),
    }
}

/// Applies and publishes a response with these rows.
fn poll(fleet: &mut Fleet, rows: &[UsageRow], now: Moment) {
    let mut reading = fleet.start_usage(VEID, now);
    for row in rows {
        reading.take(*row);
    }
    fleet.apply(VEID, Call::RawUsageStats, &response(Payload::Usage), now);
    fleet.apply_usage(VEID, reading);
    fleet.publish_usage();
}

fn up(fleet: &Fleet, seconds: u64) -> bool {
    fleet.vps()[0].up(STALENESS, at(seconds))
}

#[test]
fn values_are_dropped_after_staleness_intervals() {
    let mut fleet = fleet(60);
    fleet.apply(VEID, Call::LiveServiceInfo, &live(), at(0));
    assert!(up(&fleet, 180));
    assert!(!up(&fleet, 181));
}

#[test]
fn live_data_expire_after_30_minutes_and_service_info_after_a_day() {
    let mut fleet = fleet(10 * 3600);
    fleet.apply(VEID, Call::LiveServiceInfo, &live(), at(0));
    let vps = &fleet.vps()[0];
    assert!(vps.live(STALENESS, at(1800)).is_some());
    assert!(vps.live(STALENESS, at(1801)).is_none());
    assert!(vps.service(STALENESS, at(86_400)).is_some());
    assert!(vps.service(STALENESS, at(86_401)).is_none());
}

#[test]
fn failures_do_not_keep_values_alive() {
    let mut fleet = fleet(60);
    fleet.apply(VEID, Call::LiveServiceInfo, &live(), at(0));
    for seconds in [60, 120, 180] {
        let failure = failure(Call::LiveServiceInfo, Reason::Timeout);
        fleet.apply(VEID, Call::LiveServiceInfo, &failure, at(seconds));
    }
    assert!(!up(&fleet, 181));
    let record = &fleet.vps()[0].calls[Call::LiveServiceInfo];
    assert_eq!((record.successes, record.failures()), (1, 3));
}

/// Refused calls stretch the intervals up to 64 times.
#[test]
fn a_longer_interval_while_calls_fail_keeps_no_data() {
    let mut fleet = fleet(120);
    let plan = |fleet: &mut Fleet, now: u64| {
        let interval = Some(Duration::from_secs(64 * 120));
        for call in [Call::LiveServiceInfo, Call::ServiceInfo] {
            fleet.set_interval(VEID, call, interval, at(now));
        }
    };
    let is_stale = |fleet: &Fleet, seconds: u64| {
        let record = &fleet.vps()[0].calls[Call::LiveServiceInfo];
        record.is_stale(STALENESS, at(seconds))
    };
    fleet.apply(VEID, Call::LiveServiceInfo, &live(), at(0));
    let refused = failure(Call::LiveServiceInfo, Reason::RateLimited);
    fleet.apply(VEID, Call::LiveServiceInfo, &refused, at(120));
    plan(&mut fleet, 121);
    fleet.apply(VEID, Call::LiveServiceInfo, &refused, at(240));
    assert!(up(&fleet, 360) && is_stale(&fleet, 360) == Some(false));
    assert!(!up(&fleet, 361) && is_stale(&fleet, 361) == Some(true));
    fleet.apply(VEID, Call::LiveServiceInfo, &live(), at(400));
    assert!(up(&fleet, 10_000) && is_stale(&fleet, 10_000) == Some(false));
}

#[test]
fn a_live_response_counts_as_a_success_of_service_info() {
    let mut fleet = fleet(60);
    fleet.apply(VEID, Call::LiveServiceInfo, &live(), at(7));
    let record = &fleet.vps()[0].calls[Call::ServiceInfo];
    assert_eq!(record.last_success, Some(at(7).unix));
    assert_eq!(record.successes, 0, "it was not a separate call");
}

#[test]
fn service_info_takes_over_when_live_fails() {
    let mut fleet = fleet(60);
    fleet.apply(VEID, Call::LiveServiceInfo, &live(), at(0));
    let service = response(Payload::Service(Box::default()));
    fleet.apply(VEID, Call::ServiceInfo, &service, at(170));
    let vps = &fleet.vps()[0];
    assert!(vps.live(STALENESS, at(200)).is_none());
    assert!(vps.service(STALENESS, at(200)).is_some());
    assert!(vps.up(STALENESS, at(200)));
}

#[test]
fn usage_ages_by_the_time_of_its_rows() {
    let mut fleet = fleet(600);
    let row_time = 1_790_000_000 - 1700;
    poll(&mut fleet, &[row(row_time, 1)], at(0));
    let usage_at = |fleet: &Fleet, seconds| {
        fleet.vps()[0]
            .usage(STALENESS, at(seconds))
            .map(|row| row.timestamp)
    };
    assert_eq!(usage_at(&fleet, 100), Some(UnixSeconds(row_time)));
    assert_eq!(usage_at(&fleet, 101), None);
}

#[test]
fn inventory_is_kept_until_it_is_stale_or_empty() {
    let mut fleet = fleet(600);
    let call = Call::BackupList;
    let backups = Inventory::Backups(Backups {
        count: 2,
        ..Backups::default()
    });
    let of = |fleet: &Fleet, seconds| {
        fleet.vps()[0]
            .inventory(call, STALENESS, at(seconds))
            .cloned()
    };
    let known = response(Payload::Inventory(Some(backups.clone())));
    fleet.apply(VEID, call, &known, at(0));
    assert_eq!(of(&fleet, 1800), Some(backups.clone()));
    assert_eq!(of(&fleet, 1801), None);
    fleet.apply(VEID, call, &known, at(0));
    fleet.apply(VEID, call, &response(Payload::Inventory(None)), at(1));
    assert_eq!(of(&fleet, 2), None);
    // It survives a restart with its age.
    fleet.apply(VEID, call, &known, at(10));
    let saved = serde_json::to_string(&fleet.save_state(at(20))).unwrap();
    let mut next = self::fleet(600);
    next.restore_state(
        serde_json::from_str(&saved).unwrap(),
        Duration::from_secs(5),
        at(5000),
    );
    assert_eq!(of(&next, 5000 + 1785), Some(backups));
    assert_eq!(of(&next, 5000 + 1786), None);
}

#[test]
fn an_unreadable_list_does_not_close_a_case() {
    let mut fleet = fleet(600);
    let call = Call::PolicyViolations;
    let open = |fleet: &Fleet, seconds| match fleet.vps()[0].inventory(call, STALENESS, at(seconds))
    {
        Some(Inventory::PolicyViolations(violations)) => Some(violations.open),
        _ => None,
    };
    let listed = |open| {
        let violations = PolicyViolations {
            open,
            deadline: None,
        };
        response(Payload::Inventory(Some(Inventory::PolicyViolations(
            violations,
        ))))
    };
    let unreadable = response(Payload::Inventory(None));
    fleet.apply(VEID, call, &listed(2), at(0));
    fleet.apply(VEID, call, &unreadable, at(600));
    assert_eq!((open(&fleet, 1800), open(&fleet, 1801)), (Some(2), None));
    fleet.apply(VEID, call, &listed(0), at(2000));
    assert_eq!(open(&fleet, 2000), Some(0));
    fleet.apply(VEID, call, &unreadable, at(2600));
    assert_eq!(open(&fleet, 2600), None, "there may be a case now");
}

#[test]
fn the_last_error_stays_until_its_call_succeeds() {
    let mut fleet = fleet(60);
    let shown = |fleet: &Fleet| {
        let (call, error) = fleet.vps()[0].last_error.as_ref()?;
        Some((*call, error.at.as_secs()))
    };
    let fail = |fleet: &mut Fleet, call, seconds| {
        fleet.apply(VEID, call, &failure(call, Reason::Timeout), at(seconds));
    };
    fail(&mut fleet, Call::LiveServiceInfo, 10);
    fail(&mut fleet, Call::ServiceInfo, 11);
    let points = response(Payload::RateLimit(RateLimitStatus::default()));
    fleet.apply(VEID, Call::RateLimitStatus, &points, at(12));
    assert_eq!(shown(&fleet), Some((Call::LiveServiceInfo, 10)));
    // The most important failing call is shown, however often others fail.
    fail(&mut fleet, Call::SnapshotList, 13);
    assert_eq!(shown(&fleet), Some((Call::LiveServiceInfo, 10)));
    fail(&mut fleet, Call::LiveServiceInfo, 14);
    assert_eq!(shown(&fleet), Some((Call::LiveServiceInfo, 14)));
    // A live response includes service info.
    fleet.apply(VEID, Call::LiveServiceInfo, &live(), at(15));
    assert_eq!(shown(&fleet), Some((Call::SnapshotList, 13)));
    assert!(!fleet.vps()[0].failing(Call::ServiceInfo));
    let none = response(Payload::Inventory(None));
    fleet.apply(VEID, Call::SnapshotList, &none, at(16));
    assert_eq!(shown(&fleet), None);
}

#[test]
fn a_lock_with_progress_ends_with_the_next_response_of_its_call() {
    let mut fleet = fleet(60);
    let locked = Err(CallError {
        lock: Some(Lock {
            task: None,
            progress: Some(0.45),
        }),
        ..CallError::new(VEID, Call::LiveServiceInfo, Reason::Locked, "")
    });
    fleet.apply(VEID, Call::LiveServiceInfo, &locked, at(0));
    let progress = |fleet: &Fleet, seconds| {
        fleet.vps()[0]
            .lock(STALENESS, at(seconds))
            .map(|lock| lock.as_ref().and_then(|lock| lock.progress))
    };
    assert_eq!(progress(&fleet, 1), Some(Some(0.45)));
    assert_eq!(fleet.vps()[0].authentication_failed, Some(false));
    let service = response(Payload::Service(Box::default()));
    fleet.apply(VEID, Call::ServiceInfo, &service, at(30));
    assert_eq!(
        progress(&fleet, 31),
        Some(Some(0.45)),
        "another call does not end the lock"
    );
    fleet.apply(VEID, Call::LiveServiceInfo, &live(), at(60));
    assert_eq!(progress(&fleet, 61), Some(None));
    assert_eq!(progress(&fleet, 241), None, "it is stale");
}

#[test]
fn a_refused_key_stays_refused_until_it_is_accepted() {
    let mut fleet = fleet(60);
    let refused = failure(Call::LiveServiceInfo, Reason::Auth);
    fleet.apply(VEID, Call::LiveServiceInfo, &refused, at(0));
    let later = failure(Call::ServiceInfo, Reason::Timeout);
    fleet.apply(VEID, Call::ServiceInfo, &later, at(3600));
    assert_eq!(fleet.vps()[0].authentication_failed, Some(true));
    fleet.apply(
        VEID,
        Call::ServiceInfo,
        &response(Payload::Service(Box::default())),
        at(7200),
    );
    assert_eq!(fleet.vps()[0].authentication_failed, Some(false));
}

#[test]
fn a_new_configuration_keeps_the_state_of_remaining_vpses() {
    let mut fleet = Fleet::new(vec![identity(VEID), identity(Veid(2))], STALENESS);
    fleet.apply(VEID, Call::LiveServiceInfo, &live(), at(0));
    let renamed = Identity {
        name: "renamed".to_owned(),
        ..identity(VEID)
    };
    fleet.reconfigure(vec![identity(Veid(3)), renamed], STALENESS);
    let names: Vec<_> = fleet
        .vps()
        .iter()
        .map(|vps| vps.identity.name.as_str())
        .collect();
    assert_eq!(names, ["3", "renamed"]);
    assert!(fleet.vps()[1].up(STALENESS, at(1)));
    assert!(!fleet.vps()[0].tried);
}

#[test]
fn a_vps_is_tried_after_its_first_live_or_service_info_call() {
    let mut fleet = fleet(60);
    let points = response(Payload::RateLimit(RateLimitStatus::default()));
    fleet.apply(VEID, Call::RateLimitStatus, &points, at(0));
    assert!(!fleet.all_tried());
    let failed = failure(Call::LiveServiceInfo, Reason::Timeout);
    fleet.apply(VEID, Call::LiveServiceInfo, &failed, at(1));
    assert!(fleet.all_tried());
}

#[test]
fn responses_for_a_removed_vps_are_ignored() {
    let mut fleet = fleet(60);
    fleet.apply(Veid(9), Call::LiveServiceInfo, &live(), at(0));
    assert!(!up(&fleet, 0));
}

#[test]
fn finds_a_vps_by_veid_and_name_after_a_reload() {
    let identities = |names: &[(u64, &str)]| {
        let identity = |(veid, name): &(u64, &str)| Identity {
            veid: Veid(*veid),
            name: (*name).to_owned(),
            labels: Vec::new(),
            expect: Expect::Any,
            multiplier: Multiplier::Both,
            thresholds: std::sync::Arc::default(),
        };
        names.iter().map(identity).collect::<Vec<_>>()
    };
    let mut fleet = Fleet::new(identities(&[(3, "c"), (1, "x"), (2, "b")]), STALENESS);
    let veid = |fleet: &Fleet, name| Some(fleet.by_name(name)?.identity.veid);
    assert_eq!(veid(&fleet, "x"), Some(Veid(1)));
    assert_eq!(veid(&fleet, "a"), None);
    fleet.reconfigure(identities(&[(2, "b"), (1, "a"), (4, "d")]), STALENESS);
    assert_eq!(veid(&fleet, "x"), None);
    for (number, name) in [(1, "a"), (2, "b"), (4, "d")] {
        assert_eq!(veid(&fleet, name), Some(Veid(number)));
        let found = fleet.by_veid(Veid(number)).expect("it is configured");
        assert_eq!(found.identity.name, name);
    }
    assert!(fleet.by_veid(Veid(3)).is_none());
}

#[test]
fn an_omitted_flag_keeps_its_value() {
    let mut fleet = fleet(120);
    let mut flagged = |policy_violation, suspended| {
        let info = ServiceInfo {
            suspended,
            policy_violation,
            ..ServiceInfo::default()
        };
        let service = response(Payload::Service(Box::new(info)));
        fleet.apply(VEID, Call::ServiceInfo, &service, at(0));
        fleet.vps()[0].flagged().collect::<Vec<_>>()
    };
    let (violations, suspensions) = (Call::PolicyViolations, Call::SuspensionDetails);
    assert_eq!(flagged(None, None), []);
    assert_eq!(flagged(Some(true), Some(false)), [violations]);
    assert_eq!(flagged(None, Some(true)), [violations, suspensions]);
    assert_eq!(flagged(Some(false), None), [suspensions]);
}
