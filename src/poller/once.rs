//! A single round: each call of each VPS once at most.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::keys::Keys;
use super::notes::show_plan;
use super::setup::{limits, members};
use super::{SharedFleet, begin_usage, lock, log_outcome, make};
use crate::budget::{Due, Planner, Round};
use crate::clock::Clock;
use crate::config::Config;
use crate::fleet::VpsState;
use crate::kiwivm::{Call, Client, Reason, Veid};

/// So many calls may be in flight: a hundred VPSes that take two seconds a call are done in half a minute.
const IN_FLIGHT: usize = 50;

/// A call that was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The VPS.
    pub vps: String,
    /// The call.
    pub call: Call,
    /// The reason, in words.
    pub why: String,
}

/// Makes each call once at most, and returns the calls that were left out. Service info is asked for only where live
/// failed. Ends when the last call has ended.
pub async fn poll_once(
    config: &Config,
    client: Client,
    fleet: SharedFleet,
    clock: Clock,
) -> Vec<LeftOut> {
    // Freshness is told by intervals.
    let now = clock.now();
    let mut planner = Planner::new(&members(config), limits(config, 1.0), 0, now.elapsed);
    show_plan(&mut planner, &mut lock(&fleet), 1.0, now);
    let shared = Arc::new(Shared {
        client,
        fleet,
        clock,
        keys: Keys::new(&config.vps),
        round: Mutex::new(Round::new(config.budget.share)),
        places: Semaphore::new(IN_FLIGHT),
    });
    let mut rounds = JoinSet::new();
    for vps in &config.vps {
        let wanted = Call::ALL
            .into_iter()
            .filter(|call| config.collect.wants(*call));
        rounds.spawn(shared.clone().poll(vps.veid, wanted.collect()));
    }
    let mut left_out = Vec::new();
    while let Some(round) = rounds.join_next().await {
        left_out.extend(round.unwrap_or_default());
    }
    left_out.sort_by(|a, b| (&a.vps, a.call).cmp(&(&b.vps, b.call)));
    left_out
}

struct Shared {
    client: Client,
    fleet: SharedFleet,
    clock: Clock,
    keys: Keys,
    round: Mutex<Round>,
    places: Semaphore,
}

impl Shared {
    /// Makes the wanted calls of one VPS, one after another: the points first, because they decide about the others.
    async fn poll(self: Arc<Self>, veid: Veid, mut wanted: Vec<Call>) -> Vec<LeftOut> {
        wanted.retain(|call| *call != Call::RateLimitStatus && *call != Call::ServiceInfo);
        wanted.reverse();
        let mut left_out = Vec::new();
        self.call(Due {
            veid,
            call: Call::RateLimitStatus,
        })
        .await;
        while let Some(call) = wanted.pop() {
            let taken = self.round().take(veid, call);
            let failed = match taken {
                Ok(()) => self.call(Due { veid, call }).await,
                Err(why) => {
                    left_out.push(LeftOut {
                        vps: self.keys.name(veid).to_owned(),
                        call,
                        why,
                    });
                    None
                }
            };
            if failed == Some(Reason::Auth) {
                break;
            }
            let has_data = lock(&self.fleet).of(veid).is_some_and(VpsState::has_data);
            if call == Call::LiveServiceInfo && !has_data {
                wanted.push(Call::ServiceInfo);
            }
        }
        left_out
    }

    /// Makes a call, and returns the reason if it failed.
    async fn call(&self, due: Due) -> Option<Reason> {
        // The semaphore is never closed.
        let _place = self.places.acquire().await.ok()?;
        let key = self.keys.of(due.veid);
        let usage = begin_usage(&self.fleet, due, self.clock);
        let mut answered = make(&self.client, key, due, usage, self.clock).await;
        let finished = answered.finished();
        let reason = answered
            .response
            .result
            .as_ref()
            .err()
            .map(|error| error.reason);
        answered.apply(&mut lock(&self.fleet), self.clock.now());
        if let Some(remaining) = finished.remaining {
            self.round().read(due.veid, remaining);
        }
        if reason == Some(Reason::RateLimited) {
            self.round().refused(due.veid);
        }
        // Each failure is the first one that this process sees.
        log_outcome(&self.keys, due.veid, due.call, &answered.response, false);
        reason
    }

    fn round(&self) -> std::sync::MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
