//! State shared by all connections. Of the other files of the server, it needs only those that hold a part of the state.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::Options;
use super::connections::Connections;
use super::negotiation::Negotiation;
use super::throttle::Throttle;
use super::turns::Turns;

/// State shared by all connections.
pub struct Shared<S> {
    pub site: Arc<S>,
    pub options: Options,
    /// Slots for requests in flight; `None` without a limit.
    pub requests: Option<Arc<Semaphore>>,
    pub negotiation: Negotiation,
    pub connections: Connections,
    pub turns: Turns,
    /// Limits the log lines about refused client certificates.
    pub refused_certificates: Throttle,
}

impl<S> Shared<S> {
    /// Creates the state of a server without connections.
    pub fn new(site: Arc<S>, options: Options) -> Self {
        let requests = match options.max_requests {
            0 => None,
            most => Some(Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)))),
        };
        Self {
            requests,
            negotiation: Negotiation::default(),
            connections: Connections::new(options.max_connections),
            turns: Turns::default(),
            refused_certificates: Throttle::default(),
            site,
            options,
        }
    }
}
