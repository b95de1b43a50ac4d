//! The due times of every call of every VPS.
//!
//! One call of a VPS is in flight at a time. Each call keeps its own phase within its interval, so that a fleet does
//! not pulse. A live answer stands in for service info, which is therefore due only while the live call fails.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::time::Duration;

use super::backoff;
use super::places::Places;
use crate::fleet::Deferral;
use crate::kiwivm::{Call, Reason, Veid};

/// The longest step between two VPSes of a first round: a fleet of 50 has started in 12.5 s.
const FIRST_ROUND_STEP: Duration = Duration::from_millis(250);

/// The wanted intervals of one VPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Of `getLiveServiceInfo`, and of `getServiceInfo` while that has to stand in.
    pub live: Duration,
    /// Of `getRateLimitStatus`.
    pub points: Duration,
    /// Of `getRawUsageStats`.
    pub usage: Duration,
}

impl Pace {
    /// The interval of one call.
    #[must_use]
    pub const fn of(&self, call: Call) -> Duration {
        match call {
            Call::LiveServiceInfo | Call::ServiceInfo => self.live,
            Call::RateLimitStatus => self.points,
            Call::RawUsageStats => self.usage,
        }
    }
}

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

/// When everything is due. Times are elapsed times of [`crate::clock::Moment`].
#[derive(Debug)]
pub struct Schedule {
    entries: HashMap<Veid, Entry>,
    /// VPSes without a call in flight by their earliest due time; VEIDs break ties, so the order is stable.
    queue: BTreeSet<(Duration, Veid)>,
    places: Places,
    in_flight: usize,
    slow_in_flight: usize,
    /// Differs between processes, so that two exporters do not walk in step.
    seed: RandomState,
    draws: u64,
    deferrals: Vec<(Call, Deferral)>,
}

#[derive(Debug)]
struct Entry {
    pace: Pace,
    due: [Option<Duration>; Call::ALL.len()],
    failures: [u32; Call::ALL.len()],
    /// The last attempt of this call timed out: it goes through the slow lane until it succeeds.
    slow: [bool; Call::ALL.len()],
    tried: [bool; Call::ALL.len()],
    in_flight: Option<InFlight>,
    deferral_counted: bool,
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    call: Call,
    started: Duration,
    slow: bool,
}

impl Entry {
    fn new(pace: Pace, first: Duration, rest: Duration) -> Self {
        let mut entry = Self {
            pace,
            due: [None; Call::ALL.len()],
            failures: [0; Call::ALL.len()],
            slow: [false; Call::ALL.len()],
            tried: [false; Call::ALL.len()],
            in_flight: None,
            deferral_counted: false,
        };
        entry.ask_everything(first, rest);
        entry
    }

    /// Everything that is asked of a VPS that answers: the live call first, the rest not before `rest`.
    fn ask_everything(&mut self, first: Duration, rest: Duration) {
        self.due = [None; Call::ALL.len()];
        self.due[Call::LiveServiceInfo.index()] = Some(first);
        self.due[Call::RateLimitStatus.index()] = Some(rest);
        self.due[Call::RawUsageStats.index()] = Some(rest);
    }

    fn earliest(&self) -> Option<Duration> {
        self.due.iter().flatten().min().copied()
    }

    /// The most important call that is due and whose lane has a place.
    fn pick(&self, now: Duration, slow_lane_open: bool) -> Option<Call> {
        Call::ALL.into_iter().find(|call| {
            self.due[call.index()].is_some_and(|due| due <= now)
                && (slow_lane_open || !self.slow[call.index()])
        })
    }

    fn paused(&self) -> bool {
        self.due[Call::LiveServiceInfo.index()].is_none()
    }
}

impl Schedule {
    /// A first round that starts at `now` and is spread in the order given.
    #[must_use]
    pub fn new(
        fleet: impl IntoIterator<Item = (Veid, Pace)>,
        places: Places,
        now: Duration,
    ) -> Self {
        let mut schedule = Self {
            entries: HashMap::new(),
            queue: BTreeSet::new(),
            places,
            in_flight: 0,
            slow_in_flight: 0,
            seed: RandomState::new(),
            draws: 0,
            deferrals: Vec::new(),
        };
        schedule.reconfigure(fleet, places, now);
        schedule
    }

