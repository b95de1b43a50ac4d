//! The state file: spending, learned prices, due times and last values, kept over a restart.
//!
//! Each write replaces the whole file by a rename. One process at a time holds it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::budget::SavedState;
use crate::files;
use crate::fleet::VpsValues;
use crate::units::UnixSeconds;

/// Name of the format. Files of other formats are not overwritten.
const FORMAT: &str = "kiwivm_exporter state";
/// Version of the format. Increases when older programs could not read it.
const VERSION: u32 = 3;
/// The version before the current planner. Values and counters are restored from it, but not the state of the planner.
const OLD_PLANNER_VERSION: u32 = 2;
/// Maximum size, to limit memory use. The state of a VPS takes about 5 KB.
const MAX_SIZE: u64 = 256 << 20;
/// Maximum number of symbolic links to follow, as in Linux.
const MAX_LINKS: usize = 40;

/// The content of the state file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    format: String,
    version: u32,
    /// When it was written.
    pub written: UnixSeconds,
    /// State of the planner.
    pub budget: SavedState,
    /// Last values of each VPS.
    pub vps: Vec<VpsValues>,
}

impl State {
    /// Creates the state as of `written`.
    #[must_use]
    pub fn new(written: UnixSeconds, budget: SavedState, vps: Vec<VpsValues>) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            written,
            budget,
            vps,
        }
    }
}

/// The reason why the state file cannot be used, with the fix where there is one.
#[derive(Debug, Error)]
pub enum StateFileError {
    /// Another process holds the file.
    #[error("state_file: {} is in use by another process; stop it, or give each process its own file", .0.display())]
    InUse(PathBuf),
    /// The symbolic links of the path have no end.
    #[error("state_file: {} cannot be used: {}", .0.display(), .1)]
    Links(PathBuf, io::Error),
    /// The lock file cannot be created.
    #[error("state_file: {} cannot be written: {}; choose a writable folder, or remove state_file", .0.display(), .1)]
    Unwritable(PathBuf, io::Error),
    /// The file exists but cannot be read.
    #[error("state_file: {} cannot be read: {}; make it readable for the exporter, or delete it", .0.display(), .1)]
    Unreadable(PathBuf, io::Error),
    /// The file is invalid and cannot be moved out of the way.
    #[error("state_file: {} {} and cannot be renamed: {}", .0.display(), .1, .2)]
    NotRenamed(PathBuf, InvalidState, io::Error),
}

/// The reason why the content of a state file is invalid. The message completes "the state file ...".
#[derive(Clone, Copy, Debug, Error)]
pub enum InvalidState {
    /// The file is too large for a state.
    #[error("is larger than {} MiB", MAX_SIZE >> 20)]
    TooLarge,
    /// The file has no header of a state.
    #[error("is damaged or belongs to another program")]
    NoHeader,
    /// The header is that of another program.
    #[error("belongs to another program")]
    OtherProgram,
    /// The version is not supported.
    #[error("has version {0}, but this program supports version {VERSION}")]
    Version(u32),
    /// The header is valid, but the rest is not.
    #[error("is damaged")]
    Damaged,
}

/// The state file, locked by this process.
#[derive(Clone, Debug)]
pub struct StateFile {
    /// The configured path. Links are resolved at each use, so that a write does not replace a link.
    path: PathBuf,
    locks: Arc<Mutex<Locks>>,
}

/// Open files with a lock. Each lock alone excludes other processes, so one of the files may be deleted or replaced.
#[derive(Debug, Default)]
struct Locks {
    /// A separate lock file, which exists even before the state file does.
    lock_file: Option<File>,
    /// The state file itself.
    state: Option<File>,
}

impl StateFile {
    /// Locks the file and reads its state. An invalid file is renamed with a warning, and the exporter starts without
    /// state.
    ///
    /// # Errors
    ///
    /// If another process holds the file, it is not a regular file, or its folder is not writable. A full disk is not
    /// an error, because it may have free space by the first write.
    pub fn open(path: &Path, now: UnixSeconds) -> Result<(Self, Option<State>), StateFileError> {
        let path = path.to_owned();
        let real = match follow_links(&path) {
            Ok(real) => real,
            Err(error) => return Err(StateFileError::Links(path, error)),
        };
        let mut locks = Locks::default();
        match open_lock_file(&real) {
            Ok(lock) => locks.lock_file = Some(lock),
            Err(TryLockError::WouldBlock) => return Err(StateFileError::InUse(path)),
            Err(TryLockError::Error(error)) if is_full(&error) => {}
            Err(TryLockError::Error(error)) => {
                let path = lock_path(&real);
                return Err(StateFileError::Unwritable(path, error));
            }
        }
        let state = match files::open(&real) {
            Ok(file) => {
                // Some file systems lock only files that are open for writing. The separate lock file suffices there.
                if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) || !is_at(&file, &real)
                {
                    return Err(StateFileError::InUse(path));
                }
                let parsed = match read(&file) {
                    Ok(parsed) => parsed,
                    Err(error) => return Err(StateFileError::Unreadable(path, error)),
                };
                locks.state = Some(file);
                accept(parsed, &real, now)?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(StateFileError::Unreadable(path, error)),
        };
        let locks = Arc::new(Mutex::new(locks));
        Ok((Self { path, locks }, state))
    }

