//! The due times of every call of every VPS, and the places for calls in flight.
//!
//! One call of a VPS is in flight at a time. Each call keeps its own phase within its interval, so that a fleet does
//! not pulse; an interval that changes moves the due time in proportion. A live answer stands in for service info,
//! which is therefore due only while the live call fails, or when it is planned to replace it.

mod entry;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::backoff;
use super::pace::{Intervals, Pace};
use super::phases::{next_in_phase, next_on_grid, phase};
use super::places::Places;
use super::plan::LONGEST_POINTS;
use crate::kiwivm::{Call, Reason, Veid};
use entry::{Entry, Flight};

/// The longest step between two VPSes of a first round: a fleet of 50 has started in 12.5 s.
const FIRST_ROUND_STEP: Duration = Duration::from_millis(250);

/// Bounds for remembered intervals: no file of ours holds others.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// A call to be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Of which VPS.
    pub veid: Veid,
    /// Which call.
    pub call: Call,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer.
    Success,
    /// None, and why.
    Failure(Reason),
}

/// What of a schedule survives a restart, by [`Call::index`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Remembered {
    /// The intervals that the due times belong to.
    pub intervals: Intervals,
    /// When each call is due.
    pub due: [Option<Duration>; Call::ALL.len()],
    /// Failures in a row.
    pub failures: [u32; Call::ALL.len()],
}

/// When everything is due. Times are elapsed times of [`crate::clock::Moment`].
#[derive(Debug)]
pub(super) struct Schedule {
    entries: HashMap<Veid, Box<Entry>>,
    /// VPSes without a call in flight by their earliest due time; VEIDs break ties, so the order is stable.
    queue: BTreeSet<(Duration, Veid)>,
    places: Places,
    in_flight: usize,
    slow_in_flight: usize,
}

impl Schedule {
    /// Nothing is due in it before [`Self::reconfigure`].
    pub fn new(places: Places) -> Self {
        Self {
            entries: HashMap::new(),
            queue: BTreeSet::new(),
            places,
            in_flight: 0,
            slow_in_flight: 0,
        }
    }

    /// Takes over a new configuration: a first round that starts at `now`, spread in the order given. VPSes that stay
    /// keep their due times, unless they were held back by failures or a refused key: those are asked again, spread
    /// like a first round. Calls in flight are not disturbed.
    pub fn reconfigure(&mut self, fleet: &[(Veid, Pace)], places: Places, now: Duration) {
        let mut before = std::mem::take(&mut self.entries);
        self.queue.clear();
        self.places = places;
        let step = first_round_step(fleet);
        // Every VPS is to be tried before any is asked for more; and that is megabytes of history, so in steps as well.
        let round = step.saturating_mul(u32::try_from(fleet.len()).unwrap_or(u32::MAX));
        let mut first = now;
        for (veid, pace) in fleet {
            let rest = first + round;
            let entry = if let Some(mut kept) = before.remove(veid) {
                let held_back =
                    kept.leaving || kept.paused() || kept.failures.iter().any(|count| *count > 0);
                kept.leaving = false;
                kept.intervals = pace.intervals();
                if held_back {
                    kept.failures = Default::default();
                    kept.ask_everything(first, rest);
                    first += step;
                } else {
                    for call in Call::ALL {
                        let interval = kept.interval(call);
                        let planned = kept.intervals[call.index()].is_some();
                        let due = &mut kept.due[call.index()];
                        *due = due
                            .filter(|_| planned || call == Call::ServiceInfo)
                            .map(|due| due.min(now + interval))
                            .or(planned.then_some(rest));
                    }
                }
                kept
            } else {
                let entry = Entry::new(*pace, first, rest);
                first += step;
                Box::new(entry)
            };
            self.entries.insert(*veid, entry);
            self.enqueue(*veid);
        }
        // Calls of VPSes that left still hold their places until they return.
        self.entries
            .extend(before.into_iter().filter_map(|(veid, mut entry)| {
                entry.in_flight?;
                entry.due = [None; Call::ALL.len()];
                entry.leaving = true;
                Some((veid, entry))
            }));
    }

