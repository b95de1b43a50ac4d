//! Loads the configuration from defaults, the file and the environment. Later sources override earlier ones.

use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Error, Figment, Metadata, Profile, Provider};

use super::file::read_text;
use super::locate::KeyLines;
use super::problem::{ConfigErrors, Problem, Warning};
use super::reader::Reader;
use super::yaml::{self, Yaml};
use super::{Config, Shard, validate};

/// Prefix of variables that override keys of the file. `__` separates levels.
const PREFIX: &str = "KIWIVM_EXPORTER_";
/// The variable with the list of VPSes as YAML or JSON.
const FLEET_VARIABLE: &str = "KIWIVM_EXPORTER_VPS";

/// The sources of a configuration.
#[derive(Clone, Debug)]
pub struct ConfigSource {
    /// The configuration file.
    pub file: PathBuf,
    /// True if the user named the file. Otherwise it may be missing if the environment configures a VPS.
    pub file_is_explicit: bool,
    /// The environment.
    pub environment: Vec<(String, String)>,
    /// The shard to poll. Keys of VPSes of other shards are not read.
    pub shard: Shard,
}

/// Reads and validates a configuration.
///
/// # Errors
///
/// All problems of the configuration.
pub fn load(source: &ConfigSource) -> Result<(Config, Vec<Warning>), ConfigErrors> {
    let variable = |name: &str| {
        source
            .environment
            .iter()
            .find(|(variable, value)| variable == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    };
    let single = validate::SingleVps {
        veid: variable("KIWIVM_VEID"),
        key: variable("KIWIVM_API_KEY"),
        key_file: variable("KIWIVM_API_KEY_FILE"),
    };
    // Each of these variables configures several VPSes without a file.
    let fleet = [FLEET_VARIABLE, "KIWIVM_EXPORTER_VPS_FILE"];
    let has_fleet = fleet.iter().any(|name| variable(name).is_some());
    let (yaml, mut reader) = match read_text(&source.file) {
        Ok(text) => parse(&source.file, &text)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !source.file_is_explicit => {
            if single.is_empty() && !has_fleet {
                return Err(ConfigErrors(vec![file_problem(
                    &source.file,
                    "file not found; pass --config.file, or set KIWIVM_VEID and KIWIVM_API_KEY for a single VPS or KIWIVM_EXPORTER_VPS for a list, or try --demo",
                )]));
            }
            (Yaml(Dict::new()), Reader::default())
        }
        Err(error) => {
            let message = format!("cannot be read: {error}");
            return Err(ConfigErrors(vec![file_problem(&source.file, &message)]));
        }
    };

    let figment = Figment::new()
        .merge(yaml)
        .merge(Variables(from_variables(&source.environment, &mut reader)));
    // Extraction cannot fail in practice: the providers above hold parsed values.
    let merged: Dict = figment.extract().map_err(|_| {
        ConfigErrors(vec![file_problem(
            &source.file,
            "cannot be merged with the environment",
        )])
    })?;

    let directories = validate::Directories {
        config: source
            .file
            .parent()
            .map(Path::to_path_buf)
            .unwrap_or_default(),
        credentials: variable("CREDENTIALS_DIRECTORY").map(PathBuf::from),
        state: variable("STATE_DIRECTORY").map(PathBuf::from),
    };
    let origin = validate::Origin {
        single: &single,
        directories: &directories,
        file: &source.file,
        environment: &source.environment,
        vps_file: None,
        shard: source.shard,
    };
    let config = validate::config(&mut reader, &merged, &origin);
    match config {
        Some(config) if reader.problems.is_empty() => Ok((config, reader.warnings)),
        _ => Err(ConfigErrors(reader.problems)),
    }
}

/// Parses a YAML file. Also returns a reader with its line numbers.
fn parse(file: &Path, text: &str) -> Result<(Yaml, Reader), ConfigErrors> {
    // Some editors write a byte order mark, which would become part of the first key.
    let text = text.trim_start_matches('\u{feff}');
    let yaml = Yaml::parse(text).map_err(|error| {
        let mut problem = file_problem(
            file,
            "is not YAML with keys and values; check the indentation, the quotes and for duplicate keys",
        );
        problem.line = error.line;
        ConfigErrors(vec![problem])
    })?;
    Ok((yaml, Reader::new(Some(file.to_owned()), KeyLines::of(text))))
}

/// Parses the content of a YAML file that the caller has read.
///
/// # Errors
///
/// If the file could not be read or is not YAML.
pub(crate) fn read_file(
    file: &Path,
    content: std::io::Result<Vec<u8>>,
) -> Result<(Dict, Reader), ConfigErrors> {
    let text = content
        .map_err(|error| format!("cannot be read: {error}"))
        .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned()))
        .map_err(|message| ConfigErrors(vec![file_problem(file, &message)]))?;
    let (Yaml(keys), reader) = parse(file, &text)?;
    Ok((keys, reader))
}

