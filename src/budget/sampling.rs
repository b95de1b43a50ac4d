//! Price samples: a reading, a call that is due anyway and another reading, all of one VPS. Meanwhile the planner sends no
//! other calls to the quota, for at most ten seconds before the call and ten seconds after it. A VPS with a quota of its
//! own delays nobody, so its samples may take longer.

use std::collections::HashMap;
use std::time::Duration;

use super::quota::Remaining;
use crate::kiwivm::{Call, PerCall, Veid};
use crate::units::{AccountTime, Points, PointsPerSecond};

/// Maximum time without a call other than readings, because other calls wait for the sample.
pub const MAX_HOLD: Duration = Duration::from_secs(10);
/// The same for a VPS with a quota of its own: the time-out of a live call, and some more for the reading.
const MAX_HOLD_ALONE: Duration = Duration::from_secs(40);
/// Pause after a sample, for other calls.
const REST: Duration = Duration::from_secs(10);
/// Pause after an abandoned sample, and before another sample of the same VPS.
const PAUSE: Duration = Duration::from_secs(30);
const VPS_PAUSE: Duration = Duration::from_secs(600);
/// Wait before an outlier is repeated.
const REPEAT_AFTER: Duration = Duration::from_secs(10);
/// Minimum time between two unplanned checks of prices.
const CHECK_INTERVAL: Duration = Duration::from_secs(900);
/// Fraction of the pace for the samples of one call.
const FRACTION: f64 = 0.02;
/// Number of samples that doubles the wait, because a confirmed price needs fewer.
const CONFIRMED: f64 = 8.0;
/// Bounds of the wait between two samples of one call.
const MIN_WAIT: Duration = Duration::from_secs(300);
const MAX_WAIT: Duration = Duration::from_secs(24 * 3600);
/// Maximum number of doublings of the pause, for 8.5 hours.
const MAX_DOUBLINGS: u32 = 10;

/// The next step of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Before,
    Call,
    After,
}

#[derive(Clone, Copy, Debug)]
struct PriceSample {
    veid: Veid,
    call: Call,
    /// Start of the sample, or of its call once that is sent.
    held_since: AccountTime,
    max_hold: Duration,
    step: Step,
    in_flight: bool,
    before: Remaining,
}

/// A complete sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Complete {
    /// The call between the readings.
    pub call: Call,
    /// The first reading.
    pub before: Remaining,
    /// The second reading.
    pub after: Remaining,
}

/// Decides when to take samples, and tracks the steps of the current one.
#[derive(Debug, Default)]
pub struct Sampling {
    current: Option<PriceSample>,
    next: PerCall<AccountTime>,
    abandoned: PerCall<u32>,
    not_before: AccountTime,
    next_check: AccountTime,
    avoided: HashMap<Veid, AccountTime>,
}

impl Sampling {
    /// Starts a sample with a call that is due, if a sample of its kind is due. `alone` is true for a VPS with a quota of
    /// its own. Returns true if it did.
    pub fn try_begin(&mut self, veid: Veid, call: Call, alone: bool, now: AccountTime) -> bool {
        self.avoided.retain(|_, until| *until > now);
        if self.current.is_some()
            || now < self.not_before
            || now < self.next[call]
            || self.avoided.contains_key(&veid)
        {
            return false;
        }
        self.current = Some(PriceSample {
            veid,
            call,
            held_since: now,
            max_hold: if alone { MAX_HOLD_ALONE } else { MAX_HOLD },
            step: Step::Before,
            in_flight: false,
            before: [Points::ZERO; 2],
        });
        true
    }

    /// Returns the VPS of the current sample, whose quota must send no other calls. Abandons a sample that takes too
    /// long.
    pub fn held_vps(&mut self, now: AccountTime) -> Option<Veid> {
        let sample = self.current?;
        if now.since(sample.held_since) >= sample.max_hold {
            self.abandon(now);
            return None;
        }
        Some(sample.veid)
    }

    /// Returns the end of the current hold.
    #[must_use]
    pub fn deadline(&self) -> Option<AccountTime> {
        let sample = self.current?;
        Some(sample.held_since + sample.max_hold)
    }

    /// Returns the next call of the current sample, unless one is in flight. The quota must have no other call in
    /// flight.
    #[must_use]
    pub fn next_call(&self) -> Option<(Veid, Call)> {
        let sample = self.current.filter(|sample| !sample.in_flight)?;
        let call = match sample.step {
            Step::Call => sample.call,
            Step::Before | Step::After => Call::RateLimitStatus,
        };
        Some((sample.veid, call))
    }

