//! Sources of API keys, and the parsing of key files and variables.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::files;
use crate::kiwivm::ApiKey;

/// Size limit of key files. API keys are far shorter, so a longer file is not a key file.
const MAX_KEY_FILE_SIZE: u64 = 4096;

/// The source of a key.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The configuration itself or `KIWIVM_API_KEY`.
    Inline,
    /// An environment variable.
    Variable(String),
    /// A key file.
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

/// Hides a path or name that looks like a key pasted in its place.
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
/// A message with the cause and the fix. It does not quote the file.
pub fn read_key_file(path: &Path) -> Result<ApiKey, String> {
    let problem = |problem: &dyn fmt::Display| {
        format!("key file {} {problem}", shown(&path.to_string_lossy()))
    };
    let bytes = files::open(path).and_then(|file| files::read_up_to(&file, MAX_KEY_FILE_SIZE));
    let bytes = match bytes {
        Ok(Some(bytes)) => Zeroizing::new(bytes),
        Ok(None) => {
            return Err(problem(&format_args!(
                "is longer than {MAX_KEY_FILE_SIZE} bytes: put only the API key in it"
            )));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(problem(&"does not exist: put the API key in it"));
        }
        Err(error) => {
            return Err(problem(&format_args!(
                "cannot be read: {error}; make it a file that the exporter can read"
            )));
        }
    };
    let text = std::str::from_utf8(&bytes);
    let text = text.map_err(|_| problem(&"is not UTF-8 text: put only the API key in it"))?;
    parse_key(text).map_err(|message| problem(&message))
}

/// Parses the key in an environment variable.
///
/// # Errors
///
/// As [`read_key_file`].
pub fn key_of_variable(name: &str, value: Option<&str>) -> Result<ApiKey, String> {
    let key = value.map_or(Err("is not set: put the API key in it"), parse_key);
    key.map_err(|message| format!("variable {} {message}", shown(name)))
}

/// Parses text that contains a key and nothing else. The error does not quote the text.
pub fn parse_key(text: &str) -> Result<ApiKey, &'static str> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err("is empty: put the API key in it");
    }
    // Null bytes indicate UTF-16, which some editors write.
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

/// Returns true for a line of a shell script or an environment file.
fn is_assignment(text: &str) -> bool {
    let exported = text.strip_prefix("export").map(str::trim_start);
    let Some((name, value)) = exported.unwrap_or(text).split_once('=') else {
        return false;
    };
    let name = name.trim_end();
    let is_name = !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
    // A key in Base64 may end in equals signs.
    is_name && !value.trim_start_matches('=').is_empty()
}

/// Returns true if a file is world-readable.
#[cfg(unix)]
pub fn world_readable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_only_content() {
        let key = ApiKey::new("private_a");
        for text in ["private_a", " private_a\r\n", "\u{feff}private_a\n\n"] {
            assert_eq!(parse_key(text).ok(), key, "{text}");
        }
        for text in ["abcd==", "ab/c+d=", "a-b=c", "a:b"] {
            assert_eq!(parse_key(text).ok(), ApiKey::new(text), "{text}");
        }
        for (text, expected) in [
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
            let error = parse_key(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
            assert!(error.ends_with("in it") || error.contains("in it, without"));
        }
    }

    #[test]
    fn hides_a_key_given_as_a_name() {
        let source = KeySource::File("/etc/private_Canary".into());
        assert_eq!(source.to_string(), "from (not shown)");
        let error = read_key_file(Path::new("keys/Private_Canary")).expect_err("missing");
        assert!(!error.contains("Canary"), "{error}");
        let error = key_of_variable("private_Canary", None).expect_err("missing");
        assert!(!error.contains("Canary"), "{error}");
    }
}
