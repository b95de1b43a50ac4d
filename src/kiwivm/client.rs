//! Makes the calls. The key travels in the request body, redirects are not followed, an error never carries a URL, and the
//! planner learns of every request that was sent.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::{Url, redirect, retry};

use super::call::Row;
use super::leg::{self, Connections, Leg, Names};
use super::model::UsageRow;
use super::outcome::Head;
use super::reuse::Responded;
use super::transport::{causes, classify, is_closed};
use super::{
    ApiKey, Call, CallError, DecodeError, Decoded, Proxy, Reason, UsageStream, Veid, decode,
};

/// Name, connection and TLS take a second around the world.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Routers forget connections that are idle for a minute, and many servers close them before.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Idle connections that are kept. Calls of a large fleet follow each other closely.
const IDLE_CONNECTIONS: usize = 4;

/// So many bytes are decoded at a time, which takes well below a millisecond. Larger bodies are decoded in another thread.
const PIECE: usize = 16 << 10;

/// Where the API is.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The URL below which the calls are, without or with a slash at the end.
    pub endpoint: Url,
    /// A proxy for everything but a loopback endpoint.
    pub proxy: Option<Proxy>,
}

/// Why there is no client.
#[derive(Debug)]
pub struct ClientError(String);

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ClientError {}

/// What came of a call.
#[derive(Debug)]
pub struct Response {
    /// The answer, or why there is none.
    pub result: Result<Decoded, CallError>,
    /// Bytes of the body that were received, after decompression.
    pub bytes: u64,
    /// Requests that were sent, each of which costs points: 2 when the first met a connection that the server was closing.
    pub requests: u32,
}

impl Response {
    /// What a body comes to that arrived whole and with status 200. Usage rows are passed to `row`.
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
                .map_err(|error| CallError::from_answer(veid, call, error)),
            bytes: body.len() as u64,
            requests: 1,
        }
    }
}

/// Makes read calls. Clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    /// Keeps connections for the next call.
    http: reqwest::Client,
    /// Makes a new connection for each call.
    fresh: reqwest::Client,
    responded: Responded,
    endpoint: Url,
    proxy: Option<Proxy>,
}

/// True when a URL cannot leave this machine.
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
    /// A client for one endpoint.
    ///
    /// # Errors
    ///
    /// An endpoint that is neither https nor loopback, or a proxy or TLS set-up that cannot be used.
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
            return Err(ClientError(
                "api.endpoint must be an https URL: the key would be readable on the way"
                    .to_owned(),
            ));
        }
        if !endpoint.path().ends_with('/') {
            let path = format!("{}/", endpoint.path());
            endpoint.set_path(&path);
        }
        let proxy = proxy.filter(|_| !loopback);
        let begin = proxy.as_ref().map_or(Leg::Connection, |_| Leg::Proxy);
        let through = proxy
            .as_ref()
            .map(|proxy| reqwest::Proxy::all(proxy.url().clone()))
            .transpose()
            .map_err(|error| ClientError(format!("api.proxy: {}", causes(&error.without_url()))))?;
        let tls = leg::tls().map_err(|error| ClientError(format!("TLS: {error}")))?;
        let client = |idle_connections: usize| {
            let builder = reqwest::Client::builder()
                .user_agent(concat!("kiwivm_exporter/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT)
                .connector_layer(Connections { begin })
                .dns_resolver(Arc::new(Names))
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
            let builder = match &through {
                Some(proxy) => builder.proxy(proxy.clone()),
                None => builder,
            };
            let built = builder.build();
            built.map_err(|error| ClientError(format!("TLS: {}", causes(&error.without_url()))))
        };
        Ok(Self {
            http: client(IDLE_CONNECTIONS)?,
            fresh: client(0)?,
            responded: Responded::default(),
            endpoint,
            proxy,
        })
    }

    /// Makes one call. Usage rows are passed to `row` as they arrive; they count when the call succeeds.
    pub async fn call(
        &self,
        veid: Veid,
        key: &ApiKey,
        call: Call,
        row: &mut (dyn FnMut(UsageRow) + Send),
    ) -> Response {
        let mut body = Body::of(call);
        let failed = |error: Failure| error.into_call_error(veid, call, key);
        let (sent, requests) = leg::watch(self.send(veid, key, call)).await;
        let result = match sent.map_err(failed) {
            Err(error) => Err(error),
            Ok(mut response) => {
                let head = Head::of(&response);
                match body.receive(&mut response, call.row(), row).await {
                    // The status of a refusal is known, whatever becomes of its body.
                    Err(error) if head.status == reqwest::StatusCode::OK => Err(failed(error)),
                    _ => head.outcome(veid, call, body.content.decode(call, key).await),
                }
            }
        };
        Response {
            result,
            bytes: body.received as u64,
            requests,
        }
    }

    /// Sends a request, and a second one if the server closed an idle connection just as the first went out: that is no
    /// failure. Also returns how many were sent.
    pub(super) async fn send(
        &self,
        veid: Veid,
        key: &ApiKey,
        call: Call,
    ) -> (Result<reqwest::Response, Failure>, u32) {
        let row = call.row();
        let Ok(url) = self.endpoint.join(call.name()) else {
            let detail = "api.endpoint cannot be used as a base URL";
            return (Err(Failure::new(Reason::Connect, detail)), 0);
        };
        let post = async |http: &reqwest::Client| {
            let form = [("veid", &*veid.to_string()), ("api_key", key.expose())];
            let request = http.post(url.clone()).timeout(row.timeout).form(&form);
            tokio::time::timeout(row.silence, request.send()).await
        };
        let http = if row.keeps_connection {
            &self.http
        } else {
            &self.fresh
        };
        let (mut sent, mut requests) = (post(http).await, 1);
        if let Ok(Err(error)) = &sent
            && is_closed(error)
            && self.responded.had_response(error)
        {
            (sent, requests) = (post(&self.fresh).await, 2);
        }
        if let Ok(Ok(response)) = &sent
            && row.keeps_connection
        {
            self.responded.remember(response);
        }
        let first_byte = leg::reached().unwrap_or(Leg::FirstByte).max(Leg::FirstByte);
        let sent = match sent {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_timeout() && error.is_connect() => {
                let leg = leg::reached().unwrap_or(Leg::Connection);
                Err(self.silent_at(leg))
            }
            Ok(Err(error)) if error.is_timeout() => Err(Failure::silent(first_byte, row.timeout)),
            Ok(Err(error)) => Err(self.failed(&error.without_url())),
            Err(_) => Err(Failure::silent(first_byte, row.silence)),
        };
        (sent, requests)
    }

    /// The failure of a connection of which a part was silent.
    fn silent_at(&self, leg: Leg) -> Failure {
        let mut failure = Failure::silent(leg, CONNECT_TIMEOUT);
        let proxy = self.proxy.as_ref().filter(|proxy| proxy.speaks_tls());
        // TLS within TLS: it cannot be told which of them.
        if let Some(proxy) = proxy.filter(|_| leg == Leg::Tls) {
            let seconds = CONNECT_TIMEOUT.as_secs();
            failure.detail = format!(
                "proxy {} gave no connection within {seconds} s, or the API did not speak TLS through it",
                proxy.address()
            );
        }
        failure
    }

    /// A failure before the response.
    fn failed(&self, error: &reqwest::Error) -> Failure {
        let mut failure = Failure::of(error);
        let blamed = self
            .proxy
            .as_ref()
            .filter(|_| error.is_connect())
            .and_then(|proxy| proxy.blame(&failure.detail, leg::reached()));
        if let Some(detail) = blamed {
            failure.detail = detail;
        }
        failure
    }
}

