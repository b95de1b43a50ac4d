//! The slowing of calls after the API refused some.

use std::collections::VecDeque;
use std::time::Duration;

use crate::kiwivm::Veid;

/// The pace is halved at most once in this time, however many calls were on their way.
const ONCE_IN: Duration = Duration::from_secs(30);
/// The pace doubles again in this time without a refusal.
const RECOVERS_IN: f64 = 600.0;
/// The lowest pace.
const LOWEST: f64 = 1.0 / 64.0;
/// Refusals of two VPSes within this time slow a quota that they are not known to share.
const TOGETHER: Duration = Duration::from_secs(60);
/// Without a response for this long it is an outage: calls cost nothing, and data should be fresh soon after it.
const OUTAGE: Duration = Duration::from_secs(60);
/// So many dropped connections within [`ONCE_IN`] are a refusal.
const BURST: usize = 4;
/// No `Retry-After` stops the calls for longer: a wrong one must not end the polling.
pub(super) const LONGEST_STOP: Duration = Duration::from_secs(15 * 60);

/// A factor on the pace of a quota: 1 when nothing was refused lately.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Brake {
    halved: Option<(Duration, f64)>,
    last: Option<(Duration, Veid)>,
    stopped_until: Duration,
    drops: VecDeque<(Duration, Veid)>,
    answered: Option<Duration>,
}

impl Brake {
    /// The factor on the pace, above 0, at most 1.
    #[must_use]
    pub fn factor(&self, now: Duration) -> f64 {
        self.halved.map_or(1.0, |(at, factor)| {
            let since = now.saturating_sub(at).as_secs_f64();
            (factor * (since / RECOVERS_IN).min(6.0).exp2()).min(1.0)
        })
    }

    /// Whether a `Retry-After` still runs.
    #[must_use]
    pub fn stops(&self, now: Duration) -> bool {
        now < self.stopped_until
    }

    /// A call of a VPS was refused. Unless the quota is `certain`, the pace waits for a refusal of another VPS: the
    /// VPS may have a quota of its own. Returns whether the refusal counts for the quota.
    pub fn refused(
        &mut self,
        veid: Veid,
        certain: bool,
        retry_after: Option<Duration>,
        now: Duration,
    ) -> bool {
        let together = self
            .last
            .is_some_and(|(at, other)| other != veid && now.saturating_sub(at) < TOGETHER);
        self.last = Some((now, veid));
        if !certain && !together {
            return false;
        }
        if let Some(wait) = retry_after {
            self.stopped_until = self.stopped_until.max(now + wait.min(LONGEST_STOP));
        }
        self.halve(now);
        true
    }

    fn halve(&mut self, now: Duration) {
        let lately = self
            .halved
            .is_some_and(|(at, _)| now.saturating_sub(at) < ONCE_IN);
        if !lately {
            self.halved = Some((now, (self.factor(now) / 2.0).max(LOWEST)));
        }
    }

    /// A call got a response.
    pub fn answered(&mut self, now: Duration) {
        self.answered = Some(now);
    }

    /// A connection of a VPS was dropped. Several of these between responses count as a refusal, if they are of more
    /// than one VPS or it is `alone`: one VPS that cannot be reached must not slow the others.
    pub fn dropped(&mut self, veid: Veid, alone: bool, now: Duration) {
        let outage = |at: Duration| now.saturating_sub(at) > OUTAGE;
        if self.answered.is_none_or(outage) {
            return;
        }
        self.drops
            .retain(|(at, _)| now.saturating_sub(*at) <= ONCE_IN);
        self.drops.push_back((now, veid));
        let several = self.drops.iter().any(|(_, other)| *other != veid);
        if self.drops.len() >= BURST && (several || alone) {
            self.drops.clear();
            self.halve(now);
        }
    }

    /// The last halving: its time and the factor.
    #[must_use]
    pub const fn halved(&self) -> Option<(Duration, f64)> {
        self.halved
    }

    /// Puts back a halving.
    pub fn restore(&mut self, halved: Option<(Duration, f64)>) {
        self.halved = halved.map(|(at, factor)| (at, factor.clamp(LOWEST, 1.0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Veid = Veid(1);

    #[test]
    fn refusals_halve_the_pace_once_in_half_a_minute_and_it_recovers() {
        let mut brake = Brake::default();
        let at = Duration::from_secs;
        for second in 1000..1010 {
            brake.refused(ONE, true, None, at(second));
        }
        assert!((brake.factor(at(1010)) - 0.5).abs() < 0.02);
        for second in 1010..2000 {
            brake.refused(ONE, true, None, at(second));
        }
        assert!(brake.factor(at(2000)) >= LOWEST);
        assert!((brake.factor(at(2000 + 3700)) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn one_vps_alone_does_not_slow_those_that_may_have_their_own_quota() {
        let mut brake = Brake::default();
        let at = Duration::from_secs;
        assert!(!brake.refused(ONE, false, Some(at(60)), at(1000)));
        assert!(!brake.refused(ONE, false, Some(at(60)), at(1001)));
        assert!(brake.factor(at(1001)) >= 1.0 && !brake.stops(at(1001)));
        assert!(brake.refused(Veid(2), false, Some(at(60)), at(1002)));
        assert!(brake.factor(at(1002)) < 0.51 && brake.stops(at(1002)));
        assert!(!brake.stops(at(1063)));
    }

    #[test]
    fn a_retry_after_of_a_day_ends_after_a_quarter_of_an_hour() {
        let mut brake = Brake::default();
        let at = Duration::from_secs;
        brake.refused(ONE, true, Some(at(86_400)), at(1000));
        assert!(brake.stops(at(1899)) && !brake.stops(at(1901)));
    }

    #[test]
    fn dropped_connections_are_a_refusal_only_between_responses() {
        let mut brake = Brake::default();
        let at = Duration::from_secs;
        (0..20).for_each(|second| brake.dropped(ONE, true, at(1000 + second)));
        assert!(brake.factor(at(1020)) >= 1.0, "an outage is no refusal");
        brake.answered(at(1020));
        (0..4).for_each(|second| brake.dropped(ONE, false, at(1021 + second)));
        assert!(brake.factor(at(1025)) >= 1.0, "one VPS of several");
        brake.dropped(Veid(2), false, at(1025));
        assert!(brake.factor(at(1025)) < 0.51);
    }
}
