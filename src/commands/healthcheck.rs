//! `healthcheck`: checks a running exporter, for containers without a shell.

use super::{Failure, block_on};
use crate::cli::Cli;
use crate::web;

/// Succeeds if the exporter on the first listen address is healthy.
///
/// # Errors
///
/// The exporter is unhealthy or does not respond.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let address = cli.listen_addresses().swap_remove(0);
    let web_config = cli.web_config_file.as_deref();
    block_on(async {
        web::healthcheck(&address, &cli.route_prefix(), web_config).await?;
        Ok(())
    })
}
