//! Accepts connections and lets them end in peace.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::either::Either;

use super::checks::has_valid_host;
use super::client_certificate::why_refused;
use super::connections::{Connection, Connections};
use super::guard::{Secured, guarded};
use super::handshake::shake_hands;
use super::negotiation::Negotiation;
use super::patience::Patient;
use super::routes::{Answer, answer, plain};
use super::throttle::Throttle;
use super::turns::Turns;
use super::{Options, Site};

/// A request line and headers larger than this are refused.
const LARGEST_HEAD: usize = 16 << 10;
/// How long answers in flight may take once the server is told to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// After an error that closing a connection cannot help.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What every connection needs.
pub struct Shared<S> {
    pub(super) site: Arc<S>,
    pub(super) options: Options,
    pub(super) requests: Option<Arc<Semaphore>>,
    pub(super) negotiation: Negotiation,
    pub(super) connections: Connections,
    pub(super) turns: Turns,
    refused_certificates: Throttle,
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
    let connections = Connections::new(options.max_connections);
    let shared = Arc::new(Shared {
        site,
        options,
        requests,
        negotiation: Negotiation::default(),
        connections,
        turns: Turns::default(),
        refused_certificates: Throttle::default(),
    });
    let (stop, stopping) = watch::channel(false);
    let (not_accepted, too_many) = (Throttle::default(), Throttle::default());
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept_any(&listeners) => accepted,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if let Some(suppressed) = not_accepted.admit() {
                    tracing::warn!(%error, suppressed, "cannot accept connections");
                }
                let no_descriptors = matches!(
                    Errno::from_io_error(&error),
                    Some(Errno::MFILE | Errno::NFILE)
                );
                if !no_descriptors || !shared.connections.evict().await {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                continue;
            }
        };
        let Some(connection) = shared.connections.admit(client.ip()).await else {
            if let Some(suppressed) = too_many.admit() {
                let most = shared.options.max_connections;
                tracing::warn!(
                    most,
                    suppressed,
                    "too many connections, a new one is closed"
                );
            }
            continue;
        };
        // An answer is written at once; waiting for more to send would only delay it.
        let _ = stream.set_nodelay(true);
        tokio::spawn(attend(
            stream,
            client,
            shared.clone(),
            connection,
            stopping.clone(),
        ));
    }
    drop((listeners, stopping));
    stop.send_replace(true);
    // Every connection holds a receiver.
    if tokio::time::timeout(LAST_ANSWERS, stop.closed())
        .await
        .is_err()
    {
        tracing::warn!("connections that were still open are cut off");
    }
}

/// One connection from its first byte to its last.
async fn attend<S: Site>(
    stream: TcpStream,
    client: SocketAddr,
    shared: Arc<Shared<S>>,
    connection: Arc<Connection>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut evicted = pin!(connection.evicted());
    let mut stop = pin!(stopping.wait_for(|stop| *stop));
    let patience = shared.options.patience;
    let tls = shared
        .options
        .gate
        .as_ref()
        .and_then(|gate| Some(gate.current().tls.as_ref()?.server.clone()));
    let stream = Patient::new(stream, patience, connection.clone());
    let stream = match &tls {
        None => Either::Left(stream),
        Some(server) => {
            let secured = tokio::select! {
                biased;
                secured = shake_hands(stream, server.clone()) => secured,
                () = &mut evicted => return,
                _ = &mut stop => return,
            };
            match secured {
                Ok(stream) => stream,
                Err(error) => {
                    let refused = error.get_ref().and_then(|error| error.downcast_ref());
                    match refused.and_then(why_refused) {
                        None => tracing::debug!(%client, %error, "no TLS with this client"),
                        Some(reason) => {
                            if let Some(suppressed) = shared.refused_certificates.admit() {
                                tracing::warn!(%client, reason, suppressed, "client certificate refused");
                            }
                        }
                    }
                    return;
                }
            }
        }
    };
    let secured = match (tls, &stream) {
        (Some(_), Either::Left(_)) => Secured::NotAsConfigured,
        (tls, _) => Secured::By(tls),
    };

    let service = service_fn(|request| respond(&shared, &connection, &secured, request));
    let serving = http1::Builder::new()
        .max_buf_size(LARGEST_HEAD)
        // A client that has said all it wants may close its side and still read.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    let mut told = false;
    loop {
        tokio::select! {
            biased;
            // A client that goes away is nobody's concern.
            _ = serving.as_mut() => return,
            () = &mut evicted => return,
            _ = &mut stop, if !told => {
                told = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn respond<S: Site>(
    shared: &Shared<S>,
    connection: &Arc<Connection>,
    secured: &Secured,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    if !has_valid_host(request.version(), request.headers()) {
        let text = "A request names the host that it is for in one Host header.\n";
        return Ok(plain(StatusCode::BAD_REQUEST, text));
    }
    let response = match &shared.options.gate {
        None => answer(shared, connection, request).await,
        Some(gate) => guarded(shared, gate, connection, secured, request).await,
    };
    let responding = connection.responding();
    Ok(response.map(|answer| answer.keeps(responding)))
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
