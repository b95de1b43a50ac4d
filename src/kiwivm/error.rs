//! Errors of calls.

use std::fmt;
use std::time::Duration;

use super::model::Lock;
use super::{Call, DecodeError, Phase, Veid};

/// The cause of a failed call, as in the `reason` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No response in time.
    Timeout,
    /// No connection, or it ended before the response was complete.
    Connect,
    /// A failed TLS handshake.
    Tls,
    /// An HTTP status other than 200: the request did not reach the application.
    HttpStatus,
    /// A response larger than any valid one.
    BodyTooLarge,
    /// Not JSON: a proxy's page, an empty body or a truncated response.
    NotJson,
    /// JSON, but not an object with the fields of the call.
    BadShape,
    /// 700005: the key or the VEID is wrong. The API returns the same error for both.
    Auth,
    /// 788888: a task holds the VPS.
    Locked,
    /// 700001: a required parameter is missing.
    MissingParam,
    /// Status or code 429, a `Retry-After` header, or a message about too many calls.
    RateLimited,
    /// Any other error of the API.
    ApiOther,
}

impl Reason {
    /// Every reason; `ALL[reason.index()] == reason`.
    pub const ALL: [Self; 12] = [
        Self::Timeout,
        Self::Connect,
        Self::Tls,
        Self::HttpStatus,
        Self::BodyTooLarge,
        Self::NotJson,
        Self::BadShape,
        Self::Auth,
        Self::Locked,
        Self::MissingParam,
        Self::RateLimited,
        Self::ApiOther,
    ];

    /// The value of the `reason` label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::HttpStatus => "http_status",
            Self::BodyTooLarge => "body_too_large",
            Self::NotJson => "not_json",
            Self::BadShape => "bad_shape",
            Self::Auth => "auth",
            Self::Locked => "locked",
            Self::MissingParam => "missing_param",
            Self::RateLimited => "rate_limited",
            Self::ApiOther => "api_other",
        }
    }

    /// The position in [`Reason::ALL`], for arrays indexed by reason.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Advice for the owner.
    const fn remedy(self) -> &'static str {
        match self {
            Self::Timeout => "the API is slow",
            Self::Connect => "check the network and api.proxy",
            Self::Tls => "check the clock, the CA certificates and any TLS interception",
            Self::HttpStatus | Self::NotJson | Self::BodyTooLarge => {
                "a proxy or firewall responded instead of the API, or the API has an outage"
            }
            Self::BadShape => "check api.endpoint",
            Self::Auth => "check veid and api_key: the API returns the same error for both",
            Self::Locked => "a task holds the VPS",
            Self::MissingParam => "check api.endpoint and any proxy in between",
            Self::RateLimited => {
                "too many calls; lower budget.share if other clients need the points"
            }
            Self::ApiOther => "look up the code in KiwiVM",
        }
    }
}

/// A failed call. Contains nothing secret: no URL, no key, no body.
#[derive(Clone, Debug, PartialEq)]
pub struct CallError {
    /// The VPS.
    pub veid: Veid,
    /// The call.
    pub call: Call,
    /// The value of the `reason` label.
    pub reason: Reason,
    /// The cause in words.
    pub detail: String,
    /// The task that holds the VPS, with [`Reason::Locked`] if the API reports it.
    pub lock: Option<Lock>,
    /// The phase that took too long, with [`Reason::Timeout`].
    pub timed_out_phase: Option<Phase>,
    /// The wait that the API requests in the header `Retry-After`, at most a day.
    pub retry_after: Option<Duration>,
    /// True if there was no usable key, so that no request was sent.
    pub without_key: bool,
}

impl CallError {
    pub(crate) fn new(veid: Veid, call: Call, reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            veid,
            call,
            reason,
            detail: detail.into(),
            lock: None,
            timed_out_phase: None,
            retry_after: None,
            without_key: false,
        }
    }

    /// Builds the error of a call that is not made because there is no usable key. `detail` includes the fix.
    pub(crate) fn without_key(veid: Veid, call: Call, detail: impl Into<String>) -> Self {
        Self {
            without_key: true,
            ..Self::new(veid, call, Reason::Auth, detail)
        }
    }

    /// Builds an error from a response that is unusable or reports that the call failed.
    pub(crate) fn from_decode_error(veid: Veid, call: Call, error: DecodeError) -> Self {
        Self {
            lock: error.lock,
            ..Self::new(veid, call, error.reason, error.detail)
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (call, veid, detail) = (self.call.name(), self.veid, &self.detail);
        if self.without_key {
            return write!(f, "no {call} for VPS {veid}: {detail}");
        }
        let remedy = self
            .timed_out_phase
            .map_or(self.reason.remedy(), |phase| phase.remedy(self.call));
        write!(f, "{call} for VPS {veid}: {detail} ({remedy})")
    }
}

impl std::error::Error for CallError {}
