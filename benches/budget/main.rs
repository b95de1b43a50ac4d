//! Thirty simulated days of many accounts: our planner, three rivals, and one who knows everything.
//!
//! `cargo bench --bench budget`; `BUDGET_DAYS=5`, `BUDGET_ONLY=bursts`, `BUDGET_SEEDS=1` and `BUDGET_RIVALS=0` make it
//! shorter.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::needless_range_loop,
    clippy::struct_excessive_bools,
    reason = "a simulation of small numbers, with scenarios that are sets of switches"
)]

mod actors;
mod world;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

use actors::{Actor, Bursts, Clairvoyant, Fixed, Ours, Restarts};
use kiwivm_exporter::budget::{Shed, Wanted, plan};
use kiwivm_exporter::kiwivm::Call;
use kiwivm_exporter::simulator::{Cost, PointsOptions, PointsScope};
use world::{DAY, Found, Who, World};

#[derive(Clone)]
struct Scenario {
    name: &'static str,
    vps: usize,
    shared: bool,
    live: Cost,
    bursts: bool,
    outage: bool,
    twin: bool,
    restarts: Option<bool>,
    lag: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    Ours,
    Fixed,
    PerScrape,
    TokenBucket,
    Clairvoyant,
}

const POLICIES: [(Policy, &str); 5] = [
    (Policy::Ours, "ours"),
    (Policy::Clairvoyant, "clairvoyant"),
    (Policy::Fixed, "fixed intervals"),
    (Policy::PerScrape, "a call a scrape"),
    (Policy::TokenBucket, "token bucket"),
];

fn scenarios() -> Vec<Scenario> {
    let base = Scenario {
        name: "rich, 1 VPS",
        vps: 1,
        shared: false,
        live: 1.0.into(),
        bursts: false,
        outage: false,
        twin: false,
        restarts: None,
        lag: 0.0,
    };
    let shared = Scenario {
        vps: 20,
        shared: true,
        ..base.clone()
    };
    vec![
        base.clone(),
        Scenario {
            name: "rich, 20 VPSes",
            vps: 20,
            ..base.clone()
        },
        Scenario {
            name: "rich, 50 VPSes",
            vps: 50,
            ..base.clone()
        },
        Scenario {
            name: "dear calls, 20 VPSes",
            vps: 20,
            live: 20.0.into(),
            ..base.clone()
        },
        Scenario {
            name: "shared, 50 VPSes, live 1",
            vps: 50,
            ..shared.clone()
        },
        Scenario {
            name: "shared, 50 VPSes, live 20",
            vps: 50,
            live: 20.0.into(),
            ..shared.clone()
        },
        Scenario {
            name: "owner's bursts",
            bursts: true,
            ..shared.clone()
        },
        Scenario {
            name: "outage of 6 hours",
            outage: true,
            ..shared.clone()
        },
        Scenario {
            name: "second exporter",
            twin: true,
            ..shared.clone()
        },
        Scenario {
            name: "restarts, state kept",
            restarts: Some(true),
            ..shared.clone()
        },
        Scenario {
            name: "restarts, state lost",
            restarts: Some(false),
            ..shared.clone()
        },
        Scenario {
            name: "live steps from 1 to 20",
            live: Cost {
                points: 1.0,
                sometimes: None,
                then: Some((10.0 * DAY + 4321.0, 20.0)),
            },
            ..shared.clone()
        },
        Scenario {
            name: "live 1, one in ten 9",
            live: Cost {
                points: 1.0,
                sometimes: Some((10, 9.0)),
                then: None,
            },
            ..shared.clone()
        },
        Scenario {
            name: "readings lag 10 s",
            lag: 10.0,
            ..shared
        },
    ]
}

