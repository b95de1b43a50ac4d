//! The HTTP client of the API. It sends the key in the request body, follows no redirects, keeps URLs out of errors and
//! counts every request for the planner.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::{Url, redirect, retry};
use thiserror::Error;

use super::body::ResponseBody;
use super::model::UsageRow;
use super::outcome::Head;
use super::phase::{self, ConnectLayer, Phase, SystemResolver};
use super::reuse::UsedConnections;
use super::transport::{TransportFailure, causes, is_closed};
use super::{ApiKey, Call, CallError, Decoded, Proxy, Reason, Veid, decode};
use crate::units::Bytes;

/// Time limit for DNS, TCP and TLS, which take about a second around the world.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit of idle connections. Routers forget them after a minute, and many servers close them earlier.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Idle connections kept per host. Calls of a large fleet follow each other closely, so a few are enough.
const IDLE_CONNECTIONS: usize = 4;

/// The endpoint of the API and the way to it.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The base URL of the calls, with or without a trailing slash.
    pub endpoint: Url,
    /// A proxy for everything but a loopback endpoint.
    pub proxy: Option<Proxy>,
}

/// The reason why no client could be built.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The endpoint is neither https nor loopback.
    #[error("api.endpoint must be an https URL: http would expose the API key")]
    Endpoint,
    /// The HTTP client cannot use the proxy.
    #[error("api.proxy: {0}")]
    Proxy(String),
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(String),
}

/// The outcome of a call.
#[derive(Debug)]
pub struct Response {
    /// The decoded response, or the error.
    pub result: Result<Decoded, CallError>,
    /// Size of the body received, after decompression.
    pub bytes: Bytes,
    /// Requests sent, each of which costs points. 2 if the server closed the connection of the first.
    pub requests: u32,
}

impl Response {
    /// Builds the outcome of a complete body with status 200. Usage rows are passed to `row`.
    #[must_use]
    pub fn of_body(
        veid: Veid,
        key: &ApiKey,
        call: Call,
        body: &[u8],
        row: &mut dyn FnMut(UsageRow),
    ) -> Self {
        Self {
            result: decode(call, key, body, row)
                .map_err(|error| CallError::from_decode_error(veid, call, error)),
            bytes: Bytes(body.len() as u64),
            requests: 1,
        }
    }
}

/// A client for read calls. Clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    /// Reuses connections.
    http: reqwest::Client,
    /// Opens a new connection for each call.
    fresh: reqwest::Client,
    used: UsedConnections,
    endpoint: Url,
    proxy: Option<Proxy>,
}

/// Returns true if requests to a URL stay on this machine.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

impl Client {
    /// Builds a client for one endpoint.
    ///
    /// # Errors
    ///
    /// If the endpoint is neither https nor loopback, or the proxy or the TLS set-up cannot be used.
    pub fn new(options: ClientOptions) -> Result<Self, ClientError> {
        Self::build(options, true)
    }

