//! Validates `api.proxy` and reads its password file.

use std::path::Path;

use figment::value::Dict;
use zeroize::Zeroizing;

use super::key_source::world_readable;
use super::reader::{Reader, text};
use super::validate::Origin;
use crate::files;
use crate::kiwivm::Proxy;

/// Size limit of password files. A longer file is not a password file.
const MAX_PASSWORD_FILE_SIZE: u64 = 4096;

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
        Err(message) => {
            reader.problem("api.proxy", message);
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
    let with_password = password(&path)
        .map_err(|message| format!("{} {message}", path.display()))
        .and_then(|password| proxy.with_password(&password));
    if with_password.is_ok() && world_readable(&path) {
        let message = "the password file is world-readable: chmod 600";
        reader.warn("api.proxy_password_file", message);
    }
    match with_password {
        Ok(proxy) => Some(proxy),
        Err(message) => {
            reader.problem("api.proxy_password_file", message);
            None
        }
    }
}

/// Reads the only line of a file. A password may contain spaces.
fn password(path: &Path) -> Result<Zeroizing<String>, String> {
    let bytes = files::open(path).and_then(|file| files::read_up_to(&file, MAX_PASSWORD_FILE_SIZE));
    let bytes = match bytes {
        Ok(Some(bytes)) => Zeroizing::new(bytes),
        Ok(None) => return Err(format!("is longer than {MAX_PASSWORD_FILE_SIZE} bytes")),
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| "is not UTF-8 text".to_owned())?;
    let line = text
        .trim_start_matches('\u{feff}')
        .trim_end_matches(['\r', '\n']);
    if line.is_empty() {
        return Err("is empty: put the password in it".to_owned());
    }
    if line.contains(char::is_control) {
        return Err("has more than one line: put only the password in it".to_owned());
    }
    Ok(Zeroizing::new(line.to_owned()))
}
