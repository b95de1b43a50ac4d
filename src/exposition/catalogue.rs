//! The catalogue of all metrics: name, type, labels, help text and the source of the samples.
//!
//! Dashboards, rules and docs/metrics.md refer to these names. Absent data give no sample.

mod exporter;
mod vps;

pub use exporter::*;
pub use vps::{VPS_METRICS, VpsMetric, vps_metrics};

use prometheus_client::metrics::MetricType;

/// The description of a metric: name, type, labels and help text.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Name of the samples. The name of a counter ends in `_total`.
    pub name: &'static str,
    /// Metric type.
    pub kind: Kind,
    /// Per-VPS metrics: the labels beyond `veid`, `vps` and the configured ones. Other metrics: all labels.
    pub labels: &'static [&'static str],
    /// One line without quotes and backslashes, so that it needs no escaping in either format.
    pub help: &'static str,
}

/// The metric types in use.
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
    /// Returns the type name for the `TYPE` line and the documentation.
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
