//! Tells a connection that was used before from a new one. A call that finds no idle connection begins one, and takes over
//! that of another call if it is left meanwhile: only the connection itself tells.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::http::Extensions;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpInfo;

use super::transport::chain;

/// More connections than calls in flight.
const MOST: usize = 128;

/// The connections that have brought a response, by the address of this side, the latest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Responded(Arc<Mutex<VecDeque<SocketAddr>>>);

impl Responded {
    /// Notes the connection of a response.
    pub fn remember(&self, response: &reqwest::Response) {
        let Some(connection) = response.extensions().get().map(HttpInfo::local_addr) else {
            return;
        };
        let mut known = self.lock();
        if !known.contains(&connection) {
            known.truncate(MOST - 1);
            known.push_front(connection);
        }
    }

    /// Whether the connection on which an error occurred had brought a response before.
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
