//! What is known about each VPS, and when it was learnt. Plain data: time comes in as an argument, nothing is asked.
//!
//! Every value is kept with the moment of its arrival and handed out only while it is fresh: not older than
//! `staleness` times the planned interval of the call that brings it, and never older than [`LIVE_LIMIT`] or
//! [`SERVICE_LIMIT`]. Counters are never dropped.

pub(crate) mod bandwidth;
mod conditions;
mod forecast;
mod index;
mod memory;
mod readings;
mod suspension;
mod times;
mod totals;
mod usage;
mod vps;

pub use conditions::{Active, Alert, CONDITIONS, Condition, Severity};
pub use forecast::{Counter, CounterReading, Forecast, HOURS, HourlyUsage};
pub use memory::VpsValues;
pub use readings::Reading;
pub use suspension::SuspensionReason;
pub use totals::{Deferral, PointsUse, StateWrites, Totals};
pub use usage::{LATE, UsageHistory, UsageReading, UsageTotals, plausible};
pub use vps::{CallRecord, Known, VpsState};

use std::sync::Arc;
use std::time::Duration;

use index::Index;

use crate::clock::Moment;
use crate::config::{Expect, Multiplier, Shard, Thresholds, Vps};
use crate::kiwivm::model::Payload;
use crate::kiwivm::{Call, CallError, Decoded, PerCall, Veid};

/// The longest that anything only the live call tells may be shown: state, throttling, load, memory, the lock.
pub const LIVE_LIMIT: Duration = Duration::from_secs(30 * 60);
/// The longest that anything else may be shown: bandwidth, plan, usage, points.
pub const SERVICE_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Who a VPS is, from the configuration: what never changes while it is configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// The `veid` label.
    pub veid: Veid,
    /// The `vps` label.
    pub name: String,
    /// More labels of every series of it.
    pub labels: Vec<(String, String)>,
    /// What the alerts take for normal.
    pub expect: Expect,
    /// What the multiplier of the API applies to.
    pub multiplier: Multiplier,
    /// The limits of its alerts.
    pub thresholds: Arc<Thresholds>,
}

impl From<&Vps> for Identity {
    fn from(vps: &Vps) -> Self {
        Self {
            veid: vps.veid,
            name: vps.name.clone(),
            labels: vps
                .labels
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            expect: vps.expect,
            multiplier: vps.multiplier,
            thresholds: Arc::clone(&vps.thresholds),
        }
    }
}

/// What is planned for a VPS.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Planned {
    /// `None` for a call that is not made.
    pub intervals: PerCall<Option<Duration>>,
    /// API points allowed, by window.
    pub allowed: Option<[f64; 2]>,
    /// See [`VpsState::points_exhausted`].
    pub points_exhausted: Option<bool>,
    /// See [`VpsState::allowance`].
    pub allowance: Option<usize>,
    /// See [`VpsState::next_poll`].
    pub next_poll: Option<Duration>,
}

/// All configured VPSes, in the order of the configuration.
#[derive(Debug)]
pub struct Fleet {
    vps: Vec<VpsState>,
    index: Index,
    totals: Totals,
    staleness: f64,
    shard: Shard,
    watched: conditions::WatchedFleet,
}

impl Fleet {
    /// A fleet about which nothing is known yet. `staleness` is in planned intervals.
    #[must_use]
    pub fn new(identities: Vec<Identity>, staleness: f64) -> Self {
        let vps: Vec<_> = identities.into_iter().map(VpsState::new).collect();
        Self {
            index: Index::of(&vps),
            vps,
            totals: Totals::default(),
            staleness,
            shard: Shard::default(),
            watched: conditions::WatchedFleet::default(),
        }
    }

    /// The same as the part of a larger one.
    #[must_use]
    pub fn of_shard(self, shard: Shard) -> Self {
        Self { shard, ..self }
    }

    /// Takes over a new configuration: what is known about a VPS that stays is kept, counters included.
    pub fn reconfigure(&mut self, identities: Vec<Identity>, staleness: f64) {
        let mut known = std::mem::take(&mut self.vps);
        self.vps = identities
            .into_iter()
            .map(
                |identity| match known.iter().position(|v| v.identity.veid == identity.veid) {
                    Some(position) => {
                        let mut kept = known.swap_remove(position);
                        kept.reconfigure(identity);
                        kept
                    }
                    None => VpsState::new(identity),
                },
            )
            .collect();
        self.index = Index::of(&self.vps);
        self.staleness = staleness;
    }

