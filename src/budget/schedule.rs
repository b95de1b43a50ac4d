//! Due times of all calls of all VPSes, and the limits of calls in flight.
//!
//! A VPS has two lanes with one call in flight each. Usage history and readings have their own lane, because history
//! may take minutes and a reading that hangs must not delay live data. Each call keeps its phase within its interval,
//! so that the calls of a fleet are spread. A live response includes service info, which is therefore due only while
//! live calls fail or while it is planned as their fallback.

mod entry;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::backoff;
use super::brake::MAX_RETRY_AFTER;
use super::pace::{Pace, PlannedIntervals};
use super::phases::{next_in_phase, next_on_grid, phase};
use super::slots::Slots;
use crate::kiwivm::{Call, PerCall, Reason, Veid};
use crate::units::AccountTime;
pub use entry::ScheduleEntry;
use entry::{FirstRound, Flight, lane};

/// Maximum wait of a call that is planned again after it was not.
const RETURNS_WITHIN: Duration = Duration::from_secs(180);

/// A call of a VPS to be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The VPS.
    pub veid: Veid,
    /// The call.
    pub call: Call,
}

/// The result of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A valid response.
    Success,
    /// A failure with its reason.
    Failure(Reason),
}

/// The due times of all calls.
#[derive(Debug)]
pub struct Schedule {
    entries: HashMap<Veid, Box<ScheduleEntry>>,
    /// VPSes by the earliest due time of a call in a free lane. VEIDs break ties, so the order is stable.
    queue: BTreeSet<(AccountTime, Veid)>,
    slots: Slots,
    in_flight: usize,
    slow_in_flight: usize,
}

impl Schedule {
    /// Creates an empty schedule, to be filled by [`Self::reconfigure`].
    #[must_use]
    pub fn new(slots: Slots) -> Self {
        Self {
            entries: HashMap::new(),
            queue: BTreeSet::new(),
            slots,
            in_flight: 0,
            slow_in_flight: 0,
        }
    }

    /// Applies a new configuration. New VPSes start with a first round at `now`, in the order of `fleet`. Remaining
    /// VPSes keep their due times, unless calls failed or the key was refused: those start like new ones.
    pub fn reconfigure(&mut self, fleet: &[(Veid, Pace)], slots: Slots, now: AccountTime) {
        let mut before = std::mem::take(&mut self.entries);
        self.queue.clear();
        self.slots = slots;
        let mut round = FirstRound::new(fleet, now);
        for (rank, (veid, pace)) in (0..).zip(fleet) {
            let mut entry = before.remove(veid).unwrap_or_default();
            entry.rank = rank;
            let starts_over = entry.starts_over();
            entry.leaving = false;
            entry.intervals = pace.intervals();
            if starts_over {
                entry.failures = PerCall::default();
                round.schedule(&mut entry);
            } else {
                for call in Call::ALL {
                    let interval = entry.interval(call);
                    let planned = entry.intervals[call].is_some();
                    let due = &mut entry.due[call];
                    *due = due
                        .filter(|_| planned || call == Call::ServiceInfo)
                        .map(|due| due.min(now + interval))
                        .or(planned.then_some(now));
                }
            }
            self.entries.insert(*veid, entry);
            self.enqueue(*veid);
        }
        // The calls of removed VPSes occupy their slots until they finish.
        for (veid, mut entry) in before {
            if entry.in_flight.iter().any(Option::is_some) {
                entry.due = PerCall::default();
                entry.leaving = true;
                self.entries.insert(veid, entry);
            }
        }
    }

    /// Returns the due calls in free lanes: readings first, then by importance, then by due time. History and inventory
    /// calls that failed come last, by due time, because slow failures could take the lane of their VPS from other calls.
    #[must_use]
    pub fn waiting(&self, now: AccountTime) -> Vec<(Call, AccountTime, Veid)> {
        let mut waiting: Vec<_> = self
            .queue
            .range(..=(now, Veid(u64::MAX)))
            .filter_map(|(_, veid)| Some((veid, self.entries.get(veid)?)))
            .flat_map(|(veid, entry)| {
                Call::ALL.into_iter().filter_map(move |call| {
                    let due = entry.next(call).filter(|due| *due <= now)?;
                    let retries = entry.failures[call] > 0 && !call.returns_state();
                    Some((retries.then_some(due), (call, due, *veid)))
                })
            })
            .collect();
        // Readings are few, and the other calls depend on them.
        waiting.sort_unstable_by_key(|(retry, due)| (due.0 != Call::RateLimitStatus, *retry, *due));
        waiting.into_iter().map(|(_, due)| due).collect()
    }

