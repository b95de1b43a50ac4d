//! Brackets: what the planner does to learn costs.

use std::time::Duration;

use super::Planner;
use crate::budget::allowance::Remaining;
use crate::budget::bracket::{Bracket, Care};
use crate::budget::costs::{Costs, ENOUGH, Fit, prudent};
use crate::budget::lag::{Lag, Look};
use crate::budget::schedule::{Due, Outcome};
use crate::budget::window::Window;
use crate::kiwivm::{Call, Veid};

/// Brackets that only add to what is known keep this distance.
const SPACING: Duration = Duration::from_secs(10);
/// A known cost is looked at again after this: the more a call spends, the sooner.
const fn verify_after(call: Call) -> Duration {
    match call {
        Call::LiveServiceInfo | Call::RateLimitStatus => Duration::from_secs(20 * 60),
        Call::RawUsageStats | Call::ServiceInfo => Duration::from_secs(2 * 3600),
        _ => Duration::from_secs(12 * 3600),
    }
}
/// Every so many brackets have a control.
const CONTROL_EVERY: u32 = 3;
const READINGS_OF_A_BRACKET: f64 = 3.0;
/// Of the points, what measuring may take.
const MEASURING_PART: f64 = 0.05;
const MOST_THRIFT: f64 = 20.0;
/// Every so many brackets of a counter that lags look whether it still does.
const GLANCE_EVERY: u32 = 4;
/// When so many brackets of a call failed, it is sent without.
const FAILURES: u32 = 2;
/// While a cost is known from fewer samples than this, it may vary in a way that was not seen yet.
const FEW: usize = 48;
/// So many brackets clear a suspicion then, and one later.
const LOOKS: u32 = 4;
/// The price of a suspect call is not taken to be higher than this, or than it is known to be.
const DEAREST_SUSPECT: f64 = 50.0;

#[derive(Debug)]
pub(super) struct Experiments {
    /// One at a time: costs are those of the API, not of an allowance.
    pub(super) bracket: Option<(usize, Bracket)>,
    ended: Option<Duration>,
    verify_at: [Duration; Call::ALL.len()],
    failures: [u32; Call::ALL.len()],
    brackets: u32,
    /// Samples in a row that did not fit: others are at work, and measuring has to wait.
    odd: u32,
    /// How much less often than wanted costs are looked at, because there are few points.
    thrift: f64,
}

impl Default for Experiments {
    fn default() -> Self {
        Self {
            bracket: None,
            ended: None,
            verify_at: [Duration::ZERO; Call::ALL.len()],
            failures: [0; Call::ALL.len()],
            brackets: 0,
            odd: 0,
            thrift: 1.0,
        }
    }
}

impl Experiments {
    /// True while nothing else may be sent to a group.
    pub(super) fn hold(&self, group: usize) -> bool {
        self.bracket.as_ref().is_some_and(|(of, _)| *of == group)
    }

    /// True when a call could not be measured and is sent without.
    pub(super) fn given_up(&self, call: Call) -> bool {
        self.failures[call.index()] >= FAILURES
    }
}

impl Planner {
    /// True when a call that is about to be sent should be measured.
    pub(super) fn wants_bracket(
        &self,
        group: usize,
        veid: Veid,
        call: Call,
        now: Duration,
    ) -> Wish {
        let count = self.costs.count(call);
        if !self.limits.learn && self.round_is_affordable(group) {
            return Wish::Send;
        }
        let state = &self.groups[group];
        if call == Call::RateLimitStatus || state.allowance.reading.is_none() {
            return Wish::Send;
        }
        let failing =
            self.schedule.failing(veid, call) || self.schedule.failing(veid, Call::RateLimitStatus);
        let unmeasured = count == 0 && !self.experiments.given_up(call);
        if self.experiments.bracket.is_some() {
            return if unmeasured { Wish::Wait } else { Wish::Send };
        }
        if failing && !unmeasured {
            return Wish::Send;
        }
        let spacing = SPACING * 2_u32.pow(self.experiments.odd.min(6));
        let rested = unmeasured
            || self
                .experiments
                .ended
                .is_none_or(|ended| now >= ended + spacing);
        if !rested {
            return Wish::Send;
        }
        let wanted = unmeasured
            || self.clears_suspicion(group, call)
            || (count < ENOUGH && self.experiments.failures[call.index()] < 8)
            || (count >= ENOUGH && now >= self.experiments.verify_at[call.index()]);
        if wanted { Wish::Bracket } else { Wish::Send }
    }

