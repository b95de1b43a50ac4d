//! Makes a call and logs its outcome.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

use super::keys::{Keys, LoadedKey};
use super::notes::FinishedCall;
use super::{SharedFleet, lock};
use crate::budget::Due;
use crate::clock::Clock;
use crate::fleet::UsageReading;
use crate::kiwivm::{Call, CallError, Client, Reason, Response, Veid};
use crate::units::Bytes;

/// Starts a reading of usage rows, for `getRawUsageStats` only.
pub(super) fn begin_usage(fleet: &SharedFleet, due: Due, clock: Clock) -> Option<UsageReading> {
    (due.call == Call::RawUsageStats).then(|| lock(fleet).start_usage(due.veid, clock.now()))
}

/// Makes a call.
pub(super) async fn make_call(
    client: &Client,
    key: LoadedKey,
    due: Due,
    mut usage: Option<UsageReading>,
    clock: Clock,
) -> FinishedCall {
    let started = clock.now().elapsed;
    let mut row = |row| {
        if let Some(usage) = &mut usage {
            usage.take(row);
        }
    };
    let response = match key {
        Ok(key) => catch_panic(due, client.call(due.veid, &key, due.call, &mut row)).await,
        Err(missing) => failed(CallError::without_key(
            due.veid,
            due.call,
            missing.to_string(),
        )),
    };
    FinishedCall {
        due,
        response,
        usage,
        took: clock.now().elapsed.saturating_sub(started),
    }
}

/// Turns a panic into a failure of its call. Otherwise the planner would wait for the call of this VPS forever.
async fn catch_panic(due: Due, call: impl Future<Output = Response>) -> Response {
    let caught = AssertUnwindSafe(call).catch_unwind().await;
    caught.unwrap_or_else(|_| {
        let detail = "internal error while handling the response; please report this bug";
        failed(CallError::new(due.veid, due.call, Reason::BadShape, detail))
    })
}

/// Returns the response of a call that failed without a request.
fn failed(error: CallError) -> Response {
    Response {
        result: Err(error),
        bytes: Bytes(0),
        requests: 0,
    }
}

/// Logs the first of several failures as a warning, further ones at debug level, and the recovery at info level.
pub(super) fn log_outcome(
    keys: &Keys,
    veid: Veid,
    call: Call,
    response: &Response,
    failed_before: bool,
) {
    let (vps, call) = (keys.name(veid), call.name());
    match &response.result {
        // Without a key, the reason was already logged when the key was read.
        Err(error) if !failed_before && !error.without_key => {
            tracing::warn!(vps, veid = veid.0, call, reason = error.reason.name(), %error, "call failed");
        }
        Err(error) => {
            tracing::debug!(vps, veid = veid.0, call, reason = error.reason.name(), %error, "call failed again");
        }
        Ok(decoded) => {
            if failed_before {
                tracing::info!(vps, veid = veid.0, call, "call works again");
            }
            for field in &decoded.problems {
                tracing::debug!(
                    vps,
                    veid = veid.0,
                    call,
                    field,
                    "field has an unknown format"
                );
            }
            tracing::debug!(
                vps,
                veid = veid.0,
                call,
                bytes = response.bytes.0,
                "call succeeded"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failure_of_its_call() {
        let due = Due {
            veid: Veid(7),
            call: Call::RawUsageStats,
        };
        let response = catch_panic(due, async { panic!("for the test") }).await;
        let error = response.result.expect_err("it panicked");
        assert_eq!(
            (error.veid, error.call, error.reason),
            (due.veid, due.call, Reason::BadShape)
        );
    }
}
