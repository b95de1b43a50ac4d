//! The secret.

use std::fmt;

use zeroize::Zeroizing;

use super::redact::redact;

/// The API key of one VPS. It can do everything to that VPS, so it has one way out: the request body.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(Zeroizing<String>);

impl ApiKey {
    /// A key without the white space around it, and the byte order mark that some editors write; `None` when nothing is
    /// left, or more than one word.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Option<Self> {
        let key = Zeroizing::new(key.into());
        let word = key.trim_start_matches('\u{feff}').trim();
        let one = !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c.is_control());
        one.then(|| Self(Zeroizing::new(word.to_owned())))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// Text that came from outside, without the key in it, however it is encoded. Long text is cut.
    pub(crate) fn redact(&self, text: &str) -> String {
        redact(text, self.expose())
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_word() {
        for text in [" private_x\n", "\u{feff}private_x\r\n"] {
            let key = ApiKey::new(text).expect("it is a key");
            assert_eq!(key.expose(), "private_x");
        }
        for text in [
            "",
            " \n",
            "\u{feff}",
            "private_x\nprivate_y",
            "key private_x",
            "private\0x",
        ] {
            assert_eq!(ApiKey::new(text), None);
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        let key = ApiKey::new("private_x").expect("it is a key");
        assert_eq!(
            format!("{key:?} {:?}", Some(&key)),
            "ApiKey(redacted) Some(ApiKey(redacted))"
        );
        assert_eq!(key.redact("no private_x here"), "no [redacted] here");
    }
}
