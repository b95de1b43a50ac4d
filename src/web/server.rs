//! Accepts connections and lets them end in peace.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::patience::Patient;
use super::routes::answer;
use super::{Options, Site};

/// Connections at a time; beyond, new ones are closed at once.
const MOST_CONNECTIONS: usize = 512;
/// A request line and headers larger than this are refused.
const LARGEST_HEAD: usize = 16 << 10;
/// How long answers in flight may take once the server is told to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// After an error such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What every connection needs.
pub struct Shared<S> {
    pub(super) site: Arc<S>,
    pub(super) options: Options,
    pub(super) requests: Option<Arc<Semaphore>>,
}

/// Serves on bound listeners until `shutdown` ends; answers in flight are finished then.
pub async fn serve<S: Site>(
    listeners: Vec<TcpListener>,
    site: Arc<S>,
    options: Options,
    shutdown: impl Future<Output = ()>,
) {
    let requests = match options.max_requests {
        0 => None,
        most => Some(Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)))),
    };
    let shared = Arc::new(Shared {
        site,
        options,
        requests,
    });
    let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept_any(&listeners) => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = connections.clone().try_acquire_owned() else {
            tracing::warn!(
                most = MOST_CONNECTIONS,
                "too many connections, one was closed"
            );
            continue;
        };
        // An answer is written at once; waiting for more to send would only delay it.
        let _ = stream.set_nodelay(true);
        let stream = Patient::new(stream, shared.options.patience);
        let shared = shared.clone();
        let service = service_fn(move |request| {
            let shared = shared.clone();
            async move { Ok::<_, Infallible>(answer(&shared, request).await) }
        });
        let connection = http1::Builder::new()
            .max_buf_size(LARGEST_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A client that goes away is nobody's concern.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listeners);
    if tokio::time::timeout(LAST_ANSWERS, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("connections that were still open are cut off");
    }
}

async fn accept_any(listeners: &[TcpListener]) -> io::Result<(TcpStream, SocketAddr)> {
    poll_fn(|context| {
        listeners
            .iter()
            .map(|listener| listener.poll_accept(context))
            .find(Poll::is_ready)
            .unwrap_or(Poll::Pending)
    })
    .await
}
