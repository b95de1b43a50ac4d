//! JSON as PHP's encoder writes it: on one line, in the order given, `/` as `\/`, everything beyond ASCII escaped.

use std::fmt::{Display, Write as _};

/// An object under construction.
#[derive(Clone, Debug, Default)]
pub struct Object(String);

impl Object {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member whose value is already JSON, for example a number or a flag.
    #[must_use]
    pub fn raw(mut self, name: &str, json: impl Display) -> Self {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        // Writing to a String does not fail.
        let _ = write!(self.0, "{}:{json}", text(name));
        self
    }

    /// Adds a member that is a string.
    #[must_use]
    pub fn text(self, name: &str, value: &str) -> Self {
        self.raw(name, text(value))
    }

    /// Appends the members of another object.
    #[must_use]
    pub fn then(mut self, other: &Self) -> Self {
        if !self.0.is_empty() && !other.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(&other.0);
        self
    }

    /// The object as JSON. PHP writes an empty one as an empty list.
    pub fn end(self) -> String {
        if self.0.is_empty() {
            "[]".to_owned()
        } else {
            format!("{{{}}}", self.0)
        }
    }
}

/// A list of values that are already JSON.
pub fn list(values: impl IntoIterator<Item = String>) -> String {
    let values: Vec<_> = values.into_iter().collect();
    format!("[{}]", values.join(","))
}

/// A string with its quotes.
pub fn text(value: &str) -> String {
    let mut json = String::with_capacity(value.len() + 2);
    json.push('"');
    for unit in value.encode_utf16() {
        match char::from_u32(unit.into()) {
            Some('"') => json.push_str("\\\""),
            Some('\\') => json.push_str("\\\\"),
            Some('/') => json.push_str("\\/"),
            Some('\n') => json.push_str("\\n"),
            Some(c @ ' '..='~') => json.push(c),
            _ => {
                let _ = write!(json, "\\u{unit:04x}");
            }
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_as_php_does() {
        assert_eq!(
            text("a/\"\\\né🥝"),
            "\"a\\/\\\"\\\\\\n\\u00e9\\ud83e\\udd5d\""
        );
        assert_eq!(Object::new().end(), "[]");
        let object = Object::new().raw("b", 1).text("a", "x");
        assert_eq!(
            object.then(&Object::new().raw("c", true)).end(),
            r#"{"b":1,"a":"x","c":true}"#
        );
    }
}
