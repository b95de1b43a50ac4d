//! The due times of one VPS, and the first round of a fleet.

use std::time::Duration;

use crate::budget::pace::{Intervals, Pace};
use crate::kiwivm::{Call, PerCall, Veid};

/// The longest step between two VPSes of a first round: a fleet of 50 is asked within 6 seconds.
const STEP: Duration = Duration::from_millis(125);
/// The step between two calls for history or inventory in a first round: so much for each VPS of the fleet,
const STEP_OF_REST: Duration = Duration::from_millis(50);
/// at least that of live, and at most this: at 3 seconds they take about half of a usual quota's share of 15 minutes.
const LONGEST_STEP_OF_REST: Duration = Duration::from_secs(3);

/// The due times of one VPS. Arrays are indexed.
#[derive(Debug, Default)]
pub struct Entry {
    /// The planned intervals.
    pub intervals: Intervals,
    /// When each call is due.
    pub due: PerCall<Option<Duration>>,
    /// Failures in a row.
    pub failures: PerCall<u32>,
    /// Whether the last attempt timed out: the call takes one of the places for slow calls until it succeeds.
    pub(super) slow: PerCall<bool>,
    /// Whether the call was ever made.
    pub tried: PerCall<bool>,
    /// The last success of live or service info.
    pub last_data: Option<Duration>,
    /// The call in flight, and beside it the history or the reading in flight.
    pub in_flight: [Option<Flight>; 2],
    /// The place of the VPS in the configuration.
    pub(super) rank: u32,
    pub(super) deferral_counted: bool,
    pub(super) leaving: bool,
}

/// A call in flight.
#[derive(Clone, Copy, Debug)]
pub struct Flight {
    /// The call.
    pub call: Call,
    /// When it was sent.
    pub started: Duration,
    pub(super) slow: bool,
}

/// The position of a call in [`Entry::in_flight`].
pub(super) const fn slot(call: Call) -> usize {
    matches!(call, Call::RawUsageStats | Call::RateLimitStatus) as usize
}

impl Entry {
    /// Makes everything due: live from `first` on, the rest from `rest` on.
    pub(super) fn begin(&mut self, first: Duration, rest: Duration) {
        for call in Call::ALL {
            let when = match call {
                Call::LiveServiceInfo | Call::ServiceInfo => first,
                _ => rest,
            };
            self.due[call] = self.intervals[call].map(|_| when);
        }
    }

    /// Whether a new configuration makes the VPS begin like a new one.
    pub(super) fn begins_again(&self) -> bool {
        self.leaving || self.is_paused() || self.failures.values().any(|count| *count > 0)
    }

    /// When a call is due, unless one in flight has to return first.
    #[must_use]
    pub fn next(&self, call: Call) -> Option<Duration> {
        self.due[call].filter(|_| self.in_flight[slot(call)].is_none())
    }

    /// The time of the next call.
    #[must_use]
    pub fn earliest(&self) -> Option<Duration> {
        Call::ALL
            .into_iter()
            .filter_map(|call| self.next(call))
            .min()
    }

    /// Whether the call takes a place for slow calls: it timed out last, or brings megabytes.
    pub(super) fn is_slow(&self, call: Call) -> bool {
        self.slow[call] || matches!(call, Call::RawUsageStats)
    }

    /// Whether the VPS is not asked because its key was refused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.due[Call::LiveServiceInfo].is_none()
    }

    /// The interval of a call that is planned, or of service info that stands in for live.
    #[must_use]
    pub fn interval(&self, call: Call) -> Duration {
        let live = self.intervals[Call::LiveServiceInfo];
        self.intervals[call]
            .or(live)
            .unwrap_or(Duration::from_secs(3600))
    }
}

/// Spreads the first calls of a fleet: live of every VPS, then history and readings, then inventory.
pub(super) struct FirstRound {
    live: Duration,
    step: Duration,
    usage: Duration,
    inventory: Duration,
    step_of_rest: Duration,
}

impl FirstRound {
    pub(super) fn new(fleet: &[(Veid, Pace)], now: Duration) -> Self {
        let vps = u32::try_from(fleet.len()).unwrap_or(u32::MAX).max(1);
        let shortest = |of: fn(&Pace) -> Duration| fleet.iter().map(|(_, pace)| of(pace)).min();
        // A first round of a large fleet takes no more than an interval.
        let within = |interval: Option<Duration>, step: Duration| {
            interval.map_or(step, |interval| step.min(interval / vps))
        };
        let step = within(shortest(|pace| pace.live), STEP);
        let rest = STEP_OF_REST
            .saturating_mul(vps)
            .min(LONGEST_STEP_OF_REST)
            .max(step);
        let step_of_rest = within(shortest(|pace| pace.usage), rest);
        let usage = now + step.saturating_mul(vps);
        Self {
            live: now,
            step,
            usage,
            inventory: usage + step_of_rest.saturating_mul(vps),
            step_of_rest,
        }
    }

    /// Plans the first calls of the next VPS.
    pub(super) fn begin(&mut self, entry: &mut Entry) {
        entry.begin(self.live, self.usage);
        self.live += self.step;
        self.usage += self.step_of_rest;
        for call in Call::INVENTORY {
            if let Some(due) = &mut entry.due[call] {
                *due = self.inventory;
                self.inventory += self.step_of_rest;
            }
        }
    }
}
