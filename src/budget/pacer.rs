//! Limits the rate of calls.

use std::time::Duration;

use super::pace::Pace;
use crate::units::AccountTime;

/// Maximum gap between two calls that are due.
const MAX_GAP: Duration = Duration::from_millis(125);
/// Maximum rate of calls relative to the rate at which they become due.
const CATCH_UP_FACTOR: f64 = 2.0;
/// Number of calls that may be sent at once.
const BURST: u32 = 4;

/// Spreads calls that become due together, for example after a pause or when points return. Hundreds of simultaneous
/// calls, each with its own connection, would overload a node or the exporter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pacer {
    gap: Duration,
    next: AccountTime,
}

impl Pacer {
    /// Creates a pacer for the wanted paces of a fleet.
    #[must_use]
    pub fn new(paces: impl Iterator<Item = Pace>) -> Self {
        let rate: f64 = paces.map(|pace| pace.calls_a_second()).sum();
        let gap = Duration::try_from_secs_f64(1.0 / (CATCH_UP_FACTOR * rate)).unwrap_or(MAX_GAP);
        Self {
            gap: gap.min(MAX_GAP),
            next: AccountTime::ZERO,
        }
    }

    /// Returns the wait before the next call; zero if it may be sent now.
    #[must_use]
    pub fn wait(&self, now: AccountTime) -> Duration {
        self.next.since(now)
    }

    /// Records that a call is sent.
    pub fn sent(&mut self, now: AccountTime) {
        let idle = now.saturating_sub(self.gap * (BURST - 1));
        self.next = self.next.max(idle) + self.gap;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Collect;

    const PACE: Pace = Pace {
        live: Duration::from_secs(100),
        points: Duration::from_secs(100),
        usage: Duration::from_secs(100),
        inventory: Duration::from_secs(3600),
        collect: Collect::NOTHING,
    };

    fn sent_within(vps: usize, length: Duration) -> u32 {
        let mut pacer = Pacer::new(std::iter::repeat_n(PACE, vps));
        let (mut now, mut sent) = (AccountTime::from_secs(1000), 0);
        let end = now + length;
        while now < end {
            let wait = pacer.wait(now);
            if wait == Duration::ZERO {
                pacer.sent(now);
                sent += 1;
            }
            now += wait;
        }
        sent
    }

    #[test]
    fn calls_due_together_are_sent_at_twice_their_usual_rate() {
        // 1000 VPSes make 30 calls a second.
        let sent = sent_within(1000, Duration::from_secs(10));
        assert!((600..=600 + BURST).contains(&sent), "{sent}");
    }

    #[test]
    fn a_small_fleet_sends_at_least_eight_calls_a_second() {
        assert_eq!(sent_within(1, Duration::from_millis(1)), BURST);
        let sent = sent_within(1, Duration::from_secs(1));
        assert!((8..=8 + BURST).contains(&sent), "{sent}");
    }
}
