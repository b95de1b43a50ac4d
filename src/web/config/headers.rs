//! `http_server_config`: the headers that may be added to responses.

use figment::value::{Dict, Value};
use hyper::header::{HeaderName, HeaderValue};

use super::yes_or_no;
use crate::config::{Reader, join, text};

const SECTION: &str = "http_server_config";
const HEADERS: &[&str] = &[
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
    "Content-Security-Policy",
];

/// Reads the headers to set. HTTP/2 is not supported, so either value of `http2` is fine.
pub fn http(reader: &mut Reader, top: &Dict) -> Vec<(HeaderName, HeaderValue)> {
    let section = reader.section(top.get(SECTION), SECTION, &["http2", "headers"]);
    reader.read(&section, SECTION, "http2", "true or false", yes_or_no);
    let path = join(SECTION, "headers");
    let names = reader.section(section.get("headers"), &path, HEADERS);
    let mut headers = Vec::new();
    for key in HEADERS {
        let expected = match *key {
            "X-Content-Type-Options" => "nosniff",
            "X-Frame-Options" => "deny or sameorigin",
            _ => "text of one line",
        };
        let allowed = |value: &Value| {
            let value = text(value)?;
            match *key {
                "X-Content-Type-Options" => value == "nosniff",
                "X-Frame-Options" => value == "deny" || value == "sameorigin",
                _ => true,
            }
            .then_some(())?;
            HeaderValue::from_str(&value).ok()
        };
        let value = reader.read(&names, &path, key, expected, allowed);
        let name = HeaderName::from_bytes(key.as_bytes()).ok();
        // Empty headers are not sent.
        headers.extend(name.zip(value).filter(|(_, value)| !value.is_empty()));
    }
    headers
}
