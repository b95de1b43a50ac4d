#![expect(clippy::unchecked_time_subtraction, reason = "the times are in order")]
#![expect(
    clippy::option_option,
    reason = "a failure, a response, or a response with a reading"
)]

use super::*;

const ONE: Veid = Veid(1);
const TWO: Veid = Veid(2);
const LIVE: Call = Call::LiveServiceInfo;
const USAGE: Call = Call::RawUsageStats;
const READING: Call = Call::RateLimitStatus;
const BEFORE: Remaining = [900.0, 19_000.0];
const AFTER: Remaining = [894.0, 18_994.0];

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Sends the next call of a sample and takes in its end.
fn step(
    sampling: &mut Sampling,
    wanted: (Veid, Call),
    result: Option<Option<Remaining>>,
    now: Duration,
) -> Option<Complete> {
    assert_eq!(sampling.next_call(), Some(wanted));
    sampling.sent();
    assert_eq!(sampling.next_call(), None, "one call at a time");
    let reading = result.flatten();
    sampling.finish(wanted.0, wanted.1, result.is_some(), reading, now)
}

/// Takes a sample of a call of a VPS, which ends at `now`.
fn complete(sampling: &mut Sampling, veid: Veid, call: Call, now: Duration) -> Complete {
    assert!(sampling.consider(veid, call, now));
    let first = step(sampling, (veid, READING), Some(Some(BEFORE)), now);
    assert_eq!(first, None);
    if call != READING {
        assert_eq!(step(sampling, (veid, call), Some(None), now), None);
    }
    let last = step(sampling, (veid, READING), Some(Some(AFTER)), now);
    last.expect("the sample is complete")
}

#[test]
fn a_sample_is_a_reading_the_call_and_a_reading_of_one_vps() {
    let mut sampling = Sampling::default();
    assert_eq!(sampling.holds(seconds(1)), None);
    assert!(sampling.consider(ONE, LIVE, seconds(1)));
    assert_eq!(sampling.holds(seconds(1)), Some(ONE));
    assert!(!sampling.consider(TWO, USAGE, seconds(1)), "one at a time");
    let reading = Some(Some(BEFORE));
    assert_eq!(
        step(&mut sampling, (ONE, READING), reading, seconds(2)),
        None
    );
    assert_eq!(
        step(&mut sampling, (ONE, LIVE), Some(None), seconds(3)),
        None
    );
    let done = step(&mut sampling, (ONE, READING), Some(Some(AFTER)), seconds(4));
    let wanted = Complete {
        call: LIVE,
        before: BEFORE,
        after: AFTER,
    };
    assert_eq!(done, Some(wanted));
    assert_eq!(sampling.holds(seconds(4)), None);
    assert_eq!((sampling.next_call(), sampling.deadline()), (None, None));
}

#[test]
fn a_reading_is_sampled_by_two_readings() {
    let mut sampling = Sampling::default();
    let done = complete(&mut sampling, ONE, READING, seconds(1));
    assert_eq!(done.call, READING);
}

#[test]
fn other_calls_have_their_turn_between_two_samples() {
    let mut sampling = Sampling::default();
    complete(&mut sampling, ONE, LIVE, seconds(100));
    assert!(!sampling.consider(ONE, USAGE, seconds(100) + REST - seconds(1)));
    assert!(sampling.consider(ONE, USAGE, seconds(100) + REST));
}

#[test]
fn the_hold_ends_after_ten_seconds_whatever_the_sample_waits_for() {
    for steps in 0..3 {
        for sent in [false, true] {
            let mut sampling = Sampling::default();
            assert!(sampling.consider(ONE, LIVE, seconds(100)));
            let calls = [(READING, Some(BEFORE)), (LIVE, None)];
            for (call, reading) in calls.into_iter().take(steps) {
                step(&mut sampling, (ONE, call), Some(reading), seconds(101));
            }
            let (_, waits_for) = sampling.next_call().expect("it goes on");
            if sent {
                sampling.sent();
            }
            assert_eq!(sampling.deadline(), Some(seconds(110)));
            assert_eq!(sampling.holds(seconds(109)), Some(ONE));
            assert_eq!(sampling.holds(seconds(110)), None);
            let late = sampling.finish(ONE, waits_for, true, Some(AFTER), seconds(111));
            assert_eq!(late, None, "a late response belongs to no sample");
        }
    }
}

#[test]
fn an_abandoned_sample_pauses_and_the_next_is_of_another_vps() {
    let mut sampling = Sampling::default();
    assert!(sampling.consider(ONE, LIVE, seconds(0)));
    let begun = seconds(10);
    assert_eq!(sampling.holds(begun), None);
    assert!(!sampling.consider(TWO, USAGE, begun + PAUSE - seconds(1)));
    assert!(!sampling.consider(ONE, USAGE, begun + PAUSE));
    assert!(
        !sampling.consider(TWO, LIVE, begun + PAUSE),
        "this call less often"
    );
    complete(&mut sampling, TWO, USAGE, begun + PAUSE);
    assert!(!sampling.consider(ONE, READING, begun + AVOIDED - seconds(1)));
    assert!(sampling.consider(ONE, READING, begun + AVOIDED));
}

