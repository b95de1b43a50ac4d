//! Reading files that an owner names: only regular ones, because opening a FIFO waits for its other end, and not more of
//! them than makes sense, because they may be something else.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// Refuses a path that leads to something else than a regular file. A path that leads nowhere passes.
///
/// # Errors
///
/// The kind of thing that is there.
pub fn refuse_irregular(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(io::Error::other("it is a folder")),
        Ok(metadata) if !metadata.is_file() => Err(io::Error::other("it is not a regular file")),
        _ => Ok(()),
    }
}

/// Opens a regular file for reading.
///
/// # Errors
///
/// Those of opening it, or that it is not a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    refuse_irregular(path)?;
    File::open(path)
}

/// The bytes of an open file, or `None` if there are more than `most`.
///
/// # Errors
///
/// Those of reading it.
pub fn read_up_to(file: &File, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}
