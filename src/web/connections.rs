//! Open connections, and the choice of one to close when there are too many.
//!
//! The client with the most connections loses one first. Among its connections, idle ones are closed before stalled
//! ones, whose client does not read the response, and the longest-waiting first. A connection whose response makes
//! progress is never closed.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};
use tokio::sync::Notify;

/// Upper limit of connections. Scrapers and people need fewer.
const MAX_CONNECTIONS: usize = 512;
/// Time to wait for an evicted connection to close. Its task has nothing else to do.
const EVICTION_TIMEOUT: Duration = Duration::from_millis(200);

/// Returns a connection limit of half the open file limit, because polls and files need descriptors too.
pub fn connection_limit() -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(descriptors / 2)
        .unwrap_or(MAX_CONNECTIONS)
        .clamp(1, MAX_CONNECTIONS)
}

/// Returns the network of a client. IPv6 clients usually have a whole /64.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// All open connections.
pub struct Connections {
    most: usize,
    open: Mutex<Vec<Weak<Connection>>>,
    closed: Arc<Notify>,
}

/// One open connection; it is closed when this is dropped.
pub struct Connection {
    /// Network of the client.
    pub client: IpAddr,
    state: Mutex<ConnectionState>,
    evicted: Notify,
    closed: Arc<Notify>,
}

#[derive(Clone, Copy)]
struct ConnectionState {
    /// Responses in progress.
    responses: usize,
    /// The client has yet to read bytes that were sent.
    stalled: bool,
    /// Time of the last finished response or change of `stalled`.
    since: Instant,
}

impl Connections {
    /// Creates an empty set for at most this many connections.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            open: Mutex::default(),
            closed: Arc::default(),
        }
    }

    /// Admits a connection, after closing another one if there are too many. Returns `None` if all are busy.
    pub async fn admit(&self, client: IpAddr) -> Option<Arc<Connection>> {
        if self.open().len() >= self.most {
            self.evict().await;
        }
        let mut open = self.open();
        if open.len() >= self.most {
            return None;
        }
        let connection = Arc::new(Connection {
            client: network(client),
            state: Mutex::new(ConnectionState {
                responses: 0,
                stalled: false,
                since: Instant::now(),
            }),
            evicted: Notify::new(),
            closed: self.closed.clone(),
        });
        open.push(Arc::downgrade(&connection));
        Some(connection)
    }

    /// Closes an idle or stalled connection. Returns false if there is none.
    pub async fn evict(&self) -> bool {
        self.evict_one(ConnectionState::waits_for_client).await
    }

    /// Closes a connection whose client does not read its response. Returns false if there is none.
    pub async fn evict_stalled(&self) -> bool {
        self.evict_one(|state| state.stalled).await
    }

    async fn evict_one(&self, is_evictable: fn(&ConnectionState) -> bool) -> bool {
        let Some(victim) = self.signal_victim(is_evictable) else {
            return false;
        };
        let until_closed = async {
            loop {
                // Register before the check, so that no close in between is missed.
                let closed = self.closed.notified();
                if victim.strong_count() == 0 {
                    return;
                }
                closed.await;
            }
        };
        tokio::time::timeout(EVICTION_TIMEOUT, until_closed)
            .await
            .is_ok()
    }

    /// Picks a connection and signals it to close.
    fn signal_victim(
        &self,
        is_evictable: fn(&ConnectionState) -> bool,
    ) -> Option<Weak<Connection>> {
        let open: Vec<_> = self.open().iter().filter_map(Weak::upgrade).collect();
        let mut held: HashMap<IpAddr, usize> = HashMap::new();
        for connection in &open {
            *held.entry(connection.client).or_default() += 1;
        }
        let victim = open
            .iter()
            .map(|connection| (connection, *connection.state()))
            .filter(|(_, state)| is_evictable(state))
            .max_by_key(|(connection, state)| {
                let held = held.get(&connection.client);
                (held, state.responses == 0, Reverse(state.since))
            });
        let (victim, _) = victim?;
        victim.evicted.notify_one();
        Some(Arc::downgrade(victim))
    }

    /// Returns the open connections.
    fn open(&self) -> MutexGuard<'_, Vec<Weak<Connection>>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|connection| connection.strong_count() > 0);
        open
    }
}

impl ConnectionState {
    fn waits_for_client(&self) -> bool {
        self.responses == 0 || self.stalled
    }
}

impl Connection {
    /// Marks a response as in progress until the token is dropped.
    pub fn responding(self: &Arc<Self>) -> Responding {
        self.state().responses += 1;
        Responding(self.clone())
    }

    /// Records if the client has yet to read bytes that were sent.
    pub fn set_stalled(&self, stalled: bool) {
        let mut state = self.state();
        state.stalled = stalled;
        state.since = Instant::now();
    }

    /// Completes when the connection has to close.
    pub async fn evicted(&self) {
        loop {
            self.evicted.notified().await;
            // The client may have made progress meanwhile.
            if self.state().waits_for_client() {
                return;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, ConnectionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.closed.notify_waiters();
    }
}

/// A response in progress.
pub struct Responding(Arc<Connection>);

impl Drop for Responding {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.responses -= 1;
        state.since = Instant::now();
    }
}
