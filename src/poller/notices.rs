//! Logs conditions of the API points when they begin and when they end.

use std::collections::HashSet;

use super::keys::Keys;
use crate::budget::Planner;
use crate::fleet::{Fleet, VpsState};
use crate::kiwivm::Call;

/// Conditions as last logged.
#[derive(Debug, Default)]
pub(super) struct Notices {
    stretched: bool,
    exhausted: bool,
    unreadable: bool,
}

impl Notices {
    /// Logs conditions that began or ended.
    pub(super) fn log(&mut self, planner: &Planner, keys: &Keys, fleet: &Fleet) {
        let stretched = planner.stretched();
        if stretched != std::mem::replace(&mut self.stretched, stretched) {
            if stretched {
                tracing::warn!(
                    "not enough API points for the configured intervals; polling less often (see `kiwivm_exporter plan`)"
                );
            } else {
                tracing::info!("enough API points for the configured intervals again");
            }
        }
        let exhausted = planner.exhausted();
        if exhausted.is_some() != std::mem::replace(&mut self.exhausted, exhausted.is_some()) {
            if let Some(veid) = exhausted {
                tracing::warn!(
                    vps = keys.name(veid),
                    veid = veid.0,
                    "getRateLimitStatus reports no remaining API points; only making occasional calls until it reports more; other clients of this VPS or account may have spent them"
                );
            } else {
                tracing::info!("API points are available again");
            }
        }
        let unreadable: HashSet<usize> = planner.unreadable().collect();
        if unreadable.is_empty() && std::mem::take(&mut self.unreadable) {
            tracing::info!("getRateLimitStatus returns usable numbers again");
        }
        if !self.unreadable
            && let Some(vps) = with_unusable_readings(fleet, &unreadable)
        {
            self.unreadable = true;
            let veid = vps.identity.veid;
            let problem = if vps.failing(Call::RateLimitStatus) {
                "getRateLimitStatus fails although other calls succeed"
            } else {
                "getRateLimitStatus returns no usable number of API points"
            };
            tracing::warn!(
                vps = keys.name(veid),
                veid = veid.0,
                "{problem}; assuming 1000 in 15 minutes and 20000 in 24 hours, and slowing down when calls are refused; please report a response recorded with curl"
            );
        }
    }
}

/// Returns a VPS whose readings alone are unusable. All calls of a locked or unreachable VPS fail, which is logged for
/// each call.
fn with_unusable_readings<'a>(
    fleet: &'a Fleet,
    unreadable: &HashSet<usize>,
) -> Option<&'a VpsState> {
    let works = |vps: &&VpsState| {
        vps.quota.is_some_and(|quota| unreadable.contains(&quota))
            && vps.has_data()
            && vps.authentication_failed != Some(true)
            && !vps.locked()
            && !vps.failing(Call::LiveServiceInfo)
    };
    fleet.vps().iter().find(works)
}
