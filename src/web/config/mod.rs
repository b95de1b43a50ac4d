//! The web configuration: TLS, basic auth, headers and a rate limit, in the format of the Prometheus exporter toolkit.
//!
//! <https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md>

mod headers;
mod inputs;
mod names;
mod rate;
mod tls;
mod users;

pub use inputs::Snapshot;
pub use rate::RateLimit;
pub use tls::Tls;
pub use users::{Hash, Users};

use std::path::Path;

use figment::value::{Dict, Value};
use hyper::header::{HeaderName, HeaderValue};

use crate::config::{ConfigErrors, Reader, Warning, read_file, text};
use inputs::Inputs;

/// What the web configuration asks for. An empty file asks for nothing.
#[derive(Debug)]
pub struct WebConfig {
    /// None is plain HTTP.
    pub tls: Option<Tls>,
    /// None of them is no basic auth.
    pub users: Users,
    /// On every answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Over all clients.
    pub rate_limit: Option<RateLimit>,
}

/// The outcome of reading a web configuration, and what it was read from.
pub struct Loaded {
    /// What it asks for, or everything that is wrong with it.
    pub config: Result<(WebConfig, Vec<Warning>), ConfigErrors>,
    /// To tell whether anything has changed since.
    pub snapshot: Snapshot,
}

/// Reads and validates a web configuration and the files that it names.
pub fn load(file: &Path) -> Loaded {
    let mut inputs = Inputs::default();
    let config = read(file, &mut inputs);
    Loaded {
        config,
        snapshot: inputs.finish(),
    }
}

fn read(file: &Path, inputs: &mut Inputs) -> Result<(WebConfig, Vec<Warning>), ConfigErrors> {
    let (keys, mut reader) = read_file(file, inputs.read(file))?;
    reader.hide_strangers();
    let known = [
        "tls_server_config",
        "http_server_config",
        "basic_auth_users",
        "rate_limit",
    ];
    let top = reader.section(Some(&Value::from(keys)), "", &known);
    let folder = file.parent().unwrap_or(Path::new(""));
    let tls = tls::tls(&mut reader, &top, folder, inputs);
    let headers = headers::http(&mut reader, &top);
    let rate_limit = rate::rate_limit(&mut reader, &top);
    let users = users::users(&mut reader, &top);
    if !reader.problems.is_empty() {
        return Err(ConfigErrors(reader.problems));
    }
    let config = WebConfig {
        tls,
        users,
        headers,
        rate_limit,
    };
    Ok((config, reader.warnings))
}

/// Text that is not empty: the toolkit takes an empty value for none.
fn given(reader: &mut Reader, section: &Dict, path: &str, key: &str) -> Option<String> {
    reader
        .read(section, path, key, "text", text)
        .filter(|text| !text.is_empty())
}

/// As YAML 1.1 writes it, which the toolkit reads.
fn yes_or_no(value: &Value) -> Option<bool> {
    match text(value)?.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => Some(true),
        "false" | "no" | "off" | "n" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
