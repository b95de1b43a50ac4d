//! Alert conditions, each with its severity and the time it must hold before the alert fires.
//!
//! This table matches `deploy/prometheus/rules/kiwivm.yml`: tests compare severities and times, and evaluate both on
//! the same fleets. The status page shows the conditions of this table.

mod alert;
mod inputs;

use std::time::Duration;

use super::alert_inputs::{AlertInput, AlertInputs};
use super::{Fleet, VpsState};
use crate::clock::Moment;
use crate::config::Threshold as T;
use crate::units::UnixSeconds;
use Severity::{Critical, Info, Warning};
pub use alert::{Alert, Severity};
use inputs::{DEADLINE_REMEMBERED, FleetInputs, STALE_REMEMBERED, VpsInputs, at_least, at_most};

/// A condition under which an alert fires.
#[derive(Debug)]
pub struct Condition {
    /// The alert.
    pub alert: Alert,
    /// Its severity. An alert may have two conditions, the critical one first.
    pub severity: Severity,
    /// Time that the condition must hold before the alert fires: `for` of the rule.
    pub hold: Duration,
    holds: Holds,
}

/// Evaluates a condition.
#[derive(Debug)]
enum Holds {
    /// For a VPS.
    Vps(fn(&VpsInputs<'_>) -> bool),
    /// For all VPSes together or the exporter.
    Fleet(fn(&FleetInputs) -> bool),
}

const fn of_vps(
    alert: Alert,
    severity: Severity,
    minutes: u64,
    holds: fn(&VpsInputs<'_>) -> bool,
) -> Condition {
    Condition {
        alert,
        severity,
        hold: Duration::from_secs(60 * minutes),
        holds: Holds::Vps(holds),
    }
}

const fn of_fleet(
    alert: Alert,
    severity: Severity,
    minutes: u64,
    holds: fn(&FleetInputs) -> bool,
) -> Condition {
    Condition {
        alert,
        severity,
        hold: Duration::from_secs(60 * minutes),
        holds: Holds::Fleet(holds),
    }
}

/// All conditions. A condition that another one suppresses comes after it.
pub const CONDITIONS: [Condition; 31] = [
    of_fleet(
        Alert::AllKeysRefused,
        Critical,
        5,
        FleetInputs::all_keys_refused,
    ),
    of_fleet(Alert::APIFailing, Critical, 15, FleetInputs::api_fails),
    of_fleet(Alert::APIPointsExhausted, Warning, 30, |fleet| {
        fleet.exhausted > 0
    }),
    of_fleet(Alert::ReloadFailed, Warning, 5, |fleet| {
        !fleet.reload_successful
    }),
    of_fleet(Alert::StateNotWritten, Warning, 15, |fleet| {
        fleet.state_written == Some(false)
    }),
    of_vps(Alert::BandwidthWillRunOut, Critical, 15, |vps| {
        let limit = vps.limit(T::BandwidthExhaustionCritical);
        at_most(vps.seconds_to_exhaustion(), limit)
    }),
    of_vps(Alert::BandwidthWillRunOut, Warning, 60, |vps| {
        let limit = vps.limit(T::BandwidthExhaustionWarning);
        at_most(vps.seconds_to_exhaustion(), limit)
            && !vps.fires(Alert::BandwidthWillRunOut, Critical)
    }),
    // Only without a forecast, which is more accurate: a month that ends at 96 % is harmless.
    of_vps(Alert::BandwidthNearlyUsed, Critical, 30, |vps| {
        at_least(vps.bandwidth_used(), vps.limit(T::BandwidthUsedCritical))
            && vps.seconds_to_exhaustion().is_none()
    }),
    of_vps(Alert::BandwidthNearlyUsed, Warning, 30, |vps| {
        at_least(vps.bandwidth_used(), vps.limit(T::BandwidthUsedWarning))
            && vps.seconds_to_exhaustion().is_none()
            && !vps.fires(Alert::BandwidthNearlyUsed, Critical)
    }),
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method takes a single lifetime only"
    )]
    of_vps(Alert::Suspended, Critical, 0, |vps| vps.is_suspended()),
    of_vps(Alert::NotAsExpected, Critical, 10, |vps| {
        vps.unexpected_state() == Some(false)
    }),
    of_vps(Alert::NotAsExpected, Warning, 10, |vps| {
        vps.unexpected_state() == Some(true)
    }),
    of_vps(Alert::AddressNullRouted, Critical, 0, |vps| {
        vps.last(AlertInput::NullRouted) > Some(0.0) && vps.alerts_apply()
    }),
    of_vps(Alert::LockedTooLong, Warning, 180, |vps| {
        vps.last(AlertInput::Locked) == Some(1.0) && vps.is_configured()
    }),
    of_vps(Alert::CPUThrottled, Warning, 0, |vps| {
        vps.last(AlertInput::CpuThrottled) == Some(1.0) && vps.alerts_apply()
    }),
    of_vps(Alert::DiskThrottled, Warning, 0, |vps| {
        vps.last(AlertInput::DiskThrottled) == Some(1.0) && vps.alerts_apply()
    }),
    // Only OpenVZ reports the space that files use. KVM reports the blocks of the image that were ever written.
    of_vps(Alert::DiskNearlyFull, Critical, 15, |vps| {
        at_least(vps.quota_used(), vps.limit(T::DiskUsedCritical))
    }),
    of_vps(Alert::DiskNearlyFull, Warning, 15, |vps| {
        at_least(vps.quota_used(), vps.limit(T::DiskUsedWarning))
            && !vps.fires(Alert::DiskNearlyFull, Critical)
    }),
    of_vps(Alert::InodesNearlyUsed, Warning, 15, |vps| {
        let used = vps.ratio(AlertInput::InodesUsed, AlertInput::InodesLimit);
        at_least(used, vps.limit(T::InodesUsed)) && vps.alerts_apply()
    }),
    of_vps(Alert::DiskImageMapped, Info, 60, |vps| {
        at_least(vps.disk_used(), vps.limit(T::DiskMapped)) && vps.last(AlertInput::Kvm).is_some()
    }),
    of_vps(Alert::MemoryLow, Critical, 15, |vps| {
        at_most(
            vps.memory_available(),
            vps.limit(T::MemoryAvailableCritical),
        )
    }),
    of_vps(Alert::MemoryLow, Warning, 15, |vps| {
        at_most(vps.memory_available(), vps.limit(T::MemoryAvailableWarning))
            && !vps.fires(Alert::MemoryLow, Critical)
    }),
    // Full swap alone is harmless: it may hold pages that are never used.
    of_vps(Alert::SwapBusy, Warning, 30, |vps| {
        let free = vps.ratio(AlertInput::SwapFree, AlertInput::SwapTotal);
        at_least(free.map(|free| 1.0 - free), vps.limit(T::SwapUsed))
            && at_most(vps.memory_available(), vps.limit(T::SwapMemoryAvailable))
            && !vps.fires(Alert::MemoryLow, Critical)
            && !vps.fires(Alert::MemoryLow, Warning)
    }),
    of_vps(Alert::PolicyDeadlineNear, Critical, 0, |vps| {
        let deadline = vps.within(AlertInput::PolicyDeadline, DEADLINE_REMEMBERED);
        let left = deadline.map(|deadline| deadline - vps.now.unix.0);
        at_most(left, vps.limit(T::PolicyDeadline))
            && vps.has_open_case()
            && !vps.omits(AlertInput::PolicyViolationsOpen, AlertInput::PolicyDeadline)
    }),
    of_vps(Alert::PolicyViolationOpen, Warning, 0, |vps| {
        vps.has_open_case() && !vps.fires(Alert::PolicyDeadlineNear, Critical)
    }),
    of_vps(Alert::AbusePointsHigh, Critical, 5, |vps| {
        at_least(vps.abuse_points(), vps.limit(T::AbusePointsCritical))
    }),
    of_vps(Alert::AbusePointsHigh, Warning, 5, |vps| {
        at_least(vps.abuse_points(), vps.limit(T::AbusePointsWarning))
            && !vps.fires(Alert::AbusePointsHigh, Critical)
    }),
    of_vps(Alert::BackupTooOld, Warning, 60, |vps| {
        at_least(vps.backup_age(), vps.limit(T::BackupAge)) && vps.alerts_apply()
    }),
    of_vps(Alert::SnapshotPurgedSoon, Info, 0, |vps| {
        let purge = vps.last(AlertInput::SnapshotNextPurge);
        let left = purge.map(|purge| purge - vps.now.unix.0);
        at_most(left, vps.limit(T::SnapshotPurge))
            && left > Some(0.0)
            && vps.is_configured()
            && !vps.omits(AlertInput::Snapshots, AlertInput::SnapshotNextPurge)
    }),
    of_vps(Alert::AuthenticationFailed, Warning, 5, |vps| {
        vps.key_refused() && !vps.all_keys_refused
    }),
    of_vps(Alert::DataStale, Warning, 15, |vps| {
        vps.within(AlertInput::DataStale, STALE_REMEMBERED) == Some(1.0)
            && vps.is_pollable()
            && !vps.api_failing_fires
    }),
];

/// Monotonic start time of each condition that holds, by its position in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Since([Option<Duration>; CONDITIONS.len()]);

impl Since {
    fn active(&self, now: Moment) -> impl Iterator<Item = Active> {
        let all = CONDITIONS.iter().zip(self.0);
        all.filter_map(move |(condition, since)| {
            let held = now.elapsed.saturating_sub(since?);
            Some(Active { condition, held })
        })
    }

