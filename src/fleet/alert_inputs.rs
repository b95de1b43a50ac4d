//! Inputs of the alerts of a VPS, as on the metrics page: the last value of each metric and its time.
//!
//! An alert must not end because a response omits a field, so conditions use the last value within three hours, as the
//! Prometheus rules do.

use std::time::Duration;

use super::{VpsState, bandwidth};
use crate::clock::Moment;
use crate::kiwivm::Call;
use crate::kiwivm::model::{Backups, Hypervisor, Inventory, PolicyViolations, Snapshots, Status};
use crate::units::{Bytes, UnixSeconds};

/// Time after which a value that is no longer exported is dropped.
pub const REMEMBERED: Duration = Duration::from_secs(3 * 3600);

/// Defines [`AlertInput`] with its variants and their names in a saved state.
macro_rules! alert_inputs {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A metric, or a part of one, that alerts about a VPS compare.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum AlertInput {
            $($(#[$doc])* $variant,)*
        }

        impl AlertInput {
            /// All inputs.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name of the metric without `kiwivm_`, with a suffix for a part of it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

alert_inputs! {
    /// `kiwivm_up`.
    Up = "up",
    /// `kiwivm_authentication_failed`.
    AuthenticationFailed = "authentication_failed",
    /// `kiwivm_api_points_exhausted`.
    PointsExhausted = "api_points_exhausted",
    /// 1 if any call is stale, else 0.
    DataStale = "data_stale",
    /// `kiwivm_locked`.
    Locked = "locked",
    /// 1 while a task holds the VPS, else absent.
    LockedByTask = "locked_by_task",
    /// `kiwivm_suspended`.
    Suspended = "suspended",
    /// `kiwivm_running`.
    Running = "running",
    /// `kiwivm_vps_info{vm_type="kvm"}`.
    Kvm = "vps_info_kvm",
    /// `kiwivm_vps_info{vm_type="ovz"}`.
    OpenVz = "vps_info_ovz",
    /// `kiwivm_bandwidth_used_bytes`.
    BandwidthUsed = "bandwidth_used_bytes",
    /// `kiwivm_bandwidth_allowance_bytes`.
    BandwidthAllowance = "bandwidth_allowance_bytes",
    /// `kiwivm_bandwidth_period_start_timestamp_seconds`.
    PeriodStart = "bandwidth_period_start_timestamp_seconds",
    /// `kiwivm_bandwidth_reset_timestamp_seconds`.
    Reset = "bandwidth_reset_timestamp_seconds",
    /// `kiwivm_bandwidth_exhaustion_timestamp_seconds`, infinite if the allowance lasts until the reset.
    Exhaustion = "bandwidth_exhaustion_timestamp_seconds",
    /// `kiwivm_nullrouted_ip_addresses`.
    NullRouted = "nullrouted_ip_addresses",
    /// `kiwivm_abuse_points`.
    AbusePoints = "abuse_points",
    /// `kiwivm_abuse_points_limit`.
    AbusePointsLimit = "abuse_points_limit",
    /// `kiwivm_policy_violation`.
    PolicyViolation = "policy_violation",
    /// `kiwivm_policy_violations_open`.
    PolicyViolationsOpen = "policy_violations_open",
    /// `kiwivm_policy_violation_deadline_timestamp_seconds`.
    PolicyDeadline = "policy_violation_deadline_timestamp_seconds",
    /// `kiwivm_cpu_throttled`.
    CpuThrottled = "cpu_throttled",
    /// `kiwivm_disk_throttled`.
    DiskThrottled = "disk_throttled",
    /// `kiwivm_memory_available_bytes`.
    MemoryAvailable = "memory_available_bytes",
    /// `kiwivm_memory_total_bytes`.
    MemoryTotal = "memory_total_bytes",
    /// `kiwivm_swap_free_bytes`.
    SwapFree = "swap_free_bytes",
    /// `kiwivm_swap_total_bytes`.
    SwapTotal = "swap_total_bytes",
    /// `kiwivm_disk_used_bytes`.
    DiskUsed = "disk_used_bytes",
    /// `kiwivm_disk_size_bytes`.
    DiskSize = "disk_size_bytes",
    /// `kiwivm_inodes_used`.
    InodesUsed = "inodes_used",
    /// `kiwivm_inodes_limit`.
    InodesLimit = "inodes_limit",
    /// `kiwivm_snapshots`.
    Snapshots = "snapshots",
    /// `kiwivm_snapshot_newest_timestamp_seconds`.
    SnapshotNewest = "snapshot_newest_timestamp_seconds",
    /// `kiwivm_snapshot_next_purge_timestamp_seconds`.
    SnapshotNextPurge = "snapshot_next_purge_timestamp_seconds",
    /// `kiwivm_backups`.
    Backups = "backups",
    /// `kiwivm_backup_newest_timestamp_seconds`.
    BackupNewest = "backup_newest_timestamp_seconds",
}

/// The last value of each [`AlertInput`] and its monotonic time.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertInputs([Option<(f64, Duration)>; AlertInput::ALL.len()]);

impl Default for AlertInputs {
    fn default() -> Self {
        Self([None; AlertInput::ALL.len()])
    }
}

impl AlertInputs {
    /// The last value, if it is at most this old.
    #[must_use]
    pub fn within(&self, input: AlertInput, age: Duration, now: Moment) -> Option<f64> {
        let (value, at) = self.0[input as usize]?;
        (now.elapsed.saturating_sub(at) <= age).then_some(value)
    }

    /// The last value within [`REMEMBERED`].
    #[must_use]
    pub fn last(&self, input: AlertInput, now: Moment) -> Option<f64> {
        self.within(input, REMEMBERED, now)
    }

    /// All values with their times.
    pub(super) fn iter(&self) -> impl Iterator<Item = (AlertInput, f64, Duration)> {
        let values = AlertInput::ALL.iter().zip(self.0);
        values.filter_map(|(input, known)| known.map(|(value, at)| (*input, value, at)))
    }

    /// Restores a value from before this process started.
    pub(super) fn restore(&mut self, input: AlertInput, value: f64, at: Duration) {
        self.0[input as usize] = Some((value, at));
    }

    /// Updates the values from the current state of a VPS.
    pub(super) fn update(&mut self, vps: &VpsState, staleness: f64, now: Moment) {
        let mut show = |input: AlertInput, value: Option<f64>| {
            if let Some(value) = value {
                self.0[input as usize] = Some((value, now.elapsed));
            }
        };
        for (input, value) in polls(vps, staleness, now) {
            show(input, value);
        }
        for (input, value) in service(vps, staleness, now) {
            show(input, value);
        }
        for (input, value) in live(vps, staleness, now) {
            show(input, value);
        }
        for (input, value) in inventory(vps, staleness, now) {
            show(input, value);
        }
    }
}

/// The exhaustion of an allowance that lasts until the reset.
const NEVER: UnixSeconds = UnixSeconds(f64::INFINITY);

type InputValues<const N: usize> = [(AlertInput, Option<f64>); N];

fn flag(value: Option<bool>) -> Option<f64> {
    value.map(|value| f64::from(u8::from(value)))
}

#[expect(clippy::cast_precision_loss, reason = "samples are 64-bit floats")]
fn count(value: Option<u64>) -> Option<f64> {
    value.map(|value| value as f64)
}

fn bytes(value: Option<impl Into<Bytes<f64>>>) -> Option<f64> {
    value.map(|value| value.into().0)
}

fn time(value: Option<impl Into<UnixSeconds>>) -> Option<f64> {
    value.map(|value| value.into().0)
}

fn polls(vps: &VpsState, staleness: f64, now: Moment) -> InputValues<6> {
    let stale = vps
        .calls
        .values()
        .filter_map(|call| call.is_stale(staleness, now));
    let locked = vps.lock(staleness, now).map(Option::is_some);
    [
        (
            AlertInput::Up,
            flag(vps.tried.then(|| vps.up(staleness, now))),
        ),
        (
            AlertInput::AuthenticationFailed,
            flag(vps.authentication_failed),
        ),
        (AlertInput::PointsExhausted, flag(vps.points_exhausted)),
        (AlertInput::DataStale, flag(stale.max())),
        (AlertInput::Locked, flag(locked)),
        (
            AlertInput::LockedByTask,
            flag(locked.filter(|locked| *locked)),
        ),
    ]
}

fn service(vps: &VpsState, staleness: f64, now: Moment) -> InputValues<13> {
    let info = vps.service(staleness, now);
    let multiplier = vps.identity.multiplier;
    let forecast = vps.forecast(staleness, now);
    let is = |hypervisor| {
        let known = info.and_then(|info| info.hypervisor);
        known
            .is_some_and(|known| known == hypervisor)
            .then_some(1.0)
    };
    let reset = info.and_then(|info| info.data_next_reset);
    [
        (
            AlertInput::Suspended,
            flag(info.and_then(|info| info.suspended)),
        ),
        (AlertInput::Kvm, is(Hypervisor::Kvm)),
        (AlertInput::OpenVz, is(Hypervisor::OpenVz)),
        (
            AlertInput::BandwidthUsed,
            bytes(info.and_then(|info| bandwidth::used(info, multiplier))),
        ),
        (
            AlertInput::BandwidthAllowance,
            bytes(info.and_then(|info| bandwidth::allowance(info, multiplier))),
        ),
        (
            AlertInput::PeriodStart,
            time(reset.and_then(bandwidth::period_start)),
        ),
        (AlertInput::Reset, time(reset)),
        (
            AlertInput::Exhaustion,
            time(forecast.map(|forecast| forecast.exhaustion.unwrap_or(NEVER))),
        ),
        (
            AlertInput::NullRouted,
            count(info.and_then(|info| info.nullrouted_ip_addresses)),
        ),
        (
            AlertInput::AbusePoints,
            count(info.and_then(|info| info.abuse_points)),
        ),
        (
            AlertInput::AbusePointsLimit,
            count(info.and_then(|info| info.abuse_points_limit)),
        ),
        (
            AlertInput::PolicyViolation,
            flag(info.and_then(|info| info.policy_violation)),
        ),
        (
            AlertInput::MemoryTotal,
            bytes(info.and_then(|info| info.plan_ram)),
        ),
    ]
}

fn live(vps: &VpsState, staleness: f64, now: Moment) -> InputValues<10> {
    let live = vps.live(staleness, now);
    // An unknown state tells nothing.
    let known = |status: &Status| *status != Status::Other;
    let running = live.and_then(|live| live.status).filter(known);
    [
        (
            AlertInput::Running,
            flag(running.map(|status| status == Status::Running)),
        ),
        (
            AlertInput::CpuThrottled,
            flag(live.and_then(|live| live.cpu_throttled)),
        ),
        (
            AlertInput::DiskThrottled,
            flag(live.and_then(|live| live.disk_throttled)),
        ),
        (
            AlertInput::MemoryAvailable,
            bytes(live.and_then(|live| live.memory_available)),
        ),
        (
            AlertInput::SwapFree,
            bytes(live.and_then(|live| live.swap_free)),
        ),
        (
            AlertInput::SwapTotal,
            bytes(live.and_then(|live| live.swap_total)),
        ),
        (
            AlertInput::DiskUsed,
            bytes(live.and_then(|live| live.disk_used)),
        ),
        (
            AlertInput::DiskSize,
            bytes(live.and_then(|live| live.disk_size)),
        ),
        (
            AlertInput::InodesUsed,
            count(live.and_then(|live| live.inodes_used)),
        ),
        (
            AlertInput::InodesLimit,
            count(live.and_then(|live| live.inodes_limit)),
        ),
    ]
}

fn inventory(vps: &VpsState, staleness: f64, now: Moment) -> InputValues<7> {
    let listed = |call| vps.inventory(call, staleness, now);
    let snapshots: Option<&Snapshots> = match listed(Call::SnapshotList) {
        Some(Inventory::Snapshots(snapshots)) => Some(snapshots),
        _ => None,
    };
    let backups: Option<&Backups> = match listed(Call::BackupList) {
        Some(Inventory::Backups(backups)) => Some(backups),
        _ => None,
    };
    let violations: Option<&PolicyViolations> = match listed(Call::PolicyViolations) {
        Some(Inventory::PolicyViolations(violations)) => Some(violations),
        _ => None,
    };
    [
        (
            AlertInput::PolicyViolationsOpen,
            count(violations.map(|all| all.open)),
        ),
        (
            AlertInput::PolicyDeadline,
            time(violations.and_then(|all| all.deadline)),
        ),
        (AlertInput::Snapshots, count(snapshots.map(|all| all.count))),
        (
            AlertInput::SnapshotNewest,
            time(snapshots.and_then(|all| all.newest)),
        ),
        (
            AlertInput::SnapshotNextPurge,
            time(vps.next_purge(staleness, now)),
        ),
        (AlertInput::Backups, count(backups.map(|all| all.count))),
        (
            AlertInput::BackupNewest,
            time(backups.and_then(|all| all.newest)),
        ),
    ]
}
