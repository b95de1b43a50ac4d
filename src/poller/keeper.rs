//! When the state file is written: before the calls that it accounts for are sent, and before counters that are in it
//! are shown.

use std::path::Path;
use std::time::Duration;

use super::state_file::{State, StateFile};
use crate::clock::{Clock, Moment};

/// Calls that are due this much later are written as made, at least and at most.
const LEAST_AHEAD: Duration = Duration::from_millis(500);
const MOST_AHEAD: Duration = Duration::from_secs(10);

/// Keeps a state file up to date.
pub(super) struct Keeper {
    file: StateFile,
    /// How long the last write took.
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

    /// How far ahead a write looks: often enough to promise little, seldom enough to take a hundredth of the time.
    pub(super) fn ahead(&self) -> Duration {
        (self.writing * 100).clamp(LEAST_AHEAD, MOST_AHEAD)
    }

    /// Usage rows were counted that are not in the file yet.
    pub(super) const fn usage_counted(&mut self) {
        self.usage_waits = true;
    }

    /// When the file is to be written because of the counters.
    pub(super) fn usage_due(&self) -> Option<Duration> {
        self.usage_waits.then(|| self.written + self.ahead())
    }

    pub(super) fn usage_is_due(&self, now: Moment) -> bool {
        self.usage_due().is_some_and(|due| due <= now.elapsed)
    }

    /// Writes the file. One that can not be written must not stop the polling: it is said, and the old file stays.
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
        tracing::error!(file = %self.path().display(), %error, "the state file could not be written: a restart would not know of the calls made and the rows counted since");
    }
}
