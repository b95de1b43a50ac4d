//! Around every answer: who may ask, and the headers that the web configuration adds.

use std::sync::Arc;

use hyper::body::Body;
use hyper::header::{CONNECTION, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Request, Response, StatusCode};
use rustls::ServerConfig;

use super::Site;
use super::connections::Connection;
use super::gate::{Gate, Refusal};
use super::routes::{Answer, answer, busy, plain, with};
use super::server::Shared;

/// The TLS of a connection.
pub enum Secured {
    /// This configuration of it, or none because none was configured.
    By(Option<Arc<ServerConfig>>),
    /// None, although it is configured.
    NotAsConfigured,
}

/// Answers one request if the gate lets it in.
pub async fn guarded<S: Site>(
    shared: &Shared<S>,
    gate: &Gate,
    connection: &Arc<Connection>,
    secured: &Secured,
    request: Request<impl Body>,
) -> Response<Answer> {
    let close = HeaderValue::from_static("close");
    let Secured::By(tls) = secured else {
        // The words are Go's.
        let text = "Client sent an HTTP request to an HTTPS server.\n";
        return with(plain(StatusCode::BAD_REQUEST, text), CONNECTION, close);
    };
    let config = gate.current();
    let admitted = gate.admit(&config, request.headers(), connection.client);
    let mut response = match admitted.await {
        Ok(()) => answer(shared, connection, request).await,
        Err(refusal) => refused(refusal),
    };
    for (name, value) in &config.headers {
        response.headers_mut().insert(name, value.clone());
    }
    let now = config.tls.as_ref().map(|tls| Arc::as_ptr(&tls.server));
    if tls.as_ref().map(Arc::as_ptr) != now {
        // A connection accepted under the previous TLS configuration ends here.
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
        Refusal::Busy => busy("Too many passwords are waiting to be checked.\n"),
        Refusal::TooMany => plain(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many requests, see rate_limit in the web configuration.\n",
        ),
    }
}
