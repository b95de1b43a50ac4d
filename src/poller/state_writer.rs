//! Writes the state file once a minute, soon after usage rows were counted, and at shutdown.

use std::path::Path;
use std::time::Duration;

use super::state_file::{State, StateFile};
use crate::clock::{Clock, Moment};

/// Interval between writes. A crash that loses a minute of due times and spending costs a few calls at most, because
/// the next reading shows the remaining points.
const INTERVAL: Duration = Duration::from_secs(60);
/// Bounds of the wait before counted usage rows are written. In between, the wait is 100 times the duration of the last
/// write, so that writing takes at most 1 % of the time.
const MIN_USAGE_WAIT: Duration = Duration::from_millis(500);
const MAX_USAGE_WAIT: Duration = Duration::from_secs(10);

/// Decides when the state file is due and writes it.
pub(super) struct StateWriter {
    file: StateFile,
    /// Duration of the last write.
    write_duration: Duration,
    last_write: Duration,
    /// True if usage rows were counted since the last write.
    usage_pending: bool,
    failing: bool,
}

impl StateWriter {
    pub(super) fn new(file: StateFile) -> Self {
        Self {
            file,
            write_duration: Duration::ZERO,
            last_write: Duration::ZERO,
            usage_pending: false,
            failing: false,
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Notes that usage rows were counted that are not in the file yet.
    pub(super) const fn usage_counted(&mut self) {
        self.usage_pending = true;
    }

    /// Returns the time of the next write.
    pub(super) fn due(&self) -> Duration {
        let wait = if self.usage_pending {
            (self.write_duration * 100).clamp(MIN_USAGE_WAIT, MAX_USAGE_WAIT)
        } else {
            INTERVAL
        };
        self.last_write + wait
    }

    pub(super) fn is_due(&self, now: Moment) -> bool {
        self.due() <= now.elapsed
    }

    /// Writes the file and returns true on success. On failure the old file stays and polling continues. The first
    /// failure and the recovery are logged.
    pub(super) async fn write(&mut self, state: State, clock: Clock) -> bool {
        let (file, started) = (self.file.clone(), clock.now().elapsed);
        let written = tokio::task::spawn_blocking(move || file.write(&state)).await;
        self.last_write = clock.now().elapsed;
        self.write_duration = self.last_write.saturating_sub(started);
        self.usage_pending = false;
        let error = match written {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        let failed_before = std::mem::replace(&mut self.failing, error.is_some());
        let file = self.path().display();
        match &error {
            Some(error) if !failed_before => {
                tracing::error!(%file, %error, "the state file cannot be written; a restart would lose changes since the last write; retrying every minute");
            }
            None if failed_before => tracing::info!(%file, "the state file can be written again"),
            _ => {}
        }
        error.is_none()
    }
}
