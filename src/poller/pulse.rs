//! Whether the poller still goes round.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The poller makes a new plan every minute and so goes round at least as often.
const LONGEST_PAUSE: Duration = Duration::from_secs(3 * 60);

/// When the poller last went round; shared with those who watch over it.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// Notes that it goes round now, an elapsed time of [`crate::clock::Moment`].
    pub fn beat(&self, now: Duration) {
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.0.store(millis, Ordering::Relaxed);
    }

    /// False when it has not gone round for minutes: it hangs, or has ended.
    #[must_use]
    pub fn is_felt(&self, now: Duration) -> bool {
        let last = Duration::from_millis(self.0.load(Ordering::Relaxed));
        now.saturating_sub(last) < LONGEST_PAUSE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poller_that_hangs_is_noticed_and_one_that_waits_is_not() {
        let pulse = Pulse::default();
        let at = Duration::from_secs;
        pulse.beat(at(1000));
        assert!(pulse.is_felt(at(1000)) && pulse.is_felt(at(1061)));
        assert!(!pulse.clone().is_felt(at(1180)));
        pulse.beat(at(1180));
        assert!(pulse.is_felt(at(1180)));
    }
}
