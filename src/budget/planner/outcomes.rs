//! The results of calls.

use std::time::Duration;

use super::{Planner, Sent, use_of};
use crate::budget::prices::Verdict;
use crate::budget::quota::{Remaining, TELLING_SPAN};
use crate::budget::sampling::Complete;
use crate::budget::schedule::{Due, Outcome};
use crate::budget::scope::{Decision, LastReading};
use crate::budget::window::Window;
use crate::config::Scope;
use crate::fleet::Deferral;
use crate::kiwivm::{Call, Reason, Veid};

/// A reading counts for so long when no other one works.
const OUTDATED: Duration = Duration::from_secs(30 * 60);
/// A fall of this many points beyond twice the own spending makes the price of live be looked at.
const UNEXPLAINED: f64 = 16.0;

/// The result of a call, as far as planning goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finished {
    /// A response, or the reason of a failure.
    pub outcome: Outcome,
    /// The numbers of `getRateLimitStatus`, if both are usable.
    pub remaining: Option<Remaining>,
    /// Bytes of the response.
    pub bytes: u64,
    /// The wait that a refusal asked for.
    pub retry_after: Option<Duration>,
}

impl Planner {
    /// Takes in the result of a call that [`Planner::take_due`] gave.
    pub fn finish(&mut self, due: Due, finished: Finished, now: Duration) {
        let Due { veid, call } = due;
        let jitter = self.draw();
        let remaining = finished.remaining.filter(|_| call == Call::RateLimitStatus);
        let unusable = call == Call::RateLimitStatus && remaining.is_none();
        let outcome = match finished.outcome {
            Outcome::Success if unusable => Outcome::Failure(Reason::BadShape),
            outcome => outcome,
        };
        let success = outcome == Outcome::Success;
        if self
            .schedule
            .finish(due, outcome, finished.retry_after, now, jitter)
        {
            self.report.deferrals.push((call, Deferral::Backoff));
        }
        self.report.moved.insert(veid);
        let Some(account) = self.accounts.get_mut(&veid) else {
            return;
        };
        let sent = account.flights.iter().position(|sent| sent.call == call);
        let Some(sent) = sent.map(|position| account.flights.swap_remove(position)) else {
            return;
        };
        if success {
            account.downloads.received(call, finished.bytes, now);
        }
        let index = account.quota;
        let quota = &mut self.quotas[index];
        quota.finish(use_of(call), success, sent.points, now);
        match outcome {
            Outcome::Success => quota.brake.answered(now),
            Outcome::Failure(Reason::RateLimited) => {
                let certain = quota.certain;
                let counts = quota
                    .brake
                    .refused(veid, certain, finished.retry_after, now);
                quota.planned.until = now;
                // Prices are those of all VPSes: one that is always refused must not raise them.
                if counts && (!quota.is_known() || self.prices.are_assumed()) {
                    self.prices.refused(now);
                }
            }
            // Readings that never work are no sign that live calls are refused.
            Outcome::Failure(Reason::Connect) if call != Call::RateLimitStatus => {
                let alone = quota.members.len() == 1;
                quota.brake.dropped(veid, alone, now);
            }
            Outcome::Failure(_) => {}
        }
        if unusable {
            let readings = &mut self.quotas[index].readings;
            readings.failures = readings.failures.saturating_add(1);
            // Only our own spending was counted since, not the points that came back.
            if readings.last[0].is_some_and(|last| now.saturating_sub(last.at) > OUTDATED) {
                readings.last = [None; 2];
            }
        }
        if let Some(remaining) = remaining {
            self.read(index, remaining, &sent, now);
        }
        let complete = self.sampling.finish(veid, call, success, remaining, now);
        if let Some(complete) = complete {
            self.learn(index, complete, now);
        }
        // Last, because it may form the quotas anew.
        if let Some(remaining) = remaining {
            self.vote(veid, remaining, &sent, now);
        }
    }

    /// Takes in a reading of a quota.
    fn read(&mut self, index: usize, remaining: Remaining, sent: &Sent, now: Duration) {
        let quota = &mut self.quotas[index];
        let day = Window::Day as usize;
        if let Some(last) = quota.readings.last[0] {
            let fall = (last.remaining[0] - remaining[0]).max(last.remaining[day] - remaining[day]);
            if fall > 2.0 * (sent.before[0] - last.spent) + UNEXPLAINED {
                self.sampling.look_now(Call::LiveServiceInfo, now);
            }
        }
        let (begun, booked) = *quota
            .readings
            .span
            .get_or_insert((remaining[day], sent.before[0]));
        let own = sent.before[0] - booked;
        if own >= TELLING_SPAN {
            let complete = !quota.ledger.window(Window::Day).has_expired();
            self.prices.calibrate(own, begun - remaining[day], complete);
            quota.readings.span = Some((remaining[day], sent.before[0]));
        }
        quota.read(remaining, sent.before[0], now);
        quota.planned.until = now;
    }

    /// Learns from a price sample.
    fn learn(&mut self, index: usize, sample: Complete, now: Duration) {
        let call = sample.call;
        let (assumed, known) = (self.prices.price(call), self.prices.was_learned(call));
        let verdict = self.prices.add(call, sample.before, sample.after, now);
        let price = self.prices.price(call);
        if !known && self.prices.was_learned(call) {
            // All calls of the kind were booked at the price that was assumed, and every VPS made about as many.
            let booked = self.report.spent[call] * (price / assumed - 1.0);
            for quota in &mut self.quotas {
                let part = as_f64(quota.members.len()) / as_f64(self.order.len().max(1));
                quota.ledger.correct(now, booked * part);
            }
        }
        let reading = self.prices.price(Call::RateLimitStatus);
        let share = self.limits.share;
        let live = self.prices.price(Call::LiveServiceInfo);
        let rate = self.quotas[index].rate(share, live, now);
        if verdict == Some(Verdict::Normal) {
            let samples = self.prices.samples(call);
            self.sampling
                .plan_next(call, samples, 2.0 * reading, rate, now);
        } else {
            self.sampling.repeat(call, now);
        }
        for quota in &mut self.quotas {
            quota.planned.until = now;
        }
    }

    /// Compares a reading with the last one of the same VPS, for whether VPSes share a quota.
    fn vote(&mut self, veid: Veid, remaining: Remaining, sent: &Sent, now: Duration) {
        let reading = LastReading {
            at: sent.at,
            remaining,
            own: sent.before[1],
            all: sent.before[2],
        };
        let share = self.limits.share.fleet;
        let Some(account) = self.accounts.get_mut(&veid) else {
            return;
        };
        let quota = &self.quotas[account.quota];
        let before = account.reading.replace(reading);
        if account.group.is_some() || self.limits.scope != Scope::Auto {
            return;
        }
        let united = quota.members.len() > 1;
        // Nothing of the own spending comes back for a day; spending of an earlier process is not known.
        let comes_back = quota.ledger.window(Window::Day).has_expired();
        let full = share * quota.size(Window::Day) / Window::Day.seconds();
        let rate = if comes_back { full } else { 0.0 };
        let live = self.prices.price(Call::LiveServiceInfo);
        if let Some(before) = before {
            let decision = self.votes.read(veid, &before, &reading, united, rate, live);
            // Assumed prices are no proof that the others' spending is missing.
            let proven = !self.prices.are_assumed() || decision == Some(Decision::Unite);
            self.decide(decision.filter(|_| proven), now);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of VPSes")]
const fn as_f64(count: usize) -> f64 {
    count as f64
}
