//! Facts about this process from `/proc`.

use procfs::process::Stat;
use procfs::{ProcResult, WithCurrentSystemInfo as _};

/// A snapshot of this process.
pub struct Process {
    process: ProcResult<procfs::process::Process>,
    stat: Option<Stat>,
}

impl Process {
    pub fn now() -> Self {
        let process = procfs::process::Process::myself();
        let stat = process.as_ref().ok().and_then(|it| it.stat().ok());
        Self { process, stat }
    }

    pub fn open_fds(&self) -> Option<f64> {
        let descriptors = self.process.as_ref().ok()?.fd_count().ok()?;
        Some(float(descriptors as u64))
    }

    pub fn virtual_memory(&self) -> Option<f64> {
        Some(float(self.stat.as_ref()?.vsize))
    }

    pub fn resident_memory(&self) -> Option<f64> {
        Some(float(self.stat.as_ref()?.rss_bytes().get()))
    }

    pub fn start_time(&self) -> Option<f64> {
        let booted = float(procfs::boot_time_secs().ok()?);
        let ticks = float(self.stat.as_ref()?.starttime);
        Some(booted + ticks / float(procfs::ticks_per_second()))
    }

    pub fn bytes_received(&self) -> Option<f64> {
        self.network(|device| device.recv_bytes)
    }

    pub fn bytes_sent(&self) -> Option<f64> {
        self.network(|device| device.sent_bytes)
    }

    /// The sum over all devices of this process's network namespace, as in the Go client.
    fn network(&self, bytes: fn(&procfs::net::DeviceStatus) -> u64) -> Option<f64> {
        let devices = self.process.as_ref().ok()?.dev_status().ok()?;
        Some(float(devices.values().map(bytes).sum()))
    }
}

/// Does nothing: `/proc` reports the start time.
pub fn note_start() {}

#[expect(clippy::cast_precision_loss, reason = "samples are 64-bit floats")]
fn float(value: u64) -> f64 {
    value as f64
}
