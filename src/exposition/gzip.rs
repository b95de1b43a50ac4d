//! Compresses a page while it is written, so that it never is in memory as a whole.

use std::fmt::{self, Write as _};

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};

/// The encoders of prometheus-client write a few bytes at a time; the compressor is quicker with more.
const BLOCK: usize = 16 << 10;

/// The largest window of the format, as a power of two. A smaller one slides more often, which costs more than it saves.
const WINDOW_BITS: u8 = 15;

/// A page becomes a fifteenth of its size. Level 1 is hardly quicker and leaves half as much again; level 6 takes three
/// times as long for a tenth less.
const LEVEL: u32 = 2;

/// What compressing takes, kept between pages: memory that comes and goes every second in pieces of this size leaves
/// holes that nothing else fits in.
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
    /// Compresses what `write` writes. `size` is about what will come out.
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

/// Compresses a text that is asked for now and then.
pub fn compress(text: &str) -> Bytes {
    let body = Gzip::default().compress(text.len() / 8, |page| page.write_str(text));
    // Writing to memory does not fail.
    body.unwrap_or_default()
}

/// Text that is compressed as it comes.
pub struct GzipText<'a> {
    gzip: &'a mut Gzip,
    body: Vec<u8>,
}

impl GzipText<'_> {
    /// Compresses what has gathered.
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
                // It is kept for a second or two: twice as much as it takes would be felt.
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
