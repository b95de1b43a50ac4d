//! Routes requests.

use std::sync::Arc;
use std::time::Instant;

use hyper::body::Body;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY,
    HeaderValue, REFERRER_POLICY, VARY,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::checks::is_cross_origin;
use super::connections::{Connection, Connections};
use super::discovery;
use super::negotiation::{Form, header};
use super::response::{ResponseBody, busy, common_headers, plain, redirect, respond, with_header};
use super::shared::Shared;
use super::status::CONTENT_SECURITY_POLICY as POLICY;
use super::turns::LONGEST_WAIT;
use super::{Options, Prefix, Site};
use crate::exposition::compress;
use crate::exposition::format::{accepts_gzip, prefers_json};

/// Maximum length of path and query. No sensible list of VPSes is longer.
const LONGEST_TARGET: usize = 8 << 10;

/// Rest after an individual page, as a multiple of its rendering time: such pages take at most 1/4 of the time.
const REST_FACTOR: u32 = 3;

/// The status page as JSON, for scripts.
const STATUS_JSON: &str = "/status.json";
/// Service discovery for Prometheus.
const DISCOVERY: &str = "/sd";

/// Handles one request. Its body, if any, is not read.
pub async fn handle<S: Site>(
    shared: &Shared<S>,
    connection: &Arc<Connection>,
    request: Request<impl Body>,
) -> Response<ResponseBody> {
    let head = request.method() == Method::HEAD;
    let mut response = route(shared, connection, &request).await;
    if head {
        let length = response.body().size_hint().exact().unwrap_or_default();
        response
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from(length));
        response.body_mut().clear();
    }
    response
}

async fn route<S: Site>(
    shared: &Shared<S>,
    connection: &Arc<Connection>,
    request: &Request<impl Body>,
) -> Response<ResponseBody> {
    let path = request.uri().path();
    if path.len() + request.uri().query().map_or(0, str::len) > LONGEST_TARGET {
        return plain(StatusCode::URI_TOO_LONG, "The URL is too long.\n");
    }
    let prefix = &shared.options.route_prefix;
    let path = match prefix.strip(path) {
        Some(path) => path,
        None if path == "/" => return redirect(&format!("{prefix}/")),
        None => "",
    };
    let known = path == shared.options.telemetry_path
        || matches!(
            path,
            "/" | STATUS_JSON | DISCOVERY | "/-/healthy" | "/-/ready" | "/-/reload"
        );
    if !known {
        return plain(
            StatusCode::NOT_FOUND,
            "Not found. See / for the available pages.\n",
        );
    }
    let reads = path != "/-/reload";
    let allowed = if reads { "GET, HEAD" } else { "POST" };
    let method = request.method();
    if reads != (method == Method::GET || method == Method::HEAD)
        || (!reads && method != Method::POST)
    {
        let response = plain(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed.\n");
        return with_header(response, ALLOW, HeaderValue::from_static(allowed));
    }
    let external = shared.options.external_url.as_ref();
    let origin = external.and_then(|url| url.origin.as_deref());
    if !reads && is_cross_origin(request.headers(), origin) {
        let text = "Cross-site requests are not allowed here.\n";
        return plain(StatusCode::FORBIDDEN, text);
    }
    match path {
        "/-/healthy" if shared.site.healthy() => {
            plain(StatusCode::OK, "kiwivm_exporter is healthy.\n")
        }
        "/-/healthy" => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "The poller has been stuck for minutes; restart the exporter.\n",
        ),
        "/-/ready" if shared.site.ready() => plain(StatusCode::OK, "kiwivm_exporter is ready.\n"),
        "/-/ready" => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "Not every VPS has been polled yet.\n",
        ),
        "/-/reload" if !shared.options.enable_lifecycle => plain(
            StatusCode::FORBIDDEN,
            "Reloading over HTTP is disabled; start with --web.enable-lifecycle or send SIGHUP.\n",
        ),
        "/-/reload" => {
            // A reload must not be interrupted when connections run short.
            let _responding = connection.responding();
            match shared.site.reload().await {
                Ok(()) => plain(StatusCode::OK, "Configuration reloaded.\n"),
                Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
            }
        }
        _ => limited(shared, connection, path, request).await,
    }
}

