//! Logs conditions of the API points when they begin and when they end.

use super::keys::Keys;
use crate::budget::Planner;
use crate::fleet::{Fleet, VpsState};
use crate::kiwivm::{Call, Veid};

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
        let unreadable = planner.unreadable();
        if unreadable.is_none() && std::mem::take(&mut self.unreadable) {
            tracing::info!("getRateLimitStatus returns usable numbers again");
        }
        let vps = unreadable
            .filter(|_| !self.unreadable)
            .and_then(|veid| with_unusable_readings(fleet, veid));
        if let Some(vps) = vps {
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

/// Returns a VPS of the quota of `veid` whose readings alone are unusable. All calls of a locked or unreachable VPS
/// fail, which is logged for each call.
fn with_unusable_readings(fleet: &Fleet, veid: Veid) -> Option<&VpsState> {
    let quota = fleet.by_veid(veid)?.quota;
    let works = |vps: &&VpsState| {
        vps.quota == quota
            && vps.has_data()
            && vps.authentication_failed != Some(true)
            && !vps.locked()
            && !vps.failing(Call::LiveServiceInfo)
    };
    fleet.vps().iter().find(works)
}
