//! Why a call brought no answer.

use std::fmt;
use std::time::Duration;

use super::model::Lock;
use super::{Call, DecodeError, Leg, Veid};

/// The `reason` label: everything that can go wrong with a call, in few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No answer in time.
    Timeout,
    /// No connection, or one that ended before the answer did.
    Connect,
    /// A TLS handshake that failed.
    Tls,
    /// A status other than 200: the request did not reach the application.
    HttpStatus,
    /// An answer larger than any true one.
    BodyTooLarge,
    /// Not JSON: a proxy's page, nothing, or an answer cut off.
    NotJson,
    /// JSON, but not an object with the fields of an answer.
    BadShape,
    /// 700005: the key is refused, or the VEID is wrong. The API says the same for both.
    Auth,
    /// 788888: a task holds the VPS.
    Locked,
    /// 700001: a required parameter is missing.
    MissingParam,
    /// 429, or words to that effect.
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
            Self::Tls => {
                "check the clock, the certificates of this machine and what intercepts TLS"
            }
            Self::HttpStatus | Self::NotJson | Self::BodyTooLarge => {
                "something between here and the API responded, or the API has an outage"
            }
            Self::BadShape => "check api.endpoint",
            Self::Auth => "check veid and api_key: the API says the same when either is wrong",
            Self::Locked => "a task holds the VPS",
            Self::MissingParam => "check api.endpoint and what stands between here and the API",
            Self::RateLimited => "too many calls; lower budget.share if others need the points",
            Self::ApiOther => "look the code up in KiwiVM",
        }
    }
}

/// A call that failed. Nothing in it is secret: no URL, no key, no body.
#[derive(Clone, Debug, PartialEq)]
pub struct CallError {
    /// Of which VPS.
    pub veid: Veid,
    /// Which call.
    pub call: Call,
    /// Why, for the label.
    pub reason: Reason,
    /// Why, in words.
    pub detail: String,
    /// What holds the VPS, with [`Reason::Locked`] when the API tells.
    pub lock: Option<Lock>,
    /// With [`Reason::Timeout`], the part of the call that took too long.
    pub silent: Option<Leg>,
    /// The time that the API asks to wait, from the header `Retry-After`; a day at most.
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
            silent: None,
            retry_after: None,
            without_key: false,
        }
    }

    /// Builds the error of a call that cannot be made for want of a key. `why` says what to do.
    pub(crate) fn without_key(veid: Veid, call: Call, why: impl Into<String>) -> Self {
        Self {
            without_key: true,
            ..Self::new(veid, call, Reason::Auth, why)
        }
    }

    /// Builds an error from a response that is not to be believed or says that the call failed.
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
            return write!(f, "no {call} of VPS {veid}: {detail}");
        }
        let remedy = self
            .silent
            .map_or(self.reason.remedy(), |leg| leg.remedy(self.call));
        write!(f, "{call} of VPS {veid}: {detail} ({remedy})")
    }
}

impl std::error::Error for CallError {}
