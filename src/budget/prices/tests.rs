use super::*;
use crate::units::{AccountTime, Points};

const LIVE: Call = Call::LiveServiceInfo;
const READING: Call = Call::RateLimitStatus;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn at(seconds: u64) -> AccountTime {
    AccountTime::from_secs(seconds)
}

/// Adds a sample with the same fall in both windows.
fn add(prices: &mut Prices, call: Call, fall: f64, now: AccountTime) -> Verdict {
    let left = |fall: f64| [Points(900.0 - fall), Points(19_000.0 - fall)];
    prices.add(call, left(0.0), left(fall), now)
}

/// Prices learned from ten samples each: 1 for a reading and 4 for a live call.
fn learned() -> Prices {
    let mut prices = Prices::default();
    for minute in 0..10 {
        let now = at(60 * minute);
        assert_eq!(add(&mut prices, READING, 1.0, now), Verdict::Normal);
        assert_eq!(add(&mut prices, LIVE, 5.0, now), Verdict::Normal);
    }
    assert!(is_close(prices.price(LIVE).0, 4.0) && is_close(prices.price(READING).0, 1.0));
    prices
}

fn is_close(price: f64, wanted: f64) -> bool {
    (price - wanted).abs() < 1e-9
}

#[test]
fn the_first_sample_replaces_the_assumed_price() {
    let mut prices = Prices::default();
    assert!(is_close(prices.price(LIVE).0, LIVE.first_price().0) && prices.learned(LIVE).is_none());
    add(&mut prices, LIVE, 9.0, at(0));
    assert!(
        is_close(prices.price(LIVE).0, 8.0),
        "1 of the 9 points is a reading"
    );
    assert_eq!(prices.learned(Call::RawUsageStats), None);
    assert!(is_close(
        prices.price(Call::RawUsageStats).0,
        Call::RawUsageStats.first_price().0
    ));
}

#[test]
fn very_high_first_price_applies_at_once_and_needs_a_second_sample() {
    let high = || {
        let mut prices = Prices::default();
        add(&mut prices, LIVE, 61.0, at(0));
        assert!(is_close(prices.price(LIVE).0, 60.0) && prices.needs_confirmation(LIVE));
        prices
    };
    let mut confirmed = high();
    add(&mut confirmed, LIVE, 61.0, at(20));
    assert!(is_close(confirmed.price(LIVE).0, 60.0) && !confirmed.needs_confirmation(LIVE));
    let mut lower = high();
    add(&mut lower, LIVE, 5.0, at(20));
    assert!(is_close(lower.price(LIVE).0, 4.0) && !lower.needs_confirmation(LIVE));
    let mut useless = high();
    assert_eq!(add(&mut useless, LIVE, 0.0, at(20)), Verdict::Useless);
    assert_eq!(useless.learned(LIVE), None);
}

#[test]
fn fractional_price_is_approached_from_above() {
    let mut prices = learned();
    for step in 0..SAMPLES as u64 {
        // With a price of 2.5, and 1 for a reading, whole numbers fall by 3 and 4 in turn.
        let fall = if step % 2 == 0 { 3.0 } else { 4.0 };
        add(&mut prices, LIVE, fall, at(1000 + 60 * step));
    }
    let price = prices.price(LIVE).0;
    assert!((2.5..2.65).contains(&price), "{price}");
}

#[test]
fn free_call_has_the_minimum_price() {
    let mut prices = learned();
    let free = Call::ServiceInfo;
    add(&mut prices, free, 1.0, at(1000));
    assert!(is_close(prices.price(free).0, MIN_PRICE.0));
}

#[test]
fn outliers_of_a_short_burst_are_dropped() {
    for outliers in 2..OUTLIERS_TO_RAISE {
        let mut prices = learned();
        for _ in 0..outliers {
            let verdict = add(&mut prices, LIVE, 90.0, at(1000));
            assert_eq!(verdict, Verdict::Outlier);
        }
        assert!(is_close(prices.price(LIVE).0, 4.0), "during the burst");
        add(&mut prices, LIVE, 5.0, at(1010));
        assert!(is_close(prices.price(LIVE).0, 4.0), "after the burst");
    }
}

#[test]
fn price_falls_again_after_a_long_burst() {
    let mut prices = learned();
    for step in 0..5 {
        add(&mut prices, LIVE, 90.0, at(1000 + 10 * step));
    }
    assert!(is_close(prices.price(LIVE).0, 89.0));
    add(&mut prices, LIVE, 5.0, at(1060));
    assert!(is_close(prices.price(LIVE).0, 4.0));
}

