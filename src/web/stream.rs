//! A connection, plain or over TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Patience;
use super::patience::Patient;
use super::places::Place;

/// What a client that speaks plain HTTP here is told; the words are Go's.
const NOT_TLS: &[u8] = b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
/// The first byte of every TLS connection: a handshake record.
const HANDSHAKE: u8 = 22;

/// A connection with deadlines. Below TLS, so that a reader that stalls is seen there.
pub enum Stream {
    /// HTTP as it is.
    Plain(Patient<TcpStream>),
    /// HTTPS.
    Tls(Box<TlsStream<Patient<TcpStream>>>),
}

impl Stream {
    /// Without TLS there is nothing to wait for.
    pub fn plain(stream: TcpStream, patience: Patience, place: Arc<Place>) -> Self {
        Self::Plain(Patient::new(stream, patience, place))
    }

    /// Shakes hands. A client that does not is cut off when a first request would be.
    ///
    /// # Errors
    ///
    /// A client that does not speak TLS, is too slow, or is not let in.
    pub async fn secured(
        stream: TcpStream,
        patience: Patience,
        place: Arc<Place>,
        server: Arc<ServerConfig>,
    ) -> io::Result<Self> {
        let mut stream = Patient::handshaking(stream, patience, place);
        let mut first = [HANDSHAKE];
        let peek = stream.stream().peek(&mut first);
        let peeked = tokio::time::timeout(patience.request, peek).await;
        peeked.map_err(|_| io::ErrorKind::TimedOut)??;
        if first[0].is_ascii_uppercase() {
            stream.write_all(NOT_TLS).await?;
            stream.shutdown().await?;
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it speaks plain HTTP",
            ));
        }
        let mut stream = TlsAcceptor::from(server).accept(stream).await?;
        stream.get_mut().0.established();
        Ok(Self::Tls(Box::new(stream)))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
