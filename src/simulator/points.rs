//! API points: two windows, costs, and what happens when they are gone.

use std::collections::{BTreeMap, VecDeque};

const WINDOWS: [f64; 2] = [15.0 * 60.0, 24.0 * 60.0 * 60.0];

/// How points are counted. Nobody knows how KiwiVM does it, so everything is a parameter.
#[derive(Clone, Debug)]
pub struct PointsOptions {
    /// Points in 15 minutes and in 24 hours.
    pub sizes: [u64; 2],
    /// Cost of calls by name; 1 for those not named.
    pub costs: BTreeMap<String, u64>,
    /// One allowance for the account, or one for each VPS.
    pub shared: bool,
    /// Windows that slide, or that begin anew all at once.
    pub sliding: bool,
    /// How a call is refused.
    pub refusal: Refusal,
}

/// How a call is refused when no points are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// HTTP 429.
    Status,
    /// The connection is dropped.
    Drop,
    /// An error of the API.
    Message,
}

impl Default for PointsOptions {
    fn default() -> Self {
        Self {
            sizes: [1000, 20_000],
            costs: BTreeMap::new(),
            shared: false,
            sliding: false,
            refusal: Refusal::Status,
        }
    }
}

/// What was spent.
#[derive(Debug)]
pub struct Points {
    options: PointsOptions,
    spent: BTreeMap<u64, VecDeque<(f64, u64)>>,
}

impl Points {
    pub fn new(options: PointsOptions) -> Self {
        Self {
            options,
            spent: BTreeMap::new(),
        }
    }

    /// Spends the points of a call; `now` is in seconds of the story.
    pub fn spend(&mut self, veid: u64, call: &str, now: f64) -> Result<(), Refusal> {
        let cost = self.options.costs.get(call).copied().unwrap_or(1);
        if self.remaining(veid, now).iter().any(|left| *left < cost) {
            return Err(self.options.refusal);
        }
        let spent = self.spent.entry(self.allowance(veid)).or_default();
        spent.push_back((now, cost));
        while spent.front().is_some_and(|(at, _)| now - at > WINDOWS[1]) {
            spent.pop_front();
        }
        Ok(())
    }

    /// Points left in both windows.
    pub fn remaining(&self, veid: u64, now: f64) -> [u64; 2] {
        let spent = self.spent.get(&self.allowance(veid));
        std::array::from_fn(|window| {
            let length = WINDOWS[window];
            let begin = if self.options.sliding {
                now - length
            } else {
                (now / length).floor() * length
            };
            let used: u64 = spent
                .into_iter()
                .flatten()
                .filter(|(at, _)| *at >= begin)
                .map(|(_, cost)| cost)
                .sum();
            self.options.sizes[window].saturating_sub(used)
        })
    }

    fn allowance(&self, veid: u64) -> u64 {
        if self.options.shared { 0 } else { veid }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(sliding: bool, shared: bool) -> Points {
        Points::new(PointsOptions {
            sizes: [10, 100],
            costs: BTreeMap::from([("dear".to_owned(), 4)]),
            shared,
            sliding,
            refusal: Refusal::Drop,
        })
    }

    #[test]
    fn fixed_windows_begin_anew_and_sliding_ones_recover() {
        for (sliding, at_900, at_1700) in [(false, 10, 10), (true, 6, 10)] {
            let mut points = points(sliding, false);
            points.spend(1, "dear", 800.0).expect("there are points");
            assert_eq!(points.remaining(1, 800.0), [6, 96]);
            assert_eq!(points.remaining(1, 900.0)[0], at_900);
            assert_eq!(points.remaining(1, 1701.0)[0], at_1700);
        }
    }

    #[test]
    fn an_empty_window_refuses() {
        let mut points = points(true, true);
        assert_eq!(points.spend(1, "dear", 1.0), Ok(()));
        assert_eq!(points.spend(2, "dear", 2.0), Ok(()));
        assert_eq!(points.spend(3, "dear", 3.0), Err(Refusal::Drop));
        assert_eq!(points.spend(3, "cheap", 3.0), Ok(()));
        assert_eq!(points.remaining(9, 3.0), [1, 91]);
    }
}