#[test]
fn single_outlier_counts_only_up_to_the_outlier_bound() {
    let mut prices = learned();
    add(&mut prices, LIVE, 150.0, at(1000));
    add(&mut prices, LIVE, 5.0, at(1010));
    let price = prices.price(LIVE).0;
    assert!(price > 4.3 && price < 7.0, "{price}");
}

#[test]
fn three_outliers_raise_the_price_at_once() {
    let mut prices = learned();
    for (step, fall) in [60.0, 50.0, 70.0].into_iter().enumerate() {
        assert!(is_close(prices.price(LIVE).0, 4.0));
        add(&mut prices, LIVE, fall, at(1000 + 10 * step as u64));
    }
    assert!(is_close(prices.price(LIVE).0, 49.0), "the lowest of them");
}

#[test]
fn lasting_step_up_replaces_the_history() {
    let mut prices = learned();
    let mut now = at(1000);
    while add(&mut prices, LIVE, 50.0, now) == Verdict::Outlier {
        now += seconds(10);
    }
    let lasted = now.since(at(1000));
    assert!(
        lasted >= BURST && lasted < BURST + seconds(60),
        "{lasted:?}"
    );
    assert!(prices.samples(LIVE) > 1);
    // A sample of the old price is now the outlier.
    assert_eq!(add(&mut prices, LIVE, 5.0, now), Verdict::Outlier);
    assert!(is_close(prices.price(LIVE).0, 49.0));
}

#[test]
fn lasting_step_down_is_learned_from_three_samples() {
    let mut prices = Prices::default();
    for step in 0..10 {
        add(&mut prices, LIVE, 61.0, at(step));
    }
    assert_eq!(
        [1, 2, 3].map(|step| add(&mut prices, LIVE, 3.0, at(1000 + step))),
        [Verdict::Outlier, Verdict::Outlier, Verdict::Normal]
    );
    assert!(is_close(prices.price(LIVE).0, 2.0));
}

#[test]
fn small_step_is_learned_gradually() {
    let mut prices = learned();
    for step in 0..SAMPLES as u64 {
        let verdict = add(&mut prices, LIVE, 9.0, at(1000 + 60 * step));
        assert_eq!(verdict, Verdict::Normal);
    }
    assert!(is_close(prices.price(LIVE).0, 8.0));
}

#[test]
fn sample_is_useless_if_a_window_is_reset_in_between() {
    let mut prices = learned();
    for day in [14_995.0, 19_995.0] {
        let before = [Points(400.0), Points(15_000.0)];
        let verdict = prices.add(LIVE, before, [Points(995.0), Points(day)], at(1000));
        assert_eq!(verdict, Verdict::Useless);
    }
    assert!(is_close(prices.price(LIVE).0, 4.0) && !prices.are_assumed());
}

#[test]
fn late_readings_and_noise_lead_to_assumed_prices() {
    let late = |_: u32| [0.0, 0.0];
    let noise = |step: u32| [15.0, -12.0].map(|by| if step == 1 { by } else { -by });
    for falls in [&late as &dyn Fn(u32) -> [f64; 2], &noise] {
        let mut prices = learned();
        for step in 0..3 {
            assert!(prices.wants_samples(at(1000)));
            let [quarter, day] = falls(step);
            let before = [Points(500.0), Points(15_000.0)];
            let after = [before[0] - Points(quarter), before[1] - Points(day)];
            let verdict = prices.add(LIVE, before, after, at(1000));
            assert_eq!(verdict, Verdict::Useless);
        }
        assert!(prices.are_assumed());
        assert!(!prices.wants_samples(at(1000)));
        assert!(is_close(prices.price(LIVE).0, LIVE.first_price().0));
        assert_eq!(prices.learned(READING), None);
        let again = at(1000) + SAMPLING_PAUSE;
        assert!(!prices.wants_samples(again.saturating_sub(seconds(1))));
        assert!(prices.wants_samples(again));
    }
}

#[test]
fn prices_are_learned_again_after_useless_samples() {
    let mut prices = learned();
    for _ in 0..3 {
        add(&mut prices, LIVE, 0.0, at(1000));
    }
    let again = at(1000) + SAMPLING_PAUSE;
    for step in 0..4 {
        let now = again + seconds(60 * step);
        assert!(prices.wants_samples(now), "after {step} good samples");
        add(&mut prices, READING, 1.0, now);
        assert_eq!(add(&mut prices, LIVE, 7.0, now), Verdict::Normal);
    }
    assert!(!prices.are_assumed());
    assert_eq!(prices.samples(LIVE), 4);
    assert!(is_close(prices.price(LIVE).0, 6.0));
}

