//! Property tests over many accounts.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;

use super::account::{Fault, Others, Readings, Setup};
use super::checks::{RECOVERY, hasty_reading, most_in_a_second, worst_silence};
use super::simulation::{PACE, Simulation, fleet, limits};
use crate::budget::pace::Pace;
use crate::budget::quota::Share;
use crate::config::{Collect, Scope};
use crate::kiwivm::{Call, PerCall, Reason};

/// VPS-hours of a simulation, to limit its duration: hours for large fleets, more than a day for small ones.
const VPS_HOURS: usize = 30;

fn hours(vps: usize) -> f64 {
    let hours = u32::try_from((VPS_HOURS / vps).clamp(2, 28)).expect("a few");
    f64::from(hours) * 3600.0
}

/// Seconds by which a silence may exceed the planned gap, because intervals change while calls wait. With a wrong `scope`,
/// the readings of one VPS determine the pace of all.
const SLACK: f64 = 60.0;
const SLACK_IF_SCOPE_IS_WRONG: f64 = 900.0;

/// A few fixed cases, or `PROPTEST_CASES` random ones.
fn cases() -> ProptestConfig {
    let more: Option<u32> = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    let (cases, seed) = more.map_or((24, RngSeed::Fixed(1)), |cases| (cases, RngSeed::Random));
    ProptestConfig {
        failure_persistence: None,
        rng_seed: seed,
        // About as many cases are outside the assumptions.
        max_global_rejects: 10 * cases + 1024,
        ..ProptestConfig::with_cases(cases)
    }
}

fn sizes() -> impl Strategy<Value = [f64; 2]> {
    select(vec![
        [1000.0, 20_000.0],
        [1000.0, 9000.0],
        [999.0, 4999.0],
        [100.0, 1000.0],
        [60.0, 5000.0],
        [5000.0, 20_000.0],
    ])
}

fn paces() -> impl Strategy<Value = Pace> {
    (
        select(vec![60, 120, 300]),
        select(vec![Collect::NOTHING, Collect::default()]),
    )
        .prop_map(|(live, collect)| Pace {
            live: Duration::from_secs(live),
            collect,
            ..PACE
        })
}

/// Random prices of live, usage and inventory. Readings and service info cost 1 point.
fn prices() -> impl Strategy<Value = PerCall<f64>> {
    let points = || select(vec![1.0, 1.0, 2.0, 5.0, 12.0]);
    (points(), points(), select(vec![1.0, 2.0])).prop_map(|(live, usage, inventory)| {
        let mut prices = PerCall::all(inventory);
        prices[Call::LiveServiceInfo] = live;
        prices[Call::RateLimitStatus] = 1.0;
        prices[Call::RawUsageStats] = usage;
        prices[Call::ServiceInfo] = 1.0;
        prices
    })
}

fn readings() -> impl Strategy<Value = Readings> {
    prop_oneof![
        3 => Just(Readings::Truth),
        1 => Just(Readings::None),
        1 => Just(Readings::EverySecond),
        1 => select(vec![[0.0; 2], [1000.0, 20_000.0], [500.0, 10_000.0], [0.0, 20_000.0], [3.0, 3.0]])
            .prop_map(Readings::Constant),
        1 => select(vec![[0.0; 2], [1.0, 2.0], [0.0, 19_000.0], [900.0, 0.0], [1e6, 1e7]])
            .prop_map(Readings::First),
        1 => (5.0..60.0).prop_map(Readings::Late),
        1 => (1.0..40.0).prop_map(Readings::Noisy),
        1 => Just(Readings::Jumping),
    ]
}

fn faults(vps: usize) -> impl Strategy<Value = Vec<(usize, Fault)>> {
    let fault = prop_oneof![
        select(vec![
            Reason::Locked,
            Reason::HttpStatus,
            Reason::Timeout,
            Reason::Auth,
            Reason::ApiOther,
            Reason::BadShape,
        ])
        .prop_map(Fault::Fails),
        Just(Fault::ReadingsFail),
        (10.0..120.0).prop_map(Fault::Slow),
    ];
    prop::collection::vec((0..vps, fault), 0..=vps.div_ceil(4))
}

