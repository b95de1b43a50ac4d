//! Everybody who calls: our planner, its rivals, the clairvoyant, and the owner.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use kiwivm_exporter::budget::{
    Finished, Limits, Outcome, Pace, Places, Planner, Shed, Wanted, plan,
};
use kiwivm_exporter::config::{Collect, Scope};
use kiwivm_exporter::kiwivm::{Call, Reason, Veid};

use crate::world::{Answer, DAY, SHARE, WINDOWS, Who, World};

pub const PACE: Pace = Pace {
    live: Duration::from_secs(120),
    points: Duration::from_secs(600),
    usage: Duration::from_secs(600),
    inventory: Duration::from_secs(3600),
    collect: Collect::NOTHING,
};

/// Somebody who calls at times of their own.
pub trait Actor {
    fn next(&self) -> f64;
    fn act(&mut self, world: &mut World);
}

/// Numbers that look random and are the same for the same seed.
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) as f64 / u64::MAX as f64
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.roll()).max(1e-12).ln()
    }
}

/// Our planner, with a process around it that is restarted now and then.
pub struct Ours {
    who: Who,
    planner: Planner,
    vps: usize,
    dice: Dice,
    in_flight: BinaryHeap<Reverse<(u64, u64)>>,
    results: HashMap<u64, (Call, Answer)>,
    wake: f64,
    restarts: Option<Restarts>,
}

#[derive(Clone, Copy)]
pub struct Restarts {
    pub every: f64,
    pub keeps_state: bool,
    pub next: f64,
}

/// Nothing is remembered from before the start of time, but older than it things may be.
const EPOCH: f64 = 10.0 * DAY;

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds + EPOCH)
}

impl Ours {
    pub fn new(who: Who, vps: usize, seed: u64, start: f64, restarts: Option<Restarts>) -> Self {
        let mut dice = Dice(seed);
        Self {
            who,
            planner: Self::planner(vps, dice.roll().to_bits(), start),
            vps,
            dice,
            in_flight: BinaryHeap::new(),
            results: HashMap::new(),
            wake: start,
            restarts,
        }
    }

    fn planner(vps: usize, seed: u64, now: f64) -> Planner {
        let fleet: Vec<(Veid, Pace)> = (0..vps as u64).map(|veid| (Veid(veid), PACE)).collect();
        let places = Places::for_fleet(vps, PACE.live);
        let limits = Limits {
            share: SHARE,
            siblings: 0.0,
            scope: Scope::Auto,
            download: u64::MAX,
            places,
            learn: true,
        };
        Planner::new(&fleet, limits, seed, at(now))
    }

    fn restart(&mut self, now: f64) {
        let Some(restarts) = &mut self.restarts else {
            return;
        };
        if now < restarts.next {
            return;
        }
        restarts.next = now + self.dice.exponential(restarts.every);
        let memory = restarts
            .keeps_state
            .then(|| self.planner.remember(Duration::ZERO, at(now)));
        self.planner = Self::planner(self.vps, self.dice.roll().to_bits(), now);
        if let Some(memory) = memory {
            self.planner.recall(&memory, Duration::ZERO, at(now));
        }
        self.in_flight.clear();
        self.results.clear();
    }
}

fn micros(seconds: f64) -> u64 {
    (seconds * 1e6).round() as u64
}

impl Actor for Ours {
    fn next(&self) -> f64 {
        let ends = self
            .in_flight
            .peek()
            .map_or(f64::MAX, |Reverse((ends, _))| *ends as f64 / 1e6);
        let restarts = self.restarts.map_or(f64::MAX, |restarts| restarts.next);
        ends.min(self.wake).min(restarts)
    }

