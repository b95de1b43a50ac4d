//! Applies the web configuration to every request: admission and additional headers.

use std::sync::Arc;

use hyper::body::Body;
use hyper::header::{CONNECTION, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Request, Response, StatusCode};
use rustls::ServerConfig;

use super::Site;
use super::connections::Connection;
use super::gate::{Gate, Refusal};
use super::response::{ResponseBody, busy, plain, with_header};
use super::routes::handle;
use super::shared::Shared;

/// The transport of a connection.
pub enum Transport {
    /// TLS with this configuration, or plain if TLS is not configured.
    AsConfigured(Option<Arc<ServerConfig>>),
    /// Plain HTTP, although TLS is configured.
    PlainDespiteTls,
}

/// Handles one request if the gate admits it.
pub async fn guarded<S: Site>(
    shared: &Shared<S>,
    gate: &Gate,
    connection: &Arc<Connection>,
    transport: &Transport,
    request: Request<impl Body>,
) -> Response<ResponseBody> {
    let close = HeaderValue::from_static("close");
    let Transport::AsConfigured(tls) = transport else {
        // Go's servers return the same text.
        let text = "Client sent an HTTP request to an HTTPS server.\n";
        return with_header(plain(StatusCode::BAD_REQUEST, text), CONNECTION, close);
    };
    let config = gate.current();
    let admitted = gate.admit(&config, request.headers(), connection.client);
    let mut response = match admitted.await {
        Ok(()) => handle(shared, connection, request).await,
        Err(refusal) => refused(refusal),
    };
    for (name, value) in &config.headers {
        response.headers_mut().insert(name, value.clone());
    }
    let current = config.tls.as_ref().map(|tls| Arc::as_ptr(&tls.server));
    if tls.as_ref().map(Arc::as_ptr) != current {
        // A connection accepted under the previous TLS configuration ends here.
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

fn refused(refusal: Refusal) -> Response<ResponseBody> {
    match refusal {
        Refusal::Unauthorized => with_header(
            plain(
                StatusCode::UNAUTHORIZED,
                "A user name and a password are required.\n",
            ),
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"kiwivm_exporter\", charset=\"UTF-8\""),
        ),
        Refusal::Busy => busy("Too many password checks are pending.\n"),
        Refusal::RateLimited => plain(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many requests, see rate_limit in the web configuration.\n",
        ),
    }
}
