//! Where the routes are: below a prefix, which a reverse proxy may show under another one.

use std::fmt;

use reqwest::Url;

/// The part of a path above the routes: empty, or with a slash at its beginning and none at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// Reads a prefix with or without slashes around it, as Prometheus does.
    ///
    /// # Errors
    ///
    /// The form that it needs.
    pub fn parse(text: &str) -> Result<Self, String> {
        let segments = text.trim_matches('/');
        if segments.is_empty() {
            return Ok(Self::default());
        }
        // Clients resolve dots, and some join slashes, before they ask.
        let is_segment = |segment: &str| !matches!(segment, "" | "." | "..");
        let is_plain = |c: u8| c.is_ascii_graphic() && !b"?#\"'<>\\".contains(&c);
        if segments.bytes().all(is_plain) && segments.split('/').all(is_segment) {
            Ok(Self(format!("/{segments}")))
        } else {
            Err("must be a path such as /kiwivm".to_owned())
        }
    }

    /// The path of a route, given the whole path; `None` if it is not below this prefix.
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
    /// Its path.
    pub path: Prefix,
}

impl ExternalUrl {
    /// Reads a URL, or only its path.
    ///
    /// # Errors
    ///
    /// The form that it needs.
    pub fn parse(text: &str) -> Result<Self, String> {
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
        let url = url.ok_or("must be like https://example.com/kiwivm/, or only a path")?;
        Ok(Self {
            origin: Some(url.origin().ascii_serialization()),
            path: Prefix::parse(url.path())?,
        })
    }
}
