//! What is sent now, and when there may be more.

use std::collections::HashSet;
use std::time::Duration;

use super::experiments::Wish;
use super::{Flight, Planner, RETRY};
use crate::budget::schedule::Due;
use crate::fleet::Deferral;
use crate::kiwivm::{Call, Veid};

impl Planner {
    /// Takes what is to be sent now. Each must be given back with [`Self::finish`].
    pub fn take_due(&mut self, now: Duration) -> Vec<Due> {
        self.retry = None;
        self.starved = false;
        self.waits = false;
        if now >= self.next_replan {
            self.replan(now);
        }
        let mut taken = Vec::new();
        self.take_bracket(now, &mut taken);
        self.take_surveys(now, &mut taken);
        // What the points did not allow a moment ago they do not allow now: hundreds of VPSes may wait for the same.
        let mut unaffordable = HashSet::new();
        if (0..self.groups.len()).all(|group| self.is_held(group)) {
            return taken;
        }
        for (call, _, veid) in self.schedule.waiting(now) {
            if !self.schedule.idle(veid) {
                continue;
            }
            let Some(group) = self.group_of(veid) else {
                continue;
            };
            if self.groups[group].allowance.reading.is_none() && !self.groups[group].allowance.blind
            {
                self.take_first_reading(group, veid, now, &mut taken);
                continue;
            }
            if self.is_held(group) {
                continue;
            }
            let wait = self.pacer.wait(now);
            if wait > Duration::ZERO {
                self.retry_in(wait, now);
                break;
            }
            if !self.schedule.has_place(veid, call) {
                if self.schedule.put_off(veid) {
                    self.deferrals.push((call, Deferral::Concurrency));
                }
                continue;
            }
            let download = self.limits.download;
            let bearable = self
                .accounts
                .get_mut(&veid)
                .is_none_or(|account| account.downloads.admits(call, download, now));
            let affordable = bearable && !unaffordable.contains(&(group, call)) && {
                let fits = self.fits(group, call, now);
                if !fits {
                    unaffordable.insert((group, call));
                }
                fits
            };
            if !affordable {
                self.retry_in(RETRY, now);
                self.starved = true;
                if self.schedule.put_off(veid) {
                    self.deferrals.push((call, Deferral::Budget));
                }
                continue;
            }
            match self.wants_bracket(group, veid, call, now) {
                Wish::Send => self.send(group, veid, call, false, now, &mut taken),
                Wish::Wait => {}
                Wish::Bracket if self.bracket_fits(group, call, now) => {
                    self.begin_bracket(group, veid, call, now);
                    self.take_bracket(now, &mut taken);
                }
                Wish::Bracket if self.costs.count(call) > 0 => {
                    self.send(group, veid, call, false, now, &mut taken);
                }
                Wish::Bracket => self.retry_in(RETRY, now),
            }
        }
        let starved: HashSet<usize> = unaffordable.iter().map(|(group, _)| *group).collect();
        self.waits = starved.len() == self.groups.len();
        taken
    }

    /// The next time at which [`Self::take_due`] may have something that it has not at `now`. What waits for a place,
    /// a bracket or a survey gets its chance when a call finishes.
    #[must_use]
    pub fn next_wake(&self, now: Duration) -> Duration {
        let bracket = self
            .experiments
            .bracket
            .as_ref()
            .filter(|(_, bracket)| !bracket.in_flight)
            .map(|(_, bracket)| bracket.next().1.max(now + RETRY / 50));
        let due = if self.waits {
            None
        } else {
            self.schedule.next_due(now)
        };
        due.into_iter()
            .chain(self.retry.filter(|retry| *retry > now))
            .chain(bracket)
            .chain([self.next_replan])
            .min()
            .unwrap_or(self.next_replan)
    }

    /// True while an experiment wants silence: nothing else is sent then.
    pub(super) fn is_held(&self, group: usize) -> bool {
        let state = &self.groups[group];
        let read = state.allowance.reading.is_some() || state.allowance.blind;
        read && (self.experiments.hold(group) || state.survey.is_some())
    }

    /// True when the points allow a call now.
    pub(super) fn fits(&mut self, group: usize, call: Call, now: Duration) -> bool {
        let price = self.gate_price(group, call);
        let reading = self.costs.price(Call::RateLimitStatus);
        let urgent = call == Call::RateLimitStatus || self.clears_suspicion(group, call);
        self.groups[group]
            .allowance
            .admits(price, self.limits.share, reading, urgent, now)
    }

    pub(super) fn send(
        &mut self,
        group: usize,
        veid: Veid,
        call: Call,
        of_bracket: bool,
        now: Duration,
        taken: &mut Vec<Due>,
    ) {
        let points = self.costs.price(call);
        let state = &mut self.groups[group];
        let sent = state.allowance.send(call, points, now);
        state.last_sent = Some(now);
        if let Some(account) = self.accounts.get_mut(&veid) {
            account.ledger.expire(now);
            account.ledger.add(now, points);
            account.spent += points;
        }
        self.pacer.sent(now);
        self.spent[call.index()] += points;
        self.spent_in_all += points;
        self.schedule.start(veid, call, now);
        self.flights.insert(
            veid,
            Flight {
                call,
                points,
                sent,
                of_bracket,
            },
        );
        if self.spent_much(&self.groups[group]) {
            self.replan_soon(group, now + RETRY / 5);
        }
        taken.push(Due { veid, call });
    }
}