    /// How long a measured cost is believed: less while few samples are known, or when they differ.
    fn verify_after(&self, call: Call) -> Duration {
        verify_after(call)
            / if self.costs.count(call) < FEW {
                4
            } else if self.costs.is_uncertain(call) {
                3
            } else {
                1
            }
    }

    /// Points a second of `rate` that measuring costs a group, beyond the calls that are due anyway. Where that would be
    /// more than a small part, costs are looked at less often.
    pub(super) fn measuring_rate(&mut self, reading: f64, rate: f64) -> f64 {
        let brackets: f64 = Call::ALL
            .into_iter()
            .filter(|call| *call != Call::RateLimitStatus && self.costs.count(*call) > 0)
            .map(|call| 1.0 / self.verify_after(call).as_secs_f64())
            .sum();
        let wanted = 2.3 * reading * brackets / as_f64(self.groups.len().max(1) as u64);
        self.experiments.thrift =
            (wanted / (MEASURING_PART * rate).max(1e-9)).clamp(1.0, MOST_THRIFT);
        wanted / self.experiments.thrift
    }

    /// After a start with memory nothing is urgent: a loop of restarts must not be one of experiments.
    pub(super) fn put_off_experiments(&mut self, now: Duration) {
        for call in Call::ALL {
            if self.costs.count(call) >= ENOUGH {
                self.experiments.verify_at[call.index()] =
                    now + verify_after(call).mul_f64(0.5 + self.draw() / 2.0);
            }
        }
        self.experiments.ended = Some(now + SPACING);
        self.put_off_surveys(now);
    }

    /// True when one call of everything fits even at prudent costs.
    fn round_is_affordable(&self, group: usize) -> bool {
        let allowance = &self.groups[group].allowance;
        let round: f64 = Call::ALL.into_iter().map(prudent).sum();
        let all = round * as_f64(allowance.members.len() as u64);
        all <= 0.9 * self.limits.share * allowance.size(Window::Quarter)
    }

    /// True when a bracket of this call could show that its cost has not changed.
    pub(super) fn clears_suspicion(&self, group: usize, call: Call) -> bool {
        self.groups[group]
            .allowance
            .suspicion
            .as_ref()
            .is_some_and(|suspicion| suspicion.sent[call.index()] > 0)
    }

    /// What a call may cost at worst, as far as is known.
    pub(super) fn gate_price(&self, group: usize, call: Call) -> f64 {
        let price = self.costs.price(call);
        match &self.groups[group].allowance.suspicion {
            Some(suspicion) if suspicion.sent[call.index()] > 0 => {
                let each = suspicion.surplus / f64::from(suspicion.sent[call.index()]);
                (price + each).min(DEAREST_SUSPECT.max(price))
            }
            _ => price,
        }
    }

    /// True when the points allow a call and the readings around it: a bracket that has to end before its call has
    /// spent readings for nothing.
    pub(super) fn bracket_fits(&mut self, group: usize, call: Call, now: Duration) -> bool {
        let reading = self.costs.price(Call::RateLimitStatus);
        let points = self.gate_price(group, call) + READINGS_OF_A_BRACKET * reading;
        let (share, urgent) = (self.limits.share, self.clears_suspicion(group, call));
        self.groups[group]
            .allowance
            .admits(points, share, reading, urgent, now)
    }

    pub(super) fn begin_bracket(&mut self, group: usize, veid: Veid, call: Call, now: Duration) {
        let doubtful = self.experiments.odd > 0 || self.groups[group].allowance.suspicion.is_some();
        let experiments = &mut self.experiments;
        let care = if self.lag.known() && experiments.brackets % GLANCE_EVERY == GLANCE_EVERY - 1 {
            Care::Glance
        } else if doubtful && self.costs.count(call) >= ENOUGH {
            Care::Guarded
        } else if self.costs.count(Call::RateLimitStatus) < ENOUGH
            || self.lag.known()
            || experiments.brackets.is_multiple_of(CONTROL_EVERY)
        {
            Care::Control
        } else {
            Care::Call
        };
        experiments.brackets += 1;
        let lag = if self.limits.learn {
            self.lag
        } else {
            Lag::denied()
        };
        let known = (lag, self.costs.cheapest_reading());
        let bracket = Bracket::new((veid, call), care, known, self.groups[group].last_sent, now);
        experiments.bracket = Some((group, bracket));
    }

