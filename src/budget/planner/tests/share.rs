//! Own spending stays within the share, whatever happens.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// As many as asked for with `PROPTEST_CASES`; each is ten hours of an account.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(32)
}

fn any_scope() -> impl Strategy<Value = PointsScope> {
    prop_oneof![
        Just(PointsScope::Vps),
        Just(PointsScope::Account),
        (2..4_u64).prop_map(PointsScope::Groups),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// Whatever calls cost, whoever shares what, however windows move, whoever else spends, however often readings
    /// are lost and the process restarts: own spending stays within the share.
    #[test]
    fn own_spending_stays_within_the_share(
        vps in 1..12_u64,
        live in prop_oneof![Just(0.0), Just(0.5), Just(1.0), Just(3.0), Just(20.0)],
        usage in prop_oneof![Just(0.0), Just(1.0), Just(5.0)],
        scope in any_scope(),
        sliding in any::<bool>(),
        share in prop_oneof![Just(0.1), Just(0.5), Just(0.9)],
        lost_readings in prop_oneof![Just(u64::MAX), 7..50_u64],
        lag in prop_oneof![3 => Just(0.0), 1 => Just(10.0)],
        inventory in any::<bool>(),
        // When, for how long nobody is there, and whether the state is kept.
        restarts in prop::collection::vec((0.0..10.0 * HOUR, prop_oneof![Just(0.0), 0.0..HOUR], any::<bool>()), 0..3),
        bursts in prop::collection::vec((0.0..10.0 * HOUR, 0..12_u64, 1..800_u32), 0..6),
    ) {
        let options = PointsOptions { sliding, lag, ..account(live, usage, scope) };
        let mut rig = Rig::new(vps, options, share);
        if inventory {
            rig.collect(Collect::EVERYTHING);
        }
        rig.lost_readings = lost_readings;
        let mut others: Vec<(f64, Veid, f64)> = bursts
            .into_iter()
            .flat_map(|(at, veid, points)| {
                (0..points / 4).map(move |n| (at + f64::from(n), Veid(veid % vps), 4.0))
            })
            .collect();
        others.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut others = VecDeque::from(others);
        let mut restarts = restarts;
        restarts.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut excess = f64::MIN;
        // What was spent before a window began anew, or was not counted yet, is known to nobody when the state is lost:
        // a start costs a round then.
        let lost = restarts.iter().filter(|(.., keeps_state)| !keeps_state).count();
        let round = (live + usage + 20.0) * f64::from(u32::try_from(vps * lost as u64).unwrap());
        for (at, downtime, keeps_state) in restarts {
            excess = excess.max(rig.run(at, &mut others));
            rig.restart_after(downtime, keeps_state);
        }
        excess = excess.max(rig.run(10.0 * HOUR, &mut others));
        prop_assert!(excess <= round + 1e-6, "{} points too many", excess);
        // And nobody is forgotten.
        for veid in 0..vps {
            let asked = rig.calls.iter().any(|(_, due)| due.veid == Veid(veid) && due.call != Call::RateLimitStatus);
            prop_assert!(asked, "VPS {} was never asked", veid);
        }
    }
}
