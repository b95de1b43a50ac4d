//! Inputs of the conditions for one VPS and for all VPSes: last values and values derived from them.

use std::time::Duration;

use super::{Alert, Severity, Since, Watched};
use crate::clock::Moment;
use crate::config::{Expect, Threshold as T};
use crate::fleet::VpsState;
use crate::fleet::readings::{Reading, Readings};

/// A suspension lasts until the reset, or until a case is settled.
const SUSPENSION_REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// Lists are polled less often when API points are scarce.
pub(super) const DEADLINE_REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);
/// A restarting exporter briefly has no state of its VPSes.
const UP_REMEMBERED: Duration = Duration::from_secs(15 * 60);
pub(super) const STALE_REMEMBERED: Duration = Duration::from_secs(10 * 60);
/// Data arrive late for a while after a task and after API points ran out.
const HINDERED_REMEMBERED: Duration = Duration::from_secs(3600);
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
#[derive(Default)]
pub(super) struct Common {
    pub(super) reload_successful: bool,
    pub(super) state_written: Option<bool>,
    pub(super) configured: u32,
    pub(super) refused: u32,
    pub(super) exhausted: u32,
    pub(super) pollable: u32,
    pub(super) silent: u32,
    pub(super) failing_ratio: Option<f64>,
}

impl Common {
    pub(super) const fn all_keys_refused(&self) -> bool {
        self.refused > 0 && self.refused == self.configured
    }

    pub(super) fn api_fails(&self) -> bool {
        let silent = f64::from(self.silent) / f64::from(self.pollable.max(1));
        self.pollable >= FEWEST_FOR_API && at_least(Some(silent), self.failing_ratio)
    }

    pub(super) fn count(&mut self, vps: &Seen<'_>) {
        self.configured += u32::from(vps.is_configured());
        self.refused += u32::from(vps.key_refused());
        let exhausted = vps.within(Reading::PointsExhausted, STALE_REMEMBERED);
        self.exhausted += u32::from(exhausted == Some(1.0));
        if vps.is_pollable() {
            self.pollable += 1;
            self.silent += u32::from(vps.within(Reading::Up, UP_REMEMBERED) == Some(0.0));
        }
        // The threshold is global, so all VPSes have the same value.
        self.failing_ratio = self.failing_ratio.or(vps.limit(T::ApiFailing));
    }
}

/// Inputs of the conditions of one VPS.
pub(super) struct Seen<'a> {
    pub(super) vps: &'a VpsState,
    pub(super) readings: &'a Readings,
    pub(super) since: Since,
    pub(super) now: Moment,
    pub(super) all_keys_refused: bool,
    pub(super) api_failing_fires: bool,
}

impl<'a> Seen<'a> {
    pub(super) const fn new(vps: &'a VpsState, watched: &'a Watched, now: Moment) -> Self {
        Self {
            vps,
            readings: &watched.readings,
            since: watched.since,
            now,
            all_keys_refused: false,
            api_failing_fires: false,
        }
    }
}