    fn fires(&self, alert: Alert, severity: Severity, now: Moment) -> bool {
        self.active(now).any(|active| {
            let condition = active.condition;
            condition.alert == alert && condition.severity == severity && active.fires()
        })
    }

    fn update(&mut self, position: usize, holds: bool, now: Moment) {
        let since = &mut self.0[position];
        *since = holds.then(|| since.unwrap_or(now.elapsed));
    }
}

/// A condition that holds.
#[derive(Clone, Copy, Debug)]
pub struct Active {
    /// The condition.
    pub condition: &'static Condition,
    /// The time that it has held.
    pub held: Duration,
}

impl Active {
    /// True if the alert fires; false while it is pending.
    #[must_use]
    pub fn fires(&self) -> bool {
        self.held >= self.condition.hold
    }
}

/// Inputs and state of the conditions of a VPS.
#[derive(Clone, Debug, Default)]
pub(super) struct AlertState {
    pub(super) inputs: AlertInputs,
    since: Since,
}

impl AlertState {
    /// Each condition that holds, by its name in a saved state, and its start time.
    pub(super) fn since(&self) -> impl Iterator<Item = (String, Duration)> {
        let all = CONDITIONS.iter().zip(self.since.0);
        all.filter_map(|(condition, since)| Some((condition.id(), since?)))
    }

