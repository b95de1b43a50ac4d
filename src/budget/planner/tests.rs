use super::*;
use crate::budget::Due;
use crate::config::Collect;
use crate::simulator::{Cost, PointsOptions, PointsScope};
use rig::{BEGIN, HOUR, PACE, Rig, account, costs, fleet, nobody};

mod bursts;
mod restarts;
mod rig;
mod shards;
mod share;

#[test]
fn the_first_call_of_all_is_one_reading() {
    let mut rig = Rig::new(20, account(1.0, 1.0, PointsScope::Account), 0.5);
    let first = rig.planner.take_due(BEGIN);
    assert_eq!(
        first,
        [Due {
            veid: Veid(0),
            call: Call::RateLimitStatus
        }]
    );
}

#[test]
fn a_vps_that_does_not_tell_the_points_does_not_hold_up_the_others() {
    let mut rig = Rig::new(3, account(1.0, 1.0, PointsScope::Account), 0.5);
    let asked = rig.planner.take_due(rig.at())[0];
    rig.now = 3.5;
    let other = rig.planner.take_due(rig.at())[0];
    assert_eq!(
        (asked.call, other.call),
        (Call::RateLimitStatus, Call::RateLimitStatus)
    );
    assert_ne!(asked.veid, other.veid);
}

#[test]
fn without_any_reading_calls_are_made_at_prudent_costs() {
    let mut planner = Planner::new(
        &fleet(1, Collect::NOTHING),
        Rig::new(1, PointsOptions::default(), 0.5).limits,
        1,
        BEGIN,
    );
    let reading = planner.take_due(BEGIN)[0];
    let failed = Finished {
        outcome: Outcome::Failure(Reason::HttpStatus),
        remaining: None,
        bytes: 0,
    };
    planner.finish(reading.veid, failed, BEGIN + Duration::from_secs(1));
    let mut now = BEGIN + Duration::from_secs(1);
    let mut live = 0;
    while now < BEGIN + Duration::from_secs(3600) {
        for due in planner.take_due(now) {
            live += u32::from(due.call == Call::LiveServiceInfo);
            let outcome = match due.call {
                Call::RateLimitStatus => failed,
                _ => Finished {
                    outcome: Outcome::Success,
                    ..failed
                },
            };
            planner.finish(due.veid, outcome, now);
        }
        now = planner.next_wake(now).max(now + Duration::from_millis(1));
    }
    // 10,000 points a day at 20 a call are 21 calls an hour; the wanted interval would be 30.
    assert!((15..=22).contains(&live), "{live} calls");
}

#[test]
fn costs_are_learned() {
    for (live, usage) in [(1.0, 1.0), (20.0, 3.0), (0.5, 0.0), (7.0, 2.5)] {
        for sliding in [false, true] {
            let options = PointsOptions {
                sliding,
                ..account(live, usage, PointsScope::Account)
            };
            let mut rig = Rig::new(5, options, 0.5);
            rig.run(6.0 * HOUR, &mut nobody());
            let learned = |call| rig.planner.learned_cost(call).expect("it was measured");
            // Readings are integers: a fraction may be taken for the next whole number, never for less than it is.
            let near = |learned: f64, true_cost: f64| {
                (-0.1..=if true_cost.fract() > 0.0 { 0.6 } else { 0.3 })
                    .contains(&(learned - true_cost))
            };
            let (of_live, of_usage) =
                (learned(Call::LiveServiceInfo), learned(Call::RawUsageStats));
            assert!(near(of_live, live), "live {live}: {of_live}");
            assert!(near(of_usage, usage), "usage {usage}: {of_usage}");
            assert!((learned(Call::RateLimitStatus) - 1.0).abs() <= 0.1);
        }
    }
}

#[test]
fn a_cost_that_lags_is_not_taken_for_free() {
    let options = PointsOptions {
        lag: 10.0,
        ..account(4.0, 1.0, PointsScope::Account)
    };
    let mut rig = Rig::new(4, options, 0.5);
    rig.run(2.0 * HOUR, &mut nobody());
    let learned = rig.planner.learned_cost(Call::LiveServiceInfo);
    assert!(
        learned.is_some_and(|points| (3.5..=5.5).contains(&points)),
        "{learned:?}"
    );
}

