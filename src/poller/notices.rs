//! Logs conditions of the API points when they begin and when they end.

use super::keys::Keys;
use crate::budget::Planner;

/// Conditions as last logged.
#[derive(Debug, Default)]
pub(super) struct Notices {
    stretched: bool,
    exhausted: bool,
    unreadable: bool,
}

impl Notices {
    /// Logs conditions that began or ended.
    pub(super) fn log(&mut self, planner: &Planner, keys: &Keys) {
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
        if unreadable.is_some() != std::mem::replace(&mut self.unreadable, unreadable.is_some()) {
            if let Some(veid) = unreadable {
                tracing::warn!(
                    vps = keys.name(veid),
                    veid = veid.0,
                    "getRateLimitStatus returns no usable number of API points; assuming 1000 in 15 minutes and 20000 in 24 hours, and slowing down when calls are refused; please report a response recorded with curl"
                );
            } else {
                tracing::info!("getRateLimitStatus returns usable numbers again");
            }
        }
    }
}
