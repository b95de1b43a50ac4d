use proptest::prelude::*;

use super::*;
use crate::config::Collect;

const PACE: Pace = Pace {
    live: Duration::from_secs(120),
    points: Duration::from_secs(200),
    usage: Duration::from_secs(600),
    inventory: Duration::from_secs(3600),
    collect: Collect::NOTHING,
};
/// Prices of live, readings, usage and service info.
const PRICES: PerCall<Points> = {
    let mut prices = [Points::ZERO; Call::ALL.len()];
    prices[Call::LiveServiceInfo.index()] = Points(20.0);
    prices[Call::RateLimitStatus.index()] = Points(1.0);
    prices[Call::RawUsageStats.index()] = Points(10.0);
    prices[Call::ServiceInfo.index()] = Points(2.0);
    PerCall::new(prices)
};

fn fleet(vps: usize) -> Vec<Pace> {
    vec![PACE; vps]
}

/// Returns the points per second of a plan.
fn cost(plan: &Plan, prices: PerCall<Points>) -> f64 {
    plan.intervals
        .iter()
        .flat_map(|intervals| Call::ALL.map(|call| (intervals[call], prices[call])))
        .filter_map(|(interval, price)| Some((price / interval?).0))
        .sum()
}

fn of(plan: &Plan, call: Call) -> Option<Duration> {
    plan.intervals[0][call]
}

/// Returns the stage of a plan of one VPS: 0 unstretched, 1 to 3 with usage, readings and live stretched, 4 shed.
fn stage(plan: &Plan, rate: f64) -> usize {
    let each = PRICES[Call::RateLimitStatus] / PointsPerSecond(READING_FRACTION * rate);
    let longest_points = each.clamp(SHORTEST_POINTS, LONGEST_POINTS);
    let longer = |call, than: Duration| of(plan, call).is_none_or(|interval| interval > than);
    let longest = |call, longest: Duration| {
        of(plan, call).is_none_or(|interval| interval + Duration::from_millis(1) >= longest)
    };
    let usage = (
        longer(Call::RawUsageStats, PACE.usage),
        longest(Call::RawUsageStats, LONGEST_USAGE),
    );
    let points = (
        longer(Call::RateLimitStatus, PACE.points),
        longest(Call::RateLimitStatus, longest_points),
    );
    let live = (
        longer(Call::LiveServiceInfo, PACE.live),
        longest(Call::LiveServiceInfo, LONGEST_LIVE),
    );
    let shed = of(plan, Call::RawUsageStats).is_none();
    assert!(
        !points.0 || usage.1,
        "readings stretch before usage is at its longest: {plan:?}"
    );
    assert!(
        !live.0 || points.1,
        "live stretches before readings are at their longest: {plan:?}"
    );
    assert!(of(plan, Call::ServiceInfo).is_none() || shed, "{plan:?}");
    match (usage.0, points.0, live.0, shed) {
        (false, ..) => 0,
        (true, false, ..) => 1,
        (true, true, false, _) => 2,
        (true, true, true, false) => 3,
        (true, true, true, true) => 4,
    }
}

#[test]
fn least_important_class_stretches_first_and_usage_is_shed_last() {
    let wanted = fleet(1);
    let mut stages = Vec::new();
    let mut rate = 0.3;
    while rate > 0.002 {
        let plan = plan(&wanted, PRICES, PointsPerSecond(rate), Shed::Nothing);
        assert!(
            cost(&plan, PRICES) <= rate * 1.001,
            "{} of {rate}",
            cost(&plan, PRICES)
        );
        stages.push(stage(&plan, rate));
        rate *= 0.99;
    }
    assert!(stages.is_sorted(), "{stages:?}");
    stages.dedup();
    assert_eq!(stages, [0, 1, 2, 3, 4]);
}

