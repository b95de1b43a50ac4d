//! Queries and small commands of the planner.

use std::collections::HashSet;

use super::Planner;
use crate::budget::pace::PlannedIntervals;
use crate::budget::quota::{Quota, Remaining};
use crate::budget::window::Window;
use crate::fleet::Deferral;
use crate::kiwivm::{Call, PerCall, Veid};
use crate::units::{AccountTime, Points};

impl Planner {
    /// Returns the deferrals since the last call of this function.
    pub fn take_deferrals(&mut self) -> Vec<(Call, Deferral)> {
        std::mem::take(&mut self.report.deferrals)
    }

    /// Returns the VPSes whose intervals, quota or next poll may have changed since the last call of this function.
    pub fn take_changed(&mut self) -> HashSet<Veid> {
        std::mem::take(&mut self.report.changed)
    }

    /// Returns the planned intervals; `None` for a call that is not planned. Live responses include service info, so
    /// service info has at most the interval of live.
    #[must_use]
    pub fn intervals(&self, veid: Veid) -> PlannedIntervals {
        let entry = self.schedule.of(veid);
        let mut intervals = entry.map_or_else(PlannedIntervals::default, |entry| entry.intervals);
        let live = intervals[Call::LiveServiceInfo];
        let service = &mut intervals[Call::ServiceInfo];
        *service = service.iter().copied().chain(live).min();
        intervals
    }

    /// Returns the next due time of live or service info of a VPS. It is in the past while the call is in flight or
    /// deferred.
    #[must_use]
    pub fn next_poll(&self, veid: Veid) -> Option<AccountTime> {
        let due = self.schedule.of(veid)?.due;
        let live = due[Call::LiveServiceInfo];
        live.into_iter().chain(due[Call::ServiceInfo]).min()
    }

    /// Returns the number of the quota of a VPS. VPSes with the same number are assumed to share a quota.
    #[must_use]
    pub fn quota(&self, veid: Veid) -> Option<usize> {
        self.quota_of(veid)
    }

    /// Returns the points that the exporter may spend in each window, once the quota of the VPS is known.
    #[must_use]
    pub fn allowed(&self, veid: Veid) -> Option<Remaining> {
        let quota = &self.quotas[self.quota_of(veid)?];
        let allowed = |window| quota.allowed(window, self.limits.share);
        quota.is_known().then(|| Window::ALL.map(allowed))
    }

    /// Returns true if readings show no points left for a VPS; `None` before the first reading.
    #[must_use]
    pub fn is_exhausted(&self, veid: Veid) -> Option<bool> {
        let quota = &self.quotas[self.quota_of(veid)?];
        quota.readings.last[0].map(|_| quota.is_empty(Points(1.0)))
    }

    /// Returns a VPS of a quota whose readings show no points left, if any.
    #[must_use]
    pub fn exhausted(&self) -> Option<Veid> {
        let quota = self.quotas.iter().find(|quota| quota.is_empty(Points(1.0)));
        quota?.members.first().copied()
    }

    /// Returns the numbers of the quotas with unusable readings, as [`Self::quota`] does. Their sizes and points left are
    /// assumed.
    pub fn unreadable(&self) -> impl Iterator<Item = usize> {
        let is_unreadable = |quota: &Quota| {
            let readings = &quota.readings;
            // A few failures may concern single VPSes only.
            readings.failures > 3 || (readings.last[0].is_some() && !quota.is_known())
        };
        (0..)
            .zip(&self.quotas)
            .filter_map(move |(number, quota)| is_unreadable(quota).then_some(number))
    }

    /// Returns true if any VPSes are assumed to share a quota.
    #[must_use]
    pub fn shared(&self) -> bool {
        self.quotas.iter().any(|quota| quota.members.len() > 1)
    }

    /// Returns the points spent by call, at the prices when each call was sent.
    #[must_use]
    pub const fn spent(&self) -> PerCall<Points> {
        self.report.spent
    }

    /// Returns the price of a call, if learned.
    #[must_use]
    pub fn learned_price(&self, call: Call) -> Option<Points> {
        self.prices.learned(call)
    }

    /// Returns true if a wanted interval is stretched for lack of points.
    #[must_use]
    pub fn stretched(&self) -> bool {
        self.quotas.iter().any(|quota| quota.planned.stretched)
    }

    /// Makes a collected call of a VPS due now, even if it is shed. Points and concurrency still limit it.
    pub fn hasten(&mut self, veid: Veid, call: Call, now: AccountTime) {
        let account = self.accounts.get(&veid);
        if account.is_some_and(|account| account.pace.collect.includes(call)) {
            self.schedule.make_due(veid, call, now);
        }
    }

    /// Ends the pause after a refused key, because the VPS has a new key.
    pub fn resume(&mut self, veid: Veid, now: AccountTime) {
        self.schedule.resume(veid, now);
    }
}
