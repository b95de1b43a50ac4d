//! A single round that makes each call of each VPS at most once.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::keys::Keys;
use super::notes::publish_plan;
use super::setup::{limits, members};
use super::{SharedFleet, begin_usage, lock, log_outcome, make_call};
use crate::budget::{Due, Planner, Round, Skip};
use crate::clock::Clock;
use crate::config::Config;
use crate::fleet::VpsState;
use crate::kiwivm::{Call, Client, Reason, Veid};

/// Maximum number of calls in flight. 100 VPSes with 2 seconds per call finish in half a minute.
const IN_FLIGHT: usize = 50;

/// A call that was not made.
#[derive(Clone, Debug, PartialEq)]
pub struct SkippedCall {
    /// The VPS.
    pub vps: String,
    /// The call.
    pub call: Call,
    /// The reason.
    pub why: Skip,
}

/// Makes each call at most once and returns the skipped calls. `getServiceInfo` is called only for VPSes whose live
/// call failed. Returns when all calls have finished.
pub async fn poll_once(
    config: &Config,
    client: Client,
    fleet: SharedFleet,
    clock: Clock,
) -> Vec<SkippedCall> {
    // The fleet derives freshness from the planned intervals.
    let now = clock.now();
    let start = clock.to_account_time(now.elapsed);
    let mut planner = Planner::new(&members(config), limits(config, clock), 0, start);
    publish_plan(&mut planner, &mut lock(&fleet), clock, now);
    let shared = Arc::new(OnceState {
        client,
        fleet,
        clock,
        keys: Keys::new(&config.vps),
        round: Mutex::new(Round::new(config.budget.share)),
        slots: Semaphore::new(IN_FLIGHT),
    });
    let mut rounds = JoinSet::new();
    for vps in &config.vps {
        let wanted = Call::ALL
            .into_iter()
            .filter(|call| config.collect.includes(*call));
        rounds.spawn(shared.clone().poll(vps.veid, wanted.collect()));
    }
    let mut skipped = Vec::new();
    while let Some(round) = rounds.join_next().await {
        skipped.extend(round.unwrap_or_default());
    }
    skipped.sort_by(|a, b| (&a.vps, a.call).cmp(&(&b.vps, b.call)));
    skipped
}

struct OnceState {
    client: Client,
    fleet: SharedFleet,
    clock: Clock,
    keys: Keys,
    round: Mutex<Round>,
    slots: Semaphore,
}

impl OnceState {
    /// Makes the wanted calls of one VPS in sequence. The points are read first, because they decide about the other
    /// calls.
    async fn poll(self: Arc<Self>, veid: Veid, mut wanted: Vec<Call>) -> Vec<SkippedCall> {
        wanted.retain(|call| *call != Call::RateLimitStatus && *call != Call::ServiceInfo);
        wanted.reverse();
        let mut skipped = Vec::new();
        let call = Call::RateLimitStatus;
        self.call(Due { veid, call }).await;
        let mut failed = None;
        while let Some(call) = wanted.pop() {
            let taken = if failed == Some(Reason::Auth) {
                Err(Skip::KeyRefused)
            } else {
                self.round().take(veid, call)
            };
            match taken {
                Ok(()) => failed = self.call(Due { veid, call }).await,
                Err(why) => skipped.push(SkippedCall {
                    vps: self.keys.name(veid).to_owned(),
                    call,
                    why,
                }),
            }
            let has_data = lock(&self.fleet)
                .by_veid(veid)
                .is_some_and(VpsState::has_data);
            if call == Call::LiveServiceInfo && !has_data && failed != Some(Reason::Auth) {
                wanted.push(Call::ServiceInfo);
            }
        }
        skipped
    }

    /// Makes a call and returns the reason if it failed.
    async fn call(&self, due: Due) -> Option<Reason> {
        // The semaphore is never closed.
        let _slot = self.slots.acquire().await.ok()?;
        let key = self.keys.of(due.veid);
        let usage = begin_usage(&self.fleet, due, self.clock);
        let mut completed = make_call(&self.client, key, due, usage, self.clock).await;
        let finished = completed.finished();
        let reason = completed
            .response
            .result
            .as_ref()
            .err()
            .map(|error| error.reason);
        completed.apply(&mut lock(&self.fleet), self.clock.now());
        if let Some(remaining) = finished.remaining {
            self.round().read(due.veid, remaining);
        }
        if reason == Some(Reason::RateLimited) {
            self.round().refused(due.veid);
        }
        // Every failure is the first one in this process.
        log_outcome(&self.keys, due.veid, due.call, &completed.response, false);
        reason
    }

    fn round(&self) -> std::sync::MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
