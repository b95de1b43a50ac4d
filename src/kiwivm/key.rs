//! The API key.

use std::fmt;

use zeroize::Zeroizing;

use super::redact::redact;

/// The API key of one VPS. It grants full control of that VPS, so only the request body ever contains it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(Zeroizing<String>);

impl ApiKey {
    /// Builds a key, without surrounding white space and the byte order mark that some editors write. Returns `None` if
    /// the rest is empty or more than one word.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Option<Self> {
        let key = Zeroizing::new(key.into());
        let word = key.trim_start_matches('\u{feff}').trim();
        let is_valid =
            !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c.is_control());
        is_valid.then(|| Self(Zeroizing::new(word.to_owned())))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// Removes the key from untrusted text, in every encoding. Truncates long text.
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
    fn accepts_exactly_one_word() {
        for text in [" private_x\n", "\u{feff}private_x\r\n"] {
            let key = ApiKey::new(text).expect("valid key");
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
    fn hides_the_key() {
        let key = ApiKey::new("private_x").expect("valid key");
        assert_eq!(
            format!("{key:?} {:?}", Some(&key)),
            "ApiKey(redacted) Some(ApiKey(redacted))"
        );
        assert_eq!(key.redact("no private_x here"), "no [redacted] here");
    }
}
