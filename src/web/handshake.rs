//! The start of a connection: TLS where it is configured.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::patience::Patient;

/// A connection, plain or over TLS. Deadlines are below TLS, so that a reader that stalls is seen there.
pub type Stream = Either<Patient<TcpStream>, Box<TlsStream<Patient<TcpStream>>>>;

/// Shakes hands. The stream of a client that speaks plain HTTP stays plain, so that it can be told.
///
/// # Errors
///
/// A client that speaks neither, is too slow, or shows a certificate that is refused.
pub async fn shake_hands(
    mut stream: Patient<TcpStream>,
    server: Arc<ServerConfig>,
) -> io::Result<Stream> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // Methods are in capitals; every TLS connection begins with 22, the type of a handshake record.
    if first[0].is_ascii_uppercase() {
        return Ok(Either::Left(stream));
    }
    stream.handshaking();
    let mut stream = TlsAcceptor::from(server).accept(stream).await?;
    stream.get_mut().0.established();
    Ok(Either::Right(Box::new(stream)))
}
