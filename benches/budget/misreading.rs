//! Wrong readings of the remaining points.

use crate::actors::Dice;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Misreading {
    Truth,
    /// Only the first reading of the account is wrong.
    First([f64; 2]),
    /// All readings before this second are wrong.
    Until(f64, [f64; 2]),
    /// Null or text instead of a number.
    Null,
    Negative,
    Fractional,
    /// Readings never fall.
    Constant,
    /// Readings are off by up to this number of points.
    Noise(f64),
    /// Random numbers up to the size of the window.
    Random,
}

impl Misreading {
    /// Returns a reading, given the points that are really `left`. `count` is 1 for the first reading of the account.
    pub fn read(
        self,
        left: [f64; 2],
        sizes: [f64; 2],
        count: u64,
        now: f64,
        dice: &mut Dice,
    ) -> Option<[f64; 2]> {
        let mut roll = || 2.0 * dice.roll() - 1.0;
        Some(match self {
            Self::Null => return None,
            Self::First(readings) if count == 1 => readings,
            Self::Until(until, readings) if now < until => readings,
            Self::Truth | Self::First(_) | Self::Until(..) => left,
            Self::Negative => left.map(|left| -1.0 - left),
            Self::Fractional => left.map(|left| left + 0.5),
            Self::Constant => sizes,
            Self::Noise(most) => left.map(|left| (left + most * roll()).round().max(0.0)),
            Self::Random => sizes.map(|size| (size * roll().abs()).round()),
        })
    }
}
