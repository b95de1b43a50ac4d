//! `rate_limit`: limits the requests of all clients together.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use figment::value::{Dict, Value};

use crate::config::{Reader, duration, whole};

const SECTION: &str = "rate_limit";
/// The longest duration in Go.
const LONGEST: Duration = Duration::from_nanos(i64::MAX.unsigned_abs());

/// A token bucket. Each request takes a token, each interval adds one, up to `burst`.
#[derive(Debug)]
pub struct RateLimit {
    interval: Duration,
    burst: u32,
    /// Time at which the bucket is full again.
    full: Mutex<Instant>,
}

impl RateLimit {
    /// Takes a token if there is one.
    pub fn admits(&self, now: Instant) -> bool {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(after) = (*full).max(now).checked_add(self.interval) else {
            return false;
        };
        let admits = after.duration_since(now) <= self.interval.saturating_mul(self.burst);
        if admits {
            *full = after;
        }
        admits
    }
}

/// Reads the limit. Returns `None` without a limit or with an interval of 0.
pub fn rate_limit(reader: &mut Reader, top: &Dict) -> Option<RateLimit> {
    let section = reader.section(top.get(SECTION), SECTION, &["interval", "burst"]);
    let interval = |value: &Value| match whole(value) {
        // The toolkit reads a bare number as nanoseconds, which is never intended.
        Some(number) => (number == 0).then_some(Duration::ZERO),
        None => duration(value).filter(|interval| *interval <= LONGEST),
    };
    let expected = "a duration such as 1s or 100ms, 292 years at most, or 0 for no limit";
    let interval = reader.read(&section, SECTION, "interval", expected, interval);
    let burst = reader.read(&section, SECTION, "burst", "a whole number", |value| {
        // A larger burst makes no difference, because it is never reached.
        whole(value).map(|burst| u32::try_from(burst).unwrap_or(u32::MAX))
    });
    let interval = interval.filter(|interval| !interval.is_zero())?;
    // An invalid burst is already recorded as a problem.
    let burst = burst
        .or(section.contains_key("burst").then_some(1))
        .unwrap_or_default();
    if burst == 0 {
        reader.problem(
            "rate_limit.burst",
            "must be 1 or more; with 0 every request would be refused",
        );
    }
    Some(RateLimit {
        interval,
        burst,
        full: Mutex::new(Instant::now()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admits_a_burst_and_then_one_request_per_interval() {
        let start = Instant::now();
        let limit = RateLimit {
            interval: Duration::from_secs(2),
            burst: 3,
            full: Mutex::new(start),
        };
        let admitted = |seconds: f64| limit.admits(start + Duration::from_secs_f64(seconds));
        assert_eq!(
            [0.0, 0.0, 0.0, 0.0].map(admitted),
            [true, true, true, false]
        );
        assert_eq!([1.9, 2.0, 2.1].map(admitted), [false, true, false]);
        assert_eq!([100.0; 4].map(admitted), [true, true, true, false]);
        let largest = RateLimit {
            interval: LONGEST,
            burst: u32::MAX,
            full: Mutex::new(start),
        };
        assert!(largest.admits(start) && largest.admits(start));
    }
}