#[test]
fn usage_is_shed_only_when_live_is_at_its_longest_useful_interval() {
    let wanted = fleet(20);
    let longest = Classes {
        wanted: &wanted,
        prices: PRICES,
        shed: Shed::Nothing,
        // At about this pace, readings are at `SHORTEST_POINTS`.
        rate: PointsPerSecond(0.3),
        stretch: [f64::INFINITY; 4],
    }
    .demand();
    let just_enough = plan(&wanted, PRICES, longest * 1.01, Shed::Nothing);
    assert_eq!(just_enough.shed, Shed::Nothing);
    let too_little = plan(&wanted, PRICES, longest * 0.99, Shed::Nothing);
    assert_eq!(too_little.shed, Shed::InventoryAndUsage);
    // Without usage, live fits within its longest useful interval.
    assert!(of(&too_little, Call::LiveServiceInfo) <= Some(LONGEST_LIVE));
}

#[test]
fn shed_usage_returns_only_with_headroom() {
    let wanted = fleet(20);
    let longest = plan(&wanted, PRICES, PointsPerSecond(1e-9), Shed::Nothing);
    assert_eq!(longest.shed, Shed::InventoryAndUsage);
    let mut rate = 0.01;
    while plan(&wanted, PRICES, PointsPerSecond(rate), Shed::Nothing).shed > Shed::Nothing {
        rate *= 1.01;
    }
    assert_eq!(
        plan(
            &wanted,
            PRICES,
            PointsPerSecond(rate),
            Shed::InventoryAndUsage
        )
        .shed,
        Shed::InventoryAndUsage
    );
    assert_eq!(
        plan(
            &wanted,
            PRICES,
            PointsPerSecond(rate * HEADROOM * 1.02),
            Shed::InventoryAndUsage
        )
        .shed,
        Shed::Nothing
    );
}

fn with_inventory(vps: usize) -> Vec<Pace> {
    let pace = Pace {
        collect: Collect::default(),
        ..PACE
    };
    vec![pace; vps]
}

#[test]
fn inventory_is_stretched_and_shed_before_usage() {
    let wanted = with_inventory(20);
    let mut rate = plan(&wanted, PRICES, PointsPerSecond(1e9), Shed::Nothing).demand;
    let (mut inventory_longest, mut usage_longest) = (false, false);
    let mut shed = Shed::Nothing;
    while shed < Shed::InventoryAndUsage {
        rate = rate * 0.99;
        let plan = plan(&wanted, PRICES, rate, Shed::Nothing);
        assert!(plan.demand <= rate * 1.001);
        assert!(plan.shed >= shed, "a lower rate sheds at least as much");
        if plan.shed == Shed::Inventory && shed == Shed::Nothing {
            assert!(
                inventory_longest && usage_longest,
                "inventory is shed before all classes are stretched"
            );
        }
        shed = plan.shed;
        if shed == Shed::Nothing {
            inventory_longest = of(&plan, Call::BackupList) == Some(LONGEST_INVENTORY);
            usage_longest = of(&plan, Call::RawUsageStats) == Some(LONGEST_USAGE);
            let usage_wanted = of(&plan, Call::RawUsageStats) == Some(PACE.usage);
            assert!(
                usage_wanted || inventory_longest,
                "usage is stretched before inventory"
            );
        } else {
            assert_eq!(of(&plan, Call::BackupList), None);
        }
    }
}

#[test]
fn only_collected_inventory_is_planned() {
    let plan = plan(
        &with_inventory(1),
        PRICES,
        PointsPerSecond(1e9),
        Shed::Nothing,
    );
    for (call, planned) in [
        (Call::SnapshotList, true),
        (Call::BackupList, true),
        (Call::PolicyViolations, true),
        (Call::SuspensionDetails, true),
        (Call::AuditLog, false),
        (Call::MigrateLocations, false),
    ] {
        assert_eq!(
            of(&plan, call),
            planned.then_some(PACE.inventory),
            "{call:?}"
        );
    }
}

