//! Detects a poller loop that hangs or has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Maximum time between two iterations. The poller replans every minute, so it iterates at least as often.
const LONGEST_PAUSE: Duration = Duration::from_secs(3 * 60);

/// Time of the last iteration of the poller loop, shared with the health checks.
#[derive(Clone, Debug, Default)]
pub struct Heartbeat(Arc<AtomicU64>);

impl Heartbeat {
    /// Records an iteration at `now`, an elapsed time of [`crate::clock::Moment`].
    pub fn beat(&self, now: Duration) {
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.0.store(millis, Ordering::Relaxed);
    }

    /// Returns false if the last iteration was minutes ago: the loop hangs or has ended.
    #[must_use]
    pub fn is_alive(&self, now: Duration) -> bool {
        let last = Duration::from_millis(self.0.load(Ordering::Relaxed));
        now.saturating_sub(last) < LONGEST_PAUSE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detects_a_poller_that_hangs_but_not_one_that_waits() {
        let heartbeat = Heartbeat::default();
        let at = Duration::from_secs;
        heartbeat.beat(at(1000));
        assert!(heartbeat.is_alive(at(1000)) && heartbeat.is_alive(at(1061)));
        assert!(!heartbeat.clone().is_alive(at(1180)));
        heartbeat.beat(at(1180));
        assert!(heartbeat.is_alive(at(1180)));
    }
}
