//! The files that a web configuration is made of, and whether they have changed.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::read;
use ring::digest::{Context, Digest, SHA256};

/// Reads files and remembers which, and what was in them.
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
    /// That it cannot be read.
    pub fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let content = read(path);
        let (mark, bytes): (u64, &[u8]) = match &content {
            Ok(bytes) => (bytes.len() as u64, bytes),
            Err(_) => (u64::MAX, &[]),
        };
        self.digest.update(&mark.to_le_bytes());
        self.digest.update(bytes);
        self.paths.push(path.to_owned());
        content
    }

    /// What was read.
    pub fn finish(self) -> Snapshot {
        Snapshot {
            paths: self.paths,
            digest: self.digest.finish(),
        }
    }
}

/// What was in some files at one time. Contents are compared, not times: a few kilobytes once a second cost next to
/// nothing, and no way of replacing a file goes unnoticed.
#[derive(Debug)]
pub struct Snapshot {
    paths: Vec<PathBuf>,
    digest: Digest,
}

impl Snapshot {
    /// Whether the same is in the files now.
    pub fn is_current(&self) -> bool {
        let mut inputs = Inputs::default();
        for path in &self.paths {
            // One that cannot be read is part of the digest.
            let _ = inputs.read(path);
        }
        inputs.finish().digest.as_ref() == self.digest.as_ref()
    }
}
