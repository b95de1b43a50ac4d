//! Derives the intervals of VPSes from the pace of their quota.

use std::time::Duration;

use super::Planner;
use crate::budget::pace::{Pace, PlannedIntervals};
use crate::budget::plan::plan;
use crate::budget::quota::LastPlan;
use crate::kiwivm::{Call, PerCall, Veid};
use crate::units::AccountTime;

/// Maximum time between two plans of a quota, because spending leaves its windows.
const REPLAN: Duration = Duration::from_secs(60);
/// Changes of intervals by less than this fraction are ignored.
const NEGLIGIBLE: f64 = 0.01;

impl Planner {
    /// Plans the quotas whose plan is due.
    pub(super) fn replan(&mut self, now: AccountTime) {
        for index in 0..self.quotas.len() {
            if self.quotas[index].planned.until <= now {
                self.replan_quota(index, now);
            }
        }
    }

    fn replan_quota(&mut self, index: usize, now: AccountTime) {
        let prices = PerCall::from_fn(|call| self.prices.price(call));
        let members = self.quotas[index].members.clone();
        let wanted: Vec<Pace> = members.iter().map(|veid| self.wanted(*veid)).collect();
        let quota = &mut self.quotas[index];
        let live = Call::LiveServiceInfo;
        let rate = quota.rate(self.limits.share, prices[live], now);
        let plan = plan(&wanted, prices, rate, quota.planned.shed);
        // Until prices are learned, stretching is expected and not reported.
        let known =
            self.prices.learned(Call::LiveServiceInfo).is_some() || self.prices.are_assumed();
        let data_rate = self.data_rate(&members, &plan.intervals);
        self.quotas[index].planned = LastPlan {
            shed: plan.shed,
            data_rate,
            stretched: plan.stretched && known,
            at: now,
            until: now + REPLAN,
        };
        for (veid, intervals) in members.iter().zip(plan.intervals) {
            let before = self.schedule.of(*veid).map(|entry| entry.intervals);
            if !before.is_some_and(|before| are_similar(&before, &intervals)) {
                self.schedule.set_intervals(*veid, intervals, now);
            }
        }
        self.report.changed.extend(&members);
    }

    /// Returns the planned calls of live and service info to working VPSes per second.
    fn data_rate(&self, members: &[Veid], intervals: &[PlannedIntervals]) -> f64 {
        let works = |veid: &Veid| {
            let entry = self.schedule.of(*veid);
            entry.is_some_and(|of| of.failures[Call::LiveServiceInfo] == 0 && !of.is_paused())
        };
        let working = members
            .iter()
            .zip(intervals)
            .filter(|(veid, _)| works(veid));
        working
            .flat_map(|(_, intervals)| Call::STATE.map(|call| intervals[call]))
            .flatten()
            .map(|interval| 1.0 / interval.as_secs_f64())
            .sum()
    }

    fn wanted(&self, veid: Veid) -> Pace {
        let account = &self.accounts[&veid];
        account
            .downloads
            .affordable(account.pace, self.limits.download)
    }
}

fn are_similar(before: &PlannedIntervals, after: &PlannedIntervals) -> bool {
    before.values().zip(after.values()).all(|pair| match pair {
        (Some(old), Some(new)) => {
            old.abs_diff(*new).as_secs_f64() <= NEGLIGIBLE * old.as_secs_f64()
        }
        (None, None) => true,
        _ => false,
    })
}
