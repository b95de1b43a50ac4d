//! The program before an account, and what tests of silence ask about the calls that it makes.

use std::fmt::{Debug, Display};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::account::{Account, Arrival, Made, READING, Terms};
use crate::exporter::{Exporter, config};
use crate::mock::Reply;

/// All VPSes have live data this soon after the start.
pub const FIRST_LIVE: Duration = Duration::from_secs(20);
/// What a busy machine may add to a deadline.
pub const SLACK: Duration = Duration::from_secs(4);

/// A failed reading is repeated after this, then after twice this, and so on.
const READING_BACKOFF: Duration = Duration::from_secs(30);
/// What waits come to at least when they are varied, so that exporters do not fall into step.
const SHORTEST_PART: f64 = 0.5;

/// What goes wrong with a call; `None` leaves the call alone.
pub type Fault = Box<dyn Fn(&Arrival) -> Option<Reply> + Send + Sync>;

/// Terms of an account whose only fault is this.
pub fn faulty(time_scale: f64, fault: Fault) -> Terms {
    Terms {
        time_scale,
        reply: fault,
        ..Terms::default()
    }
}

/// The exporter before an account.
pub struct Run {
    pub what: String,
    pub account: Account,
    pub exporter: Exporter,
    pub started: Instant,
    time_scale: f64,
    _folder: TempDir,
}

impl Run {
    pub fn start(what: impl Display, vps: u64, terms: Terms) -> Self {
        let time_scale = terms.time_scale;
        Self::before(what, Account::open(vps, terms), time_scale)
    }

    /// Starts the exporter before an account that is there already.
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

    /// Seconds of the account as time of the clock.
    pub fn scaled(&self, seconds: u64) -> Duration {
        Duration::from_secs(seconds).div_f64(self.time_scale)
    }

    /// Waits until each of these VPSes was told live or service info so many times, until a time after the start.
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

/// Every account is judged before the test fails, so that one failure does not hide another.
pub fn all_well(results: impl IntoIterator<Item = Result<(), String>>) {
    let failures: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

pub fn check(what: impl Debug, is: bool) -> Result<(), String> {
    if is { Ok(()) } else { Err(format!("{what:?}")) }
}

/// The longest time until or between calls other than readings.
pub fn longest_silence(made: &[Made], from: Instant) -> Duration {
    let calls = made
        .iter()
        .filter(|made| made.call != READING)
        .map(|made| made.at);
    let times: Vec<_> = [from].into_iter().chain(calls).collect();
    let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    gaps.max().unwrap_or(Duration::MAX)
}

/// True when waits between readings grow as those after failures do, from 30 s and by factors of two.
pub fn backs_off(readings: &[Instant], time_scale: f64) -> bool {
    let gaps = readings.windows(2).map(|pair| pair[1] - pair[0]);
    // The waits end at some length, which no test lasts long enough to see.
    let least = |number: u32| READING_BACKOFF.div_f64(time_scale) * 2_u32.pow(number.min(3));
    gaps.zip(0..)
        .all(|(gap, number)| gap >= least(number).mul_f64(SHORTEST_PART))
}
