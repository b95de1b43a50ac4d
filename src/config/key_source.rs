//! Where a key is read from.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::file::read_text;
use crate::kiwivm::ApiKey;

/// Where a key can be read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In the configuration or the environment: nowhere.
    Inline,
    /// In a file of its own.
    File(PathBuf),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline => f.write_str("given directly"),
            Self::File(path) => write!(f, "from {}", path.display()),
        }
    }
}

/// Why there is no key in a file.
#[derive(Debug)]
pub enum KeyFileError {
    /// There is no file to read.
    Inline,
    /// The file holds nothing, or more than a key.
    NoKey,
    /// The file cannot be read.
    Unreadable(io::Error),
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline => f.write_str("the key is not in a file"),
            Self::NoKey => f.write_str(
                "the key file is empty or holds more than one word: write the API key into it, and nothing else",
            ),
            // A file that is not UTF-8 is an error without the bytes in it.
            Self::Unreadable(error) => write!(f, "the key file cannot be read: {error}"),
        }
    }
}

impl KeySource {
    /// Reads the key anew.
    ///
    /// # Errors
    ///
    /// A file that holds no key or cannot be read, or a key that is not in a file.
    pub fn read(&self) -> Result<ApiKey, KeyFileError> {
        let Self::File(path) = self else {
            return Err(KeyFileError::Inline);
        };
        let text = read_text(path).map_err(KeyFileError::Unreadable)?;
        ApiKey::new(text).ok_or(KeyFileError::NoKey)
    }
}

/// True when everyone on this machine can read a file.
#[cfg(unix)]
pub fn world_readable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}
