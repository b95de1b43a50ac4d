//! Inputs of the conditions for one VPS and for all VPSes: last values and values derived from them.

use std::time::Duration;

use super::{Alert, AlertState, Severity, Since};
use crate::clock::Moment;
use crate::config::{Expect, Threshold as T};
use crate::fleet::VpsState;
use crate::fleet::alert_inputs::{AlertInput, AlertInputs};
use crate::units::UnixSeconds;

/// A suspension lasts until the reset, or until a case is settled.
const SUSPENSION_REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// Lists are polled less often when API points are scarce.
pub(super) const DEADLINE_REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);
/// A restarting exporter briefly has no state of its VPSes.
const UP_REMEMBERED: Duration = Duration::from_secs(15 * 60);
pub(super) const STALE_REMEMBERED: Duration = Duration::from_secs(10 * 60);
/// Data arrive late for a while after a task and after API points ran out.
const HINDERED_REMEMBERED: Duration = Duration::from_secs(3600);
/// Seconds after which a reset that was due counts as late, so that the counter is still that of the period before.
const RESET_LATE: f64 = 24.0 * 3600.0;
/// Minimum number of VPSes to distinguish a failing API from failing VPSes.
const FEWEST_FOR_API: u32 = 3;

pub(super) fn at_least(value: Option<f64>, limit: Option<f64>) -> bool {
    value
        .zip(limit)
        .is_some_and(|(value, limit)| value >= limit)
}

pub(super) fn at_most(value: Option<f64>, limit: Option<f64>) -> bool {
    value
        .zip(limit)
        .is_some_and(|(value, limit)| value <= limit)
}

/// Inputs of the conditions about all VPSes together.
#[derive(Debug, Default)]
pub(super) struct FleetInputs {
    pub(super) reload_successful: bool,
    pub(super) state_written: Option<bool>,
    pub(super) configured: u32,
    pub(super) refused: u32,
    pub(super) exhausted: u32,
    pub(super) pollable: u32,
    pub(super) silent: u32,
    pub(super) failing_ratio: Option<f64>,
}

impl FleetInputs {
    pub(super) const fn all_keys_refused(&self) -> bool {
        self.refused > 0 && self.refused == self.configured
    }

    pub(super) fn api_fails(&self) -> bool {
        let silent = f64::from(self.silent) / f64::from(self.pollable.max(1));
        self.pollable >= FEWEST_FOR_API
            && self.silent > 0
            && at_least(Some(silent), self.failing_ratio)
    }

    pub(super) fn count(&mut self, vps: &VpsInputs<'_>) {
        self.configured += u32::from(vps.is_configured());
        self.refused += u32::from(vps.key_refused());
        let exhausted = vps.within(AlertInput::PointsExhausted, STALE_REMEMBERED);
        self.exhausted += u32::from(exhausted == Some(1.0));
        if vps.is_pollable() {
            self.pollable += 1;
            self.silent += u32::from(vps.within(AlertInput::Up, UP_REMEMBERED) == Some(0.0));
        }
        // The threshold is global, so all VPSes have the same value.
        self.failing_ratio = self.failing_ratio.or(vps.limit(T::ApiFailing));
    }
}

/// Inputs of the conditions of one VPS.
pub(super) struct VpsInputs<'a> {
    pub(super) vps: &'a VpsState,
    pub(super) values: &'a AlertInputs,
    pub(super) since: Since,
    pub(super) now: Moment,
    pub(super) all_keys_refused: bool,
    pub(super) api_failing_fires: bool,
}

impl<'a> VpsInputs<'a> {
    pub(super) const fn new(vps: &'a VpsState, state: &'a AlertState, now: Moment) -> Self {
        Self {
            vps,
            values: &state.inputs,
            since: state.since,
            now,
            all_keys_refused: false,
            api_failing_fires: false,
        }
    }
}

