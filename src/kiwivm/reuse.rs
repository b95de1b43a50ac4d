//! Distinguishes reused connections from new ones. A call without an idle connection opens one, but uses that of
//! another call if it becomes idle first. So the address of the connection in use has to be compared.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::http::Extensions;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpInfo;

use super::transport::chain;

/// Number of connections remembered, more than there are calls in flight.
const MAX_REMEMBERED: usize = 128;

/// The connections that have delivered a response, by local address, the latest first.
#[derive(Clone, Debug, Default)]
pub(super) struct UsedConnections(Arc<Mutex<VecDeque<SocketAddr>>>);

impl UsedConnections {
    /// Records the connection of a response.
    pub fn remember(&self, response: &reqwest::Response) {
        let Some(connection) = response.extensions().get().map(HttpInfo::local_addr) else {
            return;
        };
        let mut known = self.lock();
        if !known.contains(&connection) {
            known.truncate(MAX_REMEMBERED - 1);
            known.push_front(connection);
        }
    }

    /// Returns true if the connection of an error has delivered a response before.
    pub fn had_response(&self, error: &reqwest::Error) -> bool {
        connection_of(error).is_some_and(|connection| self.lock().contains(&connection))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<SocketAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connection_of(error: &reqwest::Error) -> Option<SocketAddr> {
    let error = chain(error).find_map(|cause| cause.downcast_ref::<legacy::Error>())?;
    let mut extras = Extensions::new();
    error.connect_info()?.get_extras(&mut extras);
    extras.get().map(HttpInfo::local_addr)
}