fn outages() -> impl Strategy<Value = Option<(f64, f64, Reason)>> {
    let reasons = select(vec![
        Reason::Connect,
        Reason::HttpStatus,
        Reason::RateLimited,
    ]);
    let outage = (0.0..5000.0, 30.0..600.0, reasons);
    prop::option::weighted(
        0.3,
        outage.prop_map(|(from, length, reason)| (from, from + length, reason)),
    )
}

fn others() -> impl Strategy<Value = Option<Others>> {
    let others = (20.0..3600.0, 1.0..150.0_f64);
    prop::option::weighted(
        0.4,
        others.prop_map(|(every, points)| Others {
            every,
            points: points.floor(),
        }),
    )
}

fn setups(vps: usize) -> impl Strategy<Value = Setup> {
    let counts = (select(vec![1, 1, vps, vps.div_ceil(2)]), sizes(), prices());
    let faults = (readings(), faults(vps), outages());
    (counts, faults, others(), any::<bool>(), 0.2..8.0).prop_map(
        |((quotas, sizes, prices), (readings, faults, outage), others, sliding, latency)| Setup {
            quotas,
            sizes,
            sliding,
            prices,
            others,
            readings,
            faults,
            outage,
            latency,
        },
    )
}

/// Seconds between restarts, and true if the state is kept.
fn restarts() -> impl Strategy<Value = Option<(f64, bool)>> {
    prop::option::weighted(0.3, (600.0..6000.0, any::<bool>()))
}

fn with_fleet<S: Strategy>(
    of: impl Fn(usize) -> S,
) -> impl Strategy<Value = (usize, Pace, S::Value)>
where
    S::Value: Clone,
{
    (1_usize..=40).prop_flat_map(move |vps| (Just(vps), paces(), of(vps)))
}