impl VpsInputs<'_> {
    pub(super) fn fires(&self, alert: Alert, severity: Severity) -> bool {
        self.since.fires(alert, severity, self.now)
    }

    pub(super) fn limit(&self, threshold: T) -> Option<f64> {
        self.vps.identity.thresholds.get(threshold)
    }

    pub(super) fn last(&self, input: AlertInput) -> Option<f64> {
        self.values.last(input, self.now)
    }

    /// The last value of an input that is a time.
    fn time(&self, input: AlertInput) -> Option<UnixSeconds> {
        self.last(input).map(UnixSeconds)
    }

    pub(super) fn within(&self, input: AlertInput, age: Duration) -> Option<f64> {
        self.values.within(input, age, self.now)
    }

    /// True if the response that has the first value lacks the second: there is none.
    pub(super) fn omits(&self, shown: AlertInput, missing: AlertInput) -> bool {
        let now = |input| self.within(input, Duration::ZERO);
        now(shown).is_some() && now(missing).is_none()
    }

    pub(super) fn ratio(&self, part: AlertInput, whole: AlertInput) -> Option<f64> {
        let whole = self.last(whole).filter(|whole| *whole > 0.0)?;
        Some(self.last(part)? / whole)
    }

    pub(super) fn is_configured(&self) -> bool {
        self.within(AlertInput::Up, UP_REMEMBERED).is_some()
    }

    pub(super) fn is_suspended(&self) -> bool {
        let suspended = self.within(AlertInput::Suspended, SUSPENSION_REMEMBERED);
        suspended == Some(1.0) && self.is_configured()
    }

    /// True unless the VPS is suspended, which suppresses its other alerts.
    pub(super) fn alerts_apply(&self) -> bool {
        self.is_configured() && !self.is_suspended()
    }

    pub(super) fn key_refused(&self) -> bool {
        self.last(AlertInput::AuthenticationFailed) == Some(1.0) && self.is_configured()
    }

    /// True if polls should succeed: the key is accepted, no task holds the VPS and API points are left.
    pub(super) fn is_pollable(&self) -> bool {
        let hindered = |input| self.within(input, HINDERED_REMEMBERED) == Some(1.0);
        self.is_configured()
            && !self.key_refused()
            && !hindered(AlertInput::LockedByTask)
            && !hindered(AlertInput::PointsExhausted)
    }

    /// Infinite if the allowance lasts until the reset; `None` without a forecast for this period.
    pub(super) fn seconds_to_exhaustion(&self) -> Option<f64> {
        let exhaustion = self.time(AlertInput::Exhaustion)?;
        let in_period = exhaustion > self.time(AlertInput::PeriodStart)?
            && self.time(AlertInput::Reset)? > self.now.unix;
        (in_period && self.alerts_apply()).then_some(exhaustion - self.now.unix)
    }

    pub(super) fn bandwidth_used(&self) -> Option<f64> {
        let used = self.ratio(AlertInput::BandwidthUsed, AlertInput::BandwidthAllowance)?;
        let reset = self.time(AlertInput::Reset);
        let is_over =
            reset.is_some_and(|reset| reset <= self.now.unix && self.now.unix < reset + RESET_LATE);
        (self.alerts_apply() && !is_over).then_some(used)
    }

    /// `Some(running)` if the configuration expects the opposite state.
    pub(super) fn unexpected_state(&self) -> Option<bool> {
        let running = self.last(AlertInput::Running)? > 0.0;
        let is_unexpected = match self.vps.identity.expect {
            Expect::Running => !running,
            Expect::Stopped => running,
            Expect::Any => false,
        };
        let is_locked = self.last(AlertInput::Locked) == Some(1.0);
        (is_unexpected && !is_locked && self.alerts_apply()).then_some(running)
    }

    pub(super) fn disk_used(&self) -> Option<f64> {
        let used = self.ratio(AlertInput::DiskUsed, AlertInput::DiskSize)?;
        self.alerts_apply().then_some(used)
    }

    pub(super) fn quota_used(&self) -> Option<f64> {
        self.last(AlertInput::OpenVz)?;
        self.disk_used()
    }

    pub(super) fn memory_available(&self) -> Option<f64> {
        let available = self.ratio(AlertInput::MemoryAvailable, AlertInput::MemoryTotal)?;
        (self.last(AlertInput::Running) == Some(1.0) && self.alerts_apply()).then_some(available)
    }

    pub(super) fn has_open_case(&self) -> bool {
        let listed = self.last(AlertInput::PolicyViolationsOpen) > Some(0.0);
        (listed || self.last(AlertInput::PolicyViolation) == Some(1.0)) && self.alerts_apply()
    }

    pub(super) fn abuse_points(&self) -> Option<f64> {
        let points = self.ratio(AlertInput::AbusePoints, AlertInput::AbusePointsLimit)?;
        self.alerts_apply().then_some(points)
    }

    /// Infinite if there is neither a backup nor a snapshot.
    pub(super) fn backup_age(&self) -> Option<f64> {
        let times =
            [AlertInput::BackupNewest, AlertInput::SnapshotNewest].map(|input| self.time(input));
        let newest = times.into_iter().flatten().reduce(UnixSeconds::max);
        let copies = self
            .last(AlertInput::Snapshots)
            .zip(self.last(AlertInput::Backups));
        let none = copies == Some((0.0, 0.0));
        let newest = newest.or(none.then_some(UnixSeconds(f64::NEG_INFINITY)))?;
        Some(self.now.unix - newest)
    }
}
