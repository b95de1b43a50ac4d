//! `backfill`: the usage history of VPSes as OpenMetrics text, for `promtool tsdb create-blocks-from openmetrics`.
//!
//! Memory does not grow with the history: rows go to a temporary file as they arrive, and are read from there once for
//! each metric, because OpenMetrics wants all samples of a metric in one place.

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
use output::Output;
use points::Points;
use progress::Progress;
use spool::{Spool, Stretches};

/// Writes the history of all or the chosen VPSes.
///
/// # Errors
///
/// A configuration that cannot be used, an unknown VPS, an output that cannot be written, a signal to stop, or how many
/// VPSes gave no history; the history of the others is written then.
pub fn run(cli: &Cli, options: &Backfill) -> Result<(), Failure> {
    block_on(async {
        let config = load_or_demo(cli).await?;
        let chosen = chosen(&config, &options.vps)?;
        let output = Output::open(options.output.as_deref());
        let output = output.map_err(|error| unwritten(options, &error))?;
        if !output.leaves_a_file() {
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
    let mut spool = Spool::new().map_err(|error| temporary(&error))?;
    let mut histories = Vec::new();
    let mut progress = Progress::new(chosen.len());
    let mut points = Points::new(config.budget.share);
    for vps in chosen {
        progress.begin(&vps.name);
        let key = match &vps.key {
            Ok(key) => key,
            Err(problem) => {
                progress.say(&format!("{}: {problem}", vps.name));
                progress.end();
                continue;
            }
        };
        points.wait(&client, vps, key, &mut progress).await;
        let fetched = fetch(&client, vps, key, now, &mut spool, &mut progress).await;
        match fetched.map_err(|error| temporary(&error))? {
            Ok(stretches) => {
                let labels = history::labels(&options.labels, &Identity::from(*vps));
                histories.push((labels, stretches));
            }
            Err(error) => progress.say(&format!("{}: {error}", vps.name)),
        }
        progress.end();
    }
    drop(progress);
    if histories.is_empty() {
        return Err(Failure(
            "no VPS gave its history: nothing was written".to_owned(),
        ));
    }
    #[expect(clippy::cast_possible_truncation, reason = "a time of this century")]
    let range = options.range(now as i64);
    match write(output, &spool, &histories, &range).await {
        // Whoever reads it has seen enough: `| head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.map_err(|error| unwritten(options, &error))?,
    }
    match chosen.len() - histories.len() {
        0 => Ok(()),
        failed => Err(Failure(format!(
            "{failed} of {} VPSes gave no history: that of the others was written",
            chosen.len()
        ))),
    }
}

/// Asks for the history of one VPS. The outer error is one of the temporary file.
async fn fetch(
    client: &Client,
    vps: &Vps,
    key: &ApiKey,
    now: f64,
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
    // The rows of a call that failed do not count, but are no part of the next history either.
    let stretches = spool.end()?;
    Ok(response.result.map(|_| stretches))
}

async fn write(
    mut output: Output,
    spool: &Spool,
    histories: &[(String, Stretches)],
    range: &RangeInclusive<i64>,
) -> io::Result<()> {
    let mut out = BufWriter::new(output.writer());
    for metric in history::METRICS {
        history::write_head(&mut out, metric.0)?;
        for (labels, stretches) in histories {
            // The sums are those of the whole history, so that a row has the same value whatever the range.
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
            // A signal to stop is noticed here.
            tokio::task::yield_now().await;
        }
    }
    out.write_all(history::END.as_bytes())?;
    out.flush()?;
    drop(out);
    output.complete()
}

fn temporary(error: &io::Error) -> Failure {
    Failure(format!(
        "a temporary file in {} could not be used: {error}",
        std::env::temp_dir().display()
    ))
}

fn unwritten(options: &Backfill, error: &io::Error) -> Failure {
    let name = options.output.as_ref().map_or_else(
        || "standard output".to_owned(),
        |path| path.display().to_string(),
    );
    Failure(format!("{name} could not be written: {error}"))
}
