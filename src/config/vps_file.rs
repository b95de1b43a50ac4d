//! Reads the vendor's export of keys: a CSV file with a row for each VPS of the account.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use thiserror::Error;
use zeroize::Zeroizing;

use super::key_source::InvalidKey;
use super::vps_table::Table;
use crate::files;
use crate::kiwivm::{ApiKey, Veid};

/// Size limit, enough for more than 100,000 VPSes with about 100 bytes each. A larger file is not an export.
const MAX_SIZE: u64 = 16 << 20;

/// The vendor's export without its rows and keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VpsFile {
    /// The path.
    pub path: PathBuf,
    /// Number of VPSes, without terminated services.
    pub vps: usize,
    /// Terminated services.
    pub terminated: Vec<Veid>,
    /// The fingerprint of the content that was read.
    pub fingerprint: Fingerprint,
}

impl fmt::Display for VpsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            vps,
            terminated,
            ..
        } = self;
        let plural = if *vps == 1 { "" } else { "es" };
        write!(f, "{} has {vps} VPS{plural}", path.display())?;
        if !terminated.is_empty() {
            let veids: Vec<String> = terminated.iter().map(Veid::to_string).collect();
            write!(
                f,
                "; skipping terminated services: VEID {}",
                veids.join(", ")
            )?;
        }
        Ok(())
    }
}

/// A hash of the content of a file, for detecting changes. `None` if the file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(Option<[u8; 32]>);

impl Fingerprint {
    /// Computes the fingerprint of a file.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        Self(content(path).ok().map(|bytes| sha256(&bytes)))
    }
}

/// The parsed export.
pub(super) struct Export {
    pub path: PathBuf,
    /// VPSes in the order of the file, without duplicates.
    pub rows: Vec<CsvRow>,
    /// The VEIDs of terminated services that have no active row.
    pub terminated: Vec<Veid>,
    /// Skipped and suspicious lines, with the reason.
    pub warnings: Vec<(u64, String)>,
    fingerprint: Fingerprint,
}

/// The row of an active VPS.
pub(super) struct CsvRow {
    /// The line, counted from 1.
    pub line: u64,
    pub veid: Veid,
    /// The hostname, empty if the file has none.
    pub hostname: String,
    /// The key, or the reason why it is unusable.
    pub key: Result<ApiKey, InvalidKey>,
}

/// The reason why the whole file is unusable, with the fix.
#[derive(Debug, Error)]
pub(super) enum VpsFileError {
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("is larger than {} MiB", MAX_SIZE >> 20)]
    TooLarge,
    #[error("is not plain text: save it as CSV in UTF-8")]
    NotText,
    #[error("is not CSV: {0}")]
    NotCsv(csv::Error),
    #[error(
        "has no column {0} in its first row: use the CSV that KiwiVM's client area exports, with VEID and API_KEY"
    )]
    MissingColumn(&'static str),
    #[error("has two columns {0}: remove one of them")]
    DuplicateColumn(&'static str),
}

impl Export {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// If the whole file is unusable.
    pub fn read(path: &Path) -> Result<Self, VpsFileError> {
        let bytes = content(path)?;
        let mut export = Self {
            path: path.to_owned(),
            rows: Vec::new(),
            terminated: Vec::new(),
            warnings: Vec::new(),
            fingerprint: Fingerprint(Some(sha256(&bytes))),
        };
        export.take(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes))?;
        Ok(export)
    }

    fn take(&mut self, text: &[u8]) -> Result<(), VpsFileError> {
        if text.contains(&0) {
            return Err(VpsFileError::NotText);
        }
        let mut table = Table::open(text)?;
        let mut lines: HashMap<Veid, u64> = HashMap::new();
        while let Some(fields) = table.next()? {
            let Some(veid) = fields.veid else {
                let message = "VEID must be a number above 0; row skipped".to_owned();
                self.warnings.push((fields.line, message));
                continue;
            };
            if fields.terminated {
                self.terminated.push(veid);
                continue;
            }
            let first = *lines.entry(veid).or_insert(fields.line);
            if first != fields.line {
                let message = format!("VEID {veid} is already in line {first}; row skipped");
                self.warnings.push((fields.line, message));
                continue;
            }
            self.rows.push(CsvRow {
                line: fields.line,
                veid,
                hostname: fields.hostname,
                key: fields.key,
            });
        }
        self.terminated.retain(|veid| !lines.contains_key(veid));
        self.terminated.sort_unstable();
        self.terminated.dedup();
        let quotes = text.split(|byte| *byte == b'"').count() - 1;
        if quotes % 2 == 1 {
            let message = "unclosed quote; rows may be missing".to_owned();
            self.warnings.push((table.place.1, message));
        }
        Ok(())
    }

    /// Drops the rows and their keys.
    pub fn into_known(self) -> VpsFile {
        VpsFile {
            path: self.path,
            vps: self.rows.len(),
            terminated: self.terminated,
            fingerprint: self.fingerprint,
        }
    }
}

