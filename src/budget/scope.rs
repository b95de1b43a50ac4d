//! Detects whether VPSes share a quota, by votes of ordinary readings.
//!
//! Other VPSes spend points between two readings of a VPS. If the second reading does not show that spending, the VPS
//! has its own quota. If it does, they share one. The planner assumes a shared quota until two VPSes vote otherwise:
//! wrongly assuming a shared quota costs freshness, wrongly assuming separate ones costs points.

use std::time::Duration;

use super::quota::Remaining;
use super::window::Window;
use crate::kiwivm::Veid;
use crate::units::{AccountTime, Points, PointsPerSecond};

/// Points and live calls that other VPSes must have spent before a reading can vote. Fewer calls might all be of VPSes
/// with another quota.
const MIN_EVIDENCE: Points = Points(16.0);
const MIN_EVIDENCE_CALLS: f64 = 6.0;
/// Vote for separate quotas: a reading falls, beyond own spending, by less than this fraction of the others' spending.
const SEPARATE: f64 = 0.25;
/// Vote for a shared quota: it falls by a fraction in this range. More indicates a burst of another client.
const SHARED: [f64; 2] = [0.35, 2.0];
/// Maximum fraction of the others' spending that may return to a window between the readings. More could hide it.
const MAX_RETURNED: f64 = 0.5;
/// Minimum time between two readings of a vote, because the API may count spending late.
const MIN_DISTANCE: Duration = Duration::from_secs(60);
/// Number of votes for a decision.
const DECIDING_VOTES: usize = 2;
/// So many comparisons add a minute to the time between readings for votes, up to this multiple of [`MIN_DISTANCE`].
const COMPARISONS_PER_MINUTE: u32 = 4;
const MAX_INTERVAL_FACTOR: u32 = 30;

/// The last reading of a VPS.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LastReading {
    /// The time of the request.
    pub at: AccountTime,
    /// The remaining points.
    pub remaining: Remaining,
    /// Total points spent by the VPS at that time.
    pub own: Points,
    /// Total points spent by all VPSes of the fleet at that time.
    pub all: Points,
}

/// The votes since the last decision.
#[derive(Clone, Debug, Default)]
pub struct Votes {
    separate: Vec<Veid>,
    shared: Vec<Veid>,
    /// True once a shared quota is confirmed. No more readings are made for votes then.
    settled: bool,
    /// The number of readings ever that could have voted.
    compared: u32,
    /// The number of decisions to merge. After each, a split takes more votes: VPSes of several accounts are neither.
    merges: usize,
}

/// Returns the points that other VPSes must have spent between two readings of a vote, given the price of a live call.
#[must_use]
pub fn min_evidence(live: Points) -> Points {
    MIN_EVIDENCE.max(live * MIN_EVIDENCE_CALLS)
}

/// The decision of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Each VPS has its own quota.
    Split,
    /// All VPSes share a quota.
    Merge,
}

impl Votes {
    /// Votes by two readings of one VPS, and returns a decision if the votes suffice. `shared` is the current
    /// assumption, `rate` the maximum rate at which points return to a window, `live` the price of
    /// a live call.
    pub fn read(
        &mut self,
        veid: Veid,
        before: &LastReading,
        now: &LastReading,
        shared: bool,
        rate: PointsPerSecond,
        live: Points,
    ) -> Option<Decision> {
        let own = now.own - before.own;
        let others = (now.all - before.all) - own;
        if others < min_evidence(live) {
            return None;
        }
        self.compared += 1;
        let fall = Window::ALL
            .map(|window| before.remaining[window as usize] - now.remaining[window as usize] - own)
            .into_iter()
            .fold(Points(f64::MIN), Points::max);
        let returned = rate * now.at.since(before.at);
        // A reading that does not show the calls of its own VPS is no evidence.
        let shows_own = own >= Points(1.0) && fall >= own * -0.5;
        let too_close = now.at.since(before.at) < MIN_DISTANCE;
        if shows_own && !too_close && fall < others * SEPARATE && returned <= others * MAX_RETURNED
        {
            self.shared.clear();
            self.separate.push(veid);
            let is_single_voter = self.separate.iter().all(|voter| *voter == veid);
            let needed = DECIDING_VOTES * (1 + self.merges);
            if shared && !is_single_voter && self.separate.len() >= needed {
                self.separate.clear();
                self.settled = false;
                return Some(Decision::Split);
            }
        } else if (others * SHARED[0]..=others * SHARED[1]).contains(&fall) {
            self.separate.clear();
            self.shared.push(veid);
            let votes = self.shared.iter().filter(|voter| **voter == veid).count();
            if votes >= DECIDING_VOTES || self.shared.len() > DECIDING_VOTES {
                self.shared.clear();
                self.settled = true;
                self.merges += usize::from(!shared);
                return (!shared).then_some(Decision::Merge);
            }
        }
        None
    }

    /// Returns the minimum time between two readings of a VPS for a vote. It grows with every comparison: VPSes of
    /// several accounts never agree, and wrong readings never vote.
    #[must_use]
    pub fn interval(&self) -> Duration {
        MIN_DISTANCE * (1 + self.compared / COMPARISONS_PER_MINUTE).min(MAX_INTERVAL_FACTOR)
    }

    /// Restores the saved result of earlier votes.
    pub const fn restore(&mut self, confirmed: bool) {
        self.settled = confirmed;
    }

    /// Returns true while readings should be made for votes.
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
            at: AccountTime::from_secs(at),
            remaining: [Points(left), Points(left + 19_000.0)],
            own: Points(own),
            all: Points(all),
        }
    }

    fn decide(left: f64, votes: &[(u64, bool)]) -> Vec<Option<Decision>> {
        let mut scope = Votes::default();
        let before = reading(1000, 1000.0, 0.0, 0.0);
        votes
            .iter()
            .map(|(veid, shared)| {
                let now = reading(1060, left, 2.0, 42.0);
                scope.read(
                    Veid(*veid),
                    &before,
                    &now,
                    *shared,
                    PointsPerSecond(0.1),
                    Points(1.0),
                )
            })
            .collect()
    }

    #[test]
    fn two_vpses_that_do_not_see_the_others_spending_split_the_quota() {
        let votes = decide(998.0, &[(1, true), (1, true), (2, true)]);
        assert_eq!(votes, [None, None, Some(Decision::Split)]);
    }

    #[test]
    fn two_votes_of_one_vps_merge_the_quotas() {
        let votes = decide(960.0, &[(1, false), (2, false), (1, false)]);
        assert_eq!(votes, [None, None, Some(Decision::Merge)]);
    }

    #[test]
    fn a_burst_of_another_client_is_not_a_vote() {
        assert_eq!(decide(500.0, &[(1, true), (2, true), (3, true)]), [None; 3]);
        assert_eq!(
            decide(500.0, &[(1, false), (1, false), (1, false)]),
            [None; 3]
        );
    }

    #[test]
    fn returning_points_prevent_a_vote_for_separate_quotas() {
        let mut scope = Votes::default();
        let before = reading(1000, 1000.0, 0.0, 0.0);
        let now = reading(1400, 1000.0, 2.0, 42.0);
        for veid in 1..4 {
            assert_eq!(
                scope.read(
                    Veid(veid),
                    &before,
                    &now,
                    true,
                    PointsPerSecond(0.1),
                    Points(1.0)
                ),
                None
            );
        }
    }
}
