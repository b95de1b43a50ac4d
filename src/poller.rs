//! The loop that makes the calls that are due and applies their responses.

mod calls;
mod heartbeat;
mod keys;
mod notes;
mod notices;
mod once;
mod setup;
mod state_file;
mod state_writer;

pub use heartbeat::Heartbeat;
pub use notes::{FinishedCall, Recorded, publish_plan};
pub use once::{SkippedCall, poll_once};
pub use setup::{limits, members, share};
pub use state_file::{InvalidState, State, StateFile, StateFileError};

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::budget::{Due, Planner};
use crate::clock::{BEFORE_START, Clock};
use crate::config::{Collect, Config};
use crate::fleet::Fleet;
use crate::kiwivm::{Call, Client, Veid};
use crate::units::AccountTime;
use calls::{begin_usage, log_outcome, make_call};
use keys::Keys;
use notes::next_poll;
use notices::Notices;
use setup::identities;
use state_writer::{StateWriter, WriteEvent, write_event};

/// Interval at which the key files of VPSes with an unusable or refused key are reread. This costs no points.
const KEY_FILE_CHECK: Duration = Duration::from_secs(60);

/// Seconds by which the clock may have been set back since the last write. Time synchronisation often does so at boot.
const CLOCK_STEP: f64 = 60.0;

/// The fleet, written by the poller and read by everything else. Holders copy data and release the lock at once.
pub type SharedFleet = Arc<Mutex<Fleet>>;

/// Locks the fleet. Ignores poisoning: the fleet is plain data, which stays usable after a panic of another holder.
pub fn lock(fleet: &SharedFleet) -> MutexGuard<'_, Fleet> {
    fleet.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A new configuration for the running poller.
pub struct Reload {
    /// The new configuration.
    pub config: Config,
    /// The client for the new configuration.
    pub client: Client,
    /// Completed when the poller uses the new configuration.
    pub done: oneshot::Sender<()>,
}

/// Polls the VPSes of a fleet.
pub struct Poller {
    client: Client,
    fleet: SharedFleet,
    planner: Planner,
    keys: Keys,
    clock: Clock,
    in_flight: JoinSet<FinishedCall>,
    next_key_check: Option<Duration>,
    notices: Notices,
    state_writer: Option<StateWriter>,
    collect: Collect,
    heartbeat: Heartbeat,
}

/// Returns the fleet of a configuration, without data.
#[must_use]
pub fn fleet_of(config: &Config) -> SharedFleet {
    let fleet = Fleet::new(identities(config), config.staleness).of_shard(config.shard);
    Arc::new(Mutex::new(fleet))
}

impl Poller {
    /// Creates a poller. Its first round starts with [`Self::run`]. Intervals and points are counted in the time of the
    /// account.
    #[must_use]
    pub fn new(config: &Config, client: Client, fleet: SharedFleet, clock: Clock) -> Self {
        let seed = RandomState::new().hash_one(clock.now().elapsed);
        let now = clock.to_account_time(clock.now().elapsed);
        let mut poller = Self {
            client,
            fleet,
            planner: Planner::new(&members(config), limits(config, clock), seed, now),
            keys: Keys::new(&config.vps),
            clock,
            in_flight: JoinSet::new(),
            next_key_check: None,
            notices: Notices::default(),
            state_writer: None,
            collect: config.collect,
            heartbeat: Heartbeat::default(),
        };
        poller.heartbeat.beat(clock.now().elapsed);
        poller.publish_plan();
        poller
    }

    /// Returns a handle for health checks of the loop.
    #[must_use]
    pub fn heartbeat(&self) -> Heartbeat {
        self.heartbeat.clone()
    }

