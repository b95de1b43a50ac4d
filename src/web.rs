//! The HTTP server: routes, TLS and basic auth, limits, the status page. The content comes from a [`Site`].

mod basic_auth;
mod checks;
mod client_certificate;
mod config;
mod connections;
mod discovery;
mod gate;
mod guard;
mod handshake;
mod healthcheck;
mod listen;
mod negotiation;
mod paths;
mod response;
mod routes;
mod san;
mod server;
mod shared;
mod status;
mod throttle;
mod timeouts;
mod turns;

pub use discovery::Discovery;
pub use gate::{Gate, GateError, validate};
pub use healthcheck::{HealthcheckError, healthcheck};
pub use listen::{BindError, InheritError, SocketError, bind, inherited};
pub use paths::{ExternalUrl, PathError, Prefix};
pub use server::serve;
pub use status::Status;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use thiserror::Error;

use crate::exposition::UnknownVps;
use crate::exposition::format::Format;

/// The reason why the configuration was not reloaded.
#[derive(Clone, Debug, Error)]
#[error("{0}")]
pub struct ReloadError(pub String);

/// The content and actions behind the endpoints.
pub trait Site: Send + Sync + 'static {
    /// Returns the body of a scrape, limited to the named VPSes if there are any.
    ///
    /// # Errors
    ///
    /// Returns a name that is not configured.
    fn metrics(&self, format: Format, gzip: bool, vps: &[String]) -> Result<Bytes, UnknownVps>;

    /// Returns the content of the status page.
    fn status(&self) -> Status;

    /// Returns the targets for service discovery.
    fn discovery(&self) -> Discovery {
        Discovery::default()
    }

    /// Returns true if the process works.
    fn healthy(&self) -> bool {
        true
    }

    /// Returns true once every VPS was polled or has timed out.
    fn ready(&self) -> bool;

    /// Reloads the configuration. On failure, the previous one stays active.
    fn reload(&self) -> BoxFuture<'_, Result<(), ReloadError>>;
}

/// Settings of the server.
#[derive(Clone, Debug)]
pub struct Options {
    /// The path of the metrics, below the prefix.
    pub telemetry_path: String,
    /// The prefix of all routes.
    pub route_prefix: Prefix,
    /// The URL under which people reach the status page, if it is known.
    pub external_url: Option<ExternalUrl>,
    /// Maximum scrapes and pages in flight. Beyond it, clients that do not read are closed. 0 is no limit.
    pub max_requests: usize,
    /// True if `POST /-/reload` is allowed.
    pub enable_lifecycle: bool,
    /// Maximum open connections. Above it, a new one replaces one that waits for its client.
    pub max_connections: usize,
    /// Timeouts for slow clients.
    pub timeouts: Timeouts,
    /// TLS, basic auth and rate limit. `None` is plain HTTP for everybody.
    pub gate: Option<Arc<Gate>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            telemetry_path: "/metrics".to_owned(),
            route_prefix: Prefix::default(),
            external_url: None,
            max_requests: 40,
            enable_lifecycle: false,
            max_connections: connections::connection_limit(),
            timeouts: Timeouts::default(),
            gate: None,
        }
    }
}

/// Timeouts for slow clients.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From the first byte of a request to its last.
    pub request: Duration,
    /// Between requests. Longer than any scrape interval, so that a scraper keeps its connection.
    pub idle: Duration,
    /// Without reading a byte of the response.
    pub write: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(15),
            idle: Duration::from_secs(10 * 60),
            write: Duration::from_secs(30),
        }
    }
}
