//! Classifies errors of the HTTP client and renders them without URLs.

use std::error::Error as _;
use std::io::ErrorKind;

use super::Reason;

/// Returns the reason and the message of a transport error other than a timeout.
pub(super) fn classify(error: &reqwest::Error) -> (Reason, String) {
    let detail = causes(error);
    if error.is_decode() && !has_cause::<hyper::Error>(error) {
        return (
            Reason::NotJson,
            format!("failed to decode the body: {detail}"),
        );
    }
    if has_cause::<rustls::Error>(error) {
        return (Reason::Tls, detail);
    }
    (Reason::Connect, detail)
}

/// Returns true if the server closed the connection before a response.
pub(super) fn is_closed(error: &reqwest::Error) -> bool {
    let closed = |cause: &(dyn std::error::Error + 'static)| {
        let hyper = cause.downcast_ref::<hyper::Error>();
        let io = cause.downcast_ref::<std::io::Error>();
        hyper.is_some_and(|error| error.is_incomplete_message() || error.is_closed())
            || io.is_some_and(|error| CLOSED.contains(&error.kind()))
    };
    !error.is_connect() && !error.is_timeout() && chain(error).any(closed)
}

const CLOSED: [ErrorKind; 5] = [
    ErrorKind::ConnectionReset,
    ErrorKind::ConnectionAborted,
    ErrorKind::BrokenPipe,
    ErrorKind::NotConnected,
    // TLS closed without `close_notify`.
    ErrorKind::UnexpectedEof,
];

/// The causes of an error. `source` of an I/O error skips the error that it wraps, so rustls errors must be unwrapped.
pub(super) fn chain(
    error: &reqwest::Error,
) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let cause = next?;
        let wrapped = cause
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        };
        Some(cause)
    })
}

fn has_cause<E: std::error::Error + 'static>(error: &reqwest::Error) -> bool {
    chain(error).any(<dyn std::error::Error>::is::<E>)
}

/// The messages of the causes. The message of reqwest itself only reports that sending failed.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let mut words: Vec<String> = chain(error).map(ToString::to_string).collect();
    words.dedup();
    if words.is_empty() {
        return error.to_string();
    }
    words.join(": ")
}
