//! `once`: polls everything once and prints the exposition, for cron and textfile collectors.

use std::io::Write as _;

use tokio::sync::{mpsc, watch};

use super::{Failure, block_on, client_for, load_config};
use crate::cli::Cli;
use crate::clock::Clock;
use crate::exposition::Exposition;
use crate::poller::{Poller, Until, fleet_of};

/// Prints the samples of all VPSes, those that could not be polled included (as `kiwivm_up 0`).
///
/// # Errors
///
/// A configuration that cannot be used, or a standard output that cannot be written.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let config = load_config(cli)?;
    let page = block_on(async {
        let clock = Clock::start();
        let fleet = fleet_of(&config);
        let poller = Poller::once(&config, client_for(&config)?, fleet.clone(), clock);
        let exposition = Exposition::new(fleet, clock, config.compatibility.clone());
        let (_reloads, no_reloads) = mpsc::channel(1);
        let (_stop, never) = watch::channel(false);
        poller.run(Until::EverythingTried, no_reloads, never).await;
        Ok(exposition.textfile())
    })?;
    std::io::stdout()
        .write_all(page.as_bytes())
        .map_err(|error| Failure(format!("standard output could not be written: {error}")))
}
