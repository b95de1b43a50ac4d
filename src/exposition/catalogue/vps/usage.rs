//! What usage rows tell.

use super::{VpsMetric, counter, gauge};

pub(super) const METRICS: &[VpsMetric] = &[
    gauge(
        "kiwivm_cpu_usage_ratio",
        "CPU usage in the newest usage row: percent / 100, not clamped. Whether 1 is one core or all is not documented.",
        |view, series| {
            let percent = view.usage.and_then(|row| row.cpu_percent);
            series.value(percent.map(|percent| percent / 100.0));
        },
    ),
    gauge(
        "kiwivm_usage_timestamp_seconds",
        "Time of the newest usage row, Unix time.",
        |view, series| series.value(view.usage.map(|row| row.timestamp)),
    ),
    counter(
        "kiwivm_network_receive_bytes_total",
        &[],
        "Bytes received, summed up over usage rows, each counted once.",
        |view, series| series.value(view.usage_total(|total| total.network_in)),
    ),
    counter(
        "kiwivm_network_transmit_bytes_total",
        &[],
        "Bytes sent, summed up over usage rows, each counted once.",
        |view, series| series.value(view.usage_total(|total| total.network_out)),
    ),
    counter(
        "kiwivm_disk_read_bytes_total",
        &[],
        "Bytes read from disk, summed up over usage rows, each counted once.",
        |view, series| series.value(view.usage_total(|total| total.disk_read)),
    ),
    counter(
        "kiwivm_disk_written_bytes_total",
        &[],
        "Bytes written to disk, summed up over usage rows, each counted once.",
        |view, series| series.value(view.usage_total(|total| total.disk_written)),
    ),
    counter(
        "kiwivm_usage_rows_ignored_total",
        &[],
        "Usage rows that were not counted: they arrived later than 24 hours, or tell what cannot be.",
        |view, series| series.value(view.usage_total(|total| total.rows_ignored)),
    ),
];
