//! Actors with their own schedule: rivals of the planner and the owner.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use kiwivm_exporter::kiwivm::Call;

use crate::world::{Client, DAY, SHARE, WINDOWS, World};

/// A client that acts at its own times.
pub trait Actor {
    fn next(&self) -> f64;
    fn act(&mut self, world: &mut World);
}

/// A pseudorandom number generator.
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) as f64 / u64::MAX as f64
    }

    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.roll()).max(1e-12).ln()
    }
}

pub fn micros(seconds: f64) -> u64 {
    (seconds * 1e6).round() as u64
}

/// Calls at fixed times, regardless of their results.
pub struct Fixed {
    queue: BinaryHeap<Reverse<(u64, usize, usize)>>,
    intervals: Vec<(Call, f64)>,
    /// A token bucket: tokens, rate and time of the last refill. A call takes its true cost.
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

    /// Two Prometheus servers that scrape every minute, with three calls per scrape.
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

    /// Fixed intervals behind a token bucket with known costs, filled at the pace of the exporter's share.
    pub fn token_bucket(vps: usize, world: &World, seed: u64) -> Self {
        let mut fixed = Self::intervals(vps, seed);
        let rate = world.quotas() as f64
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
                // The bucket serves calls in order.
                self.blocked_until = now + (cost - *tokens) / *rate + 0.01;
                self.queue.push(Reverse((due, vps, index)));
                return;
            }
            *tokens -= cost;
        }
        world.call(Client::Measured, vps, call, now);
        self.queue
            .push(Reverse((micros(now + interval), vps, index)));
    }
}

/// The owner's scripts: bursts of 300 to 900 points within five minutes.
pub struct Bursts {
    dice: Dice,
    next: f64,
    left: u32,
    vps: usize,
    /// Seconds between two bursts on average; infinite if there is only one.
    every: f64,
}

impl Bursts {
    /// Bursts about six times a day.
    pub fn often(vps: usize, seed: u64) -> Self {
        Self {
            dice: Dice(seed),
            next: 3000.0,
            left: 0,
            vps,
            every: DAY / 6.0,
        }
    }

    pub fn once(vps: usize, seed: u64, at: f64) -> Self {
        Self {
            next: at,
            every: f64::INFINITY,
            ..Self::often(vps, seed)
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
            self.dice.exponential(self.every)
        } else {
            self.dice.roll() * 2.0
        };
        self.next += wait;
    }
}
