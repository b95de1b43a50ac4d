//! Compresses a page while it is written, so that it never is in memory as a whole.

use std::fmt::{self, Write as _};

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};

/// The encoders of prometheus-client write a few bytes at a time; the compressor is quicker with more.
const BLOCK: usize = 16 << 10;

/// How far back the compressor looks, as a power of two: a line is like those just before it. The largest window would
/// make a page 4 % smaller and take 110 KB more.
const WINDOW_BITS: u8 = 12;

/// What compressing takes, kept between pages: memory that comes and goes every second in pieces of this size leaves
/// holes that nothing else fits in. The level is the fastest: a page becomes a tenth of its size, and the best level
/// would make a third less of it in four times the time.
pub struct Gzip {
    state: Compress,
    block: Vec<u8>,
}

impl Default for Gzip {
    fn default() -> Self {
        Self {
            state: Compress::new_gzip(Compression::fast(), WINDOW_BITS),
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
    fn flush(&mut self, flush: FlushCompress) -> fmt::Result {
        let Gzip { state, block } = &mut *self.gzip;
        let mut rest = block.as_slice();
        loop {
            if self.body.capacity() - self.body.len() < BLOCK / 4 {
                self.body.reserve(BLOCK);
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
                break;
            }
        }
        block.clear();
        Ok(())
    }
}

impl fmt::Write for GzipText<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.gzip.block.len() + text.len() > BLOCK && !self.gzip.block.is_empty() {
            self.flush(FlushCompress::None)?;
        }
        self.gzip.block.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
