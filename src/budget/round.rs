//! The points of a single round, which makes each call at most once.

use std::collections::{HashMap, HashSet};

use thiserror::Error;

use super::quota::Remaining;
use super::window::Window;
use crate::kiwivm::{Call, Veid};
use crate::units::Points;

/// Points that are always kept for readings.
const RESERVE: Points = Points(3.0);

/// The reason why a call is skipped, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum Skip {
    /// An earlier call of the VPS was refused for lack of points.
    #[error("the API refused a call for lack of points")]
    OutOfPoints,
    /// The points left are reserved for readings or other clients.
    #[error("{:.0} points are left in the current {}, of which {:.0} are reserved", left.0, window.words(), reserved.0)]
    Reserved {
        /// The window with too few points.
        window: Window,
        /// The points left in it.
        left: Points,
        /// The part of them that this call may not spend.
        reserved: Points,
    },
    /// The API refused the key.
    #[error("the API refused the key")]
    KeyRefused,
}

/// Decides which calls of a single round the points allow. It uses the reading of each VPS for that VPS only, so it
/// need not know which VPSes share a quota.
#[derive(Debug)]
pub struct Round {
    share: f64,
    /// The largest reading of any VPS.
    largest: Remaining,
    /// The points left for each VPS: its reading less the calls since.
    left: HashMap<Veid, Remaining>,
    refused: HashSet<Veid>,
}

impl Round {
    /// Creates a round that may spend `share` of each quota.
    #[must_use]
    pub fn new(share: f64) -> Self {
        Self {
            share,
            largest: [Points::ZERO; 2],
            left: HashMap::new(),
            refused: HashSet::new(),
        }
    }

    /// Records the reading of a VPS.
    pub fn read(&mut self, veid: Veid, remaining: Remaining) {
        for (largest, left) in self.largest.iter_mut().zip(remaining) {
            *largest = largest.max(left);
        }
        self.left.insert(veid, remaining);
    }

    /// Records that a call of the VPS was refused for lack of points.
    pub fn refused(&mut self, veid: Veid) {
        self.refused.insert(veid);
    }

    /// Allows a call and books its points. Live and service info may take all but the reserved points, the other calls
    /// only the share, to leave points to other clients.
    ///
    /// # Errors
    ///
    /// If the call must be skipped.
    pub fn take(&mut self, veid: Veid, call: Call) -> Result<(), Skip> {
        if self.refused.contains(&veid) {
            return Err(Skip::OutOfPoints);
        }
        let points = call.first_price();
        let Some(left) = self.left.get_mut(&veid) else {
            return Ok(());
        };
        let state = call.returns_state();
        for ((window, &left), largest) in Window::ALL.into_iter().zip(left.iter()).zip(self.largest)
        {
            let reserved = if state {
                RESERVE
            } else {
                RESERVE.max(largest * (1.0 - self.share))
            };
            if left - points < reserved {
                return Err(Skip::Reserved {
                    window,
                    left,
                    reserved,
                });
            }
        }
        for left in left.iter_mut() {
            *left -= points;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Veid = Veid(1);
    const LIVE: Call = Call::LiveServiceInfo;
    const USAGE: Call = Call::RawUsageStats;

    #[test]
    fn every_call_is_allowed_while_points_are_plentiful_or_unknown() {
        let mut round = Round::new(0.5);
        assert!(
            Call::ALL
                .into_iter()
                .all(|call| round.take(ONE, call).is_ok())
        );
        round.read(ONE, [Points(1000.0), Points(20_000.0)]);
        assert!(
            Call::ALL
                .into_iter()
                .all(|call| round.take(ONE, call).is_ok())
        );
    }

    #[test]
    fn only_calls_of_a_vps_without_points_are_skipped() {
        let mut round = Round::new(0.5);
        round.read(ONE, [Points(2.0), Points(19_000.0)]);
        round.read(Veid(2), [Points(1000.0), Points(20_000.0)]);
        let reason = round
            .take(ONE, LIVE)
            .expect_err("no points are left")
            .to_string();
        assert!(
            reason.contains("2 points are left in the current 15 minutes"),
            "{reason}"
        );
        assert!(round.take(Veid(2), LIVE).is_ok() && round.take(Veid(2), USAGE).is_ok());
    }

    #[test]
    fn live_calls_may_exceed_the_share_and_history_may_not() {
        let mut round = Round::new(0.5);
        round.read(Veid(2), [Points(1000.0), Points(20_000.0)]);
        round.read(ONE, [Points(400.0), Points(19_000.0)]);
        assert!(round.take(ONE, USAGE).is_err() && round.take(ONE, LIVE).is_ok());
    }

    #[test]
    fn a_refusal_ends_the_round_of_its_vps_only() {
        let mut round = Round::new(0.5);
        round.refused(ONE);
        assert!(round.take(ONE, LIVE).is_err() && round.take(Veid(2), LIVE).is_ok());
    }
}
