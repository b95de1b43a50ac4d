//! The nine standard `process_*` metrics, read when a page is rendered. Linux only: elsewhere, and for what cannot
//! be read, there is no sample.

use std::fmt;

use procfs::WithCurrentSystemInfo;
use procfs::process::{LimitValue, Process};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::catalogue::{Kind, Metric};
use super::format::Format;
use super::series::Family;

/// Reads a value, if it can be had.
type Read = fn(&Process) -> Option<f64>;

/// The metrics of this file.
pub const PROCESS_METRICS: &[(Metric, Read)] = &[
    (
        metric(
            "process_cpu_seconds_total",
            Kind::Counter,
            "Total user and system CPU time spent in seconds.",
        ),
        |process| {
            let stat = process.stat().ok()?;
            float(stat.utime + stat.stime).map(|ticks| ticks / ticks_per_second())
        },
    ),
    (
        metric(
            "process_open_fds",
            Kind::Gauge,
            "Number of open file descriptors.",
        ),
        |process| float(process.fd_count().ok()? as u64),
    ),
    (
        metric(
            "process_max_fds",
            Kind::Gauge,
            "Maximum number of open file descriptors.",
        ),
        |process| limit(process.limits().ok()?.max_open_files.soft_limit),
    ),
    (
        metric(
            "process_virtual_memory_bytes",
            Kind::Gauge,
            "Virtual memory size in bytes.",
        ),
        |process| float(process.stat().ok()?.vsize),
    ),
    (
        metric(
            "process_virtual_memory_max_bytes",
            Kind::Gauge,
            "Maximum amount of virtual memory available in bytes.",
        ),
        |process| limit(process.limits().ok()?.max_address_space.soft_limit),
    ),
    (
        metric(
            "process_resident_memory_bytes",
            Kind::Gauge,
            "Resident memory size in bytes.",
        ),
        |process| float(process.stat().ok()?.rss_bytes().get()),
    ),
    (
        metric(
            "process_start_time_seconds",
            Kind::Gauge,
            "Start time of the process since unix epoch in seconds.",
        ),
        |process| {
            let booted = float(procfs::boot_time_secs().ok()?)?;
            let started = float(process.stat().ok()?.starttime)? / ticks_per_second();
            Some(booted + started)
        },
    ),
    (
        metric(
            "process_network_receive_bytes_total",
            Kind::Counter,
            "Number of bytes received by the process over the network.",
        ),
        |process| network(process).map(|(received, _)| received),
    ),
    (
        metric(
            "process_network_transmit_bytes_total",
            Kind::Counter,
            "Number of bytes sent by the process over the network.",
        ),
        |process| network(process).map(|(_, sent)| sent),
    ),
];

const fn metric(name: &'static str, kind: Kind, help: &'static str) -> Metric {
    Metric {
        name,
        kind,
        labels: &[],
        help,
    }
}

/// The samples of this process.
#[derive(Debug)]
pub struct ProcessCollector(pub(super) Format);

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Ok(process) = Process::myself() else {
            return Ok(());
        };
        for (metric, read) in PROCESS_METRICS {
            if let Some(value) = read(&process) {
                Family::describe(&mut encoder, metric, self.0)?.value(value)?;
            }
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "samples are 64-bit floats")]
#[expect(clippy::unnecessary_wraps, reason = "reads well in the table")]
fn float(value: u64) -> Option<f64> {
    Some(value as f64)
}

#[expect(clippy::cast_precision_loss, reason = "100 on every Linux")]
fn ticks_per_second() -> f64 {
    procfs::ticks_per_second() as f64
}

/// No limit is shown as the largest value, as the other clients do.
#[expect(clippy::cast_precision_loss, reason = "samples are 64-bit floats")]
fn limit(limit: LimitValue) -> Option<f64> {
    match limit {
        LimitValue::Value(value) => float(value),
        LimitValue::Unlimited => Some(u64::MAX as f64),
    }
}

/// Received and sent bytes of the process's network namespace, the figures that Go's client gives too.
fn network(process: &Process) -> Option<(f64, f64)> {
    let devices = process.dev_status().ok()?;
    let sum =
        |bytes: fn(&procfs::net::DeviceStatus) -> u64| float(devices.values().map(bytes).sum());
    Some((
        sum(|device| device.recv_bytes)?,
        sum(|device| device.sent_bytes)?,
    ))
}
