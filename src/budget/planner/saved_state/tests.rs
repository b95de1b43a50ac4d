use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::budget::planner::{Finished, Limits, Member};
use crate::budget::quota::Share;
use crate::budget::schedule::{Due, Outcome};
use crate::budget::slots::Slots;
use crate::budget::window::Window;
use crate::config::Collect;
use crate::kiwivm::Reason;
use crate::units::{AccountTime, Bytes, Points};

const PACE: Pace = Pace {
    live: Duration::from_secs(120),
    points: Duration::from_secs(600),
    usage: Duration::from_secs(600),
    inventory: Duration::from_secs(3600),
    collect: Collect::NOTHING,
};
/// The clock at the start of a process, larger than the age of any saved value.
const START: AccountTime = AccountTime::from_secs(10 * 86_400);
const SHARE: Share = Share {
    fleet: 0.5,
    own: 0.5,
};

fn planner(vps: u64, now: AccountTime) -> Planner {
    let member = |veid| Member {
        veid: Veid(veid),
        pace: PACE,
        group: None,
    };
    let fleet: Vec<_> = (1..=vps).map(member).collect();
    let limits = Limits {
        share: SHARE,
        scope: Scope::Account,
        download: Bytes(u64::MAX),
        slots: Slots::fixed(8),
    };
    Planner::new(&fleet, limits, 1, now)
}

