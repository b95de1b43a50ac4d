//! The clocks. Callers read them once and pass the result to the pure modules.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::units::{AccountTime, UnixSeconds};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Monotonic time since [`BEFORE_START`] before the process started, for ages and due times.
    pub elapsed: Duration,
    /// The wall clock, for exported timestamps and comparisons with timestamps of the API.
    pub unix: UnixSeconds,
}

/// Maximum age of restored state at the start of the process.
pub const BEFORE_START: Duration = Duration::from_secs(48 * 3600);

/// Monotonic and wall clock, and the clock of the account, which runs faster with the simulator.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    scale: f64,
}

impl Clock {
    /// Starts a clock.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
            scale: 1.0,
        }
    }

    /// Lets the time of the account run `scale` times as fast as the monotonic clock. Intervals and points are counted
    /// in the time of the account.
    #[must_use]
    pub const fn scaled(self, scale: f64) -> Self {
        Self { scale, ..self }
    }

    /// Converts monotonic time to the time of the account.
    #[must_use]
    pub fn to_account_time(&self, elapsed: Duration) -> AccountTime {
        AccountTime::new(self.to_account_interval(elapsed))
    }

    /// Converts a time of the account to monotonic time.
    #[must_use]
    pub fn to_elapsed(&self, at: AccountTime) -> Duration {
        self.to_real_interval(at.since_zero())
    }

    /// Returns the interval that passes for the account within a real one.
    #[must_use]
    pub fn to_account_interval(&self, interval: Duration) -> Duration {
        interval.mul_f64(self.scale)
    }

    /// Returns the real interval within which one of the account passes.
    #[must_use]
    pub fn to_real_interval(&self, interval: Duration) -> Duration {
        interval.div_f64(self.scale)
    }

    /// Reads both clocks.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment {
            elapsed: BEFORE_START + self.start.elapsed(),
            unix: UnixSeconds(
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0.0, |since| since.as_secs_f64()),
            ),
        }
    }
}