    /// Takes over a new configuration. VPSes that stay keep their due times, unless they were held back by failures
    /// or a refused key: those are asked again, spread like a first round. Calls in flight are not disturbed.
    pub fn reconfigure(
        &mut self,
        fleet: impl IntoIterator<Item = (Veid, Pace)>,
        places: Places,
        now: Duration,
    ) {
        let mut before = std::mem::take(&mut self.entries);
        self.queue.clear();
        self.places = places;
        let fleet: Vec<_> = fleet.into_iter().collect();
        let step = first_round_step(&fleet);
        // Every VPS is to be tried before any is asked for more.
        let rest = now + step.saturating_mul(u32::try_from(fleet.len()).unwrap_or(u32::MAX));
        let mut first = now;
        for (veid, pace) in fleet {
            let entry = if let Some(mut kept) = before.remove(&veid) {
                let held_back = kept.paused() || kept.failures.iter().any(|count| *count > 0);
                kept.pace = pace;
                if held_back {
                    kept.failures = Default::default();
                    kept.ask_everything(first, rest);
                    first += step;
                } else {
                    for call in Call::ALL {
                        let due = &mut kept.due[call.index()];
                        *due = due.map(|due| due.min(now + pace.of(call)));
                    }
                }
                kept
            } else {
                let entry = Entry::new(pace, first, rest);
                first += step;
                entry
            };
            if entry.in_flight.is_none()
                && let Some(due) = entry.earliest()
            {
                self.queue.insert((due, veid));
            }
            self.entries.insert(veid, entry);
        }
        // Calls of VPSes that left still hold their places until they return.
        self.entries
            .extend(before.into_iter().filter_map(|(veid, mut entry)| {
                entry.in_flight?;
                entry.due = [None; Call::ALL.len()];
                Some((veid, entry))
            }));
    }

    /// Takes what is due now and has a place. Each must be given back with [`Self::finish`].
    pub fn take_due(&mut self, now: Duration) -> Vec<Due> {
        let mut taken = Vec::new();
        let waiting: Vec<_> = self
            .queue
            .range(..=(now, Veid(u64::MAX)))
            .copied()
            .collect();
        for (due, veid) in waiting {
            let Some(entry) = self.entries.get_mut(&veid) else {
                continue;
            };
            let slow_lane_open = self.slow_in_flight < self.places.slow;
            let place_free = self.in_flight < self.places.all;
            match entry.pick(now, slow_lane_open).filter(|_| place_free) {
                Some(call) => {
                    let slow = entry.slow[call.index()];
                    entry.in_flight = Some(InFlight {
                        call,
                        started: now,
                        slow,
                    });
                    entry.deferral_counted = false;
                    self.in_flight += 1;
                    self.slow_in_flight += usize::from(slow);
                    self.queue.remove(&(due, veid));
                    taken.push(Due { veid, call });
                }
                None if !entry.deferral_counted => {
                    entry.deferral_counted = true;
                    if let Some(call) = entry.pick(now, true) {
                        self.deferrals.push((call, Deferral::Concurrency));
                    }
                }
                None => {}
            }
        }
        taken
    }

    /// The next time at which something becomes due that is not due at `now` already. What is due and waits for a
    /// place gets its chance when a call finishes.
    #[must_use]
    pub fn next_due(&self, now: Duration) -> Option<Duration> {
        self.queue
            .range((now, Veid(u64::MAX))..)
            .map(|(due, _)| *due)
            .find(|due| *due > now)
    }

