//! The metrics of the fleet and of the exporter.

use std::fmt::{self, Write};
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::Reloads;
use super::catalogue::{self, VpsMetric, vps_metrics};
use super::format::Format;
use super::lines::Lines;
use super::series::{Family, Series, View};
use crate::clock::Moment;
use crate::fleet::{Deferral, Fleet};
use crate::kiwivm::{Call, Veid};
use crate::poller::{SharedFleet, lock};

/// A selection of VPSes, and the moment and format to show them in.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Fleet that contains them.
    pub fleet: SharedFleet,
    /// Moment of the page. Data that are stale then are omitted.
    pub now: Moment,
    /// Only these VPSes, or all if `None`.
    pub only: Option<Arc<[Veid]>>,
    /// Format of the samples.
    pub format: Format,
}

impl Shown {
    pub(super) fn views<'a>(&self, fleet: &'a Fleet) -> Vec<View<'a>> {
        let view = |vps| View::new(vps, fleet.staleness(), self.now);
        match &self.only {
            None => fleet.vps().iter().map(view).collect(),
            Some(only) => {
                let vps = only.iter().filter_map(|veid| fleet.by_veid(*veid));
                vps.map(view).collect()
            }
        }
    }
}

/// Writes the samples of VPSes.
pub fn write_fleet(shown: &Shown, out: &mut dyn Write) -> fmt::Result {
    let fleet = lock(&shown.fleet);
    let views = shown.views(&fleet);
    let mut lines = Lines::new(out);
    for VpsMetric { metric, samples } in vps_metrics() {
        lines.describe(metric, shown.format);
        for view in &views {
            let mut series = Series::new(&mut lines, view);
            samples(view, &mut series);
            series.finish()?;
        }
    }
    lines.flush()
}

/// Collects the metrics over all VPSes and those of the exporter itself.
#[derive(Debug)]
pub struct ExporterCollector {
    pub(super) shown: Shown,
    pub(super) reloads: Reloads,
}

impl Collector for ExporterCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let fleet = lock(&self.shown.fleet);
        let totals = fleet.totals();
        let format = self.shown.format;
        let calls: Vec<Call> = Call::ALL
            .into_iter()
            .filter(|call| in_use(&fleet, *call))
            .collect();

        let mut family = Family::describe(&mut encoder, &catalogue::POLL_DURATION, format)?;
        for &call in &calls {
            let labels = [("call", call.name())];
            family.histogram(&labels, &totals.durations[call])?;
        }

        let mut family = Family::describe(&mut encoder, &catalogue::RESPONSE_BYTES, format)?;
        for &call in &calls {
            let bytes = totals.response_bytes[call];
            family.labelled(&[("call", call.name())], bytes)?;
        }

        let mut family = Family::describe(&mut encoder, &catalogue::POINTS_SPENT, format)?;
        for &call in &calls {
            let points = totals.points.spent[call].0;
            family.labelled(&[("call", call.name())], points)?;
        }

        let mut family = Family::describe(&mut encoder, &catalogue::CALL_POINTS, format)?;
        for &call in &calls {
            if let Some(points) = totals.points.costs[call] {
                family.labelled(&[("call", call.name())], points.0)?;
            }
        }

        Family::describe(&mut encoder, &catalogue::POINTS_SHARED, format)?
            .value(totals.points.shared)?;

        let mut family = Family::describe(&mut encoder, &catalogue::POLLS_DEFERRED, format)?;
        for &call in &calls {
            for reason in Deferral::ALL {
                let labels = [("call", call.name()), ("reason", reason.name())];
                let count = totals.deferred[call][reason as usize];
                family.labelled(&labels, count)?;
            }
        }

        let mut family = Family::describe(&mut encoder, &catalogue::DECODE_PROBLEMS, format)?;
        for ((call, field), count) in &totals.decode_problems {
            let labels = [("call", call.name()), ("field", *field)];
            family.labelled(&labels, *count)?;
        }

        let mut family = Family::describe(&mut encoder, &catalogue::BUILD_INFO, format)?;
        let build = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("revision", env!("KIWIVM_BUILD_REVISION")),
            ("rustc", env!("KIWIVM_BUILD_RUSTC")),
        ];
        family.labelled(&build, 1_u64)?;

        Family::describe(&mut encoder, &catalogue::RELOAD_SUCCESSFUL, format)?
            .value(self.reloads.successful)?;
        Family::describe(&mut encoder, &catalogue::RELOAD_TIMESTAMP, format)?
            .value(self.reloads.last_success)?;
        let family = Family::describe(&mut encoder, &catalogue::STATE_WRITE_SUCCESSFUL, format)?;
        if let Some(writes) = totals.state_writes {
            family.value(writes.successful)?;
        }
        let family = Family::describe(&mut encoder, &catalogue::STATE_WRITE_TIMESTAMP, format)?;
        if let Some(at) = totals.state_writes.and_then(|writes| writes.last_success) {
            family.value(at)?;
        }
        Family::describe(&mut encoder, &catalogue::VPS_CONFIGURED, format)?
            .value(fleet.vps().len() as u64)?;
        let shard = fleet.shard();
        Family::describe(&mut encoder, &catalogue::SHARD_ORDINAL, format)?
            .value(u64::from(shard.ordinal()))?;
        Family::describe(&mut encoder, &catalogue::TOTAL_SHARDS, format)?
            .value(u64::from(shard.total()))?;
        Ok(())
    }
}

/// Returns false for an inventory call that was never collected. It has no series.
fn in_use(fleet: &Fleet, call: Call) -> bool {
    !Call::INVENTORY.contains(&call) || fleet.vps().iter().any(|vps| vps.calls[call].is_counted())
}
