//! `backfill`: the usage history of VPSes as OpenMetrics text, for `promtool tsdb create-blocks-from openmetrics`.
//!
//! Memory does not grow with the history: rows go to a temporary file as they arrive and are read from there once for
//! each metric, because OpenMetrics requires all samples of a metric together.

mod output;
mod points;
mod progress;
mod spool;

use std::io::{self, BufWriter, Write};
use std::ops::RangeInclusive;

use super::serve::stop_signal;
use super::{Failure, block_on, chosen, client_for, load_or_demo};
use crate::cli::{Backfill, Cli};
use crate::clock::Clock;
use crate::config::{Config, Vps};
use crate::exposition::history::{self, Point};
use crate::fleet::{Identity, UsageTotals, plausible};
use crate::kiwivm::model::UsageRow;
use crate::kiwivm::{ApiKey, Call, CallError, Client};
use crate::units::UnixSeconds;
use output::Output;
use points::UsagePoints;
use progress::Progress;
use spool::{Spool, Stretches};

/// Writes the history of all or of the chosen VPSes.
///
/// # Errors
///
/// An invalid configuration, an unknown VPS, an unwritable output, a signal to stop, or the number of VPSes that failed;
/// the history of the others is written then.
pub fn run(cli: &Cli, options: &Backfill) -> Result<(), Failure> {
    block_on(async {
        let config = load_or_demo(cli).await?;
        let chosen = chosen(&config, &options.vps)?;
        let output = Output::open(options.output.as_deref());
        let output = output.map_err(|error| output_failure(options, &error))?;
        if !output.needs_cleanup() {
            return backfill(&config, &chosen, options, output).await;
        }
        let stop = stop_signal()?;
        tokio::select! {
            outcome = backfill(&config, &chosen, options, output) => outcome,
            () = stop => Err(Failure("stopped: nothing was written".to_owned())),
        }
    })
}

async fn backfill(
    config: &Config,
    chosen: &[&Vps],
    options: &Backfill,
    output: Output,
) -> Result<(), Failure> {
    let client = client_for(config)?;
    let now = Clock::start().now().unix;
    let mut spool = Spool::new().map_err(|error| temporary_file_failure(&error))?;
    let mut histories = Vec::new();
    let mut progress = Progress::new(chosen.len());
    let mut points = UsagePoints::new(config.budget.share);
    for vps in chosen {
        progress.begin(&vps.name);
        let key = match &vps.key {
            Ok(key) => key,
            Err(problem) => {
                progress.print(&format!("{}: {problem}", vps.name));
                progress.end();
                continue;
            }
        };
        points.wait(&client, vps, key, &mut progress).await;
        let fetched = fetch(&client, vps, key, now, &mut spool, &mut progress).await;
        match fetched.map_err(|error| temporary_file_failure(&error))? {
            Ok(stretches) => {
                let labels = history::labels(&options.labels, &Identity::from(*vps));
                histories.push((labels, stretches));
            }
            Err(error) => progress.print(&format!("{}: {error}", vps.name)),
        }
        progress.end();
    }
    drop(progress);
    if histories.is_empty() {
        return Err(Failure("all VPSes failed: nothing was written".to_owned()));
    }
    let range = options.range(now.whole());
    match write(output, &spool, &histories, &range).await {
        // The reader closed the pipe early, for example `| head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.map_err(|error| output_failure(options, &error))?,
    }
    match chosen.len() - histories.len() {
        0 => Ok(()),
        failed => Err(Failure(format!(
            "{failed} of {} VPSes failed: the history of the others was written",
            chosen.len()
        ))),
    }
}

/// Fetches the history of one VPS. The outer error is one of the temporary file.
async fn fetch(
    client: &Client,
    vps: &Vps,
    key: &ApiKey,
    now: UnixSeconds,
    spool: &mut Spool,
    progress: &mut Progress,
) -> io::Result<Result<Stretches, CallError>> {
    let mut spooled = Ok(());
    let mut take = |row: UsageRow| {
        progress.row();
        if spooled.is_ok() && plausible(&row, now) {
            spooled = spool.push(row);
        }
    };
    let response = client
        .call(vps.veid, key, Call::RawUsageStats, &mut take)
        .await;
    spooled?;
    // Also after a failed call, so that its rows do not become part of the next history.
    let stretches = spool.end()?;
    Ok(response.result.map(|_| stretches))
}

async fn write(
    mut output: Output,
    spool: &Spool,
    histories: &[(String, Stretches)],
    range: &RangeInclusive<UnixSeconds<i64>>,
) -> io::Result<()> {
    let mut out = BufWriter::new(output.writer());
    for metric in history::METRICS {
        history::write_head(&mut out, metric.0)?;
        for (labels, stretches) in histories {
            // Totals include rows before the range, so that a sample has the same value for any range.
            let mut totals = UsageTotals::default();
            let mut rows = spool.sorted(stretches);
            while let Some(row) = rows.next()?
                && row.timestamp <= *range.end()
            {
                totals.add(&row);
                if row.timestamp >= *range.start() {
                    history::write_sample(&mut out, metric, labels, &Point { row, totals })?;
                }
            }
            // Lets the runtime handle a signal to stop.
            tokio::task::yield_now().await;
        }
    }
    out.write_all(history::END.as_bytes())?;
    out.flush()?;
    drop(out);
    output.complete()
}

fn temporary_file_failure(error: &io::Error) -> Failure {
    Failure(format!(
        "a temporary file in {} could not be used: {error}",
        std::env::temp_dir().display()
    ))
}

fn output_failure(options: &Backfill, error: &io::Error) -> Failure {
    let name = options.output.as_ref().map_or_else(
        || "standard output".to_owned(),
        |path| path.display().to_string(),
    );
    Failure(format!("{name} could not be written: {error}"))
}
