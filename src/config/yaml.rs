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
        match Value::serialize(with_text_keys(value)) {
            Ok(Value::Empty(..)) => Ok(Self(Dict::new())),
            Ok(Value::Dict(_, dict)) => Ok(Self(dict)),
            _ => Err(YamlError { line: Some(1) }),
        }
    }
}

/// Keys are text here: a bare number is taken as it was written.
fn with_text_keys(value: yaml_serde::Value) -> yaml_serde::Value {
    use yaml_serde::Value;
    match value {
        Value::Mapping(mapping) => {
            let entry = |(key, value)| {
                let key = match key {
                    Value::Number(number) => Value::String(number.to_string()),
                    Value::Bool(flag) => Value::String(flag.to_string()),
                    other => other,
                };
                (key, with_text_keys(value))
            };
            Value::Mapping(mapping.into_iter().map(entry).collect())
        }
        Value::Sequence(items) => Value::Sequence(items.into_iter().map(with_text_keys).collect()),
        other => other,
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
