//! Open connections, and which of them is closed when there are too many.
//!
//! Connections cost those who hold them: the client with the most gives one up first. Of its connections one that waits for a
//! request goes before one that stalls, a response that its client does not take, and the one that has waited
//! longest goes first. One whose response makes progress stays.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};
use tokio::sync::Notify;

/// More than any number of scrapers and people needs.
const MOST: usize = 512;
/// For an evicted connection to be gone. Its task has nothing else to do.
const EVICTION: Duration = Duration::from_millis(200);

/// The number of connections that suits the limit of open files: half of it, because polls and files need some too.
pub fn connection_limit() -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(descriptors / 2)
        .unwrap_or(MOST)
        .clamp(1, MOST)
}

/// The network of a client. One that has IPv6 addresses has a whole /64 of them.
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
    /// Its network.
    pub client: IpAddr,
    state: Mutex<State>,
    evicted: Notify,
    closed: Arc<Notify>,
}

#[derive(Clone, Copy)]
struct State {
    /// Responses under way.
    responses: usize,
    /// The client has yet to take bytes that were sent.
    stalled: bool,
    /// The last time the client did its part, while one of these keeps it waiting.
    since: Instant,
}

impl Connections {
    /// None is open; at most this many will be.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            open: Mutex::default(),
            closed: Arc::default(),
        }
    }

    /// Admits a connection; if there are too many, another one is closed first. `None` when all are busy.
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
            state: Mutex::new(State {
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

    /// Closes a connection that waits or stalls; false if there is none.
    pub async fn evict(&self) -> bool {
        self.evict_one(State::waits_for_client).await
    }

    /// Closes a connection whose client does not take its response; false if there is none.
    pub async fn evict_stalled(&self) -> bool {
        self.evict_one(|state| state.stalled).await
    }

    async fn evict_one(&self, may_go: fn(&State) -> bool) -> bool {
        let Some(victim) = self.first_to_go(may_go) else {
            return false;
        };
        let gone = async {
            loop {
                // Made before the check, so that no close in between is missed.
                let closed = self.closed.notified();
                if victim.strong_count() == 0 {
                    return;
                }
                closed.await;
            }
        };
        tokio::time::timeout(EVICTION, gone).await.is_ok()
    }

    /// Tells a connection to go.
    fn first_to_go(&self, may_go: fn(&State) -> bool) -> Option<Weak<Connection>> {
        let open: Vec<_> = self.open().iter().filter_map(Weak::upgrade).collect();
        let mut held: HashMap<IpAddr, usize> = HashMap::new();
        for connection in &open {
            *held.entry(connection.client).or_default() += 1;
        }
        let victim = open
            .iter()
            .map(|connection| (connection, *connection.state()))
            .filter(|(_, state)| may_go(state))
            .max_by_key(|(connection, state)| {
                let held = held.get(&connection.client);
                (held, state.responses == 0, Reverse(state.since))
            });
        let (victim, _) = victim?;
        victim.evicted.notify_one();
        Some(Arc::downgrade(victim))
    }

    /// Those that are open now.
    fn open(&self) -> MutexGuard<'_, Vec<Weak<Connection>>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|connection| connection.strong_count() > 0);
        open
    }
}

impl State {
    fn waits_for_client(&self) -> bool {
        self.responses == 0 || self.stalled
    }
}

impl Connection {
    /// A response is under way until the token is dropped.
    pub fn responding(self: &Arc<Self>) -> Responding {
        self.state().responses += 1;
        Responding(self.clone())
    }

    /// Notes whether the client has yet to take bytes that were sent.
    pub fn set_stalled(&self, stalled: bool) {
        let mut state = self.state();
        state.stalled = stalled;
        state.since = Instant::now();
    }

    /// Ends when the connection has to close.
    pub async fn evicted(&self) {
        loop {
            self.evicted.notified().await;
            // The client may have moved meanwhile.
            if self.state().waits_for_client() {
                return;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.closed.notify_waiters();
    }
}

/// A response that is under way.
pub struct Responding(Arc<Connection>);

impl Drop for Responding {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.responses -= 1;
        state.since = Instant::now();
    }
}
