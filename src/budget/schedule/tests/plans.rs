//! First rounds, changes of plans and changes of the configuration.

use super::*;
use crate::units::AccountTime;

const LIVE: Call = Call::LiveServiceInfo;
const USAGE: Call = Call::RawUsageStats;
const READING: Call = Call::RateLimitStatus;
const SERVICE: Call = Call::ServiceInfo;

fn due(schedule: &Unlimited, veid: u64, call: Call) -> Option<AccountTime> {
    schedule.0.of(Veid(veid)).expect("it is configured").due[call]
}

/// Sends and finishes a call.
fn call(schedule: &mut Unlimited, veid: u64, call: Call, outcome: Outcome, now: AccountTime) {
    let veid = Veid(veid);
    schedule.0.start(veid, call, now);
    schedule
        .0
        .finish(Due { veid, call }, outcome, None, now, 0.0);
}

fn intervals(change: impl FnOnce(&mut PlannedIntervals)) -> PlannedIntervals {
    let mut intervals = PACE.intervals();
    change(&mut intervals);
    intervals
}

#[test]
fn first_round_is_live_then_history_then_inventory() {
    let pace = Pace {
        collect: Collect::default(),
        ..PACE
    };
    // The VPSes start in the order of the configuration.
    let fleet: Vec<_> = (1..=50).rev().map(|veid| (Veid(veid), pace)).collect();
    let mut schedule = Unlimited::new(&fleet, Slots::fixed(50));
    let started = run(
        &mut schedule,
        time(700),
        |_| Duration::ZERO,
        |_, _| Outcome::Success,
    );
    let firsts = |call: Call| -> Vec<AccountTime> {
        let first = |veid| times(&started, veid, call).first().copied();
        (1..=50).rev().filter_map(first).collect()
    };
    let spread = |call: Call| {
        let firsts = firsts(call);
        assert_eq!(firsts.len(), 50, "{call:?}");
        assert!(firsts.is_sorted(), "{call:?}: {firsts:?}");
        (firsts[0], firsts[49])
    };
    let (live, usage) = (spread(LIVE), spread(USAGE));
    assert_eq!(live.0, AccountTime::ZERO);
    assert!(live.1 <= time(7), "{live:?}");
    assert!(live.1 < usage.0, "{live:?} {usage:?}");
    // History is spread, so that it does not take all points of 15 minutes.
    assert!(usage.1.since(usage.0) >= seconds(100), "{usage:?}");
    let inventory = spread(Call::BackupList);
    assert!(usage.1 < inventory.0, "{usage:?} {inventory:?}");
}

#[test]
fn vps_has_one_call_in_flight_per_lane() {
    let mut schedule = schedule(1, 4);
    let sent = |schedule: &mut Unlimited, second| -> Vec<Call> {
        let taken = schedule.take_due(time(second));
        taken.iter().map(|due| due.call).collect()
    };
    assert_eq!(sent(&mut schedule, 1), [READING, LIVE]);
    assert!(!schedule.0.is_ready(Veid(1)));
    assert!(!schedule.0.has_slot(Veid(1), SERVICE));
    let [reading, live] = [READING, LIVE].map(|call| Due {
        veid: Veid(1),
        call,
    });
    schedule.finish(live, Outcome::Success, time(2));
    assert!(schedule.0.is_ready(Veid(1)), "readings have another lane");
    schedule.finish(reading, Outcome::Success, time(2));
    assert_eq!(sent(&mut schedule, 2)[0], USAGE);
    assert!(!schedule.0.has_slot(Veid(1), READING));
    assert!(!schedule.0.has_slot(Veid(1), USAGE));
}

#[test]
fn history_takes_at_most_a_quarter_of_the_slots() {
    let mut schedule = schedule(20, 8);
    let mut history = 0;
    for second in 0..300 {
        for due in schedule.take_due(time(second)) {
            if due.call == USAGE {
                history += 1;
            } else {
                schedule.finish(due, Outcome::Success, time(second));
            }
        }
    }
    assert_eq!(history, 2, "these calls never finish");
}

#[test]
fn waits_scale_with_the_interval() {
    for (interval, wanted) in [(60, 30), (240, 120), (1200, 600)] {
        let mut schedule = schedule(1, 4);
        call(&mut schedule, 1, LIVE, Outcome::Success, time(0));
        let before = due(&schedule, 1, LIVE).expect("planned");
        let now = before.saturating_sub(seconds(60));
        let other = intervals(|of| of[LIVE] = Some(seconds(interval)));
        schedule.0.set_intervals(Veid(1), other, now);
        let wait = due(&schedule, 1, LIVE).map(|due| due.since(now));
        let off = wait.map(|wait| wait.abs_diff(seconds(wanted)));
        assert!(off <= Some(Duration::from_millis(1)), "{wait:?}");
    }
}

#[test]
fn backoff_shrinks_but_does_not_grow_with_the_interval() {
    for (interval, wanted) in [(30, 30), (480, 120)] {
        let mut schedule = schedule(1, 4);
        let refused = Outcome::Failure(Reason::RateLimited);
        call(&mut schedule, 1, LIVE, refused, time(0));
        assert_eq!(due(&schedule, 1, LIVE), Some(AccountTime::new(PACE.live)));
        let other = intervals(|of| of[LIVE] = Some(seconds(interval)));
        schedule.0.set_intervals(Veid(1), other, time(0));
        assert_eq!(due(&schedule, 1, LIVE), Some(time(wanted)));
    }
}

