#![expect(
    clippy::option_option,
    reason = "a failure, a response, or a response with a reading"
)]

use super::*;
use crate::units::{AccountTime, Points};

const ONE: Veid = Veid(1);
const TWO: Veid = Veid(2);
const LIVE: Call = Call::LiveServiceInfo;
const USAGE: Call = Call::RawUsageStats;
const READING: Call = Call::RateLimitStatus;
const BEFORE: Remaining = [Points(900.0), Points(19_000.0)];
const AFTER: Remaining = [Points(894.0), Points(18_994.0)];

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn at(seconds: u64) -> AccountTime {
    AccountTime::from_secs(seconds)
}

/// Sends and finishes the next call of a sample.
fn step(
    sampling: &mut Sampling,
    wanted: (Veid, Call),
    result: Option<Option<Remaining>>,
    now: AccountTime,
) -> Option<Complete> {
    assert_eq!(sampling.next_call(), Some(wanted));
    sampling.sent(now);
    assert_eq!(sampling.next_call(), None, "one call at a time");
    let reading = result.flatten();
    sampling.finish(wanted.0, wanted.1, result.is_some(), reading, now)
}

/// Takes a complete sample at `now`.
fn complete(sampling: &mut Sampling, veid: Veid, call: Call, now: AccountTime) -> Complete {
    assert!(sampling.try_begin(veid, call, false, now));
    let first = step(sampling, (veid, READING), Some(Some(BEFORE)), now);
    assert_eq!(first, None);
    if call != READING {
        assert_eq!(step(sampling, (veid, call), Some(None), now), None);
    }
    let last = step(sampling, (veid, READING), Some(Some(AFTER)), now);
    last.expect("the sample is complete")
}

#[test]
fn sample_is_a_reading_a_call_and_a_reading_of_one_vps() {
    let mut sampling = Sampling::default();
    assert_eq!(sampling.held_vps(at(1)), None);
    assert!(sampling.try_begin(ONE, LIVE, false, at(1)));
    assert_eq!(sampling.held_vps(at(1)), Some(ONE));
    assert!(
        !sampling.try_begin(TWO, USAGE, false, at(1)),
        "one at a time"
    );
    let reading = Some(Some(BEFORE));
    assert_eq!(step(&mut sampling, (ONE, READING), reading, at(2)), None);
    assert_eq!(step(&mut sampling, (ONE, LIVE), Some(None), at(3)), None);
    let done = step(&mut sampling, (ONE, READING), Some(Some(AFTER)), at(4));
    let wanted = Complete {
        call: LIVE,
        before: BEFORE,
        after: AFTER,
    };
    assert_eq!(done, Some(wanted));
    assert_eq!(sampling.held_vps(at(4)), None);
    assert_eq!((sampling.next_call(), sampling.deadline()), (None, None));
}

#[test]
fn sample_of_a_reading_takes_two_readings() {
    let mut sampling = Sampling::default();
    let done = complete(&mut sampling, ONE, READING, at(1));
    assert_eq!(done.call, READING);
}

#[test]
fn samples_are_separated_by_a_rest() {
    let mut sampling = Sampling::default();
    complete(&mut sampling, ONE, LIVE, at(100));
    assert!(!sampling.try_begin(
        ONE,
        USAGE,
        false,
        (at(100) + REST).saturating_sub(seconds(1))
    ));
    assert!(sampling.try_begin(ONE, USAGE, false, at(100) + REST));
}

#[test]
fn hold_ends_ten_seconds_after_the_start_or_the_sampled_call() {
    for steps in 0..3 {
        for sent in [false, true] {
            let mut sampling = Sampling::default();
            assert!(sampling.try_begin(ONE, LIVE, false, at(100)));
            let calls = [(READING, Some(BEFORE)), (LIVE, None)];
            for (call, reading) in calls.into_iter().take(steps) {
                step(&mut sampling, (ONE, call), Some(reading), at(101));
            }
            let (_, next) = sampling.next_call().expect("the sample continues");
            if sent {
                sampling.sent(at(101));
            }
            // The hold starts anew when the sampled call is sent.
            let calls = steps + usize::from(sent);
            let end = if calls < 2 { 110 } else { 111 };
            assert_eq!(sampling.deadline(), Some(at(end)));
            assert_eq!(sampling.held_vps(at(end - 1)), Some(ONE));
            assert_eq!(sampling.held_vps(at(end)), None);
            let late = sampling.finish(ONE, next, true, Some(AFTER), at(112));
            assert_eq!(late, None, "a late response belongs to no sample");
        }
    }
}

#[test]
fn next_sample_after_an_abandoned_one_waits_and_is_of_another_vps() {
    let mut sampling = Sampling::default();
    assert!(sampling.try_begin(ONE, LIVE, false, at(0)));
    let abandoned = at(10);
    assert_eq!(sampling.held_vps(abandoned), None);
    assert!(!sampling.try_begin(
        TWO,
        USAGE,
        false,
        (abandoned + PAUSE).saturating_sub(seconds(1))
    ));
    assert!(!sampling.try_begin(ONE, USAGE, false, abandoned + PAUSE));
    assert!(
        !sampling.try_begin(TWO, LIVE, false, abandoned + PAUSE),
        "this call waits longer"
    );
    complete(&mut sampling, TWO, USAGE, abandoned + PAUSE);
    assert!(!sampling.try_begin(
        ONE,
        READING,
        false,
        (abandoned + VPS_PAUSE).saturating_sub(seconds(1))
    ));
    assert!(sampling.try_begin(ONE, READING, false, abandoned + VPS_PAUSE));
}

