//! The folder that a recording goes to.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// One line for each response: what the head said, and what became of the call.
pub(super) const INDEX: &str = "responses.jsonl";

/// A folder that was empty, and its index.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    index: File,
}

impl Folder {
    /// Makes the folder, or takes one that is empty. Before the first call is made: what cannot be written costs no points.
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

    /// Writes a file that is not there yet.
    pub(super) fn write(&self, name: &str, content: &str) -> io::Result<()> {
        new_file(&self.path.join(name))?.write_all(content.as_bytes())
    }

    /// Adds a line to the index.
    pub(super) fn note(&mut self, line: &Value) -> io::Result<()> {
        self.index.write_all(format!("{line}\n").as_bytes())
    }
}

/// The owner of the VPSes decides who sees them.
fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}
