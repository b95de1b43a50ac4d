//! What the status page tells, as plain data in base units: bytes, seconds, Unix timestamps, shares from 0 to 1. What is
//! unknown, or no longer fresh, is `None` and null in JSON. The names are those of the JSON.

use std::collections::BTreeMap;

use serde::Serialize;

pub use crate::fleet::Severity;

/// Everything, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// When this was true.
    pub timestamp_seconds: i64,
    /// How many VPSes are in which need.
    pub summary: Summary,
    /// What is wrong with all of it, worst first.
    pub concerns: Vec<Concern>,
    /// What will be a concern if it lasts, worst first.
    pub pending: Vec<Concern>,
    /// Worst first, then in the order of the configuration.
    pub vps: Vec<Vps>,
    /// What the API allows, and what is planned with it.
    pub api_points: ApiPoints,
    /// The program that tells this.
    pub exporter: Exporter,
}

/// VPSes by their need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// All that are configured.
    pub vps: usize,
    /// Those with a critical concern.
    pub critical: usize,
    /// Those whose worst concern is a warning.
    pub warning: usize,
    /// Those that a task holds, which pass by themselves.
    pub locked: usize,
    /// Those with a condition that has not lasted long enough to be a concern.
    pub pending: usize,
    /// Those that need nobody.
    pub well: usize,
    /// Those whose state is not known yet, which is no concern so far.
    pub unknown: usize,
}

/// A condition of an alert that holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Concern {
    /// The severity of the alert.
    pub level: Severity,
    /// The alert, whose runbook says what to do.
    pub alert: &'static str,
    /// Why, in a sentence.
    pub text: String,
    /// Since when the condition has held.
    pub since_timestamp_seconds: i64,
    /// Since when the alert fires, or from when on if the condition lasts.
    pub fires_timestamp_seconds: i64,
}

/// A VPS in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It runs.
    Running,
    /// It boots.
    Starting,
    /// It is off.
    Stopped,
    /// The API has a word for it that is not documented.
    Other,
    /// A task holds it.
    Locked,
    /// The vendor has switched it off.
    Suspended,
    /// The API does not accept the key, so nothing is known.
    KeyRefused,
    /// It was not asked for its state yet.
    NotAskedYet,
    /// No answer is fresh enough to tell.
    Unknown,
}

/// One VPS.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Vps {
    /// The name in the configuration.
    pub name: String,
    /// The number in KiwiVM.
    pub veid: u64,
    /// Whether an answer of live or service info is fresh.
    pub up: bool,
    /// How it is.
    pub state: State,
    /// How it should be: `running` or `stopped`; `None` for either.
    pub expected_state: Option<State>,
    /// The most urgent of the concerns.
    pub attention: Option<Severity>,
    /// Why it needs somebody, worst first.
    pub concerns: Vec<Concern>,
    /// What will be a concern if it lasts, worst first.
    pub pending: Vec<Concern>,
    /// The task that holds it.
    pub lock: Option<Lock>,
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
    /// Whether the CPU is throttled.
    pub cpu_throttled: Option<bool>,
    /// Whether disk I/O is throttled.
    pub disk_throttled: Option<bool>,
    /// Disk.
    pub disk: Disk,
    /// Memory and swap.
    pub memory: Memory,
    /// Load averages over 1, 5 and 15 minutes.
    pub load: Option<[f64; 3]>,
    /// Open policy cases.
    pub policy_cases_open: Option<u64>,
    /// When the most urgent of them gets the VPS suspended.
    pub policy_deadline_timestamp_seconds: Option<i64>,
    /// When live or service info last came.
    pub last_answer_timestamp_seconds: Option<i64>,
    /// When live info last came: state, throttling, disk, memory, load.
    pub last_live_answer_timestamp_seconds: Option<i64>,
    /// When its state is asked for next; in the past while that is on its way or waits for its turn.
    pub next_poll_timestamp_seconds: Option<i64>,
    /// How often that is planned.
    pub poll_interval_seconds: Option<f64>,
    /// The last failure since which the same call did not succeed.
    pub last_error: Option<LastError>,
    /// The position in `api_points.allowances` of the one it draws on.
    pub allowance: Option<usize>,
}

/// A task that holds a VPS.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lock {
    /// What runs, in the API's words.
    pub task: Option<String>,
    /// How far it is.
    pub progress_ratio: Option<f64>,
}

