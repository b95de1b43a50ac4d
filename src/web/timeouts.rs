//! A connection with deadlines for the rest of a request, for the next request, and for the reader of a response.
//!
//! hyper's own header timeout also closes connections that merely wait for the next scrape, so the two cases are
//! distinguished here.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, timeout_at};

use super::Timeouts;
use super::connections::Connection;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// For the rest of a TLS handshake, within the deadline of the first request.
    Handshake,
    /// For the rest of a request. A new connection starts in this state.
    Request,
    /// For the next request.
    Idle,
    /// For the client to read more.
    Write,
}

/// A stream with deadlines.
pub struct TimedStream<S> {
    stream: S,
    timeouts: Timeouts,
    waiting: Waiting,
    connection: Arc<Connection>,
    deadline: Instant,
    /// Fires at the deadline or earlier, and is then reset. This avoids resetting the timer with every request.
    timer: Pin<Box<Sleep>>,
}

impl<S> TimedStream<S> {
    /// Wraps a new connection. The deadline of the first request starts now.
    pub fn new(stream: S, timeouts: Timeouts, connection: Arc<Connection>) -> Self {
        let timer = Box::pin(sleep(timeouts.request));
        Self {
            stream,
            timeouts,
            waiting: Waiting::Request,
            connection,
            deadline: timer.deadline(),
            timer,
        }
    }

    /// Marks the start of a TLS handshake. Until [`Self::end_handshake`], written bytes are not a response.
    pub fn begin_handshake(&mut self) {
        self.waiting = Waiting::Handshake;
    }

    /// Marks the end of the handshake. The deadline of the first request stays.
    pub fn end_handshake(&mut self) {
        self.waiting = Waiting::Request;
    }

    fn wait_for(&mut self, waiting: Waiting) {
        if (self.waiting == Waiting::Write) != (waiting == Waiting::Write) {
            self.connection.set_stalled(waiting == Waiting::Write);
        }
        self.waiting = waiting;
        let timeouts: Duration = match waiting {
            Waiting::Handshake | Waiting::Request => self.timeouts.request,
            Waiting::Idle => self.timeouts.idle,
            Waiting::Write => self.timeouts.write,
        };
        self.deadline = Instant::now() + timeouts;
        if self.deadline < self.timer.deadline() {
            self.timer.as_mut().reset(self.deadline);
        }
    }

    fn poll_deadline<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        loop {
            ready!(self.timer.as_mut().poll(context));
            if self.timer.deadline() >= self.deadline {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.timer.as_mut().reset(self.deadline);
        }
    }
}

impl TimedStream<TcpStream> {
    /// Reads the first bytes without consuming them.
    ///
    /// # Errors
    ///
    /// Fails if the connection breaks or nothing arrives within the deadline of the first request.
    pub async fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        timeout_at(self.deadline, self.stream.peek(bytes)).await?
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(read) => {
                // Only the first bytes of a request start the deadline: later bytes must not extend it.
                if self.waiting == Waiting::Idle {
                    self.wait_for(Waiting::Request);
                }
                Poll::Ready(read)
            }
            Poll::Pending => self.poll_deadline(context),
        }
    }
}

impl<S: AsyncWrite + Unpin> TimedStream<S> {
    fn after_write(
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
        self.poll_deadline(context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.after_write(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.after_write(context, written)
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
