//! Prices of calls in points, learned from samples: a reading, one call, a reading.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::quota::Remaining;
use crate::kiwivm::{Call, PerCall};

/// So many samples of a call count.
const SAMPLES: usize = 24;
/// A sample this many times off its history, by more than a point, is a doubt.
const OFF: f64 = 3.0;
/// So many doubts in a row raise the price at once, or replace a history that is too high.
const RAISES: usize = 3;
/// So many doubts in a row over this time replace the history: a burst of others does not last as long.
const REPLACES: usize = 8;
const BURST: Duration = Duration::from_secs(6 * 60);
/// The price lies this many standard errors above the mean: too high a price costs freshness, too low a one points.
const CAUTION: f64 = 0.75;
/// The standard error of a single sample, which rounding of both readings causes.
const ROUNDING: f64 = 0.3;
/// The falls of the two windows differ by no more than this in a sample that nothing disturbs.
const COHERENT: f64 = 3.0;
/// So many of the last [`VERDICTS`] samples without a usable fall show that readings come late or carry noise.
const USELESS: usize = 3;
const VERDICTS: usize = 6;
/// After this time a sample is tried again.
const TRIED_AGAIN: Duration = Duration::from_secs(30 * 60);
/// Assumed prices change by no more than this part at a time: a burst of others raises them once, and the next spans
/// lower them again.
const STEP: [f64; 2] = [0.8, 1.25];
/// Refusals raise assumed prices once in this time, by this factor.
const RAISED_EVERY: Duration = Duration::from_secs(15 * 60);
const RAISED_BY: f64 = 1.5;
/// Bounds of the scale of assumed prices.
const SCALE: [f64; 2] = [1.0 / 3.0, 20.0];
/// No call is cheaper: readings are whole numbers.
const LOWEST: f64 = 1.0;
/// No call is believed to cost more: ten of these would take a usual quota of 15 minutes.
const HIGHEST: f64 = 100.0;

/// The result of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It joined the history.
    Normal,
    /// It is off and should be repeated soon.
    Doubt,
    /// It shows nothing.
    Useless,
}

/// The falls of readings that samples of one call showed: the price of the call, and of a reading beside it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Samples {
    history: VecDeque<f64>,
    doubts: Vec<f64>,
    doubts_since: Duration,
    /// True once a sample has joined the history.
    was_learned: bool,
}

impl Samples {
    fn mean(&self) -> f64 {
        self.history.iter().sum::<f64>() / count(self.history.len())
    }

    fn price(&self) -> Option<f64> {
        if self.history.is_empty() {
            return None;
        }
        let (mean, count) = (self.mean(), count(self.history.len()));
        let squares: f64 = self.history.iter().map(|x| (x - mean) * (x - mean)).sum();
        let spread = if count > 1.0 {
            (squares / (count - 1.0)).sqrt()
        } else {
            0.0
        };
        let learned = if spread > 0.0 {
            mean + CAUTION * spread.max(ROUNDING) / count.sqrt()
        } else {
            mean
        };
        let raised = if self.doubts.len() >= RAISES {
            self.doubts.iter().copied().fold(f64::INFINITY, f64::min)
        } else {
            0.0
        };
        Some(learned.max(raised))
    }

    fn push(&mut self, sample: f64) {
        self.history.push_back(sample);
        if self.history.len() > SAMPLES {
            self.history.pop_front();
        }
        self.was_learned = true;
    }

    fn forget(&mut self) {
        *self = Self {
            was_learned: self.was_learned,
            ..Self::default()
        };
    }

    fn add(&mut self, sample: f64, now: Duration) -> Verdict {
        let mean = self.mean();
        let above = sample > OFF * mean.max(LOWEST) + 1.0;
        let below = sample * OFF + 1.0 < mean;
        if self.history.is_empty() || !(above || below) {
            // One call may really have cost more: it counts, but not for more than a doubt takes.
            if let [doubt] = self.doubts[..] {
                self.push(doubt.clamp(mean / OFF, OFF * mean.max(LOWEST) + 1.0));
            }
            self.doubts.clear();
            self.push(sample);
            return Verdict::Normal;
        }
        if self
            .doubts
            .first()
            .is_some_and(|first| (*first > mean) != above)
        {
            self.doubts.clear();
        }
        if self.doubts.is_empty() {
            self.doubts_since = now;
        }
        self.doubts.push(sample);
        let lasts = now.saturating_sub(self.doubts_since) >= BURST;
        let enough = if above { REPLACES } else { RAISES };
        if self.doubts.len() >= enough && (below || lasts) {
            self.history = std::mem::take(&mut self.doubts).into();
            return Verdict::Normal;
        }
        Verdict::Doubt
    }
}

/// The prices of all calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Prices {
    samples: PerCall<Samples>,
    /// The factor on assumed prices.
    scale: f64,
    /// Whether each of the last samples was useless.
    verdicts: VecDeque<bool>,
    useless_since: Option<Duration>,
    /// When a refusal last raised the scale.
    raised: Option<Duration>,
}

impl Default for Prices {
    fn default() -> Self {
        Self {
            samples: PerCall::default(),
            scale: 1.0,
            verdicts: VecDeque::new(),
            useless_since: None,
            raised: None,
        }
    }
}

impl Prices {
    /// The price of a call, 1 or more.
    #[must_use]
    pub fn price(&self, call: Call) -> f64 {
        // Readings are the cheapest call, and the only way out of wrong prices.
        let scale = if call == Call::RateLimitStatus {
            1.0
        } else {
            self.scale
        };
        self.learned(call)
            .unwrap_or_else(|| (call.first_price() * scale).clamp(LOWEST, HIGHEST))
    }

