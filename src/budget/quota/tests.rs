use proptest::prelude::*;

use super::*;
use crate::units::{AccountTime, Points, PointsPerSecond};

const SHARE: Share = Share {
    fleet: 0.5,
    own: 0.5,
};
const SIZES: Remaining = [Points(1000.0), Points(20_000.0)];

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn at(seconds: u64) -> AccountTime {
    AccountTime::from_secs(seconds)
}

fn quota() -> Quota {
    Quota::new(vec![Veid(1), Veid(2)], true)
}

/// A quota with these last readings, after readings of its full size.
fn with_readings(sizes: Remaining, readings: [Remaining; 3]) -> Quota {
    let mut quota = quota();
    for remaining in [sizes, sizes].into_iter().chain(readings) {
        quota.read(remaining, Points(0.0), at(0));
    }
    quota
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * b.abs().max(1.0)
}

/// Sends and finishes a live call.
fn call(quota: &mut Quota, success: bool, now: AccountTime) {
    quota.send(Priority::Live, Points(1.0), now);
    quota.finish(Priority::Live, success, Points(1.0), now);
}

#[test]
fn first_readings_near_zero_do_not_set_the_size() {
    for first in [0.0, 1.0, 2.0] {
        let mut quota = quota();
        let full = quota.rate(SHARE, Points(3.0), at(0)).0;
        for _ in 0..3 {
            quota.read([Points(first), Points(first)], Points(0.0), at(1));
            assert!(!quota.is_known());
            assert_eq!(Window::ALL.map(|window| quota.size(window)), USUAL_SIZES);
            assert!(!quota.is_empty(Points(3.0)));
            assert!(quota.admits(Priority::Live, Points(3.0), SHARE, at(1)));
            assert!(quota.admits(Priority::Background, Points(3.0), SHARE, at(1)));
            assert!(close(quota.rate(SHARE, Points(3.0), at(1)).0, full));
        }
        quota.read([Points(600.0), Points(9000.0)], Points(0.0), at(2));
        quota.read([Points(600.0), Points(9000.0)], Points(0.0), at(2));
        assert!(quota.is_known());
        assert_eq!(
            Window::ALL.map(|window| quota.size(window)),
            [Points(600.0), Points(9000.0)]
        );
    }
}

#[test]
fn larger_reading_sets_the_size_only_after_confirmation() {
    let mut quota = with_readings(SIZES, [SIZES; 3]);
    quota.read([Points(5000.0), Points(90_000.0)], Points(0.0), at(1));
    assert_eq!(Window::ALL.map(|window| quota.size(window)), SIZES);
    quota.read(SIZES, Points(0.0), at(2));
    assert_eq!(Window::ALL.map(|window| quota.size(window)), SIZES);
    quota.read([Points(4990.0), Points(89_000.0)], Points(0.0), at(3));
    assert_eq!(
        Window::ALL.map(|window| quota.size(window)),
        [Points(5000.0), Points(90_000.0)]
    );
}

#[test]
fn only_three_low_readings_in_a_row_stop_calls() {
    let good = [900.0, 19_000.0].map(Points);
    for low in [[0.0, 19_000.0], [900.0, 0.0]] {
        let low = low.map(Points);
        let mut quota = with_readings(SIZES, [good, low, low]);
        assert!(quota.admits(Priority::Background, Points(3.0), SHARE, at(1)));
        quota.read(low, Points(0.0), at(2));
        assert!(!quota.admits(Priority::Background, Points(3.0), SHARE, at(2)));
        quota.read(good, Points(0.0), at(3));
        assert!(
            quota.admits(Priority::Background, Points(3.0), SHARE, at(3)),
            "calls resume"
        );
    }
}

#[test]
fn unreadable_quota_is_never_empty_and_keeps_both_kinds_of_data() {
    let mut quota = quota();
    // Far more than the assumed size, at prices that nobody knows.
    for second in 0..1000 {
        quota.send(Priority::Live, Points(60.0), at(second));
    }
    quota.send(Priority::Fallback, Points(1.0), at(1000));
    assert!(
        !quota.is_empty(Points(60.0))
            && quota.rate(SHARE, Points(60.0), at(1000)) >= PointsPerSecond(60.0 / 180.0)
    );
    assert!(!quota.admits(Priority::Background, Points(1.0), SHARE, at(1200)));
    assert!(!quota.admits(Priority::Fallback, Points(1.0), SHARE, at(1010)));
    assert!(quota.admits(Priority::Fallback, Points(1.0), SHARE, at(1020)));
    assert!(!quota.admits(Priority::Live, Points(60.0), SHARE, at(1178)));
    assert!(quota.admits(Priority::Live, Points(60.0), SHARE, at(1179)));
}

