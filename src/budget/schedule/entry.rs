//! What is kept for each VPS: when its calls are due, and what came of them.

use std::time::Duration;

use super::Pace;
use crate::budget::pace::Intervals;
use crate::kiwivm::Call;

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) intervals: Intervals,
    pub(super) due: [Option<Duration>; Call::ALL.len()],
    pub(super) failures: [u32; Call::ALL.len()],
    /// The last attempt of this call timed out: it goes through the slow lane until it succeeds.
    pub(super) slow: [bool; Call::ALL.len()],
    pub(super) tried: [bool; Call::ALL.len()],
    pub(super) in_flight: Option<Flight>,
    pub(super) deferral_counted: bool,
    pub(super) leaving: bool,
}

/// A call in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    pub(super) call: Call,
    pub(super) started: Duration,
    pub(super) slow: bool,
}

impl Entry {
    pub(super) fn new(pace: Pace, first: Duration, rest: Duration) -> Self {
        let mut entry = Self {
            intervals: pace.intervals(),
            due: [None; Call::ALL.len()],
            failures: [0; Call::ALL.len()],
            slow: [false; Call::ALL.len()],
            tried: [false; Call::ALL.len()],
            in_flight: None,
            deferral_counted: false,
            leaving: false,
        };
        entry.ask_everything(first, rest);
        entry
    }

    /// Everything that is asked of a VPS that answers: the live call first, the rest not before `rest`.
    pub(super) fn ask_everything(&mut self, first: Duration, rest: Duration) {
        for call in Call::ALL {
            let when = match call {
                Call::LiveServiceInfo | Call::ServiceInfo => first,
                _ => rest,
            };
            self.due[call.index()] = self.intervals[call.index()].map(|_| when);
        }
    }

    pub(super) fn earliest(&self) -> Option<Duration> {
        self.due.iter().flatten().min().copied()
    }

    pub(super) fn paused(&self) -> bool {
        self.due[Call::LiveServiceInfo.index()].is_none()
    }

    /// The interval of a call that is planned, or of service info that stands in for live.
    pub(super) fn interval(&self, call: Call) -> Duration {
        let live = self.intervals[Call::LiveServiceInfo.index()];
        self.intervals[call.index()]
            .or(live)
            .unwrap_or(Duration::from_secs(3600))
    }
}
