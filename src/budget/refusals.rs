//! How refused calls slow down those that follow.

use std::collections::VecDeque;
use std::time::Duration;

/// The pace is halved at most once in this time, however many calls were on their way.
const ONCE_IN: Duration = Duration::from_secs(30);
/// The pace doubles again in this time without a refusal.
const RECOVERS_IN: Duration = Duration::from_secs(10 * 60);
/// The lowest pace.
const LOWEST: f64 = 1.0 / 64.0;
/// Without an answer for this long it is an outage, in which calls cost nothing and after which data are to be fresh
/// soon.
const OUTAGE: Duration = Duration::from_secs(60);
/// So many dropped connections within [`ONCE_IN`] are a refusal.
const BURST: usize = 4;

/// A factor on the pace of calls: 1 when nothing was refused lately.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Brake {
    halved: Option<(Duration, f64)>,
    drops: VecDeque<Duration>,
    answered: Option<Duration>,
}

impl Brake {
    /// The factor on the pace, above 0, at most 1.
    #[must_use]
    pub fn factor(&self, now: Duration) -> f64 {
        self.halved.map_or(1.0, |(at, factor)| {
            let since = now.saturating_sub(at).as_secs_f64();
            (factor * doubled(since / RECOVERS_IN.as_secs_f64())).min(1.0)
        })
    }

    /// A call was refused.
    pub fn refused(&mut self, now: Duration) {
        let too_soon = self
            .halved
            .is_some_and(|(at, _)| now.saturating_sub(at) < ONCE_IN);
        if !too_soon {
            self.halved = Some((now, (self.factor(now) / 2.0).max(LOWEST)));
        }
    }

    /// A call was answered.
    pub fn answered(&mut self, now: Duration) {
        self.answered = Some(now);
    }

    /// A connection was dropped; a burst of these among answers is taken for a refusal.
    pub fn dropped(&mut self, now: Duration) {
        if self
            .answered
            .is_none_or(|at| now.saturating_sub(at) > OUTAGE)
        {
            return;
        }
        while self
            .drops
            .front()
            .is_some_and(|at| now.saturating_sub(*at) > ONCE_IN)
        {
            self.drops.pop_front();
        }
        self.drops.push_back(now);
        if self.drops.len() >= BURST {
            self.drops.clear();
            self.refused(now);
        }
    }

    /// When the pace was last halved, and to what.
    #[must_use]
    pub fn halved(&self) -> Option<(Duration, f64)> {
        self.halved
    }

    /// Puts back what [`Self::halved`] told.
    pub fn restore(&mut self, halved: Option<(Duration, f64)>) {
        self.halved = halved.map(|(at, factor)| (at, factor.clamp(LOWEST, 1.0)));
    }

    /// No slowing any more.
    pub fn release(&mut self) {
        *self = Self::default();
    }
}

/// Two to the power of `times` at whole numbers, a straight line between them: the exact curve would bring in the
/// library of mathematics, which is larger than all of the planner.
fn doubled(times: f64) -> f64 {
    /// From the lowest pace to the highest.
    const MOST: f64 = 6.0;
    let times = times.min(MOST);
    let mut factor = 1.0 + times.fract();
    let mut whole = 1.0;
    while whole <= times {
        factor *= 2.0;
        whole += 1.0;
    }
    factor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_doubles_again_and_again() {
        for (times, factor) in [
            (0.0, 1.0),
            (0.5, 1.5),
            (1.0, 2.0),
            (2.5, 6.0),
            (6.0, 64.0),
            (1e9, 64.0),
        ] {
            assert!((doubled(times) - factor).abs() < 1e-9, "{times}");
        }
    }
}
