//! Places for connections. When all are taken, whoever has waited longest without an answer under way gives way: an
//! attacker who holds all connections does not keep the scraper out.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// For the one that gives way to be gone.
const GIVING_WAY: Duration = Duration::from_millis(200);

/// All places.
pub struct Places {
    free: Arc<Semaphore>,
    taken: Mutex<Vec<Weak<Place>>>,
    clock: Arc<AtomicU64>,
}

/// The place of one connection.
pub struct Place {
    clock: Arc<AtomicU64>,
    /// Since when nothing is answered here, on a clock that counts these events; 0 while something is.
    waits_since: AtomicU64,
    /// Whether the client has yet to take bytes that were sent.
    stalled: AtomicBool,
    give_way: Notify,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    /// For so many connections.
    pub fn new(most: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(most)),
            taken: Mutex::default(),
            clock: Arc::new(AtomicU64::new(1)),
        }
    }

    /// A place; `None` when every connection is being answered.
    pub async fn take(&self) -> Option<Arc<Place>> {
        let permit = if let Ok(permit) = self.free.clone().try_acquire_owned() {
            permit
        } else {
            self.longest_waiting()?.give_way.notify_one();
            let free = self.free.clone().acquire_owned();
            tokio::time::timeout(GIVING_WAY, free).await.ok()?.ok()?
        };
        let place = Arc::new(Place {
            clock: self.clock.clone(),
            waits_since: AtomicU64::new(self.clock.fetch_add(1, Ordering::Relaxed)),
            stalled: AtomicBool::new(false),
            give_way: Notify::new(),
            _permit: permit,
        });
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that are gone are swept out when the list would grow, not one by one.
        if taken.len() == taken.capacity() {
            taken.retain(|place| place.strong_count() > 0);
        }
        taken.push(Arc::downgrade(&place));
        Some(place)
    }

    fn longest_waiting(&self) -> Option<Arc<Place>> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|place| place.waits())
            .min_by_key(|place| place.waits_since.load(Ordering::Relaxed))
    }
}

impl Place {
    /// A request is being answered from now on, until what is returned is dropped.
    pub fn busy(self: &Arc<Self>) -> Busy {
        self.waits_since.store(0, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Whether the client has yet to take bytes that were sent.
    pub fn stalled(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::Relaxed);
    }

    /// Ends when the connection has to make room.
    pub async fn has_to_go(&self) {
        loop {
            self.give_way.notified().await;
            // A request may have come meanwhile.
            if self.waits() {
                return;
            }
        }
    }

    fn waits(&self) -> bool {
        self.waits_since.load(Ordering::Relaxed) != 0 && !self.stalled.load(Ordering::Relaxed)
    }
}

/// An answer that is under way.
pub struct Busy(Arc<Place>);

impl Drop for Busy {
    fn drop(&mut self) {
        let now = self.0.clock.fetch_add(1, Ordering::Relaxed);
        self.0.waits_since.store(now, Ordering::Relaxed);
    }
}
