//! The planner decides which calls are due and which of them the points allow.
//!
//! It has no clock and makes no calls: [`Planner::take_due`] returns the calls to send, and [`Planner::finish`] takes
//! their results.

mod grouping;
mod outcomes;
mod plans;
mod queries;
mod readings;
mod saved_state;
mod silence;

pub use outcomes::Finished;
pub use saved_state::{Learned, SavedState};
use silence::Silence;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::brake::Brake;
use super::downloads::Downloads;
use super::pace::Pace;
use super::pacer::Pacer;
use super::prices::Prices;
use super::quota::{Priority, Quota, Share};
use super::sampling::Sampling;
use super::schedule::{Due, Schedule};
use super::scope::{LastReading, Votes};
use super::slots::Slots;
use crate::config::Scope;
use crate::fleet::Deferral;
use crate::kiwivm::{Call, PerCall, Veid, mix};
use crate::units::{AccountTime, Bytes, Points};

/// Maximum time between two runs of the planner, somewhat less than the shortest wait for a reading.
const TICK: Duration = Duration::from_secs(5);
/// A VPS without data for this long gets service info if the points do not allow a live call.
const WITHOUT_DATA: Duration = Duration::from_secs(600);

/// A VPS to plan for.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its VEID.
    pub veid: Veid,
    /// Its wanted intervals.
    pub pace: Pace,
    /// The configured name of its quota, if it has one.
    pub group: Option<String>,
}

/// The limits of a fleet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The fraction of each quota that may be spent.
    pub share: Share,
    /// The rule for sharing quotas. It does not apply to VPSes with a configured group.
    pub scope: Scope,
    /// Maximum size of the responses per day and VPS.
    pub download: Bytes,
    /// Calls in flight.
    pub slots: Slots,
}

/// Plans the calls of a fleet.
#[derive(Debug)]
pub struct Planner {
    limits: Limits,
    order: Vec<Veid>,
    accounts: HashMap<Veid, Box<Account>>,
    quotas: Vec<Quota>,
    schedule: Schedule,
    pacer: Pacer,
    prices: Prices,
    sampling: Sampling,
    votes: Votes,
    report: Report,
    silence: Silence,
    /// State of the random numbers for the jitter of backoffs.
    seed: u64,
}

/// The planner's record of one VPS.
#[derive(Clone, Debug)]
struct Account {
    pace: Pace,
    group: Option<String>,
    /// Index of its quota.
    quota: usize,
    downloads: Downloads,
    /// Total points spent by the VPS.
    spent: Points,
    reading: Option<LastReading>,
    flights: Vec<Sent>,
}

/// A call in flight.
#[derive(Clone, Copy, Debug)]
struct Sent {
    call: Call,
    at: AccountTime,
    points: Points,
    /// Total points spent before the call: from the quota, by the VPS, by all VPSes.
    before: [Points; 3],
}

/// Points spent, and changes since they were last taken.
#[derive(Debug, Default)]
struct Report {
    spent: PerCall<Points>,
    deferrals: Vec<(Call, Deferral)>,
    changed: HashSet<Veid>,
}

impl Planner {
    /// Creates a planner whose first round starts at `now`, in the order of `fleet`. `seed` should differ between
    /// processes, so that several exporters do not retry at the same times.
    #[must_use]
    pub fn new(fleet: &[Member], limits: Limits, seed: u64, now: AccountTime) -> Self {
        let mut planner = Self {
            limits,
            order: Vec::new(),
            accounts: HashMap::new(),
            quotas: Vec::new(),
            schedule: Schedule::new(limits.slots),
            pacer: Pacer::default(),
            prices: Prices::default(),
            sampling: Sampling::default(),
            votes: Votes::default(),
            report: Report::default(),
            silence: Silence::since(now),
            seed,
        };
        planner.reconfigure(fleet, limits, now);
        planner
    }

