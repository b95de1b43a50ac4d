//! Regression tests: accounts that earlier planners handled badly.

use super::account::{Fault, Readings, Setup};
use super::checks::worst_silence;
use super::simulation::{PACE, Simulation, fleet, interval, limits, veid};
use crate::budget::quota::Share;
use crate::config::Scope;
use crate::kiwivm::{Call, Reason};
use crate::units::Points;

fn simulation(setup: Setup, vps: usize, scope: Scope) -> Simulation {
    Simulation::new(setup, fleet(0..vps, PACE), limits(vps, scope))
}

#[test]
fn first_reading_of_zero_delays_no_calls() {
    for reading in [[0.0; 2], [1.0, 2.0], [0.0, 20_000.0], [1000.0, 0.0]] {
        let readings = Readings::First(reading);
        let mut simulation = simulation(
            Setup {
                readings,
                ..Setup::new()
            },
            5,
            Scope::Auto,
        );
        simulation.run(3600.0);
        let first = simulation.first_data();
        assert_eq!(first.len(), 5);
        assert!(
            first.values().all(|at| *at < 20.0),
            "{reading:?}: {first:?}"
        );
        let (beyond, when) = worst_silence(&simulation);
        assert!(beyond <= 0.0, "{reading:?}: {beyond} at {when}");
        assert!((interval(simulation.planner(), 0) - 120.0).abs() < 2.0);
    }
}

#[test]
fn unusable_readings_back_off_and_delay_no_other_calls() {
    for vps in [1, 5] {
        let readings = Readings::None;
        let mut simulation = simulation(
            Setup {
                readings,
                ..Setup::new()
            },
            vps,
            Scope::Auto,
        );
        simulation.run(7200.0);
        let mut times: Vec<f64> = (0..vps)
            .flat_map(|vps| simulation.times(vps, Call::RateLimitStatus))
            .collect();
        times.sort_unstable_by(f64::total_cmp);
        // The waits are 10 or 30, 60, 120, 240 and then 300 seconds. Each VPS has its own first reading.
        assert!(times.len() <= 5 + 7200 / 300 + vps, "{times:?}");
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(longest.fold(0.0, f64::max) <= 310.0, "{times:?}");
        assert!(simulation.planner().unreadable().next().is_some());
        assert!(worst_silence(&simulation).0 <= 0.0);
        assert!(simulation.first_data().values().all(|at| *at < 20.0));
    }
}

#[test]
fn permanently_locked_first_vps_does_not_slow_down_the_others() {
    for vps in [5, 12, 20, 35] {
        let faults = vec![(0, Fault::Fails(Reason::Locked))];
        let mut with = simulation(
            Setup {
                faults,
                ..Setup::new()
            },
            vps,
            Scope::Auto,
        );
        let mut without = simulation(Setup::new(), vps, Scope::Auto);
        with.run(7200.0);
        without.run(7200.0);
        let of = |simulation: &Simulation| interval(simulation.planner(), 1);
        assert!(
            of(&with) <= 1.1 * of(&without) + 1.0,
            "{vps} VPSes: {}, {}",
            of(&with),
            of(&without)
        );
    }
}

#[test]
fn separate_quotas_are_detected_within_minutes_and_a_shared_one_is_never_split() {
    let separate = Setup {
        quotas: 20,
        ..Setup::new()
    };
    let mut separate = simulation(separate, 20, Scope::Auto);
    separate.run(600.0);
    assert!(!separate.planner().shared());
    let mut shared = simulation(Setup::new(), 20, Scope::Auto);
    for hour in 1..=24 {
        shared.run(3600.0 * f64::from(hour));
        assert!(shared.planner().shared(), "split in hour {hour}");
    }
}

#[test]
fn members_of_a_group_share_a_quota() {
    let mut members = fleet(0..6, PACE);
    for (index, member) in members.iter_mut().enumerate() {
        member.group = Some(["one", "other"][index % 2].to_owned());
    }
    let setup = Setup {
        quotas: 2,
        ..Setup::new()
    };
    let mut simulation = Simulation::new(setup, members, limits(6, Scope::Auto));
    simulation.run(7200.0);
    let quota = |vps| simulation.planner().quota(veid(vps));
    assert_eq!([quota(0), quota(2)], [quota(4); 2]);
    assert_eq!([quota(1), quota(3)], [quota(5); 2]);
    assert_ne!(quota(0), quota(1));
}

