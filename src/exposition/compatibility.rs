//! The names of two other exporters, served beside our own for those whose dashboards still ask for them. Off unless
//! the configuration names them.
//!
//! Names, types, labels and values are theirs; what the catalogue demands of names does not hold here. Where they would
//! show something that is not known, this program does what it does everywhere:
//!
//! - They show the last answer for ever; here what is stale is gone, and what did not arrive is absent or an empty label.
//! - Their series of a VPS are told apart by host name and address alone. Of several VPSes with the same, only the first
//!   that is shown has samples: a second would make the whole page invalid.
//! - They take the first address whatever it is, this program the first IPv4 one if there is any.

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

/// A metric of another exporter.
pub struct ForeignMetric {
    /// Its description, with all of its labels.
    pub metric: Metric,
    samples: Samples,
}

/// Where the sample of a VPS comes from.
enum Samples {
    /// With the labels `hostname` and `ip_address`.
    Addressed(fn(&ServiceInfo) -> Option<Value>),
    /// With these labels as well.
    Described(
        fn(&ServiceInfo) -> Vec<(&'static str, String)>,
        fn(&ServiceInfo) -> Option<Value>,
    ),
    /// With the label `veid`.
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

/// They multiply both, whatever the configuration says for our own names.
const THEIRS: Multiplier = Multiplier::Both;

const BANDWAGON_EXPORTER: &[ForeignMetric] = &[
    gauge(
        "bandwagon_data_counter",
        "Bytes transferred since the last reset, not multiplied.",
        Samples::Addressed(|info| info.data_counter.map(Value::from)),
    ),
    gauge(
        "bandwagon_plan_monthly_data",
        "Bytes that the plan allows until the next reset, not multiplied.",
        Samples::Addressed(|info| info.monthly_data.map(Value::from)),
    ),
    gauge(
        "bandwagon_data_next_reset",
        "When the transfer counter is reset, Unix time.",
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
        "Always 1. What is known about a VPS; disk, ram and swap are the bytes of the plan.",
        Samples::Described(
            |info| {
                vec![
                    ("os", text(info.os.as_ref())),
                    ("suspended", text(info.suspended.map(u8::from))),
                    ("location", text(info.location.as_ref())),
                    ("vm_type", text(info.hypervisor.map(Hypervisor::name))),
                    ("plan", text(info.plan.as_ref())),
                    ("disk", text(info.plan_disk)),
                    ("ram", text(info.plan_ram)),
                    ("swap", text(info.plan_swap)),
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
            help: "Calls that the API answered as asked. Refused and failed ones are not counted.",
        },
        samples: Samples::Numbered(|view| {
            let calls = view.vps.calls.values();
            Some(calls.map(|call| call.successes).sum::<u64>().into())
        }),
    },
    gauge(
        "bandwagon_api_rate_limit_remaining_points_15min",
        "API points left in the current 15 minutes, as last read.",
        Samples::Numbered(|view| view.points?.remaining_15m.map(Value::from)),
    ),
    gauge(
        "bandwagon_api_rate_limit_remaining_points_24h",
        "API points left in the current 24 hours, as last read.",
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
        "1 while the VPS is suspended, else 0. The API no longer tells node_ip.",
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
        "Bytes that the plan allows until the next reset, not multiplied.",
        Samples::Addressed(|info| info.monthly_data.map(Value::from)),
    ),
    gauge(
        "plan_monthly_data_gb",
        "GiB allowed until the next reset, times the multiplier.",
        Samples::Addressed(|info| gib(bandwidth::allowance(info, THEIRS)?)),
    ),
    gauge(
        "monthly_data_multiplier",
        "The accounting coefficient of the location.",
        Samples::Addressed(|info| info.data_multiplier.map(Value::from)),
    ),
    gauge(
        "data_counter",
        "Bytes transferred since the last reset, not multiplied.",
        Samples::Addressed(|info| info.data_counter.map(Value::from)),
    ),
    gauge(
        "data_counter_gb",
        "GiB transferred since the last reset, times the multiplier.",
        Samples::Addressed(|info| gib(bandwidth::used(info, THEIRS)?)),
    ),
    gauge(
        "available_traffic_gb",
        "GiB left until the next reset, times the multiplier. Below 0 when more was used than allowed.",
        Samples::Addressed(|info| {
            gib(bandwidth::allowance(info, THEIRS)? - bandwidth::used(info, THEIRS)?)
        }),
    ),
    gauge(
        "data_next_reset",
        "When the transfer counter is reset, Unix time.",
        Samples::Addressed(|info| info.data_next_reset.map(Value::from)),
    ),
];

/// The value of a label; empty for what did not arrive.
fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// GiB with two decimals. Rounded by way of a text, as the numbers were that dashboards have stored so far: arithmetic
/// would round some of them otherwise.
fn gib(bytes: f64) -> Option<Value> {
    let gib = format!("{:.2}", bytes / f64::from(1 << 30));
    gib.parse().ok().map(Value::Real)
}

/// The samples of all or some VPSes at one moment, under the names of other exporters.
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
        // A name that the configuration has twice is one exporter.
        let asked = Compatibility::ALL.into_iter();
        let asked = asked.filter(|exporter| self.exporters.contains(exporter));
        for ForeignMetric { metric, samples } in asked.flat_map(metrics_of) {
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

/// What is known of each VPS that has service info, under its host name and address: the first with the same ones.
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
