//! Serializes expensive work. Clients take turns, not requests, so a client with many requests delays only itself.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// Maximum wait for a turn, shorter than the timeouts of Prometheus and people. After it, the client has to retry.
pub const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Resolution of the timer.
const SHORTEST_REST: Duration = Duration::from_millis(1);

/// Grants one turn at a time.
#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<Queue>>);

/// The turn of a request. Dropping it starts the next turn.
pub struct Turn(Turns);

#[derive(Default)]
struct Queue {
    taken: bool,
    /// The first client is next. Each client has its requests in order of arrival.
    clients: VecDeque<(IpAddr, Requests)>,
}

type Requests = VecDeque<oneshot::Sender<Turn>>;

impl Turns {
    /// Waits for a turn of this client.
    pub async fn take(&self, client: IpAddr) -> Turn {
        let Some(turn) = self.enqueue(client) else {
            return Turn(self.clone());
        };
        // Every queued request gets a turn before the queue is dropped.
        turn.await.unwrap_or_else(|_| Turn(self.clone()))
    }

    /// Queues a request, or returns `None` if its turn is now.
    fn enqueue(&self, client: IpAddr) -> Option<oneshot::Receiver<Turn>> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !queue.taken {
            queue.taken = true;
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let mut clients = queue.clients.iter_mut();
        match clients.find(|(waiting, _)| *waiting == client) {
            Some((_, requests)) => requests.push_back(sender),
            None => queue.clients.push_back((client, [sender].into())),
        }
        Some(receiver)
    }

    /// Returns the next request. Without one, the turn becomes free.
    fn next(&self) -> Option<oneshot::Sender<Turn>> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((client, mut requests)) = queue.clients.pop_front() {
            // Closed requests have given up.
            while let Some(request) = requests.pop_front() {
                if !request.is_closed() {
                    if !requests.is_empty() {
                        queue.clients.push_back((client, requests));
                    }
                    return Some(request);
                }
            }
        }
        queue.taken = false;
        None
    }
}

impl Turn {
    /// Starts the next turn after a rest, in which requests that take no turns can run.
    pub fn end_after(self, rest: Duration) {
        if rest >= SHORTEST_REST {
            tokio::spawn(async move {
                tokio::time::sleep(rest).await;
                drop(self);
            });
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(request) = self.0.next() {
            // A request that gives up now drops the turn, which passes it on.
            let _ = request.send(Turn(self.0.clone()));
        }
    }
}
