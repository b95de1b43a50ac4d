//! Units as types, so that a time cannot be passed for a size, a duration or points.
//!
//! Responses have whole numbers; forecasts, prices and the wall clock have fractions. Serialization writes the plain
//! number.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Sub, SubAssign};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A time, in seconds since 1970. The difference of two times is a plain number of seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixSeconds<N = f64>(pub N);

impl UnixSeconds {
    /// Rounds down to whole seconds.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "floats saturate")]
    pub fn whole(self) -> UnixSeconds<i64> {
        UnixSeconds(self.0.floor() as i64)
    }

    /// Returns the earlier of two times.
    #[must_use]
    pub const fn min(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }

    /// Returns the later of two times.
    #[must_use]
    pub const fn max(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }
}

impl From<UnixSeconds<i64>> for UnixSeconds {
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact for any date below the year 285,000,000"
    )]
    fn from(time: UnixSeconds<i64>) -> Self {
        Self(time.0 as f64)
    }
}

impl From<UnixSeconds<u32>> for UnixSeconds {
    fn from(time: UnixSeconds<u32>) -> Self {
        Self(time.0.into())
    }
}

impl<N: Sub<Output = N>> Sub for UnixSeconds<N> {
    type Output = N;

    fn sub(self, earlier: Self) -> N {
        self.0 - earlier.0
    }
}

impl<N: Sub<Output = N>> Sub<N> for UnixSeconds<N> {
    type Output = Self;

    fn sub(self, seconds: N) -> Self {
        Self(self.0 - seconds)
    }
}

impl<N: Add<Output = N>> Add<N> for UnixSeconds<N> {
    type Output = Self;

    fn add(self, seconds: N) -> Self {
        Self(self.0 + seconds)
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes<N = u64>(pub N);

impl Bytes {
    /// Adds; `None` if the sum is too large.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Adds, with the largest number as the maximum.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Subtracts, with 0 as the minimum.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl From<Bytes> for Bytes<f64> {
    #[expect(clippy::cast_precision_loss, reason = "samples are 64-bit floats")]
    fn from(bytes: Bytes) -> Self {
        Self(bytes.0 as f64)
    }
}

impl<N: Add<Output = N>> Add for Bytes<N> {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl<N: AddAssign> AddAssign for Bytes<N> {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl<N: Sub<Output = N>> Sub for Bytes<N> {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Mul<f64> for Bytes<f64> {
    type Output = Self;

    fn mul(self, factor: f64) -> Self {
        Self(self.0 * factor)
    }
}

/// A time by the clock of the account: the planner's time, which runs faster than that of the process with a simulator.
/// The difference of two times is a [`Duration`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountTime(Duration);

impl AccountTime {
    /// The beginning, long before the process started.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// Returns the time that is `since_zero` after the beginning.
    #[must_use]
    pub const fn new(since_zero: Duration) -> Self {
        Self(since_zero)
    }

    /// Returns the time that is so many seconds after the beginning.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Returns the time since the beginning.
    #[must_use]
    pub const fn since_zero(self) -> Duration {
        self.0
    }

    /// Returns the time since `earlier`; zero if that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Adds, with the largest time as the maximum.
    #[must_use]
    pub const fn saturating_add(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(wait))
    }

    /// Subtracts, with the beginning as the minimum.
    #[must_use]
    pub const fn saturating_sub(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(time))
    }

    /// Subtracts; `None` if the result is before the beginning.
    #[must_use]
    pub fn checked_sub(self, time: Duration) -> Option<Self> {
        self.0.checked_sub(time).map(Self)
    }
}

impl Add<Duration> for AccountTime {
    type Output = Self;

    fn add(self, wait: Duration) -> Self {
        Self(self.0 + wait)
    }
}

impl AddAssign<Duration> for AccountTime {
    fn add_assign(&mut self, wait: Duration) {
        self.0 += wait;
    }
}

/// A number of API points. It has fractions, because prices are averages.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Points(pub f64);

/// A rate of spending, in API points per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct PointsPerSecond(pub f64);

/// Implements the arithmetic of numbers of one unit.
macro_rules! arithmetic {
    ($unit:ident) => {
        impl $unit {
            /// None.
            pub const ZERO: Self = Self(0.0);

            /// Returns the smaller of two numbers.
            #[must_use]
            pub const fn min(self, other: Self) -> Self {
                Self(self.0.min(other.0))
            }

            /// Returns the larger of two numbers.
            #[must_use]
            pub const fn max(self, other: Self) -> Self {
                Self(self.0.max(other.0))
            }

            /// Limits the number to a range.
            #[must_use]
            pub const fn clamp(self, least: Self, most: Self) -> Self {
                Self(self.0.max(least.0).min(most.0))
            }
        }

        impl Add for $unit {
            type Output = Self;

            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }

        impl Sub for $unit {
            type Output = Self;

            fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
        }

        impl AddAssign for $unit {
            fn add_assign(&mut self, other: Self) {
                self.0 += other.0;
            }
        }

        impl SubAssign for $unit {
            fn sub_assign(&mut self, other: Self) {
                self.0 -= other.0;
            }
        }

        impl Mul<f64> for $unit {
            type Output = Self;

            fn mul(self, factor: f64) -> Self {
                Self(self.0 * factor)
            }
        }

        impl Div<f64> for $unit {
            type Output = Self;

            fn div(self, divisor: f64) -> Self {
                Self(self.0 / divisor)
            }
        }

        impl Div for $unit {
            type Output = f64;

            fn div(self, other: Self) -> f64 {
                self.0 / other.0
            }
        }

        impl Sum for $unit {
            fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
                all.fold(Self::ZERO, Add::add)
            }
        }
    };
}

arithmetic!(Points);
arithmetic!(PointsPerSecond);

impl Div<Duration> for Points {
    type Output = PointsPerSecond;

    fn div(self, time: Duration) -> PointsPerSecond {
        PointsPerSecond(self.0 / time.as_secs_f64())
    }
}

impl Div<PointsPerSecond> for Points {
    type Output = Duration;

    /// Returns the time in which the rate spends the points; the longest time if it never does.
    fn div(self, rate: PointsPerSecond) -> Duration {
        Duration::try_from_secs_f64(self.0.max(0.0) / rate.0).unwrap_or(Duration::MAX)
    }
}

impl Mul<Duration> for PointsPerSecond {
    type Output = Points;

    fn mul(self, time: Duration) -> Points {
        Points(self.0 * time.as_secs_f64())
    }
}