    fn act(&mut self, world: &mut World) {
        let now = self.next();
        self.restart(now);
        while let Some(Reverse((ends, veid))) = self.in_flight.peek().copied() {
            if ends > micros(now) {
                break;
            }
            self.in_flight.pop();
            let (_, answer) = self
                .results
                .remove(&veid)
                .expect("every call in flight has a result");
            let (outcome, remaining) = match answer {
                Answer::Fine(remaining) => (Outcome::Success, remaining),
                Answer::Refused => (Outcome::Failure(Reason::RateLimited), None),
                Answer::Down => (Outcome::Failure(Reason::Connect), None),
            };
            self.planner.finish(
                Veid(veid),
                Finished {
                    outcome,
                    remaining,
                    bytes: 1000,
                },
                at(now),
            );
        }
        for due in self.planner.take_due(at(now)) {
            let vps = usize::try_from(due.veid.0).expect("a small fleet");
            let answer = world.call(self.who, vps, due.call, now);
            let takes = match due.call {
                Call::LiveServiceInfo => 1.0 + 4.0 * self.dice.roll(),
                _ => 0.3 + 0.4 * self.dice.roll(),
            };
            self.in_flight
                .push(Reverse((micros(now + takes), due.veid.0)));
            self.results.insert(due.veid.0, (due.call, answer));
        }
        let wake = self.planner.next_wake(at(now)).as_secs_f64() - EPOCH;
        self.wake = wake.max(now + 1e-3);
    }
}

/// Calls at fixed times, whatever comes of them: each VPS's calls at `intervals`, by `times` clients.
pub struct Fixed {
    queue: BinaryHeap<Reverse<(u64, usize, usize)>>,
    intervals: Vec<(Call, f64)>,
    /// A bucket that must hold the true cost of a call, filled at the share's pace.
    bucket: Option<(f64, f64, f64)>,
    blocked_until: f64,
}

impl Fixed {
    pub fn intervals(vps: usize, seed: u64) -> Self {
        let calls = vec![
            (Call::LiveServiceInfo, 120.0),
            (Call::RateLimitStatus, 600.0),
            (Call::RawUsageStats, 600.0),
        ];
        Self::new(vps, calls, seed)
    }

    /// Two Prometheus servers, a scrape a minute each, three calls a scrape.
    pub fn per_scrape(vps: usize, seed: u64) -> Self {
        let calls = [
            Call::LiveServiceInfo,
            Call::RateLimitStatus,
            Call::RawUsageStats,
        ];
        Self::new(
            vps,
            calls
                .into_iter()
                .chain(calls)
                .map(|call| (call, 60.0))
                .collect(),
            seed,
        )
    }

    /// Fixed intervals behind a bucket with known costs that takes the exporter's share.
    pub fn token_bucket(vps: usize, world: &World, seed: u64) -> Self {
        let mut fixed = Self::intervals(vps, seed);
        let allowances = (0..vps).map(|vps| world.allowance(vps)).max().unwrap_or(0) + 1;
        let rate = allowances as f64
            * SHARE
            * (world.size(1) / WINDOWS[1]).min(world.size(0) / WINDOWS[0]);
        fixed.bucket = Some((100.0, rate, 0.0));
        fixed
    }

    fn new(vps: usize, intervals: Vec<(Call, f64)>, seed: u64) -> Self {
        let mut dice = Dice(seed);
        let queue = (0..vps)
            .flat_map(|vps| (0..intervals.len()).map(move |call| (vps, call)))
            .map(|(vps, call)| Reverse((micros(dice.roll() * intervals[call].1), vps, call)))
            .collect();
        Self {
            queue,
            intervals,
            bucket: None,
            blocked_until: 0.0,
        }
    }
}

impl Actor for Fixed {
    fn next(&self) -> f64 {
        self.queue.peek().map_or(f64::MAX, |Reverse((at, ..))| {
            (*at as f64 / 1e6).max(self.blocked_until)
        })
    }

    fn act(&mut self, world: &mut World) {
        let now = self.next();
        let Some(Reverse((due, vps, index))) = self.queue.pop() else {
            return;
        };
        let (call, interval) = self.intervals[index];
        if let Some((tokens, rate, filled)) = &mut self.bucket {
            *tokens = (*tokens + *rate * (now - *filled)).min(100.0);
            *filled = now;
            let cost = world.true_cost(call, now);
            if *tokens < cost {
                // First come, first served.
                self.blocked_until = now + (cost - *tokens) / *rate + 0.01;
                self.queue.push(Reverse((due, vps, index)));
                return;
            }
            *tokens -= cost;
        }
        world.call(Who::Measured, vps, call, now);
        self.queue
            .push(Reverse((micros(now + interval), vps, index)));
    }
}

