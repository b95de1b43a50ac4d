//! Generated metrics of the demo's account for the days before the demo starts.
//!
//! The account, planner, decoders, fleet and exposition are the real ones. Only the time is simulated, so that days
//! take seconds.

mod changes;
mod exporter;
mod samples;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use kiwivm_exporter::simulator::{Simulator, SimulatorOptions};

use exporter::Exporter;
use samples::Samples;

/// Age of the oldest usage row in a response. It is long enough that no failed poll loses a row. With a month of rows
/// each poll would take too long.
const ROWS: Duration = Duration::from_secs(6 * 3600);

/// Options of a history.
#[derive(Clone, Debug)]
pub struct History {
    /// VPSes of the account. The demo has eight.
    pub vps: u32,
    /// Days before the end, 30 at most.
    pub days: u32,
    /// Seconds between two scrapes.
    pub step: u32,
    /// Factor by which polling is slower than usual. A higher one makes the generation faster.
    pub slower: u32,
    /// Unix seconds of the last scrape, at which the demo starts.
    pub end: i64,
    /// The `job` label that Prometheus adds.
    pub job: String,
    /// The `instance` label that Prometheus adds.
    pub instance: String,
    /// Parts of the names of wanted metric families. Empty means all.
    pub only: Vec<String>,
}

impl History {
    /// Writes the history as OpenMetrics text. Returns the account at its end.
    pub fn write(&self, out: &mut impl Write) -> io::Result<Simulator> {
        let end = seconds(self.end);
        let options = SimulatorOptions {
            past_days: self.days,
            history: ROWS,
            faults: vec![Simulator::odd_field_of_demo()],
            ..SimulatorOptions::default()
        };
        let simulator = match self.vps {
            8 => Simulator::demo(options, end),
            count => Simulator::fleet(options, end, count),
        };
        let step = i64::from(self.step);
        let scrapes = i64::from(self.days) * 86_400 / step;
        let start = self.end - scrapes * step;
        let mut exporter = Exporter::new(&simulator, self.slower, seconds(start));
        let mut samples = Samples::new(&self.job, &self.instance)?;
        let wanted = |family: &str| {
            self.only.is_empty() || self.only.iter().any(|part| family.contains(part.as_str()))
        };
        for scrape in 1..=scrapes {
            let time = start + scrape * step;
            exporter.run_until(seconds(time));
            let begun = Instant::now();
            let (page, process) = (exporter.page(), exporter.process());
            let scrape = format!("{SCRAPE}{}\n", begun.elapsed().as_secs_f64());
            samples.scrape(time, &[&page, &process, &scrape], wanted)?;
        }
        samples.write(out)?;
        Ok(simulator)
    }
}

/// The metrics that Prometheus adds for a successful scrape, up to the value of the last one.
const SCRAPE: &str = "# HELP up 1 if the last scrape succeeded.\n# TYPE up gauge\nup 1\n\
    # HELP scrape_duration_seconds Duration of the scrape.\n# TYPE scrape_duration_seconds gauge\nscrape_duration_seconds ";

#[expect(clippy::cast_precision_loss, reason = "a time of this century")]
fn seconds(unix: i64) -> f64 {
    unix as f64
}
