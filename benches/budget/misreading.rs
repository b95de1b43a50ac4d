//! Readings of the remaining points that are not the truth.

use crate::actors::Dice;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Misreading {
    Truth,
    /// The first reading of the account says this.
    First([f64; 2]),
    /// All readings say this until a second.
    Until(f64, [f64; 2]),
    /// No number at all: null or text.
    Null,
    Negative,
    Fractional,
    /// Readings never fall.
    Constant,
    /// So many points too much or too little, at random.
    Noise(f64),
    /// Any number up to the size of the window.
    Random,
}

impl Misreading {
    /// The reading while `left` is true; `count` is 1 for the first reading of the account.
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
