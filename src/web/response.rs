//! Responses: their bodies and headers.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{
    CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use tokio::sync::OwnedSemaphorePermit;

use super::connections::Responding;

/// A body sent as one piece.
pub struct ResponseBody(Option<Piece>);

/// Bytes that count as a request in flight until they are sent or dropped. hyper takes the body immediately and sends
/// it later.
pub struct Piece {
    rest: Bytes,
    permit: Option<OwnedSemaphorePermit>,
    responding: Option<Responding>,
}

impl ResponseBody {
    /// Removes the body, as for HEAD requests.
    pub fn clear(&mut self) {
        self.0 = None;
    }

    /// Keeps the slot of a request in flight until the body is sent.
    pub fn set_permit(&mut self, permit: Option<OwnedSemaphorePermit>) {
        if let Some(piece) = &mut self.0 {
            piece.permit = permit;
        }
    }

    /// Keeps the response in progress until the body is sent.
    pub fn hold(mut self, responding: Responding) -> Self {
        if let Some(piece) = &mut self.0 {
            piece.responding = Some(responding);
        }
        self
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.rest.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.rest.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.rest.advance(count);
    }
}

impl Body for ResponseBody {
    type Data = Piece;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, Infallible>>> {
        Poll::Ready(self.0.take().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |piece| piece.remaining() as u64))
    }
}

/// Redirects to a path.
pub fn redirect(to: &str) -> Response<ResponseBody> {
    let response = plain(StatusCode::FOUND, format!("See {to}\n"));
    // A prefix contains only characters that are valid in a header.
    match HeaderValue::from_str(to) {
        Ok(to) => with_header(response, LOCATION, to),
        Err(_) => response,
    }
}

/// Returns a response of plain text.
pub fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<ResponseBody> {
    let headers = common_headers("text/plain; charset=utf-8");
    respond(status, headers, text.into())
}

/// Returns the headers of every response.
pub fn common_headers(content_type: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
}

/// Returns a response with this body.
pub fn respond(status: StatusCode, headers: HeaderMap, body: Bytes) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody(Some(Piece {
        rest: body,
        permit: None,
        responding: None,
    })));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Adds a header.
pub fn with_header(
    mut response: Response<ResponseBody>,
    name: HeaderName,
    value: HeaderValue,
) -> Response<ResponseBody> {
    response.headers_mut().insert(name, value);
    response
}

/// Returns 503 with a short `Retry-After`.
pub fn busy(text: &'static str) -> Response<ResponseBody> {
    let response = plain(StatusCode::SERVICE_UNAVAILABLE, text);
    with_header(response, RETRY_AFTER, HeaderValue::from_static("1"))
}
