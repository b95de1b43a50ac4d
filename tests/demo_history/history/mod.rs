//! What an exporter would have shown of the demo's account in the days before its story starts.
//!
//! The account, the planner, the decoders, the fleet and the exposition are the real ones. Only time is simulated, so
//! that days take seconds.

mod changes;
mod exporter;
mod samples;

use std::io::{self, Write};
use std::time::Duration;

use kiwivm_exporter::simulator::{Options, Simulator};

use exporter::Exporter;
use samples::Samples;

/// How far back usage rows are told: until no poll that failed lets one be missed. All of a month would be told and
/// read thousands of times.
const ROWS: Duration = Duration::from_secs(6 * 3600);

/// Which history.
#[derive(Clone, Debug)]
pub struct History {
    /// Days before the end, 30 at most.
    pub days: u32,
    /// Seconds between two scrapes.
    pub step: u32,
    /// How many times as seldom as usual the exporter polls: less takes less time.
    pub slower: u32,
    /// Unix seconds of the last scrape, which is when the demo's story starts.
    pub end: i64,
    /// Labels that Prometheus gives to what it scrapes.
    pub job: String,
    /// The same.
    pub instance: String,
    /// Parts of the names of metric families that are wanted; all without any.
    pub only: Vec<String>,
}

impl History {
    /// Writes it as OpenMetrics text, and gives the account as it is at the end.
    pub fn write(&self, out: &mut impl Write) -> io::Result<Simulator> {
        let end = seconds(self.end);
        let simulator = Simulator::demo(
            Options {
                past_days: self.days,
                history: ROWS,
                faults: vec![Simulator::odd_field_of_demo()],
                ..Options::default()
            },
            end,
        );
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
            let pages = [&*exporter.page(), &exporter.process(), UP];
            samples.scrape(time, &pages, wanted)?;
        }
        samples.write(out)?;
        Ok(simulator)
    }
}

/// What Prometheus itself notes about a scrape that succeeded.
const UP: &str = "# HELP up 1 if the last scrape succeeded.\n# TYPE up gauge\nup 1\n";

#[expect(clippy::cast_precision_loss, reason = "a time of this century")]
fn seconds(unix: i64) -> f64 {
    unix as f64
}
