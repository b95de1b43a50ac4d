//! Simulates exporters that share an account.

use std::collections::BTreeMap;
use std::time::Duration;

use super::account::{Account, LENGTHS, Left, Setup};
use crate::budget::pace::Pace;
use crate::budget::planner::{Finished, Limits, Member, Planner};
use crate::budget::quota::Share;
use crate::budget::schedule::{Due, Outcome};
use crate::budget::slots::Slots;
use crate::config::{Collect, Scope};
use crate::kiwivm::{Call, Reason, Veid};
use crate::units::{AccountTime, Bytes, Points};

/// The planner's clock at the start, larger than the age of any saved state.
const EPOCH: f64 = 10.0 * 86_400.0;
/// Seconds between two observations of points and plans.
pub const LOOK: f64 = 10.0;
/// Wakes per second that indicate an endless loop. Each call causes two wakes.
const MOST_WAKES: u32 = 200;

pub const PACE: Pace = Pace {
    live: Duration::from_secs(120),
    points: Duration::from_secs(600),
    usage: Duration::from_secs(600),
    inventory: Duration::from_secs(3600),
    collect: Collect::NOTHING,
};

pub fn at(seconds: f64) -> AccountTime {
    AccountTime::new(Duration::from_secs_f64(seconds + EPOCH))
}

pub const fn veid(vps: usize) -> Veid {
    Veid(1_000_000 + vps as u64)
}

/// Returns the VPSes of a range, with the same pace.
pub fn fleet(vps: std::ops::Range<usize>, pace: Pace) -> Vec<Member> {
    let member = |vps| Member {
        veid: veid(vps),
        pace,
        group: None,
    };
    vps.map(member).collect()
}

/// Returns limits with a share of half.
pub fn limits(vps: usize, scope: Scope) -> Limits {
    Limits {
        share: Share {
            fleet: 0.5,
            own: 0.5,
        },
        scope,
        download: Bytes(u64::MAX),
        slots: Slots::for_fleet(vps, PACE.live),
    }
}

/// A call that an exporter made.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub vps: usize,
    pub call: Call,
    pub at: f64,
    pub ends: f64,
    pub result: Result<Option<Left>, Reason>,
    pub points: f64,
}

impl Sent {
    /// Returns true if the call succeeded and is not a reading.
    pub fn is_data(&self) -> bool {
        self.result.is_ok() && self.call != Call::RateLimitStatus
    }

    pub fn is_live(&self) -> bool {
        self.call.returns_state()
    }
}

/// An observation of a quota.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub at: f64,
    pub left: Left,
    pub is_reachable: bool,
    /// The mean planned gap between data of the VPSes that always have some, and the shortest and longest planned interval
    /// of the working VPSes, in seconds.
    pub gap: f64,
    pub interval: f64,
    pub longest_interval: f64,
}

struct Exporter {
    planner: Planner,
    members: Vec<Member>,
    limits: Limits,
    in_flight: Vec<Sent>,
    wake: f64,
}

pub struct Simulation {
    pub account: Account,
    exporters: Vec<Exporter>,
    pub sent: Vec<Sent>,
    /// Observations by quota.
    pub looks: Vec<Vec<Look>>,
    pub now: f64,
    next_look: f64,
    wakes: (f64, u32),
}

impl Simulation {
    /// Creates a simulation with one exporter.
    pub fn new(setup: Setup, members: Vec<Member>, limits: Limits) -> Self {
        let mut simulation = Self::empty(setup, 7);
        simulation.add(members, limits);
        simulation
    }

    pub fn empty(setup: Setup, seed: u64) -> Self {
        Self {
            looks: vec![Vec::new(); setup.quotas],
            account: Account::new(setup, seed),
            exporters: Vec::new(),
            sent: Vec::new(),
            now: 0.0,
            next_look: LOOK,
            wakes: (0.0, 0),
        }
    }

    pub fn add(&mut self, members: Vec<Member>, limits: Limits) {
        let seed = (self.account.roll() * 1e15).to_bits();
        self.exporters.push(Exporter {
            planner: Planner::new(&members, limits, seed, at(self.now)),
            members,
            limits,
            in_flight: Vec::new(),
            wake: self.now,
        });
    }

    pub fn planner(&self) -> &Planner {
        &self.exporters[0].planner
    }

    /// Makes a call due now at the first exporter.
    pub fn hasten(&mut self, vps: usize, call: Call) {
        let now = at(self.now);
        let exporter = &mut self.exporters[0];
        exporter.planner.hasten(veid(vps), call, now);
        exporter.wake = self.now;
    }

    /// Gives the first exporter another configuration. Its calls in flight go on.
    pub fn reconfigure(&mut self, members: Vec<Member>, limits: Limits) {
        let now = at(self.now);
        let exporter = &mut self.exporters[0];
        exporter.planner.reconfigure(&members, limits, now);
        (exporter.members, exporter.limits) = (members, limits);
        exporter.wake = self.now;
    }

    /// Returns true if the first exporter has calls in flight.
    pub fn is_calling(&self) -> bool {
        !self.exporters[0].in_flight.is_empty()
    }