    /// What is due, the most important first, then the longest overdue; a VPS with a call in flight has to wait.
    pub fn waiting(&self, now: Duration) -> Vec<(Call, Duration, Veid)> {
        let mut waiting: Vec<_> = self
            .queue
            .range(..=(now, Veid(u64::MAX)))
            .filter_map(|(_, veid)| Some((veid, self.entries.get(veid)?)))
            .flat_map(|(veid, entry)| {
                Call::ALL.into_iter().filter_map(move |call| {
                    let due = entry.due[call.index()].filter(|due| *due <= now)?;
                    Some((call, due, *veid))
                })
            })
            .collect();
        waiting.sort_unstable();
        waiting
    }

    /// True when the VPS has no call in flight and this call would find a place.
    pub fn has_place(&self, veid: Veid, call: Call) -> bool {
        self.in_flight < self.places.all
            && self.entries.get(&veid).is_some_and(|entry| {
                entry.in_flight.is_none()
                    && (self.slow_in_flight < self.places.slow || !entry.slow[call.index()])
            })
    }

    /// True when the VPS has no call in flight.
    pub fn idle(&self, veid: Veid) -> bool {
        self.entries
            .get(&veid)
            .is_some_and(|entry| entry.in_flight.is_none())
    }

    /// True the first time a VPS is put off since its last call.
    pub fn put_off(&mut self, veid: Veid) -> bool {
        self.entries
            .get_mut(&veid)
            .is_some_and(|entry| !std::mem::replace(&mut entry.deferral_counted, true))
    }

    /// Marks a call as in flight.
    pub fn start(&mut self, veid: Veid, call: Call, now: Duration) {
        let Some(entry) = self.entries.get_mut(&veid) else {
            return;
        };
        if let Some(due) = entry.earliest() {
            self.queue.remove(&(due, veid));
        }
        let slow = entry.slow[call.index()];
        entry.in_flight = Some(Flight {
            call,
            started: now,
            slow,
        });
        entry.deferral_counted = false;
        self.in_flight += 1;
        self.slow_in_flight += usize::from(slow);
    }

    /// The next time at which something becomes due that is not due at `now` already.
    pub fn next_due(&self, now: Duration) -> Option<Duration> {
        self.queue
            .range((now, Veid(u64::MAX))..)
            .map(|(due, _)| *due)
            .find(|due| *due > now)
    }

    /// Gives back a call in flight and plans the next of its kind; `jitter` is from 0 to 1. True when that is put off
    /// because of failures.
    pub fn finish(&mut self, veid: Veid, outcome: Outcome, now: Duration, jitter: f64) -> bool {
        let Some(entry) = self.entries.get_mut(&veid) else {
            return false;
        };
        let Some(flight) = entry.in_flight.take() else {
            return false;
        };
        self.in_flight -= 1;
        self.slow_in_flight -= usize::from(flight.slow);
        if entry.leaving {
            self.entries.remove(&veid);
            return false;
        }
        let call = flight.call;
        let interval = entry.interval(call);
        let first = !std::mem::replace(&mut entry.tried[call.index()], true);
        entry.slow[call.index()] = outcome == Outcome::Failure(Reason::Timeout);
        let mut backs_off = false;
        match outcome {
            Outcome::Success => {
                entry.failures[call.index()] = 0;
                let due = entry.due[call.index()];
                let planned = call == Call::ServiceInfo || entry.intervals[call.index()].is_some();
                let next = if first {
                    next_in_phase(phase(veid, call, interval), interval, flight.started)
                } else {
                    next_on_grid(due.unwrap_or(flight.started), interval, flight.started)
                };
                entry.due[call.index()] = planned.then_some(next);
                if call == Call::LiveServiceInfo {
                    let replaces = entry.intervals[Call::ServiceInfo.index()];
                    entry.due[Call::ServiceInfo.index()] =
                        replaces.map(|interval| flight.started + interval);
                    entry.tried[Call::ServiceInfo.index()] = true;
                } else if entry.paused() {
                    entry.ask_everything(now, now);
                }
            }
            Outcome::Failure(Reason::Auth) => {
                entry.due = [None; Call::ALL.len()];
                entry.tried = [true; Call::ALL.len()];
                let wait = backoff::wait(Reason::Auth, 1, interval, jitter);
                entry.due[Call::ServiceInfo.index()] = Some(now + wait);
                backs_off = true;
            }
            Outcome::Failure(reason) => {
                let failures = &mut entry.failures[call.index()];
                *failures = failures.saturating_add(1);
                // An allowance may have to be read by a VPS whose turn comes once a day.
                let interval = if call == Call::RateLimitStatus {
                    interval.min(LONGEST_POINTS / 3)
                } else {
                    interval
                };
                let wait = backoff::wait(reason, *failures, interval, jitter);
                entry.due[call.index()] = Some(now + wait);
                backs_off = *failures > 1 || wait > interval;
                let service = &mut entry.due[Call::ServiceInfo.index()];
                if call == Call::LiveServiceInfo && service.is_none() {
                    *service = Some(now);
                }
            }
        }
        self.enqueue(veid);
        backs_off
    }