/// Handles the expensive requests. The whole exposition is rendered once for all clients. Anything else is rendered for
/// one request, so clients take turns.
async fn limited<S: Site>(
    shared: &Shared<S>,
    connection: &Connection,
    path: &str,
    request: &Request<impl Body>,
) -> Response<ResponseBody> {
    let individual = matches!(path, "/" | STATUS_JSON | DISCOVERY);
    let vps = request.uri().query().map(named_vps).unwrap_or_default();
    let turn = if individual || !vps.is_empty() {
        let turn = shared.turns.take(connection.client);
        let Ok(turn) = tokio::time::timeout(LONGEST_WAIT, turn).await else {
            return busy("Too many requests for individually rendered pages.\n");
        };
        Some(turn)
    } else {
        None
    };
    let permit = match &shared.requests {
        None => None,
        Some(requests) => {
            let Some(permit) = permit(requests, &shared.connections).await else {
                return busy("Too many concurrent requests, see --web.max-requests.\n");
            };
            Some(permit)
        }
    };
    let started = Instant::now();
    let mut response = match path {
        DISCOVERY => discovery(shared, request.uri().query().unwrap_or_default()),
        "/" | STATUS_JSON => status(shared, path == STATUS_JSON, request),
        _ => metrics(shared, request, &vps),
    };
    if let Some(turn) = turn {
        turn.end_after(started.elapsed() * REST_FACTOR);
    }
    response.body_mut().set_permit(permit);
    response
}

/// Takes a slot for a request in flight. Evicts connections whose clients do not read their response.
async fn permit(
    requests: &Arc<Semaphore>,
    connections: &Connections,
) -> Option<OwnedSemaphorePermit> {
    loop {
        if let Ok(permit) = requests.clone().try_acquire_owned() {
            return Some(permit);
        }
        if !connections.evict_stalled().await {
            return None;
        }
    }
}

fn metrics<S: Site>(
    shared: &Shared<S>,
    request: &Request<impl Body>,
    vps: &[String],
) -> Response<ResponseBody> {
    let Form {
        format,
        gzip,
        headers,
    } = shared.negotiation.form(request.headers());
    match shared.site.metrics(format, gzip, vps) {
        Ok(body) => respond(StatusCode::OK, headers, body),
        Err(unknown) => plain(StatusCode::BAD_REQUEST, format!("{unknown}\n")),
    }
}

/// Returns targets once any is known. Prometheus keeps its targets when a request fails, but drops those missing in a
/// list.
fn discovery<S: Site>(shared: &Shared<S>, query: &str) -> Response<ResponseBody> {
    let query = match discovery::Query::parse(pairs(query).into_iter()) {
        Ok(query) => query,
        Err(error) => return plain(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    let discovery = shared.site.discovery();
    if !shared.site.ready() || discovery.is_empty() {
        return busy("The addresses of the VPSes are not known yet.\n");
    }
    let headers = common_headers("application/json");
    respond(StatusCode::OK, headers, discovery.json(&query).into())
}

/// Returns the values of `vps` in a query.
fn named_vps(query: &str) -> Vec<String> {
    let pairs = pairs(query).into_iter();
    let named = pairs.filter(|(name, _)| name == "vps");
    named.map(|(_, value)| value).collect()
}

/// Parses the names and values of a query.
fn pairs(query: &str) -> Vec<(String, String)> {
    reqwest::Url::parse(&format!("http://query/?{query}"))
        .map(|url| url.query_pairs().into_owned().collect())
        .unwrap_or_default()
}

/// Returns the status as a page or as JSON. With `json_only`, `Accept` is ignored.
fn status<S: Site>(
    shared: &Shared<S>,
    json_only: bool,
    request: &Request<impl Body>,
) -> Response<ResponseBody> {
    let status = shared.site.status();
    let json = json_only || prefers_json(header(request.headers(), ACCEPT));
    let gzip = accepts_gzip(header(request.headers(), ACCEPT_ENCODING));
    let (content_type, body) = if json {
        ("application/json", status.json())
    } else {
        (
            "text/html; charset=utf-8",
            status.html(&links(&shared.options)),
        )
    };
    let body = if gzip { compress(&body) } else { body.into() };
    let mut headers = common_headers(content_type);
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let vary = if json_only {
        "Accept-Encoding"
    } else {
        "Accept, Accept-Encoding"
    };
    headers.insert(VARY, HeaderValue::from_static(vary));
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    respond(StatusCode::OK, headers, body)
}

/// Returns the base of links to other routes. Without external URL and prefix, links are relative to the page.
fn links(options: &Options) -> String {
    match &options.external_url {
        Some(url) => url.path.to_string(),
        None if options.route_prefix == Prefix::default() => ".".to_owned(),
        None => options.route_prefix.to_string(),
    }
}
