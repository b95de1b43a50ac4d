//! The file in which ledger, learned costs, last calls and last values survive a restart.
//!
//! It is written whole and renamed into place, once a minute, and soon after usage rows were counted. One process at a time
//! holds it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::budget::SavedState;
use crate::files;
use crate::fleet::VpsValues;

/// The name of the format. Other files are not overwritten.
const FORMAT: &str = "kiwivm_exporter state";
/// Changes when an older program could not read it.
const VERSION: u32 = 3;
/// The version before the planner that runs on feedback: values and counters still count, the budget begins anew.
const BEFORE_FEEDBACK: u32 = 2;
/// A larger file is not read: it would take the memory of the machine. The state of a VPS takes about 5 KB.
const LARGEST: u64 = 256 << 20;
/// As many links in a row as Linux follows.
const MOST_LINKS: usize = 40;

/// The remembered state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    format: String,
    version: u32,
    /// Unix seconds.
    pub written: f64,
    /// The part of the planner.
    pub budget: SavedState,
    /// The last responses.
    pub vps: Vec<VpsValues>,
}

impl State {
    /// A state as of `written`, Unix seconds.
    #[must_use]
    pub fn new(written: f64, budget: SavedState, vps: Vec<VpsValues>) -> Self {
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
    /// As it was configured. Links are followed at each use, so that they stay links.
    path: PathBuf,
    locks: Arc<Mutex<Locks>>,
}

/// Open files with a lock on them. Each alone keeps other processes away, so that one may be deleted or replaced.
#[derive(Debug, Default)]
struct Locks {
    /// A file beside the state file, which is there when the state file is not.
    beside: Option<File>,
    /// The state file itself.
    state: Option<File>,
}

impl StateFile {
    /// Takes hold of a file and reads the state in it. An unusable file is set aside with a warning, and the exporter
    /// starts without a state.
    ///
    /// # Errors
    ///
    /// In words: another process holds the file, it is not a regular file, or its folder cannot be written. A full disk is
    /// no error: the first write may find room.
    pub fn open(path: &Path, now_unix: f64) -> Result<(Self, Option<State>), String> {
        let shown = path.display();
        let in_use = || {
            format!(
                "state_file: {shown} is in use by another process: stop that one, or give each its own"
            )
        };
        let real = follow_links(path)
            .map_err(|error| format!("state_file: {shown} cannot be used: {error}"))?;
        let mut locks = Locks::default();
        match lock_beside(&real) {
            Ok(lock) => locks.beside = Some(lock),
            Err(TryLockError::WouldBlock) => return Err(in_use()),
            Err(TryLockError::Error(error)) if is_full(&error) => {}
            Err(TryLockError::Error(error)) => {
                return Err(format!(
                    "state_file: {} cannot be written: {error}; name a file in a folder that can be, or leave state_file out",
                    lock_path(&real).display()
                ));
            }
        }
        let cannot_read = |error| {
            format!(
                "state_file: {shown} cannot be read: {error}; make it readable for the exporter, or remove it"
            )
        };
        let state = match files::open(&real) {
            Ok(file) => {
                // Some file systems lock only files that are open for writing; the lock beside has to do there.
                if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) || !is_at(&file, &real)
                {
                    return Err(in_use());
                }
                let understood = read(&file).map_err(cannot_read)?;
                locks.state = Some(file);
                accept(understood, &real, now_unix)?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(cannot_read(error)),
        };
        let locks = Arc::new(Mutex::new(locks));
        let path = path.to_owned();
        Ok((Self { path, locks }, state))
    }

    /// Reads a state without holding the file, for a look at what was learned.
    #[must_use]
    pub fn peek(path: &Path) -> Option<State> {
        let understood = read(&files::open(path).ok()?).ok()?;
        Some(understood.ok()?.state)
    }

