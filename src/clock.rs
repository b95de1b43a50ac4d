//! Time as the pure parts take it: read once at the edge, then passed in.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Since the process started, from a clock that never steps: ages and due times.
    pub elapsed: Duration,
    /// Unix seconds of the wall clock: what is exported, and what the API's own timestamps are compared with.
    pub unix: f64,
}

/// Reads the clocks of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock whose `elapsed` starts now.
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
            elapsed: self.start.elapsed(),
            unix: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0.0, |since| since.as_secs_f64()),
        }
    }
}
