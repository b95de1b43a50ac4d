//! Flags and commands. Flag names follow the Prometheus exporters.

mod backfill;
mod record;
mod simulate;

pub use backfill::{Backfill, Time};
pub use record::Record;
pub use simulate::Simulate;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use thiserror::Error;

use crate::clock::Clock;
use crate::config::{ConfigSource, Shard};
use crate::web::{ExternalUrl, Prefix};

/// The port of this exporter.
const DEFAULT_ADDRESS: &str = ":10064";
/// Default address of the demo: loopback, because it is for local use.
const DEMO_ADDRESS: &str = "127.0.0.1:10064";

/// Prometheus exporter for KiwiVM, the API of BandwagonHost's VPSes. Without a command it serves metrics.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "kiwivm_exporter",
    version = concat!(env!("CARGO_PKG_VERSION"), " (revision ", env!("KIWIVM_BUILD_REVISION"), ", rustc ", env!("KIWIVM_BUILD_RUSTC"), ")"),
    disable_help_subcommand = true
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent switches"
)]
pub struct Cli {
    /// The command; without one the exporter serves metrics.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Configuration file. [default: config.yaml]
    #[arg(long = "config.file", value_name = "PATH", global = true)]
    config_file: Option<PathBuf>,

    /// Validate the configuration, print a summary or the errors, and exit.
    #[arg(long = "config.check", global = true)]
    pub config_check: bool,

    /// Use a simulated account of eight VPSes; needs no configuration and no key.
    #[arg(long, global = true, conflicts_with_all = ["config_file", "config_check"])]
    pub demo: bool,

    /// Address to listen on; repeatable. `:PORT` means all interfaces. [default: :10064, in the demo 127.0.0.1:10064]
    #[arg(long = "web.listen-address", value_name = "ADDR", global = true)]
    listen_address: Vec<String>,

    /// Listen on sockets passed by systemd instead of addresses.
    #[arg(long = "web.systemd-socket", global = true)]
    pub systemd_socket: bool,

    /// File with TLS, basic auth, headers and a rate limit, in the format of the Prometheus exporter toolkit.
    #[arg(long = "web.config.file", value_name = "PATH", global = true)]
    pub web_config_file: Option<PathBuf>,

    /// URL under which the exporter is reached from outside, for example through a reverse proxy. Used for links; its path
    /// is the default prefix of all routes.
    #[arg(long = "web.external-url", value_name = "URL", value_parser = ExternalUrl::parse, global = true)]
    pub external_url: Option<ExternalUrl>,

    /// Prefix of all routes. [default: the path of --web.external-url]
    #[arg(long = "web.route-prefix", value_name = "PATH", value_parser = Prefix::parse, global = true)]
    route_prefix: Option<Prefix>,

    /// Path of the metrics, below the prefix.
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = "/metrics", value_parser = telemetry_path, global = true)]
    pub telemetry_path: String,

    /// Maximum number of scrapes and pages in flight. Above it, a stalled client is disconnected, or the response is 503.
    /// 0 means no limit.
    #[arg(
        long = "web.max-requests",
        value_name = "N",
        default_value_t = 40,
        global = true
    )]
    pub max_requests: usize,

    /// Allow POST /-/reload. SIGHUP always reloads.
    #[arg(long = "web.enable-lifecycle", global = true)]
    pub enable_lifecycle: bool,

    /// Poll only the VPSes of this shard: a number from 0, or the name of a pod of a stateful set, which ends in it.
    #[arg(long, value_name = "I", value_parser = ordinal, requires = "total_shards", conflicts_with = "demo", global = true)]
    shard: Option<u32>,

    /// Number of exporters that share the VPSes of the configuration, each with its own --shard.
    #[arg(long = "total-shards", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000), requires = "shard", global = true)]
    total_shards: Option<u32>,

    /// Time scale of the simulated account in the configuration, as given to `simulate`. Divides intervals and the windows
    /// of API points.
    #[arg(long = "simulator.time-scale", value_name = "FACTOR", default_value_t = 1.0, value_parser = scale_from_one, global = true)]
    pub time_scale: f64,

    /// Minimum log level.
    #[arg(
        long = "log.level",
        value_name = "LEVEL",
        default_value = "info",
        global = true
    )]
    pub log_level: LogLevel,

    /// Log format.
    #[arg(
        long = "log.format",
        value_name = "FORMAT",
        default_value = "logfmt",
        global = true
    )]
    pub log_format: LogFormat,
}

/// The global flags that a command uses, by the names of their fields in [`Cli`].
fn flags_of(command: &str) -> &'static [&'static str] {
    match command {
        "check" => &[
            "config_file",
            "config_check",
            "demo",
            "shard",
            "total_shards",
            "web_config_file",
            "log_level",
            "log_format",
        ],
        "healthcheck" => &[
            "listen_address",
            "web_config_file",
            "external_url",
            "route_prefix",
            "log_level",
            "log_format",
        ],
        "simulate" => &["log_level", "log_format"],
        _ => &[
            "config_file",
            "config_check",
            "demo",
            "shard",
            "total_shards",
            "log_level",
            "log_format",
        ],
    }
}

/// The command line, in which each command only has the flags that it uses.
#[must_use]
pub fn command() -> clap::Command {
    let mut command = Cli::command().mut_args(|flag| flag.global(false));
    let flags: Vec<clap::Arg> = command.get_arguments().cloned().collect();
    let names = command.get_subcommands().map(clap::Command::get_name);
    let names: Vec<String> = names.map(str::to_owned).collect();
    for name in names {
        let used = |flag: &&clap::Arg| flags_of(&name).contains(&flag.get_id().as_str());
        let flags: Vec<clap::Arg> = flags.iter().filter(used).cloned().collect();
        command = command.mut_subcommand(&name, |command| command.args(flags));
    }
    command
}

