//! What the poller writes down, with the time as an argument: the plan for the fleet, outcomes for planner and fleet.

use std::time::Duration;

use crate::budget::{Due, Finished, Outcome, Planner};
use crate::clock::Moment;
use crate::fleet::{Fleet, Planned, PointsUse, UsageReading, VpsState};
use crate::kiwivm::model::{Payload, Points};
use crate::kiwivm::{Call, PerCall, Reason, Response, Veid};

/// A call that was made.
#[derive(Debug)]
pub struct Answered {
    /// Which.
    pub due: Due,
    /// What came of it.
    pub response: Response,
    /// The usage rows that came with it.
    pub usage: Option<UsageReading>,
    /// How long it took.
    pub took: Duration,
}

/// What is worth knowing after an outcome was noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted {
    /// The outcome was to be expected: the VPS's last call of this kind failed too, or the VPS is known to be locked.
    pub failed_before: bool,
    /// Usage rows were counted, which [`Fleet::show_usage`] shows.
    pub usage_counted: bool,
}

impl Answered {
    /// Tells planner and fleet. `counted` is `now` in the time in which the points are counted.
    pub fn note(
        &mut self,
        planner: &mut Planner,
        fleet: &mut Fleet,
        counted: Duration,
        now: Moment,
    ) -> Noted {
        planner.finish(self.due, self.finished(), counted);
        let veid = self.due.veid;
        let flagged_before = flagged(fleet, veid);
        let noted = self.apply(fleet, now);
        // The flag tells of a case; its deadline is in the list, which may be planned hours from now.
        for call in flagged(fleet, veid) {
            if !flagged_before.contains(&call) {
                planner.hasten(veid, call, counted);
            }
        }
        noted
    }

    /// Passes the response on to the fleet.
    pub fn apply(&mut self, fleet: &mut Fleet, now: Moment) -> Noted {
        let Due { veid, call } = self.due;
        let failed_before = self.count(fleet);
        let assumes_multiplier = |fleet: &Fleet| {
            let assuming = fleet.of(veid).filter(|vps| vps.assumes_multiplier());
            assuming.map(|vps| vps.identity.name.clone())
        };
        let assumed_before = assumes_multiplier(fleet).is_some();
        fleet.apply(veid, call, &self.response.result, now);
        if let Some(vps) = assumes_multiplier(fleet).filter(|_| !assumed_before) {
            tracing::info!(
                vps,
                veid = veid.0,
                "the API omits monthly_data_multiplier: 1 is assumed"
            );
        }
        let usage = self.usage.take().filter(|_| self.response.result.is_ok());
        let usage_counted = usage.is_some();
        if let Some(usage) = usage {
            fleet.take_usage(veid, usage);
        }
        Noted {
            failed_before,
            usage_counted,
        }
    }

    /// True when the key was refused.
    #[must_use]
    pub fn key_refused(&self) -> bool {
        matches!(&self.response.result, Err(error) if error.reason == Reason::Auth)
    }

    /// Counts what every response costs, and tells whether its outcome was to be expected.
    fn count(&self, fleet: &mut Fleet) -> bool {
        let Due { veid, call } = self.due;
        let totals = fleet.totals_mut();
        totals.durations[call].observe(self.took.as_secs_f64());
        totals.response_bytes[call] += self.response.bytes;
        let locked = matches!(&self.response.result, Err(error) if error.reason == Reason::Locked);
        fleet
            .of(veid)
            .is_some_and(|vps| vps.failing(call) || (locked && vps.locked()))
    }

    /// The result as the planner takes it.
    #[must_use]
    pub fn finished(&self) -> Finished {
        let (outcome, remaining) = match &self.response.result {
            Ok(decoded) => (Outcome::Success, remaining(&decoded.payload)),
            Err(error) => (Outcome::Failure(error.reason), None),
        };
        let retry_after = self
            .response
            .result
            .as_ref()
            .err()
            .and_then(|error| error.retry_after);
        Finished {
            outcome,
            remaining,
            bytes: self.response.bytes,
            retry_after,
        }
    }
}

/// Passes on to the fleet what the planner has decided and found out since this was last done. The planner lives in a
/// time that runs `time_scale` times as fast.
pub fn show_plan(planner: &mut Planner, fleet: &mut Fleet, time_scale: f64, now: Moment) {
    for (call, reason) in planner.take_deferrals() {
        fleet.totals_mut().count_deferral(call, reason);
    }
    fleet.show_points(PointsUse {
        spent: planner.spent(),
        costs: PerCall::from_fn(|call| planner.learned_price(call)),
        shared: planner.shared(),
    });
    for veid in planner.take_moved() {
        let on_the_clock = |interval: Option<Duration>| Some(interval?.div_f64(time_scale));
        let plan = Planned {
            intervals: planner.intervals(veid).map(on_the_clock),
            allowed: planner.allowed(veid),
            points_exhausted: planner.is_exhausted(veid),
            allowance: planner.quota(veid),
            next_poll: next_poll(planner, veid, time_scale),
        };
        fleet.show_plan(veid, plan, now);
    }
}

fn flagged(fleet: &Fleet, veid: Veid) -> Vec<Call> {
    fleet
        .of(veid)
        .into_iter()
        .flat_map(VpsState::flagged)
        .collect()
}

/// When the state of a VPS is asked for next, on the clock.
pub(super) fn next_poll(planner: &Planner, veid: Veid, time_scale: f64) -> Option<Duration> {
    let due = planner.next_poll(veid)?;
    Some(due.div_f64(time_scale))
}

/// Remaining points as the planner takes them, when an answer tells both.
fn remaining(answer: &Payload) -> Option<[f64; 2]> {
    let Payload::Points(Points {
        remaining_15m: Some(quarter),
        remaining_24h: Some(day),
    }) = answer
    else {
        return None;
    };
    #[expect(clippy::cast_precision_loss, reason = "points are far below 2^53")]
    Some([*quarter as f64, *day as f64])
}
