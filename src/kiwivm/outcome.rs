//! Derives the outcome of a call from the status, headers and body of its response.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::decode::{DecodeError, Decoded};
use super::{Call, CallError, Reason, Veid};

/// The longest quota window, after which all points are available again.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The head of a response.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
}

impl Head {
    pub(super) fn of(response: &reqwest::Response) -> Self {
        Self {
            status: response.status(),
            retry_after: retry_after(response.headers(), SystemTime::now()),
        }
    }

    /// Combines the head with the decoded body. The API returns status 200 even for a failed call, so another status
    /// comes from a proxy in front of it, unless the body is an API error. It never results in [`Reason::Auth`], which
    /// would pause the VPS.
    pub(super) fn outcome(
        self,
        veid: Veid,
        call: Call,
        decoded: Result<Decoded, DecodeError>,
    ) -> Result<Decoded, CallError> {
        let error = match decoded {
            Ok(decoded) if self.status == StatusCode::OK => return Ok(decoded),
            Ok(_) => None,
            Err(error) => Some(error),
        };
        let mut failure = match error {
            Some(error) if self.status == StatusCode::OK => {
                CallError::from_decode_error(veid, call, error)
            }
            Some(error) if is_api_error(error.reason) => CallError {
                detail: format!("HTTP status {}: {}", self.status.as_u16(), error.detail),
                ..CallError::from_decode_error(veid, call, error)
            },
            _ => CallError::new(veid, call, Reason::HttpStatus, self.status_message()),
        };
        let asks_to_wait = self.retry_after.is_some() && !self.status.is_redirection();
        if self.status == StatusCode::TOO_MANY_REQUESTS
            || (asks_to_wait && !matches!(failure.reason, Reason::Locked | Reason::MissingParam))
        {
            failure.reason = Reason::RateLimited;
        } else if self.status != StatusCode::OK && failure.reason == Reason::Auth {
            failure.reason = Reason::HttpStatus;
        }
        failure.retry_after = self.retry_after;
        Err(failure)
    }

    fn status_message(self) -> String {
        let suffix = if self.status.is_redirection() {
            ", a redirect, which is not followed with the key"
        } else {
            ""
        };
        format!("HTTP status {}{suffix}", self.status.as_u16())
    }
}

/// Returns true if the error comes from an API error code, or from a message about too many calls.
const fn is_api_error(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Auth
            | Reason::Locked
            | Reason::MissingParam
            | Reason::RateLimited
            | Reason::ApiOther
    )
}

/// Parses `Retry-After`, in seconds or as a date. A date in the past means no wait.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let wait = if digits {
        // A number that overflows is capped below.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let date = httpdate::parse_http_date(value).ok()?;
        date.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kiwivm::{ApiKey, decode};

    fn failure(status: u16, retry_after: Option<u64>, body: &str) -> CallError {
        let key = ApiKey::new("private_x").expect("valid key");
        let head = Head {
            status: StatusCode::from_u16(status).expect("valid status"),
            retry_after: retry_after.map(Duration::from_secs),
        };
        let decoded = decode(Call::ServiceInfo, &key, body.as_bytes(), &mut |_| {});
        let outcome = head.outcome(Veid(1), Call::ServiceInfo, decoded);
        outcome.expect_err("the call failed")
    }

    #[test]
    fn distinguishes_rate_limits_from_rejected_keys() {
        const AUTH: &str = r#"{"error":700005,"message":"Authentication failure"}"#;
        const GOOD: &str = r#"{"error":0,"hostname":"a"}"#;
        const LOCKED: &str = r#"{"error":788888}"#;
        for (status, retry_after, body, reason) in [
            (200, None, AUTH, Reason::Auth),
            (429, None, AUTH, Reason::RateLimited),
            (503, None, AUTH, Reason::HttpStatus),
            (403, None, AUTH, Reason::HttpStatus),
            (401, None, AUTH, Reason::HttpStatus),
            (201, None, AUTH, Reason::HttpStatus),
            (429, None, "", Reason::RateLimited),
            (429, None, GOOD, Reason::RateLimited),
            (429, None, LOCKED, Reason::RateLimited),
            (
                429,
                None,
                r#"{"error":429000,"message":"quota exceeded"}"#,
                Reason::RateLimited,
            ),
            (
                403,
                None,
                "<html>Too many requests</html>",
                Reason::RateLimited,
            ),
            (
                503,
                None,
                r#"{"error":1,"message":"rate limit"}"#,
                Reason::RateLimited,
            ),
            (
                503,
                None,
                "<html>Service Unavailable</html>",
                Reason::HttpStatus,
            ),
            (
                503,
                Some(30),
                "<html>Service Unavailable</html>",
                Reason::RateLimited,
            ),
            (403, Some(30), "", Reason::RateLimited),
            (503, Some(30), AUTH, Reason::RateLimited),
            (
                200,
                Some(30),
                r#"{"error":1,"message":"no"}"#,
                Reason::RateLimited,
            ),
            (200, Some(30), LOCKED, Reason::Locked),
            (302, Some(30), "", Reason::HttpStatus),
            (500, None, GOOD, Reason::HttpStatus),
            (500, None, LOCKED, Reason::Locked),
            (500, None, r#"{"error":5,"message":"no"}"#, Reason::ApiOther),
            (
                200,
                None,
                r#"{"error":5,"message":"API points exhausted"}"#,
                Reason::RateLimited,
            ),
        ] {
            let error = failure(status, retry_after, body);
            assert_eq!(
                error.reason, reason,
                "{status} {retry_after:?} {body}: {error}"
            );
            assert_eq!(error.retry_after, retry_after.map(Duration::from_secs));
            let shows_status = status == 200 || error.detail.contains(&status.to_string());
            assert!(shows_status, "{error}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_480);
        let day = 24 * 3600;
        for (value, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("86401", Some(day)),
            ("99999999999999999999999", Some(day)),
            ("Wed, 21 Oct 2015 07:28:30 GMT", Some(30)),
            ("Wednesday, 21-Oct-15 07:28:30 GMT", Some(30)),
            ("Wed, 21 Oct 2015 07:27:00 GMT", Some(0)),
            ("Wed, 21 Oct 2026 07:28:00 GMT", Some(day)),
            ("", None),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
        ] {
            let headers = [(RETRY_AFTER, value.parse().expect("valid header"))];
            let found = retry_after(&headers.into_iter().collect(), now);
            assert_eq!(found, seconds.map(Duration::from_secs), "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
