//! Readings of the points that are made out of turn.

use std::time::Duration;

use super::Planner;
use crate::budget::quota::Quota;
use crate::budget::scope::{LATE, telling};
use crate::budget::window::Window;
use crate::kiwivm::{Call, Veid};

/// After a usable reading the next one comes no sooner, and the first ones come in steps that double from this.
const SOONEST: Duration = Duration::from_secs(30);
/// After the first unusable reading another VPS is asked this soon.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// Unusable readings are repeated after five minutes at the latest, and so is one that shows few points.
const LATEST: Duration = Duration::from_secs(300);
/// Readings take this part of the pace while few points are left,
const PART_WHEN_LOW: f64 = 0.1;
/// and a twentieth of it otherwise, five minutes apart where calls are cheap and half an hour where they are dear.
const PART: f64 = 0.05;
const USUAL: [f64; 2] = [300.0, 1800.0];
/// A reading is due after this part of the share of 15 minutes was spent.
const SPENT: f64 = 0.2;
/// So many VPSes are read to find out whether they share a quota.
const WITNESSES: usize = 2;

impl Planner {
    /// Makes readings due whose time has come before their turn.
    pub(super) fn ask_for_readings(&mut self, now: Duration) {
        for index in 0..self.quotas.len() {
            if now >= self.next_reading(index, now)
                && let Some(veid) = self.reader(&self.quotas[index], now)
            {
                self.quotas[index].readings.asked = now;
                self.schedule.pull(veid, Call::RateLimitStatus, now);
            }
            let quota = &self.quotas[index];
            if !quota.certain && self.votes.is_open() && quota.readings.failures == 0 {
                let witnesses: Vec<Veid> = self.witnesses(quota, now);
                for veid in witnesses {
                    self.schedule.pull(veid, Call::RateLimitStatus, now);
                }
            }
        }
    }

    /// When a quota is read again at the latest.
    fn next_reading(&mut self, index: usize, now: Duration) -> Duration {
        let price = self.prices.price(Call::RateLimitStatus);
        let live = self.prices.price(Call::LiveServiceInfo);
        let share = self.limits.share;
        let quota = &mut self.quotas[index];
        let readings = quota.readings;
        let Some(since) = readings.since else {
            return now;
        };
        if readings.failures > 0 {
            let doubled = 2_u32.saturating_pow(readings.failures.saturating_sub(2));
            let wait = match readings.failures {
                1 if quota.members.len() > 1 => AFTER_FAILURE,
                _ => SOONEST.saturating_mul(doubled),
            };
            return readings.asked + wait.min(LATEST);
        }
        let (rate, full) = (quota.rate(share, live, now), quota.full_rate(share));
        let every = |pace: f64, [least, most]: [f64; 2]| {
            Duration::from_secs_f64((price / pace.max(1e-9)).clamp(least, most))
        };
        let first = SOONEST.max(readings.asked.saturating_sub(since));
        let low = quota.is_low(share) || quota.is_empty(1.0);
        let confirmed = readings.last[1].is_some_and(|_| quota.yields_half(share));
        let wait = match (low, confirmed) {
            (true, false) => SOONEST,
            (true, true) => every(PART_WHEN_LOW * rate, [60.0, LATEST.as_secs_f64()]),
            (false, _) => every(PART * full, USUAL),
        };
        let wanted = quota
            .members
            .iter()
            .filter_map(|veid| self.accounts.get(veid))
            .map(|account| account.pace.points)
            .min()
            .unwrap_or(LATEST);
        // A VPS of its own has its own interval for readings.
        let wait = if quota.members.len() == 1 && !low {
            wait.max(wanted)
        } else {
            wait
        };
        let spent = readings.last[0].map_or(0.0, |reading| quota.spent - reading.spent);
        let much = SPENT * share.own * quota.size(Window::Quarter);
        let wait = if spent >= much { SOONEST } else { wait };
        readings.asked + wait.min(first)
    }

    /// The VPS to read a quota by: one whose readings work, the next in turn.
    fn reader(&self, quota: &Quota, now: Duration) -> Option<Veid> {
        let call = Call::RateLimitStatus;
        let ready = quota
            .members
            .iter()
            .copied()
            .filter(|veid| self.schedule.is_ready(*veid));
        ready.min_by_key(|veid| {
            let entry = self.schedule.of(*veid);
            let failures = entry.map_or(0, |entry| entry.failures[call]);
            (
                failures,
                entry.and_then(|entry| entry.due[call]).unwrap_or(now),
            )
        })
    }

    /// VPSes whose next reading shows whether they see the spending of the others.
    fn witnesses(&self, quota: &Quota, now: Duration) -> Vec<Veid> {
        let all: f64 = self.report.spent.values().sum();
        let enough = telling(self.prices.price(Call::LiveServiceInfo)) + 2.0;
        let tells = |veid: &Veid| {
            let account = &self.accounts[veid];
            account.reading.is_none_or(|last| {
                let others = (all - last.all) - (account.spent - last.own);
                others >= enough && now.saturating_sub(last.at) >= LATE
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
        let witnesses = quota.members.iter().filter(works).take(WITNESSES);
        witnesses.filter(|veid| tells(veid)).copied().collect()
    }
}
