//! The simulated API on a socket: requests, latency, faults.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use thiserror::Error;
use tokio::net::TcpListener;

use super::PointsRefusal;
use super::commands::{self, Order};
use super::fault::{FaultKind, Occurrence};
use super::form;
use super::json::Object;
use super::reads::ReadContext;
use super::task::TaskLock;
use super::{ReceivedCall, Simulator, SimulatorState};

pub(super) type SimulatedBody = BoxBody<Bytes, Broken>;

/// Ends a connection in the middle of a response.
#[derive(Debug, Error)]
#[error("connection closed by an injected fault")]
pub(super) struct Broken;

/// Scripts and keys are the largest parameters.
const LARGEST_FORM: usize = 256 << 10;

/// Serves until `shutdown` ends.
pub async fn serve(
    listener: TcpListener,
    simulator: Arc<Simulator>,
    shutdown: impl Future<Output = ()>,
) {
    let accept = async {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let simulator = simulator.clone();
            let service = service_fn(move |request| respond(simulator.clone(), request));
            // Faults break connections on purpose.
            tokio::spawn(async move {
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    };
    tokio::select! {
        () = shutdown => {}
        () = accept => {}
    }
}

pub(super) fn unix_now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

async fn respond(
    simulator: Arc<Simulator>,
    request: Request<Incoming>,
) -> Result<Response<SimulatedBody>, Broken> {
    let (head, body) = request.into_parts();
    let query = head.uri.query().unwrap_or_default().to_owned();
    let path = head.uri.path().to_owned();
    let body = Limited::new(body, LARGEST_FORM)
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    if let Some(route) = path.strip_prefix("/_simulator/") {
        return Ok(simulator.test_route(route, &form::pairs(query.as_bytes()), &body));
    }
    let content_type = head
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut parameters = form::pairs(query.as_bytes());
    let key_in_url = parameters.contains_key("api_key");
    parameters.extend(form::body(content_type, &body));
    let call = path
        .strip_prefix("/v1/")
        .unwrap_or(&path)
        .trim_matches('/')
        .to_owned();
    let received = ReceivedCall {
        veid: parameters
            .get("veid")
            .and_then(|veid| veid.parse().ok())
            .unwrap_or_default(),
        call,
        method: head.method.to_string(),
        key_in_url,
    };
    simulator.respond_to(&received, &parameters).await
}

/// Reply to a call.
pub(super) enum Reply {
    Json(String),
    Status(StatusCode),
    Html,
    Empty,
    Truncated(String),
    Reset,
    Hang,
}

impl Simulator {
    pub(super) fn state(&self) -> MutexGuard<'_, SimulatorState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn respond_to(
        &self,
        received: &ReceivedCall,
        parameters: &HashMap<String, String>,
    ) -> Result<Response<SimulatedBody>, Broken> {
        self.state().calls.push(received.clone());
        let occurrence = self.fault(received, unix_now());
        let latency = self.latency(&received.call);
        let slow = occurrence
            .as_ref()
            .filter(|occurrence| occurrence.fault.kind == FaultKind::Slow)
            .map_or(Duration::ZERO, |occurrence| {
                Duration::from_secs_f64(occurrence.fault.seconds)
            });
        tokio::time::sleep(latency + slow).await;
        let reply = self.reply(received, parameters, occurrence.as_ref(), unix_now());
        match reply {
            Reply::Json(json) => Ok(page(StatusCode::OK, json)),
            Reply::Status(status) => Ok(html(status, "<html><body>Sorry.</body></html>")),
            Reply::Html => Ok(html(
                StatusCode::OK,
                "<!DOCTYPE html>\n<html><head><title>503 Service Temporarily Unavailable</title></head></html>",
            )),
            Reply::Empty => Ok(page(StatusCode::OK, "")),
            Reply::Truncated(json) => Ok(cut_off(&json)),
            Reply::Reset => Err(Broken),
            Reply::Hang => std::future::pending().await,
        }
    }

    /// The fault that applies to a call.
    pub(super) fn fault(&self, received: &ReceivedCall, now: f64) -> Option<Occurrence> {
        let state = &mut *self.state();
        let age = state.story.age(now);
        state.faults.occurrence(received.veid, &received.call, age)
    }

    pub(super) fn reply(
        &self,
        received: &ReceivedCall,
        parameters: &HashMap<String, String>,
        occurrence: Option<&Occurrence>,
        now: f64,
    ) -> Reply {
        let fault = occurrence.map(|occurrence| occurrence.fault.kind);
        match fault {
            Some(FaultKind::Hang) => return Reply::Hang,
            Some(FaultKind::Reset) => return Reply::Reset,
            Some(FaultKind::Html) => return Reply::Html,
            Some(FaultKind::Empty) => return Reply::Empty,
            Some(FaultKind::RateLimited) => return Reply::Status(StatusCode::TOO_MANY_REQUESTS),
            Some(FaultKind::Http500) => return Reply::Status(StatusCode::INTERNAL_SERVER_ERROR),
            Some(FaultKind::Auth) => return Reply::Json(error(700_005, "Authentication failure")),
            Some(FaultKind::Locked) => return Reply::Json(locked(&pretended_lock())),
            _ => {}
        }
        let json = match self.faultless_response(received, parameters, occurrence, now) {
            Ok(json) => json,
            Err(reply) => return reply,
        };
        match fault {
            Some(FaultKind::Truncated) => Reply::Truncated(json),
            Some(FaultKind::WrongTypes) => Reply::Json(numbers_as_text(&json)),
            Some(FaultKind::OddField) => Reply::Json(odd_field(&json)),
            Some(FaultKind::MissingError) => {
                Reply::Json(json.replace("\"error\":0", "\"nothing\":0"))
            }
            _ => Reply::Json(json),
        }
    }

    fn faultless_response(
        &self,
        received: &ReceivedCall,
        parameters: &HashMap<String, String>,
        occurrence: Option<&Occurrence>,
        now: f64,
    ) -> Result<String, Reply> {
        if !parameters.contains_key("veid") || !parameters.contains_key("api_key") {
            return Ok(error(700_001, "Missing required parameter"));
        }
        let mut guard = self.state();
        let state = &mut *guard;
        let exported = commands::exported(&state.vps, parameters);
        let Some(vps) = state
            .vps
            .iter_mut()
            .find(|vps| vps.veid == received.veid && parameters.get("api_key") == Some(&vps.key))
        else {
            return Ok(error(700_005, "Authentication failure"));
        };
        vps.advance(&state.story, now);
        let (elapsed, age) = (state.story.elapsed(now), state.story.age(now));
        match state.points.spend(received.veid, &received.call, age) {
            Err(PointsRefusal::Status) => return Err(Reply::Status(StatusCode::TOO_MANY_REQUESTS)),
            Err(PointsRefusal::Drop) => return Err(Reply::Reset),
            Err(PointsRefusal::Message) => {
                return Ok(error(700_010, "Too many requests, rate limit exceeded"));
            }
            Ok(_) => {}
        }
        if let Some(lock) = vps.lock(elapsed) {
            return Ok(locked(&lock));
        }
        let order = Order {
            parameters,
            story: &state.story,
            at: elapsed,
            exported,
        };
        if let Some(response) = commands::carry_out(&received.call, vps, &order) {
            return Ok(response);
        }
        let context = ReadContext {
            vps,
            story: &state.story,
            now,
            points: state.points.remaining(received.veid, age),
            sizes: state.points.sizes(),
            occurrence,
        };
        context
            .respond(&received.call)
            .ok_or(Reply::Status(StatusCode::NOT_FOUND))
    }
}

fn error(code: u32, message: &str) -> String {
    Object::new()
        .raw("error", code)
        .text("message", message)
        .end()
}

/// The lock that [`FaultKind::Locked`] pretends.
fn pretended_lock() -> TaskLock {
    TaskLock {
        percent: 45,
        task: "Snapshot: before-upgrade".to_owned(),
        progress: "Copying disk image",
    }
}

fn locked(lock: &TaskLock) -> String {
    let info = Object::new()
        .raw("last_status_update_s_ago", 12)
        .raw("completed_percent", lock.percent)
        .text("friendly_progress_message", lock.progress);
    Object::new()
        .raw("error", 788_888)
        .text(
            "message",
            "VE is currently locked, try again in a few minutes",
        )
        .text("additionalErrorInfo", &lock.task)
        .raw("additionalLockingInfo", info.end())
        .end()
}

/// Replaces the number of IPv6 subnets by a word; responses without it stay unchanged.
fn odd_field(json: &str) -> String {
    const FIELD: &str = "\"plan_max_ipv6s\":";
    let Some((before, after)) = json.split_once(FIELD) else {
        return json.to_owned();
    };
    let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{before}{FIELD}\"unlimited\"{after}")
}

