//! Safe reading of configured paths. Only regular files are opened, because opening a FIFO blocks. Reads are limited in
//! size, because the path may name an unrelated large file.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// Returns an error if the path exists and is not a regular file.
///
/// # Errors
///
/// If the path is a folder or a special file.
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
/// If the file cannot be opened or is not a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    refuse_irregular(path)?;
    File::open(path)
}

/// Reads an open file. Returns `None` if it is larger than `limit` bytes.
///
/// # Errors
///
/// If reading fails.
pub fn read_up_to(file: &File, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}
