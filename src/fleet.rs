//! The known state of each VPS and when each part of it arrived. Plain data: callers pass the time; nothing here polls.
//!
//! Every value is kept with its time of arrival and returned only while it is fresh: no older than `staleness` times
//! the planned interval of its call, and never older than [`LIVE_LIMIT`] or [`SERVICE_LIMIT`]. Counters are never
//! dropped.

mod alert_inputs;
pub(crate) mod bandwidth;
mod call_record;
mod conditions;
mod forecast;
mod index;
mod memory;
mod suspension;
mod times;
mod totals;
mod usage;
mod vps;

pub use alert_inputs::AlertInput;
pub use call_record::CallRecord;
pub use conditions::{Active, Alert, CONDITIONS, Condition, Severity};
pub use forecast::{Counter, CounterReading, Forecast, HOURS, HourlyUsage};
pub use memory::VpsValues;
pub use suspension::SuspensionReason;
pub use totals::{Deferral, FleetTotals, PointsUse, StateWrites};
pub use usage::{LATE, UsageHistory, UsageReading, UsageTotals, plausible};
pub use vps::{Known, VpsState};

use std::sync::Arc;
use std::time::Duration;

use index::Index;

use crate::clock::Moment;
use crate::config::{Expect, Multiplier, Shard, Thresholds, Vps};
use crate::kiwivm::model::Payload;
use crate::kiwivm::{Call, CallError, Decoded, PerCall, Veid};
use crate::units::Points;

/// Maximum age of data that only the live call returns: state, throttling, load, memory, the lock.
pub const LIVE_LIMIT: Duration = Duration::from_secs(30 * 60);
/// Maximum age of all other data: bandwidth, plan, usage, points.
pub const SERVICE_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The configuration of a VPS. It changes only when the configuration is reloaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// The `veid` label.
    pub veid: Veid,
    /// The `vps` label.
    pub name: String,
    /// Additional labels of all its series.
    pub labels: Vec<(String, String)>,
    /// The power state that the alerts expect.
    pub expect: Expect,
    /// The values that the API's multiplier applies to.
    pub multiplier: Multiplier,
    /// Alert thresholds.
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

/// The planned calls of a VPS.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlannedCalls {
    /// Intervals by call; `None` for a call that is not planned.
    pub intervals: PerCall<Option<Duration>>,
    /// API points that the exporter may spend, by window.
    pub allowed: Option<[Points; 2]>,
    /// See [`VpsState::points_exhausted`].
    pub points_exhausted: Option<bool>,
    /// See [`VpsState::quota`].
    pub quota: Option<usize>,
    /// See [`VpsState::next_poll`].
    pub next_poll: Option<Duration>,
}

/// Counters of usage rows by VPS.
pub type CountedUsage = Vec<(Veid, UsageTotals)>;

/// All configured VPSes, in the order of the configuration.
#[derive(Debug)]
pub struct Fleet {
    vps: Vec<VpsState>,
    index: Index,
    totals: FleetTotals,
    staleness: f64,
    shard: Shard,
    alert_state: conditions::FleetAlertState,
}

impl Fleet {
    /// Creates a fleet without any data. `staleness` is in planned intervals.
    #[must_use]
    pub fn new(identities: Vec<Identity>, staleness: f64) -> Self {
        let vps: Vec<_> = identities.into_iter().map(VpsState::new).collect();
        Self {
            index: Index::of(&vps),
            vps,
            totals: FleetTotals::default(),
            staleness,
            shard: Shard::default(),
            alert_state: conditions::FleetAlertState::default(),
        }
    }

    /// Returns the fleet as one shard of a larger one.
    #[must_use]
    pub fn of_shard(self, shard: Shard) -> Self {
        Self { shard, ..self }
    }

    /// Applies a new configuration. VPSes that remain keep their state and counters.
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

    /// All VPSes, in the order of the configuration.
    #[must_use]
    pub fn vps(&self) -> &[VpsState] {
        &self.vps
    }

    /// Finds a VPS by its VEID.
    #[must_use]
    pub fn by_veid(&self, veid: Veid) -> Option<&VpsState> {
        Some(&self.vps[self.index.of_veid(&self.vps, veid)?])
    }

