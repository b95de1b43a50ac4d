//! Failures of the HTTP client: classified, and rendered without URLs.

use std::error::Error as _;
use std::io::ErrorKind;
use std::time::Duration;

use super::phase::Phase;
use super::{ApiKey, Call, CallError, Reason, Veid};

/// A transport failure, before it is attached to a call.
pub(super) struct TransportFailure {
    reason: Reason,
    pub(super) detail: String,
    timed_out_phase: Option<Phase>,
}

impl TransportFailure {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            timed_out_phase: None,
        }
    }

    pub(super) fn of(error: &reqwest::Error) -> Self {
        let (reason, detail) = classify(error);
        Self::new(reason, detail)
    }

    pub(super) fn timeout(phase: Phase, limit: Duration) -> Self {
        Self {
            timed_out_phase: Some(phase),
            ..Self::new(Reason::Timeout, phase.timeout_message(limit))
        }
    }

    /// Redacts the key: error texts of the HTTP client may quote the response.
    pub(super) fn into_call_error(self, veid: Veid, call: Call, key: &ApiKey) -> CallError {
        CallError {
            timed_out_phase: self.timed_out_phase,
            ..CallError::new(veid, call, self.reason, key.redact(&self.detail))
        }
    }
}

/// Returns the reason and the message of a transport error other than a timeout.
fn classify(error: &reqwest::Error) -> (Reason, String) {
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