    /// Gives back a call taken with [`Self::take_due`] and plans the next of its kind.
    pub fn finish(&mut self, veid: Veid, outcome: Outcome, now: Duration) {
        let jitter = self.draw();
        let Some(entry) = self.entries.get_mut(&veid) else {
            return;
        };
        let Some(flight) = entry.in_flight.take() else {
            return;
        };
        self.in_flight -= 1;
        self.slow_in_flight -= usize::from(flight.slow);
        if entry.earliest().is_none() {
            // It left the configuration while the call was in flight.
            self.entries.remove(&veid);
            return;
        }
        let call = flight.call;
        entry.tried[call.index()] = true;
        entry.slow[call.index()] = outcome == Outcome::Failure(Reason::Timeout);
        match outcome {
            Outcome::Success => {
                entry.failures[call.index()] = 0;
                let phase = phase(veid, call, entry.pace.of(call));
                let next = next_in_phase(phase, entry.pace.of(call), flight.started);
                entry.due[call.index()] = Some(next);
                if call == Call::LiveServiceInfo {
                    entry.due[Call::ServiceInfo.index()] = None;
                    entry.tried[Call::ServiceInfo.index()] = true;
                } else if entry.paused() {
                    entry.ask_everything(now, now);
                }
            }
            Outcome::Failure(Reason::Auth) => {
                entry.due = [None; Call::ALL.len()];
                entry.tried = [true; Call::ALL.len()];
                let wait = backoff::wait(Reason::Auth, 1, entry.pace.live, jitter);
                entry.due[Call::ServiceInfo.index()] = Some(now + wait);
                self.deferrals.push((call, Deferral::Backoff));
            }
            Outcome::Failure(reason) => {
                let failures = &mut entry.failures[call.index()];
                *failures = failures.saturating_add(1);
                let wait = backoff::wait(reason, *failures, entry.pace.of(call), jitter);
                entry.due[call.index()] = Some(now + wait);
                if *failures > 1 || wait > entry.pace.of(call) {
                    self.deferrals.push((call, Deferral::Backoff));
                }
                let service = &mut entry.due[Call::ServiceInfo.index()];
                if call == Call::LiveServiceInfo && service.is_none() {
                    *service = Some(now);
                }
            }
        }
        if let Some(due) = entry.earliest() {
            self.queue.insert((due, veid));
        }
    }

    /// Ends the pause of a VPS whose key was refused, because it has another key now.
    pub fn resume(&mut self, veid: Veid, now: Duration) {
        let Some(entry) = self.entries.get_mut(&veid) else {
            return;
        };
        let before = entry.earliest();
        entry.failures = Default::default();
        entry.ask_everything(now, now);
        if entry.in_flight.is_none() {
            if let Some(before) = before {
                self.queue.remove(&(before, veid));
            }
            self.queue.insert((now, veid));
        }
    }

    /// True once every call of every VPS was tried, or is not going to be: a refused key makes the rest pointless.
    #[must_use]
    pub fn everything_tried(&self) -> bool {
        self.entries
            .values()
            .all(|entry| entry.in_flight.is_none() && entry.tried.iter().all(|tried| *tried))
    }

    /// The deferrals since this was last asked.
    pub fn take_deferrals(&mut self) -> Vec<(Call, Deferral)> {
        std::mem::take(&mut self.deferrals)
    }

    /// A number from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a jitter needs no 64 bits")]
    fn draw(&mut self) -> f64 {
        self.draws += 1;
        self.seed.hash_one(self.draws) as f64 / u64::MAX as f64
    }
}

/// A first round of a large fleet takes one live interval, that of a small one as long as its VPSes ask for.
fn first_round_step(fleet: &[(Veid, Pace)]) -> Duration {
    let vps = u32::try_from(fleet.len()).unwrap_or(u32::MAX).max(1);
    let shortest = fleet.iter().map(|(_, pace)| pace.live).min();
    shortest.map_or(FIRST_ROUND_STEP, |live| FIRST_ROUND_STEP.min(live / vps))
}

/// Where within its interval a call belongs: the same at every start, spread evenly over VEIDs and calls.
fn phase(veid: Veid, call: Call, interval: Duration) -> Duration {
    // The finaliser of splitmix64: neighbouring VEIDs must not get neighbouring phases.
    let mut mixed = veid
        .0
        .wrapping_mul(8)
        .wrapping_add(call.index() as u64)
        .wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    let nanos = u64::try_from(interval.as_nanos())
        .unwrap_or(u64::MAX)
        .max(1);
    Duration::from_nanos(mixed % nanos)
}

/// The first time in phase that is more than half an interval after `started`.
fn next_in_phase(phase: Duration, interval: Duration, started: Duration) -> Duration {
    let interval = interval.max(Duration::from_millis(1));
    let after = started + interval / 2;
    if after < phase {
        return phase;
    }
    let steps = after.saturating_sub(phase).as_nanos() / interval.as_nanos() + 1;
    phase + interval.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
