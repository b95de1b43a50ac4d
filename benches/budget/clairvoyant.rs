//! A planner with perfect knowledge.

use std::time::Duration;

use kiwivm_exporter::budget::{Shed, plan};
use kiwivm_exporter::kiwivm::{Call, PerCall};
use kiwivm_exporter::units::{Points, PointsPerSecond};

use crate::actors::{Actor, Dice};
use crate::ours::PACE;
use crate::world::{Client, SHARE, WINDOWS, World};

/// Knows all prices, quotas and spending of other clients, and spends its share of the points that others leave.
pub struct Clairvoyant {
    vps: usize,
    due: Vec<PerCall<f64>>,
    intervals: Vec<PerCall<Option<Duration>>>,
    next_plan: f64,
    started: Vec<PerCall<bool>>,
}

/// Seconds between the first calls of two VPSes.
const FIRST_ROUND_STEP: f64 = 0.25;
/// Multiples of it modulo 1 are spread evenly for any number of VPSes.
const GOLDEN_RATIO: f64 = 0.618_034;

impl Clairvoyant {
    pub fn new(vps: usize, seed: u64) -> Self {
        let mut dice = Dice(seed);
        let due = (0..vps)
            .map(|vps| {
                let mut due = PerCall::all(f64::MAX);
                due[Call::LiveServiceInfo] = vps as f64 * FIRST_ROUND_STEP;
                due[Call::RateLimitStatus] = dice.roll() * 600.0;
                due[Call::RawUsageStats] = dice.roll() * 600.0;
                due
            })
            .collect();
        Self {
            vps,
            due,
            intervals: vec![PerCall::default(); vps],
            next_plan: 0.0,
            started: vec![PerCall::all(false); vps],
        }
    }

    fn plan(&mut self, world: &mut World, now: f64) {
        let mut live_calls = 0.0;
        let prices = PerCall::from_fn(|call| Points(world.true_cost(call, now)));
        for quota in 0..world.quotas() {
            let members: Vec<usize> = (0..self.vps)
                .filter(|vps| world.quota(*vps) == quota)
                .collect();
            let rate = (0..2)
                .map(|window| {
                    SHARE * (world.size(window) - world.by_others(quota, window, now)).max(0.0)
                        / WINDOWS[window]
                })
                .fold(f64::MAX, f64::min);
            let wanted = vec![PACE; members.len()];
            let planned = plan(&wanted, prices, PointsPerSecond(rate), Shed::Nothing);
            for (vps, intervals) in members.into_iter().zip(planned.intervals) {
                for call in Call::ALL {
                    let (old, new) = (self.intervals[vps][call], intervals[call]);
                    let due = &mut self.due[vps][call];
                    match (old, new) {
                        (Some(old), Some(new)) if *due > now => {
                            *due = now + (*due - now) * new.as_secs_f64() / old.as_secs_f64();
                        }
                        (None, Some(new)) if self.next_plan > 0.0 => {
                            *due = now + new.as_secs_f64() * 0.5;
                        }
                        (_, None) => *due = f64::MAX,
                        _ => {}
                    }
                }
                live_calls += intervals[Call::LiveServiceInfo]
                    .map_or(0.0, |interval| 1.0 / interval.as_secs_f64());
                self.intervals[vps] = intervals;
            }
        }
        world.planned_live_gap(1.0 / live_calls, now);
        self.next_plan = now + 60.0;
    }
}

impl Actor for Clairvoyant {
    fn next(&self) -> f64 {
        self.due
            .iter()
            .flat_map(PerCall::values)
            .copied()
            .fold(self.next_plan, f64::min)
    }

    fn act(&mut self, world: &mut World) {
        let now = self.next();
        if now >= self.next_plan {
            self.plan(world, now);
        }
        for vps in 0..self.vps {
            for call in Call::ALL {
                let due = self.due[vps][call];
                let Some(interval) = self.intervals[vps][call].filter(|_| due <= now) else {
                    continue;
                };
                let quota = world.quota(vps);
                let cost = world.true_cost(call, now);
                let fits = (0..2).all(|window| {
                    world.own(quota, window, now) + cost <= SHARE * world.size(window)
                }) && (0..2).all(|window| {
                    world.own(quota, window, now) + world.by_others(quota, window, now) + cost
                        <= world.size(window)
                });
                if !fits {
                    self.due[vps][call] = now + 5.0;
                    continue;
                }
                world.call(Client::Measured, vps, call, now);
                let interval = interval.as_secs_f64();
                let started = &mut self.started[vps][call];
                self.due[vps][call] = if std::mem::replace(started, true) {
                    due.max(now - 1.0) + interval
                } else {
                    now + interval * (vps as f64 * GOLDEN_RATIO).fract()
                };
            }
        }
    }
}
