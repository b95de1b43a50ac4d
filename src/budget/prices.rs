//! Prices of calls in points, learned from samples. A sample is a reading, a call and another reading.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::quota::Remaining;
use crate::kiwivm::{Call, PerCall};
use crate::units::{AccountTime, Points};

/// Maximum number of samples kept for each call.
const SAMPLES: usize = 24;
/// A sample is an outlier if it differs from the mean by more than this factor and this difference.
const OUTLIER_FACTOR: f64 = 3.0;
const OUTLIER_DIFFERENCE: Points = Points(1.0);
/// A first sample of more than this times the assumed price is repeated at once. Lower ones cost little if they are wrong.
const HIGH_FACTOR: f64 = 8.0;
/// Consecutive outliers that raise the price at once, or that replace a history that is too high.
const OUTLIERS_TO_RAISE: usize = 3;
/// Consecutive high outliers, over at least this time, that replace the history. Bursts of other clients are shorter.
const OUTLIERS_TO_REPLACE: usize = 8;
const BURST: Duration = Duration::from_secs(6 * 60);
/// Standard errors that are added to the mean. Too high a price costs freshness, too low a price costs points.
const CAUTION: f64 = 0.75;
/// Standard error of a single sample, from the rounding of both readings.
const ROUNDING: f64 = 0.3;
/// Maximum difference between the falls of the two windows in an undisturbed sample.
const MAX_DIFFERENCE: Points = Points(3.0);
/// Useless samples among the last [`VERDICTS`] ones that show late or noisy readings.
const USELESS: usize = 3;
const VERDICTS: usize = 6;
/// Pause of the sampling after that.
const SAMPLING_PAUSE: Duration = Duration::from_secs(30 * 60);
/// Bounds of one change of assumed prices. A burst of another client raises them once, and the next spans lower them.
const STEP: [f64; 2] = [0.8, 1.25];
/// Minimum time between two raises of assumed prices by refusals, and the factor of a raise.
const RAISE_INTERVAL: Duration = Duration::from_secs(15 * 60);
const RAISE_FACTOR: f64 = 1.5;
/// Bounds of the scale of assumed prices.
const SCALE: [f64; 2] = [1.0 / 3.0, 20.0];
/// Minimum price, because readings are whole numbers.
const MIN_PRICE: Points = Points(1.0);
/// Maximum price. Ten calls at this price would use up a usual quota of 15 minutes.
const MAX_PRICE: Points = Points(100.0);
/// Maximum fall of the readings around a call: its price and that of a reading.
const MAX_SAMPLE: Points = Points(200.0);

/// The result of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was added to the history.
    Normal,
    /// It is an outlier and should be repeated soon.
    Outlier,
    /// It shows no price.
    Useless,
}

/// The samples of one call. Each is the fall of the readings: the price of the call plus that of a reading.
#[derive(Clone, Debug, Default, PartialEq)]
struct CallSamples {
    history: VecDeque<Points>,
    outliers: Vec<Points>,
    outliers_since: AccountTime,
    /// True once a sample was added to the history.
    was_learned: bool,
}

impl CallSamples {
    fn mean(&self) -> Points {
        self.history.iter().copied().sum::<Points>() / count(self.history.len())
    }

    fn price(&self) -> Option<Points> {
        if self.history.is_empty() {
            return None;
        }
        let (mean, count) = (self.mean(), count(self.history.len()));
        let squares: f64 = self.history.iter().map(|x| (*x - mean).0.powi(2)).sum();
        let spread = if count > 1.0 {
            (squares / (count - 1.0)).sqrt()
        } else {
            0.0
        };
        let learned = if spread > 0.0 {
            mean + Points(CAUTION * spread.max(ROUNDING) / count.sqrt())
        } else {
            mean
        };
        let raised = if self.outliers.len() >= OUTLIERS_TO_RAISE {
            self.outliers
                .iter()
                .copied()
                .fold(Points(f64::INFINITY), Points::min)
        } else {
            Points::ZERO
        };
        Some(learned.max(raised))
    }

