//! What each call costs, learned from brackets: a reading of the remaining points, one call, a reading.
//!
//! The drop over a bracket holds the call, one reading, and whatever others spent meanwhile. Two readings without a
//! call between them are the control: they hold one reading and the others. Integer readings of a fractional cost
//! alternate, so samples that differ by one are averaged; samples that differ by more are averaged too while the
//! controls are quiet (the cost itself varies), else their middle is taken (others are at work).

use std::collections::VecDeque;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::kiwivm::Call;

/// What a call is taken to cost before anything is known.
#[must_use]
pub const fn prudent(call: Call) -> f64 {
    match call {
        Call::LiveServiceInfo => 20.0,
        Call::RateLimitStatus => 1.0,
        Call::RawUsageStats => 10.0,
        _ => 2.0,
    }
}

/// From so many samples on a cost counts as learned.
pub const ENOUGH: usize = 4;
/// Older samples make room: these are those of two days and more, enough to know a cost that is mostly 1 and sometimes
/// 9 to a sixteenth.
const MOST: usize = 384;
/// Older controls make room sooner: when readings become dearer, calls are reckoned too dear until these are gone.
const MOST_CONTROLS: usize = 96;
/// So many samples between silences tell whatever can be told; more would cost more silence than they are worth.
const MOST_IN_SILENCES: usize = 64;
/// A reading is not believed to cost more than this: what is above belongs to others.
const DEAREST_READING: f64 = 20.0;
/// A sample that is lower than the others by more than this was hidden.
const HIDDEN: f64 = 2.5;
/// Samples in a row that must say the same before an older opinion is dropped.
const STEP: usize = 2;

/// How a sample fits what was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It fits, or it is the first.
    AsKnown,
    /// It is above or below all that was seen; others may be at work.
    Odd,
    /// The cost has changed: older samples are dropped.
    Changed,
}

/// The samples, by [`Call::index`]; for getRateLimitStatus these are the controls.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    samples: [VecDeque<f64>; Call::ALL.len()],
    /// Brackets have silences, because readings come late.
    silences: bool,
    /// Other shards of the same fleet are at work, all the time.
    #[serde(skip)]
    pub siblings: bool,
    /// It is not known yet whether readings come late, in which case every call looks free.
    #[serde(skip)]
    pub may_lag: bool,
    #[serde(skip)]
    found: Found,
}

/// What the samples were found to tell: costs are asked for at every call, and change with a sample.
#[derive(Clone, Debug, Default)]
struct Found([OnceLock<f64>; Call::ALL.len()]);

impl PartialEq for Found {
    /// Equal samples tell the same, looked at or not.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Costs {
    /// For brackets that have silences. What was measured without them is worth nothing then, nor the other way round.
    #[must_use]
    pub fn in_silences() -> Self {
        Self {
            silences: true,
            ..Self::default()
        }
    }

    /// Takes in the drop over a bracket of `call`, or over two readings in a row for [`Call::RateLimitStatus`].
    pub fn learn(&mut self, call: Call, drop: f64) -> Fit {
        let known = self.learned(call);
        let reading = self.reading_within(call);
        self.found = Found::default();
        let samples = &mut self.samples[call.index()];
        samples.push_back(drop);
        let most = if call == Call::RateLimitStatus && !self.silences {
            MOST_CONTROLS
        } else {
            MOST
        };
        if samples.len() > most {
            samples.pop_front();
        }
        let Some(known) = known else {
            return Fit::AsKnown;
        };
        let net = |drop: f64| drop - reading;
        let usual = sorted(
            samples
                .iter()
                .take(samples.len() - 1)
                .map(|drop| net(*drop)),
        );
        let (low, high) = (quantile(&usual, 0.0), quantile(&usual, 1.0));
        let above = |net: f64| net > high + 1.5 + 0.25 * known;
        let below = |net: f64| net < low - 1.5 - 0.25 * known;
        let odd = above(net(drop)) || below(net(drop));
        // Two in a row above or below everything seen before, but for one sample at each end: the cost has changed. A
        // cost that varies has shown its extremes more than once.
        let recent: Vec<f64> = samples
            .iter()
            .rev()
            .take(STEP)
            .map(|drop| net(*drop))
            .collect();
        let before = sorted(samples.iter().rev().skip(STEP).map(|drop| net(*drop)));
        if before.len() >= ENOUGH && recent.len() == STEP {
            let (low, high) = (before[1], before[before.len() - 2]);
            // Others only add to a control: two that are higher are a burst, and taken for the price of a reading
            // they would make every call look free.
            let up = call != Call::RateLimitStatus
                && recent.iter().all(|net| *net > high + 1.5 + 0.25 * known);
            let down = recent.iter().all(|net| *net < low - 1.5 - 0.25 * known);
            if up || down {
                samples.drain(..samples.len() - STEP);
                return Fit::Changed;
            }
        }
        if odd { Fit::Odd } else { Fit::AsKnown }
    }