#[test]
fn a_restart_with_state_keeps_prices_scope_sizes_and_due_times() {
    let setup = Setup {
        quotas: 6,
        ..Setup::new().with_live(7.0)
    };
    let mut simulation = simulation(setup, 6, Scope::Auto);
    simulation.run(4.0 * 3600.0);
    let learned = |simulation: &Simulation| {
        let planner = simulation.planner();
        (
            planner
                .learned_price(Call::LiveServiceInfo)
                .map(|price| price.0),
            planner.shared(),
            planner.allowed(veid(3)),
        )
    };
    let (before, sent) = (learned(&simulation), simulation.sent.len());
    assert!(before.0.is_some_and(|price| (6.5..8.0).contains(&price)));
    simulation.restart(true);
    assert_eq!(learned(&simulation), before);
    simulation.run(simulation.now + 15.0);
    // A first round of six VPSes would have 18 calls for live, readings and history.
    let since = simulation.sent.len() - sent;
    assert!(since <= 9, "{since} calls at once");
}

#[test]
fn a_restart_without_state_is_not_silent() {
    let mut simulation = simulation(Setup::new().with_live(5.0), 20, Scope::Auto);
    for round in 1..=8 {
        simulation.run(2700.0 * f64::from(round));
        simulation.restart(false);
    }
    simulation.run(8.0 * 2700.0 + 7200.0);
    // The first reading after a restart is less than the quota, so the pace starts below the usual one.
    let (beyond, when) = worst_silence(&simulation);
    assert!(beyond <= 20.0, "{beyond} at {when}");
}

#[test]
fn shards_together_stay_within_the_share() {
    let setup = Setup::new().with_live(3.0);
    let mut simulation = Simulation::empty(setup, 3);
    for shard in 0..3 {
        let mut limits = limits(8, Scope::Account);
        limits.share = Share {
            fleet: 0.5,
            own: 0.5 / 3.0,
        };
        simulation.add(fleet(8 * shard..8 * shard + 8, PACE), limits);
    }
    simulation.run(28.0 * 3600.0);
    for (window, size) in [1000.0, 20_000.0].into_iter().enumerate() {
        let most = simulation.most_spent(0, window);
        assert!(most <= 0.52 * size, "{most} of {size}");
        // The day is the tighter window.
        assert!(window == 0 || most >= 0.3 * size, "{most} of {size}");
    }
}

#[test]
fn data_return_within_minutes_of_the_points() {
    // The owner spends all points at once. They return when the window is reset.
    let others = Some(super::account::Others {
        every: 86_400.0,
        points: 1000.0,
    });
    let setup = Setup {
        others,
        sliding: false,
        ..Setup::new()
    };
    let mut simulation = simulation(setup, 5, Scope::Auto);
    simulation.run(1800.0);
    let data: Vec<f64> = simulation
        .sent
        .iter()
        .filter(|sent| sent.is_data())
        .map(|sent| sent.ends)
        .collect();
    assert!(
        data.first()
            .is_some_and(|first| (900.0..1200.0).contains(first)),
        "{:?}",
        data.first()
    );
}

#[test]
fn prices_are_learned_after_a_reload_while_calls_are_in_flight() {
    for scope in [Scope::Vps, Scope::Auto] {
        let mut simulation = simulation(Setup::new(), 4, scope);
        simulation.run(0.01);
        assert!(simulation.is_calling());
        // The quotas are merged, and one VPS with a call in flight is gone.
        simulation.reconfigure(fleet(1..4, PACE), limits(3, Scope::Account));
        simulation.run(900.0);
        let price = simulation.planner().learned_price(Call::LiveServiceInfo);
        assert!(price.is_some(), "{scope:?}");
    }
}

#[test]
fn restarts_with_state_take_no_extra_readings() {
    let calls = |restarts: bool| {
        let mut simulation = simulation(Setup::new(), 20, Scope::Auto);
        for hour in 1..9 {
            simulation.run(f64::from(hour) * 2400.0);
            if restarts && hour > 2 {
                simulation.restart(true);
            }
        }
        let readings = simulation
            .sent
            .iter()
            .filter(|sent| sent.call == Call::RateLimitStatus);
        readings.count()
    };
    let (without, with) = (calls(false), calls(true));
    assert!(
        with <= without + without / 8,
        "{with} readings, {without} without restarts"
    );
}

