//! The nine standard `process_*` metrics, read when a page is rendered. A metric has no sample if the system does not
//! provide its value; only Linux provides all nine.

#[cfg_attr(target_os = "linux", path = "process/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "process/elsewhere.rs")]
mod source;

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::catalogue::{Kind, Metric};
use super::format::Format;
use super::series::Family;
use source::Process;
pub use source::note_start;

/// Reads a value; `None` if it is not available.
type Read = fn(&Process) -> Option<f64>;

/// The metrics of this file.
pub const PROCESS_METRICS: &[(Metric, Read)] = &[
    (
        metric(
            "process_cpu_seconds_total",
            Kind::Counter,
            "Total user and system CPU time spent in seconds.",
        ),
        |_| Some(cpu_seconds()),
    ),
    (
        metric(
            "process_open_fds",
            Kind::Gauge,
            "Number of open file descriptors.",
        ),
        Process::open_fds,
    ),
    (
        metric(
            "process_max_fds",
            Kind::Gauge,
            "Maximum number of open file descriptors.",
        ),
        |_| Some(limit(Resource::Nofile)),
    ),
    (
        metric(
            "process_virtual_memory_bytes",
            Kind::Gauge,
            "Virtual memory size in bytes.",
        ),
        Process::virtual_memory,
    ),
    (
        metric(
            "process_virtual_memory_max_bytes",
            Kind::Gauge,
            "Maximum amount of virtual memory available in bytes.",
        ),
        |_| Some(limit(Resource::As)),
    ),
    (
        metric(
            "process_resident_memory_bytes",
            Kind::Gauge,
            "Resident memory size in bytes.",
        ),
        Process::resident_memory,
    ),
    (
        metric(
            "process_start_time_seconds",
            Kind::Gauge,
            "Start time of the process since unix epoch in seconds.",
        ),
        Process::start_time,
    ),
    (
        metric(
            "process_network_receive_bytes_total",
            Kind::Counter,
            "Number of bytes received by the process over the network.",
        ),
        Process::bytes_received,
    ),
    (
        metric(
            "process_network_transmit_bytes_total",
            Kind::Counter,
            "Number of bytes sent by the process over the network.",
        ),
        Process::bytes_sent,
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
        let process = Process::now();
        for (metric, read) in PROCESS_METRICS {
            if let Some(value) = read(&process) {
                Family::describe(&mut encoder, metric, self.0)?.value(value)?;
            }
        }
        Ok(())
    }
}

/// CPU time of this process in seconds, in user and kernel mode.
#[expect(clippy::cast_precision_loss, reason = "samples are 64-bit floats")]
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The soft limit. No limit is exported as the largest value, as other Prometheus clients do.
#[expect(clippy::cast_precision_loss, reason = "samples are 64-bit floats")]
fn limit(resource: Resource) -> f64 {
    getrlimit(resource).current.unwrap_or(u64::MAX) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_has_a_sample_if_the_system_provides_it() {
        note_start();
        let process = Process::now();
        for (metric, read) in PROCESS_METRICS {
            let everywhere = matches!(
                metric.name,
                "process_cpu_seconds_total"
                    | "process_max_fds"
                    | "process_virtual_memory_max_bytes"
                    | "process_start_time_seconds"
            );
            let value = read(&process);
            if everywhere || cfg!(target_os = "linux") {
                assert!(value.is_some_and(|value| value >= 0.0), "{}", metric.name);
            }
        }
    }
}