    /// Finds a VPS by its configured name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&VpsState> {
        Some(&self.vps[self.index.of_name(&self.vps, name)?])
    }

    /// Counters over all VPSes.
    #[must_use]
    pub fn totals(&self) -> &FleetTotals {
        &self.totals
    }

    /// Mutable access to the counters, for events other than the outcome of a call.
    pub fn totals_mut(&mut self) -> &mut FleetTotals {
        &mut self.totals
    }

    /// The shard of the configured VPSes that this fleet holds.
    #[must_use]
    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// Planned intervals without success after which a value is dropped.
    #[must_use]
    pub fn staleness(&self) -> f64 {
        self.staleness
    }

    /// True once every VPS was polled at least once, successfully or not.
    #[must_use]
    pub fn all_tried(&self) -> bool {
        self.vps.iter().all(|vps| vps.tried)
    }

    /// Sets the planned interval of a call; `None` if the call is not planned.
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

    /// Publishes the plan of a VPS.
    pub fn set_plan(&mut self, veid: Veid, planned: PlannedCalls, now: Moment) {
        if let Some(vps) = self.find(veid) {
            for (record, interval) in vps.calls.values_mut().zip(planned.intervals.values()) {
                record.plan(*interval, now);
            }
            vps.allowed = planned.allowed;
            vps.points_exhausted = planned.points_exhausted;
            vps.quota = planned.quota;
            vps.next_poll = planned.next_poll;
        }
    }

    /// Publishes the time of the next poll for the state of a VPS.
    pub fn set_next_poll(&mut self, veid: Veid, next_poll: Option<Duration>) {
        if let Some(vps) = self.find(veid) {
            vps.next_poll = next_poll;
        }
    }

    /// Publishes the use of API points.
    pub fn set_points(&mut self, points: PointsUse) {
        self.totals.points = points;
    }

    /// Applies the outcome of a call. Outcomes of VPSes that are no longer configured are ignored.
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

    /// Drops the inventory data of a call for all VPSes, after the call was disabled in the configuration.
    pub fn drop_inventory(&mut self, call: Call) {
        for vps in &mut self.vps {
            vps.inventory[call] = None;
        }
    }

    /// Starts reading a response with usage rows. A VPS has one call in flight at a time, so its counters do not change
    /// until the reading is applied.
    #[must_use]
    pub fn start_usage(&self, veid: Veid, now: Moment) -> UsageReading {
        let known = self.by_veid(veid).and_then(|vps| vps.usage.as_ref());
        UsageReading::new(known, now.unix)
    }

    /// Applies the rows of a successful response. [`Self::publish_usage`] publishes their counters.
    pub fn apply_usage(&mut self, veid: Veid, reading: UsageReading) {
        if let Some(vps) = self.find(veid) {
            vps.apply_usage(reading);
        }
    }

    /// Publishes the counters of usage rows as they are now. With a state file, see [`Self::publish_counted`].
    pub fn publish_usage(&mut self) {
        self.publish_counted(&self.counted_usage());
    }

    /// Returns the counters of usage rows as they are now.
    #[must_use]
    pub fn counted_usage(&self) -> CountedUsage {
        let counted = |vps: &VpsState| Some((vps.identity.veid, vps.usage.as_ref()?.totals));
        self.vps.iter().filter_map(counted).collect()
    }

    /// Publishes counters of usage rows. With a state file, call this after they are in the file: a published counter
    /// must not be lower after a restart.
    pub fn publish_counted(&mut self, counted: &CountedUsage) {
        for (veid, totals) in counted {
            if let Some(vps) = self.find(*veid) {
                vps.usage_published = Some(*totals);
            }
        }
    }

    fn find(&mut self, veid: Veid) -> Option<&mut VpsState> {
        let position = self.index.of_veid(&self.vps, veid)?;
        Some(&mut self.vps[position])
    }
}

/// True if this response contains the data of `getServiceInfo`.
#[must_use]
pub fn carries_service_info(payload: &Payload) -> bool {
    matches!(payload, Payload::Service(_) | Payload::Live(..))
}

#[cfg(test)]
mod tests;
