//! Sources of API keys, and the parsing of key files and variables.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use thiserror::Error;
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

/// The reason why a key file or a variable has no usable key. The message does not quote the content.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The key file does not exist.
    #[error("key file {0} does not exist: put the API key in it")]
    Missing(String),
    /// The key file cannot be read.
    #[error("key file {0} cannot be read: {1}; make it a file that the exporter can read")]
    Unreadable(String, io::Error),
    /// The key file is too long for a key.
    #[error("key file {0} is longer than {MAX_KEY_FILE_SIZE} bytes: put only the API key in it")]
    TooLong(String),
    /// The variable is not set.
    #[error("variable {0} is not set: put the API key in it")]
    NotSet(String),
    /// The content of this file or variable is not a key.
    #[error("{0} {1}")]
    Invalid(String, InvalidKey),
}

/// The reason why a text is not an API key, with the fix.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct InvalidKey(&'static str);

/// The text is in another encoding.
const NOT_UTF8: InvalidKey = InvalidKey("is not UTF-8 text: put only the API key in it");

/// Reads a key file.
///
/// # Errors
///
/// If the file cannot be read, or does not contain a key and nothing else.
pub fn read_key_file(path: &Path) -> Result<ApiKey, KeyError> {
    let name = || shown(&path.to_string_lossy()).to_owned();
    let bytes = files::open(path).and_then(|file| files::read_up_to(&file, MAX_KEY_FILE_SIZE));
    let bytes = match bytes {
        Ok(Some(bytes)) => Zeroizing::new(bytes),
        Ok(None) => return Err(KeyError::TooLong(name())),
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(KeyError::Missing(name())),
        Err(error) => return Err(KeyError::Unreadable(name(), error)),
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| NOT_UTF8);
    text.and_then(parse_key)
        .map_err(|invalid| KeyError::Invalid(format!("key file {}", name()), invalid))
}

/// Parses the key in an environment variable.
///
/// # Errors
///
/// If the variable is not set, or does not contain a key and nothing else.
pub fn key_of_variable(name: &str, value: Option<&str>) -> Result<ApiKey, KeyError> {
    let name = shown(name);
    let value = value.ok_or_else(|| KeyError::NotSet(name.to_owned()))?;
    parse_key(value).map_err(|invalid| KeyError::Invalid(format!("variable {name}"), invalid))
}

/// Parses text that contains a key and nothing else.
pub fn parse_key(text: &str) -> Result<ApiKey, InvalidKey> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let problem = if text.is_empty() {
        "is empty: put the API key in it"
    } else if text.contains('\0') {
        // Null bytes indicate UTF-16, which some editors write.
        return Err(NOT_UTF8);
    } else if text.contains(['\n', '\r']) {
        "has more than one line: put only the API key in it"
    } else if is_assignment(text) {
        "holds NAME=value: put only the API key in it, without a name"
    } else if text.starts_with(['"', '\'']) || text.ends_with(['"', '\'']) {
        "has quotes around the key: put only the API key in it, without quotes"
    } else {
        let many_words = InvalidKey("holds more than one word: put only the API key in it");
        return ApiKey::new(text).ok_or(many_words);
    };
    Err(InvalidKey(problem))
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
            let error = parse_key(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(error.ends_with("in it") || error.contains("in it, without"));
        }
    }

    #[test]
    fn hides_a_key_given_as_a_name() {
        let source = KeySource::File("/etc/private_Canary".into());
        assert_eq!(source.to_string(), "from (not shown)");
        let error = read_key_file(Path::new("keys/Private_Canary")).expect_err("missing");
        let error = error.to_string();
        assert!(!error.contains("Canary"), "{error}");
        let error = key_of_variable("private_Canary", None).expect_err("missing");
        let error = error.to_string();
        assert!(!error.contains("Canary"), "{error}");
    }
}
