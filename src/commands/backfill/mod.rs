//! `backfill`: the usage history of VPSes as OpenMetrics text, for `promtool tsdb create-blocks-from openmetrics`.
//!
//! Memory does not grow with the history: rows go to a temporary file as they arrive, come back in order, and the
//! samples of each metric are collected in a temporary file of their own, because OpenMetrics wants them together.

mod points;
mod progress;
mod spool;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek as _, Write};
use std::path::{Path, PathBuf};

use super::{Failure, block_on, client_for, load_config};
use crate::cli::{Backfill, Cli};
use crate::clock::Clock;
use crate::config::{Config, Vps};
use crate::exposition::history::{self, Point};
use crate::fleet::{UsageTotals, plausible};
use crate::kiwivm::model::UsageRow;
use crate::kiwivm::{Call, Client};
use points::Points;
use progress::Progress;
use spool::{Sorted, Spool};

/// What Prometheus keeps in memory still: blocks for it would overlap.
const HEAD_BLOCK_SECONDS: i64 = 3 * 3600;

/// Writes the history of all or the chosen VPSes.
///
/// # Errors
///
/// A configuration that cannot be used, an unknown VPS, an output that cannot be written, or how many VPSes gave no
/// history; the history of the others is written then.
pub fn run(cli: &Cli, options: &Backfill) -> Result<(), Failure> {
    let config = load_config(cli)?;
    let chosen = chosen(&config, &options.vps)?;
    let now = Clock::start().now().unix;
    let range = Range::new(options, now)?;
    let mut parts = Parts::new()?;
    let failed = block_on(async {
        let client = client_for(&config)?;
        let mut progress = Progress::new(chosen.len());
        let mut points = Points::new(config.budget.share);
        let mut failed = 0;
        for vps in &chosen {
            progress.begin(&vps.name);
            let labels = history::labels(&options.labels, vps.veid, &vps.name);
            points.wait(&client, vps, &mut progress).await;
            match fetch(&client, vps, now, &mut progress).await {
                Ok(rows) => {
                    let rows = parts.add(rows, &range, &labels)?;
                    progress.end(rows);
                }
                Err(failure) => {
                    failed += 1;
                    progress.say(&format!("{}: {failure}", vps.name));
                }
            }
        }
        progress.finish();
        Ok(failed)
    })?;
    if failed == chosen.len() {
        return Err(Failure(format!(
            "none of the {failed} VPSes gave its history: nothing was written"
        )));
    }
    write(options.output.as_deref(), &mut parts)?;
    match failed {
        0 => Ok(()),
        _ => Err(Failure(format!(
            "{failed} of {} VPSes gave no history: that of the others was written",
            chosen.len()
        ))),
    }
}

fn chosen<'a>(config: &'a Config, names: &[String]) -> Result<Vec<&'a Vps>, Failure> {
    if let Some(unknown) = names
        .iter()
        .find(|name| !config.vps.iter().any(|vps| vps.name == **name))
    {
        return Err(Failure(format!(
            "--vps={unknown}: there is no VPS of this name in the configuration"
        )));
    }
    let wanted = |vps: &&Vps| names.is_empty() || names.contains(&vps.name);
    Ok(config.vps.iter().filter(wanted).collect())
}

/// The times to write, Unix seconds, both included.
struct Range {
    since: i64,
    until: i64,
}

impl Range {
    #[expect(clippy::cast_possible_truncation, reason = "a time of this century")]
    fn new(options: &Backfill, now: f64) -> Result<Self, Failure> {
        let now = now as i64;
        let since = options.since.map_or(0, |time| time.before(now));
        let until = options
            .until
            .map_or(now - HEAD_BLOCK_SECONDS, |time| time.before(now));
        if since > until {
            return Err(Failure(
                "--since is later than --until (by default three hours ago): nothing lies between them"
                    .to_owned(),
            ));
        }
        Ok(Self { since, until })
    }
}

/// Asks for the history of one VPS.
async fn fetch(
    client: &Client,
    vps: &Vps,
    now: f64,
    progress: &mut Progress,
) -> Result<Sorted, Failure> {
    let mut spool = Spool::new()?;
    let mut trouble = None;
    let mut take = |row: UsageRow| {
        progress.row();
        if trouble.is_none()
            && plausible(&row, now)
            && let Err(error) = spool.push(row)
        {
            trouble = Some(error);
        }
    };
    let response = client
        .call(vps.veid, &vps.key, Call::RawUsageStats, &mut take)
        .await;
    response.result?;
    if let Some(error) = trouble {
        return Err(temporary(&error));
    }
    spool.sorted().map_err(|error| temporary(&error))
}

fn temporary(error: &io::Error) -> Failure {
    Failure(format!(
        "a temporary file in {} could not be written: {error}",
        std::env::temp_dir().display()
    ))
}

/// The samples so far, one file a metric.
struct Parts(Vec<BufWriter<File>>);

impl Parts {
    fn new() -> Result<Self, Failure> {
        history::METRICS
            .iter()
            .map(|_| Ok(BufWriter::new(tempfile::tempfile()?)))
            .collect::<io::Result<_>>()
            .map(Self)
            .map_err(|error| temporary(&error))
    }

    /// Adds the samples of a VPS, and tells how many rows of it were written. The sums are those of the whole history,
    /// so that the same row has the same value whatever the range.
    fn add(&mut self, mut rows: Sorted, range: &Range, labels: &str) -> Result<u64, Failure> {
        let mut totals = UsageTotals::default();
        let mut written = 0;
        while let Some(row) = rows.next().map_err(|error| temporary(&error))? {
            totals.add(&row);
            if row.timestamp < range.since {
                continue;
            }
            if row.timestamp > range.until {
                break;
            }
            written += 1;
            for (part, metric) in self.0.iter_mut().zip(history::METRICS) {
                history::write_sample(part, metric, labels, &Point { row, totals })
                    .map_err(|error| temporary(&error))?;
            }
        }
        Ok(written)
    }

    fn write_to(&mut self, out: &mut impl Write) -> io::Result<()> {
        for (part, (name, _)) in self.0.iter_mut().zip(history::METRICS) {
            history::write_head(out, name)?;
            part.flush()?;
            let file = part.get_mut();
            file.rewind()?;
            io::copy(&mut BufReader::new(file), out)?;
        }
        out.write_all(history::END.as_bytes())?;
        out.flush()
    }
}

/// Writes to standard output, or to a file that is there only when it is complete.
fn write(output: Option<&Path>, parts: &mut Parts) -> Result<(), Failure> {
    let Some(path) = output.filter(|path| *path != Path::new("-")) else {
        let mut out = BufWriter::new(io::stdout().lock());
        return parts
            .write_to(&mut out)
            .map_err(|error| Failure(format!("standard output could not be written: {error}")));
    };
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let written = File::create(&new)
        .and_then(|file| parts.write_to(&mut BufWriter::new(file)))
        .and_then(|()| std::fs::rename(&new, path));
    written.map_err(|error| {
        // What is left of it is of no use, and need not be there.
        let _ = std::fs::remove_file(&new);
        Failure(format!("{} could not be written: {error}", path.display()))
    })
}
