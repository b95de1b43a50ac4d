//! Scrapes over connections that stay open, as Prometheus does.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::limit::Form;

/// A connection on which one scrape follows the other.
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
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_nodelay(true).expect("it is TCP");
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

    /// One scrape; how long its body is.
    pub fn scrape(&mut self) -> usize {
        self.exchange(|_| {})
    }

    /// One scrape; its body.
    pub fn body(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        self.exchange(|part| body.extend_from_slice(part));
        body
    }

    fn exchange(&mut self, mut take: impl FnMut(&[u8])) -> usize {
        self.stream
            .write_all(self.request.as_bytes())
            .expect("it listens");
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

    /// A body whose length is not told before: until its last chunk.
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
            .expect("it answers");
        assert!(read > 0, "the answer ends early");
        read
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).expect("it is text");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    let (_, length) = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    length.parse().ok()
}

/// What came of scraping for a while.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Microseconds of the scrape in the middle.
    pub p50: f64,
    /// Scrapes a second over all connections.
    pub a_second: f64,
}

/// Scrapes on so many connections at once for so long.
pub fn pace(address: SocketAddr, form: Form, connections: usize, time: Duration) -> Pace {
    let begun = Instant::now();
    let connection = move || {
        let mut scraper = Scraper::connect(address, form);
        scraper.scrape();
        let mut micros = Vec::new();
        // However slow it is.
        while micros.len() < 3 || begun.elapsed() < time {
            let asked = Instant::now();
            scraper.scrape();
            micros.push(asked.elapsed().as_secs_f64() * 1e6);
        }
        micros
    };
    let threads: Vec<_> = (0..connections)
        .map(|_| std::thread::spawn(connection))
        .collect();
    let mut micros: Vec<f64> = threads
        .into_iter()
        .flat_map(|thread| thread.join().expect("it scrapes"))
        .collect();
    let elapsed = begun.elapsed().as_secs_f64();
    micros.sort_unstable_by(f64::total_cmp);
    Pace {
        p50: micros[micros.len() / 2],
        #[expect(clippy::cast_precision_loss, reason = "a count of scrapes")]
        a_second: micros.len() as f64 / elapsed,
    }
}
