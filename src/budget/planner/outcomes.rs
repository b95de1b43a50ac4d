//! Handles the results of calls.

use std::time::Duration;

use super::{Planner, Sent, priority};
use crate::budget::prices::Verdict;
use crate::budget::quota::{MIN_SPAN, Remaining};
use crate::budget::sampling::Complete;
use crate::budget::schedule::{Due, Outcome};
use crate::budget::scope::{Decision, LastReading};
use crate::budget::window::Window;
use crate::config::Scope;
use crate::fleet::Deferral;
use crate::kiwivm::{Call, Reason, Veid};
use crate::units::{AccountTime, Bytes, Points, PointsPerSecond};

/// Maximum age of the last usable reading while newer ones are unusable.
const OUTDATED: Duration = Duration::from_secs(30 * 60);
/// A fall of readings by more than twice the own spending plus these points triggers a sample of the price of live.
const UNEXPLAINED: Points = Points(16.0);

/// The result of a call, for the planner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finished {
    /// Success or the reason of the failure.
    pub outcome: Outcome,
    /// The remaining points of `getRateLimitStatus`, if both numbers are usable.
    pub remaining: Option<Remaining>,
    /// The size of the response.
    pub bytes: Bytes,
    /// The `Retry-After` of a refusal.
    pub retry_after: Option<Duration>,
}

impl Planner {
    /// Records the result of a call that [`Planner::take_due`] returned.
    pub fn finish(&mut self, due: Due, finished: Finished, now: AccountTime) {
        let Due { veid, call } = due;
        let jitter = self.random();
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
        self.report.changed.insert(veid);
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
        quota.finish(priority(call), success, sent.points, now);
        match outcome {
            Outcome::Success => quota.brake.responded(now),
            Outcome::Failure(Reason::RateLimited) => {
                let certain = quota.certain;
                let counts = quota
                    .brake
                    .refused(veid, certain, finished.retry_after, now);
                quota.expire_plan(now);
                // Prices apply to all VPSes, so a single VPS that is always refused must not raise them.
                if counts && (!quota.is_known() || self.prices.are_assumed()) {
                    self.prices.refused(now);
                }
            }
            // Dropped readings do not suggest that live calls are refused.
            Outcome::Failure(Reason::Connect) if call != Call::RateLimitStatus => {
                let alone = quota.members.len() == 1;
                quota.brake.dropped(veid, alone, now);
            }
            Outcome::Failure(_) => {}
        }
        if unusable {
            let readings = &mut self.quotas[index].readings;
            readings.failures = readings.failures.saturating_add(1);
            // The points left are too low by now: they include own spending since the reading, but not returned points.
            if readings.last[0].is_some_and(|last| now.since(last.at) > OUTDATED) {
                readings.last = [None; 3];
            }
        }
        if let Some(remaining) = remaining {
            self.read(index, remaining, &sent, now);
        }
        let complete = self.sampling.finish(veid, call, success, remaining, now);
        if let Some(complete) = complete {
            self.learn(index, complete, now);
        }
        // Last, because it may change the quotas.
        if let Some(remaining) = remaining {
            self.vote(veid, remaining, &sent, now);
        }
    }

    /// Records a reading of a quota.
    fn read(&mut self, index: usize, remaining: Remaining, sent: &Sent, now: AccountTime) {
        let quota = &mut self.quotas[index];
        let day = Window::Day as usize;
        if let Some(last) = quota.readings.last[0] {
            let fall = (last.remaining[0] - remaining[0]).max(last.remaining[day] - remaining[day]);
            if fall > (sent.before[0] - last.spent) * 2.0 + UNEXPLAINED {
                self.sampling.check_now(Call::LiveServiceInfo, now);
            }
        }
        let (started_with, booked) = *quota
            .readings
            .span
            .get_or_insert((remaining[day], sent.before[0]));
        let own = sent.before[0] - booked;
        if own >= MIN_SPAN {
            let complete = !quota.ledger.has_expired(Window::Day);
            self.prices
                .calibrate(own, started_with - remaining[day], complete);
            quota.readings.span = Some((remaining[day], sent.before[0]));
        }
        quota.read(remaining, sent.before[0], now);
        if !quota.is_low(self.limits.share) && quota.brake.release(sent.at) {
            for veid in &quota.members {
                self.schedule.retry_live(*veid, now);
            }
        }
        quota.expire_plan(now);
    }

    /// Learns from a price sample.
    fn learn(&mut self, index: usize, sample: Complete, now: AccountTime) {
        let call = sample.call;
        let (assumed, known) = (self.prices.price(call), self.prices.was_learned(call));
        let verdict = self.prices.add(call, sample.before, sample.after, now);
        let price = self.prices.price(call);
        if !known && self.prices.was_learned(call) {
            // Calls of this kind were booked at the assumed price, about as many by each VPS.
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
        let samples = self.prices.samples(call);
        if verdict == Verdict::Normal && !self.prices.needs_confirmation(call) {
            self.sampling
                .plan_next(call, samples, reading * 2.0, rate, now);
        } else {
            self.sampling.repeat(call, now);
        }
        for quota in &mut self.quotas {
            quota.expire_plan(now);
        }
    }

    /// Compares a reading with the previous one of its VPS, to detect whether VPSes share a quota.
    fn vote(&mut self, veid: Veid, remaining: Remaining, sent: &Sent, now: AccountTime) {
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
        let shared = quota.members.len() > 1;
        // Points return to the day window only once the ledger covers a day. Spending of an earlier process is not
        // known.
        let points_return = quota.ledger.has_expired(Window::Day);
        let full = quota.size(Window::Day) * share / Window::Day.length();
        let rate = if points_return {
            full
        } else {
            PointsPerSecond::ZERO
        };
        let live = self.prices.price(Call::LiveServiceInfo);
        if let Some(before) = before {
            let decision = self.votes.read(veid, &before, &reading, shared, rate, live);
            // A split needs learned prices: assumed ones do not show that the others' spending is missing.
            let is_certain = !self.prices.are_assumed() || decision == Some(Decision::Merge);
            self.decide(decision.filter(|_| is_certain), now);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of VPSes")]
const fn as_f64(count: usize) -> f64 {
    count as f64
}