/// The commands other than serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Validate the configuration, poll each VPS once and print a table; exit code 1 if any failed.
    Check,
    /// Poll everything once and print the metrics to standard output.
    Once,
    /// Print the cost of the configuration in calls, API points and bytes, and the resulting intervals. Makes no call.
    Plan,
    /// Print the usage history as OpenMetrics text with timestamps, for
    /// `promtool tsdb create-blocks-from openmetrics`. One getRawUsageStats for each VPS.
    Backfill(Backfill),
    /// Write one response of each call and VPS to a folder, without secrets and private data, for bug reports.
    Record(Record),
    /// Check that a running exporter is healthy; exit code 0 or 1. Spends no points.
    Healthcheck,
    /// Run the simulated API alone and print a configuration for it.
    Simulate(Simulate),
}

/// Log levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Failures that need action.
    Error,
    /// Problems that may need action.
    Warn,
    /// Important events.
    Info,
    /// Every call.
    Debug,
    /// All details.
    Trace,
}

/// Log formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// `key=value`.
    Logfmt,
    /// One JSON object a line.
    Json,
}

impl Cli {
    /// Parses the command line of this process. Invalid usage ends the process with exit code 2.
    #[must_use]
    pub fn parse_arguments() -> Self {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        Self::from_arguments(&arguments).unwrap_or_else(|error| error.exit())
    }

    fn from_arguments(arguments: &[OsString]) -> Result<Self, clap::Error> {
        let mut command = command();
        let matches = command.try_get_matches_from_mut(arguments)?;
        if let Some((name, _)) = matches.subcommand() {
            let unexpected = command
                .get_arguments()
                .filter(|flag| !flags_of(name).contains(&flag.get_id().as_str()))
                .find(|flag| {
                    let source = matches.value_source(flag.get_id().as_str());
                    source == Some(ValueSource::CommandLine)
                })
                .and_then(clap::Arg::get_long);
            if let Some(flag) = unexpected {
                let text = format!("unexpected argument '--{flag}' found: {name} does not use it");
                return Err(command.error(ErrorKind::UnknownArgument, text));
            }
        }
        // Flags may precede or follow the command.
        Self::try_parse_from(arguments).and_then(Self::validate)
    }

    fn validate(self) -> Result<Self, clap::Error> {
        let now = Clock::start().now().unix.whole();
        let conflict = match &self.command {
            Some(Command::Backfill(options)) => options.conflict(now),
            _ => None,
        }
        .or_else(|| {
            let (shard, total) = (self.shard?, self.total_shards?);
            let last = total - 1;
            (shard > last).then(|| {
                format!(
                    "--shard: {shard} is out of range; {total} shards are numbered from 0 to {last}"
                )
            })
        });
        match conflict {
            Some(text) => Err(command().error(ErrorKind::ValueValidation, text)),
            None => Ok(self),
        }
    }

    /// The sources of the configuration: file, environment and shard.
    #[must_use]
    pub fn config_source(&self) -> ConfigSource {
        ConfigSource {
            file: self
                .config_file
                .clone()
                .unwrap_or_else(|| PathBuf::from("config.yaml")),
            file_is_explicit: self.config_file.is_some(),
            // All variables that the exporter reads are UTF-8.
            environment: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            shard: self
                .shard
                .zip(self.total_shards)
                .and_then(|(shard, total)| Shard::new(shard, total))
                .unwrap_or_default(),
        }
    }

    /// The prefix of all routes.
    #[must_use]
    pub fn route_prefix(&self) -> Prefix {
        let external = || Some(self.external_url.as_ref()?.path.clone());
        self.route_prefix
            .clone()
            .or_else(external)
            .unwrap_or_default()
    }

    /// The addresses to listen on.
    #[must_use]
    pub fn listen_addresses(&self) -> Vec<String> {
        if !self.listen_address.is_empty() {
            return self.listen_address.clone();
        }
        let default = if self.demo {
            DEMO_ADDRESS
        } else {
            DEFAULT_ADDRESS
        };
        vec![default.to_owned()]
    }
}

/// The required form of the value of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
struct InvalidArgument(&'static str);

fn telemetry_path(path: &str) -> Result<String, InvalidArgument> {
    let taken = matches!(path, "/" | "/status.json") || path.starts_with("/-/");
    let plain = path.starts_with('/')
        && path
            .bytes()
            .all(|c| c.is_ascii_graphic() && !b"?#\"<>".contains(&c));
    if plain && !taken {
        Ok(path.to_owned())
    } else {
        Err(InvalidArgument(
            "must begin with a slash, and must not be /, /status.json or below /-/",
        ))
    }
}

/// Parses the number of a shard. Pods of a Kubernetes stateful set only know their name, for example kiwivm-exporter-2.
fn ordinal(text: &str) -> Result<u32, InvalidArgument> {
    let (_, number) = text.rsplit_once('-').unwrap_or(("", text));
    let digits = number.bytes().all(|c| c.is_ascii_digit());
    number
        .parse()
        .ok()
        .filter(|_| digits)
        .ok_or(InvalidArgument(
            "must be a number from 0, or a name that ends in a dash and a number",
        ))
}

fn scale_from_one(text: &str) -> Result<f64, InvalidArgument> {
    let scale = text
        .parse()
        .ok()
        .filter(|scale: &f64| (1.0..=100_000.0).contains(scale));
    scale.ok_or(InvalidArgument("must be a number from 1 to 100000"))
}

#[cfg(test)]
mod tests;