#[test]
fn empty_quota_probes_with_live_calls_and_backs_off_after_a_refusal() {
    let mut quota = with_readings(SIZES, [[Points(0.0); 2]; 3]);
    let probes =
        |quota: &mut Quota, second| quota.admits(Priority::Live, Points(1.0), SHARE, at(second));
    assert!(probes(&mut quota, 100));
    assert!(!quota.admits(Priority::Background, Points(1.0), SHARE, at(100)));
    quota.send(Priority::Live, Points(1.0), at(100));
    assert!(!probes(&mut quota, 100), "one at a time");
    quota.finish(Priority::Live, false, Points(1.0), at(101));
    assert!(!probes(&mut quota, 280));
    assert!(probes(&mut quota, 281));
    // Each success halves the next wait.
    let (mut now, mut waits) = (281, Vec::new());
    for _ in 0..6 {
        call(&mut quota, true, at(now));
        let started = now;
        while !probes(&mut quota, now) {
            now += 1;
        }
        waits.push(now - started);
    }
    assert_eq!(waits, [180, 90, 45, 30, 30, 30]);
    // The pace pays for the probes.
    assert!(close(quota.rate(SHARE, Points(3.0), at(now)).0, 3.0 / 30.0));
    call(&mut quota, false, at(now));
    assert!(!probes(&mut quota, now + 179) && probes(&mut quota, now + 180));
}

#[test]
fn readings_are_admitted_without_points() {
    let mut quota = with_readings(SIZES, [[Points(0.0); 2]; 3]);
    assert!(quota.admits(Priority::Reading, Points(1.0), SHARE, at(1)));
}

#[test]
fn pace_halves_when_others_leave_half_of_the_points_outside_the_share() {
    // One of the windows is too large to matter.
    for (sizes, window) in [
        ([1000.0, 1e7], Window::Quarter),
        ([1e6, 20_000.0], Window::Day),
    ] {
        let sizes = sizes.map(Points);
        let mut left = sizes;
        let outside = sizes[window as usize] * (1.0 - SHARE.fleet);
        let mut alone = with_readings(sizes, [sizes; 3]);
        let full = alone.rate(SHARE, Points(3.0), at(0)).0;
        left[window as usize] = outside;
        let mut beside = with_readings(sizes, [left; 3]);
        assert!(close(beside.rate(SHARE, Points(3.0), at(0)).0, full));
        assert!(!beside.yields_half(SHARE));
        left[window as usize] = outside / 2.0;
        let mut beside = with_readings(sizes, [left; 3]);
        assert!(close(beside.rate(SHARE, Points(3.0), at(0)).0, full / 2.0));
        left[window as usize] = outside / 4.0;
        let mut beside = with_readings(sizes, [left; 3]);
        assert!(close(beside.rate(SHARE, Points(3.0), at(0)).0, full / 4.0));
        assert!(beside.yields_half(SHARE) && beside.is_low(SHARE));
    }
}

#[test]
fn overestimated_spending_does_not_stop_calls() {
    let mut quota = quota();
    for step in 0..60 {
        quota.send(Priority::Live, Points(20.0), at(step));
    }
    assert!(!quota.admits(Priority::Live, Points(20.0), SHARE, at(60)));
    let spent = quota.spent;
    quota.read([Points(990.0), Points(19_900.0)], spent, at(60));
    quota.read([Points(990.0), Points(19_900.0)], spent, at(61));
    assert!(quota.admits(Priority::Live, Points(20.0), SHARE, at(61)));
    assert!(quota.rate(SHARE, Points(3.0), at(61)) > quota.full_rate(SHARE) * 0.9);
}

#[test]
fn background_calls_leave_points_to_live_data() {
    let mut quota = with_readings(SIZES, [SIZES; 3]);
    let mut now = at(0);
    while quota.admits(Priority::Background, Points(5.0), SHARE, now) {
        quota.send(Priority::Background, Points(5.0), now);
        now += seconds(1);
    }
    let mut live = 0.0;
    while quota.admits(Priority::Live, Points(5.0), SHARE, now) {
        quota.send(Priority::Live, Points(5.0), now);
        live += 5.0;
    }
    assert!((240.0..=255.0).contains(&live), "{live} of 500 points");
}

