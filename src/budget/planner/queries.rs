//! What the planner tells of its plan.

use std::collections::HashSet;
use std::time::Duration;

use super::Planner;
use crate::budget::allowance::Remaining;
use crate::budget::pace::Intervals;
use crate::budget::window::Window;
use crate::fleet::Deferral;
use crate::kiwivm::{Call, Veid};

impl Planner {
    /// True once everything planned was tried once, or nothing more can be: no points are left for it.
    #[must_use]
    pub fn everything_tried(&self) -> bool {
        self.schedule.everything_tried()
            || (self.starved && !self.schedule.busy() && self.experiments.bracket.is_none())
    }

    /// The deferrals since this was last asked.
    pub fn take_deferrals(&mut self) -> Vec<(Call, Deferral)> {
        std::mem::take(&mut self.deferrals)
    }

    /// The VPSes whose intervals, allowance or next poll may have changed since this was last asked.
    pub fn take_moved(&mut self) -> HashSet<Veid> {
        std::mem::take(&mut self.moved)
    }

    /// The planned intervals; that of live for service info, in whose place live stands. `None` for a call that is shed.
    #[must_use]
    pub fn intervals(&self, veid: Veid) -> Intervals {
        let mut intervals = self.schedule.intervals(veid).copied().unwrap_or_default();
        let live = intervals[Call::LiveServiceInfo.index()];
        let service = &mut intervals[Call::ServiceInfo.index()];
        *service = service.iter().copied().chain(live).min();
        intervals
    }

    /// One of [`Self::intervals`].
    #[must_use]
    pub fn interval(&self, veid: Veid, call: Call) -> Option<Duration> {
        self.intervals(veid)[call.index()]
    }

    /// When the state of a VPS is asked for next, by live or by service info; in the past while that is on its way, or
    /// waits for points or a place.
    #[must_use]
    pub fn next_poll(&self, veid: Veid) -> Option<Duration> {
        let due = self.schedule.due_times(veid)?;
        let of = |call: Call| due[call.index()];
        let live = of(Call::LiveServiceInfo);
        live.into_iter().chain(of(Call::ServiceInfo)).min()
    }

    /// Which allowance a VPS draws on: those with the same number are taken to share one.
    #[must_use]
    pub fn allowance(&self, veid: Veid) -> Option<usize> {
        self.group_of(veid)
    }

    /// What the exporter allows itself in each window, once the allowance of this VPS was read.
    #[must_use]
    pub fn allowed(&self, veid: Veid) -> Option<Remaining> {
        let allowance = &self.groups[self.group_of(veid)?].allowance;
        allowance.reading?;
        Some(Window::ALL.map(|window| allowance.allowed(window, self.limits.share)))
    }

    /// True while any allowance is treated as shared.
    #[must_use]
    pub fn shared(&self) -> bool {
        self.groups
            .iter()
            .any(|group| group.allowance.members.len() > 1)
    }

    /// Points spent by call, at the learned costs of the time.
    #[must_use]
    pub fn spent(&self) -> [f64; Call::ALL.len()] {
        self.spent
    }

    /// The learned cost of a call, once it was measured.
    #[must_use]
    pub fn learned_cost(&self, call: Call) -> Option<f64> {
        self.costs.learned(call)
    }

    /// True while a wanted interval is not kept because of the points.
    #[must_use]
    pub fn stretched(&self) -> bool {
        self.groups.iter().any(|group| group.stretched)
    }
}