/// Simulates an hour.
#[test]
fn frequent_restarts_with_state_leave_a_small_quota_to_data() {
    let setup = Setup {
        sizes: [100.0, 1000.0],
        ..Setup::new().with_live(12.0)
    };
    let mut simulation = simulation(setup, 1, Scope::Account);
    for restart in 1..80 {
        simulation.run(f64::from(restart) * 1070.0);
        simulation.restart(true);
    }
    let readings = simulation.times(0, Call::RateLimitStatus).len();
    assert!(readings <= 100, "{readings} readings of 1 point");
    let most = simulation.most_spent(0, 1);
    assert!(most <= 510.0, "{most} of 1000 points in a day");
}

fn assert_never_silent(setup: Setup, vps: usize) {
    let mut simulation = simulation(setup, vps, Scope::Auto);
    simulation.run(3600.0);
    let (beyond, when) = worst_silence(&simulation);
    assert!(beyond <= 0.0, "{beyond} at {when}");
}

#[test]
fn failing_vps_hides_no_silence_of_the_others() {
    // The day pays for a live call every 35 s. The failing VPSes are retried more often.
    let faults = [(2, Reason::Locked), (14, Reason::HttpStatus)];
    let setup = Setup {
        sizes: [999.0, 4999.0],
        faults: faults.map(|(vps, why)| (vps, Fault::Fails(why))).into(),
        ..Setup::new()
    };
    assert_never_silent(setup, 27);
}

#[test]
fn service_info_fills_the_gaps_between_expensive_live_calls() {
    // Readings are late, so live is assumed to cost 5 points, and service info comes more often than live.
    let setup = Setup {
        sizes: [999.0, 4999.0],
        readings: Readings::Late(36.7),
        faults: vec![(4, Fault::Fails(Reason::BadShape))],
        latency: 0.23,
        ..Setup::new()
    };
    assert_never_silent(setup, 29);
}

#[test]
fn live_calls_do_not_wait_for_the_usage_call_of_the_same_vps() {
    let setup = Setup {
        faults: vec![(0, Fault::SlowUsage(170.0))],
        ..Setup::new()
    };
    let mut simulation = simulation(setup, 1, Scope::Auto);
    simulation.run(7200.0);
    let live = simulation.times(0, Call::LiveServiceInfo);
    let longest = live
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .fold(0.0, f64::max);
    assert!(longest <= 135.0, "{longest}");
    let price = simulation.planner().learned_price(Call::LiveServiceInfo);
    assert_eq!(price, Some(Points(1.0)));
}

#[test]
fn unresponsive_vpses_do_not_delay_the_first_data_of_others() {
    let setup = Setup {
        faults: vec![(4, Fault::Slow(90.0)), (6, Fault::Slow(90.0))],
        ..Setup::new()
    };
    let mut simulation = simulation(setup, 8, Scope::Auto);
    simulation.run(60.0);
    let first = simulation.first_data();
    assert_eq!(first.len(), 6, "{first:?}");
    assert!(first.values().all(|at| *at < 20.0), "{first:?}");
}

#[test]
fn slow_api_shows_its_prices() {
    for (vps, latency) in [(29, 7.9), (1, 25.0)] {
        let setup = Setup {
            latency,
            ..Setup::new().with_live(12.0)
        };
        let mut simulation = simulation(setup, vps, Scope::Account);
        simulation.run(1800.0);
        let price = simulation.planner().learned_price(Call::LiveServiceInfo);
        assert_eq!(price, Some(Points(12.0)), "{vps} VPSes, {latency} s");
    }
}

#[test]
fn small_fleet_stays_fresh_for_a_week() {
    const DAY: f64 = 86_400.0;
    let mut simulation = simulation(Setup::new(), 8, Scope::Auto);
    for day in 1..=7 {
        // One VPS has a wrong key. Another is locked every other day.
        let mut faults = vec![(7, Fault::Fails(Reason::Auth))];
        if day % 2 == 1 {
            faults.push((day % 7, Fault::Fails(Reason::Locked)));
        }
        simulation.account.setup.faults = faults;
        simulation.run(f64::from(u32::try_from(day).expect("a few")) * DAY);
        let works = |vps: &usize| simulation.account.setup.works(*vps);
        for vps in (0..8).filter(works) {
            let since = simulation.now - DAY;
            // A VPS that was locked yesterday is called again within a few minutes.
            let mut last = since + 600.0;
            let mut times = simulation.times(vps, Call::LiveServiceInfo);
            times.retain(|at| *at > last);
            times.push(simulation.now);
            for at in times {
                let wait = at - last;
                assert!(
                    wait <= 300.0,
                    "day {day}: VPS {vps} waits {wait} s from {last}"
                );
                last = at;
            }
        }
    }
}