    /// Replaces the state in the file.
    ///
    /// # Errors
    ///
    /// When it cannot be written, or another process has it by now; the file is left as it was then.
    pub fn write(&self, state: &State) -> io::Result<()> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        let real = follow_links(&self.path)?;
        let is_held = |lock: &File| is_at(lock, &lock_path(&real));
        if !locks.beside.as_ref().is_some_and(is_held) {
            locks.beside = Some(lock_beside(&real).map_err(|error| match error {
                TryLockError::WouldBlock => io::Error::other("another process uses it now"),
                TryLockError::Error(error) => error,
            })?);
        }
        let new = beside(&real, "new");
        let written = write_new(&new, &serde_json::to_vec(state)?)
            .and_then(|file| fs::rename(&new, &real).map(|()| file));
        match written {
            Ok(file) => {
                locks.state = Some(file);
                Ok(())
            }
            Err(error) => {
                // Part of a file takes room on a full disk. The next write removes it too.
                let _ = fs::remove_file(&new);
                Err(error)
            }
        }
    }

    /// The path as it was configured.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The path behind symbolic links, which need not exist.
fn follow_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..=MOST_LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            // Most likely it is no link. If not, its use fails too.
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

fn lock_path(real: &Path) -> PathBuf {
    beside(real, "lock")
}

fn lock_beside(real: &Path) -> Result<File, TryLockError> {
    let path = lock_path(real);
    files::refuse_irregular(&path).map_err(TryLockError::Error)?;
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(TryLockError::Error)?;
    lock.try_lock()?;
    Ok(lock)
}

/// Writes and locks a new file.
fn write_new(path: &Path, text: &[u8]) -> io::Result<File> {
    // An interrupted write leaves one behind.
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    // Nobody else can hold a new file. Where locks do not work, the start has failed.
    let _ = file.try_lock();
    file.write_all(text)?;
    file.sync_data()?;
    Ok(file)
}

/// True if `path` leads to this open file.
fn is_at(file: &File, path: &Path) -> bool {
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let open = file.metadata().map(id);
    open.is_ok_and(|open| fs::metadata(path).is_ok_and(|there| id(there) == open))
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

/// The state in a file and the version of its format.
struct Understood {
    state: State,
    version: u32,
}

/// Reads a file. Inside is the reason why it is unusable.
fn read(file: &File) -> io::Result<Result<Understood, String>> {
    Ok(match files::read_up_to(file, LARGEST)? {
        Some(text) => understand(&text),
        None => Err(format!("is larger than {} MiB", LARGEST >> 20)),
    })
}

/// Takes the state, or sets an unusable file aside.
fn accept(
    understood: Result<Understood, String>,
    real: &Path,
    now_unix: f64,
) -> Result<Option<State>, String> {
    let file = real.display();
    match understood {
        Ok(Understood { state, version }) => {
            if version != VERSION {
                tracing::info!(%file, version, "the state file is from an earlier version: values and counters go on, API points are learned anew");
            }
            Ok(Some(state))
        }
        Err(problem) => {
            let aside = beside(real, &format!("set-aside-{now_unix:.0}"));
            fs::rename(real, &aside).map_err(|error| {
                format!("state_file: {file} {problem} and cannot be moved away: {error}")
            })?;
            tracing::warn!(%file, moved_to = %aside.display(), "the state file {problem}: starting without it");
            Ok(None)
        }
    }
}

/// The state in a text, or what is wrong with it.
fn understand(text: &[u8]) -> Result<Understood, String> {
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
        return Ok(Understood {
            state: State::new(written, SavedState::default(), vps),
            version: header.version,
        });
    }
    if header.version != VERSION {
        return Err(format!(
            "has version {}, and this program knows {VERSION}",
            header.version
        ));
    }
    let state = serde_json::from_slice(text).map_err(|_| "is damaged".to_owned())?;
    Ok(Understood {
        state,
        version: header.version,
    })
}

fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(what);
    path.with_file_name(name)
}
