//! Requests that are refused before anything looks at them closely.

use std::net::Ipv6Addr;

use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use hyper::http::uri::Authority;
use hyper::{Uri, Version};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Checks `Host` by RFC 9112, section 3.2: there is one, and it names a host. HTTP/1.0 may leave it out.
pub fn has_valid_host(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).into_iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => version < Version::HTTP_11,
        (Some(host), None) => host.is_empty() || is_authority(host),
        _ => false,
    }
}

/// A host and maybe a port, without a user.
fn is_authority(host: &HeaderValue) -> bool {
    let Ok(authority) = Authority::try_from(host.as_bytes()) else {
        return false;
    };
    let host = authority.host();
    let is_host = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(address) => {
            // A link-local address may name the interface after it.
            let address = address
                .split_once('%')
                .map_or(address, |(address, _)| address);
            address.parse::<Ipv6Addr>().is_ok()
        }
        None => !host.is_empty(),
    };
    let is_port = match authority.as_str().strip_prefix(host) {
        // An empty port is legal, and means the default.
        Some("" | ":") => true,
        Some(port) => port
            .strip_prefix(':')
            .is_some_and(|port| !port.starts_with('+') && port.parse::<u16>().is_ok()),
        // A user stands before the host.
        None => false,
    };
    is_host && is_port
}

/// Tells a request that a browser makes for a page of another site. Judges as Go's `http.CrossOriginProtection` does:
/// by `Sec-Fetch-Site`, in older browsers by `Origin`; other programs send neither. A proxy may have changed `Host`, so the
/// origin under which people reach the exporter is one of its own too.
pub fn is_cross_origin(headers: &HeaderMap, external: Option<&str>) -> bool {
    match headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes) {
        Some(b"same-origin" | b"none") => false,
        None | Some(b"") => headers.get(ORIGIN).is_some_and(|origin| {
            !origin.is_empty()
                && external.is_none_or(|external| origin != external)
                && !is_of_host(origin, headers.get(HOST))
        }),
        Some(_) => true,
    }
}

fn is_of_host(origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let origin = Uri::try_from(origin.as_bytes()).unwrap_or_default();
    // `null`, the origin of a page that hides its own, has no scheme.
    let named = origin.authority().filter(|_| origin.scheme().is_some());
    named.map(|named| named.as_str().as_bytes()) == host.map(HeaderValue::as_bytes)
        && named.is_some()
}