#[test]
fn a_call_whose_samples_fail_is_sampled_less_and_less_often() {
    let mut sampling = Sampling::default();
    let mut now = seconds(0);
    let mut waits = Vec::new();
    for veid in 1..15 {
        let begun = now;
        while !sampling.consider(Veid(veid), LIVE, now) {
            now += seconds(1);
        }
        waits.push(now.saturating_sub(begun).as_secs());
        now += LONGEST_HOLD;
        sampling.holds(now);
    }
    assert_eq!(waits[..5], [0, 60, 120, 240, 480]);
    assert!(waits.is_sorted());
    assert_eq!(waits[12], waits[13], "it does not double for ever");
    sampling.look_now(LIVE, now);
    assert!(sampling.consider(ONE, LIVE, now + AVOIDED));
}

#[test]
fn a_failure_at_any_step_abandons_the_sample() {
    for failing in 0..3 {
        // A reading without numbers is as good as none.
        for unusable in [Some(None), None] {
            if failing == 1 && unusable.is_some() {
                continue;
            }
            let mut sampling = Sampling::default();
            assert!(sampling.consider(ONE, LIVE, seconds(0)));
            let calls = [
                (READING, Some(Some(BEFORE))),
                (LIVE, Some(None)),
                (READING, Some(Some(AFTER))),
            ];
            for (index, (call, good)) in calls.into_iter().take(failing + 1).enumerate() {
                let result = if index == failing { unusable } else { good };
                let done = step(&mut sampling, (ONE, call), result, seconds(1));
                assert_eq!(done, None);
            }
            assert_eq!(sampling.holds(seconds(1)), None);
            assert!(!sampling.consider(ONE, USAGE, seconds(60)));
            assert!(sampling.consider(TWO, USAGE, seconds(60)));
        }
    }
}

#[test]
fn responses_that_do_not_belong_to_the_sample_change_nothing() {
    let mut sampling = Sampling::default();
    assert!(sampling.consider(ONE, LIVE, seconds(0)));
    let reading = Some(BEFORE);
    assert_eq!(
        sampling.finish(ONE, READING, true, reading, seconds(0)),
        None,
        "sent before the sample began"
    );
    sampling.sent();
    sampling.finish(TWO, READING, true, reading, seconds(1));
    sampling.finish(ONE, USAGE, false, None, seconds(1));
    assert_eq!(sampling.holds(seconds(1)), Some(ONE));
    assert_eq!(sampling.next_call(), None, "its reading is on its way");
    sampling.finish(ONE, READING, true, reading, seconds(2));
    assert_eq!(sampling.next_call(), Some((ONE, LIVE)));
}

#[test]
fn samples_take_a_small_part_of_the_pace_and_a_confirmed_price_needs_fewer() {
    let wait = |samples: usize, points: f64, rate: f64| {
        let mut sampling = Sampling::default();
        sampling.plan_next(LIVE, samples, points, rate, seconds(0));
        assert!(
            sampling.consider(ONE, USAGE, seconds(0)),
            "of this call only"
        );
        sampling.reset();
        let mut now = 0;
        while !sampling.consider(ONE, LIVE, seconds(now)) {
            now += 1;
        }
        now
    };
    assert_eq!(wait(0, 2.0, 0.1), 1000);
    assert_eq!(wait(8, 2.0, 0.1), 2000);
    assert_eq!(wait(0, 2.0, 100.0), 300, "no more often");
    assert_eq!(wait(24, 50.0, 0.001), 86_400, "no less often");
    assert_eq!(wait(0, 2.0, 0.0), 86_400);
}

#[test]
fn a_doubtful_sample_is_repeated_soon() {
    let mut sampling = Sampling::default();
    complete(&mut sampling, ONE, LIVE, seconds(100));
    sampling.repeat(LIVE, seconds(100));
    assert!(!sampling.consider(ONE, LIVE, seconds(109)));
    assert!(sampling.consider(ONE, LIVE, seconds(110)));
}

#[test]
fn a_price_is_looked_at_at_once_when_points_went_that_it_does_not_explain() {
    let mut sampling = Sampling::default();
    sampling.plan_next(LIVE, 24, 2.0, 0.01, seconds(0));
    assert!(!sampling.consider(ONE, LIVE, seconds(500)));
    sampling.look_now(LIVE, seconds(500));
    assert!(sampling.consider(ONE, LIVE, seconds(500)));
}
