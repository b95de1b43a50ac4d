//! Sharding: splits the VPSes of a configuration between several processes.

use std::fmt;

use crate::kiwivm::{Veid, mix};

/// One of several processes that share the VPSes of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    ordinal: u32,
    total: u32,
}

impl Default for Shard {
    /// The only shard.
    fn default() -> Self {
        Self {
            ordinal: 0,
            total: 1,
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {} of {}", self.ordinal, self.total)
    }
}

impl Shard {
    /// Builds a shard from its number, counted from 0. Returns `None` unless it is below `total`.
    #[must_use]
    pub const fn new(ordinal: u32, total: u32) -> Option<Self> {
        if ordinal < total {
            Some(Self { ordinal, total })
        } else {
            None
        }
    }

    /// The number of this shard, from 0.
    #[must_use]
    pub const fn ordinal(self) -> u32 {
        self.ordinal
    }

    /// The number of shards, at least 1.
    #[must_use]
    pub const fn total(self) -> u32 {
        self.total
    }

    /// Returns true if this is the only shard.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.total == 1
    }

    /// Returns true for the VPSes of this shard. Each belongs to exactly one, regardless of the other VPSes. An
    /// additional shard takes its part from all others; no other VPS moves.
    #[must_use]
    pub fn holds(self, veid: Veid) -> bool {
        jump(mix(veid.0), self.total) == self.ordinal
    }
}

/// Jump consistent hash (Lamping and Veach, 2014), as kube-state-metrics does it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the algorithm as published; both results are at most the number of shards"
)]
fn jump(mut key: u64, shards: u32) -> u32 {
    let mut shard = 0;
    let mut next = 0.0;
    while next < f64::from(shards) {
        shard = next as u32;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = (f64::from(shard) + 1.0) * ((1_u64 << 31) as f64 / ((key >> 33) + 1) as f64);
        next = next.floor();
    }
    shard
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn home(veid: u64, total: u32) -> Vec<u32> {
        (0..total)
            .filter(|ordinal| {
                Shard::new(*ordinal, total).is_some_and(|shard| shard.holds(Veid(veid)))
            })
            .collect()
    }

    proptest! {
        #[test]
        fn a_vps_belongs_to_exactly_one_shard_and_moves_only_to_a_new_one(veid in 1_u64.., total in 1_u32..17) {
            let (before, after) = (home(veid, total), home(veid, total + 1));
            prop_assert_eq!(before.len(), 1);
            prop_assert_eq!(after.len(), 1);
            prop_assert!(after == before || after == [total]);
        }
    }

    #[test]
    fn spreads_neighbouring_veids_evenly() {
        for total in 1..=16_u32 {
            let mut sizes = vec![0_u32; total as usize];
            for veid in 1_200_000..1_201_600 {
                for shard in home(veid, total) {
                    sizes[shard as usize] += 1;
                }
            }
            let even = 1600 / total;
            assert!(
                sizes.iter().all(|size| size.abs_diff(even) < even / 3 + 1),
                "{total}: {sizes:?}"
            );
        }
    }

    #[test]
    fn assignments_are_stable_across_versions() {
        let homes: Vec<_> = (1_234_567..1_234_579)
            .flat_map(|veid| home(veid, 4))
            .collect();
        assert_eq!(homes, [1, 2, 3, 2, 2, 2, 3, 2, 1, 0, 3, 2]);
    }

    #[test]
    fn rejects_a_number_not_below_the_total() {
        assert_eq!(Shard::new(0, 1), Some(Shard::default()));
        assert_eq!(Shard::new(3, 3), None);
        assert_eq!(Shard::new(0, 0), None);
    }
}