fn content(path: &Path) -> Result<Zeroizing<Vec<u8>>, VpsFileError> {
    let bytes = files::open(path).and_then(|file| files::read_up_to(&file, MAX_SIZE));
    match bytes {
        Ok(Some(bytes)) => Ok(Zeroizing::new(bytes)),
        Ok(None) => Err(VpsFileError::TooLarge),
        Err(error) => Err(VpsFileError::Unreadable(error)),
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest(&SHA256, bytes).as_ref());
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tempfile::NamedTempFile;

    use super::*;

    const HEAD: &str = "VEID,VM_TYPE,HOSTNAME,PRIMARY_IP,IS_TERMINATED,IS_2FA_ENABLED,API_KEY";

    fn read_text(text: impl AsRef<[u8]>) -> Result<Export, VpsFileError> {
        let file = NamedTempFile::new().expect("writable");
        std::fs::write(file.path(), text).expect("writable");
        Export::read(file.path())
    }

    /// Line, VEID, hostname, and true if the key is usable.
    type ParsedRow = (u64, u64, String, bool);

    /// The rows, terminated services and warnings of a valid file.
    fn parsed(text: impl AsRef<[u8]>) -> (Vec<ParsedRow>, Vec<u64>, Vec<String>) {
        let rows = read_text(text).expect("valid export");
        let parsed = |row: CsvRow| (row.line, row.veid.0, row.hostname, row.key.is_ok());
        let warning = |(line, message)| format!("{line}: {message}");
        (
            rows.rows.into_iter().map(parsed).collect(),
            rows.terminated.into_iter().map(|veid| veid.0).collect(),
            rows.warnings.into_iter().map(warning).collect(),
        )
    }

    #[test]
    fn reads_the_export_of_the_vendor() {
        let text = format!(
            "\u{feff}{HEAD}\r\n1,kvm,a.example.com,192.0.2.1,0,1,private_a\r\n2,kvm,b,192.0.2.2,1,0,private_b\r\n\r\n3,ovz,c,192.0.2.3,0,0,private_c"
        );
        let (rows, terminated, warnings) = parsed(&text);
        let row = |line, veid, name: &str| (line, veid, name.to_owned(), true);
        assert_eq!(rows, [row(2, 1, "a.example.com"), row(5, 3, "c")]);
        assert_eq!((terminated, warnings), (vec![2], vec![]));
        let rows = read_text(&text).expect("valid export").rows;
        assert_eq!(rows[0].key.as_ref().ok(), ApiKey::new("private_a").as_ref());
    }

    #[test]
    fn finds_columns_by_name_and_reads_quoted_fields() {
        let text = "Api_Key; note ;VEID;hostname\nprivate_a;\"x;\n\"\"y\"\"\";\" 7 \";\"a; \"\"b\"\"\"\n\"private_b\";;8\n;;9;c\n'private_d';;10;d\n";
        let (rows, terminated, warnings) = parsed(text);
        let row = |line, veid, name: &str, key| (line, veid, name.to_owned(), key);
        assert_eq!(
            rows,
            [
                row(2, 7, "a; \"b\"", true),
                row(4, 8, "", true),
                row(5, 9, "c", false),
                row(6, 10, "d", false),
            ]
        );
        assert_eq!((terminated, warnings), (vec![], vec![]));
    }

    #[test]
    fn skips_invalid_rows_with_a_warning() {
        let text = format!(
            "{HEAD}\nx,,,,,,private_a\n0,,,,,,private_a\n1,,a,,no,,private_a\n1,,b,,FALSE,,private_b\n2,,c,,TRUE,,private_c\n2,,d,,0,,private_d\n3,,e,,Yes,,\n3,,e,,1,,\n-4,,,,,,private_a\n"
        );
        let (rows, terminated, warnings) = parsed(text);
        let rows: Vec<_> = rows.into_iter().map(|row| (row.1, row.2)).collect();
        assert_eq!(rows, [(1, "a".to_owned()), (2, "d".to_owned())]);
        assert_eq!(terminated, [3]);
        let skipped = |line: u64| format!("{line}: VEID must be a number above 0; row skipped");
        assert_eq!(
            warnings,
            [
                skipped(2),
                skipped(3),
                "5: VEID 1 is already in line 4; row skipped".to_owned(),
                skipped(10),
            ]
        );
        let open = format!("{HEAD}\n1,,a,,,,private_a\n2,,\"b,,,,private_b\n3,,c,,,,private_c\n");
        let (rows, _, warnings) = parsed(open);
        assert_eq!(rows.len(), 2);
        assert_eq!(warnings, ["3: unclosed quote; rows may be missing"]);
        let (rows, ..) = parsed([HEAD.as_bytes(), b"\n1,,caf\xe9,,,,private_a\n"].concat());
        assert_eq!(rows[0].2, "caf\u{fffd}");
    }

    #[test]
    fn rejects_other_files() {
        let utf16: Vec<u8> = HEAD.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (text, expected) in [
            (b"".as_slice(), "has no column VEID"),
            (b"VEID,HOSTNAME\n1,a\n", "has no column API_KEY"),
            (b"VEID,API_KEY,veid\n", "has two columns VEID"),
            (b"<html>", "has no column VEID"),
            (&utf16, "is not plain text"),
        ] {
            let error = read_text(text).err().expect("rejected").to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        let error = Export::read(Path::new("/nowhere.csv"))
            .err()
            .expect("missing")
            .to_string();
        assert!(error.starts_with("cannot be read: No such file"), "{error}");
    }

    proptest! {
        #[test]
        fn random_text_does_not_panic_and_lines_are_valid(
            text in "(VEID|API_KEY|HOSTNAME|IS_TERMINATED|1|2|x|[,;\t\"\r\n ]){0,60}"
        ) {
            let lines = text.split(['\r', '\n']).count() as u64;
            if let Ok(export) = read_text(&text) {
                let of_rows = export.rows.iter().map(|row| row.line);
                let of_warnings = export.warnings.iter().map(|(line, _)| *line);
                prop_assert!(of_rows.chain(of_warnings).all(|line| (1..=lines).contains(&line)));
            }
        }
    }
}