#[test]
fn allowances_of_their_own_are_found_out_and_shared_ones_stay_shared() {
    for (vps, scope, shared) in [
        (2, PointsScope::Vps, false),
        (20, PointsScope::Vps, false),
        (20, PointsScope::Account, true),
        (12, PointsScope::Groups(2), true),
    ] {
        let mut rig = Rig::new(vps, account(1.0, 1.0, scope.clone()), 0.5);
        rig.run(4.0 * HOUR, &mut nobody());
        assert_eq!(rig.planner.shared(), shared, "{vps} {scope:?}");
        if scope == PointsScope::Vps {
            let interval = rig.planner.interval(Veid(1), Call::LiveServiceInfo);
            assert_eq!(
                interval,
                Some(PACE.live),
                "there is plenty for each of {vps}"
            );
        }
    }
}

#[test]
fn nothing_that_fits_is_delayed_once_costs_are_known() {
    let mut rig = Rig::new(5, account(1.0, 1.0, PointsScope::Account), 0.5);
    rig.run(HOUR, &mut nobody());
    rig.calls.clear();
    rig.planner.take_deferrals();
    rig.run(5.0 * HOUR, &mut nobody());
    for veid in 0..5 {
        let live: Vec<f64> = rig
            .calls
            .iter()
            .filter(|(_, due)| {
                *due == Due {
                    veid: Veid(veid),
                    call: Call::LiveServiceInfo,
                }
            })
            .map(|(at, _)| *at)
            .collect();
        assert!(live.len() >= 118, "{} calls in four hours", live.len());
        // A bracket elsewhere may take a few seconds.
        assert!(live.windows(2).all(|pair| pair[1] - pair[0] < 145.0));
    }
    let deferred = rig.planner.take_deferrals();
    assert!(
        deferred
            .iter()
            .all(|(_, reason)| *reason != Deferral::Budget),
        "{deferred:?}"
    );
    assert!(!rig.planner.stretched());
}

#[test]
fn dear_calls_stretch_and_the_share_is_kept_and_used() {
    let mut rig = Rig::new(4, account(20.0, 1.0, PointsScope::Account), 0.5);
    let excess = rig.run(30.0 * HOUR, &mut nobody());
    assert!(excess <= 0.0, "{excess} points too many");
    assert!(rig.planner.stretched());
    assert!(
        rig.own(0, 1) > 0.9 * 10_000.0,
        "{} points in a day",
        rig.own(0, 1)
    );
}

#[test]
fn the_pace_is_the_share_of_what_others_leave() {
    let options = PointsOptions {
        sliding: true,
        ..account(1.0, 1.0, PointsScope::Account)
    };
    let mut rig = Rig::new(20, options, 0.5);
    let minutes = 3 * 24 * 60;
    // 5000 of 20000 points a day.
    let mut others = (0..minutes)
        .map(|minute| (60.0 * f64::from(minute), Veid(3), 5000.0 / 1440.0))
        .collect();
    rig.run(60.0 * f64::from(minutes), &mut others);
    let own = rig.own(0, 1);
    assert!((6500.0..=7500.0).contains(&own), "{own} points in a day");
}

#[test]
fn every_vps_is_known_daily_as_long_as_any_points_are_ours() {
    let options = PointsOptions {
        sizes: [50.0, 400.0],
        ..account(20.0, 10.0, PointsScope::Account)
    };
    let mut rig = Rig::new(12, options, 0.5);
    let days = 4.0;
    rig.run(days * 24.0 * HOUR, &mut nobody());
    for veid in 0..12 {
        let mut known: Vec<f64> = rig
            .calls
            .iter()
            .filter(|(_, due)| {
                due.veid == Veid(veid)
                    && matches!(due.call, Call::LiveServiceInfo | Call::ServiceInfo)
            })
            .map(|(at, _)| *at)
            .collect();
        known.push(days * 24.0 * HOUR);
        let longest = known.windows(2).map(|pair| pair[1] - pair[0]);
        let longest = longest.fold(known[0], f64::max);
        assert!(longest <= 24.5 * HOUR, "{veid}: {} h", longest / HOUR);
    }
}

#[test]
fn after_a_cost_rises_no_more_than_the_calls_since_the_last_reading_are_too_dear() {
    let step = 30.0 * HOUR;
    let mut options = account(1.0, 1.0, PointsScope::Account);
    let cost = Cost {
        points: 1.0,
        sometimes: None,
        then: Some((step, 20.0)),
    };
    options
        .costs
        .insert(Call::LiveServiceInfo.name().to_owned(), cost);
    let mut rig = Rig::new(20, options, 0.5);
    assert!(rig.run(step, &mut nobody()) <= 0.0);
    let excess = rig.run(step + 24.0 * HOUR, &mut nobody());
    let readings: Vec<f64> = rig
        .calls
        .iter()
        .filter(|(_, due)| due.call == Call::RateLimitStatus)
        .map(|(at, _)| *at)
        .collect();
    let next = readings.iter().find(|at| **at > step).copied().unwrap();
    let until_bracketed = next + 120.0;
    let dear = rig.calls.iter().filter(|(at, due)| {
        (step..until_bracketed).contains(at) && due.call == Call::LiveServiceInfo
    });
    let bound = 20.0 * f64::from(u32::try_from(dear.count()).unwrap());
    assert!(
        excess <= bound,
        "{excess} points too many, {bound} were to be expected"
    );
    let learned = rig.planner.learned_cost(Call::LiveServiceInfo);
    assert!(learned.is_some_and(|points| points > 18.0), "{learned:?}");
}

