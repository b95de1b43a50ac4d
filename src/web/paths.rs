//! The prefix of all routes, and the external URL that a reverse proxy may map to it.

use std::fmt;

use reqwest::Url;
use thiserror::Error;

/// The required form of a path or URL.
#[derive(Debug, Error)]
pub enum PathError {
    /// Of a prefix.
    #[error("must be a path such as /kiwivm")]
    Prefix,
    /// Of an external URL.
    #[error("must be like https://example.com/kiwivm/, or only a path")]
    ExternalUrl,
}

/// The path prefix of all routes: empty, or with a leading and without a trailing slash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// Parses a prefix with or without surrounding slashes, like Prometheus.
    ///
    /// # Errors
    ///
    /// If the text is not a plain path.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let segments = text.trim_matches('/');
        if segments.is_empty() {
            return Ok(Self::default());
        }
        // Clients resolve dots, and some merge slashes, before they send the request.
        let is_segment = |segment: &str| !matches!(segment, "" | "." | "..");
        let is_plain = |c: u8| c.is_ascii_graphic() && !b"?#\"'<>\\".contains(&c);
        if segments.bytes().all(is_plain) && segments.split('/').all(is_segment) {
            Ok(Self(format!("/{segments}")))
        } else {
            Err(PathError::Prefix)
        }
    }

    /// Returns the path below this prefix, or `None` if the path is not below it.
    pub(super) fn strip<'a>(&self, path: &'a str) -> Option<&'a str> {
        match path.strip_prefix(&self.0)? {
            "" => Some("/"),
            route => route.starts_with('/').then_some(route),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The URL under which people reach the exporter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalUrl {
    /// Scheme and host as browsers write them in `Origin`; `None` if only a path was given.
    pub(super) origin: Option<String>,
    /// Path of the URL.
    pub path: Prefix,
}

impl ExternalUrl {
    /// Parses a URL, or only its path.
    ///
    /// # Errors
    ///
    /// If the text is neither an http or https URL without credentials and query, nor a plain path.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.starts_with('/') {
            let path = Prefix::parse(text)?;
            return Ok(Self { origin: None, path });
        }
        let url = Url::parse(text).ok().filter(|url| {
            let rest = [url.query(), url.fragment(), url.password()];
            matches!(url.scheme(), "http" | "https")
                && url.username().is_empty()
                && rest == [None; 3]
        });
        let url = url.ok_or(PathError::ExternalUrl)?;
        Ok(Self {
            origin: Some(url.origin().ascii_serialization()),
            path: Prefix::parse(url.path())?,
        })
    }
}
