//! The thresholds of alerts.

use std::sync::Arc;

use figment::value::{Dict, Value};

use super::locate::join;
use super::reader::{Reader, duration, flag, real, text};

/// A threshold of an alert. Alerts with two severities have one for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the names are clear; config.example.yaml has details"
)]
pub enum Threshold {
    BandwidthUsedWarning,
    BandwidthUsedCritical,
    BandwidthExhaustionWarning,
    BandwidthExhaustionCritical,
    ThrottleStarts,
    DiskUsedWarning,
    DiskUsedCritical,
    DiskFullWarning,
    DiskFullCritical,
    DiskMapped,
    InodesUsed,
    MemoryAvailableWarning,
    MemoryAvailableCritical,
    SwapUsed,
    SwapMemoryAvailable,
    PolicyDeadline,
    AbusePointsWarning,
    AbusePointsCritical,
    BackupAge,
    SnapshotPurge,
    ApiFailing,
}

use Threshold as T;

const DAY: f64 = 86_400.0;
const HOUR: f64 = 3600.0;

impl Threshold {
    /// Every threshold, in the order of the exposition.
    pub const ALL: [Self; 21] = [
        T::BandwidthUsedWarning,
        T::BandwidthUsedCritical,
        T::BandwidthExhaustionWarning,
        T::BandwidthExhaustionCritical,
        T::ThrottleStarts,
        T::DiskUsedWarning,
        T::DiskUsedCritical,
        T::DiskFullWarning,
        T::DiskFullCritical,
        T::DiskMapped,
        T::InodesUsed,
        T::MemoryAvailableWarning,
        T::MemoryAvailableCritical,
        T::SwapUsed,
        T::SwapMemoryAvailable,
        T::PolicyDeadline,
        T::AbusePointsWarning,
        T::AbusePointsCritical,
        T::BackupAge,
        T::SnapshotPurge,
        T::ApiFailing,
    ];

    /// The key in the configuration and the value of the `threshold` label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            T::BandwidthUsedWarning => "bandwidth_used_ratio_warning",
            T::BandwidthUsedCritical => "bandwidth_used_ratio_critical",
            T::BandwidthExhaustionWarning => "bandwidth_exhaustion_seconds_warning",
            T::BandwidthExhaustionCritical => "bandwidth_exhaustion_seconds_critical",
            T::ThrottleStarts => "throttle_starts",
            T::DiskUsedWarning => "disk_used_ratio_warning",
            T::DiskUsedCritical => "disk_used_ratio_critical",
            T::DiskFullWarning => "disk_full_seconds_warning",
            T::DiskFullCritical => "disk_full_seconds_critical",
            T::DiskMapped => "disk_mapped_ratio",
            T::InodesUsed => "inodes_used_ratio",
            T::MemoryAvailableWarning => "memory_available_ratio_warning",
            T::MemoryAvailableCritical => "memory_available_ratio_critical",
            T::SwapUsed => "swap_used_ratio",
            T::SwapMemoryAvailable => "swap_memory_available_ratio",
            T::PolicyDeadline => "policy_deadline_seconds",
            T::AbusePointsWarning => "abuse_points_ratio_warning",
            T::AbusePointsCritical => "abuse_points_ratio_critical",
            T::BackupAge => "backup_age_seconds",
            T::SnapshotPurge => "snapshot_purge_seconds",
            T::ApiFailing => "api_failing_ratio",
        }
    }

    /// The default; `None` is off. Off are thresholds that would fire permanently in common set-ups: snapshots rotated
    /// each night, guests that never trim, no backups.
    const fn default(self) -> Option<f64> {
        Some(match self {
            T::BandwidthUsedWarning | T::SwapUsed | T::AbusePointsCritical => 0.8,
            T::BandwidthUsedCritical | T::DiskUsedCritical => 0.95,
            // The longest billing period.
            T::BandwidthExhaustionWarning => 31.0 * DAY,
            T::BandwidthExhaustionCritical | T::DiskFullCritical => 12.0 * HOUR,
            T::ThrottleStarts => 3.0,
            T::DiskUsedWarning => 0.85,
            T::DiskFullWarning => 3.0 * DAY,
            T::InodesUsed => 0.9,
            T::MemoryAvailableWarning => 0.1,
            T::MemoryAvailableCritical => 0.05,
            T::SwapMemoryAvailable => 0.2,
            T::PolicyDeadline => DAY,
            T::AbusePointsWarning | T::ApiFailing => 0.5,
            T::DiskMapped | T::BackupAge | T::SnapshotPurge => return None,
        })
    }

    /// A description of the allowed values, the minimum and the maximum.
    const fn allowed(self) -> (&'static str, f64, f64) {
        match self {
            T::ThrottleStarts => ("a number from 1 to 1000, or off", 1.0, 1000.0),
            T::BandwidthExhaustionWarning
            | T::BandwidthExhaustionCritical
            | T::DiskFullWarning
            | T::DiskFullCritical
            | T::PolicyDeadline
            | T::BackupAge
            | T::SnapshotPurge => (
                "a duration such as 12h or 3d, or seconds, up to 3650d, or off",
                0.0,
                3650.0 * DAY,
            ),
            _ => ("a number from 0 to 1, or off", 0.0, 1.0),
        }
    }

    /// Parses a value, where `Some(None)` is off. Returns `None` if it is invalid.
    #[expect(clippy::option_option, reason = "off is a value")]
    fn parse(self, value: &Value) -> Option<Option<f64>> {
        let (_, least, most) = self.allowed();
        // YAML 1.1 treats a bare `off` as false.
        if flag(value) == Some(false) || text(value).as_deref() == Some("off") {
            return Some(None);
        }
        let seconds = |value| Some(duration(value)?.as_secs_f64());
        let is_duration = most > 1000.0;
        let number = real(value).or_else(|| seconds(value).filter(|_| is_duration))?;
        (least..=most).contains(&number).then_some(Some(number))
    }
}

