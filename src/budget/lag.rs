//! Whether the counter that is read lags behind what is spent.

use std::time::Duration;

/// Calls sent this long before a bracket are taken to be counted.
const SETTLED: Duration = Duration::from_secs(2);
/// As long as a counter is known to lag behind, and some more.
pub(super) const SILENCE: Duration = Duration::from_secs(15);
/// So many brackets that cost nothing must have shown the same before a lag is believed or denied.
const VOTES: i32 = 2;
/// A lag that is believed is denied when so many more glances have shown none than have.
const DOUBTS: i32 = 3;
const SURE: i32 = VOTES + DOUBTS - 1;
/// So many looks in a row that were disturbed tell nothing; with the next, others are taken to be always at work.
const DISTURBED: u8 = 3;

/// What a look at the counter showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It lags.
    Lags,
    /// It does not.
    IsPrompt,
    /// Others spent meanwhile, which may hide a lag.
    WasDisturbed,
}

/// Whether the counter that is read lags behind what is spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    votes: i32,
    /// Looks that were disturbed since the last vote.
    disturbed: u8,
}

impl Lag {
    /// True when readings are known to come late.
    #[must_use]
    pub const fn known(self) -> bool {
        self.votes >= VOTES
    }

    /// True when readings may come late: what was sent before a bracket must not be taken for its call then.
    const fn suspected(self) -> bool {
        self.votes > 0
    }

    /// How long nothing must have been sent for a reading to hold all that was.
    #[must_use]
    pub const fn silence(self) -> Duration {
        if self.suspected() { SILENCE } else { SETTLED }
    }

    /// As if brackets had shown none.
    #[must_use]
    pub fn denied() -> Self {
        Self::from_votes(-VOTES)
    }

    /// True when it is not known yet whether readings come late.
    #[must_use]
    pub const fn undecided(self) -> bool {
        self.votes.abs() < VOTES
    }

    /// One more look. Where others are always at work, some that were disturbed count for one that showed no lag.
    pub fn vote(&mut self, look: Look) {
        if look == Look::WasDisturbed && self.disturbed < DISTURBED {
            self.disturbed += 1;
            return;
        }
        self.disturbed = 0;
        let vote = if look == Look::Lags { 1 } else { -1 };
        if self.undecided() {
            self.votes += vote;
            if self.votes == VOTES {
                self.votes = SURE;
            }
        } else if self.known() {
            self.votes = (self.votes + vote).min(SURE);
            if !self.known() {
                *self = Self::denied();
            }
        }
    }

    /// For a file.
    #[must_use]
    pub const fn votes(self) -> i32 {
        self.votes
    }

    /// From a file.
    #[must_use]
    pub fn from_votes(votes: i32) -> Self {
        Self {
            votes: votes.clamp(-VOTES, SURE),
            disturbed: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_that_are_disturbed_again_and_again_deny_a_lag() {
        let mut lag = Lag::default();
        for disturbed in 0..2 * (DISTURBED + 1) {
            assert!(lag.undecided(), "after {disturbed} looks");
            lag.vote(Look::WasDisturbed);
        }
        assert_eq!(lag, Lag::denied());
    }

    #[test]
    fn a_lag_that_is_not_there_any_more_is_denied_after_some_glances() {
        let mut lag = Lag::default();
        lag.vote(Look::Lags);
        lag.vote(Look::Lags);
        lag.vote(Look::Lags);
        for glance in 0..DOUBTS {
            assert!(lag.known(), "after {glance} glances");
            lag.vote(Look::IsPrompt);
        }
        assert!(!lag.known());
        lag.vote(Look::Lags);
        assert_eq!(lag, Lag::denied());
    }
}
