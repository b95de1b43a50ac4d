//! Writes the past days of the demo's account as OpenMetrics text, for `promtool tsdb create-blocks-from openmetrics`:
//! `cargo run --release --example demo_history -- --days=30 --step=300 > history.om`.

mod history;

use std::io::{self, BufWriter, Write as _};
use std::time::Instant;

use clap::Parser;
use history::History;
use kiwivm_exporter::commands::simulate::unix_now;

/// Writes the past days of the demo's account as OpenMetrics text.
#[derive(Parser)]
struct Arguments {
    /// Number of VPSes. The default is the account of the demo.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=500))]
    vps: u32,
    /// Days of history.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=30))]
    days: u32,
    /// Seconds between two scrapes.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    step: u32,
    /// Factor by which polling is slower than usual.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=30))]
    slower: u32,
    /// End of the history in Unix seconds [default: now].
    #[arg(long)]
    end: Option<i64>,
    /// Value of the `job` label.
    #[arg(long, default_value = "kiwivm")]
    job: String,
    /// Value of the `instance` label.
    #[arg(long, default_value = "demo")]
    instance: String,
    /// Only write metric families whose names contain one of these.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

#[expect(clippy::cast_possible_truncation, reason = "a time of this century")]
fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let begun = Instant::now();
    let history = History {
        vps: arguments.vps,
        days: arguments.days,
        step: arguments.step,
        slower: arguments.slower,
        end: arguments.end.unwrap_or(unix_now() as i64),
        job: arguments.job,
        instance: arguments.instance,
        only: arguments.only,
    };
    let mut out = BufWriter::new(io::stdout().lock());
    history.write(&mut out)?;
    out.flush()?;
    eprintln!(
        "{} days until {} in {:.1} s",
        history.days,
        history.end,
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}