/// The transfer allowance. Bytes are times the multiplier of the location.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Bandwidth {
    /// Used since the last reset.
    pub used_bytes: Option<u64>,
    /// Allowed until the next.
    pub allowance_bytes: Option<u64>,
    /// What bytes were multiplied with.
    pub multiplier: Option<f64>,
    /// The used share; may be above 1.
    pub used_ratio: Option<f64>,
    /// The last reset: the next minus one calendar month.
    pub period_start_timestamp_seconds: Option<i64>,
    /// The next reset.
    pub reset_timestamp_seconds: Option<i64>,
    /// The share that an even pace would have used by now.
    pub even_pace_ratio: Option<f64>,
    /// The share that is used at the reset, by the forecast.
    pub forecast_ratio: Option<f64>,
    /// When the allowance is used up before the reset, by the forecast; in the past once it is.
    pub exhaustion_timestamp_seconds: Option<i64>,
}

/// The disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Disk {
    /// KVM: mapped blocks of the image, which only grow until the guest trims. OpenVZ: used quota.
    pub used_bytes: Option<u64>,
    /// KVM: size of the image. OpenVZ: soft limit of the quota. The plan's disk where neither is known.
    pub size_bytes: Option<u64>,
}

/// Memory and swap.
#[expect(clippy::struct_field_names, reason = "the names are those of the JSON")]
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    /// Memory of the plan.
    pub total_bytes: Option<u64>,
    /// Memory available to new programs in the guest.
    pub available_bytes: Option<u64>,
    /// Swap.
    pub swap_total_bytes: Option<u64>,
    /// Free swap.
    pub swap_free_bytes: Option<u64>,
}

/// A failure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LastError {
    /// When.
    pub timestamp_seconds: i64,
    /// The call that failed.
    pub call: &'static str,
    /// What happened, and what can be done.
    pub text: String,
}

/// The points of the API, which counts calls.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ApiPoints {
    /// Whether VPSes are taken to share an allowance.
    pub shared: bool,
    /// One for all VPSes that share it.
    pub allowances: Vec<Allowance>,
    /// The calls that are planned, by name.
    pub calls: BTreeMap<&'static str, PlannedCall>,
}

/// An allowance of points, in two windows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Allowance {
    /// How many VPSes draw on it.
    pub vps: usize,
    /// When it was last read.
    pub read_timestamp_seconds: Option<i64>,
    /// Left in 15 minutes.
    pub remaining_15m: Option<u64>,
    /// Left in 24 hours.
    pub remaining_24h: Option<u64>,
    /// What the exporter allows itself in 15 minutes.
    pub allowed_15m: Option<f64>,
    /// What the exporter allows itself in 24 hours.
    pub allowed_24h: Option<f64>,
}

impl Allowance {
    /// True for that of a single VPS among others: it belongs to the VPS, and not to all.
    pub(super) fn is_own(&self, status: &Status) -> bool {
        self.vps == 1 && status.vps.len() > 1
    }
}

/// How often a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PlannedCall {
    /// For the VPS that it is made for most often.
    pub shortest_interval_seconds: f64,
    /// For the VPS that it is made for least often.
    pub longest_interval_seconds: f64,
    /// What it costs in points, once that was measured.
    pub points: Option<f64>,
}

impl PlannedCall {
    /// Whether both are planned in the same intervals.
    #[expect(clippy::float_cmp, reason = "they are copies of one number, or not")]
    pub(super) fn as_often_as(&self, other: &Self) -> bool {
        self.shortest_interval_seconds == other.shortest_interval_seconds
            && self.longest_interval_seconds == other.longest_interval_seconds
    }
}

/// The program.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exporter {
    /// Its version.
    pub version: &'static str,
    /// The revision that it was built from.
    pub revision: &'static str,
    /// How long it has been running.
    pub uptime_seconds: u64,
    /// When the configuration in force was loaded.
    pub config_loaded_timestamp_seconds: i64,
    /// Whether the last attempt to load it succeeded.
    pub config_last_reload_successful: bool,
    /// Which shard of the configured VPSes it polls, from 0.
    pub shard_ordinal: u32,
    /// How many exporters share them.
    pub total_shards: u32,
    /// Where the metrics are.
    pub telemetry_path: String,
}