    /// The samples of a call.
    #[must_use]
    pub fn count(&self, call: Call) -> usize {
        self.samples[call.index()].len()
    }

    /// The learned cost of a call in points: what the ledger and the plan reckon with, once there is a sample.
    #[must_use]
    pub fn learned(&self, call: Call) -> Option<f64> {
        let known = !self.samples[call.index()].is_empty();
        known.then(|| *self.found.0[call.index()].get_or_init(|| self.learn_from_samples(call)))
    }

    fn learn_from_samples(&self, call: Call) -> f64 {
        let samples = &self.samples[call.index()];
        if call == Call::RateLimitStatus {
            let drops = sorted(samples.iter().copied());
            // Readings that became dearer are paid for at once.
            let lately = sorted(samples.iter().rev().take(ENOUGH).copied());
            let least = if self.silences {
                0.0
            } else {
                quantile(&lately, 0.25)
            };
            let usual = self.usual_control().max(least);
            return likely(usual, error_of_mean(self.without_extremes(&drops)))
                .clamp(0.0, DEAREST_READING);
        }
        let reading = self.reading_within(call);
        let mut costs = sorted(samples.iter().map(|drop| drop - reading));
        // What a sliding window gave back at that moment hides a call.
        let lowest = quantile(&costs, 0.5) - HIDDEN;
        if !self.silences {
            costs.retain(|cost| *cost >= lowest);
        }
        if costs.len() > ENOUGH && !self.varies(call) {
            self.forget_the_start(&mut costs);
        }
        let cost = if costs.len() < ENOUGH {
            quantile(&costs, 1.0)
        } else if self.silences {
            // Too noisy to tell a call that is free.
            let most = middle(&costs) + error_of_mean(&costs);
            let whole = most.round().max(1.0);
            if (most - whole) < 0.25 { whole } else { most }
        } else if self.siblings && !self.controls_are_quiet() {
            // What siblings add is in many samples, so in their mean and their middle too, but not in the low ones.
            likely(quantile(&costs, 0.25), 0.0)
        } else if !self.varies(call) {
            likely(mean(&costs), error_of_mean(&costs))
        } else if self.controls_are_quiet() {
            mean(&costs) + error_of_mean(&costs)
        } else {
            likely(middle(&costs), 0.0)
        };
        cost.max(0.0)
    }

    /// What a call is reckoned at: as learned, else prudently. With few samples it is not taken to be free, while the
    /// counter may lag not even to be cheap.
    #[must_use]
    pub fn price(&self, call: Call) -> f64 {
        match self.learned(call) {
            Some(cost) if self.may_lag && cost < 0.5 => prudent(call),
            Some(cost) if self.count(call) >= ENOUGH || call == Call::RateLimitStatus => cost,
            Some(cost) => cost.max(1.0),
            None => prudent(call),
        }
    }

    /// True when more samples would tell more: they differ, or their mean is not a whole number.
    #[must_use]
    pub fn is_uncertain(&self, call: Call) -> bool {
        if self.silences {
            return self.count(call) < MOST_IN_SILENCES;
        }
        let fraction = self
            .learned(call)
            .map_or(0.0, |cost| (cost - cost.round()).abs());
        self.varies(call) || fraction > 0.01
    }

    /// Takes out the highest of ascending samples: shards that are started together measure each other's first round,
    /// once.
    fn forget_the_start(&self, sorted: &mut Vec<f64>) {
        if self.siblings {
            sorted.pop();
        }
    }