    /// Returns true if the lane of the call and a slot are free.
    #[must_use]
    pub fn has_slot(&self, veid: Veid, call: Call) -> bool {
        self.in_flight < self.slots.all
            && self.entries.get(&veid).is_some_and(|entry| {
                entry.in_flight[lane(call)].is_none()
                    && (self.slow_in_flight < self.slots.slow || !entry.is_slow(call))
            })
    }

    /// Returns true if the VPS can take an unplanned call: the main lane is free, and the key was not refused.
    #[must_use]
    pub fn is_ready(&self, veid: Veid) -> bool {
        self.entries
            .get(&veid)
            .is_some_and(|entry| entry.in_flight[0].is_none() && !entry.is_paused())
    }

    /// Returns true for the first deferral of a VPS since its last call.
    pub fn first_deferral(&mut self, veid: Veid) -> bool {
        self.entries
            .get_mut(&veid)
            .is_some_and(|entry| !std::mem::replace(&mut entry.deferral_counted, true))
    }

    /// Marks a call as in flight.
    pub fn start(&mut self, veid: Veid, call: Call, now: AccountTime) {
        let mut slow = false;
        self.edit(veid, |entry| {
            slow = entry.is_slow(call);
            entry.in_flight[lane(call)] = Some(Flight {
                call,
                started: now,
                slow,
            });
            entry.deferral_counted = false;
            if call.returns_state() {
                entry.last_poll = Some(now);
            }
        });
        self.in_flight += 1;
        self.slow_in_flight += usize::from(slow);
    }

    /// Returns the next due time after `now`.
    #[must_use]
    pub fn next_due(&self, now: AccountTime) -> Option<AccountTime> {
        let mut later = self.queue.range((now, Veid(u64::MAX))..);
        later.next().map(|(due, _)| *due)
    }

    /// Records the result of a call in flight and schedules the next one. A failed call waits at least `retry_after`.
    /// `jitter` is from 0 to 1. Returns true if the call backs off.
    pub fn finish(
        &mut self,
        Due { veid, call }: Due,
        outcome: Outcome,
        retry_after: Option<Duration>,
        now: AccountTime,
        jitter: f64,
    ) -> bool {
        let Some(entry) = self.entries.get_mut(&veid) else {
            return false;
        };
        let Some(flight) = entry.in_flight[lane(call)] else {
            return false;
        };
        if let Some(before) = entry.earliest() {
            self.queue.remove(&(before, veid));
        }
        entry.in_flight[lane(call)] = None;
        self.in_flight -= 1;
        self.slow_in_flight -= usize::from(flight.slow);
        if entry.leaving {
            if entry.in_flight.iter().all(Option::is_none) {
                self.entries.remove(&veid);
            }
            return false;
        }
        let retry_after = retry_after.map(|wait| wait.min(MAX_RETRY_AFTER));
        let interval = entry.interval(call);
        let first = !std::mem::replace(&mut entry.tried[call], true);
        let paused = entry.is_paused();
        entry.slow[call] = outcome == Outcome::Failure(Reason::Timeout);
        let mut backs_off = false;
        match outcome {
            Outcome::Success => {
                entry.failures[call] = 0;
                let due = entry.due[call];
                let planned = call == Call::ServiceInfo || entry.intervals[call].is_some();
                let next = if first {
                    // From the second call on, the calls of a fleet are spread over the interval.
                    let started = flight.started.saturating_sub(interval * 3 / 8);
                    next_in_phase(phase(entry.rank, call, interval), interval, started)
                } else {
                    next_on_grid(due.unwrap_or(flight.started), interval, flight.started)
                };
                entry.due[call] = planned.then_some(next);
                if call.returns_state() {
                    entry.last_data = Some(now);
                }
                if call == Call::LiveServiceInfo {
                    let service = entry.intervals[Call::ServiceInfo];
                    entry.due[Call::ServiceInfo] =
                        service.map(|interval| flight.started + interval);
                }
                if paused {
                    // The key is accepted. A call that was in flight during the refusal makes nothing due at once: if
                    // one call is always refused and another accepted, they would repeat without a wait.
                    let in_flight = call != Call::ServiceInfo;
                    for (due, interval) in entry.due.values_mut().zip(entry.intervals.values()) {
                        *due =
                            interval.map(|interval| if in_flight { now + interval } else { now });
                    }
                }
            }
            Outcome::Failure(Reason::Auth) => {
                entry.due = PerCall::default();
                let wait = backoff::wait(call, Reason::Auth, 1, interval, jitter);
                entry.due[Call::ServiceInfo] = Some(now + wait);
                backs_off = true;
            }
            // It was in flight during the refusal, and the pause goes on.
            Outcome::Failure(_) if paused && call != Call::ServiceInfo => backs_off = true,
            Outcome::Failure(reason) => {
                let failures = &mut entry.failures[call];
                *failures = failures.saturating_add(1);
                let wait = backoff::wait(call, reason, *failures, interval, jitter);
                let retry_after = retry_after.unwrap_or_default();
                let wait = wait.max(retry_after);
                entry.due[call] = Some(now + wait);
                backs_off = true;
                let service = &mut entry.due[Call::ServiceInfo];
                if call == Call::LiveServiceInfo && service.is_none() {
                    *service = Some(now + retry_after);
                }
            }
        }
        self.enqueue(veid);
        backs_off
    }

