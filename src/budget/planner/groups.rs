//! Who shares an allowance with whom: surveys, and the groups that follow from them.

use std::time::Duration;

use super::experiments::as_f64;
use super::{Account, Group, Planner};
use crate::budget::allowance::{Reading, Remaining, Sent};
use crate::budget::schedule::Due;
use crate::budget::survey::{MOST, Spent, Step, Survey, TELLING, Verdict};
use crate::config::Scope;
use crate::kiwivm::{Call, Veid};

/// A VPS whose points could not be read so often in a row takes no part in a survey.
const GIVEN_UP: u32 = 4;
/// A survey that had to wait is looked at again after this.
const SURVEY_SOON: Duration = Duration::from_secs(60);
/// The first wait before a survey that told too little is repeated; it doubles.
const SURVEY_AGAIN: Duration = Duration::from_secs(30 * 60);

impl Planner {
    pub(super) fn put_off_surveys(&mut self, now: Duration) {
        for group in &mut self.groups {
            group.next_survey = Some(now + SURVEY_AGAIN / 6);
        }
    }

    /// Begins a survey when it is time for one and there are points for it.
    pub(super) fn consider_survey(&mut self, group: usize, now: Duration) {
        let reading = self.costs.price(Call::RateLimitStatus);
        let known = self.costs.count(Call::LiveServiceInfo) >= 2
            && self.costs.count(Call::RateLimitStatus) >= 2;
        let state = &self.groups[group];
        let due = state.next_survey.is_none_or(|at| at <= now);
        if !self.limits.learn
            || state.certain
            || self.limits.scope != Scope::Auto
            || state.survey.is_some()
            || !due
            || !known
        {
            return;
        }
        let failures = |veid: Veid| self.schedule.failures(veid, Call::RateLimitStatus);
        let all = &state.allowance.members;
        // A reading that was lost is repeated soon; only who can not be read at all is left out.
        if all
            .iter()
            .any(|veid| (1..GIVEN_UP).contains(&failures(*veid)) && !self.schedule.paused(*veid))
        {
            self.groups[group].next_survey = Some(now + SURVEY_SOON);
            return;
        }
        let members: Vec<Veid> = all
            .iter()
            .copied()
            .filter(|veid| !self.schedule.paused(*veid) && failures(*veid) == 0)
            .take(MOST)
            .collect();
        let [spender, _, ..] = members[..] else {
            return;
        };
        let points = reading * as_f64(3 * members.len() as u64) + 2.0 * TELLING;
        let share = self.limits.share;
        if reading < 0.5
            || !self.groups[group]
                .allowance
                .admits(points, share, reading, false, now)
        {
            self.groups[group].next_survey = Some(now + SURVEY_AGAIN / 6);
            return;
        }
        self.groups[group].survey = Some(Box::new(Survey::new(members, spender, now)));
    }

    /// Sends what the surveys ask for.
    pub(super) fn take_surveys(&mut self, now: Duration, taken: &mut Vec<Due>) {
        for group in 0..self.groups.len() {
            let Some(mut survey) = self.groups[group].survey.take() else {
                continue;
            };
            if survey.expired(now) {
                self.survey_again(group, now);
                continue;
            }
            let foreign = survey.untouched() && self.groups[group].allowance.calls_in_flight > 0;
            if self.experiments.hold(group) || foreign {
                self.groups[group].survey = Some(survey);
                continue;
            }
            let spent = self.groups[group].allowance.spent;
            let step = survey.step(
                spent,
                |veid| self.accounts.get(&veid).map_or(0.0, |a| a.spent),
                now,
            );
            let asked: Vec<Veid> = match step {
                Step::Read => survey.pending().to_vec(),
                Step::Spend(spender) => vec![spender],
                Step::Wait(until) => {
                    self.retry_in(until.saturating_sub(now), now);
                    Vec::new()
                }
            };
            for veid in asked {
                let call = Call::RateLimitStatus;
                // A reading that was lost is asked for again.
                if self.schedule.has_place(veid, call) && self.fits(group, call, now) {
                    self.send(group, veid, call, false, now, taken);
                }
            }
            self.retry_in(Duration::from_secs(1), now);
            self.groups[group].survey = Some(survey);
        }
    }

    pub(super) fn advance_survey(
        &mut self,
        group: usize,
        veid: Veid,
        remaining: Option<Remaining>,
        now: Duration,
    ) {
        let own = self
            .accounts
            .get(&veid)
            .map_or(0.0, |account| account.spent);
        let spent = Spent {
            own,
            group: self.groups[group].allowance.spent,
        };
        let (Some(survey), Some(remaining)) = (&mut self.groups[group].survey, remaining) else {
            return;
        };
        if let Some(verdict) = survey.read(veid, remaining, spent) {
            self.groups[group].survey = None;
            self.part(group, verdict, now);
        }
    }

    fn survey_again(&mut self, group: usize, now: Duration) {
        let state = &mut self.groups[group];
        state.next_survey = Some(now + SURVEY_AGAIN * 2_u32.pow(state.surveys.min(6)));
        state.surveys += 1;
    }