/// A failure on the way, of any call.
pub(super) struct Failure {
    reason: Reason,
    detail: String,
    silent: Option<Leg>,
}

impl Failure {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            silent: None,
        }
    }

    fn of(error: &reqwest::Error) -> Self {
        let (reason, detail) = classify(error);
        Self::new(reason, detail)
    }

    fn silent(leg: Leg, limit: Duration) -> Self {
        Self {
            silent: Some(leg),
            ..Self::new(Reason::Timeout, leg.silence(limit))
        }
    }

    /// Words of the HTTP client may quote the other side.
    pub(super) fn into_call_error(self, veid: Veid, call: Call, key: &ApiKey) -> CallError {
        CallError {
            silent: self.silent,
            ..CallError::new(veid, call, self.reason, key.redact(&self.detail))
        }
    }
}

/// The body of a response as it arrives.
pub(super) struct Body {
    pub(super) received: usize,
    pub(super) content: Content,
}

pub(super) enum Content {
    Whole(Vec<u8>),
    Usage(Box<UsageStream>),
    Bad(DecodeError),
}

impl Body {
    fn of(call: Call) -> Self {
        let content = if call == Call::RawUsageStats {
            Content::Usage(Box::default())
        } else {
            Content::Whole(Vec::new())
        };
        Self {
            received: 0,
            content,
        }
    }

    /// Takes in the body until it ends, or nothing can come of it.
    pub(super) async fn receive(
        &mut self,
        response: &mut reqwest::Response,
        limits: &Row,
        row: &mut (dyn FnMut(UsageRow) + Send),
    ) -> Result<(), Failure> {
        loop {
            let chunk = match tokio::time::timeout(limits.silence, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => return Ok(()),
                Ok(Err(error)) if error.is_timeout() => {
                    return Err(Failure::silent(Leg::Body, limits.timeout));
                }
                Ok(Err(error)) => return Err(Failure::of(&error.without_url())),
                Err(_) => return Err(Failure::silent(Leg::Body, limits.silence)),
            };
            self.received += chunk.len();
            if self.received > limits.body_limit {
                let detail = format!(
                    "the response is larger than {} MiB",
                    limits.body_limit >> 20
                );
                return Err(Failure::new(Reason::BodyTooLarge, detail));
            }
            for piece in chunk.chunks(PIECE) {
                if !self.content.push(piece, row) {
                    return Ok(());
                }
                // Compressed bytes arrive without a pause in which others would have their turn.
                tokio::task::yield_now().await;
            }
        }
    }
}

impl Content {
    /// False when it is known that no response will come of it.
    fn push(&mut self, chunk: &[u8], row: &mut dyn FnMut(UsageRow)) -> bool {
        match self {
            Self::Whole(body) => body.extend_from_slice(chunk),
            Self::Usage(stream) => {
                if let Err(error) = stream.push(chunk, row) {
                    *self = Self::Bad(error);
                    return false;
                }
            }
            Self::Bad(_) => return false,
        }
        true
    }

    async fn decode(self, call: Call, key: &ApiKey) -> Result<Decoded, DecodeError> {
        match self {
            Self::Whole(body) if body.len() > PIECE => {
                let key = key.clone();
                let decode = move || decode(call, &key, &body, &mut |_| {});
                match tokio::task::spawn_blocking(decode).await {
                    Ok(decoded) => decoded,
                    // The task is never cancelled: it panicked.
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                }
            }
            Self::Whole(body) => decode(call, key, &body, &mut |_| {}),
            Self::Usage(stream) => stream.finish(key),
            Self::Bad(error) => Err(error),
        }
    }
}
