//! Records the outcomes of calls in planner and fleet, and the plan in the fleet. The time is an argument.

use std::time::Duration;

use crate::budget::{Due, Finished, Outcome, Planner};
use crate::clock::{Clock, Moment};
use crate::fleet::{Fleet, PlannedCalls, PointsUse, UsageReading, VpsState};
use crate::kiwivm::model::Payload;
use crate::kiwivm::{Call, PerCall, Reason, Response, Veid};
use crate::units::AccountTime;

/// A call that has finished.
#[derive(Debug)]
pub struct FinishedCall {
    /// The VPS and the call.
    pub due: Due,
    /// The response or the error.
    pub response: Response,
    /// The usage rows of the response.
    pub usage: Option<UsageReading>,
    /// The duration of the call.
    pub took: Duration,
}

/// The result of recording an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// True if a failure is expected: the previous call of this kind failed too, or the VPS is known to be locked.
    pub failed_before: bool,
    /// True if usage rows were counted. [`Fleet::publish_usage`] publishes them.
    pub usage_counted: bool,
}

impl FinishedCall {
    /// Records the outcome in planner and fleet. `counted` is `now` on the planner's clock.
    pub fn note(
        &mut self,
        planner: &mut Planner,
        fleet: &mut Fleet,
        counted: AccountTime,
        now: Moment,
    ) -> Recorded {
        planner.finish(self.due, self.finished(), counted);
        let veid = self.due.veid;
        let flagged_before = flagged(fleet, veid);
        let recorded = self.apply(fleet, now);
        // A new flag means a new case. Its deadline is in another response, which may be planned hours from now.
        for call in flagged(fleet, veid) {
            if !flagged_before.contains(&call) {
                planner.hasten(veid, call, counted);
            }
        }
        recorded
    }

    /// Records the outcome in the fleet only.
    pub fn apply(&mut self, fleet: &mut Fleet, now: Moment) -> Recorded {
        let Due { veid, call } = self.due;
        let failed_before = self.count(fleet);
        let lacks_multiplier = |fleet: &Fleet| {
            let assuming = fleet.by_veid(veid).filter(|vps| vps.lacks_multiplier());
            assuming.map(|vps| vps.identity.name.clone())
        };
        let assumed_before = lacks_multiplier(fleet).is_some();
        fleet.apply(veid, call, &self.response.result, now);
        if let Some(vps) = lacks_multiplier(fleet).filter(|_| !assumed_before) {
            tracing::info!(
                vps,
                veid = veid.0,
                "the API omits monthly_data_multiplier; assuming 1"
            );
        }
        let usage = self.usage.take().filter(|_| self.response.result.is_ok());
        let usage_counted = usage.is_some();
        if let Some(usage) = usage {
            fleet.apply_usage(veid, usage);
        }
        Recorded {
            failed_before,
            usage_counted,
        }
    }

    /// Returns true if the API refused the key.
    #[must_use]
    pub fn key_refused(&self) -> bool {
        matches!(&self.response.result, Err(error) if error.reason == Reason::Auth)
    }

    /// Counts duration and size of the response. Returns true if a failure is expected.
    fn count(&self, fleet: &mut Fleet) -> bool {
        let Due { veid, call } = self.due;
        let totals = fleet.totals_mut();
        totals.durations[call].observe(self.took.as_secs_f64());
        totals.response_bytes[call] += self.response.bytes;
        let locked = matches!(&self.response.result, Err(error) if error.reason == Reason::Locked);
        fleet
            .by_veid(veid)
            .is_some_and(|vps| vps.failing(call) || (locked && vps.locked()))
    }

    /// Converts the result for the planner.
    #[must_use]
    pub fn finished(&self) -> Finished {
        let (outcome, remaining) = match &self.response.result {
            Ok(decoded) => {
                let remaining = match &decoded.payload {
                    Payload::RateLimit(status) => status.points_left(),
                    _ => None,
                };
                (Outcome::Success, remaining)
            }
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

/// Copies changes of the plan since the last call to the fleet. The planner counts in the time of the account.
pub fn publish_plan(planner: &mut Planner, fleet: &mut Fleet, clock: Clock, now: Moment) {
    for (call, reason) in planner.take_deferrals() {
        fleet.totals_mut().count_deferral(call, reason);
    }
    fleet.set_points(PointsUse {
        spent: planner.spent(),
        costs: PerCall::from_fn(|call| planner.learned_price(call)),
        shared: planner.shared(),
    });
    for veid in planner.take_changed() {
        let elapsed = |interval: Option<Duration>| Some(clock.to_real_interval(interval?));
        let plan = PlannedCalls {
            intervals: planner.intervals(veid).map(elapsed),
            allowed: planner.allowed(veid),
            points_exhausted: planner.is_exhausted(veid),
            quota: planner.quota(veid),
            next_poll: next_poll(planner, veid, clock),
        };
        fleet.set_plan(veid, plan, now);
    }
}

fn flagged(fleet: &Fleet, veid: Veid) -> Vec<Call> {
    fleet
        .by_veid(veid)
        .into_iter()
        .flat_map(VpsState::flagged)
        .collect()
}

/// Returns the time of the next live or service info call of a VPS, on the fleet's clock.
pub(super) fn next_poll(planner: &Planner, veid: Veid, clock: Clock) -> Option<Duration> {
    Some(clock.to_elapsed(planner.next_poll(veid)?))
}
