//! Writes the state file once a minute, soon after usage rows were counted, and at shutdown.
//!
//! Writes run in the background, one at a time. A disk or network share that hangs does not stop the polling.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::state_file::{State, StateFile};
use crate::clock::{Clock, Moment};
use crate::fleet::CountedUsage;

/// Interval between writes. A crash that loses a minute of due times and spending costs a few calls at most, because
/// the next reading shows the remaining points.
const INTERVAL: Duration = Duration::from_secs(60);
/// Bounds of the wait before counted usage rows are written. In between, the wait is 100 times the duration of the last
/// write, so that writing takes at most 1 % of the time.
const MIN_USAGE_WAIT: Duration = Duration::from_millis(500);
const MAX_USAGE_WAIT: Duration = Duration::from_secs(10);
/// Duration after which a write in progress counts as failed. Normal writes take milliseconds, on a busy disk a few
/// seconds.
const LONG_WRITE: Duration = Duration::from_secs(10);

/// Decides when the state file is due and writes it.
pub(super) struct StateWriter {
    file: StateFile,
    writing: Option<Writing>,
    /// Duration of the last write.
    write_duration: Duration,
    last_write: Duration,
    /// True if usage rows were counted since the beginning of the last write.
    usage_pending: bool,
    failing: bool,
}

/// A write in progress.
struct Writing {
    task: JoinHandle<io::Result<()>>,
    started: Instant,
    /// True once it has taken [`LONG_WRITE`].
    stuck: bool,
    /// The counters in the file once it is written.
    usage: CountedUsage,
}

/// An event of the write in progress.
pub(super) enum WriteEvent {
    /// The file contains these counters, to be published.
    Written(CountedUsage),
    /// The write failed and the old file stays, or the write is taking long.
    Failed,
}

impl StateWriter {
    pub(super) fn new(file: StateFile) -> Self {
        Self {
            file,
            writing: None,
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

    /// True while the write in progress is taking long.
    pub(super) fn is_stuck(&self) -> bool {
        self.writing.as_ref().is_some_and(|writing| writing.stuck)
    }

    /// Returns the time of the next write; `None` while one is in progress.
    pub(super) fn due(&self) -> Option<Duration> {
        let wait = if self.usage_pending {
            (self.write_duration * 100).clamp(MIN_USAGE_WAIT, MAX_USAGE_WAIT)
        } else {
            INTERVAL
        };
        self.writing.is_none().then_some(self.last_write + wait)
    }

    pub(super) fn is_due(&self, now: Moment) -> bool {
        self.due().is_some_and(|due| due <= now.elapsed)
    }

    /// Starts a write. `usage` are the counters in `state`. Call this only while no write is in progress.
    pub(super) fn start(&mut self, state: State, usage: CountedUsage) {
        let file = self.file.clone();
        self.usage_pending = false;
        self.writing = Some(Writing {
            task: tokio::task::spawn_blocking(move || file.write(&state)),
            started: Instant::now(),
            stuck: false,
            usage,
        });
    }

    /// Waits for the next event of the write in progress. The first failure and the recovery are logged.
    pub(super) async fn event(&mut self, clock: Clock) -> WriteEvent {
        let Some(writing) = &mut self.writing else {
            return std::future::pending().await;
        };
        let finished = if writing.stuck {
            (&mut writing.task).await
        } else if let Ok(finished) =
            timeout_at(writing.started + LONG_WRITE, &mut writing.task).await
        {
            finished
        } else {
            writing.stuck = true;
            self.failed(&format!("writing takes more than {LONG_WRITE:?}"));
            return WriteEvent::Failed;
        };
        self.last_write = clock.now().elapsed;
        self.write_duration = writing.started.elapsed();
        let stuck = writing.stuck;
        let usage = std::mem::take(&mut writing.usage);
        self.writing = None;
        let error = match finished {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = error {
            self.failed(&error);
            return WriteEvent::Failed;
        }
        if std::mem::take(&mut self.failing) {
            tracing::info!(file = %self.path().display(), "the state file can be written again");
        }
        // During a long write newer counters were published, so those in the file are out of date.
        self.usage_pending |= stuck;
        WriteEvent::Written(if stuck { Vec::new() } else { usage })
    }

    fn failed(&mut self, error: &str) {
        if !std::mem::replace(&mut self.failing, true) {
            let file = self.path().display();
            tracing::error!(%file, %error, "the state file cannot be written; a restart would lose changes since the last write; retrying every minute");
        }
    }
}

/// Waits for the next event of the write in progress, if any.
pub(super) async fn write_event(
    state_writer: &mut Option<StateWriter>,
    clock: Clock,
) -> WriteEvent {
    match state_writer {
        Some(state_writer) => state_writer.event(clock).await,
        None => std::future::pending().await,
    }
}