    /// Plans other intervals. What is due later comes sooner or later in proportion, what was due stays due; what was
    /// not planned before begins in phase, what is not planned any more is not due.
    pub fn set_intervals(&mut self, veid: Veid, intervals: Intervals, now: Duration) {
        let Some(entry) = self.entries.get_mut(&veid) else {
            return;
        };
        if entry.intervals == intervals {
            return;
        }
        let before = entry.earliest();
        let live_fails = entry.failures[Call::LiveServiceInfo.index()] > 0;
        let paused = entry.leaving || entry.paused();
        for call in Call::ALL {
            let (old, new) = (entry.intervals[call.index()], intervals[call.index()]);
            let due = &mut entry.due[call.index()];
            match (old, new) {
                (Some(old), Some(new)) => {
                    if let Some(due) = due.as_mut().filter(|due| **due > now)
                        && entry.tried[call.index()]
                        && entry.failures[call.index()] == 0
                    {
                        let ratio = new.as_secs_f64() / old.as_secs_f64().max(1e-3);
                        *due = now
                            + Duration::try_from_secs_f64(
                                due.saturating_sub(now).as_secs_f64() * ratio,
                            )
                            .unwrap_or(new);
                    }
                }
                (None, Some(new)) if !paused => {
                    due.get_or_insert(now + phase(veid, call, new));
                }
                (Some(_), None) if !paused && (call != Call::ServiceInfo || !live_fails) => {
                    *due = None;
                }
                _ => {}
            }
        }
        entry.intervals = intervals;
        if entry.in_flight.is_none() {
            if let Some(before) = before {
                self.queue.remove(&(before, veid));
            }
            self.enqueue(veid);
        }
    }

    /// Lets service info stand in for live from the start: a first round of live would take the points of a day, and
    /// those that come last would not be known until the next.
    pub fn begin_with_service_info(&mut self, veid: Veid, now: Duration) {
        let Some(entry) = self.entries.get_mut(&veid) else {
            return;
        };
        let live = Call::LiveServiceInfo;
        let waits = !entry.tried[live.index()] && entry.in_flight.is_none();
        if !waits || entry.leaving || entry.paused() {
            return;
        }
        if let Some(before) = entry.earliest() {
            self.queue.remove(&(before, veid));
        }
        let interval = entry.interval(live);
        entry.tried[live.index()] = true;
        entry.due[live.index()] = Some(now + phase(veid, live, interval));
        entry.due[Call::ServiceInfo.index()] = Some(now);
        self.enqueue(veid);
    }

    /// Makes a call due now.
    pub fn pull(&mut self, veid: Veid, call: Call, now: Duration) {
        let Some(entry) = self.entries.get_mut(&veid).filter(|entry| !entry.leaving) else {
            return;
        };
        let before = entry.earliest();
        entry.due[call.index()] = Some(now);
        if entry.in_flight.is_none() {
            if let Some(before) = before {
                self.queue.remove(&(before, veid));
            }
            self.enqueue(veid);
        }
    }

    /// Ends the pause of a VPS whose key was refused, because it has another key now.
    pub fn resume(&mut self, veid: Veid, now: Duration) {
        if let Some(entry) = self.entries.get_mut(&veid) {
            let before = entry.earliest();
            entry.failures = Default::default();
            entry.ask_everything(now, now);
            if entry.in_flight.is_none() {
                if let Some(before) = before {
                    self.queue.remove(&(before, veid));
                }
                self.enqueue(veid);
            }
        }
    }

    /// When each call is due, if it is, by [`Call::index`].
    pub fn due_times(&self, veid: Veid) -> Option<&[Option<Duration>; Call::ALL.len()]> {
        Some(&self.entries.get(&veid)?.due)
    }

    /// When a call is due, if it is.
    pub fn due(&self, veid: Veid, call: Call) -> Option<Duration> {
        self.due_times(veid)?[call.index()]
    }