    /// Applies a new configuration. Data about remaining VPSes are kept. Pauses and slowdowns end.
    pub fn reconfigure(&mut self, fleet: &[Member], limits: Limits, now: AccountTime) {
        let paces: Vec<(Veid, Pace)> = fleet.iter().map(|of| (of.veid, of.pace)).collect();
        let groups_before = self.groups();
        let scope_before = self.limits.scope;
        self.limits = limits;
        self.pacer = Pacer::new(fleet.iter().map(|member| member.pace));
        self.order = fleet.iter().map(|member| member.veid).collect();
        let mut known = std::mem::take(&mut self.accounts);
        for member in fleet {
            let account = known.remove(&member.veid);
            let mut account = account.unwrap_or_else(|| Box::new(Account::new(member)));
            account.pace = member.pace;
            account.group.clone_from(&member.group);
            self.accounts.insert(member.veid, account);
        }
        self.schedule.reconfigure(&paces, limits.slots, now);
        if self.quotas.is_empty() || scope_before != limits.scope || groups_before != self.groups()
        {
            self.regroup(limits.scope != Scope::Vps);
        }
        for quota in &mut self.quotas {
            quota.brake = Brake::default();
            quota.expire_plan(now);
        }
        self.report.changed.extend(&self.order);
    }

    /// Returns the calls to send now and marks them as sent.
    pub fn take_due(&mut self, now: AccountTime) -> Vec<Due> {
        self.replan(now);
        self.schedule_readings(now);
        let mut taken = Vec::new();
        let mut held = self.continue_sample(&mut taken, now);
        self.end_silence(now);
        for (call, _, veid) in self.schedule.waiting(now) {
            if self.pacer.wait(now) > Duration::ZERO {
                break;
            }
            let Some(quota) = self.quota_of(veid).filter(|quota| Some(*quota) != held) else {
                continue;
            };
            if !self.schedule.has_slot(veid, call) {
                self.defer(veid, call, Deferral::Concurrency);
                continue;
            }
            let Some(call) = self.affordable(veid, quota, call, now) else {
                self.defer(veid, call, Deferral::Budget);
                continue;
            };
            if self.begin_sample(veid, quota, call, now) {
                held = self.continue_sample(&mut taken, now);
            } else {
                self.send(veid, call, now);
                taken.push(Due { veid, call });
            }
        }
        taken
    }

    /// Returns the next time at which [`Self::take_due`] may return a call.
    #[must_use]
    pub fn next_wake(&self, now: AccountTime) -> AccountTime {
        let pacer = Some(now + self.pacer.wait(now)).filter(|at| *at > now);
        let early = Some(self.end_of_silence()).filter(|at| *at > now);
        [
            self.schedule.next_due(now),
            self.sampling.deadline(),
            pacer,
            early,
        ]
        .into_iter()
        .flatten()
        .fold(now + TICK, AccountTime::min)
    }

    /// Sends the next call of the current sample and returns the quota that it holds.
    fn continue_sample(&mut self, taken: &mut Vec<Due>, now: AccountTime) -> Option<usize> {
        let veid = self.sampling.held_vps(now)?;
        let quota = self.quota_of(veid)?;
        if !self.has_calls_in_flight(quota)
            && let Some((veid, call)) = self.sampling.next_call()
            && self.schedule.has_slot(veid, call)
        {
            self.sampling.sent(now);
            self.send(veid, call, now);
            taken.push(Due { veid, call });
        }
        Some(quota)
    }

    fn has_calls_in_flight(&self, quota: usize) -> bool {
        let members = &self.quotas[quota].members;
        let in_flight = |veid| self.accounts.get(veid).map(|account| &account.flights);
        members
            .iter()
            .filter_map(in_flight)
            .any(|sent| !sent.is_empty())
    }

