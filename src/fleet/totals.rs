//! What is counted over all VPSes.

use std::collections::BTreeMap;

use prometheus_client::metrics::histogram::Histogram;

use crate::kiwivm::{Call, PerCall};

/// Upper bounds of the call durations in seconds: a call may take 15 s and is given 30.
const DURATION_BUCKETS: [f64; 10] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0];

/// Why a call that was due was made later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deferral {
    /// The points do not allow it, or the downloads.
    Budget,
    /// After a failure.
    Backoff,
    /// All places for calls in flight were taken.
    Concurrency,
}

impl Deferral {
    /// Every reason.
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

/// How API points are spent. Arrays are indexed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PointsUse {
    /// Points spent, by the costs learned at the time.
    pub spent: PerCall<f64>,
    /// What calls cost in points, once measured.
    pub costs: PerCall<Option<f64>>,
    /// Whether VPSes are taken to share an allowance.
    pub shared: bool,
}

/// Counters without VPS labels. Arrays are indexed.
#[derive(Debug)]
pub struct Totals {
    /// Durations of calls in seconds.
    pub durations: PerCall<Histogram>,
    /// Bytes of answers, as received after decompression.
    pub response_bytes: PerCall<u64>,
    /// What is known of the API points.
    pub points: PointsUse,
    /// Calls made later than due, by [`Deferral`].
    pub deferred: PerCall<[u64; Deferral::ALL.len()]>,
    /// Fields that arrived in no known form.
    pub decode_problems: BTreeMap<(Call, &'static str), u64>,
    /// Writes of the state file; `None` without one.
    pub state_writes: Option<StateWrites>,
}

/// Writes of the state file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StateWrites {
    /// The last one succeeded.
    pub successful: bool,
    /// Unix seconds of the last success.
    pub last_success: Option<f64>,
}

impl Default for Totals {
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

impl Totals {
    /// Counts a call that was not made when it was due.
    pub fn count_deferral(&mut self, call: Call, reason: Deferral) {
        self.deferred[call][reason as usize] += 1;
    }

    /// Counts a field that arrived in no known form.
    pub fn count_decode_problem(&mut self, call: Call, field: &'static str) {
        *self.decode_problems.entry((call, field)).or_default() += 1;
    }

    /// Notes a write of the state file at `now`, Unix seconds.
    pub fn state_written(&mut self, successful: bool, now: f64) {
        let before = self.state_writes.and_then(|writes| writes.last_success);
        self.state_writes = Some(StateWrites {
            successful,
            last_success: if successful { Some(now) } else { before },
        });
    }
}
