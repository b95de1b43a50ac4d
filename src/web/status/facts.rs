//! The facts on the status page, as plain data in base units: bytes, seconds, Unix timestamps, shares from 0 to 1.
//! Unknown and stale values are `None`, and null in JSON. Field names are the JSON keys.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::units::{Bytes, UnixSeconds};

pub use crate::fleet::Severity;

/// The status of all VPSes and the exporter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// Time of this status.
    pub timestamp_seconds: UnixSeconds<i64>,
    /// Numbers of VPSes by group.
    pub summary: Summary,
    /// Concerns about the exporter or all VPSes together, worst first.
    pub concerns: Vec<Concern>,
    /// Conditions that become concerns if they last, worst first.
    pub pending: Vec<Concern>,
    /// VPSes, worst first, then in the order of the configuration.
    pub vps: Vec<VpsFacts>,
    /// API points and planned calls.
    pub api_points: ApiPoints,
    /// The exporter itself.
    pub exporter: ExporterFacts,
}

/// Numbers of VPSes by group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// All configured VPSes.
    pub vps: usize,
    /// VPSes with a critical concern.
    pub critical: usize,
    /// VPSes whose worst concern is a warning.
    pub warning: usize,
    /// VPSes locked by a task, which is temporary.
    pub locked: usize,
    /// VPSes with a condition that has not lasted long enough to be a concern.
    pub pending: usize,
    /// VPSes that need no attention.
    pub well: usize,
    /// VPSes whose state is unknown and that have no concern of their own.
    pub unknown: usize,
}

/// An alert condition that holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Concern {
    /// The severity of the alert.
    pub level: Severity,
    /// The name of the alert.
    pub alert: &'static str,
    /// The reason, in a sentence or two.
    pub text: String,
    /// Start of the condition.
    pub since_timestamp_seconds: UnixSeconds<i64>,
    /// When the alert started firing, or will if the condition lasts.
    pub fires_timestamp_seconds: UnixSeconds<i64>,
}

/// The state of a VPS in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerState {
    /// Running.
    Running,
    /// Booting.
    Starting,
    /// Powered off.
    Stopped,
    /// An undocumented state.
    Other,
    /// Locked by a task.
    Locked,
    /// Suspended by the vendor.
    Suspended,
    /// The API refuses the key, so there are no data.
    KeyRefused,
    /// Its state was not polled yet.
    NotAskedYet,
    /// No fresh data.
    Unknown,
}

/// One VPS.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VpsFacts {
    /// The configured name.
    pub name: String,
    /// The VEID.
    pub veid: u64,
    /// True while live or service info is fresh.
    pub up: bool,
    /// The current state.
    pub state: PowerState,
    /// The configured state, `running` or `stopped`; `None` for either.
    pub expected_state: Option<PowerState>,
    /// The highest severity of its concerns.
    pub attention: Option<Severity>,
    /// Concerns, worst first.
    pub concerns: Vec<Concern>,
    /// Conditions that become concerns if they last, worst first.
    pub pending: Vec<Concern>,
    /// The task that has locked it.
    pub lock: Option<LockFacts>,
    /// The configured host name.
    pub hostname: Option<String>,
    /// The plan.
    pub plan: Option<String>,
    /// "country, state".
    pub location: Option<String>,
    /// `kvm` or `ovz`.
    pub vm_type: Option<&'static str>,
    /// The transfer allowance.
    pub bandwidth: Bandwidth,
    /// True while the CPU is throttled.
    pub cpu_throttled: Option<bool>,
    /// True while disk I/O is throttled.
    pub disk_throttled: Option<bool>,
    /// Disk.
    pub disk: DiskFacts,
    /// Memory and swap.
    pub memory: Memory,
    /// Load averages over 1, 5 and 15 minutes.
    pub load: Option<[f64; 3]>,
    /// Open policy cases.
    pub policy_cases_open: Option<u64>,
    /// Deadline of the most urgent case, after which the vendor may suspend the VPS.
    pub policy_deadline_timestamp_seconds: Option<UnixSeconds<i64>>,
    /// Time of the last live or service info.
    pub last_answer_timestamp_seconds: Option<UnixSeconds<i64>>,
    /// Time of the last live info: state, throttling, disk, memory, load.
    pub last_live_answer_timestamp_seconds: Option<UnixSeconds<i64>>,
    /// Time of the next poll for its state; in the past while that call is in flight or waits for its turn.
    pub next_poll_timestamp_seconds: Option<UnixSeconds<i64>>,
    /// Planned interval of these polls.
    pub poll_interval_seconds: Option<f64>,
    /// The last failure of a call that has not succeeded since.
    pub last_error: Option<LastError>,
    /// Position of its quota in `api_points.quotas`.
    pub quota: Option<usize>,
}

