//! Known reasons for a suspension.

use super::{VpsState, bandwidth};
use crate::clock::Moment;
use crate::kiwivm::Call;
use crate::kiwivm::model::{Inventory, ServiceInfo, SuspensionCases};

/// A reason for a suspension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuspensionReason {
    /// The transfer allowance is used up. The API then lists no case.
    Bandwidth,
    /// A policy case.
    Policy,
    /// No known reason.
    Unknown,
}

impl SuspensionReason {
    /// All reasons, in the order of the state set.
    pub const ALL: [Self; 3] = [Self::Bandwidth, Self::Policy, Self::Unknown];

    /// The value of the `reason` label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bandwidth => "bandwidth",
            Self::Policy => "policy",
            Self::Unknown => "unknown",
        }
    }
}

impl VpsState {
    /// The reasons for the current suspension, up to two; `None` unless the VPS is known to be suspended.
    #[must_use]
    pub fn suspension_reasons(&self, staleness: f64, now: Moment) -> Option<Vec<SuspensionReason>> {
        let info = self.service(staleness, now)?;
        (info.suspended == Some(true)).then(|| self.likely_suspension_reasons(staleness, now))
    }

    /// The reasons that a suspension would have, up to two, from the last responses.
    #[must_use]
    pub fn likely_suspension_reasons(&self, staleness: f64, now: Moment) -> Vec<SuspensionReason> {
        let info = self.service(staleness, now);
        let mut reasons = Vec::new();
        if info.is_some_and(|info| is_used_up(info, self)) {
            reasons.push(SuspensionReason::Bandwidth);
        }
        let listed = |call| self.inventory(call, staleness, now);
        let suspended_for = match listed(Call::SuspensionDetails) {
            Some(Inventory::SuspensionCases(cases)) => *cases != SuspensionCases::default(),
            _ => false,
        };
        let open = match listed(Call::PolicyViolations) {
            Some(Inventory::PolicyViolations(violations)) => violations.open > 0,
            _ => false,
        };
        // An open violation may still be within its deadline, so used-up transfer explains the suspension without it.
        let violates = open || info.and_then(|info| info.policy_violation) == Some(true);
        if suspended_for || (violates && reasons.is_empty()) {
            reasons.push(SuspensionReason::Policy);
        }
        if reasons.is_empty() {
            reasons.push(SuspensionReason::Unknown);
        }
        reasons
    }
}

fn is_used_up(info: &ServiceInfo, vps: &VpsState) -> bool {
    let multiplier = vps.identity.multiplier;
    let used = bandwidth::used(info, multiplier);
    let allowance = bandwidth::allowance(info, multiplier).filter(|allowance| allowance.0 > 0.0);
    used.zip(allowance)
        .is_some_and(|(used, allowance)| used >= allowance)
}
