//! Log lines about the budget: one when a condition begins, one when it ends.

use super::keys::Keys;
use crate::budget::Planner;

/// The conditions that were last logged.
#[derive(Debug, Default)]
pub(super) struct Notices {
    stretched: bool,
    exhausted: bool,
    unreadable: bool,
}

impl Notices {
    /// Logs the conditions that began or ended.
    pub(super) fn log(&mut self, planner: &Planner, keys: &Keys) {
        let stretched = planner.stretched();
        if stretched != std::mem::replace(&mut self.stretched, stretched) {
            if stretched {
                tracing::warn!(
                    "the API points do not allow the wanted intervals: polling less often; `plan` shows how much"
                );
            } else {
                tracing::info!("the API points allow the wanted intervals again");
            }
        }
        let exhausted = planner.exhausted();
        if exhausted.is_some() != std::mem::replace(&mut self.exhausted, exhausted.is_some()) {
            if let Some(veid) = exhausted {
                tracing::warn!(
                    vps = keys.name(veid),
                    veid = veid.0,
                    "getRateLimitStatus shows no API points left: only trying a call now and then until it shows more; other clients that use the key of this VPS, or of the account, may have spent them"
                );
            } else {
                tracing::info!("API points are left again");
            }
        }
        let unreadable = planner.unreadable();
        if unreadable.is_some() != std::mem::replace(&mut self.unreadable, unreadable.is_some()) {
            if let Some(veid) = unreadable {
                tracing::warn!(
                    vps = keys.name(veid),
                    veid = veid.0,
                    "getRateLimitStatus gives no usable number of API points: assuming 1000 in 15 minutes and 20000 in 24 hours, and slowing down when calls are refused; a response recorded with curl helps the developers"
                );
            } else {
                tracing::info!("getRateLimitStatus gives usable numbers again");
            }
        }
    }
}
