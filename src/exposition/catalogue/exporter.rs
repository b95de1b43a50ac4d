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
    "How long calls took, failed ones included.",
);
/// Bytes of answers.
pub const RESPONSE_BYTES: Metric = exporter_metric(
    "kiwivm_api_response_bytes_total",
    Kind::Counter,
    &["call"],
    "Bytes of answers received.",
);
/// Points spent.
pub const POINTS_SPENT: Metric = exporter_metric(
    "kiwivm_api_points_spent_total",
    Kind::Counter,
    &["call"],
    "API points spent, by the costs learned at the time.",
);
/// Learned costs.
pub const CALL_POINTS: Metric = exporter_metric(
    "kiwivm_api_call_points",
    Kind::Gauge,
    &["call"],
    "What a call costs in API points, as learned; absent until it was measured.",
);
/// Scope of the allowance.
pub const POINTS_SHARED: Metric = exporter_metric(
    "kiwivm_api_points_shared",
    Kind::Gauge,
    &[],
    "1 while VPSes are taken to share an allowance of API points: then their readings are one number seen many times.",
);
/// Calls made later than due.
pub const POLLS_DEFERRED: Metric = exporter_metric(
    "kiwivm_polls_deferred_total",
    Kind::Counter,
    &["call", "reason"],
    "Calls put off: no points or bytes left for them, backoff after a failure, or no place among the calls in flight.",
);
/// Fields in no known form.
pub const DECODE_PROBLEMS: Metric = exporter_metric(
    "kiwivm_decode_problems_total",
    Kind::Counter,
    &["call", "field"],
    "Fields that arrived in no known form and gave no sample.",
);
/// What runs.
pub const BUILD_INFO: Metric = exporter_metric(
    "kiwivm_exporter_build_info",
    Kind::Gauge,
    &["version", "revision", "rustc"],
    "Always 1. What this exporter was built from.",
);
/// Outcome of the last reload.
pub const RELOAD_SUCCESSFUL: Metric = exporter_metric(
    "kiwivm_exporter_config_last_reload_successful",
    Kind::Gauge,
    &[],
    "1 when the last attempt to load the configuration succeeded. After a failure the old one stays in force.",
);
/// Time of the last successful load.
pub const RELOAD_TIMESTAMP: Metric = exporter_metric(
    "kiwivm_exporter_config_last_reload_success_timestamp_seconds",
    Kind::Gauge,
    &[],
    "When the configuration in force was loaded, Unix time.",
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
    "Last successful write of the state file, Unix time. Absent without one.",
);
/// Size of the fleet.
pub const VPS_CONFIGURED: Metric = exporter_metric(
    "kiwivm_exporter_vps_configured",
    Kind::Gauge,
    &[],
    "VPSes in the configuration in force, of this shard.",
);

/// Which shard this is.
pub const SHARD_ORDINAL: Metric = exporter_metric(
    "kiwivm_exporter_shard_ordinal",
    Kind::Gauge,
    &[],
    "Which shard of the configured VPSes this exporter polls, counted from 0.",
);
/// How many shards there are.
pub const TOTAL_SHARDS: Metric = exporter_metric(
    "kiwivm_exporter_total_shards",
    Kind::Gauge,
    &[],
    "How many exporters share the configured VPSes; 1 when this one polls all of them.",
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
