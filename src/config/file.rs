//! Reads configuration files.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Size limit. A configuration with a thousand VPSes, or any list of certificates, is below 1 MiB. A device given as a
/// file may be endless.
const MAX_SIZE: u64 = 8 << 20;

/// Reads a whole file.
///
/// # Errors
///
/// If the file cannot be read or exceeds the size limit.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?
        .take(MAX_SIZE + 1)
        .read_to_end(&mut content)?;
    if content.len() as u64 > MAX_SIZE {
        let message = format!("larger than {} MiB", MAX_SIZE >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(content)
}

/// Reads a whole text file.
///
/// # Errors
///
/// As [`read`], and if the file is not UTF-8. The error does not contain the bytes.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_an_endless_file() {
        let error = read_text(Path::new("/dev/zero")).expect_err("endless");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read(Path::new("/dev/null")).expect("readable"), b"");
    }
}
