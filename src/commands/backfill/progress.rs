//! Progress bar on a terminal; no output to a file.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

/// Characters of the bar and of the name: with the numbers the line fits into 80 columns.
const WIDTH: usize = 24;
const NAME: usize = 24;
/// Rows arrive much faster than a terminal can draw.
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

    /// Starts the next VPS.
    pub(super) fn begin(&mut self, name: &str) {
        // Names may contain control characters, which must not reach the terminal, or be too long for a line.
        let printable = name.chars().filter(|c| !c.is_control());
        self.name = printable.take(NAME).collect();
        self.rows = 0;
        self.draw();
    }

    /// Counts a row.
    pub(super) fn row(&mut self) {
        self.rows += 1;
        if self.drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW) {
            self.draw();
        }
    }

    /// Counts the current VPS as done.
    pub(super) fn end(&mut self) {
        self.done += 1;
        self.draw();
    }

    /// Prints a line above the bar.
    pub(super) fn print(&mut self, line: &str) {
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
        // A closed terminal must not stop the backfill.
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
