//! A figment provider over YAML text. figment's own depends on a reader that is no longer kept.

use figment::value::{Dict, Map, Value};
use figment::{Error, Metadata, Profile, Provider};

/// YAML that was read.
pub struct Yaml(pub Dict);

/// Why YAML could not be read; the text itself is never part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct YamlError {
    /// Where the reader gave up.
    pub line: Option<usize>,
}

impl Yaml {
    /// Reads one document; an empty one has no keys.
    pub fn parse(text: &str) -> Result<Self, YamlError> {
        // Its own value type refuses a key that is there twice; figment's would take the last.
        let value: yaml_serde::Value = yaml_serde::from_str(text).map_err(|error| YamlError {
            line: error.location().map(|location| location.line()),
        })?;
        match Value::serialize(value) {
            Ok(Value::Empty(..)) => Ok(Self(Dict::new())),
            Ok(Value::Dict(_, dict)) => Ok(Self(dict)),
            _ => Err(YamlError { line: Some(1) }),
        }
    }
}

impl Provider for Yaml {
    fn metadata(&self) -> Metadata {
        Metadata::named("YAML file")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.0.clone()))
    }
}
