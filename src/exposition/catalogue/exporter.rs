//! The metrics without VPS labels.

use super::{Kind, Metric};

const fn exporter_metric(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric {
        name,
        kind,
        labels,
        help,
    }
}

/// Durations of calls.
pub const POLL_DURATION: Metric = exporter_metric(
    "kiwivm_poll_duration_seconds",
    Kind::Histogram,
    &["call"],
    "Duration of API calls, including failed calls.",
);
/// Bytes of API responses.
pub const RESPONSE_BYTES: Metric = exporter_metric(
    "kiwivm_api_response_bytes_total",
    Kind::Counter,
    &["call"],
    "Bytes of API responses received.",
);
/// Points spent.
pub const POINTS_SPENT: Metric = exporter_metric(
    "kiwivm_api_points_spent_total",
    Kind::Counter,
    &["call"],
    "API points spent, by the costs known at the time.",
);
/// Measured costs of calls.
pub const CALL_POINTS: Metric = exporter_metric(
    "kiwivm_api_call_points",
    Kind::Gauge,
    &["call"],
    "Measured cost of a call in API points. Absent until measured.",
);
/// Scope of the point quota.
pub const POINTS_SHARED: Metric = exporter_metric(
    "kiwivm_api_points_shared",
    Kind::Gauge,
    &[],
    "1 if the VPSes are assumed to share one API point quota, else 0. Their readings then repeat the same number.",
);
/// Deferred polls.
pub const POLLS_DEFERRED: Metric = exporter_metric(
    "kiwivm_polls_deferred_total",
    Kind::Counter,
    &["call", "reason"],
    "Deferred polls, by reason: budget, backoff or concurrency.",
);
/// Response fields of unknown format.
pub const DECODE_PROBLEMS: Metric = exporter_metric(
    "kiwivm_decode_problems_total",
    Kind::Counter,
    &["call", "field"],
    "Response fields ignored because of an unknown format.",
);
/// Build information.
pub const BUILD_INFO: Metric = exporter_metric(
    "kiwivm_exporter_build_info",
    Kind::Gauge,
    &["version", "revision", "rustc"],
    "Version, revision and compiler of this build, always 1.",
);
/// Outcome of the last reload.
pub const RELOAD_SUCCESSFUL: Metric = exporter_metric(
    "kiwivm_exporter_config_last_reload_successful",
    Kind::Gauge,
    &[],
    "1 if the last attempt to load the configuration succeeded, else 0. After a failure the previous configuration stays active.",
);
/// Time of the last successful load.
pub const RELOAD_TIMESTAMP: Metric = exporter_metric(
    "kiwivm_exporter_config_last_reload_success_timestamp_seconds",
    Kind::Gauge,
    &[],
    "Unix time at which the active configuration was loaded.",
);
/// Outcome of the last write of the state file.
pub const STATE_WRITE_SUCCESSFUL: Metric = exporter_metric(
    "kiwivm_exporter_state_last_write_successful",
    Kind::Gauge,
    &[],
    "1 if the last write of the state file succeeded, else 0. Absent without a state file.",
);
/// Time of the last successful write of the state file.
pub const STATE_WRITE_TIMESTAMP: Metric = exporter_metric(
    "kiwivm_exporter_state_last_write_success_timestamp_seconds",
    Kind::Gauge,
    &[],
    "Unix time of the last successful write of the state file. Absent before the first.",
);
/// Size of the fleet.
pub const VPS_CONFIGURED: Metric = exporter_metric(
    "kiwivm_exporter_vps_configured",
    Kind::Gauge,
    &[],
    "VPSes of this shard in the active configuration.",
);

/// Index of this shard.
pub const SHARD_ORDINAL: Metric = exporter_metric(
    "kiwivm_exporter_shard_ordinal",
    Kind::Gauge,
    &[],
    "Shard that this exporter polls, counted from 0.",
);
/// Number of shards.
pub const TOTAL_SHARDS: Metric = exporter_metric(
    "kiwivm_exporter_total_shards",
    Kind::Gauge,
    &[],
    "Number of exporters that share the configured VPSes, 1 if this one polls all of them.",
);

/// The metrics without VPS labels, in the order of the exposition.
pub const EXPORTER_METRICS: &[Metric] = &[
    POLL_DURATION,
    RESPONSE_BYTES,
    POINTS_SPENT,
    CALL_POINTS,
    POINTS_SHARED,
    POLLS_DEFERRED,
    DECODE_PROBLEMS,
    BUILD_INFO,
    RELOAD_SUCCESSFUL,
    RELOAD_TIMESTAMP,
    STATE_WRITE_SUCCESSFUL,
    STATE_WRITE_TIMESTAMP,
    VPS_CONFIGURED,
    SHARD_ORDINAL,
    TOTAL_SHARDS,
];
