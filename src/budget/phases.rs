//! Where within its interval a call belongs, so that a fleet does not pulse.

use std::time::Duration;

use crate::kiwivm::{Call, Veid, mix};

/// Where within its interval a call belongs: the same at every start, spread evenly over VEIDs and calls.
pub fn phase(veid: Veid, call: Call, interval: Duration) -> Duration {
    // Neighbouring VEIDs must not get neighbouring phases.
    let mixed = mix(veid
        .0
        .wrapping_mul(16)
        .wrapping_add(call.index() as u64)
        .wrapping_add(0x9E37_79B9_7F4A_7C15));
    let nanos = u64::try_from(interval.as_nanos())
        .unwrap_or(u64::MAX)
        .max(1);
    Duration::from_nanos(mixed % nanos)
}

/// The first time in phase that is more than half an interval after `started`.
pub fn next_in_phase(phase: Duration, interval: Duration, started: Duration) -> Duration {
    let interval = interval.max(Duration::from_millis(1));
    let after = started + interval / 2;
    if after < phase {
        return phase;
    }
    let steps = after.saturating_sub(phase).as_nanos() / interval.as_nanos() + 1;
    phase + interval.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX))
}

/// The first time more than half an interval after `started` that is a whole number of intervals after `due`. A call
/// made before it was due moves the grid.
pub fn next_on_grid(due: Duration, interval: Duration, started: Duration) -> Duration {
    next_in_phase(due.min(started), interval, started)
}
