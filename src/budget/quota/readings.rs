//! Readings of the remaining points, and the size of a quota that follows from them.

use std::time::Duration;

/// The sizes that are assumed while no reading is usable: the largest remaining points in published responses are 997
/// and 19,900.
pub const USUAL_SIZES: Remaining = [1000.0, 20_000.0];
/// A reading below this, before any other, is not believed to be the size of a quota: no published one is that small,
/// and a quota believed to be empty would never be polled.
const SMALLEST_SIZE: f64 = 10.0;
/// A reading that exceeds all others by less than this part needs no second one to confirm it.
const CONFIRMED_WITHIN: f64 = 0.02;
/// Remaining points, by [`Window`].
pub type Remaining = [f64; 2];

/// A reading of the remaining points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The time of the response.
    pub at: Duration,
    /// The points.
    pub remaining: Remaining,
    /// Points ever spent from the quota when the reading was asked for.
    pub spent: f64,
}

/// The size of each window, from readings alone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sizes {
    /// The largest and the second largest reading of each window.
    pub largest: [[f64; 2]; 2],
}

impl Sizes {
    /// Takes in a reading.
    pub fn read(&mut self, remaining: Remaining) {
        for ([first, second], left) in self.largest.iter_mut().zip(remaining) {
            if left > *first {
                *second = std::mem::replace(first, left);
            } else {
                *second = second.max(left);
            }
        }
    }

    /// The largest reading that another one confirms, by window. `None` until a reading is large enough to be a quota.
    #[must_use]
    pub fn confirmed(&self) -> Option<Remaining> {
        let sizes = self.largest.map(|[first, second]| {
            let confirmed = second < SMALLEST_SIZE || first - second <= CONFIRMED_WITHIN * first;
            if confirmed { first } else { second }
        });
        sizes
            .iter()
            .all(|size| *size >= SMALLEST_SIZE)
            .then_some(sizes)
    }

    /// Takes in the readings of another VPS of the same quota.
    pub fn merge(&mut self, other: &Self) {
        for second in [1, 0] {
            self.read([other.largest[0][second], other.largest[1][second]]);
        }
    }
}

/// The readings of a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Readings {
    /// The last usable one and the one before it.
    pub last: [Option<Reading>; 2],
    /// When the first one was asked for.
    pub since: Option<Duration>,
    /// When the last one was asked for.
    pub asked: Duration,
    /// Unusable ones in a row.
    pub failures: u32,
    /// The start of a span that may scale assumed prices: the points of the day, and those ever spent.
    pub span: Option<(f64, f64)>,
}