    /// Every VPS, in the order of the configuration.
    #[must_use]
    pub fn vps(&self) -> &[VpsState] {
        &self.vps
    }

    /// One VPS, if it is configured.
    #[must_use]
    pub fn of(&self, veid: Veid) -> Option<&VpsState> {
        Some(&self.vps[self.index.of_veid(&self.vps, veid)?])
    }

    /// The VPS that the configuration gives this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&VpsState> {
        Some(&self.vps[self.index.of_name(&self.vps, name)?])
    }

    /// What is counted over all VPSes.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Access to count what is not the outcome of a call.
    pub fn totals_mut(&mut self) -> &mut Totals {
        &mut self.totals
    }

    /// Which part of the configured VPSes these are.
    #[must_use]
    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// How many planned intervals without success a value survives.
    #[must_use]
    pub fn staleness(&self) -> f64 {
        self.staleness
    }

    /// True once every VPS was asked at least once, whatever came of it.
    #[must_use]
    pub fn all_tried(&self) -> bool {
        self.vps.iter().all(|vps| vps.tried)
    }

    /// The planned interval of a call from now on; `None` when the call is not made.
    pub fn set_interval(
        &mut self,
        veid: Veid,
        call: Call,
        interval: Option<Duration>,
        now: Moment,
    ) {
        if let Some(vps) = self.find(veid) {
            vps.calls[call].plan(interval, now);
        }
    }

    /// Shows the plan of a VPS.
    pub fn show_plan(&mut self, veid: Veid, planned: Planned, now: Moment) {
        if let Some(vps) = self.find(veid) {
            for (record, interval) in vps.calls.values_mut().zip(planned.intervals.values()) {
                record.plan(*interval, now);
            }
            vps.allowed = planned.allowed;
            vps.points_exhausted = planned.points_exhausted;
            vps.allowance = planned.allowance;
            vps.next_poll = planned.next_poll;
        }
    }

    /// Shows when the state of a VPS is asked for next.
    pub fn show_next_poll(&mut self, veid: Veid, next_poll: Option<Duration>) {
        if let Some(vps) = self.find(veid) {
            vps.next_poll = next_poll;
        }
    }

    /// Shows how points are spent.
    pub fn show_points(&mut self, points: PointsUse) {
        self.totals.points = points;
    }

    /// Takes in what a call brought. A VPS that is no longer configured is ignored.
    pub fn apply(
        &mut self,
        veid: Veid,
        call: Call,
        result: &Result<Decoded, CallError>,
        now: Moment,
    ) {
        if let Ok(decoded) = result {
            for field in &decoded.problems {
                self.totals.count_decode_problem(call, field);
            }
        }
        let Some(vps) = self.find(veid) else {
            return;
        };
        match result {
            Ok(decoded) => vps.succeed(call, &decoded.payload, now),
            Err(error) => vps.fail(call, error, now),
        }
    }

    /// Forgets what a call told about every VPS, because it is not wanted any more.
    pub fn forget(&mut self, call: Call) {
        for vps in &mut self.vps {
            vps.inventory[call] = None;
        }
    }

    /// Begins to read an answer with the usage rows of a VPS. A VPS has one call in flight at a time, so nothing is
    /// counted in between.
    #[must_use]
    pub fn read_usage(&self, veid: Veid, now: Moment) -> UsageReading {
        let known = self.of(veid).and_then(|vps| vps.usage.as_ref());
        UsageReading::new(known, now.unix)
    }

    /// Takes over what was read from an answer that succeeded. It is shown after [`Self::show_usage`].
    pub fn take_usage(&mut self, veid: Veid, reading: UsageReading) {
        if let Some(vps) = self.find(veid) {
            vps.take_usage(reading);
        }
    }

    /// Shows what was counted from usage rows until now. With a state file this has to wait until the counters are in
    /// it: what was shown once must not be less after a restart.
    pub fn show_usage(&mut self) {
        for vps in &mut self.vps {
            vps.usage_shown = vps.usage.as_ref().map(|usage| usage.totals);
        }
    }

    fn find(&mut self, veid: Veid) -> Option<&mut VpsState> {
        let position = self.index.of_veid(&self.vps, veid)?;
        Some(&mut self.vps[position])
    }
}

/// True when this answer tells what `getServiceInfo` tells.
#[must_use]
pub fn carries_service_info(answer: &Payload) -> bool {
    matches!(answer, Payload::Service(_) | Payload::Live(..))
}

#[cfg(test)]
mod tests;