    /// True when samples of a call differ by more than integers and a sliding window make them differ.
    #[must_use]
    fn varies(&self, call: Call) -> bool {
        let mut costs = sorted(self.samples[call.index()].iter().copied());
        self.forget_the_start(&mut costs);
        quantile(&costs, 0.99) - quantile(&costs, 0.5) > 2.5
    }

    /// The reading within the drop over a bracket of `call`; with silences it was taken off already.
    #[must_use]
    pub fn reading_within(&self, call: Call) -> f64 {
        if call == Call::RateLimitStatus || self.silences {
            0.0
        } else {
            self.cheapest_reading()
        }
    }

    /// True when a control fell by more than readings do: others were at work.
    #[must_use]
    pub fn disturbed(&self, control: f64) -> bool {
        let usual = if self.silences { 4.0 } else { 1.5 };
        control > self.cheapest_reading() + usual
    }

    /// What a reading costs: while others are at work the low end of the controls, because they only ever add to
    /// them. What a sliding window gives back during a silence adds to some and takes from others.
    #[must_use]
    pub fn cheapest_reading(&self) -> f64 {
        let controls = sorted(self.samples[Call::RateLimitStatus.index()].iter().copied());
        let low = quantile(&controls, 0.25);
        let noisy = controls.iter().filter(|drop| **drop > low + 1.5).count();
        let reading = if self.silences || noisy * 12 <= controls.len() {
            self.usual_control()
        } else {
            low
        };
        reading.clamp(0.0, DEAREST_READING)
    }

    /// What a sliding window gives back during a silence comes in lumps, so that most controls fall by more than the
    /// mean; otherwise the middle is what others disturb least.
    fn usual_control(&self) -> f64 {
        let controls = sorted(self.samples[Call::RateLimitStatus.index()].iter().copied());
        if self.silences {
            mean(self.without_extremes(&controls))
        } else {
            middle(&controls)
        }
    }

    /// Ascending controls without those that tell the least: between silences, a burst of others over one of few must
    /// not make readings dear.
    fn without_extremes<'a>(&self, sorted: &'a [f64]) -> &'a [f64] {
        let cut = if self.silences && sorted.len() > 2 {
            (sorted.len() / 20).max(1)
        } else {
            0
        };
        &sorted[cut..sorted.len() - cut]
    }

    /// True when readings in a row fall by little more than what a reading costs, nearly always.
    fn controls_are_quiet(&self) -> bool {
        let reading = self.cheapest_reading();
        let controls = &self.samples[Call::RateLimitStatus.index()];
        // A point more is an integer's rounding, or the cheapest call of a sibling, which is always there.
        let usual = if self.siblings { 0.5 } else { 1.5 };
        let noisy = controls
            .iter()
            .filter(|drop| **drop > reading + usual)
            .count();
        controls.len() >= ENOUGH && noisy * 12 <= controls.len()
    }
}

/// Most costs are whole numbers, and a mean that is near one is taken for it; one that is not is taken with its error,
/// for what is reckoned too low would be spent too much. What costs anything is taken to cost a point.
fn likely(mean: f64, error: f64) -> f64 {
    if (0.15..1.0).contains(&mean) {
        return 1.0;
    }
    let whole = mean.round();
    if (whole - 0.45..=whole + 0.15).contains(&mean) && whole > 0.0 {
        whole
    } else {
        mean + error
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positions among a few dozen samples"
)]
fn quantile(sorted: &[f64], quantile: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted
        .get((quantile * last as f64).round() as usize)
        .copied()
        .unwrap_or(0.0)
}

/// The mean of the middle half.
fn middle(sorted: &[f64]) -> f64 {
    let cut = sorted.len() / 4;
    mean(&sorted[cut..sorted.len() - cut])
}

#[expect(clippy::cast_precision_loss, reason = "a few dozen samples")]
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "a few dozen samples")]
fn error_of_mean(values: &[f64]) -> f64 {
    let mean = mean(values);
    let variance = values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / values.len().saturating_sub(1).max(1) as f64;
    (variance / values.len().max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests;