    /// Sends the next call of the bracket, if it is time.
    pub(super) fn take_bracket(&mut self, now: Duration, taken: &mut Vec<Due>) {
        let Some((group, bracket)) = &self.experiments.bracket else {
            return;
        };
        let (group, veid, (call, not_before)) = (*group, bracket.veid, bracket.next());
        if bracket.in_flight || now < not_before {
            return;
        }
        if bracket.expired(now) || !self.fits(group, call, now) {
            self.end_bracket(now);
        } else if self.schedule.has_place(veid, call) {
            if let Some((_, bracket)) = &mut self.experiments.bracket {
                bracket.in_flight = true;
            }
            self.send(group, veid, call, true, now, taken);
        }
    }

    pub(super) fn advance_bracket(
        &mut self,
        reading: Option<Remaining>,
        call: Call,
        outcome: Outcome,
        now: Duration,
    ) {
        let Some((group, bracket)) = &mut self.experiments.bracket else {
            return;
        };
        let (group, measured) = (*group, bracket.call);
        if outcome != Outcome::Success || (call == Call::RateLimitStatus && reading.is_none()) {
            let failures = &mut self.experiments.failures[measured.index()];
            *failures = failures.saturating_add(1);
            self.end_bracket(now);
            return;
        }
        let Some(lesson) = bracket.advance(reading, now) else {
            return;
        };
        self.experiments.failures[measured.index()] = 0;
        if let Some(look) = lesson.look {
            let known = self.lag.known();
            self.lag.vote(look);
            self.tell_costs_what_is_known();
            if self.lag.known() != known {
                self.replace_costs(if known {
                    Costs::default()
                } else {
                    Costs::in_silences()
                });
                self.end_bracket(now);
                return;
            }
            if look == Look::Lags && !known {
                // What the call seems to cost is what had not been counted yet.
                self.end_bracket(now);
                return;
            }
        }
        let wait = self
            .verify_after(measured)
            .mul_f64(0.75 + 0.5 * self.draw());
        self.experiments.verify_at[measured.index()] = now + wait;
        // Others were at work: the drop is not the call's alone, but what it was not can still be told.
        let disturbed = lesson
            .control
            .is_some_and(|control| self.costs.disturbed(control));
        let reading = self.costs.reading_within(measured);
        for (call, drop) in lesson.drops {
            if call != measured {
                self.costs.learn(call, drop);
                continue;
            }
            let learned = if disturbed && self.costs.count(call) >= ENOUGH {
                Fit::Odd
            } else {
                self.costs.learn(call, drop)
            };
            self.take_lesson(group, call, learned, drop - reading, now);
        }
        self.end_bracket(now);
        for group in 0..self.groups.len() {
            self.replan_soon(group, now);
        }
    }

    fn take_lesson(&mut self, group: usize, call: Call, learned: Fit, net: f64, now: Duration) {
        let price = self.costs.price(call);
        let allowance = &mut self.groups[group].allowance;
        let disproved = allowance.suspicion.as_ref().is_some_and(|suspicion| {
            let sent = suspicion.sent[call.index()];
            sent > 0 && net < price + 0.5 * suspicion.surplus / f64::from(sent)
        });
        if (learned == Fit::AsKnown || disproved)
            && let Some(suspicion) = &mut allowance.suspicion
        {
            suspicion.looks += 1;
            let enough = self.costs.count(call) >= FEW || suspicion.looks >= LOOKS;
            if enough || call != Call::LiveServiceInfo {
                suspicion.sent[call.index()] = 0;
            }
            if suspicion.sent.iter().all(|calls| *calls == 0) {
                allowance.suspicion = None;
            }
        }
        match learned {
            Fit::AsKnown => self.experiments.odd = 0,
            Fit::Odd => {
                // Once more, soon.
                self.experiments.odd += 1;
                self.experiments.verify_at[call.index()] = now;
            }
            Fit::Changed => {
                self.experiments.odd = 0;
                if let Some(suspicion) = allowance.suspicion.take() {
                    allowance.ledger.add(now, suspicion.surplus);
                }
            }
        }
    }

    fn end_bracket(&mut self, now: Duration) {
        self.experiments.bracket = None;
        self.experiments.ended = Some(now);
        self.retry_in(Duration::from_millis(1), now);
    }
}

/// What to do with a call that is due and fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Send it.
    Send,
    /// Measure it.
    Bracket,
    /// Wait for the bracket that is under way: it has not been measured yet.
    Wait,
}

#[expect(clippy::cast_precision_loss, reason = "numbers of calls")]
pub(super) const fn as_f64(count: u64) -> f64 {
    count as f64
}
