//! Readings of the remaining points: the first of an allowance, and what each of them tells.

use std::time::Duration;

use super::{Flight, Planner};
use crate::budget::allowance::{Reading, Remaining};
use crate::budget::bracket::fall_between;
use crate::budget::schedule::Due;
use crate::budget::survey::TELLING;
use crate::config::Scope;
use crate::kiwivm::{Call, Veid};

/// How long another VPS waits to be asked for the first reading, when one does not answer.
const HEDGE: Duration = Duration::from_secs(3);
/// After this long without a first reading, calls are made without.
const BLIND_AFTER: Duration = Duration::from_secs(20);
/// Readings that are reckoned at more than this beyond what two in a row show are reckoned too dear.
const DEARER: f64 = 2.0;

/// The wait for the first reading of an allowance.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstReading {
    begun: Duration,
    asked: Option<Duration>,
}

impl Planner {
    /// Asks the first VPS for a reading before anything else is sent, another when that one does not answer. Who can
    /// not be read at all is called without.
    pub(super) fn take_first_reading(
        &mut self,
        group: usize,
        veid: Veid,
        now: Duration,
        taken: &mut Vec<Due>,
    ) {
        let state = &mut self.groups[group];
        let first = *state.first_reading.get_or_insert(FirstReading {
            begun: now,
            asked: None,
        });
        let idle = state.allowance.calls_in_flight == 0;
        let unreadable = |member: Veid| {
            self.schedule.paused(member) || self.schedule.failing(member, Call::RateLimitStatus)
        };
        let exhausted = idle && state.allowance.members.iter().copied().all(unreadable);
        if exhausted || now >= first.begun + BLIND_AFTER {
            state.allowance.blind = true;
            self.replan_soon(group, now);
            self.retry_in(Duration::from_millis(1), now);
            return;
        }
        let patient = first.asked.is_none_or(|asked| now >= asked + HEDGE);
        if (idle || patient)
            && !unreadable(veid)
            && self.schedule.has_place(veid, Call::RateLimitStatus)
        {
            state.first_reading = Some(FirstReading {
                asked: Some(now),
                ..first
            });
            self.send(group, veid, Call::RateLimitStatus, false, now, taken);
            self.retry_in(HEDGE, now);
        } else {
            self.retry_in(HEDGE / 3, now);
        }
    }

    pub(super) fn read(
        &mut self,
        group: usize,
        veid: Veid,
        remaining: Remaining,
        flight: &Flight,
        now: Duration,
    ) {
        if let Some(account) = self.accounts.get_mut(&veid) {
            for (largest, remaining) in account.largest.iter_mut().zip(remaining) {
                *largest = largest.max(remaining);
            }
            account.reading = Some((flight.sent.at, remaining));
        }
        let before = self.groups[group].allowance.reading;
        self.groups[group]
            .allowance
            .read(remaining, flight.sent, now);
        self.groups[group].pulled = None;
        if let Some(before) = before {
            self.disprove_dear_readings(group, before, remaining, flight);
            if self.limits.scope == Scope::Auto && self.groups.len() > 1 {
                self.look_for_strangers(group, before, remaining, flight);
            }
        }
        self.replan_soon(group, now);
    }

    /// Controls that were measured while others were at work make readings so dear that no bracket fits any more, which
    /// would show what they cost. But readings go on, and two in a row with nothing in between are a control too.
    fn disprove_dear_readings(
        &mut self,
        group: usize,
        before: Reading,
        remaining: Remaining,
        flight: &Flight,
    ) {
        let (then, now) = (before.sent, flight.sent);
        let reading = Call::RateLimitStatus.index();
        let nothing_between = Call::ALL.iter().all(|call| {
            let calls = now.calls[call.index()].saturating_sub(then.calls[call.index()]);
            calls == u32::from(call.index() == reading)
        });
        let settled = now.at >= then.at + self.lag.silence();
        if flight.of_bracket || !nothing_between || !settled || then.in_flight + now.in_flight > 0.0
        {
            return;
        }
        let allowance = &self.groups[group].allowance;
        let fall = fall_between(
            allowance.comparable(before.remaining, then),
            allowance.comparable(remaining, now),
        );
        if fall >= 0.0 && fall + DEARER < self.costs.price(Call::RateLimitStatus) {
            self.costs.learn(Call::RateLimitStatus, fall);
        }
    }

    /// Counts readings in a row whose drop fits what other groups spent: they share after all.
    fn look_for_strangers(
        &mut self,
        group: usize,
        before: Reading,
        remaining: Remaining,
        flight: &Flight,
    ) {
        let elsewhere = self.spent_in_all - self.groups[group].allowance.spent;
        let state = &mut self.groups[group];
        let own = flight.sent.spent - before.sent.spent;
        state.unexplained += fall_between(before.remaining, remaining) - own;
        let others = elsewhere - state.elsewhere_before;
        if others >= TELLING * 2.0 {
            let fits = (0.7 * others..=1.5 * others).contains(&state.unexplained);
            state.strangers = if fits { state.strangers + 1 } else { 0 };
            state.elsewhere_before = elsewhere;
            state.unexplained = 0.0;
        }
    }
}
