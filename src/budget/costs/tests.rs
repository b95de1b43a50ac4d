#![expect(clippy::float_cmp, reason = "whole numbers")]

use super::*;

const LIVE: Call = Call::LiveServiceInfo;
const READING: Call = Call::RateLimitStatus;

fn costs(controls: &[f64], live: &[f64]) -> Costs {
    let mut costs = Costs::default();
    for drop in controls {
        costs.learn(READING, *drop);
    }
    for drop in live {
        costs.learn(LIVE, *drop);
    }
    costs
}

fn assert_learned(costs: &Costs, expected: std::ops::RangeInclusive<f64>) {
    let learned = costs.learned(LIVE).expect("it was measured");
    assert!(expected.contains(&learned), "{learned}, not {expected:?}");
}

#[test]
fn what_was_not_measured_is_priced_prudently() {
    let costs = Costs::default();
    assert_eq!(costs.learned(LIVE), None);
    assert_eq!(
        Call::ALL.map(|call| costs.price(call)),
        Call::ALL.map(prudent)
    );
}

#[test]
fn a_bracket_holds_the_call_and_one_reading() {
    assert_learned(&costs(&[1.0; 4], &[21.0; 4]), 20.0..=20.0);
    assert_learned(&costs(&[0.0; 4], &[20.0; 4]), 20.0..=20.0);
}

#[test]
fn integer_readings_of_a_fraction_are_averaged_and_not_undercut() {
    // 2.4 points, read as integers.
    let drops = [3.0, 4.0, 3.0, 3.0, 4.0, 3.0, 4.0, 3.0, 3.0, 4.0];
    assert_learned(&costs(&[1.0; 4], &drops), 2.4..=2.7);
}

#[test]
fn few_samples_are_believed_at_their_highest_and_never_free() {
    assert_learned(&costs(&[1.0], &[2.0, 6.0]), 5.0..=5.0);
    assert_eq!(costs(&[1.0], &[1.0]).price(LIVE), 1.0);
    assert_eq!(costs(&[1.0; 4], &[1.0; 4]).price(LIVE), 0.0);
}

#[test]
fn what_costs_anything_is_reckoned_at_a_point() {
    assert_learned(&costs(&[0.0; 4], &[0.0, 1.0, 0.0, 0.0, 1.0]), 1.0..=1.0);
}

#[test]
fn others_at_work_do_not_make_a_call_dear() {
    let controls = [1.0, 31.0, 1.0, 1.0, 17.0, 1.0, 1.0, 44.0];
    let live = [21.0, 21.0, 52.0, 21.0, 21.0, 38.0, 21.0, 21.0];
    assert_learned(&costs(&controls, &live), 20.0..=21.0);
}

#[test]
fn a_cost_that_varies_while_nobody_else_is_at_work_is_averaged() {
    let live: Vec<f64> = (0..40)
        .map(|i| if i % 10 == 7 { 10.0 } else { 2.0 })
        .collect();
    assert_learned(&costs(&[1.0; 12], &live), 1.8..=2.4);
}

#[test]
fn what_a_sliding_window_gave_back_does_not_make_a_call_cheap() {
    assert_learned(
        &costs(&[1.0; 4], &[21.0, 21.0, 12.0, 21.0, 21.0]),
        20.0..=20.0,
    );
}

#[test]
fn between_silences_the_reading_is_taken_off_already_and_nothing_is_free() {
    let mut costs = Costs::in_silences();
    let lumps = [-2.0, 1.5, 1.0, 2.5, 1.0, 3.0, 0.5, 1.0];
    for round in 0..10 {
        for lump in lumps {
            costs.learn(READING, lump);
            costs.learn(LIVE, 19.0 + lumps[(round + 3) % 8]);
            costs.learn(Call::RawUsageStats, lump - 1.0);
        }
    }
    assert_learned(&costs, 19.5..=21.0);
    assert_eq!(costs.learned(Call::RawUsageStats), Some(1.0));
    assert!(costs.disturbed(9.0) && !costs.disturbed(3.0));
}

#[test]
fn two_samples_in_a_row_beyond_all_before_are_a_new_cost() {
    for (old, new) in [(2.0, 21.0), (21.0, 2.0)] {
        let mut costs = costs(&[1.0; 8], &[old; 8]);
        assert_eq!(costs.learn(LIVE, new), Fit::Odd);
        assert_eq!(costs.learn(LIVE, new), Fit::Changed);
        assert_learned(&costs, new - 1.0..=new - 1.0);
    }
}

#[test]
fn a_burst_of_others_over_controls_does_not_make_calls_free() {
    let mut costs = costs(&[1.0; 8], &[4.0; 8]);
    for control in [13.0, 5.0, 9.0, 1.0] {
        costs.learn(READING, control);
        assert_learned(&costs, 3.0..=3.0);
    }
}

#[test]
fn a_reading_that_becomes_dearer_is_paid_for_at_once() {
    let mut costs = costs(&[1.0; 8], &[4.0; 8]);
    for _ in 0..4 {
        costs.learn(READING, 5.0);
    }
    assert_eq!(costs.price(READING), 5.0);
    for _ in 0..MOST_CONTROLS {
        costs.learn(READING, 5.0);
        costs.learn(LIVE, 8.0);
    }
    assert_learned(&costs, 3.0..=3.0);
}

#[test]
fn other_shards_at_work_do_not_make_a_call_dear_and_their_start_is_forgotten() {
    let controls = [1.0, 1.0, 6.0, 1.0, 1.0, 1.0, 1.0, 11.0];
    let live = [57.0, 6.0, 6.0, 11.0, 6.0, 6.0, 16.0, 6.0];
    let alone = costs(&controls, &live);
    let mut beside = alone.clone();
    beside.siblings = true;
    assert_learned(&beside, 5.0..=5.0);
    let (beside, alone) = (beside.learned(LIVE), alone.learned(LIVE));
    assert!(beside < alone, "{beside:?} and {alone:?}");
}

#[test]
fn one_odd_sample_is_none() {
    let mut costs = costs(&[1.0; 8], &[2.0; 8]);
    assert_eq!(costs.learn(LIVE, 21.0), Fit::Odd);
    assert_eq!(costs.learn(LIVE, 2.0), Fit::AsKnown);
    assert_eq!(costs.learn(LIVE, 21.0), Fit::AsKnown);
}
