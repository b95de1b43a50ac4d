//! The wait after a failure.

use std::time::Duration;

use crate::kiwivm::{Call, Reason};

/// After a refused key: it does not heal by itself, and every try costs points.
pub const AUTHENTICATION_PAUSE: Duration = Duration::from_secs(60 * 60);

/// A backoff does not grow beyond this, nor beyond a few intervals, unless the interval itself is longer.
const LONGEST: Duration = Duration::from_secs(15 * 60);
const MOST_INTERVALS: u32 = 8;
/// A lock or an outage ends in minutes, and data should be fresh soon after it.
const MOST_INTERVALS_AWAY: u32 = 2;
/// The first wait while no connection comes about, which costs no points.
const UNREACHABLE: Duration = Duration::from_secs(5);
/// and the longest one.
const LONGEST_UNREACHABLE: Duration = Duration::from_secs(20);
/// The first wait after a response that is a failure, or after a reading that says nothing.
const FAILED: Duration = Duration::from_secs(30);

/// The wait before a call is repeated after `failures` failures in a row (1 or more), the last for `reason`. It doubles
/// from a few seconds to a few intervals. `jitter` is from 0 to 1 and shortens the wait by up to a fifth, so that VPSes
/// that failed together part.
#[must_use]
pub fn wait(
    call: Call,
    reason: Reason,
    failures: u32,
    interval: Duration,
    jitter: f64,
) -> Duration {
    let (first, most) = match reason {
        Reason::Auth => return AUTHENTICATION_PAUSE.mul_f64(shortened(jitter)),
        Reason::Connect | Reason::Tls => {
            let doubled = UNREACHABLE * 2_u32.pow(failures.saturating_sub(1).min(3));
            let wait = doubled.min(LONGEST_UNREACHABLE).min(interval);
            return wait.mul_f64(shortened(jitter));
        }
        Reason::Locked | Reason::Timeout | Reason::HttpStatus | Reason::NotJson => {
            (FAILED, MOST_INTERVALS_AWAY)
        }
        Reason::RateLimited => (interval, MOST_INTERVALS),
        _ => (FAILED, MOST_INTERVALS),
    };
    // A quota whose reading failed asks another VPS, or the same one from half a minute on.
    let first = if call == Call::RateLimitStatus {
        first.max(interval)
    } else {
        first.min(interval)
    };
    let longest = interval
        .saturating_mul(most)
        .min(LONGEST.max(interval))
        .max(first);
    let factor = 1_u32
        .checked_shl(failures.saturating_sub(1))
        .unwrap_or(u32::MAX);
    first
        .saturating_mul(factor)
        .min(longest)
        .mul_f64(shortened(jitter))
}

fn shortened(jitter: f64) -> f64 {
    1.0 - jitter.clamp(0.0, 1.0) / 5.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(120);
    const LIVE: Call = Call::LiveServiceInfo;

    fn waits(call: Call, reason: Reason, interval: Duration) -> [u64; 6] {
        [1, 2, 3, 4, 5, 40].map(|failures| wait(call, reason, failures, interval, 0.0).as_secs())
    }

    #[test]
    fn an_unreachable_api_is_retried_within_seconds_and_then_less_often() {
        assert_eq!(
            waits(LIVE, Reason::Connect, INTERVAL),
            [5, 10, 20, 20, 20, 20]
        );
    }

    #[test]
    fn failures_double_up_to_some_intervals() {
        assert_eq!(
            waits(LIVE, Reason::HttpStatus, INTERVAL),
            [30, 60, 120, 240, 240, 240]
        );
        assert_eq!(
            waits(LIVE, Reason::ApiOther, INTERVAL),
            [30, 60, 120, 240, 480, 900]
        );
        assert_eq!(
            waits(LIVE, Reason::RateLimited, INTERVAL),
            [120, 240, 480, 900, 900, 900]
        );
    }

    #[test]
    fn a_short_interval_is_never_exceeded_at_first() {
        let interval = Duration::from_secs(10);
        assert_eq!(
            waits(LIVE, Reason::Locked, interval),
            [10, 20, 20, 20, 20, 20]
        );
    }

    #[test]
    fn a_reading_waits_for_its_turn() {
        let reading = Call::RateLimitStatus;
        let short = Duration::from_secs(10);
        assert_eq!(
            waits(reading, Reason::BadShape, short),
            [30, 60, 80, 80, 80, 80]
        );
        assert_eq!(waits(reading, Reason::BadShape, INTERVAL)[0], 120);
    }

    #[test]
    fn a_refused_key_pauses_for_an_hour_and_jitter_shortens_by_a_fifth() {
        assert_eq!(
            wait(LIVE, Reason::Auth, 1, INTERVAL, 0.0),
            AUTHENTICATION_PAUSE
        );
        assert_eq!(wait(LIVE, Reason::Timeout, 1, INTERVAL, 7.0).as_secs(), 24);
    }
}