#[test]
fn due_calls_stay_due_under_a_new_plan() {
    let mut schedule = schedule(1, 4);
    let other = intervals(|of| of[LIVE] = Some(seconds(3600)));
    schedule.0.set_intervals(Veid(1), other, time(10));
    assert!(
        schedule
            .take_due(time(10))
            .iter()
            .any(|due| due.call == READING)
    );
    assert_eq!(due(&schedule, 1, LIVE), Some(time(0)));
}

#[test]
fn newly_planned_calls_become_due_soon() {
    let mut schedule = schedule(1, 4);
    let without = intervals(|of| of[USAGE] = None);
    schedule.0.set_intervals(Veid(1), without, time(10));
    assert_eq!(due(&schedule, 1, USAGE), None);
    let rare = intervals(|of| of[USAGE] = Some(seconds(7200)));
    schedule.0.set_intervals(Veid(1), rare, time(1000));
    let back = due(&schedule, 1, USAGE).expect("planned");
    assert!(back >= time(1000) && back <= time(1000) + RETURNS_WITHIN);
}

#[test]
fn retry_after_defers_the_call_and_its_fallback() {
    let mut schedule = schedule(1, 4);
    let live = Due {
        veid: Veid(1),
        call: LIVE,
    };
    let refused = Outcome::Failure(Reason::RateLimited);
    schedule.0.start(Veid(1), LIVE, time(0));
    let wait = Some(seconds(400));
    assert!(schedule.0.finish(live, refused, wait, time(10), 1.0));
    assert_eq!(due(&schedule, 1, LIVE), Some(time(410)));
    assert_eq!(due(&schedule, 1, SERVICE), Some(time(410)));
    // A shorter one than the backoff has no effect.
    schedule.0.start(Veid(1), LIVE, time(410));
    let short = Some(seconds(1));
    assert!(schedule.0.finish(live, refused, short, time(410), 0.0));
    assert_eq!(due(&schedule, 1, LIVE), Some(time(410 + 240)));
}

#[test]
fn huge_retry_after_does_not_silence_a_vps() {
    let mut schedule = schedule(1, 4);
    let live = Due {
        veid: Veid(1),
        call: LIVE,
    };
    schedule.0.start(Veid(1), LIVE, time(0));
    let refused = Outcome::Failure(Reason::RateLimited);
    schedule
        .0
        .finish(live, refused, Some(Duration::MAX), time(1), 0.0);
    assert!(due(&schedule, 1, LIVE) <= Some(time(3600)));
    assert!(due(&schedule, 1, SERVICE) <= Some(time(3600)));
}

#[test]
fn new_configuration_keeps_the_due_times_of_remaining_vpses() {
    let mut schedule = schedule(3, 4);
    for veid in 1..=3 {
        call(&mut schedule, veid, LIVE, Outcome::Success, time(0));
    }
    let before = due(&schedule, 1, LIVE);
    let fast = Pace {
        live: seconds(10),
        ..PACE
    };
    let fleet = [(Veid(9), PACE), (Veid(1), PACE), (Veid(2), fast)];
    schedule.0.reconfigure(&fleet, Slots::fixed(4), time(20));
    assert_eq!(due(&schedule, 1, LIVE), before);
    assert!(
        due(&schedule, 2, LIVE) <= Some(time(30)),
        "within its new interval"
    );
    assert_eq!(due(&schedule, 9, LIVE), Some(time(20)));
    assert!(schedule.0.of(Veid(3)).is_none());
    assert!(
        schedule
            .take_due(time(9000))
            .iter()
            .all(|due| due.veid != Veid(3)),
        "removed VPSes are not polled"
    );
}

#[test]
fn removed_vps_occupies_its_slot_until_its_call_finishes() {
    let mut schedule = schedule(2, 1);
    let removed = schedule.take_due(time(0))[0];
    let fleet = [(Veid(7), PACE)];
    schedule.0.reconfigure(&fleet, Slots::fixed(1), time(1));
    assert_eq!(schedule.take_due(time(1)), []);
    schedule.finish(removed, Outcome::Success, time(2));
    assert!(schedule.0.of(removed.veid).is_none());
    assert_eq!(schedule.take_due(time(2))[0].veid, Veid(7));
}

#[test]
fn vps_that_returns_while_its_call_is_in_flight_is_polled_again() {
    let mut schedule = schedule(1, 4);
    let sent = schedule.take_due(time(0))[0];
    schedule
        .0
        .reconfigure(&[(Veid(7), PACE)], Slots::fixed(4), time(1));
    let fleet = [(Veid(1), PACE), (Veid(7), PACE)];
    schedule.0.reconfigure(&fleet, Slots::fixed(4), time(2));
    schedule.finish(sent, Outcome::Success, time(3));
    let again = run(
        &mut schedule,
        time(600),
        |_| Duration::ZERO,
        |_, _| Outcome::Success,
    );
    for veid in [1, 7] {
        assert!(times(&again, veid, LIVE).len() >= 4);
    }
}
