//! How many calls may be in flight.

use std::time::Duration;

/// What the vendor gives as the longest `getLiveServiceInfo`.
const SLOW_CALL: Duration = Duration::from_secs(15);
/// The first round is to be over within this time, half of what is promised for fleets up to 50.
const FIRST_ROUND: Duration = Duration::from_secs(30);
/// The most places that the size of a fleet alone asks for.
const MOST: usize = 128;

/// Places for calls in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Over all VPSes.
    pub all: usize,
    /// Of these, for calls whose last attempt timed out.
    pub slow: usize,
}

impl Places {
    /// Exactly `all` places, at least one; a quarter of them for the slow.
    #[must_use]
    pub fn fixed(all: usize) -> Self {
        let all = all.max(1);
        Self {
            all,
            slow: (all / 4).max(1),
        }
    }

    /// Enough for the first round to be over in time, and for every live call to take as long as the vendor says it may.
    #[must_use]
    pub fn for_fleet(vps: usize, live_interval: Duration) -> Self {
        let within = |interval: Duration| {
            let calls = u128::try_from(vps).unwrap_or(u128::MAX);
            let places =
                (calls.saturating_mul(SLOW_CALL.as_millis())).div_ceil(interval.as_millis().max(1));
            usize::try_from(places).unwrap_or(MOST)
        };
        // At most one call a VPS is in flight, so more places than VPSes are of no use.
        let first_round = within(FIRST_ROUND).min(25);
        Self::fixed(within(live_interval).max(first_round).clamp(4, MOST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifty_vpses_can_be_tried_in_half_a_minute_when_every_call_takes_15_seconds() {
        let places = Places::for_fleet(50, Duration::from_secs(120));
        assert_eq!(places, Places { all: 25, slow: 6 });
    }

    #[test]
    fn places_follow_the_fleet_and_the_interval_within_bounds() {
        let all = |vps, seconds| Places::for_fleet(vps, Duration::from_secs(seconds)).all;
        assert_eq!(all(1, 120), 4);
        assert_eq!(all(300, 120), 38);
        assert_eq!(all(100_000, 30), MOST);
    }

    #[test]
    fn one_place_is_enough_for_fast_and_slow() {
        assert_eq!(Places::fixed(0), Places { all: 1, slow: 1 });
    }
}
