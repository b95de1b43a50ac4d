//! Reads the key of a VPS from its configured source.

use figment::value::{Dict, Value};

use super::key_source::{KeySource, key_of_variable, parse_key, read_key_file, world_readable};
use super::locate::join;
use super::problem::Problem;
use super::reader::{Reader, in_line, text};
use super::validate::{Directories, Origin};
use super::vps_file::Export;
use crate::kiwivm::{ApiKey, Veid};

/// A key, or the reason why it is unusable, and its source.
pub type SourcedKey = (Result<ApiKey, Problem>, KeySource);

/// Configuration keys for the source of an API key.
pub const KEY_SOURCES: [&str; 3] = ["api_key", "api_key_file", "api_key_env"];

/// Reads the key of a VPS. Returns `None` for a key file of another shard, or after recording a problem.
pub fn key(
    reader: &mut Reader,
    section: &Dict,
    path: &str,
    veid: Option<u64>,
    origin: &Origin<'_>,
) -> Option<SourcedKey> {
    let is_set = |key: &&str| {
        let value = section.get(*key);
        value.is_some_and(|value| !matches!(value, Value::Empty(..)))
    };
    let sources: Vec<_> = KEY_SOURCES.into_iter().filter(is_set).collect();
    if sources.is_empty()
        && let (Some(veid), Some(file)) = (veid, origin.vps_file)
    {
        return Some(key_of_row(reader, path, Veid(veid), file));
    }
    let [source] = sources[..] else {
        let message = if sources.is_empty() {
            "has no key: set api_key_file to the path of a key file".to_owned()
        } else {
            format!("has {}: keep only one of them", sources.join(" and "))
        };
        reader.problem(path, message);
        return None;
    };
    let at = join(path, source);
    if source == "api_key" {
        if !reader.is_set_by_variable("vps") && world_readable(origin.file) {
            let message =
                "the file with the keys is world-readable: chmod 600, or use api_key_file";
            reader.warn_once(&at, message);
        }
        let expected = "the API key as text, one word";
        let key = reader.read(section, path, source, expected, |value| {
            parse_key(&text(value)?).ok()
        })?;
        return Some((Ok(key), KeySource::Inline));
    }
    if source == "api_key_file" {
        let file = reader.read(section, path, source, "a path", text)?;
        let in_shard = veid.is_none_or(|veid| origin.shard.holds(Veid(veid)));
        return in_shard.then(|| key_file(reader, &at, &file, origin.directories));
    }
    let expected = "the name of an environment variable";
    let name = reader.read(section, path, source, expected, |value| {
        text(value).filter(|name| !name.is_empty() && !name.contains(['=', '\0']))
    })?;
    let value = origin.environment.iter().find(|(known, _)| *known == name);
    let key = key_of_variable(&name, value.map(|(_, value)| value.as_str()));
    let key = key.map_err(|error| reader.at(&at, error.to_string()));
    Some((key, KeySource::Variable(name)))
}

/// Reads the key of a VPS from the vendor's export.
fn key_of_row(reader: &Reader, path: &str, veid: Veid, file: &Export) -> SourcedKey {
    let row = file.rows.iter().find(|row| row.veid == veid);
    let key = match row.map(|row| (row.line, &row.key)) {
        Some((_, Ok(key))) => Ok(key.clone()),
        Some((line, Err(problem))) => {
            let message = format!("API_KEY of VEID {veid} {problem}");
            Err(in_line(&file.path, line, message))
        }
        None => {
            let file = file.path.display();
            let message =
                format!("has no key: add api_key_file, or a row with VEID {veid} to {file}");
            Err(reader.at(path, message))
        }
    };
    (key, KeySource::Row(file.path.clone()))
}

/// Reads a key file.
pub fn key_file(
    reader: &mut Reader,
    at: &str,
    path: &str,
    directories: &Directories,
) -> SourcedKey {
    let path = directories.secret(path);
    let key = read_key_file(&path);
    if key.is_ok() && world_readable(&path) {
        let message = "the key file is world-readable: chmod 600";
        reader.warn(at, message);
    }
    let key = key.map_err(|error| reader.at(at, error.to_string()));
    (key, KeySource::File(path))
}