    /// Without `decompresses`, responses stay compressed.
    pub(super) fn build(options: ClientOptions, decompresses: bool) -> Result<Self, ClientError> {
        let ClientOptions {
            mut endpoint,
            proxy,
        } = options;
        let loopback = is_loopback(&endpoint);
        if endpoint.scheme() != "https" && !(loopback && endpoint.scheme() == "http") {
            return Err(ClientError::Endpoint);
        }
        if !endpoint.path().ends_with('/') {
            let path = format!("{}/", endpoint.path());
            endpoint.set_path(&path);
        }
        let proxy = proxy.filter(|_| !loopback);
        let begin = proxy.as_ref().map_or(Phase::Connection, |_| Phase::Proxy);
        let reqwest_proxy = proxy
            .as_ref()
            .map(|proxy| reqwest::Proxy::all(proxy.url().clone()))
            .transpose()
            .map_err(|error| ClientError::Proxy(causes(&error.without_url())))?;
        let tls = phase::tls().map_err(|error| ClientError::Tls(error.to_string()))?;
        let client = |idle_connections: usize| {
            let builder = reqwest::Client::builder()
                .user_agent(concat!("kiwivm_exporter/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT)
                .connector_layer(ConnectLayer { begin })
                .dns_resolver(Arc::new(SystemResolver))
                .redirect(redirect::Policy::none())
                .referer(false)
                .retry(retry::never())
                .no_proxy()
                .pool_max_idle_per_host(idle_connections)
                .pool_idle_timeout(IDLE_TIMEOUT)
                .https_only(!loopback)
                .tls_backend_preconfigured(tls.clone());
            let builder = if decompresses {
                builder
            } else {
                let gzip = HeaderValue::from_static("gzip");
                let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, gzip)]);
                builder.gzip(false).default_headers(headers)
            };
            let builder = match &reqwest_proxy {
                Some(proxy) => builder.proxy(proxy.clone()),
                None => builder,
            };
            let built = builder.build();
            built.map_err(|error| ClientError::Tls(causes(&error.without_url())))
        };
        Ok(Self {
            http: client(IDLE_CONNECTIONS)?,
            fresh: client(0)?,
            used: UsedConnections::default(),
            endpoint,
            proxy,
        })
    }

    /// Makes one call. Passes usage rows to `row` as they arrive; they are valid only if the call succeeds.
    pub async fn call(
        &self,
        veid: Veid,
        key: &ApiKey,
        call: Call,
        row: &mut (dyn FnMut(UsageRow) + Send),
    ) -> Response {
        let mut body = ResponseBody::of(call);
        let failed = |error: TransportFailure| error.into_call_error(veid, call, key);
        let (sent, requests) = phase::watch(self.send(veid, key, call)).await;
        let result = match sent.map_err(failed) {
            Err(error) => Err(error),
            Ok(mut response) => {
                let head = Head::of(&response);
                match body.receive(&mut response, call.row(), row).await {
                    // With another status, the outcome is known even if reading the body fails.
                    Err(error) if head.status == reqwest::StatusCode::OK => Err(failed(error)),
                    _ => head.outcome(veid, call, body.content.decode(call, key).await),
                }
            }
        };
        Response {
            result,
            bytes: Bytes(body.received as u64),
            requests,
        }
    }

    /// Sends a request, and a second one if the server closed the idle connection of the first. Also returns the number
    /// of requests sent.
    pub(super) async fn send(
        &self,
        veid: Veid,
        key: &ApiKey,
        call: Call,
    ) -> (Result<reqwest::Response, TransportFailure>, u32) {
        let row = call.row();
        let Ok(url) = self.endpoint.join(call.name()) else {
            let detail = "api.endpoint cannot be used as a base URL";
            return (Err(TransportFailure::new(Reason::Connect, detail)), 0);
        };
        let post = async |http: &reqwest::Client| {
            let form = [("veid", &*veid.to_string()), ("api_key", key.expose())];
            let request = http.post(url.clone()).timeout(row.timeout).form(&form);
            tokio::time::timeout(row.read_timeout, request.send()).await
        };
        let http = if row.keeps_connection {
            &self.http
        } else {
            &self.fresh
        };
        let (mut sent, mut requests) = (post(http).await, 1);
        if let Ok(Err(error)) = &sent
            && is_closed(error)
            && self.used.had_response(error)
        {
            (sent, requests) = (post(&self.fresh).await, 2);
        }
        if let Ok(Ok(response)) = &sent
            && row.keeps_connection
        {
            self.used.remember(response);
        }
        let first_byte = phase::reached()
            .unwrap_or(Phase::FirstByte)
            .max(Phase::FirstByte);
        let sent = match sent {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_timeout() && error.is_connect() => {
                let phase = phase::reached().unwrap_or(Phase::Connection);
                Err(self.connect_timeout_in(phase))
            }
            Ok(Err(error)) if error.is_timeout() => {
                Err(TransportFailure::timeout(first_byte, row.timeout))
            }
            Ok(Err(error)) => Err(self.send_failure(&error.without_url())),
            Err(_) => Err(TransportFailure::timeout(first_byte, row.read_timeout)),
        };
        (sent, requests)
    }

    /// Builds the failure of a connection that timed out in `phase`.
    fn connect_timeout_in(&self, phase: Phase) -> TransportFailure {
        let mut failure = TransportFailure::timeout(phase, CONNECT_TIMEOUT);
        let proxy = self.proxy.as_ref().filter(|proxy| proxy.uses_tls());
        // TLS within TLS: the client does not report which of the two handshakes was silent.
        if let Some(proxy) = proxy.filter(|_| phase == Phase::Tls) {
            let seconds = CONNECT_TIMEOUT.as_secs();
            failure.detail = format!(
                "proxy {} did not connect within {seconds} s, or the API did not complete the TLS handshake through it",
                proxy.address()
            );
        }
        failure
    }

    /// Builds the failure of a request that got no response.
    fn send_failure(&self, error: &reqwest::Error) -> TransportFailure {
        let mut failure = TransportFailure::of(error);
        let proxy_message = self
            .proxy
            .as_ref()
            .filter(|_| error.is_connect())
            .and_then(|proxy| proxy.failure_message(&failure.detail, phase::reached()));
        if let Some(detail) = proxy_message {
            failure.detail = detail;
        }
        failure
    }
}
