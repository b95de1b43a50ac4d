//! Limits of the calls in flight.

use std::time::Duration;

/// Longest duration of `getLiveServiceInfo` according to the vendor.
const SLOW_CALL: Duration = Duration::from_secs(15);
/// Minimum number of slots: one for each VPS, up to half of 50 VPSes, whose first round takes at most 30 s then, and a few
/// more. An unresponsive VPS may occupy two slots.
const FIRST_ROUND: usize = 25;
const SPARE: usize = 3;
/// Maximum number of slots that are derived from the size of a fleet.
const MAX_FOR_FLEET: usize = 128;

/// Slots for calls in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// Slots for all calls.
    pub all: usize,
    /// Maximum number of slots in use by slow calls.
    pub slow: usize,
}

impl Slots {
    /// Returns `all` slots, at least one. A quarter of them may be used by slow calls.
    #[must_use]
    pub fn fixed(all: usize) -> Self {
        let all = all.max(1);
        Self {
            all,
            slow: (all / 4).max(1),
        }
    }

    /// Returns enough slots for a short first round and for live calls of the longest duration.
    #[must_use]
    pub fn for_fleet(vps: usize, live_interval: Duration) -> Self {
        let within = |interval: Duration| {
            let calls = u128::try_from(vps).unwrap_or(u128::MAX);
            let slots =
                (calls.saturating_mul(SLOW_CALL.as_millis())).div_ceil(interval.as_millis().max(1));
            usize::try_from(slots).unwrap_or(MAX_FOR_FLEET)
        };
        let first_round = vps.min(FIRST_ROUND) + SPARE;
        Self::fixed(within(live_interval).clamp(first_round, MAX_FOR_FLEET))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_allow_50_calls_of_15_seconds_in_half_a_minute() {
        let slots = Slots::for_fleet(50, Duration::from_secs(120));
        assert_eq!(slots, Slots { all: 28, slow: 7 });
    }

    #[test]
    fn slots_grow_with_the_fleet_and_shrink_with_the_interval_within_bounds() {
        let all = |vps, seconds| Slots::for_fleet(vps, Duration::from_secs(seconds)).all;
        assert_eq!(all(1, 120), 4);
        assert_eq!(all(8, 120), 11);
        assert_eq!(all(300, 120), 38);
        assert_eq!(all(100_000, 30), MAX_FOR_FLEET);
    }

    #[test]
    fn there_is_at_least_one_slot_even_for_slow_calls() {
        assert_eq!(Slots::fixed(0), Slots { all: 1, slow: 1 });
    }
}
