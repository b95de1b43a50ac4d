//! Time as the pure parts take it: read once at the edge, then passed in.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Since [`BEFORE_START`] before the process started, from a clock that never steps: ages and due times.
    pub elapsed: Duration,
    /// Unix seconds of the wall clock: what is exported, and what the API's own timestamps are compared with.
    pub unix: f64,
}

/// What is remembered from before the start of the process can be this old.
pub const BEFORE_START: Duration = Duration::from_secs(48 * 3600);

/// Reads the clocks of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// Both clocks, now.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment {
            elapsed: BEFORE_START + self.start.elapsed(),
            unix: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0.0, |since| since.as_secs_f64()),
        }
    }
}