    fn push(&mut self, sample: Points) {
        self.history.push_back(sample);
        if self.history.len() > SAMPLES {
            self.history.pop_front();
        }
        self.was_learned = true;
    }

    fn clear(&mut self) {
        *self = Self {
            was_learned: self.was_learned,
            ..Self::default()
        };
    }

    fn add(&mut self, sample: Points, now: AccountTime) -> Verdict {
        let mean = self.mean();
        let highest = mean.max(MIN_PRICE) * OUTLIER_FACTOR + OUTLIER_DIFFERENCE;
        let above = sample > highest;
        let below = sample * OUTLIER_FACTOR + OUTLIER_DIFFERENCE < mean;
        if self.history.is_empty() || !(above || below) {
            // The price of a call may vary, so a single outlier counts, limited to the bounds of an outlier.
            if let [outlier] = self.outliers[..] {
                self.push(outlier.clamp(mean / OUTLIER_FACTOR, highest));
            }
            self.outliers.clear();
            self.push(sample);
            return Verdict::Normal;
        }
        if self
            .outliers
            .first()
            .is_some_and(|first| (*first > mean) != above)
        {
            self.outliers.clear();
        }
        if self.outliers.is_empty() {
            self.outliers_since = now;
        }
        self.outliers.push(sample);
        let lasts = now.since(self.outliers_since) >= BURST;
        let enough = if above {
            OUTLIERS_TO_REPLACE
        } else {
            OUTLIERS_TO_RAISE
        };
        if self.outliers.len() >= enough && (below || lasts) {
            self.history = std::mem::take(&mut self.outliers).into();
            return Verdict::Normal;
        }
        Verdict::Outlier
    }
}

/// The prices of all calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Prices {
    samples: PerCall<CallSamples>,
    /// The factor on assumed prices.
    scale: f64,
    /// The last samples; true if useless.
    verdicts: VecDeque<bool>,
    useless_since: Option<AccountTime>,
    /// Time of the last raise by a refusal.
    last_raise: Option<AccountTime>,
}

impl Default for Prices {
    fn default() -> Self {
        Self {
            samples: PerCall::default(),
            scale: 1.0,
            verdicts: VecDeque::new(),
            useless_since: None,
            last_raise: None,
        }
    }
}

impl Prices {
    /// Returns the price of a call, at least 1.
    #[must_use]
    pub fn price(&self, call: Call) -> Points {
        // Readings are the cheapest call, and the only one that can correct wrong prices.
        let scale = if call == Call::RateLimitStatus {
            1.0
        } else {
            self.scale
        };
        self.learned(call)
            .unwrap_or_else(|| (call.first_price() * scale).clamp(MIN_PRICE, MAX_PRICE))
    }

    /// Returns the price of a call according to its samples.
    #[must_use]
    pub fn learned(&self, call: Call) -> Option<Points> {
        let fall = self.samples[call].price()?;
        let reading = if call == Call::RateLimitStatus {
            Points::ZERO
        } else {
            self.price(Call::RateLimitStatus)
        };
        Some((fall - reading).clamp(MIN_PRICE, MAX_PRICE))
    }

    /// Returns true once the price of a call has been learned, even if its samples were dropped since.
    #[must_use]
    pub fn was_learned(&self, call: Call) -> bool {
        self.samples[call].was_learned
    }

    /// Returns true if the price follows from a single sample and is much higher than assumed. It applies at once, but
    /// readings may be noisy.
    #[must_use]
    pub fn needs_confirmation(&self, call: Call) -> bool {
        self.samples(call) == 1 && self.price(call) > call.first_price() * HIGH_FACTOR
    }

    /// Returns the number of samples in the history of a call.
    #[must_use]
    pub fn samples(&self, call: Call) -> usize {
        self.samples[call].history.len()
    }

    /// Returns true if samples are useless, so that prices are assumed and scaled.
    #[must_use]
    pub const fn are_assumed(&self) -> bool {
        self.useless_since.is_some()
    }

