//! The loop that asks the schedule what is due, makes the calls and applies the answers.

mod keys;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::budget::{Due, Outcome, Pace, Places, Schedule};
use crate::clock::Clock;
use crate::config::{Concurrency, Config, Vps};
use crate::fleet::{Fleet, Identity};
use crate::kiwivm::{Call, CallError, Client, Reason, Response, Veid};
use keys::Keys;

/// How often the key file of a VPS whose key was refused is looked at. Costs no points.
const KEY_FILE_CHECK: Duration = Duration::from_secs(60);

/// The fleet as the poller writes it and everyone else reads it. Held only for the time of a copy.
pub type SharedFleet = Arc<Mutex<Fleet>>;

/// Locks the fleet. A panic of another holder leaves plain data behind, which is still the best there is.
pub fn lock(fleet: &SharedFleet) -> MutexGuard<'_, Fleet> {
    fleet.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A new configuration for the running poller.
pub struct Reload {
    /// What to poll from now on.
    pub config: Config,
    /// The client for it.
    pub client: Client,
    /// Told when the poller has taken it over.
    pub done: oneshot::Sender<()>,
}

/// How long a poller runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until it is told to stop.
    Stopped,
    /// Until every call of every VPS was tried.
    EverythingTried,
}

/// Makes the calls of a fleet.
pub struct Poller {
    client: Client,
    fleet: SharedFleet,
    schedule: Schedule,
    keys: Keys,
    clock: Clock,
    in_flight: JoinSet<Finished>,
    next_key_check: Option<Duration>,
}

struct Finished {
    due: Due,
    response: Response,
    took: Duration,
}

/// The fleet of a configuration, about which nothing is known yet.
#[must_use]
pub fn fleet_of(config: &Config) -> SharedFleet {
    let mut fleet = Fleet::new(identities(config), config.staleness);
    plan_intervals(&mut fleet, config);
    Arc::new(Mutex::new(fleet))
}

impl Poller {
    /// A poller whose first round starts when it runs.
    #[must_use]
    pub fn new(config: &Config, client: Client, fleet: SharedFleet, clock: Clock) -> Self {
        Self {
            client,
            fleet,
            schedule: Schedule::new(paces(config), places(config), clock.now().elapsed),
            keys: Keys::new(&config.vps),
            clock,
            in_flight: JoinSet::new(),
            next_key_check: None,
        }
    }

    /// Polls until told to stop, or until everything was tried. Calls still in flight are dropped then: they only read.
    pub async fn run(
        mut self,
        until: Until,
        mut reloads: mpsc::Receiver<Reload>,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            self.start_due();
            if until == Until::EverythingTried && self.schedule.everything_tried() {
                return;
            }
            let wake = self.next_wake();
            tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => return,
                Some(reload) = reloads.recv() => self.reload(reload),
                Some(Ok(finished)) = self.in_flight.join_next() => self.finish(finished),
                () = sleep_until(&self.clock, wake) => self.check_keys(),
            }
        }
    }

    fn start_due(&mut self) {
        for due in self.schedule.take_due(self.clock.now().elapsed) {
            let Some(key) = self.keys.of(due.veid) else {
                continue;
            };
            let since = lock(&self.fleet).newest_usage(due.veid);
            let (client, clock) = (self.client.clone(), self.clock);
            self.in_flight.spawn(async move {
                let started = clock.now().elapsed;
                let calling = client.call(due.veid, &key, due.call, since);
                let response = or_failure(due, calling).await;
                Finished {
                    due,
                    response,
                    took: clock.now().elapsed.saturating_sub(started),
                }
            });
        }
        for (call, reason) in self.schedule.take_deferrals() {
            lock(&self.fleet).totals_mut().count_deferral(call, reason);
        }
    }

    fn next_wake(&self) -> Option<Duration> {
        let due = self.schedule.next_due(self.clock.now().elapsed);
        due.into_iter().chain(self.next_key_check).min()
    }

    fn finish(&mut self, finished: Finished) {
        let Finished {
            due: Due { veid, call },
            response,
            took,
        } = finished;
        let now = self.clock.now();
        let before = self.note(veid, call, &response, took);
        let outcome = match &response.result {
            Ok(_) => Outcome::Success,
            Err(error) => Outcome::Failure(error.reason),
        };
        self.schedule.finish(veid, outcome, now.elapsed);
        if outcome == Outcome::Failure(Reason::Auth) {
            self.next_key_check.get_or_insert(now.elapsed);
        }
        {
            let mut fleet = lock(&self.fleet);
            fleet.apply(veid, call, &response.result, now);
        }
        log_outcome(&self.keys, veid, call, &response, before);
    }

    /// Counts what every response costs, and tells whether the VPS's last call of this kind failed.
    fn note(&self, veid: Veid, call: Call, response: &Response, took: Duration) -> bool {
        let mut fleet = lock(&self.fleet);
        let totals = fleet.totals_mut();
        totals.durations[call.index()].observe(took.as_secs_f64());
        totals.response_bytes[call.index()] += response.bytes;
        fleet
            .vps()
            .iter()
            .find(|vps| vps.identity.veid == veid)
            .is_some_and(|vps| vps.failing(call))
    }

    /// Reads the key files of VPSes whose key was refused; a new key is tried at once.
    fn check_keys(&mut self) {
        let now = self.clock.now().elapsed;
        if self.next_key_check.is_none_or(|check| check > now) {
            return;
        }
        let refused: Vec<Veid> = lock(&self.fleet)
            .vps()
            .iter()
            .filter(|vps| vps.authentication_failed == Some(true))
            .map(|vps| vps.identity.veid)
            .collect();
        for veid in &refused {
            if self.keys.read_again(*veid) {
                tracing::info!(veid = veid.0, "the key file has another key: trying it now");
                self.schedule.resume(*veid, now);
            }
        }
        self.next_key_check = (!refused.is_empty()).then(|| now + KEY_FILE_CHECK);
    }

    fn reload(&mut self, reload: Reload) {
        let config = reload.config;
        self.client = reload.client;
        self.keys = Keys::new(&config.vps);
        self.next_key_check = None;
        {
            let mut fleet = lock(&self.fleet);
            fleet.reconfigure(identities(&config), config.staleness);
            plan_intervals(&mut fleet, &config);
        }
        let now = self.clock.now().elapsed;
        self.schedule
            .reconfigure(paces(&config), places(&config), now);
        // Nobody waiting for the reload is no reason not to do it.
        let _ = reload.done.send(());
    }
}