impl Seen<'_> {
    pub(super) fn fires(&self, alert: Alert, severity: Severity) -> bool {
        self.since.fires(alert, severity, self.now)
    }

    pub(super) fn limit(&self, threshold: T) -> Option<f64> {
        self.vps.identity.thresholds.get(threshold)
    }

    pub(super) fn last(&self, reading: Reading) -> Option<f64> {
        self.readings.last(reading, self.now)
    }

    pub(super) fn within(&self, reading: Reading, age: Duration) -> Option<f64> {
        self.readings.within(reading, age, self.now)
    }

    /// True if the response that has the first value lacks the second: there is none.
    pub(super) fn omits(&self, shown: Reading, missing: Reading) -> bool {
        let now = |reading| self.within(reading, Duration::ZERO);
        now(shown).is_some() && now(missing).is_none()
    }

    pub(super) fn ratio(&self, part: Reading, whole: Reading) -> Option<f64> {
        let whole = self.last(whole).filter(|whole| *whole > 0.0)?;
        Some(self.last(part)? / whole)
    }

    pub(super) fn is_configured(&self) -> bool {
        self.within(Reading::Up, UP_REMEMBERED).is_some()
    }

    pub(super) fn is_suspended(&self) -> bool {
        let suspended = self.within(Reading::Suspended, SUSPENSION_REMEMBERED);
        suspended == Some(1.0) && self.is_configured()
    }

    /// True unless the VPS is suspended, which suppresses its other alerts.
    pub(super) fn counts(&self) -> bool {
        self.is_configured() && !self.is_suspended()
    }

    pub(super) fn key_refused(&self) -> bool {
        self.last(Reading::AuthenticationFailed) == Some(1.0) && self.is_configured()
    }

    /// True if polls should succeed: the key is accepted, no task holds the VPS and API points are left.
    pub(super) fn is_pollable(&self) -> bool {
        let hindered = |reading| self.within(reading, HINDERED_REMEMBERED) == Some(1.0);
        self.is_configured()
            && !self.key_refused()
            && !hindered(Reading::LockedByTask)
            && !hindered(Reading::PointsExhausted)
    }

    /// Infinite if the allowance lasts until the reset; `None` without a forecast for this period.
    pub(super) fn seconds_to_exhaustion(&self) -> Option<f64> {
        let exhaustion = self.last(Reading::Exhaustion)?;
        let in_period = exhaustion > self.last(Reading::PeriodStart)?
            && self.last(Reading::Reset)? > self.now.unix;
        (in_period && self.counts()).then_some(exhaustion - self.now.unix)
    }

    pub(super) fn bandwidth_used(&self) -> Option<f64> {
        let used = self.ratio(Reading::BandwidthUsed, Reading::BandwidthAllowance)?;
        let is_over = at_most(self.last(Reading::Reset), Some(self.now.unix));
        (self.counts() && !is_over).then_some(used)
    }

    /// `Some(running)` if the configuration expects the opposite state.
    pub(super) fn unexpected_state(&self) -> Option<bool> {
        let running = self.last(Reading::Running)? > 0.0;
        let is_unexpected = match self.vps.identity.expect {
            Expect::Running => !running,
            Expect::Stopped => running,
            Expect::Any => false,
        };
        let is_held = self.last(Reading::Locked) == Some(1.0);
        (is_unexpected && !is_held && self.counts()).then_some(running)
    }

    pub(super) fn disk_used(&self) -> Option<f64> {
        let used = self.ratio(Reading::DiskUsed, Reading::DiskSize)?;
        self.counts().then_some(used)
    }

    pub(super) fn quota_used(&self) -> Option<f64> {
        self.last(Reading::OpenVz)?;
        self.disk_used()
    }

    pub(super) fn memory_available(&self) -> Option<f64> {
        let available = self.ratio(Reading::MemoryAvailable, Reading::MemoryTotal)?;
        (self.last(Reading::Running) == Some(1.0) && self.counts()).then_some(available)
    }

    pub(super) fn has_open_case(&self) -> bool {
        let listed = self.last(Reading::PolicyViolationsOpen) > Some(0.0);
        (listed || self.last(Reading::PolicyViolation) == Some(1.0)) && self.counts()
    }

    pub(super) fn abuse_points(&self) -> Option<f64> {
        let points = self.ratio(Reading::AbusePoints, Reading::AbusePointsLimit)?;
        self.counts().then_some(points)
    }

    /// Infinite if there is neither a backup nor a snapshot.
    pub(super) fn backup_age(&self) -> Option<f64> {
        let times = [Reading::BackupNewest, Reading::SnapshotNewest].map(|time| self.last(time));
        let newest = times.into_iter().flatten().reduce(f64::max);
        let copies = self
            .last(Reading::Snapshots)
            .zip(self.last(Reading::Backups));
        let none = copies == Some((0.0, 0.0));
        let newest = newest.or(none.then_some(f64::NEG_INFINITY))?;
        Some(self.now.unix - newest)
    }
}
