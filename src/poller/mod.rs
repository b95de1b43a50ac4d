//! The loop that asks the schedule what is due, makes the calls and applies the answers.

mod keeper;
mod keys;
mod notes;
mod notices;
mod once;
mod pulse;
mod setup;
mod state_file;

pub use notes::{Answered, Noted, show_plan};
pub use once::{LeftOut, poll_once};
pub use pulse::Pulse;
pub use setup::{limits, members};
pub use state_file::{State, StateFile};

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::BuildHasher;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::budget::{Due, Planner};
use crate::clock::Clock;
use crate::config::{Collect, Config};
use crate::fleet::{Fleet, UsageReading};
use crate::kiwivm::{Call, CallError, Client, Reason, Response, Veid};
use keeper::Keeper;
use keys::{Key, Keys};
use notes::next_poll;
use notices::Notices;
use setup::identities;

/// Interval at which key files of VPSes are read whose key is unusable or refused. Costs no points.
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

/// Makes the calls of a fleet.
pub struct Poller {
    client: Client,
    fleet: SharedFleet,
    planner: Planner,
    /// How much faster the time of a simulated account runs: the planner lives in that time.
    time_scale: f64,
    keys: Keys,
    clock: Clock,
    in_flight: JoinSet<Answered>,
    next_key_check: Option<Duration>,
    notices: Notices,
    keeper: Option<Keeper>,
    collect: Collect,
    pulse: Pulse,
}

/// The fleet of a configuration, about which nothing is known yet.
#[must_use]
pub fn fleet_of(config: &Config) -> SharedFleet {
    let fleet = Fleet::new(identities(config), config.staleness).of_shard(config.shard);
    Arc::new(Mutex::new(fleet))
}

impl Poller {
    /// A poller whose first round starts when it runs. Intervals and points are counted in a time that runs
    /// `time_scale` times as fast as the clock: 1 but for the simulator.
    #[must_use]
    pub fn new(
        config: &Config,
        client: Client,
        fleet: SharedFleet,
        clock: Clock,
        time_scale: f64,
    ) -> Self {
        let seed = RandomState::new().hash_one(clock.now().elapsed);
        let now = clock.now().elapsed.mul_f64(time_scale);
        let mut poller = Self {
            client,
            fleet,
            planner: Planner::new(&members(config), limits(config, time_scale), seed, now),
            time_scale,
            keys: Keys::new(&config.vps),
            clock,
            in_flight: JoinSet::new(),
            next_key_check: None,
            notices: Notices::default(),
            keeper: None,
            collect: config.collect,
            pulse: Pulse::default(),
        };
        poller.pulse.beat(clock.now().elapsed);
        poller.show_plan();
        poller
    }

    /// What tells whether it still goes round.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Goes on where an earlier process left off, and keeps the file up to date.
    pub fn keep_state(&mut self, file: StateFile, state: Option<State>) {
        if let Some(state) = state {
            let now = self.clock.now();
            let elapsed = Duration::try_from_secs_f64(now.unix - state.written).unwrap_or_default();
            let counted = elapsed.mul_f64(self.time_scale);
            self.planner
                .recall(&state.budget, counted, self.planner_now());
            {
                let mut fleet = lock(&self.fleet);
                fleet.recall(state.vps, elapsed, now);
                forget_uncollected(&mut fleet, self.collect);
            }
            // A new key is a reason for a restart. Some services have no other way to it.
            for veid in self.refused() {
                self.planner.resume(veid, self.planner_now());
            }
            tracing::info!(file = %file.path().display(), age_seconds = elapsed.as_secs(), "going on from the state file");
            self.show_plan();
        }
        self.keeper = Some(Keeper::new(file));
    }

