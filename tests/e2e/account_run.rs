//! The exporter polling a fake account, and helpers for tests that polling never stops.

use std::fmt::{Debug, Display};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::account::{Account, Arrival, Behaviour, READING, RecordedCall};
use crate::exporter::{Exporter, config};
use crate::mock::Reply;

/// All VPSes have live data this soon after the start.
pub const FIRST_LIVE: Duration = Duration::from_secs(20);
/// Extra time for a slow machine.
pub const SLACK: Duration = Duration::from_secs(4);

/// Wait after the first failed reading. It doubles with each further failure.
const READING_BACKOFF: Duration = Duration::from_secs(30);
/// Lower bound of the jitter, as a part of the wait.
const SHORTEST_PART: f64 = 0.5;

/// Returns the failure for a call; `None` leaves the call alone.
pub type Fault = Box<dyn Fn(&Arrival) -> Option<Reply> + Send + Sync>;

/// An account with this fault and no other.
pub fn faulty(time_scale: f64, fault: Fault) -> Behaviour {
    Behaviour {
        time_scale,
        reply: fault,
        ..Behaviour::default()
    }
}

/// The exporter polling a fake account.
pub struct Run {
    pub what: String,
    pub account: Account,
    pub exporter: Exporter,
    pub started: Instant,
    time_scale: f64,
    _folder: TempDir,
}

impl Run {
    pub fn start(what: impl Display, vps: u64, behaviour: Behaviour) -> Self {
        let time_scale = behaviour.time_scale;
        Self::before(what, Account::open(vps, behaviour), time_scale)
    }

    /// Starts the exporter for an existing account.
    pub fn before(what: impl Display, account: Account, time_scale: f64) -> Self {
        let (folder, flag) = config(&account.configuration(""));
        let started = Instant::now();
        let scale = format!("--simulator.time-scale={time_scale}");
        let exporter = Exporter::start(&[&scale, &flag]);
        Self {
            what: what.to_string(),
            account,
            exporter,
            started,
            time_scale,
            _folder: folder,
        }
    }

    /// Converts seconds of the account to wall-clock time.
    pub fn scaled(&self, seconds: u64) -> Duration {
        Duration::from_secs(seconds).div_f64(self.time_scale)
    }

    /// Waits until each of these VPSes got live or service info so many times. `within` counts from the start.
    pub fn state(
        &self,
        veids: &RangeInclusive<u64>,
        times: usize,
        within: Duration,
    ) -> Result<(), String> {
        let deadline = self.started + within;
        self.named(self.account.wait_for_state(veids, times, deadline))
    }

    pub fn named(&self, result: Result<(), String>) -> Result<(), String> {
        result.map_err(|error| format!("{}: {error}", self.what))
    }

    pub fn all(&self) -> RangeInclusive<u64> {
        1..=self.account.vps
    }
}

/// Reports all failures at once, so that one does not hide another.
pub fn assert_all_ok(results: impl IntoIterator<Item = Result<(), String>>) {
    let failures: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

pub fn check(what: impl Debug, is: bool) -> Result<(), String> {
    if is { Ok(()) } else { Err(format!("{what:?}")) }
}

/// The longest gap before or between calls, not counting readings.
pub fn longest_silence(made: &[RecordedCall], from: Instant) -> Duration {
    let calls = made
        .iter()
        .filter(|made| made.call != READING)
        .map(|made| made.at);
    let times: Vec<_> = [from].into_iter().chain(calls).collect();
    let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    gaps.max().unwrap_or(Duration::MAX)
}

/// Reports whether the gaps between readings double from 30 s on, as after failures.
pub fn backs_off(readings: &[Instant], time_scale: f64) -> bool {
    let gaps = readings.windows(2).map(|pair| pair[1] - pair[0]);
    // The backoff has a limit, but no test lasts long enough to reach it.
    let least = |number: u32| READING_BACKOFF.div_f64(time_scale) * 2_u32.pow(number.min(3));
    gaps.zip(0..)
        .all(|(gap, number)| gap >= least(number).mul_f64(SHORTEST_PART))
}
