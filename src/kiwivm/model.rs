//! The decoded responses, in base units. A field is `None` if the API omitted it or sent it in an unknown form.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::units::{Bytes, Points, UnixSeconds};

/// The hypervisor of a VPS (`vm_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hypervisor {
    /// `kvm`, used by every plan sold today.
    Kvm,
    /// `ovz`, OpenVZ, no longer sold.
    OpenVz,
}

impl Hypervisor {
    /// The value of `vm_type` in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::OpenVz => "ovz",
        }
    }
}

/// The fields of `getServiceInfo`, which every `getLiveServiceInfo` includes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceInfo {
    /// `vm_type`. Without it, a response with `vz_status` is OpenVZ.
    pub hypervisor: Option<Hypervisor>,
    /// The configured host name. The user of the VPS chooses it, so treat it as hostile input.
    pub hostname: Option<String>,
    /// Nickname of the physical node, `node_alias`.
    pub node: Option<String>,
    /// `node_location_id`, for example `USCA_2`.
    pub location_id: Option<String>,
    /// `node_location`, "country, state".
    pub location: Option<String>,
    /// `node_datacenter`.
    pub datacenter: Option<String>,
    /// Name of the plan.
    pub plan: Option<String>,
    /// Template name of the operating system.
    pub os: Option<String>,
    /// `plan_monthly_data`: the transfer allowance, before the multiplier.
    pub monthly_data: Option<Bytes>,
    /// `data_counter`: transfer used since the last reset, before the multiplier. May exceed the allowance.
    pub data_counter: Option<Bytes>,
    /// `monthly_data_multiplier`; finite and above 0. The field is missing before 2018, which means 1.
    pub data_multiplier: Option<f64>,
    /// True if `monthly_data_multiplier` is present but invalid. Then it is unknown how transfer is counted.
    #[serde(default)]
    pub data_multiplier_unusable: bool,
    /// `data_next_reset`.
    pub data_next_reset: Option<UnixSeconds<i64>>,
    /// `plan_disk`.
    pub plan_disk: Option<Bytes>,
    /// `plan_ram`.
    pub plan_ram: Option<Bytes>,
    /// `plan_swap`; 0 on KVM even when the guest has swap.
    pub plan_swap: Option<Bytes>,
    /// `plan_max_ipv6s`: number of /64 subnets that the plan allows.
    pub ipv6_subnets_limit: Option<u64>,
    /// `ip_addresses`; `None` if the field is missing, empty if it is an empty list.
    pub ip_addresses: Option<IpAddresses>,
    /// Number of `private_ip_addresses`. `None` if the field is missing.
    pub private_ip_addresses: Option<u64>,
    /// Number of `ip_nullroutes`. `None` if the field is missing.
    pub nullrouted_ip_addresses: Option<u64>,
    /// `suspended`.
    pub suspended: Option<bool>,
    /// `policy_violation`: an open case needs action.
    pub policy_violation: Option<bool>,
    /// `suspension_count`: suspensions in this calendar year.
    pub suspensions: Option<u64>,
    /// `total_abuse_points` in this calendar year.
    pub abuse_points: Option<u64>,
    /// `max_abuse_points` of the plan.
    pub abuse_points_limit: Option<u64>,
}

/// The public addresses of a VPS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpAddresses {
    /// The first IPv4 address, or else the first address. `None` if there is none.
    pub primary: Option<String>,
    /// The first IPv6 address that is not the base of a subnet.
    #[serde(default)]
    pub host_ipv6: Option<String>,
    /// Number of IPv4 addresses.
    pub ipv4: u64,
    /// Number of IPv6 addresses or subnets.
    pub ipv6: u64,
}

/// The fields that `getLiveServiceInfo` adds to [`ServiceInfo`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LiveInfo {
    /// `ve_status` (KVM) or `vz_status.status` (OpenVZ).
    pub status: Option<Status>,
    /// `is_cpu_throttled`.
    pub cpu_throttled: Option<bool>,
    /// `is_disk_throttled`, KVM only.
    pub disk_throttled: Option<bool>,
    /// KVM: mapped part of the disk image. OpenVZ: used part of the disk quota.
    pub disk_used: Option<Bytes>,
    /// KVM: size of the disk image. OpenVZ: soft limit of the disk quota.
    pub disk_size: Option<Bytes>,
    /// The load averages. `None` unless the VPS is running, like all values that the guest reports.
    pub load: Option<LoadAverage>,
    /// Memory available to the guest.
    pub memory_available: Option<Bytes>,
    /// Swap of the guest (KVM) or of the plan (OpenVZ).
    pub swap_total: Option<Bytes>,
    /// Free swap.
    pub swap_free: Option<Bytes>,
    /// The beancounters of OpenVZ, in a fixed order. Empty for KVM.
    pub beancounters: Vec<Beancounter>,
    /// Inodes in use, OpenVZ only.
    pub inodes_used: Option<u64>,
    /// Soft limit of inodes, OpenVZ only.
    pub inodes_limit: Option<u64>,
}

/// The power state of a VPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// The VPS is running.
    Running,
    /// The VPS is booting.
    Starting,
    /// The VPS is off.
    Stopped,
    /// A state that the vendor does not document.
    Other,
}

impl Status {
    /// Every state, in the order of the exposition.
    pub const ALL: [Self; 4] = [Self::Running, Self::Starting, Self::Stopped, Self::Other];

