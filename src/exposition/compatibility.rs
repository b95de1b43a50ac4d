//! The metric names of two other exporters, served beside our own for dashboards that still query them. Off unless
//! enabled in the configuration.
//!
//! Names, types, labels and values follow those exporters, not the rules of the catalogue. Differences:
//!
//! - They show the last response forever. Here, stale data are omitted, and missing fields are absent or empty labels.
//! - Their series identify a VPS by host name and address alone. If several VPSes share both, only the first has
//!   samples: duplicate series would make the whole page invalid.
//! - They use the first address of any family. This program uses the first IPv4 address if there is one.

use std::collections::HashSet;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::catalogue::{Kind, Metric};
use super::collectors::Shown;
use super::series::{Family, Labels, Value, View};
use crate::config::{Compatibility, Multiplier};
use crate::fleet::bandwidth;
use crate::kiwivm::model::{Hypervisor, ServiceInfo};
use crate::poller::lock;
use crate::units::Bytes;

/// A metric of another exporter.
pub struct ForeignMetric {
    /// Description of the metric, with all its labels.
    pub metric: Metric,
    samples: Samples,
}

/// Source of a VPS's sample.
enum Samples {
    /// A value of service info, with the labels `hostname` and `ip_address`.
    Addressed(fn(&ServiceInfo) -> Option<Value>),
    /// A value of service info, with additional labels.
    Described(
        fn(&ServiceInfo) -> Vec<(&'static str, String)>,
        fn(&ServiceInfo) -> Option<Value>,
    ),
    /// A value of any data, with the label `veid`.
    Numbered(fn(&View<'_>) -> Option<Value>),
}

/// The metrics of an exporter, in the order of the exposition.
#[must_use]
pub const fn metrics_of(exporter: Compatibility) -> &'static [ForeignMetric] {
    match exporter {
        Compatibility::BandwagonExporter => BANDWAGON_EXPORTER,
        Compatibility::BandwagonhostCloudExporter => BANDWAGONHOST_CLOUD_EXPORTER,
    }
}

const fn gauge(name: &'static str, help: &'static str, samples: Samples) -> ForeignMetric {
    let labels: &[&str] = match samples {
        Samples::Addressed(_) | Samples::Described(..) => &["hostname", "ip_address"],
        Samples::Numbered(_) => &["veid"],
    };
    labelled_gauge(name, labels, help, samples)
}

const fn labelled_gauge(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    samples: Samples,
) -> ForeignMetric {
    ForeignMetric {
        metric: Metric {
            name,
            kind: Kind::Gauge,
            labels,
            help,
        },
        samples,
    }
}

/// Both exporters multiply counter and allowance, whatever the configuration says for our own metrics.
const THEIRS: Multiplier = Multiplier::Both;

const BANDWAGON_EXPORTER: &[ForeignMetric] = &[
    gauge(
        "bandwagon_data_counter",
        "Bytes transferred since the last reset, without the multiplier.",
        Samples::Addressed(|info| info.data_counter.map(Value::from)),
    ),
    gauge(
        "bandwagon_plan_monthly_data",
        "Bytes that the plan allows until the next reset, without the multiplier.",
        Samples::Addressed(|info| info.monthly_data.map(Value::from)),
    ),
    gauge(
        "bandwagon_data_next_reset",
        "Unix time of the next bandwidth reset.",
        Samples::Addressed(|info| info.data_next_reset.map(Value::from)),
    ),
    labelled_gauge(
        "bandwagon_node_info",
        &[
            "hostname",
            "ip_address",
            "os",
            "suspended",
            "location",
            "vm_type",
            "plan",
            "disk",
            "ram",
            "swap",
        ],
        "VPS metadata, always 1. Labels disk, ram and swap are the sizes of the plan in bytes.",
        Samples::Described(
            |info| {
                vec![
                    ("os", text(info.os.as_ref())),
                    ("suspended", text(info.suspended.map(u8::from))),
                    ("location", text(info.location.as_ref())),
                    ("vm_type", text(info.hypervisor.map(Hypervisor::name))),
                    ("plan", text(info.plan.as_ref())),
                    ("disk", size(info.plan_disk)),
                    ("ram", size(info.plan_ram)),
                    ("swap", size(info.plan_swap)),
                ]
            },
            |_| Some(Value::Unsigned(1)),
        ),
    ),
    ForeignMetric {
        metric: Metric {
            name: "bandwagon_api_request_total",
            kind: Kind::Counter,
            labels: &["veid"],
            help: "Successful API calls. Refused and failed calls are not counted.",
        },
        samples: Samples::Numbered(|view| {
            let calls = view.vps.calls.values();
            Some(calls.map(|call| call.successes).sum::<u64>().into())
        }),
    },
    gauge(
        "bandwagon_api_rate_limit_remaining_points_15min",
        "API points left in the current 15-minute window, as last read.",
        Samples::Numbered(|view| view.points?.remaining_15m.map(Value::from)),
    ),
    gauge(
        "bandwagon_api_rate_limit_remaining_points_24h",
        "API points left in the current 24-hour window, as last read.",
        Samples::Numbered(|view| view.points?.remaining_24h.map(Value::from)),
    ),
];

const BANDWAGONHOST_CLOUD_EXPORTER: &[ForeignMetric] = &[
    labelled_gauge(
        "node_suspended",
        &[
            "hostname",
            "ip_address",
            "node_ip",
            "vm_type",
            "node_location",
            "os",
        ],
        "1 if the VPS is suspended, else 0. Label node_ip is empty because the API no longer reports it.",
        Samples::Described(
            |info| {
                vec![
                    ("node_ip", String::new()),
                    ("vm_type", text(info.hypervisor.map(Hypervisor::name))),
                    ("node_location", text(info.location.as_ref())),
                    ("os", text(info.os.as_ref())),
                ]
            },
            |info| info.suspended.map(Value::from),
        ),
    ),
    gauge(
        "plan_monthly_data",
        "Bytes that the plan allows until the next reset, without the multiplier.",
        Samples::Addressed(|info| info.monthly_data.map(Value::from)),
    ),
    gauge(
        "plan_monthly_data_gb",
        "GiB allowed until the next reset, times the multiplier.",
        Samples::Addressed(|info| gib(bandwidth::allowance(info, THEIRS)?)),
    ),
    gauge(
        "monthly_data_multiplier",
        "Bandwidth multiplier of the location.",
        Samples::Addressed(|info| info.data_multiplier.map(Value::from)),
    ),
    gauge(
        "data_counter",
        "Bytes transferred since the last reset, without the multiplier.",
        Samples::Addressed(|info| info.data_counter.map(Value::from)),
    ),
    gauge(
        "data_counter_gb",
        "GiB transferred since the last reset, times the multiplier.",
        Samples::Addressed(|info| gib(bandwidth::used(info, THEIRS)?)),
    ),
    gauge(
        "available_traffic_gb",
        "GiB left until the next reset, times the multiplier. Negative if more was used than allowed.",
        Samples::Addressed(|info| {
            gib(bandwidth::allowance(info, THEIRS)? - bandwidth::used(info, THEIRS)?)
        }),
    ),
    gauge(
        "data_next_reset",
        "Unix time of the next bandwidth reset.",
        Samples::Addressed(|info| info.data_next_reset.map(Value::from)),
    ),
];

/// Formats the value of a label. Missing fields are empty.
fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Formats a size in bytes for a label.
fn size(value: Option<Bytes>) -> String {
    text(value.map(|bytes| bytes.0))
}

/// Converts a size to GiB with two decimals. Rounds by formatting, because dashboards have stored values rounded this
/// way. Arithmetic would round some of them differently.
fn gib(bytes: Bytes<f64>) -> Option<Value> {
    let gib = format!("{:.2}", bytes.0 / f64::from(1 << 30));
    gib.parse().ok().map(Value::Real)
}

/// Collects the samples of VPSes under the names of other exporters.
#[derive(Debug)]
pub struct ForeignCollector {
    pub(super) shown: Shown,
    pub(super) exporters: Vec<Compatibility>,
}

impl Collector for ForeignCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let fleet = lock(&self.shown.fleet);
        let views = self.shown.views(&fleet);
        let addressed = addressed(&views);
        // The configuration may list an exporter twice.
        let enabled = Compatibility::ALL.into_iter();
        let enabled = enabled.filter(|exporter| self.exporters.contains(exporter));
        for ForeignMetric { metric, samples } in enabled.flat_map(metrics_of) {
            let mut family = Family::describe(&mut encoder, metric, self.shown.format)?;
            let mut write = |own: &[(&str, &str)], more: &[(&'static str, String)], value| {
                let Some(value) = value else { return Ok(()) };
                let more: Vec<_> = more
                    .iter()
                    .map(|(name, value)| (*name, value.as_str()))
                    .collect();
                let labels = Labels {
                    parts: [own, &more],
                };
                family.sample(&labels, value)
            };
            match samples {
                Samples::Addressed(value) => {
                    for (labels, info) in &addressed {
                        write(labels, &[], value(info))?;
                    }
                }
                Samples::Described(more, value) => {
                    for (labels, info) in &addressed {
                        write(labels, &more(info), value(info))?;
                    }
                }
                Samples::Numbered(value) => {
                    for view in &views {
                        let veid = view.vps.identity.veid.to_string();
                        write(&[("veid", &veid)], &[], value(view))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Host name and address, as labels.
type Address<'a> = [(&'static str, &'a str); 2];

/// Returns the service info of each VPS by host name and address. Of duplicates, keeps the first.
fn addressed<'a>(views: &[View<'a>]) -> Vec<(Address<'a>, &'a ServiceInfo)> {
    let mut seen = HashSet::new();
    let services = views.iter().filter_map(|view| view.service);
    let labelled = services.map(|info| {
        let addresses = info.ip_addresses.as_ref();
        let hostname = info.hostname.as_deref().unwrap_or_default();
        let address = addresses.and_then(|addresses| addresses.primary.as_deref());
        let labels = [
            ("hostname", hostname),
            ("ip_address", address.unwrap_or_default()),
        ];
        (labels, info)
    });
    labelled
        .filter(|(labels, _)| seen.insert(*labels))
        .collect()
}

#[cfg(test)]
mod tests;
