//! Turns for work that one request after the other may do: clients take turns, not requests, so that a client with many
//! requests delays itself and nobody else.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// Shorter than the time-outs of Prometheus and of people. After it, the client has to come again.
pub const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// The timer knows no shorter times.
const SHORTEST_REST: Duration = Duration::from_millis(1);

/// Gives one turn at a time.
#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<Queue>>);

/// The turn of a request. The next one comes when it is dropped.
pub struct Turn(Turns);

#[derive(Default)]
struct Queue {
    taken: bool,
    /// The client in front is next; each has its requests in the order of their arrival.
    clients: VecDeque<(IpAddr, Requests)>,
}

type Requests = VecDeque<oneshot::Sender<Turn>>;

impl Turns {
    /// Waits for a turn of this client.
    pub async fn take(&self, client: IpAddr) -> Turn {
        let Some(turn) = self.enqueue(client) else {
            return Turn(self.clone());
        };
        // A turn is handed to each request in the queue before the queue ends.
        turn.await.unwrap_or_else(|_| Turn(self.clone()))
    }

    /// Enters a request in the queue unless it is its turn at once.
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

    /// The request whose turn is next. Without one the turn is free.
    fn next(&self) -> Option<oneshot::Sender<Turn>> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((client, mut requests)) = queue.clients.pop_front() {
            // Those that are closed have given up.
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
    /// Lets the next turn begin after a rest, in which others than those that take turns can work.
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
            // One that gives up just now drops the turn, which passes it on.
            let _ = request.send(Turn(self.0.clone()));
        }
    }
}
