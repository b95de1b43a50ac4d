//! Reads the files that a person writes for this program.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// A configuration of a thousand VPSes is smaller than 1 MiB, and so is any list of certificates. A device in the place
/// of a file may never end.
const LARGEST: u64 = 8 << 20;

/// Reads a whole file.
///
/// # Errors
///
/// If it cannot be read, or is too large to be what it should be.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?
        .take(LARGEST + 1)
        .read_to_end(&mut content)?;
    if content.len() as u64 > LARGEST {
        let what = format!("it is larger than {} MiB", LARGEST >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(content)
}

/// Reads a whole file of text.
///
/// # Errors
///
/// As [`read`], and if it is not UTF-8. The bytes are no part of the error.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_refused() {
        let error = read_text(Path::new("/dev/zero")).expect_err("it never ends");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read(Path::new("/dev/null")).expect("it is empty"), b"");
    }
}
