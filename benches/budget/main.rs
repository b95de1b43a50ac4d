//! Simulates days of many accounts with the exporter's planner, its rivals, and a planner with perfect knowledge.
//!
//! `cargo bench --bench budget` prints a row for each scenario and policy with the worst of all seeds in each column,
//! and compares the planner with the required figures. The clairvoyant is the reference for ages and intervals. It does
//! not try to avoid silence. Environment variables: `BUDGET_DAYS` (default 4), `BUDGET_SEEDS` (maximum number of seeds
//! of a scenario), `BUDGET_SEED` (a single seed), `BUDGET_ONLY` (part of a scenario's name), `BUDGET_RIVALS=0` (no
//! rivals except the clairvoyant), `BUDGET_THREADS` (default 2).

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::needless_range_loop,
    reason = "a simulation of small numbers"
)]

mod acceptance;
mod actors;
mod clairvoyant;
mod code;
mod measures;
mod misreading;
mod ours;
mod report;
mod scenarios;
mod trail;
mod world;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use actors::{Actor, Bursts, Fixed};
use clairvoyant::Clairvoyant;
use kiwivm_exporter::budget::{Shed, plan};
use kiwivm_exporter::kiwivm::{Call, PerCall};
use kiwivm_exporter::simulator::PointsOptions;
use kiwivm_exporter::units::{Points, PointsPerSecond};
use measures::Figures;
use ours::{Ours, Restarts};
use report::Run;
use scenarios::{Kind, Owner, Scenario};
use world::{Client, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Ours,
    Clairvoyant,
    Fixed,
    PerScrape,
    TokenBucket,
}

impl Policy {
    const ALL: [Self; 5] = [
        Self::Ours,
        Self::Clairvoyant,
        Self::Fixed,
        Self::PerScrape,
        Self::TokenBucket,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Clairvoyant => "clairvoyant",
            Self::Fixed => "fixed intervals",
            Self::PerScrape => "calls per scrape",
            Self::TokenBucket => "token bucket",
        }
    }

    const fn is_rival(self) -> bool {
        !matches!(self, Self::Ours | Self::Clairvoyant)
    }
}

fn simulate(scenario: &Scenario, policy: Policy, seed: u64, days: f64) -> Figures {
    let options = PointsOptions {
        sizes: scenario.sizes,
        costs: BTreeMap::from([(Call::LiveServiceInfo.name().to_owned(), scenario.live)]),
        scope: scenario.scope.clone(),
        sliding: seed.is_multiple_of(2),
        lag: scenario.lag,
        ..PointsOptions::default()
    };
    let vps = scenario.vps;
    let (until, ages) = scenario.times(seed, days);
    let faults = scenario.faults.clone();
    let mut world = World::new(options, vps, faults, scenario.misreading, ages, seed + 55);
    let restarts = scenario.restarts.map(|keeps_state| Restarts {
        every: 2400.0,
        keeps_state,
        next: 2400.0,
    });
    let measured: Box<dyn Actor> = match policy {
        Policy::Ours => Box::new(Ours::new(Client::Measured, vps, seed, 0.0, restarts)),
        Policy::Clairvoyant => Box::new(Clairvoyant::new(vps, seed)),
        Policy::Fixed => Box::new(Fixed::intervals(vps, seed)),
        Policy::PerScrape => Box::new(Fixed::per_scrape(vps, seed)),
        Policy::TokenBucket => Box::new(Fixed::token_bucket(vps, &world, seed)),
    };
    let mut actors = vec![measured];
    match scenario.owner {
        Owner::Never => {}
        Owner::Often => actors.push(Box::new(Bursts::often(vps, seed + 77))),
        Owner::Once => {
            let moment = Scenario::moment(seed);
            actors.push(Box::new(Bursts::once(vps, seed + 77, moment)));
        }
    }
    if scenario.twin {
        actors.push(Box::new(Ours::new(
            Client::Other,
            vps,
            seed + 99,
            600.0,
            None,
        )));
    }
    loop {
        let next = actors
            .iter_mut()
            .min_by(|a, b| a.next().total_cmp(&b.next()))
            .expect("there is at least one exporter");
        if next.next() >= until {
            break;
        }
        next.act(&mut world);
    }
    world.finish(until)
}

/// Runs all simulations on several threads.
fn run(
    scenarios: Vec<Scenario>,
    days: f64,
    seeds: &RangeInclusive<u64>,
    rivals: bool,
    threads: usize,
) -> Vec<Run> {
    let mut jobs = Vec::new();
    for (index, scenario) in scenarios.iter().enumerate() {
        let rivals = rivals && scenario.kind == Kind::Account && scenario.owner != Owner::Once;
        for policy in Policy::ALL {
            if rivals || !policy.is_rival() {
                let seeds = *seeds.start()..=scenario.seeds.min(*seeds.end());
                jobs.extend(seeds.map(|seed| (index, policy, seed)));
            }
        }
    }
    let (next, results) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(&(index, policy, seed)) =
                    jobs.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let figures = simulate(&scenarios[index], policy, seed, days);
                    let mut results = results.lock().expect("no thread panics");
                    results.insert((index, policy as usize, seed), figures);
                }
            });
        }
    });
    let results = results.into_inner().expect("no thread panics");
    let of = |index: usize, policy: Policy| -> Vec<Figures> {
        results
            .range((index, policy as usize, 0)..=(index, policy as usize, u64::MAX))
            .map(|(_, figures)| *figures)
            .collect()
    };
    scenarios
        .into_iter()
        .enumerate()
        .map(|(index, scenario)| Run {
            scenario,
            results: Policy::ALL
                .map(|policy| (policy, of(index, policy)))
                .into_iter()
                .filter(|(_, figures)| !figures.is_empty())
                .collect(),
        })
        .collect()
}

fn main() {
    let number = |name: &str, or: f64| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(or)
    };
    let days = number("BUDGET_DAYS", 4.0);
    let only = std::env::var("BUDGET_ONLY").unwrap_or_default();
    let seeds = match number("BUDGET_SEED", 0.0) as u64 {
        0 => 1..=number("BUDGET_SEEDS", f64::MAX) as u64,
        seed => seed..=seed,
    };
    let started = Instant::now();
    println!(
        "{days} days; odd seeds: fixed windows, even seeds: sliding windows; share 0.5; worst of all seeds; times in seconds"
    );
    let mut scenarios = scenarios::all();
    scenarios.retain(|scenario| scenario.name.contains(&only) && scenario.seeds >= *seeds.start());
    let runs = run(
        scenarios,
        days,
        &seeds,
        number("BUDGET_RIVALS", 1.0) > 0.0,
        number("BUDGET_THREADS", 2.0).max(1.0) as usize,
    );
    report::print(&runs);
    acceptance::print(&runs);
    time_planning();
    println!("took {:.0} s", started.elapsed().as_secs_f64());
}

fn time_planning() {
    let mut prices = PerCall::all(Points(1.0));
    prices[Call::LiveServiceInfo] = Points(20.0);
    for vps in [1, 20, 2000] {
        let wanted = vec![ours::PACE; vps];
        let started = Instant::now();
        let rounds = 100_000 / vps;
        for round in 0..rounds {
            std::hint::black_box(plan(
                &wanted,
                prices,
                PointsPerSecond(0.1 + round as f64 * 1e-9),
                Shed::Nothing,
            ));
        }
        let micros = started.elapsed().as_secs_f64() * 1e6 / rounds as f64;
        println!(
            "planning {vps} VPSes: {micros:.1} us, {:.2} us per VPS",
            micros / vps as f64
        );
    }
}
