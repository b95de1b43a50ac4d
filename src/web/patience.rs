//! A connection that does not wait for ever: not for the rest of a request, not for the next one, not for a reader.
//!
//! hyper's own time-out for headers also ends connections that merely wait for the next scrape, so the two are told
//! apart here.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, timeout_at};

use super::Patience;
use super::connections::Connection;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// For the rest of a TLS handshake, in the time of the first request.
    Handshake,
    /// For the rest of a request; a new connection has to send its first soon.
    Request,
    /// For the next request.
    Idle,
    /// For the reader to take more.
    Write,
}

/// A stream with deadlines.
pub struct Patient<S> {
    stream: S,
    patience: Patience,
    waiting: Waiting,
    connection: Arc<Connection>,
    deadline: Instant,
    /// Set to the deadline or to an earlier time, at which it is set anew: a timer is not moved with every request.
    alarm: Pin<Box<Sleep>>,
}

impl<S> Patient<S> {
    /// The first request is awaited from now on.
    pub fn new(stream: S, patience: Patience, connection: Arc<Connection>) -> Self {
        let alarm = Box::pin(sleep(patience.request));
        Self {
            stream,
            patience,
            waiting: Waiting::Request,
            connection,
            deadline: alarm.deadline(),
            alarm,
        }
    }

    /// A TLS handshake begins: until [`Self::established`] the bytes written are no response.
    pub fn handshaking(&mut self) {
        self.waiting = Waiting::Handshake;
    }

    /// The handshake is over; the clock of the first request goes on.
    pub fn established(&mut self) {
        self.waiting = Waiting::Request;
    }

    fn wait_for(&mut self, waiting: Waiting) {
        if (self.waiting == Waiting::Write) != (waiting == Waiting::Write) {
            self.connection.set_stalled(waiting == Waiting::Write);
        }
        self.waiting = waiting;
        let patience: Duration = match waiting {
            Waiting::Handshake | Waiting::Request => self.patience.request,
            Waiting::Idle => self.patience.idle,
            Waiting::Write => self.patience.write,
        };
        self.deadline = Instant::now() + patience;
        if self.deadline < self.alarm.deadline() {
            self.alarm.as_mut().reset(self.deadline);
        }
    }

    fn out_of_patience<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        loop {
            ready!(self.alarm.as_mut().poll(context));
            if self.alarm.deadline() >= self.deadline {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.alarm.as_mut().reset(self.deadline);
        }
    }
}

impl Patient<TcpStream> {
    /// Looks at the first bytes and leaves them where they are.
    ///
    /// # Errors
    ///
    /// A broken connection, or none within the time of the first request.
    pub async fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        timeout_at(self.deadline, self.stream.peek(bytes)).await?
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(read) => {
                // Only the first bytes of a request start the clock: one more byte now and then is no progress.
                if self.waiting == Waiting::Idle {
                    self.wait_for(Waiting::Request);
                }
                Poll::Ready(read)
            }
            Poll::Pending => self.out_of_patience(context),
        }
    }
}

impl<S: AsyncWrite + Unpin> Patient<S> {
    fn wrote(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            if self.waiting != Waiting::Handshake {
                self.wait_for(Waiting::Idle);
            }
            return written;
        }
        if !matches!(self.waiting, Waiting::Handshake | Waiting::Write) {
            self.wait_for(Waiting::Write);
        }
        self.out_of_patience(context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
