//! What the answers say, in base units. A field is `None` when it did not arrive or arrived in no known form.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The hypervisor of a VPS (`vm_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hypervisor {
    /// `kvm`, every plan that is sold today.
    Kvm,
    /// `ovz`, OpenVZ, no longer sold.
    OpenVz,
}

impl Hypervisor {
    /// The API's own word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::OpenVz => "ovz",
        }
    }
}

/// What `getServiceInfo` tells, and the second half of every `getLiveServiceInfo`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceInfo {
    /// `vm_type`; without it, an answer with `vz_status` is OpenVZ.
    pub hypervisor: Option<Hypervisor>,
    /// The configured host name. Chosen by the owner: hostile input.
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
    /// `plan_monthly_data`: the transfer allowance in bytes, before the multiplier.
    pub monthly_data: Option<u64>,
    /// `data_counter`: transfer used since the last reset in bytes, before the multiplier. May exceed the allowance.
    pub data_counter: Option<u64>,
    /// `monthly_data_multiplier`; finite and above 0. The field is missing before 2018, which means 1.
    pub data_multiplier: Option<f64>,
    /// True if `monthly_data_multiplier` arrived and is no multiplier: then nobody knows how transfer is counted.
    #[serde(default)]
    pub data_multiplier_unusable: bool,
    /// `data_next_reset`, Unix seconds.
    pub data_next_reset: Option<i64>,
    /// `plan_disk` in bytes.
    pub plan_disk: Option<u64>,
    /// `plan_ram` in bytes.
    pub plan_ram: Option<u64>,
    /// `plan_swap` in bytes; 0 on KVM even when the guest has swap.
    pub plan_swap: Option<u64>,
    /// `plan_max_ipv6s`: how many /64 subnets the plan allows.
    pub ipv6_subnets_limit: Option<u64>,
    /// `ip_addresses`; `None` when the field is missing, empty when it is an empty list.
    pub ip_addresses: Option<IpAddresses>,
    /// Number of `private_ip_addresses`; `None` when the field is missing.
    pub private_ip_addresses: Option<u64>,
    /// Number of `ip_nullroutes`; `None` when the field is missing.
    pub nullrouted_ip_addresses: Option<u64>,
    /// `suspended`.
    pub suspended: Option<bool>,
    /// `policy_violation`: an open case needs action.
    pub policy_violation: Option<bool>,
    /// `suspension_count`: suspensions this calendar year.
    pub suspensions: Option<u64>,
    /// `total_abuse_points` this calendar year.
    pub abuse_points: Option<u64>,
    /// `max_abuse_points` of the plan.
    pub abuse_points_limit: Option<u64>,
}

/// The public addresses of a VPS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpAddresses {
    /// The first IPv4 address, else the first address; `None` when there is none.
    pub primary: Option<String>,
    /// The first IPv6 address that is no base of a subnet.
    #[serde(default)]
    pub host_ipv6: Option<String>,
    /// Number of IPv4 addresses.
    pub ipv4: u64,
    /// Number of IPv6 addresses or subnets.
    pub ipv6: u64,
}

/// What `getLiveServiceInfo` tells beyond [`ServiceInfo`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LiveInfo {
    /// `ve_status` (KVM) or `vz_status.status` (OpenVZ).
    pub status: Option<Status>,
    /// `is_cpu_throttled`.
    pub cpu_throttled: Option<bool>,
    /// `is_disk_throttled`; KVM only.
    pub disk_throttled: Option<bool>,
    /// KVM: bytes of the image that are mapped; OpenVZ: bytes of the quota in use.
    pub disk_used: Option<u64>,
    /// KVM: size of the disk image in bytes; OpenVZ: the soft limit of the quota in bytes.
    pub disk_size: Option<u64>,
    /// The load line. `None` unless the VPS runs, like everything else the guest tells.
    pub load: Option<LoadAverage>,
    /// Memory available to the guest in bytes.
    pub memory_available: Option<u64>,
    /// Swap of the guest (KVM) or of the plan (OpenVZ) in bytes.
    pub swap_total: Option<u64>,
    /// Free swap in bytes.
    pub swap_free: Option<u64>,
    /// The beancounters of OpenVZ, in the order of the API; empty for KVM.
    pub beancounters: Vec<Beancounter>,
    /// Inodes in use, OpenVZ.
    pub inodes_used: Option<u64>,
    /// Soft limit of inodes, OpenVZ.
    pub inodes_limit: Option<u64>,
}