    /// Reads the state without locking the file.
    #[must_use]
    pub fn read_unlocked(path: &Path) -> Option<State> {
        let parsed = read(&files::open(path).ok()?).ok()?;
        Some(parsed.ok()?.state)
    }

    /// Replaces the state in the file.
    ///
    /// # Errors
    ///
    /// If the file cannot be written, or another process holds it now. The file is unchanged then.
    pub fn write(&self, state: &State) -> io::Result<()> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        let real = follow_links(&self.path)?;
        let is_held = |lock: &File| is_at(lock, &lock_path(&real));
        if !locks.lock_file.as_ref().is_some_and(is_held) {
            locks.lock_file = Some(open_lock_file(&real).map_err(|error| match error {
                TryLockError::WouldBlock => io::Error::other("it is now in use by another process"),
                TryLockError::Error(error) => error,
            })?);
        }
        let new = sibling(&real, "new");
        let written = write_new(&new, &serde_json::to_vec(state)?)
            .and_then(|file| fs::rename(&new, &real).map(|()| file));
        match written {
            Ok(file) => {
                locks.state = Some(file);
                Ok(())
            }
            Err(error) => {
                // A partial file would take space on a full disk. If this fails, the next write removes it.
                let _ = fs::remove_file(&new);
                Err(error)
            }
        }
    }

    /// Returns the configured path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Resolves symbolic links. The target need not exist.
fn follow_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..=MAX_LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            // Usually the path is not a link. After any other error, opening the path fails too.
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

fn lock_path(real: &Path) -> PathBuf {
    sibling(real, "lock")
}

fn open_lock_file(real: &Path) -> Result<File, TryLockError> {
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

/// Creates, locks and writes a new file.
fn write_new(path: &Path, text: &[u8]) -> io::Result<File> {
    // Remove the leftover of an interrupted write.
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    // Nobody else can hold a new file. If locks did not work here, the start would have failed.
    let _ = file.try_lock();
    file.write_all(text)?;
    file.sync_data()?;
    Ok(file)
}

/// Returns true if `path` refers to this open file.
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

/// A state and the version of the file it was read from.
struct Parsed {
    state: State,
    version: u32,
}

/// Reads and parses a file.
fn read(file: &File) -> io::Result<Result<Parsed, InvalidState>> {
    Ok(match files::read_up_to(file, MAX_SIZE)? {
        Some(text) => parse(&text),
        None => Err(InvalidState::TooLarge),
    })
}

/// Returns the state, or renames an invalid file.
fn accept(
    parsed: Result<Parsed, InvalidState>,
    real: &Path,
    now: UnixSeconds,
) -> Result<Option<State>, StateFileError> {
    let file = real.display();
    match parsed {
        Ok(Parsed { state, version }) => {
            if version != VERSION {
                tracing::info!(%file, version, "the state file is from an earlier version; keeping values and counters, learning about API points again");
            }
            Ok(Some(state))
        }
        Err(invalid) => {
            let aside = sibling(real, &format!("set-aside-{:.0}", now.0));
            fs::rename(real, &aside)
                .map_err(|error| StateFileError::NotRenamed(real.to_owned(), invalid, error))?;
            tracing::warn!(%file, moved_to = %aside.display(), "the state file {invalid}; starting without it");
            Ok(None)
        }
    }
}

/// Parses a state.
fn parse(text: &[u8]) -> Result<Parsed, InvalidState> {
    #[derive(Deserialize)]
    struct Header {
        format: String,
        version: u32,
    }
    let header: Header = serde_json::from_slice(text).map_err(|_| InvalidState::NoHeader)?;
    if header.format != FORMAT {
        return Err(InvalidState::OtherProgram);
    }
    if header.version == OLD_PLANNER_VERSION {
        #[derive(Deserialize)]
        struct Values {
            written: UnixSeconds,
            vps: Vec<VpsValues>,
        }
        let Values { written, vps } =
            serde_json::from_slice(text).map_err(|_| InvalidState::Damaged)?;
        return Ok(Parsed {
            state: State::new(written, SavedState::default(), vps),
            version: header.version,
        });
    }
    if header.version != VERSION {
        return Err(InvalidState::Version(header.version));
    }
    let state = serde_json::from_slice(text).map_err(|_| InvalidState::Damaged)?;
    Ok(Parsed {
        state,
        version: header.version,
    })
}

fn sibling(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(extension);
    path.with_file_name(name)
}