fn simulate(
    vps: usize,
    pace: Pace,
    setup: Setup,
    scope: Scope,
    restarts: Option<(f64, bool)>,
) -> Simulation {
    let mut simulation = Simulation::new(setup, fleet(0..vps, pace), limits(vps, scope));
    let end = hours(vps);
    let (every, keeps_state) = restarts.unwrap_or((end, false));
    let mut next = every;
    while next < end {
        simulation.run(next);
        simulation.restart(keeps_state);
        next += every;
    }
    simulation.run(end);
    simulation
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn planner_is_never_silent_while_points_are_plentiful(
        (vps, pace, setup) in with_fleet(setups),
        scope in select(vec![Scope::Auto, Scope::Auto, Scope::Account, Scope::Vps]),
        restarts in restarts(),
    ) {
        // Random readings may be low twice in a row, which the planner believes.
        prop_assume!(setup.readings != Readings::Jumping);
        // If 15 minutes are as tight as the day, or the share pays for less than a live call every two minutes, each
        // call takes much of a window, and there are silences of some minutes.
        let [quarter, day] = [setup.sizes[0] / 900.0, setup.sizes[1] / 86_400.0];
        prop_assume!(quarter >= 2.0 * day);
        prop_assume!(0.5 * day / setup.prices[Call::LiveServiceInfo] >= 1.0 / 120.0);
        let simulation = simulate(vps, pace, setup.clone(), scope, restarts);
        let (beyond, when) = worst_silence(&simulation);
        let is_wrong = match scope {
            Scope::Auto => false,
            Scope::Account => setup.quotas != 1,
            Scope::Vps => setup.quotas != vps,
        };
        let slack = if is_wrong { SLACK_IF_SCOPE_IS_WRONG } else { SLACK };
        prop_assert!(beyond <= slack, "{beyond} s too long at {when}");
        // A new process reads at once.
        prop_assert!(restarts.is_some() || hasty_reading(&simulation, vps).is_none());
        // The rate of the pacer (8 per second), its burst and a price sample.
        prop_assert!(most_in_a_second(&simulation) <= 16);
    }

    #[test]
    fn every_working_vps_has_data_within_seconds_and_regularly(
        (vps, pace, setup) in with_fleet(setups),
        scope in select(vec![Scope::Auto, Scope::Account, Scope::Vps]),
    ) {
        // Enough points for a first round at assumed prices.
        let setup = Setup { sizes: [5000.0, 40_000.0], outage: None, others: None, ..setup };
        // The planner believes constant readings of an almost empty quota.
        prop_assume!(!matches!(setup.readings, Readings::Constant([3.0, 3.0] | [0.0, 20_000.0]) | Readings::Jumping));
        let (latency, slow) = (setup.latency, setup.longest_latency());
        let works: Vec<usize> = (0..vps).filter(|vps| setup.works(*vps)).collect();
        let faults = setup.faults.clone();
        let simulation = simulate(vps, pace, setup, scope, None);
        let first = simulation.first_data();
        for vps in works {
            let at = first.get(&vps).copied();
            // A slow VPS delays only itself. Its readings precede its live calls.
            let latency = if faults.iter().any(|(of, _)| *of == vps) { slow } else { latency };
            prop_assert!(at.is_some_and(|at| at <= 20.0 + 6.0 * latency), "{vps}: first data at {at:?}");
            let live: Vec<f64> = simulation.sent.iter()
                .filter(|sent| sent.vps == vps && sent.is_live() && sent.result.is_ok())
                .map(|sent| sent.at)
                .collect();
            let looks = &simulation.looks[vps % simulation.looks.len()];
            let mut longest = pace.live.as_secs_f64();
            let mut live = live.into_iter().peekable();
            let mut last = 0.0;
            for look in looks {
                while let Some(at) = live.next_if(|at| *at <= look.at) {
                    (last, longest) = (at, pace.live.as_secs_f64());
                }
                longest = longest.max(look.longest_interval);
                // A configured scope that is wrong may use up the quota.
                if look.left.iter().any(|left| *left < 20.0) {
                    last = last.max(look.at + RECOVERY);
                }
                prop_assert!(
                    look.at - last <= 3.0 * longest + 60.0 + latency,
                    "{vps}: nothing from {last} to {}", look.at
                );
            }
        }
    }

    #[test]
    fn own_spending_stays_within_the_share(
        (vps, pace, setup) in with_fleet(setups),
        share in select(vec![0.25, 0.5, 0.8]),
        restarts in restarts(),
    ) {
        // Readings are correct, and the scope is configured.
        let setup = Setup {
            quotas: if setup.quotas == 1 { 1 } else { vps },
            readings: Readings::Truth,
            outage: None,
            ..setup
        };
        let scope = if setup.quotas == 1 { Scope::Account } else { Scope::Vps };
        let each = if setup.quotas == 1 { vps } else { 1 };
        // The size of a quota that nobody can read is assumed.
        let readable: Vec<usize> = (0..setup.quotas)
            .filter(|quota| (*quota..vps).step_by(setup.quotas).any(|vps| setup.is_readable(vps)))
            .collect();
        let highest = setup.prices.values().copied().fold(0.0, f64::max);
        let count = f64::from(u32::try_from(each).expect("few"));
        // The share pays for a first round, of live, usage and four inventory calls, and for the readings, which are never
        // deferred.
        let sizes = setup.sizes;
        prop_assume!(share * sizes[0] >= (7.0 * highest * count).max(50.0));
        // A failing VPS is retried every three minutes, however small the quota is.
        prop_assume!(setup.faults.is_empty() || share * sizes[1] >= 480.0 * highest);
        let mut limits = limits(vps, scope);
        limits.share = Share { fleet: share, own: share };
        let mut simulation = Simulation::new(setup, fleet(0..vps, pace), limits);
        let end = hours(vps);
        let every = restarts.map_or(end, |(every, _)| every);
        let mut next = every;
        while next < end {
            simulation.run(next);
            simulation.restart(true);
            next += every;
        }
        simulation.run(end);
        for quota in readable {
            for (window, size) in sizes.into_iter().enumerate() {
                let over = simulation.most_spent(quota, window) - share * size;
                // The planner never defers readings, and calls before the first sample are booked at assumed prices.
                let slack = 0.02 * share * size + 3.0 * highest + 8.0;
            prop_assert!(over <= slack, "quota {quota}, window {window}: {over} points over");
            }
        }
    }
}
