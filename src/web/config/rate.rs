//! `rate_limit`: how often all clients together may ask.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use figment::value::{Dict, Value};

use crate::config::{Reader, duration, whole};

const SECTION: &str = "rate_limit";
/// The longest duration of Go.
const LONGEST: Duration = Duration::from_nanos(i64::MAX.unsigned_abs());

/// A bucket of tokens: a request takes one, each interval brings one, `burst` is the most there are.
#[derive(Debug)]
pub struct RateLimit {
    interval: Duration,
    burst: u32,
    /// When the bucket will be, or was, full.
    full: Mutex<Instant>,
}

impl RateLimit {
    /// Takes a token, if there is one.
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

/// The limit, unless there is none or its interval is 0.
pub fn rate_limit(reader: &mut Reader, top: &Dict) -> Option<RateLimit> {
    let section = reader.section(top.get(SECTION), SECTION, &["interval", "burst"]);
    let interval = |value: &Value| match whole(value) {
        // The toolkit takes a bare number for nanoseconds, which nobody means.
        Some(number) => (number == 0).then_some(Duration::ZERO),
        None => duration(value).filter(|interval| *interval <= LONGEST),
    };
    let expected = "a duration such as 1s or 100ms, 292 years at most, or 0 for no limit";
    let interval = reader.read(&section, SECTION, "interval", expected, interval);
    let burst = reader.read(&section, SECTION, "burst", "a whole number", |value| {
        // A larger one makes no difference: so many requests do not come.
        whole(value).map(|burst| u32::try_from(burst).unwrap_or(u32::MAX))
    });
    let interval = interval.filter(|interval| !interval.is_zero())?;
    // One that cannot be read has been reported.
    let burst = burst
        .or(section.contains_key("burst").then_some(1))
        .unwrap_or_default();
    if burst == 0 {
        reader.problem(
            "rate_limit.burst",
            "must be 1 or more: with 0 no request at all would be answered",
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
    fn a_burst_is_answered_and_then_one_request_an_interval() {
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
