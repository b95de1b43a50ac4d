//! Names of the metrics in use. [`named`] checks each against the catalogue, so a renamed metric breaks the build.

use kiwivm_exporter::exposition::names::named;

pub const ABUSE_POINTS: &str = named("kiwivm_abuse_points");
pub const ABUSE_POINTS_LIMIT: &str = named("kiwivm_abuse_points_limit");
pub const AUTHENTICATION_FAILED: &str = named("kiwivm_authentication_failed");
pub const BACKUPS: &str = named("kiwivm_backups");
pub const BACKUP_NEWEST: &str = named("kiwivm_backup_newest_timestamp_seconds");
pub const BACKUP_NEWEST_SIZE: &str = named("kiwivm_backup_newest_size_bytes");
pub const BANDWIDTH_ALLOWANCE: &str = named("kiwivm_bandwidth_allowance_bytes");
pub const BANDWIDTH_EXHAUSTION: &str = named("kiwivm_bandwidth_exhaustion_timestamp_seconds");
pub const BANDWIDTH_FORECAST: &str = named("kiwivm_bandwidth_forecast_bytes");
pub const BANDWIDTH_PERIOD_START: &str = named("kiwivm_bandwidth_period_start_timestamp_seconds");
pub const BANDWIDTH_RESET: &str = named("kiwivm_bandwidth_reset_timestamp_seconds");
pub const BANDWIDTH_USED: &str = named("kiwivm_bandwidth_used_bytes");
pub const BUILD_INFO: &str = named("kiwivm_exporter_build_info");
pub const CALL_POINTS: &str = named("kiwivm_api_call_points");
pub const CPU_THROTTLED: &str = named("kiwivm_cpu_throttled");
pub const CPU_USAGE: &str = named("kiwivm_cpu_usage_ratio");
pub const DATA_STALE: &str = named("kiwivm_data_stale");
pub const DECODE_PROBLEMS: &str = named("kiwivm_decode_problems_total");
pub const DISK_READ: &str = named("kiwivm_disk_read_bytes_total");
pub const DISK_SIZE: &str = named("kiwivm_disk_size_bytes");
pub const DISK_THROTTLED: &str = named("kiwivm_disk_throttled");
pub const DISK_USED: &str = named("kiwivm_disk_used_bytes");
pub const DISK_WRITTEN: &str = named("kiwivm_disk_written_bytes_total");
pub const EXPECTED_RUNNING: &str = named("kiwivm_expected_running");
pub const INODES_LIMIT: &str = named("kiwivm_inodes_limit");
pub const INODES_USED: &str = named("kiwivm_inodes_used");
pub const LAST_SUCCESS: &str = named("kiwivm_last_success_timestamp_seconds");
pub const LOAD1: &str = named("kiwivm_load1");
pub const LOAD15: &str = named("kiwivm_load15");
pub const LOAD5: &str = named("kiwivm_load5");
pub const LOCKED: &str = named("kiwivm_locked");
pub const LOCK_PROGRESS: &str = named("kiwivm_lock_progress_ratio");
pub const MEMORY_AVAILABLE: &str = named("kiwivm_memory_available_bytes");
pub const MEMORY_TOTAL: &str = named("kiwivm_memory_total_bytes");
pub const NETWORK_RECEIVE: &str = named("kiwivm_network_receive_bytes_total");
pub const NETWORK_TRANSMIT: &str = named("kiwivm_network_transmit_bytes_total");
pub const NULLROUTED: &str = named("kiwivm_nullrouted_ip_addresses");
pub const OPENVZ_BARRIER: &str = named("kiwivm_openvz_barrier");
pub const OPENVZ_HELD: &str = named("kiwivm_openvz_held");
pub const POINTS_ALLOWANCE: &str = named("kiwivm_api_points_allowance");
pub const POINTS_REMAINING: &str = named("kiwivm_api_points_remaining");
pub const POINTS_SHARED: &str = named("kiwivm_api_points_shared");
pub const POINTS_SPENT: &str = named("kiwivm_api_points_spent_total");
pub const POLICY_DEADLINE: &str = named("kiwivm_policy_violation_deadline_timestamp_seconds");
pub const POLICY_OPEN: &str = named("kiwivm_policy_violations_open");
pub const POLICY_VIOLATION: &str = named("kiwivm_policy_violation");
pub const POLLS: &str = named("kiwivm_polls_total");
pub const POLLS_DEFERRED: &str = named("kiwivm_polls_deferred_total");
pub const POLL_DURATION: &str = named("kiwivm_poll_duration_seconds");
pub const POLL_ERRORS: &str = named("kiwivm_poll_errors_total");
pub const POLL_INTERVAL: &str = named("kiwivm_poll_interval_seconds");
pub const PROCESSES: &str = named("kiwivm_processes");
pub const PROCESSES_RUNNABLE: &str = named("kiwivm_processes_runnable");
pub const PROCESS_CPU: &str = named("process_cpu_seconds_total");
pub const PROCESS_FDS: &str = named("process_open_fds");
pub const PROCESS_MAX_FDS: &str = named("process_max_fds");
pub const PROCESS_MEMORY: &str = named("process_resident_memory_bytes");
pub const PROCESS_START: &str = named("process_start_time_seconds");
pub const RELOAD_SUCCESSFUL: &str = named("kiwivm_exporter_config_last_reload_successful");
pub const RELOAD_TIMESTAMP: &str =
    named("kiwivm_exporter_config_last_reload_success_timestamp_seconds");
pub const RESPONSE_BYTES: &str = named("kiwivm_api_response_bytes_total");
pub const RUNNING: &str = named("kiwivm_running");
pub const SNAPSHOTS: &str = named("kiwivm_snapshots");
pub const SNAPSHOTS_SIZE: &str = named("kiwivm_snapshots_size_bytes");
pub const SNAPSHOTS_STICKY: &str = named("kiwivm_snapshots_sticky");
pub const SNAPSHOT_NEWEST: &str = named("kiwivm_snapshot_newest_timestamp_seconds");
pub const SNAPSHOT_NEXT_PURGE: &str = named("kiwivm_snapshot_next_purge_timestamp_seconds");
pub const STATUS: &str = named("kiwivm_status");
pub const SUSPENDED: &str = named("kiwivm_suspended");
pub const SUSPENSION_REASON: &str = named("kiwivm_suspension_reason");
pub const SUSPENSIONS: &str = named("kiwivm_suspensions");
pub const SUSPENSION_CASES: &str = named("kiwivm_suspension_cases");
pub const SWAP_FREE: &str = named("kiwivm_swap_free_bytes");
pub const SWAP_TOTAL: &str = named("kiwivm_swap_total_bytes");
/// Present for every configured VPS, with all labels of its series.
pub const THRESHOLD: &str = named("kiwivm_threshold");
pub const UP: &str = named("kiwivm_up");
pub const VPS_CONFIGURED: &str = named("kiwivm_exporter_vps_configured");
pub const VPS_INFO: &str = named("kiwivm_vps_info");

/// Success of a scrape, recorded by Prometheus.
pub const SCRAPE_UP: &str = "up";
/// Duration of a scrape, recorded by Prometheus.
pub const SCRAPE_DURATION: &str = "scrape_duration_seconds";
