//! `check`: makes one cheap call for each VPS of the configuration and prints a table of the results.

use std::fmt::Write as _;
use std::io::Write as _;

use futures_util::StreamExt as _;

use super::{Failure, block_on, client_for, load_config, load_or_demo};
use crate::cli::Cli;
use crate::config::{Config, Vps};
use crate::kiwivm::model::Payload;
use crate::kiwivm::{Call, Client};
use crate::web;

/// Maximum concurrency: one cheap call a VPS needs no more.
const CONCURRENCY: usize = 8;

/// Prints the summary of the configuration without any call.
///
/// # Errors
///
/// All errors of the configuration, or the VPSes without a usable key.
pub fn config_only(cli: &Cli) -> Result<(), Failure> {
    let config = with_web_config(cli, load_config(cli))?;
    print(&config.summary())?;
    let problems: Vec<String> = config
        .vps_without_key()
        .map(|(_, problem)| problem.to_string())
        .collect();
    match (problems.as_slice(), config.vps.len()) {
        ([], _) => Ok(()),
        ([one], all) => Err(Failure(format!(
            "1 of {all} VPSes has no usable key: {one}"
        ))),
        (many, all) => Err(Failure(format!(
            "{} of {all} VPSes have no usable key:\n  {}",
            many.len(),
            many.join("\n  ")
        ))),
    }
}

/// Validates the web configuration too; returns the errors of both.
fn with_web_config(cli: &Cli, config: Result<Config, Failure>) -> Result<Config, Failure> {
    let Some(file) = &cli.web_config_file else {
        return config;
    };
    match (config, web::validate(file)) {
        (config, Ok(())) => config,
        (Ok(_), Err(errors)) => Err(errors.into()),
        (Err(Failure(one)), Err(other)) => Err(Failure(format!("{one}\n{other}"))),
    }
}

/// Prints the summary and a line for each VPS.
///
/// # Errors
///
/// An invalid configuration, or the number of VPSes that failed.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let rows = block_on(async {
        let config = with_web_config(cli, load_or_demo(cli).await)?;
        print(&config.summary())?;
        let client = client_for(&config)?;
        let calls = config.vps.iter().map(|vps| poll(&client, vps));
        Ok(futures_util::stream::iter(calls)
            .buffered(CONCURRENCY)
            .collect::<Vec<_>>()
            .await)
    })?;
    print(&table(&rows))?;
    match rows.iter().filter(|row| row.failed).count() {
        0 => Ok(()),
        failed => Err(Failure(format!("{failed} of {} VPSes failed", rows.len()))),
    }
}

/// A row of the table.
struct CheckRow {
    name: String,
    veid: String,
    result: String,
    failed: bool,
}

async fn poll(client: &Client, vps: &Vps) -> CheckRow {
    let (result, failed) = match &vps.key {
        Ok(key) => {
            let mut no_rows = |_| {};
            let response = client.call(vps.veid, key, Call::ServiceInfo, &mut no_rows);
            match response.await.result {
                Ok(decoded) => (describe(decoded.payload), false),
                Err(error) => (error.to_string(), true),
            }
        }
        Err(problem) => (problem.to_string(), true),
    };
    CheckRow {
        name: vps.name.clone(),
        veid: vps.veid.to_string(),
        result,
        failed,
    }
}

/// Describes a successful response.
fn describe(payload: Payload) -> String {
    match payload {
        Payload::Service(info) | Payload::Live(info, _) => {
            let or_unknown = |field: Option<String>| field.unwrap_or_else(|| "?".to_owned());
            format!(
                "ok: {}, {}{}",
                or_unknown(info.hostname),
                or_unknown(info.plan),
                if info.suspended == Some(true) {
                    ", SUSPENDED"
                } else {
                    ""
                }
            )
        }
        Payload::Usage | Payload::RateLimit(_) | Payload::Inventory(_) => "ok".to_owned(),
    }
}

/// Formats the table. Names and host names come from outside: control characters must not reach the terminal.
fn table(rows: &[CheckRow]) -> String {
    let width = |cell: fn(&CheckRow) -> &str, title: &str| {
        rows.iter()
            .map(|row| cell(row).chars().count())
            .chain([title.len()])
            .max()
            .unwrap_or_default()
    };
    let (names, veids) = (
        width(|row| &row.name, "VPS"),
        width(|row| &row.veid, "VEID"),
    );
    let mut table = format!("{:names$}  {:veids$}  RESULT\n", "VPS", "VEID");
    for CheckRow {
        name, veid, result, ..
    } in rows
    {
        // Writing to a String does not fail.
        let _ = writeln!(table, "{name:names$}  {veid:veids$}  {result}");
    }
    table
        .chars()
        .map(|c| if c.is_control() && c != '\n' { '?' } else { c })
        .collect()
}

fn print(text: &str) -> Result<(), Failure> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure(format!("standard output could not be written: {error}")))
}
