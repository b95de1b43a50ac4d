//! A planner before a simulated account.

use std::collections::{BTreeMap, VecDeque};

use super::*;
use crate::simulator::{Cost, Points};

pub const PACE: Pace = Pace {
    live: Duration::from_secs(120),
    points: Duration::from_secs(600),
    usage: Duration::from_secs(600),
    inventory: Duration::from_secs(3600),
    collect: Collect::NOTHING,
};
/// The planner's clock when the story begins: later than anything remembered is old.
pub const BEGIN: Duration = Duration::from_secs(10 * 86_400);
const WINDOWS: [f64; 2] = [900.0, 86_400.0];
pub const HOUR: f64 = 3600.0;

pub fn costs(live: f64, usage: f64) -> BTreeMap<String, Cost> {
    [(Call::LiveServiceInfo, live), (Call::RawUsageStats, usage)]
        .map(|(call, points)| (call.name().to_owned(), points.into()))
        .into()
}

/// A planner before an account, with the true spending kept beside.
pub struct Rig {
    pub planner: Planner,
    pub points: Points,
    pub options: PointsOptions,
    pub limits: Limits,
    pub vps: u64,
    pub collected: Collect,
    pub now: f64,
    pub in_flight: Vec<(f64, Veid, Finished)>,
    /// What was truly spent: when, from which allowance, how much.
    pub spent: VecDeque<(f64, u64, f64)>,
    pub calls: Vec<(f64, Due)>,
    /// Every so manieth reading is lost.
    pub lost_readings: u64,
    pub draws: u64,
    /// Seconds a live call takes.
    pub live_takes: f64,
}

impl Rig {
    pub fn new(vps: u64, options: PointsOptions, share: f64) -> Self {
        let places = Places::for_fleet(usize::try_from(vps).unwrap(), PACE.live);
        let limits = Limits {
            share,
            siblings: 0.0,
            scope: Scope::Auto,
            download: u64::MAX,
            places,
            learn: true,
        };
        Self {
            planner: Planner::new(&fleet(vps, Collect::NOTHING), limits, 1, BEGIN),
            points: Points::new(options.clone()),
            options,
            limits,
            vps,
            collected: Collect::NOTHING,
            now: 0.0,
            in_flight: Vec::new(),
            spent: VecDeque::new(),
            calls: Vec::new(),
            lost_readings: u64::MAX,
            draws: 0,
            live_takes: 3.0,
        }
    }

    pub fn at(&self) -> Duration {
        BEGIN + Duration::from_secs_f64(self.now)
    }

    pub fn allowance(&self, veid: Veid) -> u64 {
        match self.options.scope {
            PointsScope::Vps => veid.0,
            PointsScope::Account => 0,
            PointsScope::Groups(groups) => veid.0 % groups,
        }
    }

    /// Runs until a time of the story; others spend at the times given. Returns the largest excess over the share.
    pub fn run(&mut self, until: f64, others: &mut VecDeque<(f64, Veid, f64)>) -> f64 {
        let mut excess = f64::MIN;
        while self.now < until {
            while let Some((at, veid, points)) =
                others.front().copied().filter(|(at, ..)| *at <= self.now)
            {
                let _ = self.points.spend_points(veid.0, points, at);
                others.pop_front();
            }
            let next = others.front().map_or(f64::MAX, |(at, ..)| *at);
            excess = excess.max(self.step(next));
        }
        excess
    }

    /// Does what is to be done now, and goes on to the next time at which there may be something, at the latest to
    /// `until`. Returns the largest excess over the share.
    pub fn step(&mut self, until: f64) -> f64 {
        let mut excess = f64::MIN;
        self.in_flight.sort_by(|a, b| a.0.total_cmp(&b.0));
        while self
            .in_flight
            .first()
            .is_some_and(|(ends, ..)| *ends <= self.now)
        {
            let (_, veid, finished) = self.in_flight.remove(0);
            self.planner.finish(veid, finished, self.at());
        }
        for due in self.planner.take_due(self.at()) {
            excess = excess.max(self.send(due));
        }
        let wake = self
            .planner
            .next_wake(self.at())
            .saturating_sub(BEGIN)
            .as_secs_f64();
        let ends = self
            .in_flight
            .iter()
            .map(|(ends, ..)| *ends)
            .fold(f64::MAX, f64::min);
        self.now = wake.min(ends).min(until).max(self.now + 0.001);
        excess
    }

