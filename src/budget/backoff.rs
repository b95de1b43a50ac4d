//! How long to wait after a failure.

use std::time::Duration;

use crate::kiwivm::Reason;

/// After a refused key: it does not heal by itself, and asking costs points.
pub const AUTHENTICATION_PAUSE: Duration = Duration::from_secs(60 * 60);

/// A backoff does not grow beyond this, nor beyond [`MOST_INTERVALS`], unless the interval itself is longer.
const LONGEST: Duration = Duration::from_secs(15 * 60);
const MOST_INTERVALS: u32 = 8;
/// A lock ends in minutes and its progress is of interest. An API that can not be reached costs no points, and when it
/// comes back data are to be fresh soon.
const MOST_INTERVALS_AWAY: u32 = 2;

/// The wait before a call is repeated after `failures` failures in a row (1 or more), the last for `reason`.
/// `jitter` is from 0 to 1 and shortens the wait by up to a fifth, so that VPSes that failed together part.
#[must_use]
pub fn wait(reason: Reason, failures: u32, interval: Duration, jitter: f64) -> Duration {
    let wait = match reason {
        Reason::Auth => AUTHENTICATION_PAUSE,
        Reason::Locked
        | Reason::Connect
        | Reason::Tls
        | Reason::Timeout
        | Reason::HttpStatus
        | Reason::NotJson => doubled(failures, interval, MOST_INTERVALS_AWAY),
        _ => doubled(failures, interval, MOST_INTERVALS),
    };
    wait.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 5.0)
}

fn doubled(failures: u32, interval: Duration, most_intervals: u32) -> Duration {
    let factor = 1_u32
        .checked_shl(failures.saturating_sub(1))
        .unwrap_or(u32::MAX)
        .min(most_intervals);
    interval.saturating_mul(factor).min(LONGEST.max(interval))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(120);

    #[test]
    fn waits_double_up_to_a_quarter_of_an_hour() {
        let minutes = |failures| wait(Reason::ApiOther, failures, INTERVAL, 0.0).as_secs() / 60;
        assert_eq!([1, 2, 3, 4, 5, 40].map(minutes), [2, 4, 8, 15, 15, 15]);
    }

    #[test]
    fn short_intervals_stay_within_a_few_of_their_own() {
        let wait = wait(Reason::RateLimited, 10, Duration::from_secs(30), 0.0);
        assert_eq!(wait, Duration::from_secs(240));
    }

    #[test]
    fn an_interval_longer_than_the_longest_backoff_is_kept() {
        let hour = Duration::from_secs(3600);
        assert_eq!(wait(Reason::HttpStatus, 5, hour, 0.0), hour);
    }

    #[test]
    fn what_is_away_is_asked_for_soon_and_a_refused_key_rarely() {
        for reason in [Reason::Locked, Reason::Connect, Reason::Timeout] {
            assert_eq!(wait(reason, 9, INTERVAL, 0.0), 2 * INTERVAL);
        }
        assert_eq!(wait(Reason::Auth, 1, INTERVAL, 0.0), AUTHENTICATION_PAUSE);
    }

    #[test]
    fn jitter_shortens_by_a_fifth_at_most() {
        assert_eq!(
            wait(Reason::Timeout, 1, INTERVAL, 7.0),
            Duration::from_secs(96)
        );
    }
}