    /// Restores the state of an earlier process and keeps the file up to date.
    pub fn keep_state(&mut self, file: StateFile, state: Option<State>) {
        if let Some(state) = state {
            let now = self.clock.now();
            let age = now.unix - state.written;
            let step = (-CLOCK_STEP..0.0).contains(&age).then_some(Duration::ZERO);
            let elapsed = Duration::try_from_secs_f64(age).ok().or(step);
            let counted = self.clock.to_account_interval(elapsed.unwrap_or_default());
            self.planner
                .restore_state(&state.budget, counted, self.planner_now());
            {
                let mut fleet = lock(&self.fleet);
                // Values of unknown age are as stale as the oldest. Counters stay.
                fleet.restore_state(state.vps, elapsed.unwrap_or(BEFORE_START), now);
                drop_uncollected(&mut fleet, self.collect);
            }
            // The exporter may have been restarted to load a new key.
            for veid in self.refused() {
                self.planner.resume(veid, self.planner_now());
            }
            let path = file.path().display();
            if let Some(elapsed) = elapsed {
                tracing::info!(file = %path, age_seconds = elapsed.as_secs(), "resuming from the state file");
            } else {
                tracing::warn!(file = %path, "the state file was written in the future; check the clock; resuming from its counters, without values of unknown age");
            }
            self.publish_plan();
        }
        self.state_writer = Some(StateWriter::new(file));
    }

