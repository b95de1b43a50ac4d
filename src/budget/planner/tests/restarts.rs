//! The process ends and begins again, with and without what it had learnt.

use super::*;

/// What was due in a stretched interval is not stretched once more at every restart.
#[test]
fn restarts_do_not_put_off_what_is_due() {
    let options = PointsOptions {
        costs: costs(4.0, 1.0),
        scope: PointsScope::Account,
        ..PointsOptions::default()
    };
    let mut rig = Rig::new(20, options, 0.5);
    rig.run(2.0 * HOUR, &mut nobody());
    let live = rig.planner.interval(Veid(0), Call::LiveServiceInfo);
    let live = live.expect("live is never shed").as_secs_f64();
    assert!(live > 4.0 * 120.0, "{live} s");
    let begin = rig.calls.len();
    for restart in 0..20 {
        rig.restart(true);
        rig.run(
            2.0 * HOUR + live * 0.4 * f64::from(restart + 1),
            &mut nobody(),
        );
    }
    for veid in 0..20 {
        let calls = rig.calls[begin..]
            .iter()
            .filter(|(_, due)| due.veid == Veid(veid) && due.call == Call::LiveServiceInfo)
            .count();
        assert!(
            (6..=10).contains(&calls),
            "{calls} calls of VPS {veid} in 8 intervals"
        );
    }
}

/// What became due while nobody was there is made up for at once, and does not walk in step from then on.
#[test]
fn phases_are_spread_again_after_a_long_stop() {
    let mut rig = Rig::new(40, account(1.0, 1.0, PointsScope::Account), 0.5);
    rig.run(2.0 * HOUR, &mut nobody());
    rig.restart_after(2.0 * HOUR, true);
    rig.run(5.0 * HOUR, &mut nobody());
    let slices = |begin: f64| {
        let live = rig.planner.interval(Veid(0), Call::LiveServiceInfo);
        let slice = live.expect("never shed").as_secs_f64() / 10.0;
        let mut counts = [0; 10];
        for (at, due) in &rig.calls {
            if due.call == Call::LiveServiceInfo && (begin..begin + 10.0 * slice).contains(at) {
                counts[slot((at - begin) / slice)] += 1;
            }
        }
        counts
    };
    let counts = slices(4.5 * HOUR);
    assert!(counts.iter().all(|count| *count <= 12), "{counts:?}");
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "one of ten"
)]
fn slot(part: f64) -> usize {
    (part as usize).min(9)
}

#[test]
fn twenty_restarts_in_ten_minutes_cost_a_reading_each() {
    let steady = {
        let mut rig = Rig::new(10, account(1.0, 1.0, PointsScope::Account), 0.5);
        rig.run(2.0 * HOUR, &mut nobody());
        let before = rig.spent_in_all();
        rig.run(2.0 * HOUR + 600.0, &mut nobody());
        rig.spent_in_all() - before
    };
    let mut rig = Rig::new(10, account(1.0, 1.0, PointsScope::Account), 0.5);
    rig.run(2.0 * HOUR, &mut nobody());
    let before = rig.spent_in_all();
    for restart in 0..20 {
        rig.restart(true);
        rig.run(2.0 * HOUR + 30.0 * f64::from(restart + 1), &mut nobody());
    }
    let restarted = rig.spent_in_all() - before;
    // A bracket more or less may fall into these ten minutes.
    assert!(
        restarted <= steady + 20.0 + 5.0,
        "{restarted} points instead of {steady}"
    );
}

#[test]
fn without_memory_a_start_costs_no_more_than_a_round_and_the_share_is_kept() {
    let mut rig = Rig::new(10, account(1.0, 1.0, PointsScope::Account), 0.5);
    let mut excess = f64::MIN;
    for start in 0..40 {
        rig.restart(false);
        let before = rig.spent_in_all();
        excess = excess.max(rig.run(45.0 * f64::from(start + 1), &mut nobody()));
        let spent = rig.spent_in_all() - before;
        // A round is three calls a VPS; brackets and the survey that begins add readings.
        assert!(spent <= 30.0 + 60.0, "a start cost {spent} points");
    }
    assert!(excess <= 0.0, "{excess} points too many");
}
