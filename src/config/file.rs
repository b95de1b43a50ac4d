//! Reads configuration files.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::files;

/// Size limit. A configuration with a thousand VPSes, or any list of certificates, is below 1 MiB. A device given as a
/// file may be endless.
const MAX_SIZE: u64 = 8 << 20;

/// Reads a whole file.
///
/// # Errors
///
/// If the file cannot be read or exceeds the size limit, or if reading it might block.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    // A shell passes `<(command)` as a pipe that is already open, and `/dev/null` is an empty file. Opening any other
    // pipe may block, and a reload with it the whole exporter.
    let opened_by_shell = ["/dev", "/proc/self/fd"]
        .iter()
        .any(|of| path.starts_with(of));
    let file = if opened_by_shell {
        File::open(path)?
    } else {
        files::open(path)?
    };
    files::read_up_to(&file, MAX_SIZE)?.ok_or_else(|| {
        let message = format!("larger than {} MiB", MAX_SIZE >> 20);
        io::Error::new(io::ErrorKind::FileTooLarge, message)
    })
}

/// Reads a whole text file.
///
/// # Errors
///
/// As [`read`], and if the file is not UTF-8. The error does not contain the bytes.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?)
        .map_err(|_| io::Error::other("it is not UTF-8 text; save it as UTF-8"))
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

    #[test]
    fn says_how_to_save_a_file_in_another_encoding() {
        let file = tempfile::NamedTempFile::new().expect("writable");
        std::fs::write(file.path(), b"name: caf\xe9\n").expect("writable");
        let error = read_text(file.path()).expect_err("not UTF-8").to_string();
        assert!(error.ends_with("save it as UTF-8"), "{error}");
    }
}
