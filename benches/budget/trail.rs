//! Points spent in a trailing window.

use std::collections::VecDeque;

#[derive(Clone, Debug, Default)]
pub struct Trail {
    spent: VecDeque<(f64, f64)>,
    sum: f64,
}

impl Trail {
    pub fn add(&mut self, points: f64, now: f64) {
        self.spent.push_back((now, points));
        self.sum += points;
    }

    /// Returns the points of the last `length` seconds.
    pub fn sum(&mut self, length: f64, now: f64) -> f64 {
        while let Some((_, points)) = self.spent.front().filter(|(at, _)| *at <= now - length) {
            self.sum -= points;
            self.spent.pop_front();
        }
        self.sum
    }
}
