//! Makes the calls. The key travels in the request body, redirects are not followed, nothing is retried behind the
//! planner's back, and an error never carries a URL.

use std::error::Error as _;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::CONNECTION;
use reqwest::{StatusCode, Url, redirect, retry};

use super::call::Row;
use super::model::UsageRow;
use super::{ApiKey, Call, CallError, DecodeError, Decoded, Reason, UsageStream, Veid, decode};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// So many bytes are decoded at a time, which takes well below a millisecond. Larger bodies are decoded in another thread.
const PIECE: usize = 16 << 10;

/// Where the API is.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The URL below which the calls are, without or with a slash at the end.
    pub endpoint: Url,
    /// A proxy for everything but a loopback endpoint.
    pub proxy: Option<Url>,
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
        }
    }
}

/// Makes read calls. Clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    endpoint: Url,
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
        // A provider that is installed already is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("kiwivm_exporter/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(retry::never())
            .no_proxy()
            .pool_max_idle_per_host(4)
            .https_only(!loopback)
            .tls_certs_merge(bundled_roots());
        if let Some(proxy) = proxy.filter(|_| !loopback) {
            let proxy = reqwest::Proxy::all(proxy).map_err(|error| {
                ClientError(format!("api.proxy: {}", causes(&error.without_url())))
            })?;
            builder = builder.proxy(proxy);
        }
        let http = builder
            .build()
            .map_err(|error| ClientError(format!("TLS: {}", causes(&error.without_url()))))?;
        Ok(Self { http, endpoint })
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
        let exchanged = self.exchange(veid, key, call, &mut body, row).await;
        let bytes = body.received as u64;
        let result = match exchanged {
            Err(error) => Err(error),
            Ok(status) => {
                let decoded = body.content.decode(call, key).await;
                let decoded = decoded.map_err(|error| CallError::from_answer(veid, call, error));
                outcome(veid, call, status, decoded)
            }
        };
        Response { result, bytes }
    }

    async fn exchange(
        &self,
        veid: Veid,
        key: &ApiKey,
        call: Call,
        body: &mut Body,
        row: &mut (dyn FnMut(UsageRow) + Send),
    ) -> Result<StatusCode, CallError> {
        let Row {
            timeout,
            silence,
            body_limit: limit,
            closes_connection,
            ..
        } = *call.row();
        let transport = |error: reqwest::Error| {
            let (reason, detail) = classify(&error.without_url());
            CallError::new(veid, call, reason, detail)
        };
        let silent = |_| {
            let detail = format!("no byte arrived for {} s", silence.as_secs());
            CallError::new(veid, call, Reason::Timeout, detail)
        };
        let url = self.endpoint.join(call.name()).map_err(|_| {
            CallError::new(
                veid,
                call,
                Reason::Connect,
                "api.endpoint has no room for a call",
            )
        })?;
        let mut request = self.http.post(url).timeout(timeout).form(&[
            ("veid", veid.to_string().as_str()),
            ("api_key", key.expose()),
        ]);
        if closes_connection {
            request = request.header(CONNECTION, "close");
        }
        let mut response = tokio::time::timeout(silence, request.send())
            .await
            .map_err(silent)?
            .map_err(transport)?;
        while let Some(chunk) = tokio::time::timeout(silence, response.chunk())
            .await
            .map_err(silent)?
            .map_err(transport)?
        {
            body.received += chunk.len();
            if body.received > limit {
                let detail = format!("the answer is larger than {} MiB", limit >> 20);
                return Err(CallError::new(veid, call, Reason::BodyTooLarge, detail));
            }
            for piece in chunk.chunks(PIECE) {
                if !body.content.push(piece, row) {
                    return Ok(response.status());
                }
                // What was compressed arrives without a pause in which others would have their turn.
                tokio::task::yield_now().await;
            }
        }
        Ok(response.status())
    }
}

/// The body of an answer as it arrives.
struct Body {
    received: usize,
    content: Content,
}

enum Content {
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
}

impl Content {
    /// False when it is known that no answer will come of it.
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

/// What a body says that arrived whole.
fn outcome(
    veid: Veid,
    call: Call,
    status: StatusCode,
    decoded: Result<Decoded, CallError>,
) -> Result<Decoded, CallError> {
    if status == StatusCode::OK {
        return decoded;
    }
    // A response with another status did not come from the application, unless it says what the API would say.
    Err(match decoded {
        Err(error) if !matches!(error.reason, Reason::NotJson | Reason::BadShape) => error,
        _ => status_error(veid, call, status),
    })
}

fn status_error(veid: Veid, call: Call, status: StatusCode) -> CallError {
    let reason = if status == StatusCode::TOO_MANY_REQUESTS {
        Reason::RateLimited
    } else {
        Reason::HttpStatus
    };
    let detail = if status.is_redirection() {
        format!(
            "HTTP status {}, a redirect, which is not followed with the key",
            status.as_u16()
        )
    } else {
        format!("HTTP status {}", status.as_u16())
    };
    CallError::new(veid, call, reason, detail)
}

/// The roots of Mozilla beside those of this machine, for images that ship none.
fn bundled_roots() -> impl Iterator<Item = reqwest::Certificate> {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .filter_map(|root| reqwest::Certificate::from_der(root).ok())
}

fn classify(error: &reqwest::Error) -> (Reason, String) {
    if error.is_timeout() {
        let what = if error.is_connect() {
            "no connection in time"
        } else {
            "no answer in time"
        };
        return (Reason::Timeout, what.to_owned());
    }
    let detail = causes(error);
    if error.is_decode() && !has_cause::<hyper::Error>(error) {
        return (
            Reason::NotJson,
            format!("the body cannot be read: {detail}"),
        );
    }
    if has_cause::<rustls::Error>(error) {
        return (Reason::Tls, detail);
    }
    (Reason::Connect, detail)
}

/// The causes of an error. An I/O error's `source` passes over what it wraps, which is where errors of rustls are.
fn chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let cause = next?;
        let wrapped = cause
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        };
        Some(cause)
    })
}

fn has_cause<E: std::error::Error + 'static>(error: &reqwest::Error) -> bool {
    chain(error).any(<dyn std::error::Error>::is::<E>)
}

/// The causes in words. reqwest's own first line says only that sending failed.
fn causes(error: &reqwest::Error) -> String {
    let mut words: Vec<String> = chain(error).map(ToString::to_string).collect();
    words.dedup();
    if words.is_empty() {
        return error.to_string();
    }
    words.join(": ")
}
