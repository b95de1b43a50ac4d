//! Scrapes over persistent connections, like Prometheus.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::limit::Form;

/// A connection for consecutive scrapes.
pub struct Scraper {
    stream: TcpStream,
    request: &'static str,
    buffer: Vec<u8>,
}

const PLAIN: &str = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Prometheus/3.5.0\r\n\
Accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1\r\n\
X-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n";
const GZIP: &str = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Prometheus/3.5.0\r\n\
Accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1\r\n\
Accept-Encoding: gzip\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n";

impl Scraper {
    pub fn connect(address: SocketAddr, form: Form) -> Self {
        let stream = TcpStream::connect(address).expect("a listening server");
        stream.set_nodelay(true).expect("a TCP socket");
        let request = match form {
            Form::Plain => PLAIN,
            Form::Gzip => GZIP,
        };
        Self {
            stream,
            request,
            buffer: vec![0; 256 << 10],
        }
    }

    /// Scrapes once and returns the length of the body.
    pub fn scrape(&mut self) -> usize {
        self.exchange(|_| {})
    }

    /// Scrapes once and returns the body.
    pub fn body(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        self.exchange(|part| body.extend_from_slice(part));
        body
    }

    fn exchange(&mut self, mut take: impl FnMut(&[u8])) -> usize {
        self.stream
            .write_all(self.request.as_bytes())
            .expect("a listening server");
        let mut filled = 0;
        let (head, length) = loop {
            filled += self.read(filled);
            let read = &self.buffer[..filled];
            if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
                break (end + 4, content_length(&read[..end]));
            }
        };
        let Some(length) = length else {
            return self.chunks(head, filled, take);
        };
        take(&self.buffer[head..filled]);
        let mut left = length - (filled - head);
        while left > 0 {
            let read = self.read(0);
            take(&self.buffer[..read]);
            left -= read;
        }
        length
    }

    /// Reads a chunked body up to its last chunk.
    fn chunks(&mut self, head: usize, mut filled: usize, mut take: impl FnMut(&[u8])) -> usize {
        while !self.buffer[head..filled].ends_with(b"\r\n0\r\n\r\n") {
            assert!(filled < self.buffer.len(), "the body is too long");
            filled += self.read(filled);
        }
        take(&self.buffer[head..filled]);
        filled - head
    }

    fn read(&mut self, from: usize) -> usize {
        let read = self
            .stream
            .read(&mut self.buffer[from..])
            .expect("a response");
        assert!(read > 0, "the response ends early");
        read
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).expect("text");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    let (_, length) = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    length.parse().ok()
}

/// Result of scraping for some time.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Median duration of a scrape in microseconds.
    pub p50: f64,
    /// Scrapes a second over all connections.
    pub per_second: f64,
}

/// Scrapes over several connections at once for some time.
pub fn pace(address: SocketAddr, form: Form, connections: usize, time: Duration) -> Pace {
    let started = Instant::now();
    let connection = move || {
        let mut scraper = Scraper::connect(address, form);
        scraper.scrape();
        let mut micros = Vec::new();
        // Slow servers get at least three scrapes, for a median.
        while micros.len() < 3 || started.elapsed() < time {
            let sent = Instant::now();
            scraper.scrape();
            micros.push(sent.elapsed().as_secs_f64() * 1e6);
        }
        micros
    };
    let threads: Vec<_> = (0..connections)
        .map(|_| std::thread::spawn(connection))
        .collect();
    let mut micros: Vec<f64> = threads
        .into_iter()
        .flat_map(|thread| thread.join().expect("a finished thread"))
        .collect();
    let elapsed = started.elapsed().as_secs_f64();
    micros.sort_unstable_by(f64::total_cmp);
    Pace {
        p50: micros[micros.len() / 2],
        #[expect(clippy::cast_precision_loss, reason = "a count of scrapes")]
        per_second: micros.len() as f64 / elapsed,
    }
}
