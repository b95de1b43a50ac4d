//! Checks that reject a request before it is routed.

use std::net::Ipv6Addr;

use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use hyper::http::uri::Authority;
use hyper::{Uri, Version};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Checks `Host` as RFC 9112, section 3.2 requires: exactly one, with a valid host. HTTP/1.0 may omit it.
pub fn has_valid_host(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).into_iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => version < Version::HTTP_11,
        (Some(host), None) => host.is_empty() || is_authority(host),
        _ => false,
    }
}

/// Returns true for a host with an optional port and no user.
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
            // The zone of a link-local address may follow `%`.
            let address = address
                .split_once('%')
                .map_or(address, |(address, _)| address);
            address.parse::<Ipv6Addr>().is_ok()
        }
        None => !host.is_empty(),
    };
    let is_port = match authority.as_str().strip_prefix(host) {
        // An empty port is legal and means the default port.
        Some("" | ":") => true,
        Some(port) => port
            .strip_prefix(':')
            .is_some_and(|port| !port.starts_with('+') && port.parse::<u16>().is_ok()),
        // A user precedes the host.
        None => false,
    };
    is_host && is_port
}

/// Detects requests that a browser sends for a page of another site, like Go's `http.CrossOriginProtection`: by
/// `Sec-Fetch-Site`, or by `Origin` in older browsers. Other programs send neither. A proxy may change `Host`, so the
/// origin of the external URL counts as the same site too.
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
    // `null`, the opaque origin, has no scheme.
    let authority = origin.authority().filter(|_| origin.scheme().is_some());
    authority.map(|authority| authority.as_str().as_bytes()) == host.map(HeaderValue::as_bytes)
        && authority.is_some()
}
