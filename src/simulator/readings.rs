//! The answer of `getRateLimitStatus`, right or wrong.

use super::fault::{FaultKind, Occurrence};
use super::json::{Object, text};
use super::noise::mix;
use super::reads::Moment;

/// How far [`FaultKind::NoisyPoints`] is off at most unless the fault says otherwise: more than most calls cost, so that
/// no single difference tells a cost.
const NOISE: [u64; 2] = [15, 15];

/// Names of the fields, the quarter of an hour first.
const FIELDS: [&str; 2] = ["remaining_points_15min", "remaining_points_24h"];

impl Moment<'_> {
    /// The remaining points, as a fault shows them if there is one.
    pub(super) fn reading(&self) -> Object {
        let answer = Object::new().raw("error", 0);
        (0..FIELDS.len()).fold(answer, |answer, window| match self.shown(window) {
            Some(points) => answer.raw(FIELDS[window], points),
            None => answer,
        })
    }

    /// One window as JSON; `None` when it is left out.
    fn shown(&self, window: usize) -> Option<String> {
        let (left, size) = (self.points[window], self.sizes[window]);
        let Some(met) = self.met else {
            return Some(left.to_string());
        };
        let points = met.fault.points;
        let shown = match met.fault.kind {
            FaultKind::ConstantPoints => points.map_or(size, |points| points[window]).to_string(),
            FaultKind::NullPoints => "null".to_owned(),
            FaultKind::TextPoints => text("plenty"),
            FaultKind::NegativePoints => "-1".to_owned(),
            FaultKind::FractionalPoints => format!("{left}.5"),
            FaultKind::MissingPoints => return None,
            FaultKind::NoisyPoints => {
                let noise = points.unwrap_or(NOISE)[window];
                // From `noise` below to `noise` above.
                let off = self.at_random(met, window, noise.saturating_mul(2));
                left.saturating_add(off).saturating_sub(noise).to_string()
            }
            FaultKind::JumpingPoints => self.at_random(met, window, size).to_string(),
            _ => left.to_string(),
        };
        Some(shown)
    }

    /// A whole number up to `most`; the same for the same reading of the same account.
    fn at_random(&self, met: &Occurrence, window: usize, most: u64) -> u64 {
        // Other uses of the seed have numbers below 50.
        let what = 50 + window as u64;
        let number = met.number.cast_signed();
        mix(self.vps.seed, self.vps.veid, number, what) % most.saturating_add(1)
    }
}
