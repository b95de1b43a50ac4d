//! Validates `api.proxy` and reads its password file.

use std::io;
use std::path::Path;

use figment::value::Dict;
use thiserror::Error;
use zeroize::Zeroizing;

use super::key_source::world_readable;
use super::reader::{Reader, text};
use super::validate::Origin;
use crate::files;
use crate::kiwivm::Proxy;

/// Size limit of password files. A longer file is not a password file.
const MAX_PASSWORD_FILE_SIZE: u64 = 4096;

/// The reason why a password file cannot be used. The message does not quote the file.
#[derive(Debug, Error)]
enum PasswordFileError {
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("is longer than {MAX_PASSWORD_FILE_SIZE} bytes")]
    TooLong,
    #[error("is not UTF-8 text")]
    NotUtf8,
    #[error("is empty: put the password in it")]
    Empty,
    #[error("has more than one line: put only the password in it")]
    ManyLines,
}

/// Reads the proxy. Returns `None` if there is none, or if it is invalid and the problem is recorded.
pub fn proxy(reader: &mut Reader, section: &Dict, origin: &Origin<'_>) -> Option<Proxy> {
    let url = reader.read(section, "api", "proxy", "the URL of a proxy", text);
    let file = reader.read(section, "api", "proxy_password_file", "a path", text);
    let Some(url) = url else {
        if file.is_some() {
            let message = "no proxy is configured: set api.proxy or remove this key";
            reader.problem("api.proxy_password_file", message);
        }
        return None;
    };
    let proxy = match Proxy::parse(&url) {
        Ok(proxy) => proxy,
        Err(error) => {
            reader.problem("api.proxy", error.to_string());
            return None;
        }
    };
    let Some(file) = file else {
        let readable = !reader.is_set_by_variable("api.proxy") && world_readable(origin.file);
        if proxy.has_password() && readable {
            let message = "the file with the password is world-readable: chmod 600, or use proxy_password_file";
            reader.warn("api.proxy", message);
        }
        return Some(proxy);
    };
    let path = origin.directories.secret(&file);
    let with_password = match password(&path) {
        Ok(password) => proxy
            .with_password(&password)
            .map_err(|error| error.to_string()),
        Err(error) => Err(format!("{} {error}", path.display())),
    };
    match with_password {
        Ok(proxy) => {
            if world_readable(&path) {
                let message = "the password file is world-readable: chmod 600";
                reader.warn("api.proxy_password_file", message);
            }
            Some(proxy)
        }
        Err(message) => {
            reader.problem("api.proxy_password_file", message);
            None
        }
    }
}

/// Reads the only line of a file. A password may contain spaces.
fn password(path: &Path) -> Result<Zeroizing<String>, PasswordFileError> {
    let bytes = files::open(path).and_then(|file| files::read_up_to(&file, MAX_PASSWORD_FILE_SIZE));
    let bytes = match bytes {
        Ok(Some(bytes)) => Zeroizing::new(bytes),
        Ok(None) => return Err(PasswordFileError::TooLong),
        Err(error) => return Err(PasswordFileError::Unreadable(error)),
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| PasswordFileError::NotUtf8)?;
    let line = text
        .trim_start_matches('\u{feff}')
        .trim_end_matches(['\r', '\n']);
    if line.is_empty() {
        return Err(PasswordFileError::Empty);
    }
    if line.contains(char::is_control) {
        return Err(PasswordFileError::ManyLines);
    }
    Ok(Zeroizing::new(line.to_owned()))
}
