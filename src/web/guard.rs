//! Around every answer: who may ask, and the headers that the web configuration adds.

use std::sync::Arc;

use hyper::body::Body;
use hyper::header::{CONNECTION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Request, Response, StatusCode};
use rustls::ServerConfig;

use super::Site;
use super::gate::{Gate, Refusal};
use super::routes::{Answer, answer, plain, with};
use super::server::Shared;

/// Answers one request if the gate lets it in. It came over a connection with this TLS, or none.
pub async fn guarded<S: Site>(
    shared: &Shared<S>,
    gate: &Gate,
    tls: Option<&Arc<ServerConfig>>,
    request: Request<impl Body>,
) -> Response<Answer> {
    let config = gate.current();
    let mut response = match gate.admit(&config, request.headers()).await {
        Ok(()) => answer(shared, request).await,
        Err(refusal) => refused(refusal),
    };
    for (name, value) in &config.headers {
        response.headers_mut().insert(name, value.clone());
    }
    let now = config.tls.as_ref().map(|tls| Arc::as_ptr(&tls.server));
    if tls.map(Arc::as_ptr) != now {
        // Whoever came in by what was in force before has to come in again.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

fn refused(refusal: Refusal) -> Response<Answer> {
    match refusal {
        Refusal::Unauthorized => with(
            plain(
                StatusCode::UNAUTHORIZED,
                "A name and a password are needed.\n",
            ),
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"kiwivm_exporter\", charset=\"UTF-8\""),
        ),
        Refusal::Busy => with(
            plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many passwords are waiting to be checked.\n",
            ),
            RETRY_AFTER,
            HeaderValue::from_static("1"),
        ),
        Refusal::TooMany => plain(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many requests, see rate_limit in the web configuration.\n",
        ),
    }
}
