//! The view of a VPS that a page shows, and the metrics written by prometheus-client's encoder.
//!
//! The encoder writes OpenMetrics. Text 0.0.4 has the same samples, but the family name of a counter includes `_total`
//! there, like the names of its samples. Counters are therefore written as gauges in that format.

use std::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabel, EncodeLabelSet, EncodeMetric, LabelSetEncoder, MetricEncoder,
    NoLabelSet,
};

use super::catalogue::{Kind, Metric};
use super::format::Format;
use super::lines::{Lines, label};
use crate::clock::Moment;
use crate::config::Multiplier;
use crate::fleet::{Forecast, SuspensionReason, UsageTotals, VpsState};
use crate::kiwivm::Call;
use crate::kiwivm::model::{
    Inventory, LiveInfo, Lock, Processes, RateLimitStatus, ServiceInfo, UsageRow,
};
use crate::units::{Bytes, UnixSeconds};

/// The data of a VPS that are fresh at one moment.
pub struct View<'a> {
    pub(super) vps: &'a VpsState,
    /// `veid`, `vps` and the configured labels, as written in every sample.
    pub(super) labels: String,
    pub(super) up: bool,
    pub(super) service: Option<&'a ServiceInfo>,
    pub(super) live: Option<&'a LiveInfo>,
    pub(super) usage: Option<&'a UsageRow>,
    pub(super) points: Option<&'a RateLimitStatus>,
    pub(super) lock: Option<&'a Option<Lock>>,
    pub(super) forecast: Option<&'a Forecast>,
    staleness: f64,
    now: Moment,
}

impl<'a> View<'a> {
    pub(super) fn new(vps: &'a VpsState, staleness: f64, now: Moment) -> Self {
        let mut labels = String::new();
        label(&mut labels, "veid", &vps.identity.veid.to_string());
        label(&mut labels, "vps", &vps.identity.name);
        for (name, value) in &vps.identity.labels {
            label(&mut labels, name, value);
        }
        Self {
            vps,
            labels,
            up: vps.up(staleness, now),
            service: vps.service(staleness, now),
            live: vps.live(staleness, now),
            usage: vps.usage(staleness, now),
            points: vps.points(staleness, now),
            lock: vps.lock(staleness, now),
            forecast: vps.forecast(staleness, now),
            staleness,
            now,
        }
    }

    /// Returns the fresh result of an inventory call.
    pub(super) fn inventory(&self, call: Call) -> Option<&'a Inventory> {
        self.vps.inventory(call, self.staleness, self.now)
    }

    /// Returns the time at which the next snapshot will be purged.
    pub(super) fn next_purge(&self) -> Option<UnixSeconds> {
        self.vps.next_purge(self.staleness, self.now)
    }

    /// Returns true if a planned call has returned nothing for too long.
    pub(super) fn is_stale(&self, call: Call) -> Option<bool> {
        self.vps.calls[call].is_stale(self.staleness, self.now)
    }

    /// Returns the reasons for the current suspension.
    pub(super) fn suspension_reasons(&self) -> Option<Vec<SuspensionReason>> {
        self.vps.suspension_reasons(self.staleness, self.now)
    }

    /// Returns the setting for the values that the API's multiplier applies to.
    pub(super) fn multiplier(&self) -> Multiplier {
        self.vps.identity.multiplier
    }

    /// Returns one of the totals over usage rows.
    pub(super) fn usage_total<T>(&self, sum: fn(&UsageTotals) -> T) -> Option<T> {
        self.vps.usage_totals().map(sum)
    }

    pub(super) fn load_average(&self, index: usize) -> Option<f64> {
        Some(self.live?.load?.averages[index])
    }

    pub(super) fn processes(&self) -> Option<Processes> {
        self.live?.load?.processes
    }
}