#[test]
fn calls_that_exceed_the_share_are_made_one_at_a_time() {
    let sizes = [Points(100.0), Points(5000.0)];
    let share = Share {
        fleet: 0.3,
        own: 0.3,
    };
    let mut quota = with_readings(sizes, [sizes; 3]);
    assert!(quota.admits(Priority::Live, Points(40.0), share, at(0)));
    quota.send(Priority::Live, Points(40.0), at(0));
    assert!(!quota.admits(Priority::Live, Points(40.0), share, at(1)));
    assert!(quota.admits(Priority::Live, Points(40.0), share, at(1000)));
}

#[test]
fn merged_quota_has_the_spending_of_both_and_the_latest_readings() {
    let mut one = with_readings(SIZES, [SIZES; 3]);
    call(&mut one, true, at(10));
    let mut other = with_readings(SIZES, [SIZES; 3]);
    for _ in 0..30 {
        other.send(Priority::Live, Points(1.0), at(20));
    }
    let spent = other.spent;
    for second in 20..23 {
        other.read([Points(700.0), Points(15_000.0)], spent, at(second));
    }
    other.send(Priority::Live, Points(5.0), at(23));
    let mut forth = one.clone();
    forth.merge(&other);
    let mut back = other.clone();
    back.merge(&one);
    for quota in [&forth, &back] {
        assert!(close(quota.ledger.spent(Window::Day).0, 36.0));
        assert!(close(quota.left(Window::Quarter).0, 695.0));
        assert!(close(quota.left(Window::Day).0, 14_995.0));
        assert_eq!(Window::ALL.map(|window| quota.size(window)), SIZES);
    }
}

#[test]
fn allowed_points_are_the_share_of_the_points_left_by_others() {
    let mut quota = with_readings(SIZES, [SIZES; 3]);
    for _ in 0..100 {
        quota.send(Priority::Live, Points(1.0), at(1));
    }
    assert!(close(quota.allowed(Window::Quarter, SHARE).0, 500.0));
    let spent = quota.spent;
    // Others spent 200 points, the exporter 100.
    for _ in 0..3 {
        quota.read([Points(700.0), Points(19_700.0)], spent, at(2));
    }
    assert!(close(quota.allowed(Window::Quarter, SHARE).0, 400.0));
}

proptest! {
    /// Own spending exceeds the share of a window at most by the calls of the minimum pace, for any sequence of calls,
    /// with and without readings.
    #[test]
    fn own_spending_exceeds_the_share_by_at_most_the_minimum_pace(
        steps in prop::collection::vec((1_u64..120, 1.0_f64..30.0, any::<bool>()), 50..400),
        small in any::<bool>(),
        share in 0.1_f64..0.8,
        read in any::<bool>(),
    ) {
        let sizes = if small && read { [300.0, 2000.0].map(Points) } else { USUAL_SIZES };
        let share = Share { fleet: share, own: share };
        let mut quota = quota();
        let mut truth = Ledger::default();
        let mut now = at(0);
        for (pause, points, live) in steps {
            now += seconds(pause);
            truth.expire(now);
            let left = Window::ALL.map(|window| sizes[window as usize] - truth.spent(window));
            if read {
                let spent = quota.spent;
                quota.read(left, spent, now);
            }
            let priority = if live { Priority::Live } else { Priority::Background };
            let mut burst = 0;
            while burst < 40 && quota.admits(priority, Points(points), share, now) {
                quota.send(priority, Points(points), now);
                quota.finish(priority, true, Points(points), now);
                truth.add(now, Points(points));
                burst += 1;
            }
            for window in Window::ALL {
                let most = sizes[window as usize] * share.own * (1.0 + MIN_PACE);
                let most = most.max(Points(points.max(30.0)));
                prop_assert!(truth.spent(window) <= most, "{window:?} of {most:?}: {truth:?}");
            }
            prop_assert!(quota.rate(share, Points(1.0), now) > PointsPerSecond(0.0), "the pace is never 0");
        }
    }
}

#[test]
fn a_fleet_of_thousands_is_planned_at_most_once_a_second() {
    for (vps, wait) in [(2, Duration::from_millis(1)), (2000, seconds(1))] {
        let mut quota = Quota::new((0..vps).map(Veid).collect(), true);
        quota.planned = LastPlan {
            at: at(1000),
            until: at(1060),
            ..LastPlan::default()
        };
        quota.expire_plan(at(1000));
        assert_eq!(quota.planned.until, at(1000) + wait);
        quota.planned.until = at(1060);
        quota.expire_plan(at(1030));
        assert_eq!(quota.planned.until, at(1030));
    }
}
