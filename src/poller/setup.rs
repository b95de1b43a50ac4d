//! Converts the configuration to the input of the planner and the fleet.

use crate::budget::{Limits, Member, Pace, Share, Slots};
use crate::clock::Clock;
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

/// Returns the share of each quota that may be spent. The VPSes of a quota may be spread over all shards, so each shard
/// gets an equal part of it, unless every VPS is configured to have its own quota.
#[must_use]
pub fn share(config: &Config) -> Share {
    let fleet = config.budget.share;
    let own = match config.budget.scope {
        Scope::Vps => fleet,
        Scope::Account | Scope::Auto => fleet / f64::from(config.shard.total()),
    };
    Share { fleet, own }
}

/// Returns the limits of the configuration.
#[must_use]
pub fn limits(config: &Config, clock: Clock) -> Limits {
    Limits {
        share: share(config),
        scope: config.budget.scope,
        download: config.budget.download,
        slots: slots(config, clock),
    }
}

fn slots(config: &Config, clock: Clock) -> Slots {
    match config.api.concurrency {
        Concurrency::Calls(calls) => Slots::fixed(calls.get()),
        Concurrency::Auto => {
            let shortest = config.vps.iter().map(|vps| vps.intervals.live).min();
            let shortest = shortest.unwrap_or(config.intervals.live);
            Slots::for_fleet(config.vps.len(), clock.to_real_interval(shortest))
        }
    }
}

pub(super) fn identities(config: &Config) -> Vec<Identity> {
    config.vps.iter().map(Identity::from).collect()
}
