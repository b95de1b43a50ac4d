//! What a scrape asks for by its headers, and those of its answer.

use std::sync::{Mutex, PoisonError};

use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue, VARY,
};

use super::routes::common_headers;
use crate::exposition::format::{Format, accepts_gzip, negotiate};

/// The form of an answer.
#[derive(Clone, Debug)]
pub struct Form {
    /// How samples are written.
    pub format: Format,
    /// Whether the body is compressed.
    pub gzip: bool,
    /// The headers that say so.
    pub headers: HeaderMap,
}

/// The two headers that decide, where they are there.
type Question<T> = [Option<T>; 2];

/// Remembers the last question: a scraper asks the same each time, and reading it costs as much as the rest of an answer.
#[derive(Debug, Default)]
pub struct Negotiation(Mutex<Option<(Question<HeaderValue>, Form)>>);

impl Negotiation {
    /// What a request with these headers gets.
    pub fn form(&self, asked: &HeaderMap) -> Form {
        let Some(question) = question(asked) else {
            return form(asked);
        };
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, form)) = &*last
            && question == known.each_ref().map(Option::as_ref)
        {
            return form.clone();
        }
        let form = form(asked);
        *last = Some((question.map(Option::<&_>::cloned), form.clone()));
        form
    }
}

/// Nothing if one of them is there twice: it is a list then.
fn question(headers: &HeaderMap) -> Option<Question<&HeaderValue>> {
    let once = |name: HeaderName| {
        let mut values = headers.get_all(name).into_iter();
        let value = values.next();
        values.next().is_none().then_some(value)
    };
    Some([once(ACCEPT)?, once(ACCEPT_ENCODING)?])
}

fn form(asked: &HeaderMap) -> Form {
    let format = negotiate(header(asked, ACCEPT));
    let gzip = accepts_gzip(header(asked, ACCEPT_ENCODING));
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

/// The values of a header: several of one name are one list.
pub fn header(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    values.filter_map(|value| value.to_str().ok())
}
