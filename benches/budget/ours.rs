//! The planner of the exporter, optionally restarted now and then. No other module uses the planner.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use kiwivm_exporter::budget::{
    Due, Finished, Limits, Member, Outcome, Pace, Planner, Share, Slots,
};
use kiwivm_exporter::config::{Collect, Scope};
use kiwivm_exporter::kiwivm::{Call, Reason, Veid};
use kiwivm_exporter::units::{AccountTime, Bytes, Points};

use crate::actors::{Actor, Dice, micros};
use crate::world::{Client, DAY, SHARE, World};

pub const PACE: Pace = Pace {
    live: Duration::from_secs(120),
    points: Duration::from_secs(600),
    usage: Duration::from_secs(600),
    inventory: Duration::from_secs(3600),
    collect: Collect::NOTHING,
};

/// The planner's clock at the start of a simulation, larger than the age of any saved state.
const EPOCH: f64 = 10.0 * DAY;
/// Bytes of a response. Downloads are not limited here.
const RESPONSE_BYTES: u64 = 1000;
/// Maximum calls per VPS and maximum wakes without calls within one second. Beyond that the planner is paused until the
/// next second, so that an endless loop ends.
const MOST_CALLS: u64 = 2;
const MOST_WAKES: u64 = 100;

/// The reading, `None` for other calls, or the reason of the failure.
type CallResult = Result<Option<[f64; 2]>, Reason>;

pub struct Ours {
    client: Client,
    planner: Planner,
    vps: usize,
    dice: Dice,
    in_flight: BinaryHeap<Reverse<(u64, u64, Call)>>,
    results: HashMap<(u64, Call), CallResult>,
    wake: f64,
    restarts: Option<Restarts>,
    throttle: Throttle,
}

#[derive(Clone, Copy)]
pub struct Restarts {
    /// Mean time between restarts in seconds.
    pub every: f64,
    pub keeps_state: bool,
    pub next: f64,
}

/// Calls and wakes without calls in one second.
#[derive(Default)]
struct Throttle {
    second: u64,
    calls: u64,
    wakes: u64,
}

fn at(seconds: f64) -> AccountTime {
    AccountTime::new(Duration::from_secs_f64(seconds + EPOCH))
}

/// Filters readings like the decoder: only whole numbers, at least 0.
fn usable(remaining: [f64; 2]) -> Option<[Points; 2]> {
    let whole = |points: &f64| *points >= 0.0 && points.fract() == 0.0;
    remaining.iter().all(whole).then_some(remaining.map(Points))
}

impl Ours {
    pub fn new(
        client: Client,
        vps: usize,
        seed: u64,
        start: f64,
        restarts: Option<Restarts>,
    ) -> Self {
        let mut dice = Dice(seed);
        Self {
            client,
            planner: Self::planner(vps, dice.roll().to_bits(), start),
            vps,
            dice,
            in_flight: BinaryHeap::new(),
            results: HashMap::new(),
            wake: start,
            restarts,
            throttle: Throttle::default(),
        }
    }

    fn planner(vps: usize, seed: u64, now: f64) -> Planner {
        let member = |veid| Member {
            veid: Veid(veid),
            pace: PACE,
            group: None,
        };
        let fleet: Vec<Member> = (0..vps as u64).map(member).collect();
        let limits = Limits {
            share: Share {
                fleet: SHARE,
                own: SHARE,
            },
            scope: Scope::Auto,
            download: Bytes(u64::MAX),
            slots: Slots::for_fleet(vps, PACE.live),
        };
        Planner::new(&fleet, limits, seed, at(now))
    }

    fn restart(&mut self, now: f64) {
        let Some(restarts) = &mut self.restarts else {
            return;
        };
        if now < restarts.next {
            return;
        }
        restarts.next = now + self.dice.exponential(restarts.every);
        let saved = restarts
            .keeps_state
            .then(|| self.planner.save_state(at(now)));
        self.planner = Self::planner(self.vps, self.dice.roll().to_bits(), now);
        if let Some(saved) = saved {
            self.planner.restore_state(&saved, Duration::ZERO, at(now));
        }
        self.in_flight.clear();
        self.results.clear();
    }

    fn deliver(&mut self, now: f64) {
        while let Some(Reverse((ends, veid, call))) = self.in_flight.peek().copied() {
            if ends > micros(now) {
                break;
            }
            self.in_flight.pop();
            let result = self
                .results
                .remove(&(veid, call))
                .expect("every call in flight has a result");
            let finished = Finished {
                outcome: result.map_or_else(Outcome::Failure, |_| Outcome::Success),
                remaining: result.ok().flatten().and_then(usable),
                bytes: Bytes(RESPONSE_BYTES),
                retry_after: None,
            };
            let veid = Veid(veid);
            self.planner.finish(Due { veid, call }, finished, at(now));
        }
    }

    /// Returns true if the planner made too many calls or wakes within this second.
    fn is_throttled(&mut self, now: f64) -> bool {
        let second = now as u64;
        if self.throttle.second != second {
            self.throttle = Throttle {
                second,
                ..Throttle::default()
            };
        }
        let most_calls = (MOST_CALLS * self.vps as u64).max(MOST_WAKES);
        self.throttle.calls > most_calls || self.throttle.wakes > MOST_WAKES
    }
}

impl Actor for Ours {
    fn next(&self) -> f64 {
        let ends = self
            .in_flight
            .peek()
            .map_or(f64::MAX, |Reverse((ends, ..))| *ends as f64 / 1e6);
        let restarts = self.restarts.map_or(f64::MAX, |restarts| restarts.next);
        ends.min(self.wake).min(restarts)
    }

    fn act(&mut self, world: &mut World) {
        let now = self.next();
        self.restart(now);
        self.deliver(now);
        if self.is_throttled(now) {
            if self.client == Client::Measured {
                world.capped();
            }
            self.wake = now.floor() + 1.0;
            return;
        }
        let due = self.planner.take_due(at(now));
        self.throttle.wakes += u64::from(due.is_empty());
        self.throttle.calls += due.len() as u64;
        for due in due {
            let vps = usize::try_from(due.veid.0).expect("a small fleet");
            let response = world.call(self.client, vps, due.call, now);
            let ends = micros(now + response.takes);
            self.in_flight.push(Reverse((ends, due.veid.0, due.call)));
            self.results.insert((due.veid.0, due.call), response.result);
        }
        let wake = self.planner.next_wake(at(now)).since_zero().as_secs_f64() - EPOCH;
        self.wake = wake.max(now + 1e-3);
    }
}
