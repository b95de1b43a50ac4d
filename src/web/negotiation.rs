//! Negotiates the form of a scrape's response from the request headers.

use std::sync::{Mutex, PoisonError};

use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue, VARY,
};

use super::response::common_headers;
use crate::exposition::format::{Format, accepts_gzip, negotiate};

/// The form of a response.
#[derive(Clone, Debug)]
pub struct Form {
    /// Format of the samples.
    pub format: Format,
    /// True if the body is compressed.
    pub gzip: bool,
    /// Response headers that describe the form.
    pub headers: HeaderMap,
}

/// The values of `Accept` and `Accept-Encoding`, if present.
type Accepted<T> = [Option<T>; 2];

/// Caches the last negotiation: a scraper sends the same headers each time, and parsing them costs as much as the rest
/// of a response.
#[derive(Debug, Default)]
pub struct Negotiation(Mutex<Option<(Accepted<HeaderValue>, Form)>>);

impl Negotiation {
    /// Returns the form of the response to a request with these headers.
    pub fn form(&self, request: &HeaderMap) -> Form {
        let Some(accepted) = accepted(request) else {
            return form(request);
        };
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, form)) = &*last
            && accepted == known.each_ref().map(Option::as_ref)
        {
            return form.clone();
        }
        let form = form(request);
        *last = Some((accepted.map(Option::<&_>::cloned), form.clone()));
        form
    }
}

/// Returns `None` if one of the headers is repeated: several headers form one list.
fn accepted(headers: &HeaderMap) -> Option<Accepted<&HeaderValue>> {
    let once = |name: HeaderName| {
        let mut values = headers.get_all(name).into_iter();
        let value = values.next();
        values.next().is_none().then_some(value)
    };
    Some([once(ACCEPT)?, once(ACCEPT_ENCODING)?])
}

fn form(request: &HeaderMap) -> Form {
    let format = negotiate(header(request, ACCEPT));
    let gzip = accepts_gzip(header(request, ACCEPT_ENCODING));
    let mut headers = common_headers(format.content_type());
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Form {
        format,
        gzip,
        headers,
    }
}

/// Returns the values of a header. Several headers of one name form one list.
pub fn header(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    values.filter_map(|value| value.to_str().ok())
}