    /// Returns true if samples are worth their points now.
    pub fn wants_samples(&mut self, now: AccountTime) -> bool {
        if self
            .useless_since
            .is_some_and(|since| now.since(since) >= SAMPLING_PAUSE)
        {
            self.useless_since = None;
        }
        self.useless_since.is_none()
    }

    /// Adds a sample: the readings before and after a call. The fall includes the price of a reading, unless `call` is
    /// the reading itself. If a window is reset in between, the sample is useless.
    pub fn add(
        &mut self,
        call: Call,
        before: Remaining,
        after: Remaining,
        now: AccountTime,
    ) -> Verdict {
        let falls = [before[0] - after[0], before[1] - after[1]];
        let fall = falls[0].max(falls[1]);
        let is_reading = call == Call::RateLimitStatus;
        let difference = falls[0].max(falls[1]) - falls[0].min(falls[1]);
        let coherent = difference <= MAX_DIFFERENCE + Points(fall.0.abs() / 10.0);
        let useless = !coherent || fall > MAX_SAMPLE || (fall <= Points::ZERO && !is_reading);
        if !is_reading || useless {
            self.verdicts.push_back(useless);
        }
        if self.verdicts.len() > VERDICTS {
            self.verdicts.pop_front();
        }
        if useless && self.verdicts.iter().filter(|useless| **useless).count() >= USELESS {
            self.useless_since = Some(now);
            self.samples.values_mut().for_each(CallSamples::clear);
        }
        if self.needs_confirmation(call) && (useless || fall < self.samples[call].mean() / 2.0) {
            self.samples[call].clear();
        }
        if useless {
            return Verdict::Useless;
        }
        let fall = fall.clamp(Points::ZERO, MAX_SAMPLE);
        self.samples[call].add(fall, now)
    }

    /// Scales assumed prices by a span in which the exporter booked `own` points and the reading fell by `fall`. Prices
    /// decrease only if the fall is `complete`, because points that return to a window hide a part of it.
    pub fn calibrate(&mut self, own: Points, fall: Points, complete: bool) {
        let ratio = fall / own;
        if ratio <= 0.0 || ratio > SCALE[1] {
            // A window was reset or another client had a burst. The previous span may have been disturbed too.
            self.scale = self.scale.min((self.scale * STEP[0]).max(1.0));
        } else if ratio > 1.0 || complete {
            self.scale = (self.scale * ratio.clamp(STEP[0], STEP[1])).clamp(SCALE[0], SCALE[1]);
        }
    }

    /// Raises assumed prices after a refusal, which suggests that they are too low.
    pub fn refused(&mut self, now: AccountTime) {
        let recently = self
            .last_raise
            .is_some_and(|at| now.since(at) < RAISE_INTERVAL);
        if !recently {
            self.last_raise = Some(now);
            self.scale = (self.scale * RAISE_FACTOR).min(SCALE[1]);
        }
    }

    /// Returns the samples by name of the call, and the scale.
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

    /// Restores the prices that [`Self::save`] returned. Invalid numbers are ignored.
    #[must_use]
    pub fn restore(saved: &SavedPrices) -> Self {
        let mut prices = Self::default();
        for call in Call::ALL {
            let history = saved.samples.get(call.name()).into_iter().flatten();
            let is_valid = |sample: &&Points| (Points::ZERO..=MAX_SAMPLE).contains(*sample);
            for sample in history.filter(is_valid).take(SAMPLES) {
                prices.samples[call].push(*sample);
            }
        }
        if saved.scale.is_finite() && saved.scale > 0.0 {
            prices.scale = saved.scale.clamp(SCALE[0], SCALE[1]);
        }
        prices
    }
}

/// The part of [`Prices`] that is kept over a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedPrices {
    samples: std::collections::BTreeMap<String, Vec<Points>>,
    scale: f64,
}

#[expect(clippy::cast_precision_loss, reason = "a few dozen samples")]
const fn count(samples: usize) -> f64 {
    samples as f64
}

#[cfg(test)]
mod tests;
