//! Ends silences: times without data of any VPS although points are left.

use std::time::Duration;

use super::Planner;
use crate::budget::quota::QUIET;
use crate::kiwivm::Call;
use crate::units::AccountTime;

/// Maximum time between two calls of live or service info before a failing VPS is retried early, as after refusals.
const MAX_QUIET: Duration = Duration::from_secs(180);

/// Times since which there is silence.
#[derive(Debug)]
pub(super) struct Silence {
    /// Time of the last call of live or service info to a working VPS.
    pub(super) last_data_call: AccountTime,
    /// Time of the last early retry of a failing VPS.
    last_retry: AccountTime,
}

impl Silence {
    pub(super) const fn since(now: AccountTime) -> Self {
        Self {
            last_data_call: now,
            last_retry: now,
        }
    }
}

impl Planner {
    /// Returns the time at which a silence ends: when no data call was sent to a working VPS for longer than the average
    /// gap between planned ones. A high price of live that follows from a single sample lengthens no gap.
    pub(super) fn end_of_silence(&self) -> AccountTime {
        let rates = self.quotas.iter().map(|quota| quota.planned.data_rate);
        let gap = Duration::try_from_secs_f64(1.0 / rates.sum::<f64>()).unwrap_or(MAX_QUIET);
        // A price sample waits for the next call.
        let gap = if self.prices.needs_confirmation(Call::LiveServiceInfo) {
            QUIET
        } else {
            gap.max(QUIET)
        };
        self.silence.last_data_call.saturating_add(gap)
    }

    /// Makes the next data call due if a silence ends. After failures and changes of intervals, the calls of a fleet may
    /// be bunched. After three minutes it makes the next call to a failing VPS due, because that VPS may work again long
    /// before the end of its backoff.
    pub(super) fn end_silence(&mut self, now: AccountTime) {
        if now >= self.end_of_silence() {
            self.make_next_due(false, now);
        }
        let last = self.silence.last_data_call.max(self.silence.last_retry);
        if now.since(last) >= MAX_QUIET {
            self.silence.last_retry = now;
            self.make_next_due(true, now);
        }
    }

    /// Makes the next data call due among the VPSes that work, or among those that fail, which take turns. Does nothing if
    /// it is due already.
    fn make_next_due(&mut self, fails: bool, now: AccountTime) {
        let candidates = self.order.iter().flat_map(|veid| {
            let entry = self.schedule.of(*veid).filter(|entry| {
                !entry.is_paused() && fails == (entry.failures[Call::LiveServiceInfo] > 0)
            });
            // A VPS that fails again and again is due soonest, but it must not take the turn of the others.
            let turn = entry.filter(|_| fails).map(|entry| entry.last_poll);
            Call::STATE
                .into_iter()
                .filter_map(move |call| Some((turn, entry?.next(call)?, call, *veid)))
        });
        if let Some((_, due, call, veid)) = candidates.min()
            && due > now
        {
            self.schedule.make_due(veid, call, now);
        }
    }
}