    /// Parts a group as a survey found. VPSes that were not surveyed stay with those that share.
    fn part(&mut self, group: usize, mut verdict: Verdict, now: Duration) {
        let surveyed: Vec<Veid> = verdict
            .alone
            .iter()
            .chain(verdict.together.iter().flat_map(|(veids, _)| veids))
            .copied()
            .collect();
        let left: Vec<Veid> = self.groups[group]
            .allowance
            .members
            .iter()
            .copied()
            .filter(|veid| !surveyed.contains(veid))
            .collect();
        if surveyed.len() == MOST && !verdict.together.is_empty() {
            // Too many to be surveyed at a time are parted only when each seems to have its own.
            verdict = Verdict {
                alone: Vec::new(),
                together: vec![(surveyed.clone(), false)],
            };
        }
        if surveyed.len() == MOST {
            match verdict.together.first_mut() {
                Some((veids, _)) => veids.extend(&left),
                None if left.is_empty() => {}
                None => verdict.together.push((left.clone(), false)),
            }
        } else if !left.is_empty() {
            // With whom they share is not known: when they can be read, everything is joined and surveyed again.
            self.unsurveyed.extend(&left);
            verdict
                .together
                .extend(left.iter().map(|veid| (vec![*veid], false)));
        }
        if verdict.alone.is_empty() && verdict.together.len() == 1 {
            let certain = verdict.together[0].1 && left.is_empty();
            self.groups[group].certain = certain;
            self.survey_again(group, now);
            self.replan_soon(group, now);
            return;
        }
        let mut parts: Vec<(Vec<Veid>, bool)> = verdict
            .alone
            .into_iter()
            .map(|veid| (vec![veid], true))
            .collect();
        parts.extend(verdict.together);
        let old = self.groups.remove(group);
        if let Some((of, _)) = &mut self.experiments.bracket
            && *of > group
        {
            *of -= 1;
        }
        for (veids, certain) in parts {
            let new = self.group_of_members(veids, certain, Some(&old), now);
            self.groups.push(new);
        }
        self.index_groups();
        self.next_replan = now;
    }

    /// Joins everything again: it was parted by mistake, or without knowing all.
    pub(super) fn reunite(&mut self, next_survey: Duration, now: Duration) {
        self.regroup(vec![(self.order.clone(), false)], now);
        self.experiments.bracket = None;
        self.unsurveyed.clear();
        self.reunited = Some(now);
        for group in &mut self.groups {
            group.next_survey = Some(next_survey);
        }
    }

    pub(super) fn regroup(&mut self, parts: Vec<(Vec<Veid>, bool)>, now: Duration) {
        self.groups = parts
            .into_iter()
            .map(|(members, certain)| self.group_of_members(members, certain, None, now))
            .collect();
        self.index_groups();
        self.next_replan = now;
    }

    pub(super) fn index_groups(&mut self) {
        self.moved.extend(&self.order);
        for (index, group) in self.groups.iter().enumerate() {
            for veid in &group.allowance.members {
                if let Some(account) = self.accounts.get_mut(veid) {
                    account.group = index;
                }
            }
        }
    }

    /// The index of the group that a VPS is in.
    pub(super) fn group_of(&self, veid: Veid) -> Option<usize> {
        self.accounts.get(&veid).map(|account| account.group)
    }

    /// A group made of what is kept for each of its VPSes.
    pub(super) fn group_of_members(
        &self,
        mut members: Vec<Veid>,
        certain: bool,
        old: Option<&Group>,
        now: Duration,
    ) -> Group {
        let position = |veid: &Veid| self.order.iter().position(|other| other == veid);
        if members.len() < self.order.len() {
            members.sort_by_cached_key(position);
        }
        let mut group = Group::new(members, certain, self.limits.siblings, now);
        // Brackets wait until what was sent before is counted.
        group.last_sent = match old {
            Some(old) => old.last_sent,
            None => (self.spent_in_all > 0.0).then_some(now),
        };
        let allowance = &mut group.allowance;
        let accounts: Vec<&Box<Account>> = allowance
            .members
            .iter()
            .filter_map(|veid| self.accounts.get(veid))
            .collect();
        for account in &accounts {
            allowance.ledger.merge(&account.ledger);
            allowance.spent += account.spent;
            for window in 0..2 {
                allowance.largest[window] = allowance.largest[window].max(account.largest[window]);
            }
        }
        allowance.ledger.expire(now);
        for veid in &allowance.members.clone() {
            if let Some(flight) = self.flights.get(veid) {
                allowance.now_in_flight(flight.points);
            }
        }
        let newest = accounts
            .iter()
            .filter_map(|account| account.reading)
            .max_by_key(|(at, _)| *at);
        allowance.reading = newest.map(|(at, remaining)| Reading {
            remaining,
            sent: Sent {
                at,
                ..allowance.sent(now)
            },
        });
        if let (Some(old), Some(reading)) = (old, allowance.reading) {
            allowance.brake = old.allowance.brake.clone();
            allowance.sliding = old.allowance.sliding;
            if let Some((since, _)) = old.allowance.assumed {
                allowance.assume_what_is_missing(reading.remaining, now);
                allowance.assumed = allowance.assumed.map(|(_, points)| (since, points));
            }
        }
        group
    }
}
