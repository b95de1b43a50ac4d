#![expect(
    clippy::float_cmp,
    reason = "whole numbers, which are passed on as they are"
)]

use proptest::prelude::*;

use super::*;
use crate::units::{AccountTime, Points};

const LENGTH: Duration = Duration::from_secs(900);
const BUCKETS_OF_TEST: u32 = 45;
const BUCKET: Duration = Duration::from_secs(20);

const fn millis_time(millis: u64) -> AccountTime {
    AccountTime::new(Duration::from_millis(millis))
}

fn trailing() -> Trailing {
    Trailing::new(LENGTH, BUCKETS_OF_TEST)
}

/// Generates amounts with their times in milliseconds.
fn amounts(until: u64) -> impl Strategy<Value = Vec<(u64, f64)>> {
    prop::collection::vec((0..until, 0.1_f64..20.0), 0..60)
}

fn filled(amounts: &[(u64, f64)]) -> Trailing {
    let mut window = trailing();
    for (at, amount) in amounts {
        window.add(millis_time(*at), *amount);
    }
    window
}

/// Returns the sum of the last `length` before `now`.
fn within(amounts: &[(u64, f64)], length: Duration, now: AccountTime) -> f64 {
    let from = now.saturating_sub(length);
    amounts
        .iter()
        .filter(|(at, _)| millis_time(*at) >= from)
        .map(|(_, amount)| amount)
        .sum()
}

proptest! {
    #[test]
    fn sum_is_never_too_small_and_lags_by_at_most_a_bucket(
        amounts in amounts(3_000_000),
        now in 3_000_000_u64..4_000_000,
    ) {
        let now = millis_time(now);
        let window = filled(&amounts);
        let mut merged = trailing();
        merged.merge(&window);
        for mut window in [window, merged] {
            window.expire(now);
            prop_assert!(window.sum() >= within(&amounts, LENGTH, now) - 1e-6);
            prop_assert!(window.sum() <= within(&amounts, LENGTH + BUCKET, now) + 1e-6);
            let expired = within(&amounts, now.since_zero(), now) - window.sum() > 1e-6;
            prop_assert_eq!(window.has_expired(), expired);
        }
    }

    #[test]
    fn sustainable_rate_never_exceeds_the_limit(
        amounts in amounts(900_000),
        limit in 1.0_f64..500.0,
    ) {
        let mut window = filled(&amounts);
        let start = AccountTime::new(LENGTH);
        window.expire(start);
        let fits = window.sum() <= limit;
        let rate = window.sustainable(limit, start);
        prop_assert!(fits || rate <= 0.0);
        for second in 1..2000_u64 {
            let now = start + Duration::from_secs(second);
            window.expire(now);
            prop_assert!(!fits || window.sum() <= limit + rate + 1e-6, "{} of {limit}", window.sum());
            window.add(now, rate);
        }
    }

    #[test]
    fn subtract_removes_exactly_the_amount_or_everything(
        amounts in amounts(900_000),
        taken in 0.0_f64..400.0,
    ) {
        let mut window = filled(&amounts);
        let before = window.sum();
        window.subtract(taken);
        prop_assert!((window.sum() - (before - taken).max(0.0)).abs() < 1e-6);
        window.expire(AccountTime::new(2 * LENGTH + BUCKET));
        prop_assert!(window.sum() < 1e-6, "nothing is left behind: {}", window.sum());
    }

    #[test]
    fn sum_is_preserved_over_a_restart(
        amounts in amounts(900_000),
        elapsed in 0_u64..1000,
        later in 0_u64..1000,
    ) {
        let mut window = filled(&amounts);
        let (elapsed, later) = (Duration::from_secs(elapsed), Duration::from_secs(later));
        let saved = window.save(AccountTime::new(LENGTH));
        // The new process has its own clock.
        let now = millis_time(90_001_237);
        let mut restored = trailing();
        restored.restore(&saved, elapsed, now);
        restored.expire(now + later);
        let end = AccountTime::new(LENGTH + elapsed + later);
        window.expire(end);
        prop_assert!(restored.sum() >= window.sum() - 1e-6);
        let late = within(&amounts, LENGTH + 2 * BUCKET, end);
        prop_assert!(restored.sum() <= late + 1e-6);
    }
}

#[test]
fn subtracts_from_the_latest_amounts_first() {
    let mut window = trailing();
    window.add(AccountTime::ZERO, 10.0);
    window.add(AccountTime::from_secs(600), 10.0);
    window.subtract(10.0);
    window.expire(AccountTime::new(LENGTH + BUCKET));
    assert!(window.sum() < 1e-9, "the old amount has left");
}

#[test]
fn restarts_do_not_make_amounts_younger() {
    let mut window = trailing();
    for second in 0..100 {
        window.add(AccountTime::from_secs(second), 1.0);
    }
    let mut clock = AccountTime::from_secs(100);
    for restart in 0_u64..60 {
        let saved = window.save(clock);
        // Each process has its own clock, so the bounds of its buckets differ.
        clock = millis_time(90_000_000 + 1237 * restart);
        window = trailing();
        window.restore(&saved, Duration::from_secs(10), clock);
    }
    // 700 seconds have passed since the first amount.
    assert!((window.sum() - 100.0).abs() < 1e-6);
    window.expire(clock + Duration::from_secs(200));
    assert!(window.sum() > 99.0, "{}", window.sum());
    window.expire(clock + Duration::from_secs(300) + 2 * BUCKET);
    assert!(window.sum() < 1e-6, "{}", window.sum());
}

#[test]
fn restore_ignores_invalid_amounts() {
    let entry = |age_seconds, amount| SavedAmount {
        age_seconds,
        amount,
    };
    let mut window = trailing();
    let invalid = [
        entry(1.0, f64::NAN),
        entry(1.0, f64::INFINITY),
        entry(1.0, -5.0),
        entry(1e300, 4.0),
        entry(-3.0, 2.0),
    ];
    window.restore(&invalid, Duration::ZERO, AccountTime::from_secs(86_400));
    assert!((window.sum() - 2.0).abs() < 1e-9, "{}", window.sum());
}

#[test]
fn ledger_corrections_apply_to_both_windows() {
    let mut ledger = Ledger::default();
    ledger.add(AccountTime::ZERO, Points(10.0));
    let later = AccountTime::new(WINDOW_LENGTHS[0] + Duration::from_secs(60));
    ledger.correct(later, Points(6.0));
    ledger.expire(later);
    let sums = |ledger: &Ledger| Window::ALL.map(|window| ledger.spent(window).0);
    assert_eq!(sums(&ledger), [6.0, 16.0]);
    ledger.correct(later, Points(-8.0));
    assert_eq!(sums(&ledger), [0.0, 8.0]);

    let mut both = Ledger::default();
    both.add(later, Points(1.0));
    both.merge(&ledger);
    assert_eq!(sums(&both), [1.0, 9.0]);
    let mut restored = Ledger::default();
    let now = AccountTime::from_secs(1_000_000);
    restored.restore(&both.save(later), Duration::ZERO, now);
    assert_eq!(sums(&restored), [1.0, 9.0]);
}