#[test]
fn occasional_useless_samples_are_ignored() {
    let mut prices = learned();
    for step in 0..60 {
        let fall = if step % 4 == 0 { 0.0 } else { 5.0 };
        add(&mut prices, LIVE, fall, at(1000 + step));
        assert!(!prices.are_assumed());
    }
    assert!(is_close(prices.price(LIVE).0, 4.0));
}

#[test]
fn spans_scale_assumed_prices_stepwise_and_bursts_do_not() {
    let mut prices = Prices::default();
    let before = prices.price(LIVE).0;
    prices.calibrate(Points(100.0), Points(1000.0), true);
    assert!(is_close(prices.price(LIVE).0, before * 1.25));
    prices.calibrate(Points(100.0), Points(5000.0), true);
    assert!(is_close(prices.price(LIVE).0, before), "a burst");
    prices.calibrate(Points(100.0), Points(100.0), true);
    assert!(is_close(prices.price(LIVE).0, before));
    (0..100).for_each(|_| prices.calibrate(Points(100.0), Points(1000.0), true));
    assert!(is_close(prices.price(LIVE).0, before * SCALE[1]));
    (0..100).for_each(|_| prices.calibrate(Points(100.0), Points(1.0), true));
    assert!(is_close(prices.price(LIVE).0, MIN_PRICE.0));
}

#[test]
fn constant_readings_do_not_change_assumed_prices() {
    let mut prices = Prices::default();
    let before = prices.price(LIVE).0;
    (0..100).for_each(|_| prices.calibrate(Points(100.0), Points(0.0), true));
    assert!(is_close(prices.price(LIVE).0, before));
}

#[test]
fn returning_points_do_not_lower_prices() {
    let mut prices = Prices::default();
    let before = prices.price(LIVE).0;
    (0..100).for_each(|_| prices.calibrate(Points(100.0), Points(10.0), false));
    assert!(is_close(prices.price(LIVE).0, before));
    prices.calibrate(Points(100.0), Points(110.0), false);
    assert!(is_close(prices.price(LIVE).0, before * 1.1));
}

#[test]
fn refusals_raise_assumed_prices_at_most_every_15_minutes() {
    let mut prices = Prices::default();
    let before = prices.price(LIVE).0;
    (0..20).for_each(|second| prices.refused(at(second)));
    assert!(is_close(prices.price(LIVE).0, before * RAISE_FACTOR));
    prices.refused(AccountTime::new(RAISE_INTERVAL));
    assert!(is_close(
        prices.price(LIVE).0,
        before * RAISE_FACTOR * RAISE_FACTOR
    ));
}

#[test]
fn learned_prices_are_not_scaled() {
    let mut prices = learned();
    prices.calibrate(Points(100.0), Points(1000.0), true);
    prices.refused(at(1000));
    assert!(is_close(prices.price(LIVE).0, 4.0));
}

#[test]
fn prices_are_saved_by_name() {
    let mut prices = learned();
    prices.calibrate(Points(100.0), Points(1000.0), true);
    let saved = serde_json::to_value(prices.save()).expect("numbers and names");
    assert_eq!(saved["samples"]["getLiveServiceInfo"][0], 5.0);
    let read: SavedPrices = serde_json::from_value(saved).expect("the same");
    let restored = Prices::restore(&read);
    for call in Call::ALL {
        assert!(
            is_close(restored.price(call).0, prices.price(call).0),
            "{call:?}"
        );
        assert_eq!(restored.samples(call), prices.samples(call));
    }
}

#[test]
fn restore_ignores_invalid_numbers() {
    let mut saved = learned().save();
    let samples = [-5.0, f64::NAN, f64::INFINITY, 1e300, 5.0].map(Points);
    saved.samples.insert(LIVE.name().to_owned(), samples.into());
    saved
        .samples
        .insert("getMoon".to_owned(), vec![Points(3.0)]);
    for scale in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
        saved.scale = scale;
        let prices = Prices::restore(&saved);
        assert!(is_close(prices.price(LIVE).0, 4.0));
        let assumed = Call::RawUsageStats;
        assert!(
            is_close(prices.price(assumed).0, assumed.first_price().0),
            "{scale}"
        );
    }
    let nothing = Prices::restore(&SavedPrices::default());
    assert_eq!(nothing, Prices::default());
}
