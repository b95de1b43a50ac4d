//! An index to find a VPS in a large fleet by binary search.

use super::vps::VpsState;
use crate::kiwivm::Veid;

/// Positions of VPSes, sorted by VEID and by name. Valid only for the list it was built from.
#[derive(Debug)]
pub struct Index {
    by_veid: Box<[u32]>,
    by_name: Box<[u32]>,
}

impl Index {
    pub(super) fn of(vps: &[VpsState]) -> Self {
        let positions: Vec<u32> = (0..).take(vps.len()).collect();
        let at = |position: &u32| &vps[*position as usize].identity;
        let mut by_veid = positions.clone();
        by_veid.sort_unstable_by_key(|position| at(position).veid);
        let mut by_name = positions;
        by_name.sort_unstable_by(|a, b| at(a).name.cmp(&at(b).name));
        Self {
            by_veid: by_veid.into(),
            by_name: by_name.into(),
        }
    }

    pub(super) fn of_veid(&self, vps: &[VpsState], veid: Veid) -> Option<usize> {
        let compare = |position: &u32| vps[*position as usize].identity.veid.cmp(&veid);
        let found = self.by_veid.binary_search_by(compare).ok()?;
        Some(self.by_veid[found] as usize)
    }

    pub(super) fn of_name(&self, vps: &[VpsState], name: &str) -> Option<usize> {
        let compare = |position: &u32| vps[*position as usize].identity.name.as_str().cmp(name);
        let found = self.by_name.binary_search_by(compare).ok()?;
        Some(self.by_name[found] as usize)
    }
}
