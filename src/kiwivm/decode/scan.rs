//! Splits JSON into its parts without parsing them, so that an invalid value affects no other value: `NaN`, a number
//! that fits no type, half of a surrogate pair, a line break within a string, bytes that are not UTF-8.
//!
//! Each byte is visited once. Nesting is tracked on the heap, not by recursion, so no depth overflows the stack.

/// The error for bytes that are not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    /// Offset of the error in bytes.
    pub(super) at: usize,
    /// True if the input is truncated.
    pub(super) cut_off: bool,
}

/// Passes on the name and the value of each member of an object. Returns false for any other type.
pub(super) fn members<'a>(
    value: &'a [u8],
    take: &mut dyn FnMut(&'a [u8], &'a [u8]),
) -> Result<bool, Malformed> {
    let mut scanner = Scanner::new(value);
    if scanner.peek() != Some(b'{') {
        scanner.value()?;
        scanner.end()?;
        return Ok(false);
    }
    scanner.list(b'}', &mut |scanner| {
        let name = scanner.name()?;
        scanner.expect(b':')?;
        take(name, scanner.value()?);
        Ok(())
    })?;
    scanner.end()?;
    Ok(true)
}

/// Passes on each item of an array.
pub(super) fn items<'a>(array: &'a [u8], take: &mut dyn FnMut(&'a [u8])) -> Result<(), Malformed> {
    let mut scanner = Scanner::new(array);
    scanner.list(b']', &mut |scanner| {
        take(scanner.value()?);
        Ok(())
    })?;
    scanner.end()
}

/// Returns the first byte that is not white space, which determines the type of a value.
pub(super) fn first(value: &[u8]) -> Option<u8> {
    Scanner::new(value).peek()
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Skips white space and returns the next byte.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.bytes[self.at..];
        self.at += rest.len() - rest.trim_ascii_start().len();
        self.bytes.get(self.at).copied()
    }

    fn malformed<T>(&self) -> Result<T, Malformed> {
        Err(Malformed {
            at: self.at,
            cut_off: self.at >= self.bytes.len(),
        })
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.peek() != Some(byte) {
            return self.malformed();
        }
        self.at += 1;
        Ok(())
    }

    fn end(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.malformed(),
        }
    }

    /// Reads comma-separated parts between two brackets.
    fn list(
        &mut self,
        close: u8,
        take: &mut dyn FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.expect(if close == b'}' { b'{' } else { b'[' })?;
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(());
        }
        loop {
            take(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == close => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.malformed(),
            }
        }
    }

    /// Reads a string and returns it without its quotes.
    fn name(&mut self) -> Result<&'a [u8], Malformed> {
        self.expect(b'"')?;
        let begin = self.at;
        self.rest_of_string()?;
        Ok(&self.bytes[begin..self.at - 1])
    }

    /// Moves behind the closing quote of a string.
    fn rest_of_string(&mut self) -> Result<(), Malformed> {
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => {
                    self.at = self.bytes.len();
                    return self.malformed();
                }
            }
        }
    }

    fn value(&mut self) -> Result<&'a [u8], Malformed> {
        let mut open = Vec::new();
        self.peek();
        let begin = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    self.rest_of_string()?;
                }
                Some(byte @ (b'{' | b'[')) => {
                    open.push(byte);
                    self.at += 1;
                }
                Some(byte @ (b'}' | b']')) => {
                    let opened = if byte == b'}' { b'{' } else { b'[' };
                    if open.pop() != Some(opened) {
                        return self.malformed();
                    }
                    self.at += 1;
                }
                // Nested values are parsed only if they are needed, so the order of their tokens is not checked here.
                Some(b',' | b':') if !open.is_empty() => self.at += 1,
                Some(byte) if is_word(byte) => {
                    let rest = &self.bytes[self.at..];
                    self.at += rest
                        .iter()
                        .position(|byte| !is_word(*byte))
                        .unwrap_or(rest.len());
                }
                _ => return self.malformed(),
            }
            if open.is_empty() {
                return Ok(&self.bytes[begin..self.at]);
            }
        }
    }
}

/// Returns true for characters of numbers, `true`, `false` and `null`, and also of `NaN` and `-Infinity`.
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Result<Option<Vec<(String, String)>>, Malformed> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut found = Vec::new();
        let object = members(json.as_bytes(), &mut |name, value| {
            found.push((text(name), text(value)));
        })?;
        Ok(object.then_some(found))
    }

    fn cut_off(json: &str) -> bool {
        read(json).expect_err("not JSON").cut_off
    }

    #[test]
    fn splits_members_with_invalid_values() {
        let json = r#" { "a" : NaN, "b\"}" :-1e999,"c":[{"]":"}\\"},NaN] , "d":"\ud800","":{} } "#;
        let expected = [
            ("a", "NaN"),
            ("b\\\"}", "-1e999"),
            ("c", r#"[{"]":"}\\"},NaN]"#),
            ("d", r#""\ud800""#),
            ("", "{}"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read(json), Ok(Some(expected.to_vec())));
        for other in ["[1,{}]", "\"text\"", "null", "-Infinity", " 7 "] {
            assert_eq!(read(other), Ok(None), "{other}");
        }
    }

    #[test]
    fn distinguishes_truncated_from_invalid_json() {
        for json in [
            "{",
            "{\"a",
            "{\"a\\",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":[1",
            "{\"a\":1,",
            "[1",
            "",
            " ",
        ] {
            assert!(cut_off(json), "{json}");
        }
        for json in [
            "{,}",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\" 1}",
            "{\"a\":[1}}",
            "{\"a\":1]",
            "{}{}",
            "{\"a\":}",
            "{\"a\":<b>}",
            "<html>",
            "]",
            "{\"a\":1;}",
        ] {
            assert!(!cut_off(json), "{json}");
        }
    }

    #[test]
    fn accepts_any_depth() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(1 << 20), "]".repeat(1 << 20));
        assert_eq!(
            read(&deep).map(|found| found.map(|all| all.len())),
            Ok(Some(1))
        );
    }

    proptest! {
        #[test]
        fn finds_the_same_members_as_serde_json(map in prop::collection::btree_map(".{0,9}", ".{0,9}", 0..5)) {
            let json = serde_json::to_string(&map).expect("serialises");
            let mut found = std::collections::BTreeMap::new();
            let object = members(json.as_bytes(), &mut |name, value| {
                let name = [b"\"", name, b"\""].concat();
                let text = |bytes: &[u8]| serde_json::from_slice::<String>(bytes).expect("valid string");
                found.insert(text(&name), text(value));
            });
            prop_assert_eq!(object, Ok(true));
            prop_assert_eq!(found, map);
        }
    }
}