/// The names of all thresholds.
pub const THRESHOLDS: &[&str] = &names();

/// Thresholds for the whole fleet, which cannot be set for a single VPS.
const FLEET_WIDE: &[Threshold] = &[T::ApiFailing];

/// Pairs of thresholds of which the first must not be above the second. Otherwise the critical alert would fire first.
const ORDERED_PAIRS: &[(Threshold, Threshold)] = &[
    (T::BandwidthUsedWarning, T::BandwidthUsedCritical),
    (T::DiskUsedWarning, T::DiskUsedCritical),
    (T::AbusePointsWarning, T::AbusePointsCritical),
    (
        T::BandwidthExhaustionCritical,
        T::BandwidthExhaustionWarning,
    ),
    (T::DiskFullCritical, T::DiskFullWarning),
    (T::MemoryAvailableCritical, T::MemoryAvailableWarning),
];

const fn names() -> [&'static str; Threshold::ALL.len()] {
    let mut names = [""; Threshold::ALL.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = Threshold::ALL[index].name();
        index += 1;
    }
    names
}

/// The thresholds of a VPS.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds([Option<f64>; Threshold::ALL.len()]);

impl Default for Thresholds {
    fn default() -> Self {
        Self(Threshold::ALL.map(Threshold::default))
    }
}

impl Thresholds {
    /// Returns a threshold, or `None` if the alert is off.
    #[must_use]
    pub const fn get(&self, threshold: Threshold) -> Option<f64> {
        self.0[threshold as usize]
    }

    /// Reads a section. Thresholds that it does not set are taken from `base`.
    pub(super) fn read(
        reader: &mut Reader,
        section: &Dict,
        path: &str,
        base: &Arc<Self>,
    ) -> Arc<Self> {
        if section.is_empty() {
            return Arc::clone(base);
        }
        let mut thresholds = Self::clone(base);
        for threshold in Threshold::ALL {
            let (expected, ..) = threshold.allowed();
            let read = reader.read(section, path, threshold.name(), expected, |value| {
                threshold.parse(value)
            });
            if let Some(value) = read {
                thresholds.0[threshold as usize] = value;
            }
        }
        for (lower, higher) in ORDERED_PAIRS {
            let crossed = thresholds
                .get(*lower)
                .zip(thresholds.get(*higher))
                .is_some_and(|(lower, higher)| lower > higher);
            let named = [lower.name(), higher.name()];
            // A problem of another section is reported there.
            let set_here = named.iter().find(|name| section.contains_key(**name));
            if let Some(key) = set_here.filter(|_| crossed) {
                reader.problem(
                    &join(path, key),
                    format!(
                        "{} must not be above {}: change one of them",
                        named[0], named[1]
                    ),
                );
            }
        }
        Arc::new(thresholds)
    }

    /// Reads the section of a VPS.
    pub(super) fn read_own(
        reader: &mut Reader,
        section: &Dict,
        path: &str,
        base: &Arc<Self>,
    ) -> Arc<Self> {
        for common in FLEET_WIDE {
            if section.contains_key(common.name()) {
                reader.problem(
                    &join(path, common.name()),
                    "applies to all VPSes: set it in the top-level thresholds section",
                );
            }
        }
        Self::read(reader, section, path, base)
    }
}
