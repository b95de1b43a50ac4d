//! The HTTP server: routes, TLS and basic auth, limits, the status page. It knows how to answer; what to say comes from a [`Site`].

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
mod patience;
mod routes;
mod san;
mod server;
mod status;
mod throttle;
mod turns;

pub use discovery::Discovery;
pub use gate::{Gate, validate};
pub use healthcheck::healthcheck;
pub use listen::{BindError, bind, inherited};
pub use paths::{ExternalUrl, Prefix};
pub use server::serve;
pub use status::Status;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::exposition::UnknownVps;
use crate::exposition::format::Format;

/// What the endpoints show and do.
pub trait Site: Send + Sync + 'static {
    /// The body of a scrape, limited to the VPSes named, if any.
    ///
    /// # Errors
    ///
    /// A name that is not configured.
    fn metrics(&self, format: Format, gzip: bool, vps: &[String]) -> Result<Bytes, UnknownVps>;

    /// What the status page tells.
    fn status(&self) -> Status;

    /// The targets for service discovery.
    fn discovery(&self) -> Discovery {
        Discovery::default()
    }

    /// Whether the process works.
    fn healthy(&self) -> bool {
        true
    }

    /// Whether every VPS was tried, or has had its time.
    fn ready(&self) -> bool;

    /// Reads the configuration again; what is wrong with it otherwise.
    fn reload(&self) -> BoxFuture<'_, Result<(), String>>;
}

/// What is served where, and to how many.
#[derive(Clone, Debug)]
pub struct Options {
    /// The path of the metrics, below the prefix.
    pub telemetry_path: String,
    /// The prefix of all routes.
    pub route_prefix: Prefix,
    /// The URL under which people reach the status page, if it is known.
    pub external_url: Option<ExternalUrl>,
    /// Scrapes and pages in flight; beyond, a client that does not take its response gives way. 0 is no limit.
    pub max_requests: usize,
    /// Whether `POST /-/reload` is allowed.
    pub enable_lifecycle: bool,
    /// Connections at a time; beyond, one that waits for its client gives way to a new one.
    pub max_connections: usize,
    /// How slow a client may be.
    pub patience: Patience,
    /// TLS and who may ask; none is plain HTTP for everybody.
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
            patience: Patience::default(),
            gate: None,
        }
    }
}

/// How slow a client may be.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From the first byte of a request to its last.
    pub request: Duration,
    /// Between requests: above any scrape interval, so that a scraper keeps its connection.
    pub idle: Duration,
    /// Without taking a byte of the answer.
    pub write: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(15),
            idle: Duration::from_secs(10 * 60),
            write: Duration::from_secs(30),
        }
    }
}
