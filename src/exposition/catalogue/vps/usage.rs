//! Metrics derived from usage rows.

use super::{VpsMetric, counter, gauge};

pub(super) const METRICS: &[VpsMetric] = &[
    gauge(
        "kiwivm_cpu_usage_ratio",
        "CPU usage in the newest usage row: percent / 100, not clamped. The API does not document if 1 means one core or all.",
        |view, series| {
            let percent = view.usage.and_then(|row| row.cpu_percent);
            series.value(percent.map(|percent| percent / 100.0));
        },
    ),
    gauge(
        "kiwivm_usage_timestamp_seconds",
        "Unix time of the newest usage row.",
        |view, series| series.value(view.usage.map(|row| row.timestamp)),
    ),
    counter(
        "kiwivm_network_receive_bytes_total",
        &[],
        "Bytes received, summed over usage rows. Each row counts once.",
        |view, series| series.value(view.usage_total(|total| total.network_in)),
    ),
    counter(
        "kiwivm_network_transmit_bytes_total",
        &[],
        "Bytes sent, summed over usage rows. Each row counts once.",
        |view, series| series.value(view.usage_total(|total| total.network_out)),
    ),
    counter(
        "kiwivm_disk_read_bytes_total",
        &[],
        "Bytes read from disk, summed over usage rows. Each row counts once.",
        |view, series| series.value(view.usage_total(|total| total.disk_read)),
    ),
    counter(
        "kiwivm_disk_written_bytes_total",
        &[],
        "Bytes written to disk, summed over usage rows. Each row counts once.",
        |view, series| series.value(view.usage_total(|total| total.disk_written)),
    ),
    counter(
        "kiwivm_usage_rows_ignored_total",
        &[],
        "Usage rows ignored because they arrived more than 24 hours late or had impossible values.",
        |view, series| series.value(view.usage_total(|total| total.rows_ignored)),
    ),
];
