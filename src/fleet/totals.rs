//! Counters over all VPSes.

use std::collections::BTreeMap;

use prometheus_client::metrics::histogram::Histogram;

use crate::kiwivm::{Call, PerCall};
use crate::units::{Bytes, Points, UnixSeconds};

/// Upper bounds of the call durations in seconds. A call may take 15 s; its timeout is 30 s.
const DURATION_BUCKETS: [f64; 10] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0];

/// The reason for which a due call was deferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deferral {
    /// Not enough API points or download bytes are left.
    Budget,
    /// Waiting after a failure.
    Backoff,
    /// The limit of calls in flight was reached.
    Concurrency,
}

impl Deferral {
    /// All reasons.
    pub const ALL: [Self; 3] = [Self::Budget, Self::Backoff, Self::Concurrency];

    /// The value of the `reason` label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Backoff => "backoff",
            Self::Concurrency => "concurrency",
        }
    }
}

/// Use of API points.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PointsUse {
    /// Points spent, at the costs known at the time.
    pub spent: PerCall<Points>,
    /// Costs of calls; `None` until measured.
    pub costs: PerCall<Option<Points>>,
    /// True if VPSes are assumed to share a quota.
    pub shared: bool,
}

/// Counters without VPS labels.
#[derive(Debug)]
pub struct FleetTotals {
    /// Durations of calls in seconds.
    pub durations: PerCall<Histogram>,
    /// Sizes of responses after decompression.
    pub response_bytes: PerCall<Bytes>,
    /// Use of API points.
    pub points: PointsUse,
    /// Calls made later than due, by [`Deferral`].
    pub deferred: PerCall<[u64; Deferral::ALL.len()]>,
    /// Fields of unknown form, by call and field.
    pub decode_problems: BTreeMap<(Call, &'static str), u64>,
    /// Writes of the state file; `None` without one.
    pub state_writes: Option<StateWrites>,
}

/// Writes of the state file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StateWrites {
    /// True if the last write succeeded.
    pub successful: bool,
    /// Time of the last success.
    pub last_success: Option<UnixSeconds>,
}

impl Default for FleetTotals {
    fn default() -> Self {
        Self {
            durations: PerCall::from_fn(|_| Histogram::new(DURATION_BUCKETS)),
            response_bytes: PerCall::default(),
            points: PointsUse::default(),
            deferred: PerCall::default(),
            decode_problems: BTreeMap::new(),
            state_writes: None,
        }
    }
}

impl FleetTotals {
    /// Counts a deferred call.
    pub fn count_deferral(&mut self, call: Call, reason: Deferral) {
        self.deferred[call][reason as usize] += 1;
    }

    /// Counts a field of unknown form.
    pub fn count_decode_problem(&mut self, call: Call, field: &'static str) {
        *self.decode_problems.entry((call, field)).or_default() += 1;
    }

    /// Records a write of the state file.
    pub fn state_written(&mut self, successful: bool, now: UnixSeconds) {
        let before = self.state_writes.and_then(|writes| writes.last_success);
        self.state_writes = Some(StateWrites {
            successful,
            last_success: if successful { Some(now) } else { before },
        });
    }
}
