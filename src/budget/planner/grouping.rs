//! Assigns VPSes to quotas.

use std::collections::HashMap;

use super::Planner;
use crate::budget::quota::Quota;
use crate::budget::scope::Decision;
use crate::config::Scope;
use crate::kiwivm::Veid;
use crate::units::AccountTime;

impl Planner {
    /// Returns the configured group of each VPS, in the order of the configuration.
    pub(super) fn groups(&self) -> Vec<(Veid, Option<String>)> {
        let group = |veid: &Veid| {
            (
                *veid,
                self.accounts.get(veid).and_then(|of| of.group.clone()),
            )
        };
        self.order.iter().map(group).collect()
    }

    /// Forms the quotas: one for each configured group, and one for all other VPSes if `shared`, else one for each of
    /// them. Each quota inherits the data of the previous quotas of its members.
    pub(super) fn regroup(&mut self, shared: bool) {
        let mut names: HashMap<&str, usize> = HashMap::new();
        let mut parts: Vec<(Vec<Veid>, bool)> = Vec::new();
        let mut ungrouped = None;
        for veid in &self.order {
            let group = self.accounts[veid].group.as_deref();
            let next = parts.len();
            let part = match group {
                Some(name) => *names.entry(name).or_insert(next),
                None if shared => *ungrouped.get_or_insert(next),
                None => next,
            };
            if part == next {
                parts.push((
                    Vec::new(),
                    group.is_some() || self.limits.scope != Scope::Auto,
                ));
            }
            parts[part].0.push(*veid);
        }
        let before = std::mem::take(&mut self.quotas);
        self.quotas = parts
            .into_iter()
            .map(|(members, certain)| self.inherit(Quota::new(members, certain), &before))
            .collect();
        for (index, quota) in self.quotas.iter_mut().enumerate() {
            for veid in &quota.members {
                let Some(account) = self.accounts.get_mut(veid) else {
                    continue;
                };
                account.quota = index;
                for sent in &mut account.flights {
                    sent.before[0] = quota.spent;
                }
            }
        }
        self.sampling.reset();
        self.report.changed.extend(&self.order);
    }

    fn inherit(&self, mut quota: Quota, before: &[Quota]) -> Quota {
        let mut parents: Vec<usize> = quota
            .members
            .iter()
            .filter(|veid| before.iter().any(|old| old.members.contains(veid)))
            .map(|veid| self.accounts[veid].quota)
            .collect();
        parents.sort_unstable();
        parents.dedup();
        for parent in parents.into_iter().filter_map(|index| before.get(index)) {
            quota.sizes.merge(&parent.sizes);
            quota.last_live = quota.last_live.max(parent.last_live);
            // Spending and points left of a quota that is split do not apply to its parts.
            if parent
                .members
                .iter()
                .all(|veid| quota.members.contains(veid))
            {
                quota.merge(parent);
            }
        }
        quota
    }

    /// Applies a decision of the votes.
    pub(super) fn decide(&mut self, decision: Option<Decision>, now: AccountTime) {
        let Some(decision) = decision else {
            return;
        };
        self.regroup(decision == Decision::Merge);
        for quota in &mut self.quotas {
            quota.expire_plan(now);
        }
    }
}