/// The power state of a VPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// The VPS runs.
    Running,
    /// The VPS boots.
    Starting,
    /// The VPS is off.
    Stopped,
    /// A word that the vendor does not document.
    Other,
}

impl Status {
    /// Every state, in the order of the state set.
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
    /// Runnable and existing kernel scheduling entities; KVM only.
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
    /// What is held; bytes for what the kernel counts in pages.
    pub held: Option<u64>,
    /// The barrier (the limit for `physpages`), in the same unit.
    pub barrier: Option<u64>,
}

/// One row of `getRawUsageStats`: totals of the interval that ends at `timestamp`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageRow {
    /// Unix seconds.
    pub timestamp: i64,
    /// Percent as the API gives it; whether 100 is one core or all of them is unknown.
    pub cpu_percent: Option<f64>,
    /// Bytes received in the interval.
    pub network_in: Option<u64>,
    /// Bytes sent in the interval.
    pub network_out: Option<u64>,
    /// Bytes read from disk in the interval.
    pub disk_read: Option<u64>,
    /// Bytes written to disk in the interval.
    pub disk_written: Option<u64>,
}

/// What `getRateLimitStatus` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Points {
    /// `remaining_points_15min`.
    pub remaining_15m: Option<u64>,
    /// `remaining_points_24h`.
    pub remaining_24h: Option<u64>,
}

/// The task that holds a locked VPS, from the answer 788888.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lock {
    /// `additionalErrorInfo`: what runs.
    pub task: Option<String>,
    /// `completed_percent` / 100.
    pub progress: Option<f64>,
}

/// What `snapshot/list` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshots {
    /// How many there are.
    pub count: u64,
    /// How many of them are kept for good. `None` when that did not arrive for each.
    pub sticky: Option<u64>,
    /// Compressed bytes of all of them. `None` when a size did not arrive.
    pub size: Option<u64>,
    /// Unix seconds of the newest, from its file name.
    pub newest: Option<i64>,
    /// Seconds until the next one is deleted.
    pub purges_in: Option<u64>,
}

/// What `backup/list` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backups {
    /// How many there are.
    pub count: u64,
    /// Unix seconds of the newest.
    pub newest: Option<i64>,
    /// Its size in bytes.
    pub newest_size: Option<u64>,
}

/// The open cases of `getSuspensionDetails`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuspensionCases {
    /// Those that the owner can clear (`is_soft` 1).
    pub clearable: u64,
    /// The others.
    pub not_clearable: u64,
}

/// What `getPolicyViolations` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyViolations {
    /// Open cases.
    pub open: u64,
    /// Unix seconds of the earliest `suspend_at`.
    pub deadline: Option<i64>,
}

/// What `getAuditLog` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLog {
    /// Entries.
    pub entries: u64,
    /// Unix seconds of the newest.
    pub newest: Option<i64>,
}

/// Locations that `migrate/getLocations` knows, and what transfer is multiplied with there.
pub type LocationMultipliers = Vec<(String, f64)>;

/// What one of [`super::Call::INVENTORY`] tells.
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
    /// True if these are cases of which one is open.
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
    /// Of `getRawUsageStats`, whose rows were passed on one by one.
    Usage,
    /// Of `getRateLimitStatus`.
    Points(Points),
    /// Of one of the inventory; `None` when its list did not arrive or is in no known form.
    Inventory(Option<Inventory>),
}
