//! `api.proxy` and the file with its password.

use std::path::Path;

use figment::value::Dict;
use zeroize::Zeroizing;

use super::key_source::world_readable;
use super::reader::{Reader, text};
use super::validate::Origin;
use crate::files;
use crate::kiwivm::Proxy;

/// A longer file is something else.
const LONGEST_PASSWORD_FILE: u64 = 4096;

/// The proxy, if there is one. `None` also together with a noted problem.
pub fn proxy(reader: &mut Reader, section: &Dict, origin: &Origin<'_>) -> Option<Proxy> {
    let url = reader.read(section, "api", "proxy", "the URL of a proxy", text);
    let file = reader.read(section, "api", "proxy_password_file", "a path", text);
    let Some(url) = url else {
        if file.is_some() {
            let what = "there is no proxy: set api.proxy, or leave this out";
            reader.problem("api.proxy_password_file", what);
        }
        return None;
    };
    let proxy = match Proxy::parse(&url) {
        Ok(proxy) => proxy,
        Err(what) => {
            reader.problem("api.proxy", what);
            return None;
        }
    };
    let Some(file) = file else {
        let readable = !reader.is_set_by_variable("api.proxy") && world_readable(origin.file);
        if proxy.has_password() && readable {
            let what = "everyone on this machine can read the file with the password: chmod 600, or use proxy_password_file";
            reader.warn("api.proxy", what);
        }
        return Some(proxy);
    };
    let path = origin.folders.secret(&file);
    let with_password = password(&path)
        .map_err(|what| format!("{} {what}", path.display()))
        .and_then(|password| proxy.with_password(&password));
    if with_password.is_ok() && world_readable(&path) {
        let what = "everyone on this machine can read the password: chmod 600";
        reader.warn("api.proxy_password_file", what);
    }
    match with_password {
        Ok(proxy) => Some(proxy),
        Err(what) => {
            reader.problem("api.proxy_password_file", what);
            None
        }
    }
}

/// The first and only line of a file. A password may have spaces.
fn password(path: &Path) -> Result<Zeroizing<String>, String> {
    let bytes = files::open(path).and_then(|file| files::read_up_to(&file, LONGEST_PASSWORD_FILE));
    let bytes = match bytes {
        Ok(Some(bytes)) => Zeroizing::new(bytes),
        Ok(None) => return Err(format!("is longer than {LONGEST_PASSWORD_FILE} bytes")),
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
