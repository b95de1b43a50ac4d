//! The points of a single round, in which each call is made once at most.

use std::collections::{HashMap, HashSet};

use super::quota::Remaining;
use crate::kiwivm::{Call, Veid};

/// Points that stay for readings of others.
const RESERVE: f64 = 3.0;

/// Decides which calls of a single round the points allow. Each VPS is judged by its own reading, so it does not matter
/// who shares a quota.
#[derive(Debug)]
pub struct Round {
    share: f64,
    /// The largest reading of any VPS.
    largest: Remaining,
    /// The points left by the reading of each VPS.
    left: HashMap<Veid, Remaining>,
    refused: HashSet<Veid>,
}

impl Round {
    /// A round that may spend `share` of the points that it finds.
    #[must_use]
    pub fn new(share: f64) -> Self {
        Self {
            share,
            largest: [0.0; 2],
            left: HashMap::new(),
            refused: HashSet::new(),
        }
    }

    /// Takes in the reading of a VPS.
    pub fn read(&mut self, veid: Veid, remaining: Remaining) {
        for (largest, left) in self.largest.iter_mut().zip(remaining) {
            *largest = largest.max(left);
        }
        self.left.insert(veid, remaining);
    }

    /// A call of the VPS was refused for lack of points.
    pub fn refused(&mut self, veid: Veid) {
        self.refused.insert(veid);
    }

    /// Allows a call and books its points, or says why it is left out. State may take the last points, the rest only
    /// the share: the owner has use for points too.
    ///
    /// # Errors
    ///
    /// The reason, in words.
    pub fn take(&mut self, veid: Veid, call: Call) -> Result<(), String> {
        if self.refused.contains(&veid) {
            return Err("the API refused a call for lack of points".to_owned());
        }
        let points = call.first_price();
        let Some(left) = self.left.get_mut(&veid) else {
            return Ok(());
        };
        let state = matches!(call, Call::LiveServiceInfo | Call::ServiceInfo);
        for (window, (left, largest)) in left.iter().zip(self.largest).enumerate() {
            let kept = if state {
                RESERVE
            } else {
                RESERVE.max((1.0 - self.share) * largest)
            };
            if *left - points < kept {
                let window = ["15 minutes", "24 hours"][window];
                return Err(format!(
                    "{left:.0} points are left in the current {window}, and {kept:.0} are kept"
                ));
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
    fn everything_is_taken_while_points_are_plentiful_or_unknown() {
        let mut round = Round::new(0.5);
        assert!(
            Call::ALL
                .into_iter()
                .all(|call| round.take(ONE, call).is_ok())
        );
        round.read(ONE, [1000.0, 20_000.0]);
        assert!(
            Call::ALL
                .into_iter()
                .all(|call| round.take(ONE, call).is_ok())
        );
    }

    #[test]
    fn a_vps_without_points_is_left_out_and_others_are_not() {
        let mut round = Round::new(0.5);
        round.read(ONE, [2.0, 19_000.0]);
        round.read(Veid(2), [1000.0, 20_000.0]);
        let why = round.take(ONE, LIVE).expect_err("there are none");
        assert!(
            why.contains("2 points are left in the current 15 minutes"),
            "{why}"
        );
        assert!(round.take(Veid(2), LIVE).is_ok() && round.take(Veid(2), USAGE).is_ok());
    }

    #[test]
    fn state_may_take_what_the_share_does_not_allow_to_history() {
        let mut round = Round::new(0.5);
        round.read(Veid(2), [1000.0, 20_000.0]);
        round.read(ONE, [400.0, 19_000.0]);
        assert!(round.take(ONE, USAGE).is_err() && round.take(ONE, LIVE).is_ok());
    }

    #[test]
    fn a_refusal_ends_the_round_of_its_vps() {
        let mut round = Round::new(0.5);
        round.refused(ONE);
        assert!(round.take(ONE, LIVE).is_err() && round.take(Veid(2), LIVE).is_ok());
    }
}