/// A failure is a warning when it begins and a debug line while it lasts; its end is worth a line too.
fn log_outcome(keys: &Keys, veid: Veid, call: Call, response: &Response, failed_before: bool) {
    let (vps, call) = (keys.name(veid), call.name());
    match &response.result {
        Err(error) if !failed_before => {
            tracing::warn!(vps, veid = veid.0, call, reason = error.reason.name(), %error, "call failed");
        }
        Err(error) => {
            tracing::debug!(vps, veid = veid.0, call, reason = error.reason.name(), %error, "call failed again");
        }
        Ok(decoded) => {
            if failed_before {
                tracing::info!(vps, veid = veid.0, call, "call works again");
            }
            for field in &decoded.problems {
                tracing::debug!(vps, veid = veid.0, call, field, "field in no known form");
            }
            tracing::debug!(
                vps,
                veid = veid.0,
                call,
                bytes = response.bytes,
                "call answered"
            );
        }
    }
}

/// What a call brings, also when it panics: a mistake in this program costs one call, not the place of a VPS.
async fn or_failure(due: Due, calling: impl Future<Output = Response>) -> Response {
    let caught = AssertUnwindSafe(calling).catch_unwind().await;
    caught.unwrap_or_else(|_| Response {
        result: Err(CallError {
            veid: due.veid,
            call: due.call,
            reason: Reason::BadShape,
            detail: "the answer made this program panic, which is a bug of it".to_owned(),
            lock: None,
        }),
        bytes: 0,
    })
}

async fn sleep_until(clock: &Clock, wake: Option<Duration>) {
    match wake {
        Some(wake) => tokio::time::sleep(wake.saturating_sub(clock.now().elapsed)).await,
        None => std::future::pending().await,
    }
}

fn identities(config: &Config) -> Vec<Identity> {
    config.vps.iter().map(Identity::from).collect()
}

fn pace(vps: &Vps) -> Pace {
    Pace {
        live: vps.intervals.live,
        points: vps.intervals.points,
        usage: vps.intervals.usage,
    }
}

fn paces(config: &Config) -> Vec<(Veid, Pace)> {
    config.vps.iter().map(|vps| (vps.veid, pace(vps))).collect()
}

fn places(config: &Config) -> Places {
    match config.api.concurrency {
        Concurrency::Calls(calls) => Places::fixed(calls.get()),
        Concurrency::Auto => {
            let shortest = config.vps.iter().map(|vps| vps.intervals.live).min();
            Places::for_fleet(config.vps.len(), shortest.unwrap_or(config.intervals.live))
        }
    }
}

fn plan_intervals(fleet: &mut Fleet, config: &Config) {
    for vps in &config.vps {
        let pace = pace(vps);
        for call in Call::ALL {
            fleet.set_interval(vps.veid, call, Some(pace.of(call)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failure_of_its_call() {
        let due = Due {
            veid: Veid(7),
            call: Call::RawUsageStats,
        };
        let response = or_failure(due, async { panic!("for the test") }).await;
        let error = response.result.expect_err("it panicked");
        assert_eq!(
            (error.veid, error.call, error.reason),
            (due.veid, due.call, Reason::BadShape)
        );
    }
}
