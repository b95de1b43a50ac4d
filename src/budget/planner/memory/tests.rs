#![expect(
    clippy::float_cmp,
    reason = "whole numbers, which are passed on as they are"
)]
#![expect(clippy::unchecked_time_subtraction, reason = "the times are in order")]

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::budget::places::Places;
use crate::budget::planner::{Finished, Limits, Member};
use crate::budget::quota::Share;
use crate::budget::schedule::{Due, Outcome};
use crate::budget::window::Window;
use crate::config::Collect;
use crate::kiwivm::Reason;

const PACE: Pace = Pace {
    live: Duration::from_secs(120),
    points: Duration::from_secs(600),
    usage: Duration::from_secs(600),
    inventory: Duration::from_secs(3600),
    collect: Collect::NOTHING,
};
/// The clock of a process: later than anything saved is old.
const BEGIN: Duration = Duration::from_secs(10 * 86_400);
const SHARE: Share = Share {
    fleet: 0.5,
    own: 0.5,
};

fn planner(vps: u64, now: Duration) -> Planner {
    let member = |veid| Member {
        veid: Veid(veid),
        pace: PACE,
        group: None,
    };
    let fleet: Vec<_> = (1..=vps).map(member).collect();
    let limits = Limits {
        share: SHARE,
        scope: Scope::Account,
        download: u64::MAX,
        places: Places::fixed(8),
    };
    Planner::new(&fleet, limits, 1, now)
}

/// Runs a planner before an account of 1000 and 20,000 points where live costs 4 and the other calls 1. Each call
/// takes no time and ends as `outcome` says. Returns the times of live and service info.
fn run(
    planner: &mut Planner,
    seconds: u64,
    begin: Duration,
    outcome: impl Fn(Due) -> Outcome,
) -> Vec<(Duration, Veid)> {
    let mut truth = crate::budget::window::Ledger::default();
    let mut polls = Vec::new();
    for second in 0..seconds {
        let now = begin + Duration::from_secs(second);
        loop {
            let taken = planner.take_due(now);
            if taken.is_empty() {
                break;
            }
            for due in taken {
                truth.expire(now);
                let left = Window::ALL
                    .map(|window| USUAL_SIZES[window as usize] - truth.window(window).sum());
                truth.add(
                    now,
                    if due.call == Call::LiveServiceInfo {
                        4.0
                    } else {
                        1.0
                    },
                );
                let finished = Finished {
                    outcome: outcome(due),
                    remaining: Some(left),
                    bytes: 1000,
                    retry_after: None,
                };
                if matches!(due.call, Call::LiveServiceInfo | Call::ServiceInfo) {
                    polls.push((now, due.veid));
                }
                planner.finish(due, finished, now);
            }
        }
    }
    polls
}

const fn works(_: Due) -> Outcome {
    Outcome::Success
}

/// A planner that ran for some hours before it saved its state at the time given.
fn lived() -> (Planner, Duration) {
    let mut planner = planner(3, BEGIN);
    let broken = |due: Due| match due {
        Due {
            veid: Veid(3),
            call: Call::RawUsageStats,
        } => Outcome::Failure(Reason::ApiOther),
        due => works(due),
    };
    run(&mut planner, 4 * 3600, BEGIN, broken);
    (planner, BEGIN + Duration::from_secs(4 * 3600))
}

fn through_json(memory: &Memory) -> Memory {
    let text = serde_json::to_string(memory).expect("numbers and names");
    serde_json::from_str(&text).expect("what was written")
}

#[test]
fn a_restart_goes_on_where_the_last_process_ended() {
    let (before, ended) = lived();
    let elapsed = Duration::from_secs(5);
    // The new process has its own clock.
    let now = Duration::from_secs(123_456_789);
    let mut after = planner(3, now);
    after.recall(&through_json(&before.remember(ended)), elapsed, now);

    for call in Call::ALL {
        assert_eq!(after.learned_price(call), before.learned_price(call));
    }
    assert!(
        after
            .learned_price(Call::LiveServiceInfo)
            .is_some_and(|price| price > 3.9)
    );
    assert!(after.learned_price(Call::RateLimitStatus).is_some());
    let (old, new) = (&before.quotas[0], &after.quotas[0]);
    for window in Window::ALL {
        assert!((old.size(window) - new.size(window)).abs() < 1e-9);
        assert!((old.left(window) - new.left(window)).abs() < 1e-6);
        let spent = |quota: &Quota| quota.ledger.window(window).sum();
        assert!(spent(new) > 10.0 && (spent(old) - spent(new)).abs() < 5.0);
    }
    let mut waiting = 0;
    for veid in 1..=3 {
        let entries = [&before, &after].map(|of| of.schedule.of(Veid(veid)).expect("configured"));
        assert_eq!(entries[0].failures, entries[1].failures);
        for call in Call::ALL {
            let [old, new] = entries.map(|entry| entry.due[call]);
            assert_eq!(old.is_some(), new.is_some(), "{call:?}");
            if let Some(old) = old.filter(|old| *old > ended + elapsed) {
                let (old, new) = (old - ended - elapsed, new.expect("both") - now);
                assert!(old.abs_diff(new) < Duration::from_millis(1), "{call:?}");
                waiting += 1;
            }
        }
    }
    assert!(waiting >= 6, "{waiting} calls were waiting");
    let failures = after.schedule.of(Veid(3)).expect("configured").failures;
    assert!(failures[Call::RawUsageStats] > 1);
}