    /// Restores the start time of a condition.
    pub(super) fn restore(&mut self, id: &str, since: Duration) {
        let position = CONDITIONS.iter().position(|known| known.id() == id);
        if let Some(position) = position {
            self.since.0[position] = Some(since);
        }
    }
}

impl Condition {
    fn id(&self) -> String {
        format!("{} {}", self.alert.name(), self.severity.name())
    }
}

/// State of the conditions about all VPSes together, and the inputs of the last evaluation.
#[derive(Debug, Default)]
pub(super) struct FleetAlertState {
    since: Since,
    inputs: FleetInputs,
}

impl Fleet {
    /// Evaluates all conditions. A condition starts at the first evaluation that finds it, so call this every few
    /// seconds. `reload_successful` is false if the last attempt to load the configuration failed.
    pub fn evaluate_conditions(&mut self, reload_successful: bool, now: Moment) {
        let mut states: Vec<_> = self
            .vps
            .iter_mut()
            .map(|vps| std::mem::take(&mut vps.alert_state))
            .collect();
        for (vps, state) in self.vps.iter().zip(&mut states) {
            state.inputs.update(vps, self.staleness, now);
        }
        let mut inputs = FleetInputs {
            reload_successful,
            state_written: self.totals.state_writes.map(|writes| writes.successful),
            ..FleetInputs::default()
        };
        for (vps, state) in self.vps.iter().zip(&states) {
            inputs.count(&VpsInputs::new(vps, state, now));
        }
        let since = &mut self.alert_state.since;
        for (position, condition) in CONDITIONS.iter().enumerate() {
            if let Holds::Fleet(holds) = condition.holds {
                since.update(position, holds(&inputs), now);
            }
        }
        let api_failing_fires = since.fires(Alert::APIFailing, Critical, now);
        for (vps, state) in self.vps.iter().zip(&mut states) {
            let mut vps_inputs = VpsInputs {
                all_keys_refused: inputs.all_keys_refused(),
                api_failing_fires,
                ..VpsInputs::new(vps, state, now)
            };
            for (position, condition) in CONDITIONS.iter().enumerate() {
                if let Holds::Vps(holds) = condition.holds {
                    let holds = holds(&vps_inputs);
                    vps_inputs.since.update(position, holds, now);
                }
            }
            state.since = vps_inputs.since;
        }
        for (vps, state) in self.vps.iter_mut().zip(states) {
            vps.alert_state = state;
        }
        self.alert_state.inputs = inputs;
    }

    /// The number of VPSes without data, of those that should have data, and the number of the latter.
    #[must_use]
    pub const fn silent_of_pollable(&self) -> (u32, u32) {
        let inputs = &self.alert_state.inputs;
        (inputs.silent, inputs.pollable)
    }

    /// The number of VPSes without API points.
    #[must_use]
    pub const fn points_exhausted(&self) -> u32 {
        self.alert_state.inputs.exhausted
    }

    /// Conditions of all VPSes together that held at the last evaluation.
    pub fn active(&self, now: Moment) -> impl Iterator<Item = Active> {
        self.alert_state.since.active(now)
    }
}

impl VpsState {
    /// Conditions of this VPS that held at the last evaluation.
    pub fn active(&self, now: Moment) -> impl Iterator<Item = Active> {
        self.alert_state.since.active(now)
    }

    /// The last value of a metric within the last three hours.
    #[must_use]
    pub fn last(&self, input: AlertInput, now: Moment) -> Option<f64> {
        self.alert_state.inputs.last(input, now)
    }

    /// Deadline of the most urgent policy case.
    #[must_use]
    pub fn policy_deadline(&self, now: Moment) -> Option<UnixSeconds> {
        let inputs = &self.alert_state.inputs;
        let deadline = inputs.within(AlertInput::PolicyDeadline, DEADLINE_REMEMBERED, now);
        deadline.map(UnixSeconds)
    }
}
