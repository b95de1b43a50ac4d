//! Schedules extra readings of the remaining points.

use std::time::Duration;

use super::Planner;
use crate::budget::quota::Quota;
use crate::budget::scope::min_evidence;
use crate::budget::window::Window;
use crate::kiwivm::{Call, Veid};
use crate::units::{AccountTime, Points};

/// Minimum wait after a usable reading. The waits of the first readings double from this.
const MIN_WAIT: Duration = Duration::from_secs(30);
/// Minimum time between two readings of one VPS, but for price samples.
const SAME_VPS: Duration = Duration::from_secs(10);
/// Wait after the first unusable reading, before a reading of another VPS.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// Maximum wait after unusable readings.
const MAX_WAIT: Duration = Duration::from_secs(300);
/// Fraction of the full pace for readings while few points are left, and the bounds of the wait. Other
/// clients may stop at any time, and calls continue only after a reading.
const FRACTION_WHEN_LOW: f64 = 0.15;
const WAITS_WHEN_LOW: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(300)];
/// The same for readings otherwise.
const FRACTION: f64 = 0.05;
const USUAL_WAITS: [Duration; 2] = [Duration::from_secs(300), Duration::from_secs(1800)];
/// A reading is due after this fraction of the 15-minute share was spent.
const SPENT: f64 = 0.2;
/// Number of VPSes that are read to detect whether VPSes share a quota.
const VOTERS: usize = 2;

impl Planner {
    /// Makes extra readings due.
    pub(super) fn schedule_readings(&mut self, now: AccountTime) {
        for index in 0..self.quotas.len() {
            if now >= self.next_reading(index, now)
                && let Some(veid) = self.reader(&self.quotas[index], now)
            {
                self.quotas[index].readings.last_request = now;
                self.schedule.make_due(veid, Call::RateLimitStatus, now);
            }
            let quota = &self.quotas[index];
            if !quota.certain && self.votes.is_open() && quota.readings.failures == 0 {
                let voters: Vec<Veid> = self.voters(quota, now);
                for veid in voters {
                    self.schedule.make_due(veid, Call::RateLimitStatus, now);
                }
            }
        }
    }

    /// Returns the latest time of the next reading of a quota.
    fn next_reading(&mut self, index: usize, now: AccountTime) -> AccountTime {
        let price = self.prices.price(Call::RateLimitStatus);
        let share = self.limits.share;
        let quota = &self.quotas[index];
        let readings = quota.readings;
        let Some(first_request) = readings.first_request else {
            return now;
        };
        if readings.failures > 0 {
            let doubled = 2_u32.saturating_pow(readings.failures.saturating_sub(2));
            let wait = match readings.failures {
                1 if quota.members.len() > 1 => AFTER_FAILURE,
                _ => MIN_WAIT.saturating_mul(doubled),
            };
            return readings.last_request + wait.min(MAX_WAIT);
        }
        let full = quota.full_rate(share);
        let every = |fraction: f64, [least, most]: [Duration; 2]| {
            (price / (full * fraction)).clamp(least, most)
        };
        let startup = MIN_WAIT.max(readings.last_request.since(first_request));
        let low = quota.is_low(share) || quota.is_empty(Points(1.0));
        let confirmed = readings.last[2].is_some_and(|_| quota.yields_half(share));
        let wait = match (low, confirmed) {
            (true, false) => MIN_WAIT,
            (true, true) => every(FRACTION_WHEN_LOW, WAITS_WHEN_LOW),
            (false, _) => every(FRACTION, USUAL_WAITS),
        };
        let wait = match quota.members[..] {
            // Without other VPSes, the configured interval applies.
            [only] if !low => wait.max(self.accounts[&only].pace.points),
            _ => wait,
        };
        let spent = readings.last[0].map_or(Points::ZERO, |reading| quota.spent - reading.spent);
        let much = quota.size(Window::Quarter) * share.own * SPENT;
        let wait = if spent >= much { MIN_WAIT } else { wait };
        readings.last_request + wait.min(startup)
    }

    /// Returns the VPS for the next reading of a quota: with the fewest failures, then the earliest due time.
    fn reader(&self, quota: &Quota, now: AccountTime) -> Option<Veid> {
        let call = Call::RateLimitStatus;
        let ready = quota
            .members
            .iter()
            .copied()
            .filter(|veid| self.schedule.is_ready(*veid))
            .filter(|veid| {
                let last = self.accounts[veid].reading;
                last.is_none_or(|last| now.since(last.at) >= SAME_VPS)
            });
        ready.min_by_key(|veid| {
            let entry = self.schedule.of(*veid);
            let failures = entry.map_or(0, |entry| entry.failures[call]);
            (
                failures,
                entry.and_then(|entry| entry.due[call]).unwrap_or(now),
            )
        })
    }

    /// Returns the VPSes whose next reading can vote on sharing a quota.
    fn voters(&self, quota: &Quota, now: AccountTime) -> Vec<Veid> {
        let all: Points = self.report.spent.values().copied().sum();
        let enough = min_evidence(self.prices.price(Call::LiveServiceInfo)) + Points(2.0);
        let can_vote = |veid: &Veid| {
            let account = &self.accounts[veid];
            account.reading.is_none_or(|last| {
                let others = (all - last.all) - (account.spent - last.own);
                others >= enough && now.since(last.at) >= self.votes.interval()
            })
        };
        let works = |veid: &&Veid| {
            self.schedule.is_ready(**veid)
                && self
                    .schedule
                    .of(**veid)
                    .is_some_and(|entry| entry.failures[Call::RateLimitStatus] == 0)
        };
        if quota.members.len() < 2 {
            return Vec::new();
        }
        let voters = quota.members.iter().filter(works).take(VOTERS);
        voters.filter(|veid| can_vote(veid)).copied().collect()
    }
}
