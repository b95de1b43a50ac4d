//! prometheus-client collectors over the fleet.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};

use super::Reloads;
use super::catalogue::{self, Kind, Metric, VpsMetric, vps_metrics};
use super::series::{Labels, Series, Value, View, write_sample};
use crate::clock::Moment;
use crate::fleet::{Deferral, Fleet};
use crate::kiwivm::{Call, Veid};
use crate::poller::{SharedFleet, lock};

/// The samples of all or some VPSes at one moment.
#[derive(Debug)]
pub struct FleetCollector {
    fleet: SharedFleet,
    now: Moment,
    only: Option<HashSet<Veid>>,
}

impl FleetCollector {
    pub(super) fn new(fleet: &SharedFleet, now: Moment, only: Option<HashSet<Veid>>) -> Self {
        Self {
            fleet: Arc::clone(fleet),
            now,
            only,
        }
    }
}

impl Collector for FleetCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let fleet = lock(&self.fleet);
        let views = views(&fleet, self.now, self.only.as_ref());
        for VpsMetric { metric, samples } in vps_metrics() {
            let mut family = describe(&mut encoder, metric)?;
            for view in &views {
                let mut series = Series::new(&mut family, metric.kind, view);
                samples(view, &mut series);
                series.finish()?;
            }
        }
        Ok(())
    }
}

/// All VPSes, or only some, as they are shown at one moment.
pub(super) fn views<'a>(
    fleet: &'a Fleet,
    now: Moment,
    only: Option<&HashSet<Veid>>,
) -> Vec<View<'a>> {
    let shown = |veid: &Veid| only.is_none_or(|only| only.contains(veid));
    fleet
        .vps()
        .iter()
        .filter(|vps| shown(&vps.identity.veid))
        .map(|vps| View::new(vps, fleet.staleness(), now))
        .collect()
}

/// What the exporter counts over all VPSes, and what it says about itself.
#[derive(Debug)]
pub struct ExporterCollector {
    fleet: SharedFleet,
    reloads: Reloads,
}

impl ExporterCollector {
    pub(super) fn new(fleet: &SharedFleet, reloads: Reloads) -> Self {
        Self {
            fleet: Arc::clone(fleet),
            reloads,
        }
    }
}

impl Collector for ExporterCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let fleet = lock(&self.fleet);
        let totals = fleet.totals();
        let calls: Vec<Call> = Call::ALL
            .into_iter()
            .filter(|call| in_use(&fleet, *call))
            .collect();

        let mut family = describe(&mut encoder, &catalogue::POLL_DURATION)?;
        for &call in &calls {
            let labels = [("call", call.name())];
            totals.durations[call.index()].encode(family.encode_family(&labels)?)?;
        }

        let mut family = describe(&mut encoder, &catalogue::RESPONSE_BYTES)?;
        for &call in &calls {
            let labels = [("call", call.name())];
            counter(&mut family, &labels, totals.response_bytes[call.index()])?;
        }

        let mut family = describe(&mut encoder, &catalogue::POINTS_SPENT)?;
        for &call in &calls {
            let labels = Labels {
                parts: [&[("call", call.name())], &[]],
            };
            let points = Value::Real(totals.points.spent[call.index()]);
            write_sample(&mut family, Kind::Counter, &labels, points)?;
        }

        let mut family = describe(&mut encoder, &catalogue::CALL_POINTS)?;
        for &call in &calls {
            let labels = Labels {
                parts: [&[("call", call.name())], &[]],
            };
            if let Some(points) = totals.points.costs[call.index()] {
                write_sample(&mut family, Kind::Gauge, &labels, Value::Real(points))?;
            }
        }

        describe(&mut encoder, &catalogue::POINTS_SHARED)?
            .encode_gauge(&u64::from(totals.points.shared))?;

        let mut family = describe(&mut encoder, &catalogue::POLLS_DEFERRED)?;
        for &call in &calls {
            for reason in Deferral::ALL {
                let labels = [("call", call.name()), ("reason", reason.name())];
                let count = totals.deferred[call.index()][reason as usize];
                counter(&mut family, &labels, count)?;
            }
        }

        let mut family = describe(&mut encoder, &catalogue::DECODE_PROBLEMS)?;
        for ((call, field), count) in &totals.decode_problems {
            let labels = [("call", call.name()), ("field", *field)];
            counter(&mut family, &labels, *count)?;
        }

        let mut family = describe(&mut encoder, &catalogue::BUILD_INFO)?;
        let build = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("revision", env!("KIWIVM_BUILD_REVISION")),
            ("rustc", env!("KIWIVM_BUILD_RUSTC")),
        ];
        family.encode_family(&build)?.encode_gauge(&1_u64)?;

        describe(&mut encoder, &catalogue::RELOAD_SUCCESSFUL)?
            .encode_gauge(&u64::from(self.reloads.successful))?;
        describe(&mut encoder, &catalogue::RELOAD_TIMESTAMP)?
            .encode_gauge(&self.reloads.last_success)?;
        describe(&mut encoder, &catalogue::VPS_CONFIGURED)?.encode_gauge(&fleet.vps().len())?;
        Ok(())
    }
}

/// Inventory that is not collected, and never was, has no series.
fn in_use(fleet: &Fleet, call: Call) -> bool {
    !Call::INVENTORY.contains(&call)
        || fleet.vps().iter().any(|vps| {
            let record = &vps.calls[call.index()];
            record.interval.is_some() || record.successes + record.failures() > 0
        })
}

/// Writes what is said about a metric before its samples. prometheus-client appends `_total` to a counter itself.
pub(super) fn describe<'s>(
    encoder: &'s mut DescriptorEncoder<'_>,
    metric: &'s Metric,
) -> Result<MetricEncoder<'s>, fmt::Error> {
    let family = match metric.kind {
        Kind::Counter => metric.name.strip_suffix("_total").unwrap_or(metric.name),
        Kind::Gauge | Kind::Histogram => metric.name,
    };
    encoder.encode_descriptor(family, metric.help, None, metric.kind.metric_type())
}

fn counter(family: &mut MetricEncoder<'_>, labels: &[(&str, &str)], count: u64) -> fmt::Result {
    let labels = Labels {
        parts: [labels, &[]],
    };
    write_sample(family, Kind::Counter, &labels, Value::Unsigned(count))
}