    /// Records that the call of [`Self::next_call`] is sent.
    pub fn sent(&mut self, now: AccountTime) {
        if let Some(sample) = &mut self.current {
            sample.in_flight = true;
            if sample.step == Step::Call {
                sample.held_since = now;
            }
        }
    }

    /// Records the end of a call. `reading` is `None` for other calls and for unusable readings.
    pub fn finish(
        &mut self,
        veid: Veid,
        call: Call,
        success: bool,
        reading: Option<Remaining>,
        now: AccountTime,
    ) -> Option<Complete> {
        let sample = self.current.as_mut()?;
        let expected = match sample.step {
            Step::Call => sample.call,
            Step::Before | Step::After => Call::RateLimitStatus,
        };
        if sample.veid != veid || call != expected || !sample.in_flight {
            return None;
        }
        sample.in_flight = false;
        match (sample.step, reading) {
            (Step::Before, Some(remaining)) => {
                sample.before = remaining;
                // A sample of a reading consists of two readings only.
                sample.step = if sample.call == Call::RateLimitStatus {
                    Step::After
                } else {
                    Step::Call
                };
                None
            }
            (Step::Call, _) if success => {
                sample.step = Step::After;
                None
            }
            (Step::After, Some(after)) => {
                let complete = Complete {
                    call: sample.call,
                    before: sample.before,
                    after,
                };
                self.current = None;
                self.not_before = now + REST;
                Some(complete)
            }
            _ => {
                self.abandon(now);
                None
            }
        }
    }

    /// Abandons the current sample. The next one is of another VPS, and samples of this call become rarer.
    fn abandon(&mut self, now: AccountTime) {
        let Some(sample) = self.current.take() else {
            return;
        };
        let abandoned = &mut self.abandoned[sample.call];
        *abandoned = (*abandoned + 1).min(MAX_DOUBLINGS);
        self.next[sample.call] = now + PAUSE * 2_u32.pow(*abandoned);
        self.not_before = now + PAUSE;
        self.avoided.insert(sample.veid, now + VPS_PAUSE);
    }

    /// Plans the next sample of a call that has `samples` samples. A sample costs `points`, the pace is `rate`.
    pub fn plan_next(
        &mut self,
        call: Call,
        samples: usize,
        points: Points,
        rate: PointsPerSecond,
        now: AccountTime,
    ) {
        self.abandoned[call] = 0;
        let confirmed = 1.0 + f64::from(u32::try_from(samples).unwrap_or(u32::MAX)) / CONFIRMED;
        let wait = points * confirmed / (rate * FRACTION);
        self.next[call] = now + wait.clamp(MIN_WAIT, MAX_WAIT);
    }

    /// Schedules a sample of a call soon, to confirm an outlier.
    pub fn repeat(&mut self, call: Call, now: AccountTime) {
        self.next[call] = now + REPEAT_AFTER;
    }

    /// Schedules a sample of a call now, because its price does not explain a fall of readings. Limited in rate,
    /// because bursts of other clients have the same effect.
    pub fn check_now(&mut self, call: Call, now: AccountTime) {
        if now >= self.next_check {
            self.next_check = now + CHECK_INTERVAL;
            self.next[call] = self.next[call].min(now);
            self.abandoned[call] = 0;
        }
    }

    /// Returns the seconds until the next sample of each call.
    #[must_use]
    pub fn save(&self, now: AccountTime) -> PerCall<Option<f64>> {
        self.next
            .map(|next| (next >= now).then(|| next.since(now).as_secs_f64()))
    }

    /// Restores the waits that [`Self::save`] returned `elapsed` ago.
    pub fn restore(&mut self, waits: &PerCall<Option<f64>>, elapsed: Duration, now: AccountTime) {
        self.next = waits.map(|wait| {
            let wait = wait.map_or(0.0, |wait| {
                wait.min(MAX_WAIT.as_secs_f64()) - elapsed.as_secs_f64()
            });
            now + Duration::try_from_secs_f64(wait).unwrap_or_default()
        });
    }

    /// Drops the current sample, because the quotas are changed.
    pub fn reset(&mut self) {
        self.current = None;
    }
}

#[cfg(test)]
mod tests;
