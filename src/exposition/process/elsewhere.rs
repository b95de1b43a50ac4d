//! Facts about this process on systems without Linux's `/proc`, from the standard library. Memory and traffic would
//! need system calls for which there is no safe library.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// Unix seconds of the first access, made by [`note_start`].
static START: LazyLock<Option<f64>> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_secs_f64())
});

/// Records the current time as the start of this process. Later calls have no effect.
pub fn note_start() {
    LazyLock::force(&START);
}

/// This process. Values are not cached.
pub struct Process;

#[expect(clippy::unused_self, reason = "the same methods as on Linux")]
impl Process {
    pub fn now() -> Self {
        Self
    }

    /// Counts `/dev/fd`, which lists all descriptors on macOS. On FreeBSD it lists three unless fdescfs is mounted.
    pub fn open_fds(&self) -> Option<f64> {
        if !cfg!(target_vendor = "apple") {
            return None;
        }
        let listed = std::fs::read_dir("/dev/fd").ok()?.count();
        // One descriptor is that of the listing.
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
