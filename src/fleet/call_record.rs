//! The outcomes of one call of one VPS: counters, the planned interval and the time without success.

use std::time::Duration;

use crate::clock::Moment;
use crate::kiwivm::Reason;
use crate::units::UnixSeconds;

/// The outcomes of one call of one VPS.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallRecord {
    /// Successful calls.
    pub successes: u64,
    /// Failed calls, by [`Reason::index`]. Boxed because most calls of most VPSes never fail.
    errors: Option<Box<Errors>>,
    /// Time of the last success. A live response also counts as a success of `getServiceInfo`.
    pub last_success: Option<UnixSeconds>,
    /// The planned interval; `None` if the call is not planned.
    pub interval: Option<Duration>,
    /// The interval at the first failure since the last success.
    failing_interval: Option<Duration>,
    was_planned: bool,
    /// Monotonic start of the time without success: the last success or the first plan. Moved forward when the interval
    /// becomes shorter.
    pub(super) silent_since: Option<Duration>,
}

type Errors = [u64; Reason::ALL.len()];

impl CallRecord {
    /// Sets the planned interval. Time without success is scaled to a shorter interval: after 5 of 12 hours, a call
    /// that is now planned every hour is 5/12 of an interval late, not five intervals.
    pub(super) fn plan(&mut self, interval: Option<Duration>, now: Moment) {
        self.silent_since = match (self.interval, interval, self.silent_since) {
            (_, None, _) => None,
            (Some(before), Some(interval), Some(since)) if before > interval => {
                let silent = now.elapsed.saturating_sub(since);
                let part = interval.as_secs_f64() / before.as_secs_f64();
                Some(now.elapsed.saturating_sub(silent.mul_f64(part)))
            }
            (_, Some(_), since) => since.or(Some(now.elapsed)),
        };
        self.interval = interval;
        self.was_planned |= interval.is_some();
    }

    /// Returns the interval that determines how long data are fresh. While a call fails, a longer one, as after refused
    /// calls, does not make old data fresh again.
    pub(super) fn freshness_interval(&self) -> Option<Duration> {
        self.interval.into_iter().chain(self.failing_interval).min()
    }

    pub(super) fn failed(&mut self) {
        self.failing_interval = self.failing_interval.or(self.interval);
    }

    pub(super) fn succeeded(&mut self, now: Moment) {
        self.failing_interval = None;
        self.last_success = Some(now.unix);
        self.reset_silence(now);
    }

    /// Restarts the time without success.
    pub(super) fn reset_silence(&mut self, now: Moment) {
        self.silent_since = self.interval.and(Some(now.elapsed));
    }

    /// True after `staleness` planned intervals without success; `None` if the call is not planned.
    #[must_use]
    pub fn is_stale(&self, staleness: f64, now: Moment) -> Option<bool> {
        self.interval?;
        let (interval, since) = (self.freshness_interval()?, self.silent_since?);
        let silent = now.elapsed.saturating_sub(since).as_secs_f64();
        Some(silent > interval.as_secs_f64() * staleness)
    }

    /// Counts a failed call.
    pub(super) fn count_error(&mut self, reason: Reason) {
        self.errors.get_or_insert_default()[reason.index()] += 1;
    }

    /// Number of failed calls, over all reasons.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.errors().iter().sum()
    }

    /// True if the call was ever planned or made. A call that is dropped for a while keeps its counters.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.was_planned || self.successes + self.failures() > 0
    }

    /// Failed calls, by [`Reason::index`].
    #[must_use]
    pub fn errors(&self) -> &Errors {
        const NONE: &Errors = &[0; Reason::ALL.len()];
        self.errors.as_deref().unwrap_or(NONE)
    }
}
