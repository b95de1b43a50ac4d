//! Compresses a page while it is written, so that the plain page is never in memory as a whole.

use std::fmt::{self, Write as _};

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};

/// Block size of the compressor. It is faster with more than the few bytes that prometheus-client writes at a time.
const BLOCK: usize = 16 << 10;

/// The largest window of the format, as a power of two. A smaller one slides more often and costs more than it saves.
const WINDOW_BITS: u8 = 15;

/// Compresses a page to a fifteenth of its size. Level 1 is hardly faster, and its output is half as large again. Level
/// 6 takes three times as long for a tenth less.
const LEVEL: u32 = 2;

/// Compressor state, kept between pages. Allocating blocks of this size every second would fragment the heap.
pub struct Gzip {
    state: Compress,
    block: Vec<u8>,
}

impl Default for Gzip {
    fn default() -> Self {
        Self {
            state: Compress::new_gzip(Compression::new(LEVEL), WINDOW_BITS),
            block: Vec::with_capacity(BLOCK),
        }
    }
}

impl Gzip {
    /// Compresses the output of `write`. `size` is the expected size of the compressed body.
    pub(super) fn compress(
        &mut self,
        size: usize,
        write: impl FnOnce(&mut GzipText<'_>) -> fmt::Result,
    ) -> Result<Bytes, fmt::Error> {
        self.state.reset();
        self.block.clear();
        let mut page = GzipText {
            gzip: self,
            body: Vec::with_capacity(size),
        };
        write(&mut page)?;
        page.flush(FlushCompress::Finish)?;
        Ok(Bytes::from(page.body))
    }
}

/// Compresses a rarely requested text, without keeping the compressor state.
pub fn compress(text: &str) -> Bytes {
    let body = Gzip::default().compress(text.len() / 8, |page| page.write_str(text));
    // Writing to memory does not fail.
    body.unwrap_or_default()
}

/// A writer that compresses text as it arrives.
pub struct GzipText<'a> {
    gzip: &'a mut Gzip,
    body: Vec<u8>,
}

impl GzipText<'_> {
    /// Compresses the gathered block.
    fn flush(&mut self, flush: FlushCompress) -> fmt::Result {
        let block = std::mem::take(&mut self.gzip.block);
        let compressed = self.compress(&block, flush);
        self.gzip.block = block;
        self.gzip.block.clear();
        compressed
    }

    fn compress(&mut self, mut rest: &[u8], flush: FlushCompress) -> fmt::Result {
        let state = &mut self.gzip.state;
        loop {
            if self.body.capacity() - self.body.len() < BLOCK / 4 {
                // The body is kept for a second or two, so it grows in small steps instead of doubling.
                self.body.reserve_exact(BLOCK.max(self.body.len() / 8));
            }
            let before = state.total_in();
            let status = state
                .compress_vec(rest, &mut self.body, flush)
                .map_err(|_| fmt::Error)?;
            let taken = usize::try_from(state.total_in() - before).map_err(|_| fmt::Error)?;
            rest = &rest[taken..];
            let done = match flush {
                FlushCompress::Finish => status == Status::StreamEnd,
                _ => rest.is_empty(),
            };
            if done {
                return Ok(());
            }
        }
    }
}

impl fmt::Write for GzipText<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.gzip.block.len() + text.len() > BLOCK {
            self.flush(FlushCompress::None)?;
        }
        if text.len() >= BLOCK {
            return self.compress(text.as_bytes(), FlushCompress::None);
        }
        self.gzip.block.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
