//! How far it is: a bar on a terminal, nothing into a file.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

const WIDTH: usize = 24;
const NAME: usize = 24;
const REDRAW: Duration = Duration::from_millis(100);

/// Shows VPSes done and rows received on standard error.
pub(super) struct Progress {
    terminal: bool,
    vps: usize,
    done: usize,
    rows: u64,
    name: String,
    drawn: Option<Instant>,
}

impl Progress {
    pub(super) fn new(vps: usize) -> Self {
        Self {
            terminal: stderr().is_terminal(),
            vps,
            done: 0,
            rows: 0,
            name: String::new(),
            drawn: None,
        }
    }

    /// A VPS is asked for its history.
    pub(super) fn begin(&mut self, name: &str) {
        // Names are chosen by others: control characters must not reach the terminal, nor the bar its right edge.
        let harmless = name.chars().filter(|c| !c.is_control());
        self.name = harmless.take(NAME).collect();
        self.rows = 0;
        self.draw();
    }

    /// A row arrived.
    pub(super) fn row(&mut self) {
        self.rows += 1;
        if self.drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW) {
            self.draw();
        }
    }

    /// Nothing more will come of this VPS.
    pub(super) fn end(&mut self) {
        self.done += 1;
        self.draw();
    }

    /// A line above the bar.
    pub(super) fn say(&mut self, line: &str) {
        self.clear();
        eprintln!("kiwivm_exporter: {line}");
        self.draw();
    }

    fn draw(&mut self) {
        if !self.terminal {
            return;
        }
        self.drawn = Some(Instant::now());
        let full = WIDTH * self.done / self.vps.max(1);
        let bar = "#".repeat(full) + &"-".repeat(WIDTH - full);
        // A terminal that is gone is no reason to stop.
        let _ = write!(
            stderr(),
            "\r\x1b[K[{bar}] {} of {}  {}  {} rows",
            self.done,
            self.vps,
            self.name,
            self.rows
        );
    }

    fn clear(&self) {
        if self.terminal {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