/// A task that has locked a VPS.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LockFacts {
    /// The task, as named by the API.
    pub task: Option<String>,
    /// Progress of the task.
    pub progress_ratio: Option<f64>,
}

/// The transfer allowance. Bytes are multiplied as configured.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Bandwidth {
    /// Transfer since the last reset.
    pub used_bytes: Option<Bytes>,
    /// Transfer allowance until the next reset.
    pub allowance_bytes: Option<Bytes>,
    /// The multiplier in the API's response.
    pub multiplier: Option<f64>,
    /// Used share of the allowance; may exceed 1.
    pub used_ratio: Option<f64>,
    /// The last reset: one calendar month before the next.
    pub period_start_timestamp_seconds: Option<UnixSeconds<i64>>,
    /// The next reset.
    pub reset_timestamp_seconds: Option<UnixSeconds<i64>>,
    /// Share that an even pace would have used by now.
    pub even_pace_ratio: Option<f64>,
    /// Forecast of the used share at the reset.
    pub forecast_ratio: Option<f64>,
    /// Forecast of the time at which the allowance is used up before the reset; in the past once it is.
    pub exhaustion_timestamp_seconds: Option<UnixSeconds<i64>>,
}

/// The disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DiskFacts {
    /// KVM: mapped blocks of the image, which shrink only when the guest trims. OpenVZ: used quota.
    pub used_bytes: Option<Bytes>,
    /// KVM: size of the image. OpenVZ: soft limit of the quota. The plan's disk if neither is known.
    pub size_bytes: Option<Bytes>,
}

/// Memory and swap.
#[expect(clippy::struct_field_names, reason = "the names are those of the JSON")]
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    /// Memory of the plan.
    pub total_bytes: Option<Bytes>,
    /// Memory available to new programs in the guest.
    pub available_bytes: Option<Bytes>,
    /// Swap.
    pub swap_total_bytes: Option<Bytes>,
    /// Free swap.
    pub swap_free_bytes: Option<Bytes>,
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LastError {
    /// Time of the failure.
    pub timestamp_seconds: UnixSeconds<i64>,
    /// The call that failed.
    pub call: &'static str,
    /// The error message.
    pub text: String,
}

/// API points and the calls that spend them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ApiPoints {
    /// True if VPSes are assumed to share a quota.
    pub shared: bool,
    /// Quotas, each for all VPSes that share it.
    pub quotas: Vec<QuotaFacts>,
    /// Planned calls, by name.
    pub calls: BTreeMap<&'static str, CallFacts>,
}

/// A quota of API points, in two windows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct QuotaFacts {
    /// Number of VPSes that share it.
    pub vps: usize,
    /// Time of the last reading.
    pub read_timestamp_seconds: Option<UnixSeconds<i64>>,
    /// Points left within 15 minutes.
    pub remaining_15m: Option<u64>,
    /// Points left within 24 hours.
    pub remaining_24h: Option<u64>,
    /// Points that the exporter may spend within 15 minutes.
    pub allowed_15m: Option<f64>,
    /// Points that the exporter may spend within 24 hours.
    pub allowed_24h: Option<f64>,
}

impl QuotaFacts {
    /// True if it belongs to a single VPS of several. It is then shown with the VPS.
    pub(super) fn is_own(&self, status: &Status) -> bool {
        self.vps == 1 && status.vps.len() > 1
    }
}

/// The planned intervals and price of a call.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CallFacts {
    /// The shortest interval of any VPS.
    pub shortest_interval_seconds: f64,
    /// The longest interval of any VPS.
    pub longest_interval_seconds: f64,
    /// Price in points; `None` until measured.
    pub points: Option<f64>,
}

impl CallFacts {
    /// True if both have the same intervals.
    #[expect(clippy::float_cmp, reason = "equal intervals are copies of one number")]
    pub(super) fn as_often_as(&self, other: &Self) -> bool {
        self.shortest_interval_seconds == other.shortest_interval_seconds
            && self.longest_interval_seconds == other.longest_interval_seconds
    }
}

/// The exporter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExporterFacts {
    /// Version.
    pub version: &'static str,
    /// Source revision of the build.
    pub revision: &'static str,
    /// Uptime.
    pub uptime_seconds: u64,
    /// Time at which the active configuration was loaded.
    pub config_loaded_timestamp_seconds: UnixSeconds<i64>,
    /// True if the last attempt to load the configuration succeeded.
    pub config_last_reload_successful: bool,
    /// Ordinal of its shard, from 0.
    pub shard_ordinal: u32,
    /// Number of shards.
    pub total_shards: u32,
    /// Path of the metrics.
    pub telemetry_path: String,
}
