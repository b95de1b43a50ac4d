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
}

impl Keeper {
    pub(super) fn new(file: StateFile) -> Self {
        Self {
            file,
            writing: Duration::ZERO,
            written: Duration::ZERO,
            usage_waits: false,
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

    /// Writes the file. A failure must not stop the polling: it is logged, and the old file stays.
    pub(super) async fn write(&mut self, state: State, clock: Clock) {
        let (file, begun) = (self.file.clone(), clock.now().elapsed);
        let written = tokio::task::spawn_blocking(move || file.write(&state)).await;
        self.written = clock.now().elapsed;
        self.writing = self.written.saturating_sub(begun);
        self.usage_waits = false;
        let error = match written {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::error!(file = %self.path().display(), %error, "the state file could not be written: a restart would lose the usage rows counted since the last write");
    }
}