    /// Changes the planned intervals. Waits scale with them, but a backoff only shrinks. Calls that are due stay due.
    /// Newly planned calls become due soon, and calls that are no longer planned are removed.
    pub fn set_intervals(&mut self, veid: Veid, intervals: PlannedIntervals, now: AccountTime) {
        self.edit(veid, |entry| {
            let live_fails = entry.failures[Call::LiveServiceInfo] > 0;
            let paused = entry.leaving || entry.is_paused();
            let rank = entry.rank;
            for call in Call::ALL {
                let (old, new) = (entry.intervals[call], intervals[call]);
                let fails = entry.failures[call] > 0;
                let tried = entry.tried[call];
                let due = &mut entry.due[call];
                match (old, new) {
                    (Some(old), Some(new)) => {
                        let ratio = new.as_secs_f64() / old.as_secs_f64().max(1e-3);
                        // A longer interval is no reason for a longer backoff.
                        let ratio = if fails { ratio.min(1.0) } else { ratio };
                        if let Some(due) = due.as_mut().filter(|due| **due > now && tried) {
                            let wait = due.since(now).as_secs_f64() * ratio;
                            let wait = Duration::try_from_secs_f64(wait).unwrap_or(new);
                            // Only a backoff may be longer than two intervals.
                            let longest = if fails { wait } else { new.saturating_mul(2) };
                            *due = now + wait.min(longest);
                        }
                    }
                    (None, Some(new)) if !paused => {
                        due.get_or_insert(now + phase(rank, call, new.min(RETURNS_WITHIN)));
                    }
                    (Some(_), None) if !paused && (call != Call::ServiceInfo || !live_fails) => {
                        *due = None;
                    }
                    _ => {}
                }
            }
            entry.intervals = intervals;
        });
    }

    /// Makes a call due now.
    pub fn make_due(&mut self, veid: Veid, call: Call, now: AccountTime) {
        self.edit(veid, |entry| {
            if !entry.leaving {
                entry.due[call] = Some(now);
            }
        });
    }

    /// Retries a failed live call within an interval, because the reason of the failure may be over.
    pub fn retry_live(&mut self, veid: Veid, now: AccountTime) {
        let call = Call::LiveServiceInfo;
        self.edit(veid, |entry| {
            let soon = now + phase(entry.rank, call, entry.interval(call));
            if entry.failures[call] > 0
                && let Some(due) = &mut entry.due[call]
            {
                *due = soon.min(*due);
            }
        });
    }

    /// Ends the pause after a refused key, because the VPS has a new key.
    pub fn resume(&mut self, veid: Veid, now: AccountTime) {
        self.edit(veid, |entry| {
            entry.failures = PerCall::default();
            entry.make_all_due(now, now);
        });
    }

    /// Returns the entry of a VPS.
    #[must_use]
    pub fn of(&self, veid: Veid) -> Option<&ScheduleEntry> {
        self.entries.get(&veid).map(Box::as_ref)
    }

    /// Changes the entry of a VPS and keeps the queue consistent.
    pub fn edit(&mut self, veid: Veid, change: impl FnOnce(&mut ScheduleEntry)) {
        let Some(entry) = self.entries.get_mut(&veid) else {
            return;
        };
        if let Some(before) = entry.earliest() {
            self.queue.remove(&(before, veid));
        }
        change(entry);
        self.enqueue(veid);
    }

    fn enqueue(&mut self, veid: Veid) {
        if let Some(entry) = self.entries.get(&veid)
            && let Some(due) = entry.earliest()
        {
            self.queue.insert((due, veid));
        }
    }
}

#[cfg(test)]
mod tests;