/// Turns every number into text, as responses before 2023 had some of them.
fn numbers_as_text(json: &str) -> String {
    fn walk(value: &mut Value) {
        match value {
            Value::Number(number) => *value = Value::String(number.to_string()),
            Value::Array(items) => items.iter_mut().for_each(walk),
            Value::Object(members) => members.values_mut().for_each(walk),
            _ => {}
        }
    }
    match serde_json::from_str::<Value>(json) {
        Ok(mut value) => {
            walk(&mut value);
            value.to_string()
        }
        Err(_) => json.to_owned(),
    }
}

pub(super) fn page(status: StatusCode, body: impl Into<Bytes>) -> Response<SimulatedBody> {
    let body = Full::new(body.into()).map_err(|never: Infallible| match never {});
    response(status, body.boxed())
}

/// A page of a proxy or a web server.
fn html(status: StatusCode, body: &'static str) -> Response<SimulatedBody> {
    let mut response = page(status, body);
    let content_type = HeaderValue::from_static("text/html; charset=UTF-8");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// The first half of a response whose `Content-Length` is that of the whole.
fn cut_off(json: &str) -> Response<SimulatedBody> {
    let half = Bytes::copy_from_slice(&json.as_bytes()[..json.len() / 2]);
    let end = stream::once(async {
        // The error discards frames that are not sent yet.
        tokio::task::yield_now().await;
        Err(Broken)
    });
    let frames = stream::iter([Ok(Frame::data(half))]).chain(end);
    let mut response = response(StatusCode::OK, BoxBody::new(StreamBody::new(frames)));
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from(json.len()));
    response
}

fn response(status: StatusCode, body: SimulatedBody) -> Response<SimulatedBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    // The API declares this type although it sends JSON. At least one client only decodes responses of this type.
    let content_type = HeaderValue::from_static("text/plain;charset=UTF-8");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
