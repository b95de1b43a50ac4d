//! Reasons of a suspension, as far as they are known.

use super::{VpsState, bandwidth};
use crate::clock::Moment;
use crate::kiwivm::Call;
use crate::kiwivm::model::{Inventory, ServiceInfo, SuspensionCases};

/// A reason of a suspension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuspensionReason {
    /// The transfer allowance is used up. The API lists no case then.
    Bandwidth,
    /// A case of the vendor's policies.
    Policy,
    /// Nothing that is known explains it.
    Unknown,
}

impl SuspensionReason {
    /// Every reason, in the order of the state set.
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
    /// The reasons of the present suspension, of which there may be two; `None` unless the VPS is known to be suspended.
    #[must_use]
    pub fn suspension_reasons(&self, staleness: f64, now: Moment) -> Option<Vec<SuspensionReason>> {
        let info = self.service(staleness, now)?;
        if info.suspended != Some(true) {
            return None;
        }
        let mut reasons = Vec::new();
        if is_used_up(info, self) {
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
        // An open violation has a deadline, so it need not be why a VPS without transfer is suspended.
        let violates = open || info.policy_violation == Some(true);
        if suspended_for || (violates && reasons.is_empty()) {
            reasons.push(SuspensionReason::Policy);
        }
        if reasons.is_empty() {
            reasons.push(SuspensionReason::Unknown);
        }
        Some(reasons)
    }
}

fn is_used_up(info: &ServiceInfo, vps: &VpsState) -> bool {
    let multiplier = vps.identity.multiplier;
    let used = bandwidth::used(info, multiplier);
    let allowance = bandwidth::allowance(info, multiplier).filter(|allowance| *allowance > 0.0);
    used.zip(allowance)
        .is_some_and(|(used, allowance)| used >= allowance)
}