#[test]
fn pause_of_a_call_doubles_with_each_abandoned_sample() {
    let mut sampling = Sampling::default();
    let mut now = at(0);
    let mut waits = Vec::new();
    for veid in 1..15 {
        let started = now;
        while !sampling.try_begin(Veid(veid), LIVE, false, now) {
            now += seconds(1);
        }
        waits.push(now.since(started).as_secs());
        now += MAX_HOLD;
        sampling.held_vps(now);
    }
    assert_eq!(waits[..5], [0, 60, 120, 240, 480]);
    assert!(waits.is_sorted());
    assert_eq!(waits[12], waits[13], "the doublings are limited");
    sampling.check_now(LIVE, now);
    assert!(sampling.try_begin(ONE, LIVE, false, now + VPS_PAUSE));
}

#[test]
fn failure_at_any_step_abandons_the_sample() {
    for failing in 0..3 {
        // A reading without numbers counts as a failure.
        for unusable in [Some(None), None] {
            if failing == 1 && unusable.is_some() {
                continue;
            }
            let mut sampling = Sampling::default();
            assert!(sampling.try_begin(ONE, LIVE, false, at(0)));
            let calls = [
                (READING, Some(Some(BEFORE))),
                (LIVE, Some(None)),
                (READING, Some(Some(AFTER))),
            ];
            for (index, (call, good)) in calls.into_iter().take(failing + 1).enumerate() {
                let result = if index == failing { unusable } else { good };
                let done = step(&mut sampling, (ONE, call), result, at(1));
                assert_eq!(done, None);
            }
            assert_eq!(sampling.held_vps(at(1)), None);
            assert!(!sampling.try_begin(ONE, USAGE, false, at(60)));
            assert!(sampling.try_begin(TWO, USAGE, false, at(60)));
        }
    }
}

#[test]
fn vps_with_a_quota_of_its_own_holds_longer() {
    let mut sampling = Sampling::default();
    assert!(sampling.try_begin(ONE, LIVE, true, at(100)));
    assert_eq!(sampling.held_vps(at(139)), Some(ONE));
    assert_eq!(sampling.held_vps(at(140)), None);
}

#[test]
fn ignores_responses_outside_the_sample() {
    let mut sampling = Sampling::default();
    assert!(sampling.try_begin(ONE, LIVE, false, at(0)));
    let reading = Some(BEFORE);
    assert_eq!(
        sampling.finish(ONE, READING, true, reading, at(0)),
        None,
        "sent before the sample began"
    );
    sampling.sent(at(1));
    sampling.finish(TWO, READING, true, reading, at(1));
    sampling.finish(ONE, USAGE, false, None, at(1));
    assert_eq!(sampling.held_vps(at(1)), Some(ONE));
    assert_eq!(sampling.next_call(), None, "its reading is in flight");
    sampling.finish(ONE, READING, true, reading, at(2));
    assert_eq!(sampling.next_call(), Some((ONE, LIVE)));
}

#[test]
fn samples_take_a_fixed_fraction_of_the_pace_and_less_for_confirmed_prices() {
    let wait = |samples: usize, points: f64, rate: f64| {
        let mut sampling = Sampling::default();
        sampling.plan_next(LIVE, samples, Points(points), PointsPerSecond(rate), at(0));
        assert!(
            sampling.try_begin(ONE, USAGE, false, at(0)),
            "only this call waits"
        );
        sampling.reset();
        let mut now = 0;
        while !sampling.try_begin(ONE, LIVE, false, at(now)) {
            now += 1;
        }
        now
    };
    assert_eq!(wait(0, 2.0, 0.1), 1000);
    assert_eq!(wait(8, 2.0, 0.1), 2000);
    assert_eq!(wait(0, 2.0, 100.0), 300, "the minimum");
    assert_eq!(wait(24, 50.0, 0.001), 86_400, "the maximum");
    assert_eq!(wait(0, 2.0, 0.0), 86_400);
}

#[test]
fn outlier_is_repeated_soon() {
    let mut sampling = Sampling::default();
    complete(&mut sampling, ONE, LIVE, at(100));
    sampling.repeat(LIVE, at(100));
    assert!(!sampling.try_begin(ONE, LIVE, false, at(109)));
    assert!(sampling.try_begin(ONE, LIVE, false, at(110)));
}

#[test]
fn check_now_makes_a_sample_due_at_once() {
    let mut sampling = Sampling::default();
    sampling.plan_next(LIVE, 24, Points(2.0), PointsPerSecond(0.01), at(0));
    assert!(!sampling.try_begin(ONE, LIVE, false, at(500)));
    sampling.check_now(LIVE, at(500));
    assert!(sampling.try_begin(ONE, LIVE, false, at(500)));
}
