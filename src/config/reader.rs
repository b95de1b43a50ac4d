//! Reads the merged values key by key and records all problems instead of stopping at the first.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Num, Value};

use super::locate::{KeyLines, join};
use super::problem::Problem;
use super::units;

/// Reads keys and records problems with their location.
#[derive(Debug, Default)]
pub struct Reader {
    file: Option<PathBuf>,
    lines: KeyLines,
    /// Variables by the key that they set.
    variables: HashMap<String, String>,
    hides_unknown_keys: bool,
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
}

impl Reader {
    /// Builds a reader for values of a file.
    pub fn new(file: Option<PathBuf>, lines: KeyLines) -> Self {
        Self {
            file,
            lines,
            ..Self::default()
        }
    }

    /// Hides unknown keys unless they resemble a known one: in a file with passwords, they may be a password.
    pub fn redact_unknown_keys(&mut self) {
        self.hides_unknown_keys = true;
    }

    /// Returns true if a variable sets this key.
    pub fn is_set_by_variable(&self, key: &str) -> bool {
        self.variables.contains_key(key)
    }

    /// Attributes further problems of a key to the variable that sets it.
    pub fn set_by(&mut self, key: String, variable: String) {
        self.variables.insert(key, variable);
    }

    /// Records a problem of a key.
    pub fn problem(&mut self, key: &str, message: impl Into<String>) {
        let problem = self.at(key, message);
        self.problems.push(problem);
    }

    /// Records a warning about a key.
    pub fn warn(&mut self, key: &str, message: impl Into<String>) {
        let warning = self.at(key, message);
        self.warnings.push(warning);
    }

    /// Records a warning about a key, unless another key has the same one.
    pub fn warn_once(&mut self, key: &str, message: &str) {
        if self.warnings.iter().all(|of| of.message != message) {
            self.warn(key, message);
        }
    }

    /// Records a warning about a line of another file.
    pub fn warn_in(&mut self, file: &Path, line: u64, message: impl Into<String>) {
        self.warnings.push(in_line(file, line, message));
    }

    /// Builds the problem of a key with its location.
    pub fn at(&self, key: &str, message: impl Into<String>) -> Problem {
        let message = message.into();
        // A variable may contain a list, so problems of its items are attributed to it too.
        let (top, below) = key.split_at(key.find('[').unwrap_or(key.len()));
        match self.variables.get(top) {
            Some(variable) => Problem {
                file: None,
                line: None,
                key: format!("{variable}{below}"),
                message,
            },
            None => Problem {
                file: self.file.clone(),
                line: self.lines.find(key),
                key: key.to_owned(),
                message,
            },
        }
    }

    /// Reads a section and checks that all keys are known. A missing section is empty.
    pub fn section(&mut self, value: Option<&Value>, path: &str, known: &[&str]) -> Dict {
        let dict = match value {
            None | Some(Value::Empty(..)) => return Dict::new(),
            Some(Value::Dict(_, dict)) => dict.clone(),
            Some(_) => {
                self.problem(
                    path,
                    format!("must be a section with keys ({})", known.join(", ")),
                );
                return Dict::new();
            }
        };
        for key in dict.keys().filter(|key| !known.contains(&key.as_str())) {
            let near = nearest(key, known);
            let hint = near.map_or_else(
                || format!("known here: {}", known.join(", ")),
                |near| format!("did you mean {near}?"),
            );
            let mut problem = self.at(&join(path, key), format!("unknown key; {hint}"));
            // The name may be an API key, as in a line without its colon, and must not be shown then.
            if !is_safe_to_show(key) || (self.hides_unknown_keys && near.is_none()) {
                problem.key = join(path, "(not shown)");
            }
            self.problems.push(problem);
        }
        dict
    }

    /// Parses the value of a key. Returns `None` if it is missing, null or invalid.
    pub fn read<T>(
        &mut self,
        section: &Dict,
        path: &str,
        key: &str,
        expected: &str,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = section
            .get(key)
            .filter(|value| !matches!(value, Value::Empty(..)))?;
        let parsed = parse(value);
        if parsed.is_none() {
            self.problem(&join(path, key), format!("must be {expected}"));
        }
        parsed
    }
}

/// Builds a problem of a line in a file without keys.
pub fn in_line(file: &Path, line: u64, message: impl Into<String>) -> Problem {
    Problem {
        file: Some(file.to_owned()),
        line: usize::try_from(line).ok(),
        key: String::new(),
        message: message.into(),
    }
}

/// Longest name to show. Keys of the API, hashes and most tokens are longer.
const MAX_SHOWN: usize = 32;
/// The same for names that consist of words, such as `bandwidth_exhaustion_seconds_critical`.
const MAX_SHOWN_WORDS: usize = 40;

/// Returns true if a name is safe to show: short, and without `private`, the prefix of API keys.
pub fn is_safe_to_show(name: &str) -> bool {
    let is_words = name.contains('_') && name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_');
    let limit = if is_words { MAX_SHOWN_WORDS } else { MAX_SHOWN };
    name.len() <= limit && !name.to_ascii_lowercase().contains("private")
}

/// Returns the known key with the smallest edit distance, if that is at most a third of its length.
pub fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |other: &str| {
        let mut row: Vec<usize> = (0..=other.chars().count()).collect();
        for (i, a) in key.chars().enumerate() {
            let mut diagonal = row[0];
            row[0] = i + 1;
            for (j, b) in other.chars().enumerate() {
                let substituted = diagonal + usize::from(a != b);
                diagonal = row[j + 1];
                row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
            }
        }
        row.last().copied().unwrap_or_default()
    };
    known
        .iter()
        .map(|other| (distance(other), *other))
        .min()
        .filter(|(distance, other)| *distance <= (other.len() / 3).max(1))
        .map(|(_, other)| other)
}

/// Reads text. Converts a bare number or flag back to text.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Char(_, c) => Some(c.to_string()),
        Value::Bool(_, flag) => Some(flag.to_string()),
        Value::Num(_, number) => number
            .to_u128()
            .map(|n| n.to_string())
            .or_else(|| number.to_i128().map(|n| n.to_string()))
            .or_else(|| number.to_f64().map(|n| n.to_string())),
        _ => None,
    }
}

/// Reads a non-negative integer, also in quotes.
pub fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Num(_, number) => u64::try_from(number.to_u128()?).ok(),
        Value::String(_, text) => text.trim().parse().ok(),
        Value::Char(_, c) => c.to_digit(10).map(u64::from),
        _ => None,
    }
}

/// Reads a finite number, also in quotes.
#[expect(clippy::cast_precision_loss, reason = "the caller wants a float")]
pub fn real(value: &Value) -> Option<f64> {
    let real = match value {
        Value::Num(_, Num::F64(real)) => *real,
        Value::Num(_, number) => number
            .to_f64()
            .or_else(|| number.to_u128().map(|n| n as f64))
            .or_else(|| number.to_i128().map(|n| n as f64))?,
        Value::String(_, text) => text.trim().parse().ok()?,
        _ => whole(value)? as f64,
    };
    real.is_finite().then_some(real)
}

/// Reads `true` or `false`.
pub fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(_, flag) => Some(*flag),
        Value::String(_, text) => text.to_ascii_lowercase().parse().ok(),
        _ => None,
    }
}

/// Reads a duration such as `90s`.
pub fn duration(value: &Value) -> Option<std::time::Duration> {
    units::parse_duration(&text(value)?)
}

/// Reads a size such as `100MiB`.
pub fn size(value: &Value) -> Option<u64> {
    units::parse_size(&text(value)?)
}
