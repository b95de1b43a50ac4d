//! Converts the configuration to the input of the planner and the fleet.

use crate::budget::{Limits, Member, Pace, Share, Slots};
use crate::config::{Concurrency, Config, Scope, Vps};
use crate::fleet::Identity;

/// Returns the VPSes with their configured intervals.
#[must_use]
pub fn members(config: &Config) -> Vec<Member> {
    let pace = |vps: &Vps| Pace {
        live: vps.intervals.live,
        points: vps.intervals.points,
        usage: vps.intervals.usage,
        inventory: vps.intervals.inventory,
        collect: config.collect,
    };
    let member = |vps: &Vps| Member {
        veid: vps.veid,
        pace: pace(vps),
        group: vps.quota_group.clone(),
    };
    config.vps.iter().map(member).collect()
}

/// Returns the limits of the configuration. The VPSes of a quota may be spread over all shards, so each shard gets an
/// equal part of it, unless every VPS is configured to have its own quota.
#[must_use]
pub fn limits(config: &Config, time_scale: f64) -> Limits {
    let fleet = config.budget.share;
    let own = match config.budget.scope {
        Scope::Vps => fleet,
        Scope::Account | Scope::Auto => fleet / f64::from(config.shard.total()),
    };
    Limits {
        share: Share { fleet, own },
        scope: config.budget.scope,
        download: config.budget.download,
        slots: slots(config, time_scale),
    }
}

fn slots(config: &Config, time_scale: f64) -> Slots {
    match config.api.concurrency {
        Concurrency::Calls(calls) => Slots::fixed(calls.get()),
        Concurrency::Auto => {
            let shortest = config.vps.iter().map(|vps| vps.intervals.live).min();
            Slots::for_fleet(
                config.vps.len(),
                shortest
                    .unwrap_or(config.intervals.live)
                    .div_f64(time_scale),
            )
        }
    }
}

pub(super) fn identities(config: &Config) -> Vec<Identity> {
    config.vps.iter().map(Identity::from).collect()
}
