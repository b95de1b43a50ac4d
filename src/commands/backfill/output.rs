//! Destination of the history: standard output, or a file that only appears when it is complete.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// An output. Opened before the first call, so that an unwritable one costs no points.
pub(super) enum Output {
    Stdout,
    /// A pipe or device, which must not be replaced by renaming.
    Special(File),
    /// A temporary file that gets its name when it is complete, and is removed otherwise.
    New(NamedTempFile, PathBuf),
}

impl Output {
    pub(super) fn open(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(Self::Stdout);
        };
        if path.metadata().is_ok_and(|there| !there.is_file()) {
            return OpenOptions::new().write(true).open(path).map(Self::Special);
        }
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        let new = tempfile::Builder::new()
            .prefix(".backfill-")
            // As for any other file, the umask decides who may read it.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder.unwrap_or(Path::new(".")))?;
        Ok(Self::New(new, path.to_owned()))
    }

    /// True if a temporary file must be removed when a signal stops the command.
    pub(super) const fn needs_cleanup(&self) -> bool {
        matches!(self, Self::New(..))
    }

    pub(super) fn writer(&mut self) -> Box<dyn Write + '_> {
        match self {
            Self::Stdout => Box::new(io::stdout().lock()),
            Self::Special(file) => Box::new(file),
            Self::New(new, _) => Box::new(new.as_file_mut()),
        }
    }

    /// Gives the complete file its name.
    pub(super) fn complete(self) -> io::Result<()> {
        match self {
            Self::Stdout | Self::Special(_) => Ok(()),
            Self::New(new, path) => new.persist(path).map(drop).map_err(|error| error.error),
        }
    }
}