    /// Starts a price sample with a call that is about to be sent, if one is due. Returns true if it did.
    fn begin_sample(&mut self, veid: Veid, quota: usize, call: Call, now: AccountTime) -> bool {
        let alone = self.quotas[quota].members.len() == 1;
        // Its own usage call may take minutes, and a live call must not wait for it.
        if alone && self.has_calls_in_flight(quota) {
            return false;
        }
        let readings = &self.quotas[quota].readings;
        let usable = readings.first_request.is_none() || self.quotas[quota].is_known();
        // Learn the price of live first: it may be high, and a first round makes many of these calls.
        let live_is_known = self.prices.learned(Call::LiveServiceInfo).is_some();
        usable
            && (live_is_known || call == Call::LiveServiceInfo)
            && readings.failures == 0
            && self.schedule.is_ready(veid)
            && self.prices.wants_samples(now)
            && self.sampling.try_begin(veid, call, alone, now)
    }

    /// Returns the call if the points and the download limit allow it. Returns service info instead of a live call that
    /// they do not allow, if the VPS has had no data for [`WITHOUT_DATA`].
    fn affordable(
        &mut self,
        veid: Veid,
        quota: usize,
        call: Call,
        now: AccountTime,
    ) -> Option<Call> {
        let account = self.accounts.get_mut(&veid)?;
        if !account.downloads.admits(call, self.limits.download, now) {
            return None;
        }
        let share = self.limits.share;
        let mut admits = |call: Call| {
            self.quotas[quota].admits(priority(call), self.prices.price(call), share, now)
        };
        if admits(call) {
            return Some(call);
        }
        let entry = self.schedule.of(veid)?;
        let last_data = entry.last_data;
        let without = last_data.is_none_or(|at| now.since(at) >= WITHOUT_DATA);
        let fallback = Call::ServiceInfo;
        // After a failure, service info waits for its own due time. Otherwise a failing VPS would take all points.
        let works = entry.failures[fallback] == 0;
        (call == Call::LiveServiceInfo && without && works && admits(fallback)).then_some(fallback)
    }

    fn send(&mut self, veid: Veid, call: Call, now: AccountTime) {
        let points = self.prices.price(call);
        let Some(account) = self.accounts.get_mut(&veid) else {
            return;
        };
        let quota = &mut self.quotas[account.quota];
        if call == Call::RateLimitStatus {
            quota.readings.last_request = now;
            quota.readings.first_request.get_or_insert(now);
        } else if call.returns_state()
            && let Some(entry) = self.schedule.of(veid)
            && entry.failures[call] == 0
        {
            self.silence.last_data_call = now;
        }
        let all = self.report.spent.values().copied().sum();
        let before = [quota.send(priority(call), points, now), account.spent, all];
        account.spent += points;
        account.flights.push(Sent {
            call,
            at: now,
            points,
            before,
        });
        self.report.spent[call] += points;
        self.pacer.sent(now);
        self.schedule.start(veid, call, now);
        self.report.changed.insert(veid);
    }

    fn defer(&mut self, veid: Veid, call: Call, reason: Deferral) {
        if self.schedule.first_deferral(veid) {
            self.report.deferrals.push((call, reason));
        }
    }

    fn quota_of(&self, veid: Veid) -> Option<usize> {
        Some(self.accounts.get(&veid)?.quota)
    }

    /// Returns a pseudorandom number from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a jitter needs no 64 bits")]
    fn random(&mut self) -> f64 {
        // The increment of splitmix64.
        self.seed = mix(self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15));
        self.seed as f64 / u64::MAX as f64
    }
}

impl Account {
    fn new(member: &Member) -> Self {
        Self {
            pace: member.pace,
            group: member.group.clone(),
            quota: 0,
            downloads: Downloads::default(),
            spent: Points::ZERO,
            reading: None,
            flights: Vec::new(),
        }
    }
}

const fn priority(call: Call) -> Priority {
    match call {
        Call::RateLimitStatus => Priority::Reading,
        Call::LiveServiceInfo => Priority::Live,
        Call::ServiceInfo => Priority::Fallback,
        _ => Priority::Background,
    }
}

#[cfg(test)]
mod tests;
