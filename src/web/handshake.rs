//! The start of a connection on a TLS port.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::timeouts::TimedStream;

/// A connection, plain or over TLS. Deadlines apply below TLS, where a stalled reader is visible.
pub type Stream = Either<TimedStream<TcpStream>, Box<TlsStream<TimedStream<TcpStream>>>>;

/// Performs the TLS handshake. Leaves the stream of a plain HTTP client plain, so that it can get an error response.
///
/// # Errors
///
/// Fails if the client speaks neither protocol, is too slow, or presents a refused certificate.
pub async fn accept_tls(
    mut stream: TimedStream<TcpStream>,
    server: Arc<ServerConfig>,
) -> io::Result<Stream> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // HTTP methods are upper case. Every TLS connection starts with 22, the type of a handshake record.
    if first[0].is_ascii_uppercase() {
        return Ok(Either::Left(stream));
    }
    stream.begin_handshake();
    let mut stream = TlsAcceptor::from(server).accept(stream).await?;
    stream.get_mut().0.end_handshake();
    Ok(Either::Right(Box::new(stream)))
}
