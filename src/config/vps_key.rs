//! The key of a VPS: which of its sources is configured, and what is in it.

use figment::value::{Dict, Value};

use super::key_source::{KeySource, key_of_variable, parse_key, read_key_file, world_readable};
use super::locate::join;
use super::problem::Problem;
use super::reader::{Reader, in_line, text};
use super::validate::{Folders, Origin};
use super::vps_file::Export;
use crate::kiwivm::{ApiKey, Veid};

/// A usable key or the reason why there is none, and its source.
pub type Key = (Result<ApiKey, Problem>, KeySource);

/// Keys of a VPS that tell its API key.
pub const KEY_SOURCES: [&str; 3] = ["api_key", "api_key_file", "api_key_env"];

/// Reads the key of a VPS. `None` if it is a file of another shard, and together with a noted problem.
pub fn key(
    reader: &mut Reader,
    section: &Dict,
    path: &str,
    veid: Option<u64>,
    origin: &Origin<'_>,
) -> Option<Key> {
    let given = |key: &&str| {
        let value = section.get(*key);
        value.is_some_and(|value| !matches!(value, Value::Empty(..)))
    };
    let given: Vec<_> = KEY_SOURCES.into_iter().filter(given).collect();
    if given.is_empty()
        && let (Some(veid), Some(file)) = (veid, origin.vps_file)
    {
        return Some(key_of_row(reader, path, Veid(veid), file));
    }
    let [source] = given[..] else {
        let what = if given.is_empty() {
            "has no key: add api_key_file with the path of a file that holds it".to_owned()
        } else {
            format!("has {}: leave one of them out", given.join(" and "))
        };
        reader.problem(path, what);
        return None;
    };
    let at = join(path, source);
    if source == "api_key" {
        if !reader.is_set_by_variable("vps") && world_readable(origin.file) {
            let what = "everyone on this machine can read the file with the key: chmod 600, or use api_key_file";
            reader.warn(&at, what);
        }
        let expected = "the API key as text, one word";
        let key = reader.read(section, path, source, expected, |value| {
            parse_key(&text(value)?).ok()
        })?;
        return Some((Ok(key), KeySource::Inline));
    }
    if source == "api_key_file" {
        let file = reader.read(section, path, source, "a path", text)?;
        let here = veid.is_none_or(|veid| origin.shard.holds(Veid(veid)));
        return here.then(|| key_file(reader, &at, &file, origin.folders));
    }
    let expected = "the name of an environment variable";
    let name = reader.read(section, path, source, expected, |value| {
        text(value).filter(|name| !name.is_empty() && !name.contains(['=', '\0']))
    })?;
    let value = origin.environment.iter().find(|(known, _)| *known == name);
    let key = key_of_variable(&name, value.map(|(_, value)| value.as_str()));
    let key = key.map_err(|what| reader.at(&at, what));
    Some((key, KeySource::Variable(name)))
}

/// The key of a VPS in the vendor's export.
fn key_of_row(reader: &Reader, path: &str, veid: Veid, file: &Export) -> Key {
    let row = file.rows.iter().find(|row| row.veid == veid);
    let key = match row.map(|row| (row.line, &row.key)) {
        Some((_, Ok(key))) => Ok(key.clone()),
        Some((line, Err(fault))) => {
            let what = format!("API_KEY of VEID {veid} {fault}");
            Err(in_line(&file.path, line, what))
        }
        None => {
            let file = file.path.display();
            let what = format!("has no key: add api_key_file, or a row with VEID {veid} to {file}");
            Err(reader.at(path, what))
        }
    };
    (key, KeySource::Row(file.path.clone()))
}

/// The key in a file of its own.
pub fn key_file(reader: &mut Reader, at: &str, path: &str, folders: &Folders) -> Key {
    let path = folders.secret(path);
    let key = read_key_file(&path);
    if key.is_ok() && world_readable(&path) {
        let what = "everyone on this machine can read the key file: chmod 600";
        reader.warn(at, what);
    }
    let key = key.map_err(|what| reader.at(at, what));
    (key, KeySource::File(path))
}
