//! The files of a web configuration, and the detection of changes to them.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::read;
use ring::digest::{Context, Digest, SHA256};

/// Reads files and records their paths and a digest of their contents.
pub struct Inputs {
    paths: Vec<PathBuf>,
    digest: Context,
}

impl Default for Inputs {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            digest: Context::new(&SHA256),
        }
    }
}

impl Inputs {
    /// Reads a whole file.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read.
    pub fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let content = read(path);
        let (length, bytes): (u64, &[u8]) = match &content {
            Ok(bytes) => (bytes.len() as u64, bytes),
            // No file has this length.
            Err(_) => (u64::MAX, &[]),
        };
        self.digest.update(&length.to_le_bytes());
        self.digest.update(bytes);
        self.paths.push(path.to_owned());
        content
    }

    /// Returns a snapshot of the files read.
    pub fn finish(self) -> FileVersions {
        FileVersions {
            paths: self.paths,
            digest: self.digest.finish(),
        }
    }
}

/// The contents of some files at one time. Contents are compared, not modification times: reading a few kilobytes a
/// second is cheap, and every way of replacing a file is detected.
#[derive(Debug)]
pub struct FileVersions {
    paths: Vec<PathBuf>,
    digest: Digest,
}

impl FileVersions {
    /// Returns true if the files have not changed since.
    pub fn is_current(&self) -> bool {
        let mut inputs = Inputs::default();
        for path in &self.paths {
            // An unreadable file is part of the digest too.
            let _ = inputs.read(path);
        }
        inputs.finish().digest.as_ref() == self.digest.as_ref()
    }
}
