//! Whether VPSes share a quota, by votes of ordinary readings.
//!
//! Between two readings of a VPS the others spent points. If the second reading does not show them, the VPS has a quota
//! of its own; if it does, they share one. VPSes share until two of them vote otherwise: sharing where there is none
//! costs freshness, the opposite costs points.

use std::time::Duration;

use super::quota::Remaining;
use super::window::Window;
use crate::kiwivm::Veid;

/// Points that others must have spent for a reading to tell, and that many live calls: a few of them may all be of
/// VPSes with another quota.
const TELLING: f64 = 16.0;
const TELLING_CALLS: f64 = 6.0;
/// A fall beyond own spending by less than this part of what the others spent shows none of it.
const SEPARATE: f64 = 0.25;
/// A fall by a part in this range shows it. A larger one shows a burst of somebody else.
const SHARED: [f64; 2] = [0.35, 2.0];
/// Points that may return to a window meanwhile must be less than this part, or they hide what the others spent.
const HIDDEN: f64 = 0.5;
/// Two readings that are closer than this prove nothing: what the others spent may be counted late.
pub const LATE: Duration = Duration::from_secs(60);
/// So many votes decide.
const DECIDE: usize = 2;

/// A VPS's last reading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LastReading {
    /// When it was asked for.
    pub at: Duration,
    /// The points.
    pub remaining: Remaining,
    /// Points ever spent by the VPS when it was asked for.
    pub own: f64,
    /// Points ever spent by all VPSes of the fleet when it was asked for.
    pub all: f64,
}

/// Whether VPSes are taken to share a quota.
#[derive(Clone, Debug, Default)]
pub struct Votes {
    separate: Vec<Veid>,
    shared: Vec<Veid>,
    /// True once sharing was confirmed: nothing is read to find it out any more.
    settled: bool,
}

/// Points that others must have spent since a reading of a VPS for the next one to tell, at this price of live.
#[must_use]
pub fn telling(live: f64) -> f64 {
    TELLING.max(TELLING_CALLS * live)
}

/// A decision of the votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Each VPS has a quota of its own.
    Part,
    /// All share one.
    Unite,
}

impl Votes {
    /// Takes in two readings of one VPS, and decides if the votes suffice. `united` says what is believed now; `rate`
    /// is the fastest pace in points a second at which a window may give points back, `live` the price of a live call.
    pub fn read(
        &mut self,
        veid: Veid,
        before: &LastReading,
        now: &LastReading,
        united: bool,
        rate: f64,
        live: f64,
    ) -> Option<Decision> {
        let own = now.own - before.own;
        let others = (now.all - before.all) - own;
        if others < telling(live) {
            return None;
        }
        let fall = Window::ALL
            .map(|window| before.remaining[window as usize] - now.remaining[window as usize] - own)
            .into_iter()
            .fold(f64::MIN, f64::max);
        let returned = rate * now.at.saturating_sub(before.at).as_secs_f64();
        // A reading that does not even show the VPS's own calls shows nothing.
        let moves = own >= 1.0 && fall >= -0.5 * own;
        let late = now.at.saturating_sub(before.at) < LATE;
        if moves && !late && fall < SEPARATE * others && returned <= HIDDEN * others {
            self.shared.clear();
            if !self.separate.contains(&veid) {
                self.separate.push(veid);
            }
            if united && self.separate.len() >= DECIDE {
                self.separate.clear();
                self.settled = false;
                return Some(Decision::Part);
            }
        } else if (SHARED[0] * others..=SHARED[1] * others).contains(&fall) {
            self.separate.clear();
            self.shared.push(veid);
            let votes = self.shared.iter().filter(|voter| **voter == veid).count();
            if votes >= DECIDE || self.shared.len() > DECIDE {
                self.shared.clear();
                self.settled = true;
                return (!united).then_some(Decision::Unite);
            }
        }
        None
    }

    /// Whether readings should be made for the votes.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !self.settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(at: u64, left: f64, own: f64, all: f64) -> LastReading {
        LastReading {
            at: Duration::from_secs(at),
            remaining: [left, left + 19_000.0],
            own,
            all,
        }
    }

    fn decide(left: f64, votes: &[(u64, bool)]) -> Vec<Option<Decision>> {
        let mut scope = Votes::default();
        let before = reading(1000, 1000.0, 0.0, 0.0);
        votes
            .iter()
            .map(|(veid, united)| {
                let now = reading(1060, left, 2.0, 42.0);
                scope.read(Veid(*veid), &before, &now, *united, 0.1, 1.0)
            })
            .collect()
    }

    #[test]
    fn two_vpses_that_do_not_see_the_others_part() {
        let votes = decide(998.0, &[(1, true), (1, true), (2, true)]);
        assert_eq!(votes, [None, None, Some(Decision::Part)]);
    }

    #[test]
    fn two_votes_of_one_vps_unite_again() {
        let votes = decide(960.0, &[(1, false), (2, false), (1, false)]);
        assert_eq!(votes, [None, None, Some(Decision::Unite)]);
    }

    #[test]
    fn a_burst_of_somebody_else_is_no_vote() {
        assert_eq!(decide(500.0, &[(1, true), (2, true), (3, true)]), [None; 3]);
        assert_eq!(
            decide(500.0, &[(1, false), (1, false), (1, false)]),
            [None; 3]
        );
    }

    #[test]
    fn points_that_return_meanwhile_prove_nothing() {
        let mut scope = Votes::default();
        let before = reading(1000, 1000.0, 0.0, 0.0);
        let now = reading(1400, 1000.0, 2.0, 42.0);
        for veid in 1..4 {
            assert_eq!(scope.read(Veid(veid), &before, &now, true, 0.1, 1.0), None);
        }
    }
}
