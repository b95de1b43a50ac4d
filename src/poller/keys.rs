//! Current API keys of the configured VPSes.

use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;

use crate::config::{KeySource, Vps, read_key_file};
use crate::kiwivm::{ApiKey, Veid};

pub(super) struct Keys {
    by_veid: HashMap<Veid, VpsKey>,
}

/// The reason why a VPS has no usable key, with the fix.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub(super) struct MissingKey(String);

pub(super) type LoadedKey = Result<Arc<ApiKey>, MissingKey>;

struct VpsKey {
    name: String,
    source: KeySource,
    key: LoadedKey,
}

impl Keys {
    pub(super) fn new(fleet: &[Vps]) -> Self {
        let entry = |vps: &Vps| VpsKey {
            name: vps.name.clone(),
            source: vps.key_source.clone(),
            key: match &vps.key {
                Ok(key) => Ok(Arc::new(key.clone())),
                Err(problem) => Err(MissingKey(problem.message.clone())),
            },
        };
        Self {
            by_veid: fleet.iter().map(|vps| (vps.veid, entry(vps))).collect(),
        }
    }

    pub(super) fn of(&self, veid: Veid) -> LoadedKey {
        match self.by_veid.get(&veid) {
            Some(entry) => entry.key.clone(),
            None => Err(MissingKey("the VPS is no longer configured".to_owned())),
        }
    }

    pub(super) fn name(&self, veid: Veid) -> &str {
        self.by_veid
            .get(&veid)
            .map_or("(no longer configured)", |entry| &entry.name)
    }

    /// Returns the VPSes without a key.
    pub(super) fn missing(&self) -> impl Iterator<Item = Veid> {
        let entries = self.by_veid.iter();
        entries.filter_map(|(veid, entry)| entry.key.is_err().then_some(*veid))
    }

    /// Rereads the key file. Returns true if it contains a new key, or if the reason for a missing key changed. A
    /// loaded key stays in use when its file becomes unusable.
    pub(super) fn reread(&mut self, veid: Veid) -> bool {
        let Some(entry) = self.by_veid.get_mut(&veid) else {
            return false;
        };
        let KeySource::File(path) = &entry.source else {
            return false;
        };
        let read = read_key_file(path).map_err(|error| MissingKey(error.to_string()));
        match (read, &entry.key) {
            (Ok(new), old) if old.as_ref().is_ok_and(|old| **old == new) => return false,
            (Ok(new), _) => {
                tracing::info!(
                    vps = entry.name,
                    veid = veid.0,
                    "the key file contains a new key; trying it now"
                );
                entry.key = Ok(Arc::new(new));
            }
            (Err(_), Ok(_)) => return false,
            (Err(new), Err(old)) if new == *old => return false,
            (Err(new), Err(_)) => {
                tracing::warn!(
                    vps = entry.name,
                    veid = veid.0,
                    error = new.0,
                    "the key is still unusable"
                );
                entry.key = Err(new);
            }
        }
        true
    }
}
