//! Calls without success.

use super::*;

const CALL: Call = Call::SnapshotList;

fn stale(fleet: &Fleet, seconds: u64) -> Option<bool> {
    fleet.vps()[0].calls[CALL].is_stale(STALENESS, at(seconds))
}

fn plan(fleet: &mut Fleet, interval: Option<u64>, seconds: u64) {
    fleet.set_interval(VEID, CALL, interval.map(Duration::from_secs), at(seconds));
}

fn succeed(fleet: &mut Fleet, seconds: u64) {
    let nothing = response(Payload::Inventory(None));
    fleet.apply(VEID, CALL, &nothing, at(seconds));
}

#[test]
fn a_call_is_stale_after_staleness_intervals_with_or_without_a_success() {
    let mut fleet = fleet(100);
    assert_eq!(
        [300, 301].map(|at| stale(&fleet, at)),
        [Some(false), Some(true)]
    );
    succeed(&mut fleet, 1000);
    assert_eq!(
        [1300, 1301].map(|at| stale(&fleet, at)),
        [Some(false), Some(true)]
    );
    fleet.apply(VEID, CALL, &failure(CALL, Reason::Timeout), at(1200));
    assert_eq!(stale(&fleet, 1301), Some(true));
}

#[test]
fn an_unplanned_call_is_never_stale_and_starts_over_when_planned() {
    let mut fleet = fleet(100);
    plan(&mut fleet, None, 50);
    assert_eq!(stale(&fleet, 10_000), None);
    plan(&mut fleet, Some(100), 10_000);
    assert_eq!(
        [10_300, 10_301].map(|at| stale(&fleet, at)),
        [Some(false), Some(true)]
    );
}

#[test]
fn a_shorter_interval_scales_the_time_without_success() {
    let mut fleet = fleet(1000);
    succeed(&mut fleet, 0);
    // Half an interval has passed and still counts as half an interval.
    plan(&mut fleet, Some(100), 500);
    assert_eq!(
        [750, 751].map(|at| stale(&fleet, at)),
        [Some(false), Some(true)]
    );
    plan(&mut fleet, Some(1000), 700);
    assert_eq!(stale(&fleet, 3000), Some(false));
}

#[test]
fn a_locked_vps_is_not_stale() {
    let mut fleet = fleet(100);
    let live = Call::LiveServiceInfo;
    fleet.apply(VEID, live, &failure(live, Reason::Locked), at(290));
    assert_eq!(
        [590, 591].map(|at| stale(&fleet, at)),
        [Some(false), Some(true)]
    );
}

#[test]
fn time_without_success_survives_a_restart_except_for_downtime() {
    let mut before = fleet(100);
    succeed(&mut before, 0);
    let saved = before.save_state(at(250));
    let mut fleet = fleet(100);
    fleet.restore_state(saved, Duration::from_secs(5000), at(10_000));
    assert_eq!(
        [10_050, 10_051].map(|at| stale(&fleet, at)),
        [Some(false), Some(true)]
    );
}