/// The value of a sample. Integers are written as integers.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// Counts and sizes.
    Unsigned(u64),
    /// Timestamps of the API.
    Signed(i64),
    /// Everything else.
    Real(f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Unsigned(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Signed(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl<N: Into<Self>> From<UnixSeconds<N>> for Value {
    fn from(time: UnixSeconds<N>) -> Self {
        time.0.into()
    }
}

impl<N: Into<Self>> From<Bytes<N>> for Value {
    fn from(bytes: Bytes<N>) -> Self {
        bytes.0.into()
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Unsigned(u64::from(value))
    }
}

/// A metric whose samples are being written.
pub struct Family<'e> {
    encoder: MetricEncoder<'e>,
    /// True if the encoder has to append `_total` to the name.
    suffix: bool,
}

impl<'e> Family<'e> {
    /// Writes the HELP and TYPE lines of a metric.
    pub(super) fn describe(
        encoder: &'e mut DescriptorEncoder<'_>,
        metric: &'e Metric,
        format: Format,
    ) -> Result<Self, fmt::Error> {
        let suffix = metric.kind == Kind::Counter && format == Format::OpenMetrics1;
        let name = match metric.name.strip_suffix("_total") {
            Some(family) if suffix => family,
            _ => metric.name,
        };
        let kind = metric.kind.metric_type();
        let encoder = encoder.encode_descriptor(name, metric.help, None, kind)?;
        Ok(Self { encoder, suffix })
    }

    /// Writes one sample of a gauge or counter. Values that are not finite are omitted.
    pub(super) fn sample(&mut self, labels: &Labels<'_>, value: Value) -> fmt::Result {
        if matches!(value, Value::Real(real) if !real.is_finite()) {
            return Ok(());
        }
        write_value(self.encoder.encode_family(labels)?, self.suffix, value)
    }

    /// Writes the only sample of a metric without labels.
    pub(super) fn value(self, value: impl Into<Value>) -> fmt::Result {
        write_value(self.encoder, self.suffix, value.into())
    }

    /// Writes one sample with these labels.
    pub(super) fn labelled(
        &mut self,
        labels: &[(&str, &str)],
        value: impl Into<Value>,
    ) -> fmt::Result {
        let parts = [labels, &[]];
        self.sample(&Labels { parts }, value.into())
    }

    /// Writes a histogram.
    pub(super) fn histogram(
        &mut self,
        labels: &[(&str, &str)],
        histogram: &impl EncodeMetric,
    ) -> fmt::Result {
        histogram.encode(self.encoder.encode_family(&labels)?)
    }
}

fn write_value(mut sample: MetricEncoder<'_>, suffix: bool, value: Value) -> fmt::Result {
    match (suffix, value) {
        (true, Value::Unsigned(count)) => sample.encode_counter::<NoLabelSet, _, f64>(&count, None),
        (true, Value::Real(count)) => sample.encode_counter::<NoLabelSet, _, f64>(&count, None),
        (_, Value::Unsigned(value)) => sample.encode_gauge(&value),
        (_, Value::Signed(value)) => sample.encode_gauge(&value),
        (_, Value::Real(value)) => sample.encode_gauge(&value),
    }
}

/// The samples of one metric of one VPS.
pub struct Series<'a, 'o> {
    lines: &'a mut Lines<'o>,
    vps: &'a str,
    result: fmt::Result,
}

impl<'a, 'o> Series<'a, 'o> {
    pub(super) fn new(lines: &'a mut Lines<'o>, view: &'a View<'_>) -> Self {
        Self {
            lines,
            vps: &view.labels,
            result: Ok(()),
        }
    }

    /// Writes the only sample of this metric, if there is a value.
    pub(super) fn value(&mut self, value: Option<impl Into<Value>>) {
        self.labelled(&[], value);
    }

    /// Writes one of several samples, if there is a value.
    pub(super) fn labelled(&mut self, labels: &[(&str, &str)], value: Option<impl Into<Value>>) {
        if let Some(value) = value.map(Into::into) {
            self.result = self
                .result
                .and_then(|()| self.lines.sample(self.vps, labels, value));
        }
    }

    pub(super) fn finish(self) -> fmt::Result {
        self.result
    }
}

/// Labels, written in the given order.
#[derive(Debug)]
pub struct Labels<'a> {
    /// Written one after the other.
    pub parts: [&'a [(&'a str, &'a str)]; 2],
}

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        self.parts
            .iter()
            .copied()
            .flatten()
            .try_for_each(|label| label.encode(encoder.encode_label()))
    }
}
