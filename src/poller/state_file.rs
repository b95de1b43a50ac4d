//! The file in which ledger, learned costs, last calls and last values survive a restart.
//!
//! It is written whole and renamed into place, once a minute, and soon after usage rows were counted. One process at a time
//! holds it, by a lock on a file beside it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::budget::Memory;
use crate::fleet::VpsValues;

/// What the file says it is; anything else is not ours.
const FORMAT: &str = "kiwivm_exporter state";
/// Changes when an older program could not read it.
const VERSION: u32 = 3;
/// The version before the planner that runs on feedback: values and counters still count, the budget begins anew.
const BEFORE_FEEDBACK: u32 = 2;

/// Everything that is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    format: String,
    version: u32,
    /// Unix seconds.
    pub written: f64,
    /// What the planner remembers.
    pub budget: Memory,
    /// The last answers.
    pub vps: Vec<VpsValues>,
}

impl State {
    /// A state as of `written`, Unix seconds.
    #[must_use]
    pub fn new(written: f64, budget: Memory, vps: Vec<VpsValues>) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            written,
            budget,
            vps,
        }
    }
}

/// The file, held by this process.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
    /// Locked as long as it is open.
    _lock: std::sync::Arc<File>,
}

impl StateFile {
    /// Takes hold of a file and reads what is in it. What can not be understood is set aside with a warning, and
    /// there is nothing to go on from then.
    ///
    /// # Errors
    ///
    /// In words: another process holds the file, or its folder can not be written.
    pub fn open(path: &Path, now_unix: f64) -> Result<(Self, Option<State>), String> {
        let lock_path = beside(path, "lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|error| {
                format!("state_file: {} cannot be written: {error}; name a file in a folder that can be, or leave state_file out", lock_path.display())
            })?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(format!(
                    "state_file: {} is in use by another process: stop that one, or give each its own",
                    path.display()
                ));
            }
            Err(TryLockError::Error(error)) => {
                return Err(format!(
                    "state_file: {} cannot be locked: {error}",
                    lock_path.display()
                ));
            }
        }
        let file = Self {
            path: path.to_owned(),
            _lock: std::sync::Arc::new(lock),
        };
        let state = file.read(now_unix)?;
        Ok((file, state))
    }

    fn read(&self, now_unix: f64) -> Result<Option<State>, String> {
        let text = match std::fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(format!(
                    "state_file: {} cannot be read: {error}",
                    self.path.display()
                ));
            }
        };
        match understand(&text) {
            Ok(state) => Ok(Some(state)),
            Err(problem) => {
                let aside = beside(&self.path, &format!("set-aside-{now_unix:.0}"));
                std::fs::rename(&self.path, &aside).map_err(|error| {
                    format!(
                        "state_file: {} {problem} and cannot be moved away: {error}",
                        self.path.display()
                    )
                })?;
                tracing::warn!(
                    file = %self.path.display(), moved_to = %aside.display(),
                    "the state file {problem}: starting without it"
                );
                Ok(None)
            }
        }
    }

    /// Reads a state without holding the file, for a look at what was learned.
    #[must_use]
    pub fn peek(path: &Path) -> Option<State> {
        understand(&std::fs::read(path).ok()?).ok()
    }

    /// Replaces what is in the file.
    ///
    /// # Errors
    ///
    /// When it can not be written; what was in it is still there then.
    pub fn write(&self, state: &State) -> io::Result<()> {
        let new = beside(&self.path, "new");
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(&serde_json::to_vec(state)?)?;
        file.sync_data()?;
        std::fs::rename(&new, &self.path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The state in a text, or what is wrong with it.
fn understand(text: &[u8]) -> Result<State, String> {
    #[derive(Deserialize)]
    struct Header {
        format: String,
        version: u32,
    }
    let header: Header =
        serde_json::from_slice(text).map_err(|_| "is damaged or not one of ours".to_owned())?;
    if header.format != FORMAT {
        return Err("is not one of ours".to_owned());
    }
    if header.version == BEFORE_FEEDBACK {
        #[derive(Deserialize)]
        struct Values {
            written: f64,
            vps: Vec<VpsValues>,
        }
        let Values { written, vps } =
            serde_json::from_slice(text).map_err(|_| "is damaged".to_owned())?;
        return Ok(State::new(written, Memory::default(), vps));
    }
    if header.version != VERSION {
        return Err(format!(
            "has version {}, and this program knows {VERSION}",
            header.version
        ));
    }
    serde_json::from_slice(text).map_err(|_| "is damaged".to_owned())
}

fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(what);
    path.with_file_name(name)
}