    /// Polls until `stop` is set, then drops the calls in flight. That is safe, because calls only read.
    pub async fn run(
        mut self,
        mut reloads: mpsc::Receiver<Reload>,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            self.heartbeat.beat(self.clock.now().elapsed);
            self.start_due();
            let wake = self.next_wake();
            tokio::select! {
                () = stopped(&mut stop) => break,
                Some(reload) = reloads.recv() => self.reload(reload),
                Some(Ok(finished)) = self.in_flight.join_next() => self.finish(finished),
                event = write_event(&mut self.state_writer, self.clock) => self.finish_write(&event),
                () = sleep_until(&self.clock, wake) => self.check_keys(),
            }
        }
        self.wait_for_write().await;
        self.start_write();
        self.wait_for_write().await;
    }

    fn start_due(&mut self) {
        if self
            .state_writer
            .as_ref()
            .is_some_and(|state_writer| state_writer.is_due(self.clock.now()))
        {
            self.start_write();
        }
        for due in self.planner.take_due(self.planner_now()) {
            self.call(due);
        }
        self.publish_plan();
        self.notices
            .log(&self.planner, &self.keys, &lock(&self.fleet));
    }

    fn call(&mut self, due: Due) {
        let key = self.keys.of(due.veid);
        let usage = begin_usage(&self.fleet, due, self.clock);
        let (client, clock) = (self.client.clone(), self.clock);
        self.in_flight
            .spawn(async move { make_call(&client, key, due, usage, clock).await });
    }

    /// Starts a write of the state file, unless one is in progress.
    fn start_write(&mut self) {
        let now = self.clock.now();
        let counted = self.clock.to_account_time(now.elapsed);
        let Some(state_writer) = self.state_writer.as_mut().filter(|it| it.due().is_some()) else {
            return;
        };
        let budget = self.planner.save_state(counted);
        let fleet = lock(&self.fleet);
        let (values, usage) = (fleet.save_state(now), fleet.counted_usage());
        state_writer.start(State::new(now.unix, budget, values), usage);
    }

    /// Publishes the usage counters that are in the state file now. If it cannot be written, publishes all of them.
    fn finish_write(&mut self, event: &WriteEvent) {
        let mut fleet = lock(&self.fleet);
        match event {
            WriteEvent::Written(usage) => fleet.publish_counted(usage),
            WriteEvent::Failed => fleet.publish_usage(),
        }
        let written = matches!(event, WriteEvent::Written(_));
        let now = self.clock.now().unix;
        fleet.totals_mut().state_written(written, now);
    }

    /// Waits for the write in progress, unless it is taking long.
    async fn wait_for_write(&mut self) {
        let is_short = |writer: &StateWriter| writer.due().is_none() && !writer.is_stuck();
        if self.state_writer.as_ref().is_some_and(is_short) {
            let event = write_event(&mut self.state_writer, self.clock).await;
            self.finish_write(&event);
        }
    }

    /// Returns the current time on the planner's clock.
    fn planner_now(&self) -> AccountTime {
        self.clock.to_account_time(self.clock.now().elapsed)
    }

    fn publish_plan(&mut self) {
        let fleet = &mut lock(&self.fleet);
        publish_plan(&mut self.planner, fleet, self.clock, self.clock.now());
    }

    fn next_wake(&self) -> Option<Duration> {
        let due = self.planner.next_wake(self.planner_now());
        let due = self.clock.to_elapsed(due);
        let counters = self.state_writer.as_ref().and_then(StateWriter::due);
        [due]
            .into_iter()
            .chain(self.next_key_check)
            .chain(counters)
            .min()
    }

    fn finish(&mut self, mut completed: FinishedCall) {
        let (now, counted) = (self.clock.now(), self.planner_now());
        if completed.key_refused() {
            self.next_key_check.get_or_insert(now.elapsed);
        }
        let recorded = {
            let fleet = &mut lock(&self.fleet);
            let recorded = completed.note(&mut self.planner, fleet, counted, now);
            let veid = completed.due.veid;
            let next_poll = next_poll(&self.planner, veid, self.clock);
            fleet.set_next_poll(veid, next_poll);
            match &mut self.state_writer {
                _ if !recorded.usage_counted => {}
                Some(state_writer) if !state_writer.is_stuck() => state_writer.usage_counted(),
                _ => fleet.publish_usage(),
            }
            recorded
        };
        let Due { veid, call } = completed.due;
        let before = recorded.failed_before;
        log_outcome(&self.keys, veid, call, &completed.response, before);
    }

    /// Rereads the key files of VPSes whose key was refused. A new key is tried at once.
    fn check_keys(&mut self) {
        let now = self.clock.now().elapsed;
        if self.next_key_check.is_none_or(|check| check > now) {
            return;
        }
        let refused = self.refused();
        for veid in &refused {
            if self.keys.reread(*veid) {
                self.planner.resume(*veid, self.planner_now());
            }
        }
        self.next_key_check = (!refused.is_empty()).then(|| now + KEY_FILE_CHECK);
    }

    /// Returns the VPSes whose key is missing or was refused.
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
        let kept = self.state_writer.as_ref().map(StateWriter::path);
        if config.state_file.as_deref() != kept {
            tracing::warn!("a change of state_file takes effect only after a restart");
        }
        self.client = reload.client;
        self.keys = Keys::new(&config.vps);
        self.next_key_check = None;
        {
            let mut fleet = lock(&self.fleet);
            fleet.reconfigure(identities(&config), config.staleness);
            drop_uncollected(&mut fleet, config.collect);
        }
        self.collect = config.collect;
        let (members, limits) = (members(&config), limits(&config, self.clock));
        self.planner
            .reconfigure(&members, limits, self.planner_now());
        // Call them at once: until a call fails, they show the data of their previous key.
        for veid in self.keys.missing() {
            self.planner.resume(veid, self.planner_now());
        }
        self.publish_plan();
        // An error means that nobody waits for the reload.
        let _ = reload.done.send(());
    }
}

/// Drops inventory that is no longer collected at once, instead of when it is stale.
fn drop_uncollected(fleet: &mut Fleet, collect: Collect) {
    for call in Call::INVENTORY {
        if !collect.includes(call) {
            fleet.drop_inventory(call);
        }
    }
}

/// Waits until `stop` is set or its sender is dropped.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopped| *stopped).await;
}

async fn sleep_until(clock: &Clock, wake: Option<Duration>) {
    match wake {
        Some(wake) => tokio::time::sleep(wake.saturating_sub(clock.now().elapsed)).await,
        None => std::future::pending().await,
    }
}
