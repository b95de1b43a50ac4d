//! The planner: which calls are due, and which of them the points allow.
//!
//! It owns the schedule, the allowances, the learned costs, and the two experiments that teach it: brackets for costs
//! and surveys for scope. It has no clock and makes no call: [`Planner::take_due`] says what to send,
//! [`Planner::finish`] is told what came of it.

mod experiments;
mod groups;
mod memory;
mod queries;
mod readings;
mod replan;
mod sending;

use experiments::Experiments;
pub use memory::{Learnt, Memory};
use readings::FirstReading;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::allowance::{Allowance, Remaining, Sent};
use super::costs::Costs;
use super::downloads::Downloads;
use super::lag::Lag;
use super::pace::Pace;
use super::pacer::Pacer;
use super::places::Places;
use super::plan::Shed;
use super::refusals::Brake;
use super::schedule::{Outcome, Schedule};
use super::survey::Survey;
use super::window::{Ledger, WINDOW_LENGTHS};
use crate::config::Scope;
use crate::fleet::Deferral;
use crate::kiwivm::{Call, Reason, Veid, mix};

/// A refused call is looked at again after this.
const RETRY: Duration = Duration::from_secs(5);
/// So many readings in a row that fit what other groups spent join what was parted.
const STRANGERS: u32 = 3;
/// The next survey after one that parted by mistake.
const AFTER_MISTAKE: Duration = Duration::from_secs(6 * 3600);
/// Refusals of two VPSes within this time show that the allowance is shared, or the whole API is loaded.
const REFUSED_TOGETHER: Duration = Duration::from_secs(60);

/// What may be spent, and how many calls may be in flight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Of the points, at most this much: above 0, up to 1.
    pub share: f64,
    /// What other shards of the same fleet may spend. They are no reason to yield as others are.
    pub siblings: f64,
    /// What one allowance covers.
    pub scope: Scope,
    /// Bytes of answers a day and VPS.
    pub download: u64,
    /// Calls in flight.
    pub places: Places,
    /// Whether costs and scope are to be found out. A single round has no use for them.
    pub learn: bool,
}

/// What came of a call, as far as planning goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finished {
    /// Answer or reason.
    pub outcome: Outcome,
    /// What `getRateLimitStatus` said.
    pub remaining: Option<Remaining>,
    /// Bytes of the answer.
    pub bytes: u64,
}

/// Plans the calls of a fleet.
#[derive(Debug)]
pub struct Planner {
    schedule: Schedule,
    pacer: Pacer,
    limits: Limits,
    order: Vec<Veid>,
    costs: Costs,
    lag: Lag,
    groups: Vec<Group>,
    accounts: HashMap<Veid, Box<Account>>,
    flights: HashMap<Veid, Flight>,
    experiments: Experiments,
    /// VPSes that could not be read when the others were told apart.
    unsurveyed: HashSet<Veid>,
    reunited: Option<Duration>,
    /// Points sent by call, at the price of the time.
    spent: [f64; Call::ALL.len()],
    /// Everything ever spent, for telling what others' allowances may have seen.
    spent_in_all: f64,
    last_refusal: Option<(Duration, Veid)>,
    next_replan: Duration,
    retry: Option<Duration>,
    /// Whether something that was due did not fit.
    starved: bool,
    /// The points of no group allowed all that was due: what becomes due meanwhile waits for [`Self::retry`] too.
    waits: bool,
    /// Calls that a memory written earlier accounts for already.
    promised: HashSet<(Veid, Call)>,
    seed: u64,
    deferrals: Vec<(Call, Deferral)>,
    /// VPSes whose plan may have changed.
    moved: HashSet<Veid>,
}

/// An allowance, and what is going on with it.
#[derive(Debug)]
struct Group {
    allowance: Allowance,
    /// Whether that these VPSes share it is known, and need not be found out.
    certain: bool,
    shed: Shed,
    stretched: bool,
    first_reading: Option<FirstReading>,
    last_sent: Option<Duration>,
    replan_at: Duration,
    /// When a reading was asked for out of turn.
    pulled: Option<Duration>,
    survey: Option<Box<Survey>>,
    next_survey: Option<Duration>,
    surveys: u32,
    /// Readings in a row whose drop fits what other groups spent.
    strangers: u32,
    /// What other groups had spent when this was last looked at, and what fell unexplained since.
    elsewhere_before: f64,
    unexplained: f64,
}

