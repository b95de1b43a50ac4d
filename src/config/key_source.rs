//! Where a key is read from, and what a file or variable must hold to be one.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::files;
use crate::kiwivm::ApiKey;

/// No API key is nearly as long. A longer file is something else, and is not read.
const LONGEST_KEY_FILE: u64 = 4096;

/// The source of a key.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The configuration itself, or `KIWIVM_API_KEY`.
    Inline,
    /// An environment variable.
    Variable(String),
    /// A file of its own.
    File(PathBuf),
    /// A row of the vendor's export.
    Row(PathBuf),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline => f.write_str("given directly"),
            Self::Variable(name) => write!(f, "from the variable {}", shown(name)),
            Self::File(path) | Self::Row(path) => {
                write!(f, "from {}", shown(&path.to_string_lossy()))
            }
        }
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySource({self})")
    }
}

/// A path or name, unless somebody wrote a key in its place.
fn shown(name: &str) -> &str {
    if name.to_ascii_lowercase().contains("private_") {
        "(not shown)"
    } else {
        name
    }
}

/// Reads a key file.
///
/// # Errors
///
/// In words: why the file is unusable and what to do. They do not quote it.
pub fn read_key_file(path: &Path) -> Result<ApiKey, String> {
    let fault =
        |fault: &dyn fmt::Display| format!("key file {} {fault}", shown(&path.to_string_lossy()));
    let bytes = files::open(path).and_then(|file| files::read_up_to(&file, LONGEST_KEY_FILE));
    let bytes = match bytes {
        Ok(Some(bytes)) => Zeroizing::new(bytes),
        Ok(None) => {
            return Err(fault(&format_args!(
                "is longer than {LONGEST_KEY_FILE} bytes: put only the API key in it"
            )));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(fault(&"does not exist: put the API key in it"));
        }
        Err(error) => {
            return Err(fault(&format_args!(
                "cannot be read: {error}; make it a file that the exporter can read"
            )));
        }
    };
    let text = std::str::from_utf8(&bytes);
    let text = text.map_err(|_| fault(&"is not UTF-8 text: put only the API key in it"))?;
    parse_key(text).map_err(|what| fault(&what))
}

/// Reads the key in a variable of the environment.
///
/// # Errors
///
/// As [`read_key_file`].
pub fn key_of_variable(name: &str, value: Option<&str>) -> Result<ApiKey, String> {
    let key = value.map_or(Err("is not set: put the API key in it"), parse_key);
    key.map_err(|what| format!("variable {} {what}", shown(name)))
}

/// The key in a text that holds nothing else, or what is wrong with the text.
pub fn parse_key(text: &str) -> Result<ApiKey, &'static str> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err("is empty: put the API key in it");
    }
    // UTF-16, as some editors write it.
    if text.contains('\0') {
        return Err("is not UTF-8 text: put only the API key in it");
    }
    if text.contains(['\n', '\r']) {
        return Err("has more than one line: put only the API key in it");
    }
    if is_assignment(text) {
        return Err("holds NAME=value: put only the API key in it, without a name");
    }
    if text.starts_with(['"', '\'']) || text.ends_with(['"', '\'']) {
        return Err("has quotes around the key: put only the API key in it, without quotes");
    }
    ApiKey::new(text).ok_or("holds more than one word: put only the API key in it")
}

/// True for a line of a shell or of an environment file.
fn is_assignment(text: &str) -> bool {
    let exported = text.strip_prefix("export").map(str::trim_start);
    let Some((name, value)) = exported.unwrap_or(text).split_once('=') else {
        return false;
    };
    let name = name.trim_end();
    let is_name = !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
    // Base64 may end in equals signs.
    is_name && !value.trim_start_matches('=').is_empty()
}

/// True when everyone on this machine can read a file.
#[cfg(unix)]
pub fn world_readable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_all_there_is() {
        let key = ApiKey::new("private_a");
        for text in ["private_a", " private_a\r\n", "\u{feff}private_a\n\n"] {
            assert_eq!(parse_key(text).ok(), key, "{text}");
        }
        for text in ["abcd==", "ab/c+d=", "a-b=c", "a:b"] {
            assert_eq!(parse_key(text).ok(), ApiKey::new(text), "{text}");
        }
        for (text, fault) in [
            ("", "is empty"),
            ("\u{feff}\r\n ", "is empty"),
            ("private_a\nprivate_b\n", "more than one line"),
            ("# key\r\nprivate_a\r\n", "more than one line"),
            ("private_a\rprivate_b", "more than one line"),
            ("KEY=private_a", "NAME=value"),
            ("export KIWIVM_API_KEY=\"private_a\"", "NAME=value"),
            ("KEY = private_a", "NAME=value"),
            ("KEY==private_a", "NAME=value"),
            ("\"private_a\"", "quotes"),
            ("'private_a'", "quotes"),
            ("'private_a", "quotes"),
            ("api_key: private_a", "more than one word"),
            ("private\u{1}a", "more than one word"),
            ("p\0r\0i\0v\0a\0t\0e\0", "not UTF-8"),
        ] {
            let said = parse_key(text).expect_err(text);
            assert!(said.contains(fault), "{text}: {said}");
            assert!(said.ends_with("in it") || said.contains("in it, without"));
        }
    }

    #[test]
    fn a_key_in_the_place_of_a_name_is_not_shown() {
        let source = KeySource::File("/etc/private_Canary".into());
        assert_eq!(source.to_string(), "from (not shown)");
        let error = read_key_file(Path::new("keys/Private_Canary")).expect_err("there is none");
        assert!(!error.contains("Canary"), "{error}");
        let error = key_of_variable("private_Canary", None).expect_err("there is none");
        assert!(!error.contains("Canary"), "{error}");
    }
}