    pub fn send(&mut self, due: Due) -> f64 {
        self.draws += 1;
        self.calls.push((self.now, due));
        let (mut outcome, mut remaining) = (Outcome::Success, None);
        let mut excess = f64::MIN;
        match self.points.spend(due.veid.0, due.call.name(), self.now) {
            Err(_) => outcome = Outcome::Failure(Reason::RateLimited),
            Ok(points) => {
                self.spent
                    .push_back((self.now, self.allowance(due.veid), points));
                excess = self.excess(due.veid);
                if due.call == Call::RateLimitStatus {
                    #[expect(clippy::cast_precision_loss, reason = "points")]
                    let read = self
                        .points
                        .remaining(due.veid.0, self.now)
                        .map(|points| points as f64);
                    remaining = Some(read);
                    if self.draws.is_multiple_of(self.lost_readings) {
                        (outcome, remaining) = (Outcome::Failure(Reason::Timeout), None);
                    }
                }
            }
        }
        let takes = if due.call == Call::LiveServiceInfo {
            self.live_takes
        } else {
            0.5
        };
        self.in_flight.push((
            self.now + takes,
            due.veid,
            Finished {
                outcome,
                remaining,
                bytes: 100,
            },
        ));
        excess
    }

    pub fn own(&self, allowance: u64, window: usize) -> f64 {
        let from = self.now - WINDOWS[window];
        self.spent
            .iter()
            .rev()
            .take_while(|(at, ..)| *at > from)
            .filter(|(_, of, _)| *of == allowance)
            .map(|(.., p)| p)
            .sum()
    }

    fn excess(&self, veid: Veid) -> f64 {
        let allowance = self.allowance(veid);
        (0..2)
            .map(|window| {
                self.own(allowance, window) - self.limits.share * self.options.sizes[window]
            })
            .fold(f64::MIN, f64::max)
    }

    /// The process ends, and another begins at once.
    pub fn restart(&mut self, keeps_state: bool) {
        self.restart_after(0.0, keeps_state);
    }

    pub fn restart_after(&mut self, downtime: f64, keeps_state: bool) {
        let now = self.at();
        let memory = self.planner.remember(Duration::ZERO, now);
        // What is written can be read.
        let memory: Memory = serde_json::from_slice(&serde_json::to_vec(&memory).unwrap()).unwrap();
        self.now += downtime;
        let now = self.at();
        self.planner = Planner::new(
            &fleet(self.vps, self.collected),
            self.limits,
            self.draws,
            now,
        );
        if keeps_state {
            let elapsed = Duration::from_secs_f64(downtime);
            self.planner.recall(&memory, elapsed, now);
        }
        self.in_flight.clear();
    }

    pub fn collect(&mut self, collected: Collect) {
        self.collected = collected;
        let now = self.at();
        self.planner
            .reconfigure(&fleet(self.vps, collected), self.limits, now);
    }

    pub fn spent_in_all(&self) -> f64 {
        self.spent.iter().map(|(.., points)| points).sum()
    }
}

pub fn fleet(vps: u64, collect: Collect) -> Vec<(Veid, Pace)> {
    let pace = Pace { collect, ..PACE };
    (0..vps).map(|veid| (Veid(veid), pace)).collect()
}

pub fn nobody() -> VecDeque<(f64, Veid, f64)> {
    VecDeque::new()
}

pub fn account(live: f64, usage: f64, scope: PointsScope) -> PointsOptions {
    PointsOptions {
        costs: costs(live, usage),
        scope,
        ..PointsOptions::default()
    }
}
