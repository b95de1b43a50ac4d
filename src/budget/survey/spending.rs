//! What the spender's counter shows while it alone is read.

use super::{Spent, TELLING};
use crate::budget::allowance::Remaining;
use crate::budget::bracket::fall_between;

/// Of what tells anything, what the counter must show.
const SHOWN: f64 = 0.75 * TELLING;
/// In so many readings after the first at least.
const LEAST_FALLS: usize = 3;

/// The readings since the spender began to spend.
///
/// Readings that were measured while others were at work are reckoned too dear, and then nobody's counter would seem to
/// fall by what was spent, so that nobody would seem to share. Here it shows what they cost.
#[derive(Clone, Debug, Default)]
pub(super) struct Spending {
    last: Option<(Remaining, Spent)>,
    /// How much of what was reckoned was seen from one reading to the next, as a part.
    parts: Vec<f64>,
}

impl Spending {
    /// Takes in a reading of the spender.
    pub(super) fn read(&mut self, remaining: Remaining, spent: Spent) {
        if let Some((before, spent_before)) = self.last.replace((remaining, spent)) {
            let reckoned = (spent.own - spent_before.own).max(0.1);
            let part = fall_between(before, remaining) / reckoned;
            self.parts.push(part.clamp(0.0, 1.0));
        }
    }

    /// What readings cost, as a part of the points `reckoned` for all of them; `None` while the counter has not shown it.
    pub(super) fn price(&self, reckoned: f64) -> Option<f64> {
        let mut parts = self.parts.clone();
        parts.sort_by(f64::total_cmp);
        // Others only add to what is seen.
        let usual = *parts.get(parts.len() / 4)?;
        (parts.len() >= LEAST_FALLS && usual * reckoned >= SHOWN).then_some(usual)
    }
}
