//! Accepts connections, serves them, and shuts them down gracefully.

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
use tokio::sync::watch;
use tokio_util::either::Either;

use super::checks::has_valid_host;
use super::client_certificate::refusal_reason;
use super::connections::Connection;
use super::guard::{Transport, guarded};
use super::handshake::accept_tls;
use super::response::{ResponseBody, plain};
use super::routes::handle;
use super::shared::Shared;
use super::throttle::Throttle;
use super::timeouts::TimedStream;
use super::{Options, Site};

/// A request line and headers larger than this are refused.
const LARGEST_HEAD: usize = 16 << 10;
/// Time for responses in flight to finish after shutdown begins.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// Pause after an accept error that evicting a connection does not fix.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves on bound listeners until `shutdown` completes, then finishes the responses in flight.
pub async fn serve<S: Site>(
    listeners: Vec<TcpListener>,
    site: Arc<S>,
    options: Options,
    shutdown: impl Future<Output = ()>,
) {
    let shared = Arc::new(Shared::new(site, options));
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
                tracing::warn!(most, suppressed, "too many connections, closing a new one");
            }
            continue;
        };
        // A response is written in one piece. Nagle's algorithm would only delay it.
        let _ = stream.set_nodelay(true);
        tokio::spawn(serve_connection(
            stream,
            client,
            shared.clone(),
            connection,
            stopping.clone(),
        ));
    }
    drop((listeners, stopping));
    stop.send_replace(true);
    // Every connection holds a receiver until it ends.
    if tokio::time::timeout(SHUTDOWN_GRACE, stop.closed())
        .await
        .is_err()
    {
        tracing::warn!("closing connections that are still open after the shutdown deadline");
    }
}

/// Serves one connection from its first byte to its last.
async fn serve_connection<S: Site>(
    stream: TcpStream,
    client: SocketAddr,
    shared: Arc<Shared<S>>,
    connection: Arc<Connection>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut evicted = pin!(connection.evicted());
    let mut stop = pin!(stopping.wait_for(|stop| *stop));
    let timeouts = shared.options.timeouts;
    let tls = shared
        .options
        .gate
        .as_ref()
        .and_then(|gate| Some(gate.current().tls.as_ref()?.server.clone()));
    let stream = TimedStream::new(stream, timeouts, connection.clone());
    let stream = match &tls {
        None => Either::Left(stream),
        Some(server) => {
            let secured = tokio::select! {
                biased;
                secured = accept_tls(stream, server.clone()) => secured,
                () = &mut evicted => return,
                _ = &mut stop => return,
            };
            match secured {
                Ok(stream) => stream,
                Err(error) => {
                    let refused = error.get_ref().and_then(|error| error.downcast_ref());
                    match refused.and_then(refusal_reason) {
                        None => tracing::debug!(%client, %error, "TLS handshake failed"),
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
    let transport = match (tls, &stream) {
        (Some(_), Either::Left(_)) => Transport::PlainDespiteTls,
        (tls, _) => Transport::AsConfigured(tls),
    };

    let service = service_fn(|request| respond(&shared, &connection, &transport, request));
    let serving = http1::Builder::new()
        .max_buf_size(LARGEST_HEAD)
        // A client may close its sending side after the request and still read the response.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    let mut shutting_down = false;
    loop {
        tokio::select! {
            biased;
            // Errors of a disconnecting client need no log line.
            _ = serving.as_mut() => return,
            () = &mut evicted => return,
            _ = &mut stop, if !shutting_down => {
                shutting_down = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn respond<S: Site>(
    shared: &Shared<S>,
    connection: &Arc<Connection>,
    transport: &Transport,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    if !has_valid_host(request.version(), request.headers()) {
        let text = "The request needs exactly one valid Host header.\n";
        return Ok(plain(StatusCode::BAD_REQUEST, text));
    }
    let response = match &shared.options.gate {
        None => handle(shared, connection, request).await,
        Some(gate) => guarded(shared, gate, connection, transport, request).await,
    };
    let responding = connection.responding();
    Ok(response.map(|body| body.hold(responding)))
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
