//! The metrics in use. [`named`] holds each to the catalogue: a renamed metric breaks the build.

use kiwivm_exporter::exposition::names::named;

pub const AUTHENTICATION_FAILED: &str = named("kiwivm_authentication_failed");
pub const BANDWIDTH_ALLOWANCE: &str = named("kiwivm_bandwidth_allowance_bytes");
pub const BANDWIDTH_RESET: &str = named("kiwivm_bandwidth_reset_timestamp_seconds");
pub const BANDWIDTH_USED: &str = named("kiwivm_bandwidth_used_bytes");
pub const CPU_THROTTLED: &str = named("kiwivm_cpu_throttled");
pub const DISK_SIZE: &str = named("kiwivm_disk_size_bytes");
pub const DISK_THROTTLED: &str = named("kiwivm_disk_throttled");
pub const DISK_USED: &str = named("kiwivm_disk_used_bytes");
pub const EXPECTED_RUNNING: &str = named("kiwivm_expected_running");
pub const LAST_SUCCESS: &str = named("kiwivm_last_success_timestamp_seconds");
pub const LOCKED: &str = named("kiwivm_locked");
pub const MEMORY_AVAILABLE: &str = named("kiwivm_memory_available_bytes");
pub const MEMORY_TOTAL: &str = named("kiwivm_memory_total_bytes");
pub const NETWORK_RECEIVE: &str = named("kiwivm_network_receive_bytes_total");
pub const NETWORK_TRANSMIT: &str = named("kiwivm_network_transmit_bytes_total");
pub const POLICY_VIOLATION: &str = named("kiwivm_policy_violation");
pub const RUNNING: &str = named("kiwivm_running");
pub const STATUS: &str = named("kiwivm_status");
pub const SUSPENDED: &str = named("kiwivm_suspended");
pub const UP: &str = named("kiwivm_up");
pub const VPS_LABELS: &str = named("kiwivm_vps_labels");

/// Series that the rules in `deploy/prometheus/rules` record.
pub mod recorded {
    /// Share of the allowance that is used at the reset, at the pace of the last days.
    pub const BANDWIDTH_PROJECTED: &str = "vps:kiwivm_bandwidth_used:projected";

    pub const ALL: &[&str] = &[BANDWIDTH_PROJECTED];
}
