//! `once`: polls everything once and prints the exposition, for cron and textfile collectors.

use std::io::Write as _;

use super::{Failure, block_on, client_for, load_or_demo, log_missing_keys};
use crate::cli::Cli;
use crate::clock::Clock;
use crate::exposition::Exposition;
use crate::fleet::VpsState;
use crate::poller::{fleet_of, lock, poll_once};

/// Prints the samples of all VPSes, including those without data (as `kiwivm_up 0`). Logs the skipped calls with the
/// reasons.
///
/// # Errors
///
/// An invalid configuration, an unwritable standard output, or VPSes without data; the data of the others are printed.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let (page, without_data) = block_on(async {
        let config = load_or_demo(cli).await?;
        log_missing_keys(&config);
        let clock = Clock::start();
        let fleet = fleet_of(&config);
        let client = client_for(&config)?;
        for skipped in poll_once(&config, client, fleet.clone(), clock).await {
            let (vps, call, why) = (skipped.vps, skipped.call.name(), skipped.why);
            tracing::warn!(vps, call, %why, "call skipped");
        }
        let without_data: Vec<String> = lock(&fleet)
            .vps()
            .iter()
            .filter(|vps| !VpsState::has_data(vps))
            .map(|vps| vps.identity.name.clone())
            .collect();
        let exposition = Exposition::new(fleet, clock, config.compatibility.clone());
        Ok((exposition.textfile(), without_data))
    })?;
    std::io::stdout()
        .write_all(page.as_bytes())
        .map_err(|error| Failure(format!("standard output could not be written: {error}")))?;
    if without_data.is_empty() {
        Ok(())
    } else {
        let vps = without_data.join(", ");
        Err(Failure(format!(
            "no data for {vps}; see the log lines above"
        )))
    }
}
