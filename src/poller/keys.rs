//! The keys of the configured VPSes, as they are now.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{KeySource, Vps};
use crate::kiwivm::{ApiKey, Veid};

pub(super) struct Keys {
    by_veid: HashMap<Veid, Entry>,
}

struct Entry {
    name: String,
    source: KeySource,
    key: Arc<ApiKey>,
}

impl Keys {
    pub(super) fn new(fleet: &[Vps]) -> Self {
        let entry = |vps: &Vps| Entry {
            name: vps.name.clone(),
            source: vps.key_source.clone(),
            key: Arc::new(vps.key.clone()),
        };
        Self {
            by_veid: fleet.iter().map(|vps| (vps.veid, entry(vps))).collect(),
        }
    }

    pub(super) fn of(&self, veid: Veid) -> Option<Arc<ApiKey>> {
        self.by_veid.get(&veid).map(|entry| entry.key.clone())
    }

    pub(super) fn name(&self, veid: Veid) -> &str {
        self.by_veid
            .get(&veid)
            .map_or("(no longer configured)", |entry| &entry.name)
    }

    /// Reads the key file again. True when it holds another key than before; a file that cannot be read is no news.
    pub(super) fn read_again(&mut self, veid: Veid) -> bool {
        let Some(entry) = self.by_veid.get_mut(&veid) else {
            return false;
        };
        match entry.source.read() {
            Ok(key) if key != *entry.key => {
                entry.key = Arc::new(key);
                true
            }
            _ => false,
        }
    }
}
