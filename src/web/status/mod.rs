//! The status of all VPSes, for people as a page and for scripts as JSON. Both are made of the same facts.

mod card;
mod concerns;
mod derive;
mod facts;
mod html;
mod words;

pub use facts::*;

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{SHA256, digest};

const STYLE: &str = include_str!("style.css");
const DOCUMENTATION: &str = "https://github.com/kiwivm-exporter/kiwivm_exporter#readme";
const RUNBOOKS: &str =
    "https://github.com/kiwivm-exporter/kiwivm_exporter/blob/main/deploy/prometheus/runbooks.md";

/// What a browser may do with the page: apply its style, which it knows by the hash, and nothing else.
pub static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        BASE64_STANDARD.encode(digest(&SHA256, STYLE.as_bytes()))
    )
});

impl Status {
    /// The page for people. Links to other routes begin with `links`.
    #[must_use]
    pub fn html(&self, links: &str) -> String {
        let status = self;
        html::Page { status, links }.to_string()
    }

    /// The facts for scripts.
    #[must_use]
    pub fn json(&self) -> String {
        // There are no keys in it that are not text, so this does not fail.
        let mut json = serde_json::to_string_pretty(self).unwrap_or_default();
        json.push('\n');
        json
    }
}

#[cfg(test)]
mod tests;