    /// The value of the `status` label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Starting => "starting",
            Self::Stopped => "stopped",
            Self::Other => "other",
        }
    }
}

/// A line of `/proc/loadavg`, or OpenVZ's `a/b/c`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadAverage {
    /// Over one, five and fifteen minutes.
    pub averages: [f64; 3],
    /// Runnable and existing kernel scheduling entities, KVM only.
    pub processes: Option<Processes>,
}

/// The fourth field of `/proc/loadavg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processes {
    /// Runnable now.
    pub runnable: u64,
    /// Existing now.
    pub total: u64,
}

/// One resource of an OpenVZ container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beancounter {
    /// The vendor's name, for example `privvmpages`.
    pub resource: Cow<'static, str>,
    /// The amount in use. Page counts are converted to bytes.
    pub held: Option<u64>,
    /// The barrier (the limit for `physpages`), in the same unit.
    pub barrier: Option<u64>,
}

/// One row of `getRawUsageStats`: totals of the interval that ends at `timestamp`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageRow {
    /// End of the interval.
    pub timestamp: UnixSeconds<i64>,
    /// Percent as the API reports it. It is unknown if 100 means one core or all of them.
    pub cpu_percent: Option<f64>,
    /// Received in the interval.
    pub network_in: Option<Bytes>,
    /// Sent in the interval.
    pub network_out: Option<Bytes>,
    /// Read from disk in the interval.
    pub disk_read: Option<Bytes>,
    /// Written to disk in the interval.
    pub disk_written: Option<Bytes>,
}

/// The remaining points, from `getRateLimitStatus`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimitStatus {
    /// `remaining_points_15min`.
    pub remaining_15m: Option<u64>,
    /// `remaining_points_24h`.
    pub remaining_24h: Option<u64>,
}

impl RateLimitStatus {
    /// Returns the points left in both windows, if the response has both.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "points are far below 2^53")]
    pub fn points_left(&self) -> Option<[Points; 2]> {
        let [quarter, day] = [self.remaining_15m?, self.remaining_24h?];
        Some([Points(quarter as f64), Points(day as f64)])
    }
}

/// The task that holds a locked VPS, from error 788888.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lock {
    /// `additionalErrorInfo`: the name of the task.
    pub task: Option<String>,
    /// `completed_percent` / 100.
    pub progress: Option<f64>,
}

/// The snapshots of a VPS, from `snapshot/list`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshots {
    /// Number of items.
    pub count: u64,
    /// Number of sticky ones, which are never purged. `None` if the flag of any is missing.
    pub sticky: Option<u64>,
    /// Total compressed size. `None` if the size of any is missing.
    pub size: Option<Bytes>,
    /// Creation time of the newest, from its file name.
    pub newest: Option<UnixSeconds<i64>>,
    /// Seconds until the next one is purged.
    pub purges_in: Option<u64>,
}

/// The automatic backups of a VPS, from `backup/list`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backups {
    /// Number of items.
    pub count: u64,
    /// Creation time of the newest.
    pub newest: Option<UnixSeconds<i64>>,
    /// Size of the newest.
    pub newest_size: Option<Bytes>,
}

/// The open suspension cases, from `getSuspensionDetails`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuspensionCases {
    /// Cases that the owner can clear (`is_soft` 1).
    pub clearable: u64,
    /// All other cases.
    pub not_clearable: u64,
}

/// The open policy cases, from `getPolicyViolations`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyViolations {
    /// Number of open cases.
    pub open: u64,
    /// The earliest `suspend_at`.
    pub deadline: Option<UnixSeconds<i64>>,
}

/// The audit log, from `getAuditLog`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLog {
    /// Number of entries.
    pub entries: u64,
    /// Time of the newest entry.
    pub newest: Option<UnixSeconds<i64>>,
}

/// The locations of `migrate/getLocations` with their transfer multipliers.
pub type LocationMultipliers = Vec<(String, f64)>;

/// The data of one of [`super::Call::INVENTORY`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Inventory {
    /// Of `snapshot/list`.
    Snapshots(Snapshots),
    /// Of `backup/list`.
    Backups(Backups),
    /// Of `getSuspensionDetails`.
    SuspensionCases(SuspensionCases),
    /// Of `getPolicyViolations`.
    PolicyViolations(PolicyViolations),
    /// Of `getAuditLog`.
    AuditLog(AuditLog),
    /// Of `migrate/getLocations`.
    Locations(LocationMultipliers),
}

impl Inventory {
    /// Returns true if these are suspension or policy cases and at least one is open.
    #[must_use]
    pub fn has_cases(&self) -> bool {
        match self {
            Self::SuspensionCases(cases) => *cases != SuspensionCases::default(),
            Self::PolicyViolations(violations) => violations.open > 0,
            Self::Snapshots(_) | Self::Backups(_) | Self::AuditLog(_) | Self::Locations(_) => false,
        }
    }
}

/// The decoded content of a successful response.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// Of `getServiceInfo`.
    Service(Box<ServiceInfo>),
    /// Of `getLiveServiceInfo`.
    Live(Box<ServiceInfo>, Box<LiveInfo>),
    /// Of `getRawUsageStats`, without the rows, which are passed on one by one.
    Usage,
    /// Of `getRateLimitStatus`.
    RateLimit(RateLimitStatus),
    /// Of an inventory call. `None` if its list is missing or in an unknown form.
    Inventory(Option<Inventory>),
}