    /// Polls until told to stop. Calls still in flight are dropped then: they only read.
    pub async fn run(
        mut self,
        mut reloads: mpsc::Receiver<Reload>,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            self.pulse.beat(self.clock.now().elapsed);
            self.start_due().await;
            let wake = self.next_wake();
            tokio::select! {
                () = stopped(&mut stop) => break,
                Some(reload) = reloads.recv() => self.reload(reload),
                Some(Ok(finished)) = self.in_flight.join_next() => self.finish(finished),
                () = sleep_until(&self.clock, wake) => self.check_keys(),
            }
        }
        self.write_state().await;
    }

    async fn start_due(&mut self) {
        if self
            .keeper
            .as_ref()
            .is_some_and(|keeper| keeper.is_due(self.clock.now()))
        {
            self.write_state().await;
        }
        for due in self.planner.take_due(self.planner_now()) {
            self.call(due);
        }
        self.show_plan();
        self.notices.log(&self.planner, &self.keys);
    }

    fn call(&mut self, due: Due) {
        let key = self.keys.of(due.veid);
        let usage = begin_usage(&self.fleet, due, self.clock);
        let (client, clock) = (self.client.clone(), self.clock);
        self.in_flight
            .spawn(async move { make(&client, key, due, usage, clock).await });
    }

    /// Writes the state, and shows the counters that are in the file then.
    async fn write_state(&mut self) {
        let Some(keeper) = &mut self.keeper else {
            return;
        };
        let now = self.clock.now();
        let counted = now.elapsed.mul_f64(self.time_scale);
        let budget = self.planner.remember(counted);
        let values = lock(&self.fleet).remember(now);
        let written = keeper
            .write(State::new(now.unix, budget, values), self.clock)
            .await;
        let mut fleet = lock(&self.fleet);
        fleet.show_usage();
        fleet.totals_mut().state_written(written, now.unix);
    }

    /// Now, in the time in which the points are counted.
    fn planner_now(&self) -> Duration {
        self.clock.now().elapsed.mul_f64(self.time_scale)
    }

    fn show_plan(&mut self) {
        let fleet = &mut lock(&self.fleet);
        show_plan(&mut self.planner, fleet, self.time_scale, self.clock.now());
    }

    fn next_wake(&self) -> Option<Duration> {
        let due = self
            .planner
            .next_wake(self.planner_now())
            .div_f64(self.time_scale);
        let counters = self.keeper.as_ref().map(Keeper::due);
        [due]
            .into_iter()
            .chain(self.next_key_check)
            .chain(counters)
            .min()
    }

    fn finish(&mut self, mut answered: Answered) {
        let (now, counted) = (self.clock.now(), self.planner_now());
        if answered.key_refused() {
            self.next_key_check.get_or_insert(now.elapsed);
        }
        let noted = {
            let fleet = &mut lock(&self.fleet);
            let noted = answered.note(&mut self.planner, fleet, counted, now);
            let veid = answered.due.veid;
            let next_poll = next_poll(&self.planner, veid, self.time_scale);
            fleet.show_next_poll(veid, next_poll);
            match &mut self.keeper {
                _ if !noted.usage_counted => {}
                Some(keeper) => keeper.usage_counted(),
                None => fleet.show_usage(),
            }
            noted
        };
        let Due { veid, call } = answered.due;
        let before = noted.failed_before;
        log_outcome(&self.keys, veid, call, &answered.response, before);
    }

    /// Reads the key files of VPSes whose key was refused; a new key is tried at once.
    fn check_keys(&mut self) {
        let now = self.clock.now().elapsed;
        if self.next_key_check.is_none_or(|check| check > now) {
            return;
        }
        let refused = self.refused();
        for veid in &refused {
            if self.keys.read_again(*veid) {
                self.planner.resume(*veid, self.planner_now());
            }
        }
        self.next_key_check = (!refused.is_empty()).then(|| now + KEY_FILE_CHECK);
    }

    /// The VPSes whose key was refused, or that have none.
    fn refused(&self) -> Vec<Veid> {
        let fleet = lock(&self.fleet);
        let refused = fleet
            .vps()
            .iter()
            .filter(|vps| vps.authentication_failed == Some(true));
        refused.map(|vps| vps.identity.veid).collect()
    }

    fn reload(&mut self, reload: Reload) {
        let config = reload.config;
        let kept = self.keeper.as_ref().map(Keeper::path);
        if config.state_file.as_deref() != kept {
            tracing::warn!("another state_file takes effect at the next start only");
        }
        self.client = reload.client;
        self.keys = Keys::new(&config.vps);
        self.next_key_check = None;
        {
            let mut fleet = lock(&self.fleet);
            fleet.reconfigure(identities(&config), config.staleness);
            forget_uncollected(&mut fleet, config.collect);
        }
        self.collect = config.collect;
        let (members, limits) = (members(&config), limits(&config, self.time_scale));
        self.planner
            .reconfigure(&members, limits, self.planner_now());
        // They still show the data of their last key.
        for veid in self.keys.missing() {
            self.planner.resume(veid, self.planner_now());
        }
        self.show_plan();
        // Nobody waiting for the reload is no reason not to do it.
        let _ = reload.done.send(());
    }
}

/// Inventory that was switched off is gone at once, not when it is stale.
fn forget_uncollected(fleet: &mut Fleet, collect: Collect) {
    for call in Call::INVENTORY {
        if !collect.wants(call) {
            fleet.forget(call);
        }
    }
}

/// A failure is a warning when it begins and a debug line while it lasts; its end is worth a line too.
fn log_outcome(keys: &Keys, veid: Veid, call: Call, response: &Response, failed_before: bool) {
    let (vps, call) = (keys.name(veid), call.name());
    match &response.result {
        // The reason was logged when the key was read.
        Err(error) if !failed_before && !error.without_key => {
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

/// The reading of usage rows, for the call that brings them.
fn begin_usage(fleet: &SharedFleet, due: Due, clock: Clock) -> Option<UsageReading> {
    (due.call == Call::RawUsageStats).then(|| lock(fleet).read_usage(due.veid, clock.now()))
}

/// Makes a call.
async fn make(
    client: &Client,
    key: Key,
    due: Due,
    mut usage: Option<UsageReading>,
    clock: Clock,
) -> Answered {
    let started = clock.now().elapsed;
    let mut row = |row| {
        if let Some(usage) = &mut usage {
            usage.take(row);
        }
    };
    let response = match key {
        Ok(key) => or_failure(due, client.call(due.veid, &key, due.call, &mut row)).await,
        Err(why) => failed(CallError::without_key(due.veid, due.call, why)),
    };
    Answered {
        due,
        response,
        usage,
        took: clock.now().elapsed.saturating_sub(started),
    }
}

/// What a call brings, also when it panics: a mistake in this program costs one call, not the place of a VPS.
async fn or_failure(due: Due, calling: impl Future<Output = Response>) -> Response {
    let caught = AssertUnwindSafe(calling).catch_unwind().await;
    caught.unwrap_or_else(|_| {
        let detail = "the answer made this program panic, which is a bug of it";
        failed(CallError::new(due.veid, due.call, Reason::BadShape, detail))
    })
}

/// A failure without a request.
fn failed(error: CallError) -> Response {
    Response {
        result: Err(error),
        bytes: 0,
        requests: 0,
    }
}

/// Ends when it is time to stop, or nobody is left to say so.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopped| *stopped).await;
}

async fn sleep_until(clock: &Clock, wake: Option<Duration>) {
    match wake {
        Some(wake) => tokio::time::sleep(wake.saturating_sub(clock.now().elapsed)).await,
        None => std::future::pending().await,
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