fn run(scenario: &Scenario, policy: Policy, seed: u64, days: f64) -> Found {
    let options = PointsOptions {
        costs: BTreeMap::from([(Call::LiveServiceInfo.name().to_owned(), scenario.live)]),
        scope: if scenario.shared {
            PointsScope::Account
        } else {
            PointsScope::Vps
        },
        sliding: seed.is_multiple_of(2),
        lag: scenario.lag,
        ..PointsOptions::default()
    };
    let outage = scenario.outage.then_some((2.4 * DAY, 2.65 * DAY));
    let mut world = World::new(options, scenario.vps, outage);
    let vps = scenario.vps;
    let restarts = scenario.restarts.map(|keeps_state| Restarts {
        every: 2400.0,
        keeps_state,
        next: 2400.0,
    });
    let measured: Box<dyn Actor> = match policy {
        Policy::Ours => Box::new(Ours::new(Who::Measured, vps, seed, 0.0, restarts)),
        Policy::Fixed => Box::new(Fixed::intervals(vps, seed)),
        Policy::PerScrape => Box::new(Fixed::per_scrape(vps, seed)),
        Policy::TokenBucket => Box::new(Fixed::token_bucket(vps, &world, seed)),
        Policy::Clairvoyant => Box::new(Clairvoyant::new(vps, seed)),
    };
    let mut actors = vec![measured];
    if scenario.bursts {
        actors.push(Box::new(Bursts::new(vps, seed + 77)));
    }
    if scenario.twin {
        actors.push(Box::new(Ours::new(Who::Other, vps, seed + 99, 600.0, None)));
    }
    let until = days * DAY;
    loop {
        let next = actors
            .iter_mut()
            .min_by(|a, b| a.next().total_cmp(&b.next()))
            .expect("somebody calls");
        if next.next() >= until {
            break;
        }
        next.act(&mut world);
    }
    world.finish(until)
}

fn main() {
    let number = |name: &str, or: f64| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(or)
    };
    let (days, seeds) = (
        number("BUDGET_DAYS", 30.0),
        number("BUDGET_SEEDS", 4.0) as u64,
    );
    let policies = if number("BUDGET_RIVALS", 1.0) > 0.0 {
        &POLICIES[..]
    } else {
        &POLICIES[..2]
    };
    let only = std::env::var("BUDGET_ONLY").unwrap_or_default();
    let begun = Instant::now();
    println!(
        "{days} days, {seeds} seeds (odd: fixed windows, even: sliding), share 0.5, the worst of the seeds"
    );
    println!(
        "{:<27}{:<16}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>10}{:>10}{:>7}",
        "",
        "",
        "exceeded",
        "by",
        "refused",
        "others'",
        "refusals",
        "least",
        "mean age",
        "99 %",
        "ratio"
    );
    println!(
        "{:<27}{:<16}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>10}{:>10}{:>7}",
        "", "", "windows", "points", "then", "by us", "of us", "left", "s", "s", ""
    );
    for scenario in scenarios()
        .iter()
        .filter(|scenario| scenario.name.contains(&only))
    {
        let mut rows: Vec<(&str, Vec<Found>)> = Vec::new();
        for &(policy, name) in policies {
            rows.push((
                name,
                (1..=seeds)
                    .map(|seed| run(scenario, policy, seed, days))
                    .collect(),
            ));
        }
        let clairvoyant = rows[1].1.clone();
        for (index, (name, found)) in rows.iter().enumerate() {
            let worst = |of: fn(&Found) -> f64| found.iter().map(of).fold(f64::MIN, f64::max);
            let ratio = found
                .iter()
                .zip(&clairvoyant)
                .map(|(found, best)| found.mean_age / best.mean_age)
                .fold(f64::MIN, f64::max);
            let mut line = format!(
                "{:<27}{name:<16}",
                if index == 0 { scenario.name } else { "" }
            );
            let _ = write!(
                line,
                "{:>9}{:>9.0}{:>9}{:>9}{:>9}{:>9.0}{:>10.1}{:>10.0}{:>7.2}",
                worst(|found| f64::from(found.windows_exceeded)),
                worst(|found| found.excess),
                worst(|found| f64::from(found.refusals_while_exceeding)),
                worst(|found| f64::from(found.refusals_of_others)),
                worst(|found| f64::from(found.refused)),
                -worst(|found| -found.least_left),
                worst(|found| found.mean_age),
                worst(|found| found.age_99),
                ratio
            );
            println!("{line}");
        }
    }
    time_planning();
    println!("took {:.0} s", begun.elapsed().as_secs_f64());
}

fn time_planning() {
    let mut prices = [1.0; Call::ALL.len()];
    prices[Call::LiveServiceInfo.index()] = 20.0;
    for vps in [1, 20, 2000] {
        let wanted = vec![
            Wanted {
                pace: actors::PACE,
                slowed: 1.0
            };
            vps
        ];
        let begun = Instant::now();
        let rounds = 100_000 / vps;
        for round in 0..rounds {
            std::hint::black_box(plan(
                &wanted,
                prices,
                0.1 + round as f64 * 1e-9,
                Shed::Nothing,
            ));
        }
        let micros = begun.elapsed().as_secs_f64() * 1e6 / rounds as f64;
        println!(
            "planning {vps} VPSes: {micros:.1} us, {:.2} us a VPS",
            micros / vps as f64
        );
    }
}
