//! When the state file is written: once a minute, soon after usage rows were counted, and at the end.

use std::path::Path;
use std::time::Duration;

use super::state_file::{State, StateFile};
use crate::clock::{Clock, Moment};

/// The file is written at least this often. A restart that loses a minute of due times and spending costs a few calls:
/// the next reading shows the points that are left.
const EVERY: Duration = Duration::from_secs(60);
/// Counted usage rows wait for a write no longer than this, and no shorter than a hundred times as long as a write
/// takes, so that writing takes a hundredth of the time at most.
const LEAST_WAIT: Duration = Duration::from_millis(500);
const MOST_WAIT: Duration = Duration::from_secs(10);

/// Keeps a state file up to date.
pub(super) struct Keeper {
    file: StateFile,
    /// The duration of the last write.
    writing: Duration,
    written: Duration,
    /// Usage rows were counted since.
    usage_waits: bool,
    failing: bool,
}

impl Keeper {
    pub(super) fn new(file: StateFile) -> Self {
        Self {
            file,
            writing: Duration::ZERO,
            written: Duration::ZERO,
            usage_waits: false,
            failing: false,
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Usage rows were counted that are not in the file yet.
    pub(super) const fn usage_counted(&mut self) {
        self.usage_waits = true;
    }

    /// The time of the next write.
    pub(super) fn due(&self) -> Duration {
        let wait = if self.usage_waits {
            (self.writing * 100).clamp(LEAST_WAIT, MOST_WAIT)
        } else {
            EVERY
        };
        self.written + wait
    }

    pub(super) fn is_due(&self, now: Moment) -> bool {
        self.due() <= now.elapsed
    }

    /// Writes the file, and returns true on success. A failure must not stop the polling: it is logged when it begins and
    /// when it ends, and the old file stays.
    pub(super) async fn write(&mut self, state: State, clock: Clock) -> bool {
        let (file, begun) = (self.file.clone(), clock.now().elapsed);
        let written = tokio::task::spawn_blocking(move || file.write(&state)).await;
        self.written = clock.now().elapsed;
        self.writing = self.written.saturating_sub(begun);
        self.usage_waits = false;
        let error = match written {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        let failed_before = std::mem::replace(&mut self.failing, error.is_some());
        let file = self.path().display();
        match &error {
            Some(error) if !failed_before => {
                tracing::error!(%file, %error, "the state file cannot be written: a restart would lose what came since the last write; trying again every minute");
            }
            None if failed_before => tracing::info!(%file, "the state file is written again"),
            _ => {}
        }
        error.is_none()
    }
}
