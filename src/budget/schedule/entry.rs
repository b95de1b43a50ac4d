//! Due times of one VPS, and the first round of a fleet.

use std::time::Duration;

use crate::budget::pace::{Pace, PlannedIntervals};
use crate::kiwivm::{Call, PerCall, Veid};
use crate::units::AccountTime;

/// Maximum step between the first live calls of two VPSes. A fleet of 50 starts within 6 seconds.
const STEP: Duration = Duration::from_millis(125);
/// Step between two history or inventory calls of a first round, for each VPS of the fleet. It is at least the step of
/// live calls.
const BACKGROUND_STEP: Duration = Duration::from_millis(50);
/// Maximum of that step. At 3 seconds these calls take about half of the 15-minute share of a usual quota.
const MAX_BACKGROUND_STEP: Duration = Duration::from_secs(3);

/// The due times of one VPS.
#[derive(Debug, Default)]
pub struct ScheduleEntry {
    /// The planned intervals.
    pub intervals: PlannedIntervals,
    /// The due time of each call.
    pub due: PerCall<Option<AccountTime>>,
    /// Consecutive failures.
    pub failures: PerCall<u32>,
    /// True if the last attempt timed out. Such a call takes a slot for slow calls.
    pub(super) slow: PerCall<bool>,
    /// True once the call was made.
    pub tried: PerCall<bool>,
    /// Time of the last success of live or service info.
    pub last_data: Option<AccountTime>,
    /// Time of the last call of live or service info.
    pub last_poll: Option<AccountTime>,
    /// The calls in flight, by [`lane`].
    pub in_flight: [Option<Flight>; 2],
    /// The position of the VPS in the configuration.
    pub(super) rank: u32,
    pub(super) deferral_counted: bool,
    /// True if the VPS was removed from the configuration while it had calls in flight.
    pub(super) leaving: bool,
}

/// A call in flight.
#[derive(Clone, Copy, Debug)]
pub struct Flight {
    /// The call.
    pub call: Call,
    /// The time it was sent.
    pub started: AccountTime,
    pub(super) slow: bool,
}

/// Returns the lane of a call: 1 for history and readings, 0 for the others.
pub(super) const fn lane(call: Call) -> usize {
    matches!(call, Call::RawUsageStats | Call::RateLimitStatus) as usize
}

impl ScheduleEntry {
    /// Makes all planned calls due: live and service info at `live`, the others at `others`.
    pub(super) fn make_all_due(&mut self, live: AccountTime, others: AccountTime) {
        for call in Call::ALL {
            let when = match call {
                call if call.returns_state() => live,
                _ => others,
            };
            self.due[call] = self.intervals[call].map(|_| when);
        }
    }

    /// Returns true if a new configuration restarts the VPS like a new one.
    pub(super) fn starts_over(&self) -> bool {
        self.leaving || self.is_paused() || self.failures.values().any(|count| *count > 0)
    }

    /// Returns the due time of a call, if its lane is free.
    #[must_use]
    pub fn next(&self, call: Call) -> Option<AccountTime> {
        self.due[call].filter(|_| self.in_flight[lane(call)].is_none())
    }

    /// Returns the earliest due time of a call in a free lane.
    #[must_use]
    pub fn earliest(&self) -> Option<AccountTime> {
        Call::ALL
            .into_iter()
            .filter_map(|call| self.next(call))
            .min()
    }

    /// Returns true if the call takes a slot for slow calls: it timed out last, or its responses have megabytes.
    pub(super) fn is_slow(&self, call: Call) -> bool {
        self.slow[call] || matches!(call, Call::RawUsageStats)
    }

    /// Returns true if the VPS is paused because its key was refused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.due[Call::LiveServiceInfo].is_none()
    }

    /// Returns the interval of a planned call, or that of live for service info as its fallback.
    #[must_use]
    pub fn interval(&self, call: Call) -> Duration {
        let live = self.intervals[Call::LiveServiceInfo];
        self.intervals[call]
            .or(live)
            .unwrap_or(Duration::from_secs(3600))
    }
}

/// Spreads the first calls of a fleet: live of all VPSes, then history and readings, then inventory.
pub(super) struct FirstRound {
    live: AccountTime,
    step: Duration,
    usage: AccountTime,
    inventory: AccountTime,
    background_step: Duration,
}

impl FirstRound {
    pub(super) fn new(fleet: &[(Veid, Pace)], now: AccountTime) -> Self {
        let vps = u32::try_from(fleet.len()).unwrap_or(u32::MAX).max(1);
        let shortest = |of: fn(&Pace) -> Duration| fleet.iter().map(|(_, pace)| of(pace)).min();
        // The first round of a large fleet takes at most one interval.
        let within = |interval: Option<Duration>, step: Duration| {
            interval.map_or(step, |interval| step.min(interval / vps))
        };
        let step = within(shortest(|pace| pace.live), STEP);
        let background = BACKGROUND_STEP
            .saturating_mul(vps)
            .min(MAX_BACKGROUND_STEP)
            .max(step);
        let background_step = within(shortest(|pace| pace.usage), background);
        let usage = now + step.saturating_mul(vps);
        Self {
            live: now,
            step,
            usage,
            inventory: usage + background_step.saturating_mul(vps),
            background_step,
        }
    }

    /// Schedules the first calls of the next VPS.
    pub(super) fn schedule(&mut self, entry: &mut ScheduleEntry) {
        entry.make_all_due(self.live, self.usage);
        self.live += self.step;
        self.usage += self.background_step;
        for call in Call::INVENTORY {
            if let Some(due) = &mut entry.due[call] {
                *due = self.inventory;
                self.inventory += self.background_step;
            }
        }
    }
}