fn file_problem(file: &Path, message: &str) -> Problem {
    Problem {
        file: Some(file.to_owned()),
        line: None,
        key: String::new(),
        message: message.to_owned(),
    }
}

/// The keys set by environment variables.
struct Variables(Dict);

impl Provider for Variables {
    fn metadata(&self) -> Metadata {
        Metadata::named("environment variables")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.0.clone()))
    }
}

/// Converts variables to nested keys. Unknown ones only cause a warning: they may belong to another program.
fn from_variables(environment: &[(String, String)], reader: &mut Reader) -> Dict {
    let mut nested = Dict::new();
    for (name, value) in environment {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        // An empty variable counts as unset, because compose files pass unset ones as empty.
        if value.is_empty() || injected_by_kubernetes(rest) {
            continue;
        }
        if name == FLEET_VARIABLE {
            reader.set_by("vps".to_owned(), name.clone());
            match yaml::value(value) {
                Ok(list @ Value::Array(..)) => insert(&mut nested, &["vps".to_owned()], list),
                _ => reader.problem(
                    "vps",
                    "must be a YAML or JSON list of VPSes, such as [{veid: 1, api_key: private_x}]",
                ),
            }
            continue;
        }
        let path: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
        let known = match path.as_slice() {
            [key] => validate::TOP_LEVEL_KEYS.contains(&key.as_str()),
            [section, key] => validate::SECTIONS
                .iter()
                .any(|(name, keys)| name == section && keys.contains(&key.as_str())),
            _ => false,
        };
        if !known {
            reader.warnings.push(Problem {
                file: None,
                line: None,
                key: name.chars().take(64).collect(),
                message: "unknown variable, ignored; see config.example.yaml for the keys"
                    .to_owned(),
            });
            continue;
        }
        // figment recognises numbers, flags and lists. Anything else is text.
        let value = value
            .parse::<Value>()
            .unwrap_or_else(|_| Value::from(value.as_str()));
        insert(&mut nested, &path, value);
        reader.set_by(path.join("."), name.clone());
    }
    nested
}

fn insert(dict: &mut Dict, path: &[String], value: Value) {
    match path {
        [] => {}
        [key] => {
            dict.insert(key.clone(), value);
        }
        [section, rest @ ..] => {
            let entry = dict
                .entry(section.clone())
                .or_insert_with(|| Value::from(Dict::new()));
            if let Value::Dict(_, below) = entry {
                insert(below, rest, value);
            }
        }
    }
}

/// Returns true for variables that Kubernetes injects for a Service named like this program: `KIWIVM_EXPORTER_PORT`,
/// `..._SERVICE_HOST` and the like.
fn injected_by_kubernetes(rest: &str) -> bool {
    rest == "PORT"
        || rest.starts_with("PORT_")
        || rest == "SERVICE_HOST"
        || rest == "SERVICE_PORT"
        || rest.starts_with("SERVICE_PORT_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_variables_of_kubernetes() {
        for name in [
            "SERVICE_HOST",
            "SERVICE_PORT_METRICS",
            "PORT",
            "PORT_10064_TCP_ADDR",
        ] {
            assert!(injected_by_kubernetes(name), "{name}");
        }
        assert!(!injected_by_kubernetes("BUDGET__SHARE"));
    }
}
