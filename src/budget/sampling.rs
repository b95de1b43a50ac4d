//! Price samples: a reading, one call that was due anyway, a reading, all of one VPS. Nothing else is sent to the quota
//! meanwhile, for ten seconds at most.

use std::collections::HashMap;
use std::time::Duration;

use super::quota::Remaining;
use crate::kiwivm::{Call, PerCall, Veid};

/// A sample ends after this, whatever it waits for: other calls must not wait longer for it.
pub const LONGEST_HOLD: Duration = Duration::from_secs(10);
/// After a sample other calls have their turn for this long.
const REST: Duration = Duration::from_secs(10);
/// After an abandoned sample no other begins for this long, and none of the same VPS for [`AVOIDED`].
const PAUSE: Duration = Duration::from_secs(30);
const AVOIDED: Duration = Duration::from_secs(600);
/// A doubtful sample is repeated after this.
const REPEATED: Duration = Duration::from_secs(10);
/// Prices are looked at out of turn no more often than this.
const LOOKS: Duration = Duration::from_secs(900);
/// The part of the pace that samples of one call may take.
const PART: f64 = 0.02;
/// So many samples double the wait: a price that was confirmed needs fewer.
const CONFIRMED: f64 = 8.0;
/// Bounds of the wait between two samples of one call.
const WAITS: [f64; 2] = [300.0, 24.0 * 3600.0];
/// The pause doubles so many times at most, to eight and a half hours.
const MOST_DOUBLINGS: u32 = 10;

/// The step that a sample waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Before,
    Call,
    After,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    veid: Veid,
    call: Call,
    began: Duration,
    step: Step,
    in_flight: bool,
    before: Remaining,
}

/// A sample that is complete: the call, and the readings around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Complete {
    /// The call between the readings.
    pub call: Call,
    /// The first reading.
    pub before: Remaining,
    /// The second reading.
    pub after: Remaining,
}

/// Decides when a sample is taken and leads it through its steps.
#[derive(Debug, Default)]
pub struct Sampling {
    current: Option<Sample>,
    next: PerCall<Duration>,
    abandoned: PerCall<u32>,
    not_before: Duration,
    next_look: Duration,
    avoided: HashMap<Veid, Duration>,
}

impl Sampling {
    /// Begins a sample with a call that is due, if it is time for one of its kind.
    pub fn consider(&mut self, veid: Veid, call: Call, now: Duration) -> bool {
        self.avoided.retain(|_, until| *until > now);
        if self.current.is_some()
            || now < self.not_before
            || now < self.next[call]
            || self.avoided.contains_key(&veid)
        {
            return false;
        }
        self.current = Some(Sample {
            veid,
            call,
            began: now,
            step: Step::Before,
            in_flight: false,
            before: [0.0; 2],
        });
        true
    }

    /// The VPS of the sample that is being taken; its quota sends nothing else. Abandons one that takes too long.
    pub fn holds(&mut self, now: Duration) -> Option<Veid> {
        let sample = self.current?;
        if now.saturating_sub(sample.began) >= LONGEST_HOLD {
            self.abandon(now);
            return None;
        }
        Some(sample.veid)
    }

    /// The end of the sample that is being taken, whatever happens.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        Some(self.current?.began + LONGEST_HOLD)
    }

    /// The next call of the sample, unless one is in flight. The quota must have no other call in flight.
    #[must_use]
    pub fn next_call(&self) -> Option<(Veid, Call)> {
        let sample = self.current.filter(|sample| !sample.in_flight)?;
        let call = match sample.step {
            Step::Call => sample.call,
            Step::Before | Step::After => Call::RateLimitStatus,
        };
        Some((sample.veid, call))
    }

    /// The call of [`Self::next_call`] is sent.
    pub fn sent(&mut self) {
        if let Some(sample) = &mut self.current {
            sample.in_flight = true;
        }
    }

    /// Takes in the end of a call. `reading` is `None` for other calls and for unusable readings.
    pub fn finish(
        &mut self,
        veid: Veid,
        call: Call,
        success: bool,
        reading: Option<Remaining>,
        now: Duration,
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
                // The price of a reading shows in the next reading.
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

    /// Ends the sample that is being taken. The next one is of another VPS, and of this call less often.
    fn abandon(&mut self, now: Duration) {
        let Some(sample) = self.current.take() else {
            return;
        };
        let abandoned = &mut self.abandoned[sample.call];
        *abandoned = (*abandoned + 1).min(MOST_DOUBLINGS);
        self.next[sample.call] = now + PAUSE * 2_u32.pow(*abandoned);
        self.not_before = now + PAUSE;
        self.avoided.insert(sample.veid, now + AVOIDED);
    }

    /// Plans the next sample of a call that has `samples`, each for `points`, at a pace of `rate` points a second.
    pub fn plan_next(&mut self, call: Call, samples: usize, points: f64, rate: f64, now: Duration) {
        self.abandoned[call] = 0;
        let confirmed = 1.0 + f64::from(u32::try_from(samples).unwrap_or(u32::MAX)) / CONFIRMED;
        let wait = confirmed * points / (PART * rate).max(1e-9);
        self.next[call] = now + Duration::from_secs_f64(wait.clamp(WAITS[0], WAITS[1]));
    }

    /// Repeats a doubtful sample of a call soon.
    pub fn repeat(&mut self, call: Call, now: Duration) {
        let wait = REPEATED;
        self.next[call] = now + wait;
    }

    /// Has the price of a call looked at now, because points went that it does not explain. Bursts of others cause the
    /// same, so this happens only now and then.
    pub fn look_now(&mut self, call: Call, now: Duration) {
        if now >= self.next_look {
            self.next_look = now + LOOKS;
            self.next[call] = self.next[call].min(now);
            self.abandoned[call] = 0;
        }
    }

    /// Forgets the sample that is being taken: the VPSes of its quota changed.
    pub fn reset(&mut self) {
        self.current = None;
    }
}

#[cfg(test)]
mod tests;
