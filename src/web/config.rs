//! The web configuration: TLS, basic auth, headers and a rate limit, in the format of the Prometheus exporter toolkit.
//!
//! <https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md>

mod headers;
mod inputs;
mod names;
mod rate;
mod tls;
mod users;

pub use inputs::FileVersions;
pub use rate::RateLimit;
pub use tls::Tls;
pub use users::{Hash, Users};

use std::path::Path;

use figment::value::{Dict, Value};
use hyper::header::{HeaderName, HeaderValue};

use crate::config::{ConfigErrors, Reader, Warning, read_file, text};
use inputs::Inputs;

/// A web configuration. An empty file enables nothing.
#[derive(Debug)]
pub struct WebConfig {
    /// `None` means plain HTTP.
    pub tls: Option<Tls>,
    /// Without users there is no basic auth.
    pub users: Users,
    /// Headers added to every response.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Rate limit over all clients.
    pub rate_limit: Option<RateLimit>,
}

/// The outcome of loading a web configuration, with a snapshot of its files.
pub struct Loaded {
    /// The configuration, or all its problems.
    pub config: Result<(WebConfig, Vec<Warning>), ConfigErrors>,
    /// Contents of the files, to detect changes.
    pub snapshot: FileVersions,
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
    reader.redact_unknown_keys();
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

/// Reads text that is not empty. Like the toolkit, treats an empty value as missing.
fn non_empty(reader: &mut Reader, section: &Dict, path: &str, key: &str) -> Option<String> {
    reader
        .read(section, path, key, "text", text)
        .filter(|text| !text.is_empty())
}

/// Parses a YAML 1.1 boolean, as the toolkit does.
fn yes_or_no(value: &Value) -> Option<bool> {
    match text(value)?.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => Some(true),
        "false" | "no" | "off" | "n" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