    /// Restarts all exporters, with or without their saved state.
    pub fn restart(&mut self, keeps_state: bool) {
        for index in 0..self.exporters.len() {
            let seed = (self.account.roll() * 1e15).to_bits();
            let now = at(self.now);
            let exporter = &mut self.exporters[index];
            let saved = keeps_state.then(|| exporter.planner.save_state(now));
            exporter.planner = Planner::new(&exporter.members, exporter.limits, seed, now);
            if let Some(saved) = saved {
                exporter.planner.restore_state(&saved, Duration::ZERO, now);
            }
            exporter.in_flight.clear();
            exporter.wake = self.now;
        }
    }

    /// Runs all exporters until `until`.
    pub fn run(&mut self, until: f64) {
        loop {
            let ends = |exporter: &Exporter| {
                let ends = exporter.in_flight.iter().map(|sent| sent.ends);
                ends.fold(exporter.wake, f64::min)
            };
            let next = self
                .exporters
                .iter()
                .map(ends)
                .fold(self.next_look, f64::min);
            if next > until {
                self.now = until;
                return;
            }
            self.now = next.max(self.now);
            if self.next_look <= self.now {
                self.look();
                self.next_look += LOOK;
            }
            for index in 0..self.exporters.len() {
                self.act(index);
            }
        }
    }

    fn act(&mut self, index: usize) {
        let now = self.now;
        let exporter = &mut self.exporters[index];
        let (ended, rest): (Vec<Sent>, Vec<Sent>) = std::mem::take(&mut exporter.in_flight)
            .into_iter()
            .partition(|sent| sent.ends <= now);
        exporter.in_flight = rest;
        if ended.is_empty() && exporter.wake > now {
            return;
        }
        for sent in ended {
            let finished = Finished {
                outcome: sent
                    .result
                    .map_or_else(Outcome::Failure, |_| Outcome::Success),
                remaining: sent.result.ok().flatten().map(|left| left.map(Points)),
                bytes: Bytes(1000),
                retry_after: None,
            };
            let due = Due {
                veid: veid(sent.vps),
                call: sent.call,
            };
            exporter.planner.finish(due, finished, at(now));
        }
        for due in exporter.planner.take_due(at(now)) {
            let vps = usize::try_from(due.veid.0 - veid(0).0).expect("a small fleet");
            let response = self.account.call(vps, due.call, now);
            let sent = Sent {
                vps,
                call: due.call,
                at: now,
                ends: now + response.takes,
                result: response.result,
                points: response.points,
            };
            exporter.in_flight.push(sent);
            self.sent.push(sent);
        }
        let wake = exporter.planner.next_wake(at(now));
        assert!(
            wake > at(now),
            "the planner must not wake again at the same time"
        );
        exporter.wake = wake.since_zero().as_secs_f64() - EPOCH;
        if now - self.wakes.0 >= 1.0 {
            self.wakes = (now, 0);
        }
        self.wakes.1 += 1;
        assert!(self.wakes.1 < MOST_WAKES, "endless loop at {now}");
    }

    fn look(&mut self) {
        let now = self.now;
        self.account.advance(now);
        for quota in 0..self.looks.len() {
            let mut rate = 0.0;
            let (mut shortest, mut longest) = (f64::MAX, 0.0_f64);
            for exporter in &self.exporters {
                for member in &exporter.members {
                    let vps = usize::try_from(member.veid.0 - veid(0).0).expect("a small fleet");
                    if vps % self.looks.len() == quota && self.account.setup.works(vps) {
                        let interval = interval(&exporter.planner, vps);
                        if self.account.setup.always_has_data(vps) {
                            rate += 1.0 / interval;
                        }
                        shortest = shortest.min(interval);
                        longest = longest.max(interval);
                    }
                }
            }
            self.looks[quota].push(Look {
                at: now,
                left: self.account.left(quota),
                is_reachable: self.account.is_reachable(now),
                gap: 1.0 / rate,
                interval: shortest,
                longest_interval: longest,
            });
        }
    }

    /// Returns the largest spending of the exporters in any trailing window of a quota.
    pub fn most_spent(&self, quota: usize, window: usize) -> f64 {
        let own: Vec<&Sent> = self
            .sent
            .iter()
            .filter(|sent| sent.vps % self.looks.len() == quota)
            .collect();
        let (mut from, mut sum, mut most) = (0, 0.0, 0.0_f64);
        for sent in &own {
            sum += sent.points;
            while own[from].at < sent.at - LENGTHS[window] {
                sum -= own[from].points;
                from += 1;
            }
            most = most.max(sum);
        }
        most
    }

    /// Returns the time of the first data of each VPS.
    pub fn first_data(&self) -> BTreeMap<usize, f64> {
        let mut first = BTreeMap::new();
        for sent in &self.sent {
            if sent.is_live() && sent.result.is_ok() {
                first.entry(sent.vps).or_insert(sent.at);
            }
        }
        first
    }

    /// Returns the times of all calls of one kind to a VPS.
    pub fn times(&self, vps: usize, call: Call) -> Vec<f64> {
        let of = |sent: &&Sent| sent.vps == vps && sent.call == call;
        self.sent.iter().filter(of).map(|sent| sent.at).collect()
    }
}

/// Returns the planned interval of live or service info in seconds.
pub fn interval(planner: &Planner, vps: usize) -> f64 {
    let intervals = planner.intervals(veid(vps));
    intervals[Call::ServiceInfo].map_or(f64::MAX, |interval| interval.as_secs_f64())
}