#[test]
fn the_state_names_calls() {
    let (planner, ended) = lived();
    let memory = serde_json::to_value(planner.remember(ended)).expect("numbers and names");
    let vps = &memory["vps"][0];
    assert!(vps["due"]["getLiveServiceInfo"].is_number(), "{vps}");
    assert!(vps["intervals"]["getRawUsageStats"].is_number());
    assert_eq!(vps["bytes"]["getLiveServiceInfo"], 1000);
    assert!(memory["vps"][2]["failures"]["getRawUsageStats"].is_number());
    assert!(memory["prices"]["samples"]["getRateLimitStatus"].is_array());
}

#[test]
fn a_saved_state_tells_people_what_was_learned() {
    let (planner, ended) = lived();
    let learned = planner.remember(ended).learned();
    let live = Call::LiveServiceInfo;
    assert_eq!(learned.prices[live], planner.learned_price(live));
    assert!(learned.shared);
    assert!((learned.bytes[live] - 1000.0).abs() < 1e-9);
    assert!((learned.sizes[1] - USUAL_SIZES[1]).abs() < 0.05 * USUAL_SIZES[1]);
    let nothing = Memory::default().learned();
    assert_eq!((nothing.sizes, nothing.shared), (USUAL_SIZES, false));
}

#[test]
fn a_refused_key_stays_paused_over_a_restart_and_is_tried_again() {
    let mut before = planner(1, BEGIN);
    run(&mut before, 60, BEGIN, |_| Outcome::Failure(Reason::Auth));
    let mut after = planner(1, BEGIN);
    let memory = through_json(&before.remember(BEGIN + Duration::from_secs(60)));
    after.recall(&memory, Duration::from_secs(1), BEGIN);
    let polls = run(&mut after, 2 * 3600, BEGIN, works);
    let first = polls.first().expect("the pause ends").0 - BEGIN;
    assert!(first > Duration::from_secs(2400) && first < Duration::from_secs(3600));
    assert!(polls.len() > 20, "and everything comes back");
}

#[test]
fn calls_that_were_not_planned_come_back_with_the_plan() {
    let (mut before, ended) = lived();
    before.schedule.edit(Veid(1), |entry| {
        entry.due[Call::RawUsageStats] = None;
        entry.intervals[Call::RawUsageStats] = None;
    });
    let mut after = planner(3, BEGIN);
    let memory = through_json(&before.remember(ended));
    after.recall(&memory, Duration::from_secs(1), BEGIN);
    let due = after.schedule.of(Veid(1)).expect("configured").due[Call::RawUsageStats];
    assert!(due.is_some_and(|due| due < BEGIN + PACE.usage), "{due:?}");
}

#[test]
fn an_empty_state_changes_no_price() {
    let mut after = planner(1, BEGIN);
    let before = Call::ALL.map(|call| after.prices.price(call));
    after.recall(&Memory::default(), Duration::ZERO, BEGIN);
    assert_eq!(Call::ALL.map(|call| after.prices.price(call)), before);
}

#[test]
fn a_long_downtime_or_a_clock_that_jumped_silences_nobody() {
    let (before, ended) = lived();
    let memory = through_json(&before.remember(ended));
    for elapsed in [0, 3600, 86_400, 10 * 365 * 86_400] {
        let mut after = planner(3, BEGIN);
        after.recall(&memory, Duration::from_secs(elapsed), BEGIN);
        assert_everyone_is_polled(&mut after, 300);
    }
}

fn assert_everyone_is_polled(planner: &mut Planner, within: u64) {
    let polls = run(planner, within, BEGIN, works);
    for veid in 1..=3 {
        assert!(
            polls.iter().any(|(_, of)| *of == Veid(veid)),
            "VPS {veid} is not polled within {within} s"
        );
    }
}

/// Replaces numbers below a value, as `damage` says.
fn replace(value: &mut Value, damage: &mut impl FnMut() -> Option<Value>) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| replace(value, damage)),
        Value::Object(fields) => fields
            .iter_mut()
            .filter(|(name, _)| !["members", "veid", "sizes"].contains(&name.as_str()))
            .for_each(|(_, value)| replace(value, damage)),
        Value::Number(_) => {
            if let Some(other) = damage() {
                *value = other;
            }
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever numbers a saved state holds, every VPS is polled within the pause after a refused key.
    #[test]
    fn damaged_numbers_silence_nobody(
        draws in prop::collection::vec((any::<bool>(), prop::sample::select(vec![
            -1e300, -1e9, -1.0, 0.0, 1e-300, 1.0, 7.0, 1e5, 1e9, 1e18, 1e300,
        ])), 1..40),
    ) {
        static LIVED: std::sync::OnceLock<Value> = std::sync::OnceLock::new();
        let mut value = LIVED
            .get_or_init(|| {
                let (before, ended) = lived();
                serde_json::to_value(before.remember(ended)).expect("numbers and names")
            })
            .clone();
        let mut draws = draws.iter().cycle();
        replace(&mut value, &mut || {
            let (damaged, number) = draws.next()?;
            damaged.then(|| (*number).into())
        });
        for name in ["failures", "bytes"] {
            for vps in value["vps"].as_array_mut().expect("a list") {
                // These are whole numbers: other ones make the file unreadable as a whole.
                for count in vps[name].as_object_mut().expect("by name").values_mut() {
                    *count = u32::MAX.into();
                }
            }
        }
        let memory: Memory = serde_json::from_value(value).expect("numbers and names");
        let mut after = planner(3, BEGIN);
        after.recall(&memory, Duration::from_secs(1), BEGIN);
        assert_everyone_is_polled(&mut after, 4000);
    }
}
