//! Checks the guarantees of the planner in a finished simulation.

use super::simulation::{LOOK, Simulation};
use crate::kiwivm::Call;

/// Silence counts only while more than this fraction of both windows is left.
const PLENTY: f64 = 0.6;
/// Acceptable silence in seconds, unless the plan has a longer gap.
const SILENCE: f64 = 35.0;
/// Seconds that a price sample may hold other calls, and the acceptable gap relative to the mean one, because planned
/// calls are not spread evenly.
const HOLD: f64 = 10.0;
const UNEVEN: f64 = 2.5;
/// Seconds after an outage or an empty quota until the longest wait between two probes is over.
pub const RECOVERY: f64 = 300.0;

/// Returns the longest time without data beyond the planned gap and the latency, while points are plentiful, and its
/// end.
pub fn worst_silence(simulation: &Simulation) -> (f64, f64) {
    let quotas = simulation.looks.len();
    let latency = simulation.account.setup.longest_latency();
    let sizes = simulation.account.setup.sizes;
    let mut worst = (f64::MIN, 0.0);
    for (quota, looks) in simulation.looks.iter().enumerate() {
        let data = simulation
            .sent
            .iter()
            .filter(|sent| sent.vps % quotas == quota && sent.is_data());
        let mut ends: Vec<f64> = data.map(|sent| sent.ends).collect();
        ends.sort_unstable_by(f64::total_cmp);
        let mut ends = ends.into_iter().peekable();
        let (mut last, mut gap) = (0.0_f64, 0.0_f64);
        for look in looks {
            while let Some(end) = ends.next_if(|end| *end <= look.at) {
                if end >= last {
                    (last, gap) = (end, 0.0);
                }
            }
            // No working VPS has this quota.
            if !look.gap.is_finite() {
                continue;
            }
            let planned = if look.interval < UNEVEN * look.gap {
                // One or two VPSes: two calls may be an interval and a half apart.
                1.5 * look.interval
            } else {
                UNEVEN * look.gap
            };
            gap = gap.max(planned);
            let plenty = |window: usize| look.left[window] > PLENTY * sizes[window];
            if !look.is_reachable || look.left.iter().any(|left| *left < 20.0) {
                last = last.max(look.at + RECOVERY);
            } else if !plenty(0) || !plenty(1) {
                last = last.max(look.at);
            }
            let beyond = look.at - last - (gap.max(SILENCE) + latency + HOLD + LOOK);
            if beyond > worst.0 {
                worst = (beyond, look.at);
            }
        }
    }
    worst
}

/// Returns the largest number of calls in any second.
pub fn most_in_a_second(simulation: &Simulation) -> usize {
    let times: Vec<f64> = simulation.sent.iter().map(|sent| sent.at).collect();
    let within = |(index, from): (usize, &f64)| {
        times[index..]
            .iter()
            .take_while(|at| **at < from + 1.0)
            .count()
    };
    times.iter().enumerate().map(within).max().unwrap_or(0)
}

/// Returns the first VPS and time of four readings with less than a second in between. A planned reading followed by a
/// price sample makes only three.
pub fn hasty_reading(simulation: &Simulation, vps: usize) -> Option<(usize, f64)> {
    (0..vps).find_map(|vps| {
        let times = simulation.times(vps, Call::RateLimitStatus);
        let hasty = |run: &&[f64]| run.windows(2).all(|pair| pair[1] - pair[0] < 1.0);
        let run = times.windows(4).find(hasty)?;
        Some((vps, run[0]))
    })
}