    /// The planned intervals.
    pub fn intervals(&self, veid: Veid) -> Option<&Intervals> {
        Some(&self.entries.get(&veid)?.intervals)
    }

    /// The planned interval of a call.
    pub fn interval(&self, veid: Veid, call: Call) -> Option<Duration> {
        self.intervals(veid)?[call.index()]
    }

    /// True when the last attempt of a call failed.
    pub fn failing(&self, veid: Veid, call: Call) -> bool {
        self.entries
            .get(&veid)
            .is_some_and(|entry| entry.failures[call.index()] > 0)
    }

    /// Failures of a call in a row.
    pub fn failures(&self, veid: Veid, call: Call) -> u32 {
        self.entries
            .get(&veid)
            .map_or(0, |entry| entry.failures[call.index()])
    }

    /// True when nothing is asked of the VPS because its key was refused.
    pub fn paused(&self, veid: Veid) -> bool {
        self.entries.get(&veid).is_none_or(|entry| entry.paused())
    }

    /// True while a call is in flight.
    pub fn busy(&self) -> bool {
        self.in_flight > 0
    }

    /// True once every planned call of every VPS was tried, or is not going to be: a refused key makes the rest
    /// pointless.
    pub fn everything_tried(&self) -> bool {
        self.entries.values().all(|entry| {
            entry.in_flight.is_none()
                && Call::ALL.into_iter().all(|call| {
                    let planned =
                        entry.intervals[call.index()].is_some() || call == Call::ServiceInfo;
                    entry.tried[call.index()] || !planned
                })
        })
    }

    /// What survives a restart.
    pub fn remember(&self, veid: Veid) -> Option<Remembered> {
        let entry = self.entries.get(&veid)?;
        let mut due = entry.due;
        if let Some(flight) = entry.in_flight {
            // It is on its way, and will be repeated after an interval whatever comes of it.
            due[flight.call.index()] = Some(flight.started + entry.interval(flight.call));
        }
        Some(Remembered {
            intervals: entry.intervals,
            due,
            failures: entry.failures,
        })
    }

    /// Goes on where [`Self::remember`] left off. What became due meanwhile is spread like a first round by the
    /// caller's `earliest`.
    pub fn restore(&mut self, veid: Veid, remembered: &Remembered, earliest: Duration) {
        let Some(entry) = self.entries.get_mut(&veid) else {
            return;
        };
        if let Some(before) = entry.earliest() {
            self.queue.remove(&(before, veid));
        }
        let paused = remembered.due[Call::LiveServiceInfo.index()].is_none();
        for call in Call::ALL {
            // A clock that was set back must not silence a call.
            let latest = earliest + entry.interval(call).max(backoff::AUTHENTICATION_PAUSE) * 2;
            // What was shed comes back with the plan.
            let planned = entry.intervals[call.index()].filter(|_| !paused);
            let due = remembered.due[call.index()]
                .filter(|_| call == Call::ServiceInfo || entry.intervals[call.index()].is_some())
                .map(|due| due.clamp(earliest, latest))
                .or(planned.map(|interval| earliest + phase(veid, call, interval)));
            entry.due[call.index()] = due;
            // What is made up for now goes back to its own phase, else all of it would walk in step from now on.
            entry.tried[call.index()] = due.is_some_and(|due| due > earliest);
            // Else the next plan would stretch what was due by the same once more at every restart.
            if let Some(interval) = &mut entry.intervals[call.index()]
                && let Some(remembered) = remembered.intervals[call.index()]
            {
                *interval = remembered.clamp(SHORTEST, LONGEST);
            }
        }
        entry.failures = remembered.failures;
        self.enqueue(veid);
    }

    fn enqueue(&mut self, veid: Veid) {
        if let Some(entry) = self.entries.get(&veid)
            && entry.in_flight.is_none()
            && let Some(due) = entry.earliest()
        {
            self.queue.insert((due, veid));
        }
    }
}

/// A first round of a large fleet takes one live interval, that of a small one as long as its VPSes ask for.
fn first_round_step(fleet: &[(Veid, Pace)]) -> Duration {
    let vps = u32::try_from(fleet.len()).unwrap_or(u32::MAX).max(1);
    let shortest = fleet.iter().map(|(_, pace)| pace.live).min();
    shortest.map_or(FIRST_ROUND_STEP, |live| FIRST_ROUND_STEP.min(live / vps))
}

#[cfg(test)]
mod tests;