/// Runs a planner with an account of 1000 and 20,000 points, where live costs 4 points and other calls 1. Calls take no
/// time and end with `outcome`. Returns the live and service info calls.
fn run(
    planner: &mut Planner,
    seconds: u64,
    start: AccountTime,
    outcome: impl Fn(Due) -> Outcome,
) -> Vec<(AccountTime, Veid)> {
    let mut truth = crate::budget::window::Ledger::default();
    let mut polls = Vec::new();
    for second in 0..seconds {
        let now = start + Duration::from_secs(second);
        loop {
            let taken = planner.take_due(now);
            if taken.is_empty() {
                break;
            }
            for due in taken {
                truth.expire(now);
                let left =
                    Window::ALL.map(|window| USUAL_SIZES[window as usize] - truth.spent(window));
                truth.add(
                    now,
                    if due.call == Call::LiveServiceInfo {
                        Points(4.0)
                    } else {
                        Points(1.0)
                    },
                );
                let finished = Finished {
                    outcome: outcome(due),
                    remaining: Some(left),
                    bytes: Bytes(1000),
                    retry_after: None,
                };
                if due.call.returns_state() {
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

/// A planner that ran for four hours, and the time at the end.
fn used_planner() -> (Planner, AccountTime) {
    let mut planner = planner(3, START);
    let broken = |due: Due| match due {
        Due {
            veid: Veid(3),
            call: Call::RawUsageStats,
        } => Outcome::Failure(Reason::ApiOther),
        due => works(due),
    };
    run(&mut planner, 4 * 3600, START, broken);
    (planner, START + Duration::from_secs(4 * 3600))
}

fn through_json(saved: &SavedState) -> SavedState {
    let text = serde_json::to_string(saved).expect("numbers and names");
    serde_json::from_str(&text).expect("valid state")
}

#[test]
fn restart_resumes_the_state_of_the_last_process() {
    let (before, ended) = used_planner();
    let elapsed = Duration::from_secs(5);
    // The new process has its own clock.
    let now = AccountTime::from_secs(123_456_789);
    let mut after = planner(3, now);
    after.restore_state(&through_json(&before.save_state(ended)), elapsed, now);

    for call in Call::ALL {
        assert_eq!(after.learned_price(call), before.learned_price(call));
    }
    assert!(
        after
            .learned_price(Call::LiveServiceInfo)
            .is_some_and(|price| price > Points(3.9))
    );
    assert!(after.learned_price(Call::RateLimitStatus).is_some());
    let (old, new) = (&before.quotas[0], &after.quotas[0]);
    for window in Window::ALL {
        assert!((old.size(window) - new.size(window)).0.abs() < 1e-9);
        assert!((old.left(window) - new.left(window)).0.abs() < 1e-6);
        let spent = |quota: &Quota| quota.ledger.spent(window).0;
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
                let (old, new) = (old.since(ended + elapsed), new.expect("both").since(now));
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
fn calls_are_saved_by_name() {
    let (planner, ended) = used_planner();
    let saved = serde_json::to_value(planner.save_state(ended)).expect("numbers and names");
    let vps = &saved["vps"][0];
    assert!(vps["due"]["getLiveServiceInfo"].is_number(), "{vps}");
    assert!(vps["intervals"]["getRawUsageStats"].is_number());
    assert_eq!(vps["bytes"]["getLiveServiceInfo"], 1000);
    assert!(saved["vps"][2]["failures"]["getRawUsageStats"].is_number());
    assert!(saved["prices"]["samples"]["getRateLimitStatus"].is_array());
}

#[test]
fn saved_state_has_learned_values() {
    let (planner, ended) = used_planner();
    let learned = planner.save_state(ended).learned();
    let live = Call::LiveServiceInfo;
    assert_eq!(learned.prices[live], planner.learned_price(live));
    assert!(learned.shared);
    assert!((learned.bytes[live].0 - 1000.0).abs() < 1e-9);
    assert!((learned.sizes[1] - USUAL_SIZES[1]).0.abs() < 0.05 * USUAL_SIZES[1].0);
    let nothing = SavedState::default().learned();
    assert_eq!((nothing.sizes, nothing.shared), (USUAL_SIZES, false));
}

#[test]
fn pause_after_a_refused_key_is_kept_over_a_restart() {
    let mut before = planner(1, START);
    run(&mut before, 60, START, |_| Outcome::Failure(Reason::Auth));
    let mut after = planner(1, START);
    let saved = through_json(&before.save_state(START + Duration::from_secs(60)));
    after.restore_state(&saved, Duration::from_secs(1), START);
    let polls = run(&mut after, 2 * 3600, START, works);
    let first = polls.first().expect("the pause ends").0.since(START);
    assert!(first > Duration::from_secs(2400) && first < Duration::from_secs(3600));
    assert!(polls.len() > 20, "polling resumes after the pause");
}

#[test]
fn calls_that_were_shed_are_planned_after_a_restart() {
    let (mut before, ended) = used_planner();
    before.schedule.edit(Veid(1), |entry| {
        entry.due[Call::RawUsageStats] = None;
        entry.intervals[Call::RawUsageStats] = None;
    });
    let mut after = planner(3, START);
    let saved = through_json(&before.save_state(ended));
    after.restore_state(&saved, Duration::from_secs(1), START);
    let due = after.schedule.of(Veid(1)).expect("configured").due[Call::RawUsageStats];
    assert!(due.is_some_and(|due| due < START + PACE.usage), "{due:?}");
}

#[test]
fn empty_state_changes_no_price() {
    let mut after = planner(1, START);
    let before = Call::ALL.map(|call| after.prices.price(call));
    after.restore_state(&SavedState::default(), Duration::ZERO, START);
    assert_eq!(Call::ALL.map(|call| after.prices.price(call)), before);
}

#[test]
fn long_downtime_or_clock_jump_silences_no_vps() {
    let (before, ended) = used_planner();
    let saved = through_json(&before.save_state(ended));
    for elapsed in [0, 3600, 86_400, 10 * 365 * 86_400] {
        let mut after = planner(3, START);
        after.restore_state(&saved, Duration::from_secs(elapsed), START);
        assert_all_are_polled(&mut after, 300);
    }
}

fn assert_all_are_polled(planner: &mut Planner, within: u64) {
    let polls = run(planner, within, START, works);
    for veid in 1..=3 {
        assert!(
            polls.iter().any(|(_, of)| *of == Veid(veid)),
            "VPS {veid} is not polled within {within} s"
        );
    }
}

/// Replaces numbers in a value by the results of `damage`.
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

    /// With any numbers in the saved state, every VPS is polled within the pause after a refused key.
    #[test]
    fn damaged_numbers_silence_no_vps(
        draws in prop::collection::vec((any::<bool>(), prop::sample::select(vec![
            -1e300, -1e9, -1.0, 0.0, 1e-300, 1.0, 7.0, 1e5, 1e9, 1e18, 1e300,
        ])), 1..40),
    ) {
        static STATE: std::sync::OnceLock<Value> = std::sync::OnceLock::new();
        let mut value = STATE
            .get_or_init(|| {
                let (before, ended) = used_planner();
                serde_json::to_value(before.save_state(ended)).expect("numbers and names")
            })
            .clone();
        let mut draws = draws.iter().cycle();
        replace(&mut value, &mut || {
            let (damaged, number) = draws.next()?;
            damaged.then(|| (*number).into())
        });
        for name in ["failures", "bytes"] {
            for vps in value["vps"].as_array_mut().expect("a list") {
                // These are integers. Other numbers make the whole file invalid.
                for count in vps[name].as_object_mut().expect("by name").values_mut() {
                    *count = u32::MAX.into();
                }
            }
        }
        let saved: SavedState = serde_json::from_value(value).expect("numbers and names");
        let mut after = planner(3, START);
        after.restore_state(&saved, Duration::from_secs(1), START);
        assert_all_are_polled(&mut after, 4000);
    }
}
