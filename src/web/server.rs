//! Accepts connections and lets them end in peace.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::either::Either;

use super::checks::has_valid_host;
use super::guard::{Secured, guarded};
use super::handshake::shake_hands;
use super::negotiation::Negotiation;
use super::patience::Patient;
use super::places::{Place, Places};
use super::routes::{Answer, answer, plain};
use super::{Options, Site};

/// A request line and headers larger than this are refused.
const LARGEST_HEAD: usize = 16 << 10;
/// How long answers in flight may take once the server is told to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// After an error such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// A flood of connections must not become one of log lines.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// What every connection needs.
pub struct Shared<S> {
    pub(super) site: Arc<S>,
    pub(super) options: Options,
    pub(super) requests: Option<Arc<Semaphore>>,
    pub(super) negotiation: Negotiation,
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
    let places = Places::new(options.max_connections);
    let shared = Arc::new(Shared {
        site,
        options,
        requests,
        negotiation: Negotiation::default(),
    });
    let (stop, stopping) = watch::channel(false);
    let mut said: Option<Instant> = None;
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept_any(&listeners) => accepted,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(place) = places.take().await else {
            if said.is_none_or(|said| said.elapsed() > SAY_AGAIN) {
                said = Some(Instant::now());
                tracing::warn!(
                    most = shared.options.max_connections,
                    "too many connections, new ones are closed"
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
            place,
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
    place: Arc<Place>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut has_to_go = pin!(place.has_to_go());
    let mut stop = pin!(stopping.wait_for(|stop| *stop));
    let patience = shared.options.patience;
    let tls = shared
        .options
        .gate
        .as_ref()
        .and_then(|gate| Some(gate.current().tls.as_ref()?.server.clone()));
    let stream = Patient::new(stream, patience, place.clone());
    let stream = match &tls {
        None => Either::Left(stream),
        Some(server) => {
            let secured = tokio::select! {
                biased;
                secured = shake_hands(stream, server.clone()) => secured,
                () = &mut has_to_go => return,
                _ = &mut stop => return,
            };
            match secured {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::debug!(%client, %error, "no TLS with this client");
                    return;
                }
            }
        }
    };
    let secured = match (tls, &stream) {
        (Some(_), Either::Left(_)) => Secured::NotAsConfigured,
        (tls, _) => Secured::By(tls),
    };

    let service = service_fn(|request| respond(&shared, &place, &secured, request));
    let connection = http1::Builder::new()
        .max_buf_size(LARGEST_HEAD)
        // A client that has said all it wants may close its side and still read.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut told = false;
    loop {
        tokio::select! {
            biased;
            // A client that goes away is nobody's concern.
            _ = connection.as_mut() => return,
            () = &mut has_to_go => return,
            _ = &mut stop, if !told => {
                told = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn respond<S: Site>(
    shared: &Shared<S>,
    place: &Arc<Place>,
    secured: &Secured,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let busy = place.busy();
    if !has_valid_host(request.version(), request.headers()) {
        let text = "A request names the host that it is for in one Host header.\n";
        return Ok(plain(StatusCode::BAD_REQUEST, text));
    }
    let response = match &shared.options.gate {
        None => answer(shared, request).await,
        Some(gate) => guarded(shared, gate, secured, request).await,
    };
    Ok(response.map(|answer| answer.keeps(busy)))
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
