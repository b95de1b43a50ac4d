//! Facts about this process where there is no `/proc` as on Linux: those that the standard library can find out.
//! Memory and traffic would need calls of the system for which there is no safe library.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// Unix seconds of the first look at it, which [`note_start`] takes.
static START: LazyLock<Option<f64>> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_secs_f64())
});

/// Notes the present as the start of this process. Later calls change nothing.
pub fn note_start() {
    LazyLock::force(&START);
}

/// This process. Nothing is kept from one moment to the next.
pub struct Process;

#[expect(clippy::unused_self, reason = "the same methods as on Linux")]
impl Process {
    pub fn now() -> Self {
        Self
    }

    /// Lists `/dev/fd`, which has all descriptors on macOS. FreeBSD's has three unless fdescfs is mounted.
    pub fn open_fds(&self) -> Option<f64> {
        if !cfg!(target_vendor = "apple") {
            return None;
        }
        let listed = std::fs::read_dir("/dev/fd").ok()?.count();
        // One of them is for the listing.
        u32::try_from(listed.saturating_sub(1)).ok().map(f64::from)
    }

    pub fn virtual_memory(&self) -> Option<f64> {
        None
    }

    pub fn resident_memory(&self) -> Option<f64> {
        None
    }

    pub fn start_time(&self) -> Option<f64> {
        *START
    }

    pub fn bytes_received(&self) -> Option<f64> {
        None
    }

    pub fn bytes_sent(&self) -> Option<f64> {
        None
    }
}
