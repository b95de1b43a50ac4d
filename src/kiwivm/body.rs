//! The body of a response: received in chunks and decoded without blocking other tasks.

use super::call::CallRow;
use super::model::UsageRow;
use super::phase::Phase;
use super::transport::TransportFailure;
use super::{ApiKey, Call, DecodeError, Decoded, Reason, UsageStream, decode};

/// Bytes decoded at a time, in well below a millisecond. Larger bodies are decoded on a blocking thread.
const DECODE_CHUNK: usize = 16 << 10;

/// The body of a response as it arrives.
pub(super) struct ResponseBody {
    pub(super) received: usize,
    pub(super) content: Content,
}

pub(super) enum Content {
    Whole(Vec<u8>),
    Usage(Box<UsageStream>),
    Invalid(DecodeError),
}

impl ResponseBody {
    pub(super) fn of(call: Call) -> Self {
        let content = if call == Call::RawUsageStats {
            Content::Usage(Box::default())
        } else {
            Content::Whole(Vec::new())
        };
        Self {
            received: 0,
            content,
        }
    }

    /// Reads the body until it ends or turns out to be unusable.
    pub(super) async fn receive(
        &mut self,
        response: &mut reqwest::Response,
        limits: &CallRow,
        row: &mut (dyn FnMut(UsageRow) + Send),
    ) -> Result<(), TransportFailure> {
        loop {
            let chunk = match tokio::time::timeout(limits.read_timeout, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => return Ok(()),
                Ok(Err(error)) if error.is_timeout() => {
                    return Err(TransportFailure::timeout(Phase::Body, limits.timeout));
                }
                Ok(Err(error)) => return Err(TransportFailure::of(&error.without_url())),
                Err(_) => return Err(TransportFailure::timeout(Phase::Body, limits.read_timeout)),
            };
            self.received += chunk.len();
            if self.received > limits.body_limit {
                let detail = format!(
                    "the response is larger than {} MiB",
                    limits.body_limit >> 20
                );
                return Err(TransportFailure::new(Reason::BodyTooLarge, detail));
            }
            for piece in chunk.chunks(DECODE_CHUNK) {
                if !self.content.push(piece, row) {
                    return Ok(());
                }
                // Decompression yields many chunks in a row without awaiting, which would starve other tasks.
                tokio::task::yield_now().await;
            }
        }
    }
}

impl Content {
    /// Adds a chunk. Returns false once the body is known to be unusable.
    fn push(&mut self, chunk: &[u8], row: &mut dyn FnMut(UsageRow)) -> bool {
        match self {
            Self::Whole(body) => body.extend_from_slice(chunk),
            Self::Usage(stream) => {
                if let Err(error) = stream.push(chunk, row) {
                    *self = Self::Invalid(error);
                    return false;
                }
            }
            Self::Invalid(_) => return false,
        }
        true
    }

    pub(super) async fn decode(self, call: Call, key: &ApiKey) -> Result<Decoded, DecodeError> {
        match self {
            Self::Whole(body) if body.len() > DECODE_CHUNK => {
                let key = key.clone();
                let decode = move || decode(call, &key, &body, &mut |_| {});
                match tokio::task::spawn_blocking(decode).await {
                    Ok(decoded) => decoded,
                    // The task is never cancelled, so it panicked.
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                }
            }
            Self::Whole(body) => decode(call, key, &body, &mut |_| {}),
            Self::Usage(stream) => stream.finish(key),
            Self::Invalid(error) => Err(error),
        }
    }
}