#[test]
fn refusals_halve_the_pace_once_in_half_a_minute_and_it_recovers() {
    let mut brake = Brake::default();
    let at = |seconds| BEGIN + Duration::from_secs(seconds);
    for second in 0..29 {
        brake.refused(at(second));
    }
    assert!((brake.factor(at(29)) - 0.5).abs() < 0.05);
    brake.refused(at(31));
    assert!((brake.factor(at(31)) - 0.25).abs() < 0.02);
    assert!((brake.factor(at(31 + 600)) - 0.5).abs() < 0.05);
    assert!((brake.factor(at(31 + 3600)) - 1.0).abs() < 1e-9);
    // Connections that are dropped while others are answered are refusals too; without any answer it is an outage.
    let mut brake = Brake::default();
    (0..40).for_each(|second| brake.dropped(at(second)));
    assert!((brake.factor(at(40)) - 1.0).abs() < 1e-9);
    brake.answered(at(41));
    (41..45).for_each(|second| brake.dropped(at(second)));
    assert!(brake.factor(at(45)) < 0.6);
}

#[test]
fn downloads_stay_within_their_bytes() {
    let mut limits = Rig::new(1, PointsOptions::default(), 0.5).limits;
    limits.download = 20 << 20;
    let mut planner = Planner::new(&fleet(1, Collect::NOTHING), limits, 1, BEGIN);
    let (mut now, mut bytes) = (BEGIN, 0);
    while now < BEGIN + Duration::from_secs(86_400) {
        for due in planner.take_due(now) {
            let size = if due.call == Call::RawUsageStats {
                2 << 20
            } else {
                1000
            };
            bytes += size;
            let remaining = (due.call == Call::RateLimitStatus).then_some([990.0, 19_900.0]);
            planner.finish(
                due.veid,
                Finished {
                    outcome: Outcome::Success,
                    remaining,
                    bytes: size,
                },
                now,
            );
        }
        now = planner.next_wake(now).max(now + Duration::from_millis(1));
    }
    assert!((18 << 20..=20 << 20).contains(&bytes), "{bytes} bytes");
    assert_eq!(
        planner.interval(Veid(0), Call::LiveServiceInfo),
        Some(PACE.live),
        "usage stretches first"
    );
}

#[test]
fn what_has_gathered_during_a_silence_is_not_sent_at_once() {
    let mut rig = Rig::new(500, account(0.5, 0.0, PointsScope::Account), 0.9);
    rig.run(0.5 * HOUR, &mut nobody());
    let at: Vec<f64> = rig.calls.iter().map(|(at, _)| *at).collect();
    let most = at
        .iter()
        .map(|begin| {
            at.iter()
                .filter(|at| (*begin..begin + 5.0).contains(*at))
                .count()
        })
        .max();
    // 500 VPSes make 6 calls a second; a survey reads 64 VPSes in a row.
    assert!(most.is_some_and(|most| most <= 130), "{most:?}");
}

#[test]
fn the_next_poll_is_when_the_state_is_asked_for() {
    let mut rig = Rig::new(3, account(1.0, 1.0, PointsScope::Vps), 0.5);
    rig.run(3.0 * HOUR, &mut nobody());
    let planned = [0, 1, 2].map(|veid| rig.planner.next_poll(Veid(veid)).expect("it is planned"));
    let allowances = [0, 1, 2].map(|veid| rig.planner.allowance(Veid(veid)));
    assert!(allowances[0] != allowances[1] && allowances[1] != allowances[2]);
    rig.calls.clear();
    rig.run(3.0 * HOUR + 300.0, &mut nobody());
    for (veid, planned) in (0..).zip(planned) {
        let asked =
            |(_, due): &&(f64, Due)| due.veid == Veid(veid) && due.call == Call::LiveServiceInfo;
        let (at, _) = rig.calls.iter().find(asked).expect("it was asked");
        let late = at - planned.saturating_sub(BEGIN).as_secs_f64();
        assert!((-0.01..60.0).contains(&late), "{veid}: {late} s late");
    }
    assert_eq!(rig.planner.next_poll(Veid(9)), None);
}
