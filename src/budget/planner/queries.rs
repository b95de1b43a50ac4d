//! What the planner tells of its plan.

use std::collections::HashSet;
use std::time::Duration;

use super::Planner;
use crate::budget::pace::Intervals;
use crate::budget::quota::Remaining;
use crate::budget::window::Window;
use crate::fleet::Deferral;
use crate::kiwivm::{Call, PerCall, Veid};

impl Planner {
    /// The deferrals since this was last asked for.
    pub fn take_deferrals(&mut self) -> Vec<(Call, Deferral)> {
        std::mem::take(&mut self.report.deferrals)
    }

    /// The VPSes whose intervals, quota or next poll may have changed since this was last asked for.
    pub fn take_moved(&mut self) -> HashSet<Veid> {
        std::mem::take(&mut self.report.moved)
    }

    /// The planned intervals; that of live for service info, which live stands in for. `None` for a call that is not
    /// planned.
    #[must_use]
    pub fn intervals(&self, veid: Veid) -> Intervals {
        let entry = self.schedule.of(veid);
        let mut intervals = entry.map_or_else(Intervals::default, |entry| entry.intervals);
        let live = intervals[Call::LiveServiceInfo];
        let service = &mut intervals[Call::ServiceInfo];
        *service = service.iter().copied().chain(live).min();
        intervals
    }

    /// When live or service info of a VPS is due next; in the past while it is on its way, or waits for points or a
    /// place.
    #[must_use]
    pub fn next_poll(&self, veid: Veid) -> Option<Duration> {
        let due = self.schedule.of(veid)?.due;
        let of = |call: Call| due[call];
        let live = of(Call::LiveServiceInfo);
        live.into_iter().chain(of(Call::ServiceInfo)).min()
    }

    /// The quota of a VPS: those with the same number are taken to share one.
    #[must_use]
    pub fn quota(&self, veid: Veid) -> Option<usize> {
        self.quota_of(veid)
    }

    /// The points that the exporter allows itself in each window, once the quota of this VPS was read.
    #[must_use]
    pub fn allowed(&self, veid: Veid) -> Option<Remaining> {
        let quota = &self.quotas[self.quota_of(veid)?];
        let allowed = |window| quota.allowed(window, self.limits.share);
        quota.is_known().then(|| Window::ALL.map(allowed))
    }

    /// Whether readings show no points left for a VPS; `None` before the first reading.
    #[must_use]
    pub fn is_exhausted(&self, veid: Veid) -> Option<bool> {
        let quota = &self.quotas[self.quota_of(veid)?];
        quota.readings.last[0].map(|_| quota.is_empty(1.0))
    }

    /// A VPS of a quota whose readings show no points left, if there is one.
    #[must_use]
    pub fn exhausted(&self) -> Option<Veid> {
        let quota = self.quotas.iter().find(|quota| quota.is_empty(1.0));
        quota?.members.first().copied()
    }

    /// A VPS of a quota whose readings are unusable, if there is one: its size and the points left are assumed.
    #[must_use]
    pub fn unreadable(&self) -> Option<Veid> {
        let quota = self.quotas.iter().find(|quota| {
            let readings = &quota.readings;
            // A VPS or two that fail are no reason to doubt the readings of the others.
            readings.failures > 3 || (readings.last[0].is_some() && !quota.is_known())
        });
        quota?.members.first().copied()
    }

    /// Whether any VPSes are taken to share a quota.
    #[must_use]
    pub fn shared(&self) -> bool {
        self.quotas.iter().any(|quota| quota.members.len() > 1)
    }

    /// Points spent by call, at the prices of the time.
    #[must_use]
    pub const fn spent(&self) -> PerCall<f64> {
        self.report.spent
    }

    /// The price of a call, once it was learned.
    #[must_use]
    pub fn learned_price(&self, call: Call) -> Option<f64> {
        self.prices.learned(call)
    }

    /// Whether the points stretch a wanted interval.
    #[must_use]
    pub fn stretched(&self) -> bool {
        self.quotas.iter().any(|quota| quota.planned.stretched)
    }

    /// Makes a collected call of a VPS due now, as far as points and concurrency allow, also while it is shed.
    pub fn hasten(&mut self, veid: Veid, call: Call, now: Duration) {
        let account = self.accounts.get(&veid);
        if account.is_some_and(|account| account.pace.collect.wants(call)) {
            self.schedule.pull(veid, call, now);
        }
    }

    /// Ends the pause of a VPS whose key was refused, because it has another key now.
    pub fn resume(&mut self, veid: Veid, now: Duration) {
        self.schedule.resume(veid, now);
    }
}