#[test]
fn service_info_is_planned_only_if_it_is_cheaper_and_live_comes_too_rarely() {
    let wanted = fleet(50);
    let low_rate = plan(&wanted, PRICES, PointsPerSecond(0.1), Shed::Nothing);
    let service = of(&low_rate, Call::ServiceInfo).expect("it is ten times cheaper");
    assert!(service < of(&low_rate, Call::LiveServiceInfo).expect("live is never shed"));
    let mut expensive = PRICES;
    expensive[Call::ServiceInfo] = Points(20.0);
    assert_eq!(
        of(
            &plan(&wanted, expensive, PointsPerSecond(0.1), Shed::Nothing),
            Call::ServiceInfo
        ),
        None
    );
    assert_eq!(
        of(
            &plan(&wanted, PRICES, PointsPerSecond(2.0), Shed::Nothing),
            Call::ServiceInfo
        ),
        None
    );
}

#[test]
fn readings_take_a_fixed_fraction_of_the_pace_within_bounds() {
    let interval = |vps: usize, price: f64, rate: f64| {
        let mut prices = PRICES;
        prices[Call::RateLimitStatus] = Points(price);
        let plan = plan(&fleet(vps), prices, PointsPerSecond(rate), Shed::Nothing);
        let interval = of(&plan, Call::RateLimitStatus).expect("readings are never shed");
        interval.as_secs_f64() / as_f64(vps)
    };
    // The pace is so low that every class is at its longest interval.
    for vps in [1, 4, 20] {
        assert!((interval(vps, 50.0, 0.01) - LONGEST_POINTS.as_secs_f64()).abs() < 1.0);
    }
    assert!((interval(20, 1.0, 0.5) - SHORTEST_POINTS.as_secs_f64()).abs() < 1.0);
    let between = interval(20, 10.0, 0.5);
    assert!((between * READING_FRACTION * 0.5 - 10.0).abs() < 0.1);
}

proptest! {
    #[test]
    fn plan_stretches_only_if_needed_and_fits_the_rate(
        vps in 1_u32..60,
        live in 30_u64..900,
        usage in 60_u64..7200,
        prices in prop::array::uniform10((0.0_f64..25.0).prop_map(Points)).prop_map(PerCall::new),
        inventory in any::<bool>(),
        rate in 0.001_f64..5.0,
    ) {
        let pace = Pace {
            live: Duration::from_secs(live),
            usage: Duration::from_secs(usage),
            collect: if inventory { Collect::default() } else { Collect::NOTHING },
            ..PACE
        };
        let wanted = vec![pace; vps as usize];
        let plan = plan(&wanted, prices, PointsPerSecond(rate), Shed::Nothing);
        // Readings at their longest interval are always planned, because the planner depends on them.
        let readings: f64 = plan
            .intervals
            .iter()
            .map(|intervals| {
                let interval = intervals[Call::RateLimitStatus].expect("never shed");
                prices[Call::RateLimitStatus].0 / interval.as_secs_f64()
            })
            .sum();
        // Every call is planned at least daily.
        let daily = prices.values().map(|price| price.0).sum::<f64>() * f64::from(vps) / 86_400.0;
        prop_assert!(cost(&plan, prices) <= rate.max(readings + 0.1 * rate) * 1.001 + daily);
        let wanted_cost: f64 = wanted
            .iter()
            .map(|wanted| {
                prices[Call::LiveServiceInfo].0 / wanted.live.as_secs_f64()
                    + prices[Call::RateLimitStatus].0 / wanted.points.as_secs_f64()
                    + prices[Call::RawUsageStats].0 / wanted.usage.as_secs_f64()
                    + wanted.inventory_calls().map(|call| prices[call].0).sum::<f64>()
                        / wanted.inventory.as_secs_f64()
            })
            .sum();
        prop_assert_eq!(plan.stretched, wanted_cost > rate);
        if !plan.stretched {
            for intervals in &plan.intervals[1..] {
                prop_assert_eq!(intervals[Call::LiveServiceInfo], Some(pace.live));
                prop_assert_eq!(intervals[Call::RawUsageStats], Some(pace.usage));
            }
        }
    }
}