    /// The price of a call from its samples.
    #[must_use]
    pub fn learned(&self, call: Call) -> Option<f64> {
        let fall = self.samples[call].price()?;
        let reading = if call == Call::RateLimitStatus {
            0.0
        } else {
            self.price(Call::RateLimitStatus)
        };
        Some((fall - reading).clamp(LOWEST, HIGHEST))
    }

    /// True once the price of a call has been learned, also if its samples were forgotten since.
    #[must_use]
    pub fn was_learned(&self, call: Call) -> bool {
        self.samples[call].was_learned
    }

    /// The samples of a call that count.
    #[must_use]
    pub fn samples(&self, call: Call) -> usize {
        self.samples[call].history.len()
    }

    /// Whether samples show nothing, so that prices are assumed and scaled.
    #[must_use]
    pub const fn are_assumed(&self) -> bool {
        self.useless_since.is_some()
    }

    /// Whether samples are worth their points now.
    pub fn wants_samples(&mut self, now: Duration) -> bool {
        if self
            .useless_since
            .is_some_and(|since| now.saturating_sub(since) >= TRIED_AGAIN)
        {
            self.useless_since = None;
        }
        self.useless_since.is_none()
    }

    /// Takes in a sample: the readings before and after a call, with one reading spent in between as well unless
    /// `call` is the reading itself. `None` when a window began anew in between.
    pub fn add(
        &mut self,
        call: Call,
        before: Remaining,
        after: Remaining,
        now: Duration,
    ) -> Option<Verdict> {
        let falls = [before[0] - after[0], before[1] - after[1]];
        let fall = falls[0].max(falls[1]);
        // A window that began anew rises by all that was spent in it: the other one tells the price.
        let began_anew = falls.iter().any(|fall| *fall < -20.0);
        if began_anew && fall <= 0.0 {
            return None;
        }
        let is_reading = call == Call::RateLimitStatus;
        let coherent = began_anew || (falls[0] - falls[1]).abs() <= COHERENT + fall.abs() / 10.0;
        let useless = !coherent || fall > 2.0 * HIGHEST || (fall <= 0.0 && !is_reading);
        if !is_reading || useless {
            self.verdicts.push_back(useless);
        }
        if self.verdicts.len() > VERDICTS {
            self.verdicts.pop_front();
        }
        if useless && self.verdicts.iter().filter(|useless| **useless).count() >= USELESS {
            self.useless_since = Some(now);
            self.samples.values_mut().for_each(Samples::forget);
        }
        if useless {
            return Some(Verdict::Useless);
        }
        let fall = fall.clamp(0.0, 2.0 * HIGHEST);
        Some(self.samples[call].add(fall, now))
    }

    /// Scales assumed prices by a span in which the exporter booked `own` points and a reading fell by `fall`. Prices
    /// come down only while the fall is `complete`: points that come back to a window hide a part of it.
    pub fn calibrate(&mut self, own: f64, fall: f64, complete: bool) {
        let ratio = fall / own;
        if ratio <= 0.0 || ratio > SCALE[1] {
            // A window began anew, or somebody else had a burst: this shows no price, and neither may the last one.
            self.scale = self.scale.min((self.scale * STEP[0]).max(1.0));
        } else if ratio > 1.0 || complete {
            self.scale = (self.scale * ratio.clamp(STEP[0], STEP[1])).clamp(SCALE[0], SCALE[1]);
        }
    }

    /// Raises assumed prices after a refusal, which shows that they are too low.
    pub fn refused(&mut self, now: Duration) {
        let lately = self
            .raised
            .is_some_and(|at| now.saturating_sub(at) < RAISED_EVERY);
        if !lately {
            self.raised = Some(now);
            self.scale = (self.scale * RAISED_BY).min(SCALE[1]);
        }
    }

    /// The samples by name of the call, and the scale.
    #[must_use]
    pub fn save(&self) -> SavedPrices {
        let samples = Call::ALL
            .into_iter()
            .filter(|call| !self.samples[*call].history.is_empty())
            .map(|call| {
                let history = self.samples[call].history.iter().copied().collect();
                (call.name().to_owned(), history)
            });
        SavedPrices {
            samples: samples.collect(),
            scale: self.scale,
        }
    }

    /// The prices that [`Self::save`] gave. Numbers that no saved state holds are passed over.
    #[must_use]
    pub fn restore(saved: &SavedPrices) -> Self {
        let mut prices = Self::default();
        for call in Call::ALL {
            let history = saved.samples.get(call.name()).into_iter().flatten();
            let believable = |sample: &&f64| (0.0..=2.0 * HIGHEST).contains(*sample);
            for sample in history.filter(believable).take(SAMPLES) {
                prices.samples[call].push(*sample);
            }
        }
        if saved.scale.is_finite() && saved.scale > 0.0 {
            prices.scale = saved.scale.clamp(SCALE[0], SCALE[1]);
        }
        prices
    }
}

/// What of [`Prices`] survives a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedPrices {
    samples: std::collections::BTreeMap<String, Vec<f64>>,
    scale: f64,
}

#[expect(clippy::cast_precision_loss, reason = "a few dozen samples")]
const fn count(samples: usize) -> f64 {
    samples as f64
}

#[cfg(test)]
mod tests;
