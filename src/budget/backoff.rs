//! Waits after failures.

use std::time::Duration;

use crate::kiwivm::{Call, Reason};

/// Pause after a refused key. A key does not recover by itself, and every attempt costs points.
pub const AUTHENTICATION_PAUSE: Duration = Duration::from_secs(60 * 60);

/// Upper bounds of a backoff: this time, unless the interval itself is longer, and this number of intervals.
const MAX_WAIT: Duration = Duration::from_secs(15 * 60);
const MAX_INTERVALS: u32 = 8;
/// Maximum number of intervals during a lock, an outage or refusals. They end in minutes, and data should be fresh soon
/// after. After refusals, longer intervals slow down the whole quota.
const MAX_INTERVALS_OUTAGE: u32 = 2;
/// First wait after a failed connection. These are short, because a failed connection costs no points.
const UNREACHABLE: Duration = Duration::from_secs(5);
/// Maximum wait after failed connections.
const MAX_UNREACHABLE: Duration = Duration::from_secs(20);
/// First wait after an error response or an unusable reading.
const FAILED: Duration = Duration::from_secs(30);

/// Returns the wait before a retry after `failures` consecutive failures (1 or more), the last for `reason`. It doubles
/// from a few seconds to a few intervals. `jitter`, from 0 to 1, shortens it by up to a fifth, to spread the retries of
/// VPSes that failed together.
#[must_use]
pub fn wait(
    call: Call,
    reason: Reason,
    failures: u32,
    interval: Duration,
    jitter: f64,
) -> Duration {
    let (first, max_intervals) = match reason {
        Reason::Auth => return AUTHENTICATION_PAUSE.mul_f64(shortened(jitter)),
        Reason::Connect | Reason::Tls => {
            let doubled = UNREACHABLE * 2_u32.pow(failures.saturating_sub(1).min(3));
            let wait = doubled.min(MAX_UNREACHABLE).min(interval);
            return wait.mul_f64(shortened(jitter));
        }
        Reason::Locked | Reason::Timeout | Reason::HttpStatus | Reason::NotJson => {
            (FAILED, MAX_INTERVALS_OUTAGE)
        }
        Reason::RateLimited => (interval, MAX_INTERVALS_OUTAGE),
        _ => (FAILED, MAX_INTERVALS),
    };
    // The planner retries failed readings earlier, on another VPS or after half a minute.
    let first = if call == Call::RateLimitStatus {
        first.max(interval)
    } else {
        first.min(interval)
    };
    let longest = interval
        .saturating_mul(max_intervals)
        .min(MAX_WAIT.max(interval))
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
    fn unreachable_api_is_retried_within_seconds_and_then_less_often() {
        assert_eq!(
            waits(LIVE, Reason::Connect, INTERVAL),
            [5, 10, 20, 20, 20, 20]
        );
    }

    #[test]
    fn waits_double_up_to_a_few_intervals() {
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
            [120, 240, 240, 240, 240, 240]
        );
    }

    #[test]
    fn first_wait_does_not_exceed_a_short_interval() {
        let interval = Duration::from_secs(10);
        assert_eq!(
            waits(LIVE, Reason::Locked, interval),
            [10, 20, 20, 20, 20, 20]
        );
    }

    #[test]
    fn readings_wait_at_least_an_interval() {
        let reading = Call::RateLimitStatus;
        let short = Duration::from_secs(10);
        assert_eq!(
            waits(reading, Reason::BadShape, short),
            [30, 60, 80, 80, 80, 80]
        );
        assert_eq!(waits(reading, Reason::BadShape, INTERVAL)[0], 120);
    }

    #[test]
    fn refused_key_pauses_for_an_hour_and_jitter_shortens_by_a_fifth() {
        assert_eq!(
            wait(LIVE, Reason::Auth, 1, INTERVAL, 0.0),
            AUTHENTICATION_PAUSE
        );
        assert_eq!(wait(LIVE, Reason::Timeout, 1, INTERVAL, 7.0).as_secs(), 24);
    }
}
