//! `healthcheck`: asks a running exporter, for containers without a shell.

use super::{Failure, block_on};
use crate::cli::Cli;
use crate::web;

/// Succeeds when the exporter on the first listen address is healthy.
///
/// # Errors
///
/// That it is not, or that nobody answers there.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let address = cli.listen_addresses().swap_remove(0);
    let web_config = cli.web_config_file.as_deref();
    block_on(async {
        web::healthcheck(&address, &cli.route_prefix(), web_config)
            .await
            .map_err(Failure)
    })
}