/// Knows what costs are, who shares what, how much there is and what others spent; yields as our planner does.
pub struct Clairvoyant {
    vps: usize,
    due: Vec<[f64; Call::ALL.len()]>,
    intervals: Vec<[Option<Duration>; Call::ALL.len()]>,
    next_plan: f64,
    outages: u32,
}

impl Clairvoyant {
    pub fn new(vps: usize, seed: u64) -> Self {
        let mut dice = Dice(seed);
        let due = (0..vps)
            .map(|_| {
                let mut due = [f64::MAX; Call::ALL.len()];
                due[Call::LiveServiceInfo.index()] = dice.roll() * 120.0;
                due[Call::RateLimitStatus.index()] = dice.roll() * 600.0;
                due[Call::RawUsageStats.index()] = dice.roll() * 600.0;
                due
            })
            .collect();
        Self {
            vps,
            due,
            intervals: vec![[None; Call::ALL.len()]; vps],
            next_plan: 0.0,
            outages: 0,
        }
    }

    fn plan(&mut self, world: &mut World, now: f64) {
        let allowances = (0..self.vps)
            .map(|vps| world.allowance(vps))
            .max()
            .unwrap_or(0)
            + 1;
        let prices = Call::ALL.map(|call| world.true_cost(call, now));
        for allowance in 0..allowances {
            let members: Vec<usize> = (0..self.vps)
                .filter(|vps| world.allowance(*vps) == allowance)
                .collect();
            let rate = (0..2)
                .map(|window| {
                    SHARE * (world.size(window) - world.by_others(allowance, window, now)).max(0.0)
                        / WINDOWS[window]
                })
                .fold(f64::MAX, f64::min);
            let wanted = vec![
                Wanted {
                    pace: PACE,
                    slowed: 1.0
                };
                members.len()
            ];
            let planned = plan(&wanted, prices, rate, Shed::Nothing);
            for (vps, intervals) in members.into_iter().zip(planned.intervals) {
                for call in 0..Call::ALL.len() {
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
                self.intervals[vps] = intervals;
            }
        }
        self.next_plan = now + 60.0;
    }
}

impl Actor for Clairvoyant {
    fn next(&self) -> f64 {
        self.due
            .iter()
            .flatten()
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
                let due = self.due[vps][call.index()];
                let Some(interval) = self.intervals[vps][call.index()].filter(|_| due <= now)
                else {
                    continue;
                };
                let allowance = world.allowance(vps);
                let cost = world.true_cost(call, now);
                let fits = (0..2).all(|window| {
                    world.own(allowance, window, now) + cost <= SHARE * world.size(window)
                }) && (0..2).all(|window| {
                    world.own(allowance, window, now)
                        + world.by_others(allowance, window, now)
                        + cost
                        <= world.size(window)
                });
                if !fits {
                    self.due[vps][call.index()] = now + 5.0;
                    continue;
                }
                if world.call(Who::Measured, vps, call, now) == Answer::Down {
                    self.outages += 1;
                }
                self.due[vps][call.index()] = due.max(now - 1.0) + interval.as_secs_f64();
            }
        }
    }
}

/// The owner's scripts: bursts of 300 to 900 points within five minutes, a few times a day.
pub struct Bursts {
    dice: Dice,
    next: f64,
    left: u32,
    vps: usize,
}

impl Bursts {
    pub fn new(vps: usize, seed: u64) -> Self {
        Self {
            dice: Dice(seed),
            next: 3000.0,
            left: 0,
            vps,
        }
    }
}

impl Actor for Bursts {
    fn next(&self) -> f64 {
        self.next
    }

    fn act(&mut self, world: &mut World) {
        if self.left == 0 {
            self.left = (300.0 + 600.0 * self.dice.roll()) as u32 / 3;
        }
        let vps = (self.dice.roll() * self.vps as f64) as usize % self.vps;
        world.owner_spends(vps, 3.0, self.next);
        self.left -= 1;
        let wait = if self.left == 0 {
            self.dice.exponential(DAY / 6.0)
        } else {
            self.dice.roll() * 2.0
        };
        self.next += wait;
    }
}
