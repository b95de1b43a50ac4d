//! The response of `getRateLimitStatus`, with or without a fault.

use super::fault::{FaultKind, Occurrence};
use super::json::{Object, text};
use super::noise::mix;
use super::reads::ReadContext;

/// Default amplitude of [`FaultKind::NoisyPoints`]: more than most calls cost, so that no single difference reveals a
/// cost.
const NOISE: [u64; 2] = [15, 15];

/// Names of the fields, the quarter of an hour first.
const FIELDS: [&str; 2] = ["remaining_points_15min", "remaining_points_24h"];

impl ReadContext<'_> {
    /// The remaining points, changed by a fault if there is one.
    pub(super) fn reading(&self) -> Object {
        let response = Object::new().raw("error", 0);
        (0..FIELDS.len()).fold(response, |response, window| match self.shown(window) {
            Some(points) => response.raw(FIELDS[window], points),
            None => response,
        })
    }

    /// One window as JSON; `None` if it is left out.
    fn shown(&self, window: usize) -> Option<String> {
        let (left, size) = (self.points[window], self.sizes[window]);
        let Some(occurrence) = self.occurrence else {
            return Some(left.to_string());
        };
        let points = occurrence.fault.points;
        let shown = match occurrence.fault.kind {
            FaultKind::ConstantPoints => points.map_or(size, |points| points[window]).to_string(),
            FaultKind::NullPoints => "null".to_owned(),
            FaultKind::TextPoints => text("plenty"),
            FaultKind::NegativePoints => "-1".to_owned(),
            FaultKind::FractionalPoints => format!("{left}.5"),
            FaultKind::MissingPoints => return None,
            FaultKind::NoisyPoints => {
                let noise = points.unwrap_or(NOISE)[window];
                // From `noise` below to `noise` above.
                let off = self.at_random(occurrence, window, noise.saturating_mul(2));
                left.saturating_add(off).saturating_sub(noise).to_string()
            }
            FaultKind::JumpingPoints => self.at_random(occurrence, window, size).to_string(),
            _ => left.to_string(),
        };
        Some(shown)
    }

    /// A whole number up to `most`; the same for the same reading of the same account.
    fn at_random(&self, occurrence: &Occurrence, window: usize, most: u64) -> u64 {
        // The other purposes are numbers below 50.
        let purpose = 50 + window as u64;
        let number = occurrence.number.cast_signed();
        mix(self.vps.seed, self.vps.veid, number, purpose) % most.saturating_add(1)
    }
}
