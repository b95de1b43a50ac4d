//! Slows down a quota after the API refused calls.

use std::collections::VecDeque;
use std::time::Duration;

use crate::kiwivm::Veid;
use crate::units::AccountTime;

/// Minimum time between two halvings, because several calls in flight may be refused for the same reason.
const HALVING_INTERVAL: Duration = Duration::from_secs(30);
/// Seconds without a refusal in which the pace doubles.
const DOUBLING_SECONDS: f64 = 600.0;
/// Lower bound of the factor.
const MIN_FACTOR: f64 = 1.0 / 64.0;
/// Maximum time between refusals of two VPSes that slow down a quota they are not known to share.
const COINCIDENCE: Duration = Duration::from_secs(60);
/// Without a response for this long, failures count as an outage. Calls cost nothing then, and the data should be fresh
/// soon after it.
const OUTAGE: Duration = Duration::from_secs(60);
/// Dropped connections within [`HALVING_INTERVAL`] that count as a refusal.
const BURST: usize = 4;
/// Upper bound of `Retry-After`. A wrong value must not stop the polling.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(15 * 60);

/// A factor on the pace of a quota; 1 if no call was refused recently.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Brake {
    halved: Option<(AccountTime, f64)>,
    last_refusal: Option<(AccountTime, Veid)>,
    stopped_until: AccountTime,
    drops: VecDeque<(AccountTime, Veid)>,
    last_response: Option<AccountTime>,
}

impl Brake {
    /// Returns the factor on the pace, above 0 and at most 1.
    #[must_use]
    pub fn factor(&self, now: AccountTime) -> f64 {
        self.halved.map_or(1.0, |(at, factor)| {
            let since = now.since(at).as_secs_f64();
            (factor * (since / DOUBLING_SECONDS).min(6.0).exp2()).min(1.0)
        })
    }

    /// Returns true during a `Retry-After`.
    #[must_use]
    pub fn is_stopped(&self, now: AccountTime) -> bool {
        now < self.stopped_until
    }

    /// Records a refused call. If the members of the quota are not `certain`, the VPS may have its own quota, so the
    /// refusal counts only together with one of another VPS. Returns true if it counts.
    pub fn refused(
        &mut self,
        veid: Veid,
        certain: bool,
        retry_after: Option<Duration>,
        now: AccountTime,
    ) -> bool {
        let coincides = self
            .last_refusal
            .is_some_and(|(at, other)| other != veid && now.since(at) < COINCIDENCE);
        self.last_refusal = Some((now, veid));
        if !certain && !coincides {
            return false;
        }
        if let Some(wait) = retry_after {
            self.stopped_until = self.stopped_until.max(now + wait.min(MAX_RETRY_AFTER));
        }
        self.halve(now);
        true
    }

    fn halve(&mut self, now: AccountTime) {
        let recently = self
            .halved
            .is_some_and(|(at, _)| now.since(at) < HALVING_INTERVAL);
        if !recently {
            self.halved = Some((now, (self.factor(now) / 2.0).max(MIN_FACTOR)));
        }
    }

    /// Ends the slowdown if the last refusal was before `at`, the time of a reading that shows enough points. Returns true
    /// if it did.
    pub fn release(&mut self, at: AccountTime) -> bool {
        self.halved.take_if(|(halved, _)| *halved < at).is_some()
    }

    /// Records a successful response.
    pub fn responded(&mut self, now: AccountTime) {
        self.last_response = Some(now);
    }

    /// Records a dropped connection. Several of them between responses count as a refusal if they concern more than one
    /// VPS, or if the VPS is `alone` in its quota. A single unreachable VPS must not slow down the others.
    pub fn dropped(&mut self, veid: Veid, alone: bool, now: AccountTime) {
        let outage = |at: AccountTime| now.since(at) > OUTAGE;
        if self.last_response.is_none_or(outage) {
            return;
        }
        self.drops
            .retain(|(at, _)| now.since(*at) <= HALVING_INTERVAL);
        self.drops.push_back((now, veid));
        let several = self.drops.iter().any(|(_, other)| *other != veid);
        if self.drops.len() >= BURST && (several || alone) {
            self.drops.clear();
            self.halve(now);
        }
    }

    /// Returns the time of the last halving and the factor at that time.
    #[must_use]
    pub const fn halved(&self) -> Option<(AccountTime, f64)> {
        self.halved
    }

    /// Restores the last halving.
    pub fn restore(&mut self, halved: Option<(AccountTime, f64)>) {
        self.halved = halved.map(|(at, factor)| (at, factor.clamp(MIN_FACTOR, 1.0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Veid = Veid(1);

    #[test]
    fn refusals_halve_the_pace_at_most_every_30_seconds_and_it_recovers() {
        let mut brake = Brake::default();
        let at = AccountTime::from_secs;
        for second in 1000..1010 {
            brake.refused(ONE, true, None, at(second));
        }
        assert!((brake.factor(at(1010)) - 0.5).abs() < 0.02);
        for second in 1010..2000 {
            brake.refused(ONE, true, None, at(second));
        }
        assert!(brake.factor(at(2000)) >= MIN_FACTOR);
        assert!((brake.factor(at(2000 + 3700)) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn refusals_of_a_single_vps_do_not_slow_down_an_uncertain_quota() {
        let mut brake = Brake::default();
        let at = AccountTime::from_secs;
        assert!(!brake.refused(ONE, false, Some(Duration::from_secs(60)), at(1000)));
        assert!(!brake.refused(ONE, false, Some(Duration::from_secs(60)), at(1001)));
        assert!(brake.factor(at(1001)) >= 1.0 && !brake.is_stopped(at(1001)));
        assert!(brake.refused(Veid(2), false, Some(Duration::from_secs(60)), at(1002)));
        assert!(brake.factor(at(1002)) < 0.51 && brake.is_stopped(at(1002)));
        assert!(!brake.is_stopped(at(1063)));
    }

    #[test]
    fn retry_after_is_limited_to_15_minutes() {
        let mut brake = Brake::default();
        let at = AccountTime::from_secs;
        brake.refused(ONE, true, Some(Duration::from_secs(86_400)), at(1000));
        assert!(brake.is_stopped(at(1899)) && !brake.is_stopped(at(1901)));
    }

    #[test]
    fn dropped_connections_count_as_a_refusal_only_between_responses() {
        let mut brake = Brake::default();
        let at = AccountTime::from_secs;
        (0..20).for_each(|second| brake.dropped(ONE, true, at(1000 + second)));
        assert!(brake.factor(at(1020)) >= 1.0, "an outage is not a refusal");
        brake.responded(at(1020));
        (0..4).for_each(|second| brake.dropped(ONE, false, at(1021 + second)));
        assert!(brake.factor(at(1025)) >= 1.0, "only one of several VPSes");
        brake.dropped(Veid(2), false, at(1025));
        assert!(brake.factor(at(1025)) < 0.51);
    }
}
