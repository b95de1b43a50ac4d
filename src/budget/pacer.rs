//! How closely calls may follow each other.

use std::time::Duration;

use super::pace::Pace;

/// The widest gap between two calls.
const WIDEST: Duration = Duration::from_millis(125);
/// Calls may follow each other so many times as fast as they become due, to catch up.
const CATCHING_UP: f64 = 2.0;
/// So many calls may be sent at once.
const BURST: u32 = 4;

/// Spreads what is due at once after a silence, or when points come back: hundreds of calls, each with its connection,
/// are no load to put on a node or on the exporter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pacer {
    gap: Duration,
    next: Duration,
}

impl Pacer {
    /// For a fleet that wants these paces.
    #[must_use]
    pub fn new(paces: impl Iterator<Item = Pace>) -> Self {
        let rate: f64 = paces.map(|pace| pace.calls_a_second()).sum();
        let gap = Duration::try_from_secs_f64(1.0 / (CATCHING_UP * rate)).unwrap_or(WIDEST);
        Self {
            gap: gap.min(WIDEST),
            next: Duration::ZERO,
        }
    }

    /// How long the next call has to wait; zero when it may be sent now.
    #[must_use]
    pub fn wait(&self, now: Duration) -> Duration {
        self.next.saturating_sub(now)
    }

    /// A call is sent.
    pub fn sent(&mut self, now: Duration) {
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
        let (mut now, mut sent) = (Duration::from_secs(1000), 0);
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
    fn what_is_due_at_once_goes_out_twice_as_fast_as_it_becomes_due() {
        // 1000 VPSes make 30 calls a second.
        let sent = sent_within(1000, Duration::from_secs(10));
        assert!((600..=600 + BURST).contains(&sent), "{sent}");
    }

    #[test]
    fn a_small_fleet_does_not_wait_for_its_calls() {
        assert_eq!(sent_within(1, Duration::from_millis(1)), BURST);
        let sent = sent_within(1, Duration::from_secs(1));
        assert!((8..=8 + BURST).contains(&sent), "{sent}");
    }
}
