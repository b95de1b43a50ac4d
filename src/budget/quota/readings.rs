//! Readings of the remaining points, and the size of a quota derived from them.

use crate::units::{AccountTime, Points};
/// Sizes assumed while no reading is usable. The largest values in published responses are 997 and 19,900.
pub const USUAL_SIZES: Remaining = [Points(1000.0), Points(20_000.0)];
/// Minimum size of a quota. No published one is smaller, and a VPS whose quota seems to be empty would never be polled.
const MIN_SIZE: Points = Points(10.0);
/// A largest reading needs no confirmation if it exceeds the second largest by less than this fraction.
const CONFIRMED_WITHIN: f64 = 0.02;
/// Remaining points, by [`Window`].
pub type Remaining = [Points; 2];

/// A reading of the remaining points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The time of the response.
    pub at: AccountTime,
    /// The remaining points.
    pub remaining: Remaining,
    /// Total points spent from the quota when the reading was requested.
    pub spent: Points,
}

/// The largest readings of each window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sizes {
    /// The largest and second largest reading of each window.
    pub largest: [[Points; 2]; 2],
}

impl Sizes {
    /// Records a reading.
    pub fn read(&mut self, remaining: Remaining) {
        for ([first, second], left) in self.largest.iter_mut().zip(remaining) {
            if left > *first {
                *second = std::mem::replace(first, left);
            } else {
                *second = second.max(left);
            }
        }
    }

    /// Returns the largest confirmed reading of each window; `None` until readings reach the minimum size.
    #[must_use]
    pub fn confirmed(&self) -> Option<Remaining> {
        let sizes = self.largest.map(|[first, second]| {
            let confirmed = second < MIN_SIZE || first - second <= first * CONFIRMED_WITHIN;
            if confirmed { first } else { second }
        });
        sizes.iter().all(|size| *size >= MIN_SIZE).then_some(sizes)
    }

    /// Merges the readings of another VPS of the same quota.
    pub fn merge(&mut self, other: &Self) {
        for second in [1, 0] {
            self.read([other.largest[0][second], other.largest[1][second]]);
        }
    }
}

/// The readings of a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Readings {
    /// The last three usable readings, latest first.
    pub last: [Option<Reading>; 3],
    /// Time of the first request.
    pub first_request: Option<AccountTime>,
    /// Time of the last request.
    pub last_request: AccountTime,
    /// Consecutive unusable readings.
    pub failures: u32,
    /// Start of a span for scaling assumed prices: the remaining points of the day, and the total points spent.
    pub span: Option<(Points, Points)>,
}
