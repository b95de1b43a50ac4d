//! Every metric of this program: name, type, labels, help and where its samples come from, in one place.
//!
//! Dashboards, rules and docs/metrics.md refer to these names. Absent data give no sample.

mod exporter;
mod vps;

pub use exporter::*;
pub use vps::{VPS_METRICS, VpsMetric, vps_metrics};

use prometheus_client::metrics::MetricType;

/// What is said about a metric before its samples.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The name of its samples; a counter's ends in `_total`.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The labels beside `veid`, `vps` and those of the configuration for per-VPS metrics, all labels for the others.
    pub labels: &'static [&'static str],
    /// One line without quotes and backslashes, so that it needs no escaping in either format.
    pub help: &'static str,
}

/// The types in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up.
    Counter,
    /// Buckets, sum and count.
    Histogram,
}

impl Kind {
    /// The word in the `TYPE` line and in the documentation.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }

    pub(in crate::exposition) const fn metric_type(self) -> MetricType {
        match self {
            Self::Gauge => MetricType::Gauge,
            Self::Counter => MetricType::Counter,
            Self::Histogram => MetricType::Histogram,
        }
    }
}
