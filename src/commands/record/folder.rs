//! The folder of a recording.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The index: one line for each call, with the head of the response and the outcome.
pub(super) const INDEX: &str = "responses.jsonl";

/// A folder that was empty before, and its index.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    index: File,
}

impl Folder {
    /// Creates the folder, or uses an empty one. Called before the first API call, so that an unwritable folder costs no
    /// points.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut builder = DirBuilder::new();
        match builder.mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if path.read_dir()?.next().is_some() {
                    let message = "the folder is not empty; name a new one";
                    return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
                }
            }
            created => created?,
        }
        Ok(Self {
            path: path.to_owned(),
            index: new_file(&path.join(INDEX))?,
        })
    }

    /// Writes a file, which must not exist.
    pub(super) fn write(&self, name: &str, content: &str) -> io::Result<()> {
        new_file(&self.path.join(name))?.write_all(content.as_bytes())
    }

    /// Adds a line to the index.
    pub(super) fn add_line(&mut self, line: &Value) -> io::Result<()> {
        self.index.write_all(format!("{line}\n").as_bytes())
    }
}

/// Creates a file that only its owner can read: responses may contain private data in spite of the replacements.
fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}
