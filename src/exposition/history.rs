//! Usage history as OpenMetrics text with timestamps, and with the names, labels and values of the live exporter.

use std::io::{self, Write};

use super::catalogue::{self, Kind};
use super::lines::label;
use crate::fleet::{Identity, UsageTotals};
use crate::kiwivm::model::UsageRow;

/// A usage row and the totals up to and including it.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// The row. Its timestamp is that of the samples.
    pub row: UsageRow,
    /// The totals.
    pub totals: UsageTotals,
}

/// Formats the value of one metric at one point.
type Sample = fn(&Point) -> Option<String>;

/// The metrics derived from usage rows. OpenMetrics requires all samples of a metric to be together.
pub const METRICS: [(&str, Sample); 6] = [
    ("kiwivm_cpu_usage_ratio", |point| {
        let percent = point.row.cpu_percent?;
        Some((percent / 100.0).to_string())
    }),
    ("kiwivm_usage_timestamp_seconds", |point| {
        Some(point.row.timestamp.0.to_string())
    }),
    ("kiwivm_network_receive_bytes_total", |point| {
        Some(point.totals.network_in.0.to_string())
    }),
    ("kiwivm_network_transmit_bytes_total", |point| {
        Some(point.totals.network_out.0.to_string())
    }),
    ("kiwivm_disk_read_bytes_total", |point| {
        Some(point.totals.disk_read.0.to_string())
    }),
    ("kiwivm_disk_written_bytes_total", |point| {
        Some(point.totals.disk_written.0.to_string())
    }),
];

/// The last line of an OpenMetrics text.
pub const END: &str = "# EOF\n";

/// Writes the HELP and TYPE lines of a metric.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn write_head(out: &mut impl Write, name: &str) -> io::Result<()> {
    let Some(metric) = catalogue::vps_metrics()
        .map(|vps| &vps.metric)
        .find(|metric| metric.name == name)
    else {
        return Err(io::Error::other(format!("{name} is not in the catalogue")));
    };
    let family = match metric.kind {
        Kind::Counter => name.strip_suffix("_total").unwrap_or(name),
        Kind::Gauge | Kind::Histogram => name,
    };
    writeln!(out, "# HELP {family} {}", metric.help)?;
    writeln!(out, "# TYPE {family} {}", metric.kind.name())
}

/// Formats the labels of a VPS's samples: `more`, as Prometheus adds them to a scrape, then those of all its series.
#[must_use]
pub fn labels(more: &[(String, String)], vps: &Identity) -> String {
    let veid = vps.veid.to_string();
    let own = [("veid", veid.as_str()), ("vps", vps.name.as_str())];
    let mut labels = String::new();
    for (name, value) in more {
        label(&mut labels, name, value);
    }
    for (name, value) in own {
        label(&mut labels, name, value);
    }
    for (name, value) in &vps.labels {
        label(&mut labels, name, value);
    }
    labels
}

/// Writes the sample of one metric at one point, if it has a value there.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn write_sample(
    out: &mut impl Write,
    (name, sample): (&str, Sample),
    labels: &str,
    point: &Point,
) -> io::Result<()> {
    match sample(point) {
        Some(value) => writeln!(out, "{name}{{{labels}}} {value} {}", point.row.timestamp.0),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Bytes, UnixSeconds};

    #[test]
    fn every_metric_is_in_the_catalogue_and_a_sample_is_one_line() {
        let mut page = Vec::new();
        let row = UsageRow {
            timestamp: UnixSeconds(1_790_000_000),
            cpu_percent: Some(4.5),
            network_in: None,
            network_out: None,
            disk_read: None,
            disk_written: None,
        };
        let totals = UsageTotals {
            network_in: Bytes(7),
            ..UsageTotals::default()
        };
        let more = [("job".to_owned(), "a\\\"b\nc".to_owned())];
        let labels = labels(&more, &crate::exposition::tests::identity(5, "tokyo"));
        for metric in METRICS {
            write_head(&mut page, metric.0).expect("the metric is known");
            write_sample(&mut page, metric, &labels, &Point { row, totals })
                .expect("writing to memory succeeds");
        }
        let page = String::from_utf8(page).expect("UTF-8");
        assert_eq!(page.lines().count(), 18);
        let line = page
            .lines()
            .find(|line| line.starts_with("kiwivm_network_receive_bytes_total"));
        let expected = r#"kiwivm_network_receive_bytes_total{job="a\\\"b\nc",veid="5",vps="tokyo",env="prod"} 7 1790000000"#;
        assert_eq!(line, Some(expected));
        assert!(page.contains("# TYPE kiwivm_network_receive_bytes counter"));
        assert!(page.contains("} 0.045 1790000000"));
    }
}
