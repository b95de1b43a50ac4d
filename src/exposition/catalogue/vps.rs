//! The metrics of each VPS.

mod inventory;
mod polls;
mod state;
mod usage;

use super::{Kind, Metric};
use crate::exposition::series::{Series, View};

/// A metric with samples for each VPS.
pub struct VpsMetric {
    /// Description of the metric.
    pub metric: Metric,
    /// Writes the samples of one VPS.
    pub(in crate::exposition) samples: fn(&View<'_>, &mut Series<'_, '_>),
}

const fn gauge(
    name: &'static str,
    help: &'static str,
    samples: fn(&View<'_>, &mut Series<'_, '_>),
) -> VpsMetric {
    labelled_gauge(name, &[], help, samples)
}

const fn labelled_gauge(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    samples: fn(&View<'_>, &mut Series<'_, '_>),
) -> VpsMetric {
    VpsMetric {
        metric: Metric {
            name,
            kind: Kind::Gauge,
            labels,
            help,
        },
        samples,
    }
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    samples: fn(&View<'_>, &mut Series<'_, '_>),
) -> VpsMetric {
    VpsMetric {
        metric: Metric {
            name,
            kind: Kind::Counter,
            labels,
            help,
        },
        samples,
    }
}

/// The metrics of each VPS by subject, in the order of the exposition.
pub const VPS_METRICS: &[&[VpsMetric]] = &[
    state::METRICS,
    usage::METRICS,
    inventory::METRICS,
    polls::METRICS,
];

/// The metrics of each VPS, in the order of the exposition.
pub fn vps_metrics() -> impl Iterator<Item = &'static VpsMetric> {
    VPS_METRICS.iter().copied().flatten()
}
