//! Parses the command line, runs one command and turns its result into an exit code.

use std::process::ExitCode;

use kiwivm_exporter::cli::{Cli, Command};
use kiwivm_exporter::{commands, logging};

fn main() -> ExitCode {
    let cli = Cli::parse_arguments();
    logging::init(cli.log_level, cli.log_format);
    let outcome = match &cli.command {
        _ if cli.config_check => commands::check::config_only(&cli),
        None if cli.demo => commands::demo::run(&cli),
        None => commands::serve::run(&cli),
        Some(Command::Check) => commands::check::run(&cli),
        Some(Command::Once) => commands::once::run(&cli),
        Some(Command::Plan) => commands::plan::run(&cli),
        Some(Command::Backfill(options)) => commands::backfill::run(&cli, options),
        Some(Command::Record(options)) => commands::record::run(&cli, options),
        Some(Command::Healthcheck) => commands::healthcheck::run(&cli),
        Some(Command::Simulate(options)) => commands::simulate::run(options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("kiwivm_exporter: {failure}");
            ExitCode::FAILURE
        }
    }
}