impl Group {
    fn new(members: Vec<Veid>, certain: bool, siblings: f64, now: Duration) -> Self {
        Self {
            certain: certain || members.len() < 2,
            allowance: Allowance::new(members, siblings),
            shed: Shed::Nothing,
            stretched: false,
            first_reading: None,
            last_sent: None,
            replan_at: now,
            pulled: None,
            survey: None,
            next_survey: None,
            surveys: 0,
            strangers: 0,
            elsewhere_before: 0.0,
            unexplained: 0.0,
        }
    }
}

/// What is kept for each VPS, so that groups can be parted and joined.
#[derive(Clone, Debug)]
struct Account {
    pace: Pace,
    /// Index of the group that it is in.
    group: usize,
    ledger: Ledger,
    spent: f64,
    largest: Remaining,
    /// The last reading, and when it was asked for.
    reading: Option<(Duration, Remaining)>,
    brake: Brake,
    downloads: Downloads,
}

impl Account {
    fn new(pace: Pace) -> Self {
        Self {
            pace,
            group: 0,
            ledger: Ledger::coarse(WINDOW_LENGTHS),
            spent: 0.0,
            largest: [0.0; 2],
            reading: None,
            brake: Brake::default(),
            downloads: Downloads::default(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    call: Call,
    points: f64,
    sent: Sent,
    of_bracket: bool,
}

impl Planner {
    /// Plans for a fleet in the order given, beginning with a first round at `now`. `seed` should differ between
    /// processes, so that two exporters do not walk in step.
    #[must_use]
    pub fn new(fleet: &[(Veid, Pace)], limits: Limits, seed: u64, now: Duration) -> Self {
        let mut planner = Self {
            schedule: Schedule::new(limits.places),
            pacer: Pacer::default(),
            limits,
            order: Vec::new(),
            costs: Costs::default(),
            lag: Lag::default(),
            groups: Vec::new(),
            accounts: HashMap::new(),
            flights: HashMap::new(),
            experiments: Experiments::default(),
            unsurveyed: HashSet::new(),
            reunited: None,
            spent: [0.0; Call::ALL.len()],
            spent_in_all: 0.0,
            last_refusal: None,
            next_replan: now,
            retry: None,
            starved: false,
            waits: false,
            promised: HashSet::new(),
            seed,
            deferrals: Vec::new(),
            moved: HashSet::new(),
        };
        planner.reconfigure(fleet, limits, now);
        planner
    }

    /// Takes over a new configuration. What is known about VPSes that stay is kept, pauses and brakes are lifted.
    pub fn reconfigure(&mut self, fleet: &[(Veid, Pace)], limits: Limits, now: Duration) {
        let order: Vec<Veid> = fleet.iter().map(|(veid, _)| *veid).collect();
        let same_scope =
            self.limits.scope == limits.scope && self.order == order && !self.groups.is_empty();
        self.limits = limits;
        self.tell_costs_what_is_known();
        // Somebody waits for a single round.
        if limits.learn {
            self.pacer = Pacer::new(fleet.iter().map(|(_, pace)| *pace));
        }
        self.order = order;
        let mut known = std::mem::take(&mut self.accounts);
        for (veid, pace) in fleet {
            let mut account = known
                .remove(veid)
                .unwrap_or_else(|| Box::new(Account::new(*pace)));
            account.pace = *pace;
            account.brake.release();
            self.accounts.insert(*veid, account);
        }
        self.schedule.reconfigure(fleet, limits.places, now);
        if !same_scope {
            self.experiments.bracket = None;
            let (parts, certain) = match limits.scope {
                Scope::Vps => (self.order.iter().map(|veid| vec![*veid]).collect(), true),
                Scope::Account => (vec![self.order.clone()], true),
                Scope::Auto => (vec![self.order.clone()], false),
            };
            let parts: Vec<Vec<Veid>> = parts;
            let parts = parts.into_iter().filter(|part| !part.is_empty());
            self.regroup(parts.map(|part| (part, certain)).collect(), now);
        }
        for group in &mut self.groups {
            group.allowance.brake.release();
            group.allowance.set_siblings(limits.siblings);
            group.replan_at = now;
        }
        self.next_replan = now;
        self.moved.extend(&self.order);
    }

    /// Takes over what is known about costs.
    fn replace_costs(&mut self, costs: Costs) {
        self.costs = costs;
        self.tell_costs_what_is_known();
    }

    /// Samples are read in the light of who else is at work, and of whether readings come late.
    fn tell_costs_what_is_known(&mut self) {
        self.costs.siblings = self.limits.siblings > 0.0;
        self.costs.may_lag = self.limits.learn && self.lag.undecided();
    }

    /// Gives back a call taken with [`Self::take_due`].
    pub fn finish(&mut self, veid: Veid, finished: Finished, now: Duration) {
        let jitter = self.draw();
        let Some(flight) = self.flights.remove(&veid) else {
            return;
        };
        let call = flight.call;
        if self.schedule.finish(veid, finished.outcome, now, jitter) {
            self.deferrals.push((call, Deferral::Backoff));
        }
        let Some(group) = self.group_of(veid) else {
            return;
        };
        if let Some(account) = self.accounts.get_mut(&veid) {
            account.ledger.postpone(flight.sent.at, now, flight.points);
            if finished.outcome == Outcome::Success {
                account.downloads.received(call, finished.bytes, now);
            }
        }
        self.groups[group]
            .allowance
            .end(flight.points, flight.sent.at, now);
        if let Some(remaining) = finished.remaining {
            self.read(group, veid, remaining, &flight, now);
        }
        match finished.outcome {
            Outcome::Success => self.groups[group].allowance.brake.answered(now),
            Outcome::Failure(reason) => self.failed(group, veid, reason, now),
        }
        if flight.of_bracket {
            let comparable = finished
                .remaining
                .map(|read| self.groups[group].allowance.comparable(read, flight.sent));
            self.advance_bracket(comparable, call, finished.outcome, now);
        }
        self.advance_survey(group, veid, finished.remaining, now);
        if self.groups.iter().any(|group| group.strangers >= STRANGERS) {
            self.reunite(now + AFTER_MISTAKE, now);
        } else if finished.remaining.is_some()
            && self.unsurveyed.contains(&veid)
            && self.reunited.is_none_or(|at| now >= at + AFTER_MISTAKE / 6)
        {
            self.reunite(now + RETRY, now);
        }
    }

    /// Ends the pause of a VPS whose key was refused, because it has another key now.
    pub fn resume(&mut self, veid: Veid, now: Duration) {
        self.schedule.resume(veid, now);
    }

    fn failed(&mut self, group: usize, veid: Veid, reason: Reason, now: Duration) {
        let state = &mut self.groups[group];
        match reason {
            Reason::RateLimited => {
                let together = self.last_refusal.is_some_and(|(at, other)| {
                    other != veid && now.saturating_sub(at) < REFUSED_TOGETHER
                });
                self.last_refusal = Some((now, veid));
                if state.certain || together {
                    state.allowance.brake.refused(now);
                } else if let Some(account) = self.accounts.get_mut(&veid) {
                    account.brake.refused(now);
                }
                self.replan_soon(group, now);
            }
            Reason::Connect => {
                state.allowance.brake.dropped(now);
                self.replan_soon(group, now);
            }
            _ => {}
        }
    }

    fn retry_in(&mut self, wait: Duration, now: Duration) {
        let retry = now + wait;
        self.retry = Some(self.retry.map_or(retry, |earlier| earlier.min(retry)));
    }

    /// A number from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a jitter needs no 64 bits")]
    fn draw(&mut self) -> f64 {
        self.seed = mix(self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15));
        self.seed as f64 / u64::MAX as f64
    }
}

#[cfg(test)]
mod tests;
