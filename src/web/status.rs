//! The status of all VPSes, as a page for people and as JSON for scripts, from the same facts.

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

const STYLE: &str = include_str!("status/style.css");
const DOCUMENTATION: &str = "https://github.com/kiwivm-exporter/kiwivm_exporter#readme";
const RUNBOOKS: &str =
    "https://github.com/kiwivm-exporter/kiwivm_exporter/blob/main/deploy/prometheus/runbooks.md";

/// Content security policy of the page. It allows only the page's own style, identified by its hash.
pub static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        BASE64_STANDARD.encode(digest(&SHA256, STYLE.as_bytes()))
    )
});

impl Status {
    /// Renders the page. Links to other routes start with `links`.
    #[must_use]
    pub fn html(&self, links: &str) -> String {
        let status = self;
        html::StatusPage { status, links }.to_string()
    }

    /// Serializes the facts as JSON.
    #[must_use]
    pub fn json(&self) -> String {
        // Serialization cannot fail: all map keys are strings.
        let mut json = serde_json::to_string_pretty(self).unwrap_or_default();
        json.push('\n');
        json
    }
}

#[cfg(test)]
mod tests;
