//! From what is known now to the intervals of every call.

use std::time::Duration;

use super::{Group, Planner, RETRY};
use crate::budget::plan::{LONGEST_POINTS, Wanted, plan};
use crate::budget::window::Window;
use crate::kiwivm::{Call, Veid};

/// At least this often, because spending leaves the windows.
const REPLAN: Duration = Duration::from_secs(60);
/// An interval that would change by less than this part is left as it is.
const SAME: f64 = 0.01;
/// Others who spend less than this part are none.
const ALONE: f64 = 0.02;
/// A reading is due after spending this part of what is allowed in the short window.
const READ_AFTER: f64 = 0.2;
/// When readings matter, they come this much more often.
const WATCHING: u32 = 4;
/// But not more often than this.
const CLOSEST_READINGS: Duration = Duration::from_secs(60);

impl Planner {
    /// Plans every group whose time has come.
    pub(super) fn replan(&mut self, now: Duration) {
        for group in 0..self.groups.len() {
            if self.groups[group].replan_at <= now {
                self.replan_group(group, now);
            }
        }
        self.next_replan = self
            .groups
            .iter()
            .map(|group| group.replan_at)
            .min()
            .unwrap_or(now + REPLAN);
    }

    /// Has a group planned anew at the next opportunity.
    pub(super) fn replan_soon(&mut self, group: usize, now: Duration) {
        let replan_at = &mut self.groups[group].replan_at;
        *replan_at = now.min(*replan_at);
        self.next_replan = self.next_replan.min(now);
    }

    fn replan_group(&mut self, group: usize, now: Duration) {
        let prices = Call::ALL.map(|call| self.costs.price(call));
        let reading = prices[Call::RateLimitStatus.index()];
        let wanted: Vec<Wanted> = self.groups[group]
            .allowance
            .members
            .iter()
            .map(|veid| self.wanted(*veid, now))
            .collect();
        let state = &mut self.groups[group];
        state.replan_at = now + REPLAN;
        if state.allowance.reading.is_none() && !state.allowance.blind {
            return;
        }
        let rate = state.allowance.rate(self.limits.share, reading, now);
        let measuring = self.measuring_rate(reading, rate);
        let state = &mut self.groups[group];
        // Readings that are due because much was spent.
        let allowed = self.limits.share * state.allowance.size(Window::Quarter);
        let watching = rate * (reading / (READ_AFTER * allowed).max(1.0)).min(0.5);
        // Where nobody else spends, what is planned too much is held back by the share, and nothing of it is left unused.
        let alone = Window::ALL
            .into_iter()
            .all(|window| state.allowance.yielded(window) < ALONE * state.allowance.size(window));
        let extra = if alone {
            0.3 * measuring
        } else {
            measuring + watching
        };
        let plan = plan(&wanted, prices, (rate - extra).max(0.2 * rate), state.shed);
        state.shed = plan.shed;
        // While costs are not known, a plan by prudent ones is none to complain about.
        let planned = |call: Call| {
            call != Call::RateLimitStatus
                && plan
                    .intervals
                    .iter()
                    .any(|intervals| intervals[call.index()].is_some())
        };
        let measured = Call::ALL
            .into_iter()
            .filter(|call| planned(*call))
            .all(|call| self.costs.count(call) > 0 || self.experiments.given_up(call));
        state.stretched = plan.stretched && measured;
        for (veid, intervals) in state.allowance.members.iter().zip(plan.intervals) {
            let similar = |(old, new): (&Option<Duration>, &Option<Duration>)| match (old, new) {
                (Some(old), Some(new)) => {
                    old.abs_diff(*new).as_secs_f64() <= SAME * old.as_secs_f64()
                }
                (None, None) => true,
                _ => false,
            };
            let before = self.schedule.intervals(*veid);
            let before = before.into_iter().flatten();
            if !before.zip(&intervals).all(similar) {
                self.schedule.set_intervals(*veid, intervals, now);
            }
            let stands_in = intervals[Call::ServiceInfo.index()].is_some();
            if stands_in && self.costs.count(Call::LiveServiceInfo) > 0 {
                self.schedule.begin_with_service_info(*veid, now);
            }
        }
        let members = &self.groups[group].allowance.members;
        self.moved.extend(members);
        self.watch(group, now);
        self.consider_survey(group, now);
    }

    fn wanted(&self, veid: Veid, now: Duration) -> Wanted {
        let account = &self.accounts[&veid];
        Wanted {
            pace: account
                .downloads
                .bearable(account.pace, self.limits.download),
            slowed: account.brake.factor(now),
        }
    }

    /// Has the points read sooner than planned, when much was spent or little is left.
    fn watch(&mut self, group: usize, now: Duration) {
        let state = &self.groups[group];
        let Some(reading) = state.allowance.reading else {
            return;
        };
        let age = now.saturating_sub(reading.sent.at);
        let wanted = state
            .allowance
            .members
            .iter()
            .map(|veid| self.accounts[veid].pace.points)
            .min();
        let wanted = wanted.unwrap_or(LONGEST_POINTS).min(LONGEST_POINTS);
        let due = if state.allowance.needs_watching(now) {
            age >= (wanted / WATCHING).max(CLOSEST_READINGS.min(wanted))
        } else {
            age >= wanted
                && state.allowance.members.len() > 1
                && state.stretched
                && age >= LONGEST_POINTS
        };
        let asked_lately = state
            .pulled
            .is_some_and(|at| now.saturating_sub(at) < CLOSEST_READINGS);
        if (due || self.spent_much(state)) && !asked_lately {
            let member = state
                .allowance
                .members
                .iter()
                .copied()
                .filter(|veid| self.schedule.idle(*veid) && !self.schedule.paused(*veid))
                .min_by_key(|veid| {
                    let failing = self.schedule.failing(*veid, Call::RateLimitStatus);
                    (failing, self.schedule.due(*veid, Call::RateLimitStatus))
                });
            if let Some(veid) = member {
                self.schedule.pull(veid, Call::RateLimitStatus, now);
                self.groups[group].pulled = Some(now);
                self.retry_in(RETRY / 500, now);
            }
        }
    }

    /// True when so much was sent since the last reading that another one is due.
    pub(super) fn spent_much(&self, group: &Group) -> bool {
        let allowed = self.limits.share * group.allowance.size(Window::Quarter);
        group.allowance.reading.is_some()
            && group.allowance.sent_since_reading() >= READ_AFTER * allowed
    }
}
