//! Phases of calls within their intervals, so that the calls of a fleet are spread.

use std::time::Duration;

use crate::kiwivm::Call;
use crate::units::AccountTime;

/// Multiples of it modulo 1 are spread evenly for any number of VPSes.
const GOLDEN_RATIO: f64 = 0.618_034;

/// Returns the phase of a call within its interval: spread evenly over VPSes and calls, and the same at every start.
pub fn phase(rank: u32, call: Call, interval: Duration) -> Duration {
    let calls = u32::try_from(Call::ALL.len()).unwrap_or(u32::MAX);
    let of_call = f64::from(call as u8) / f64::from(calls);
    interval.mul_f64((f64::from(rank) * GOLDEN_RATIO + of_call).fract())
}

/// Returns the first time in phase that is more than half an interval after `started`.
pub fn next_in_phase(phase: Duration, interval: Duration, started: AccountTime) -> AccountTime {
    next_multiple(AccountTime::new(phase), interval, started)
}

fn next_multiple(first: AccountTime, interval: Duration, started: AccountTime) -> AccountTime {
    let interval = interval.max(Duration::from_millis(1));
    let after = started + interval / 2;
    if after < first {
        return first;
    }
    let steps = after.since(first).as_nanos() / interval.as_nanos() + 1;
    first + interval.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX))
}

/// Returns the first time more than half an interval after `started` that is a whole number of intervals after `due`.
/// A call made before it was due moves the grid.
pub fn next_on_grid(due: AccountTime, interval: Duration, started: AccountTime) -> AccountTime {
    next_multiple(due.min(started), interval, started)
}
