//! Flags and commands. Flag names follow the Prometheus exporters.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::clock::Clock;
use crate::config::Source;
use crate::simulator::{PointsScope, Refusal};

/// The port of this exporter.
const DEFAULT_ADDRESS: &str = ":10064";
/// Where the demo listens: what it shows is for whoever started it.
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
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The configuration file.
    #[arg(long = "config.file", value_name = "PATH", global = true)]
    config_file: Option<PathBuf>,

    /// Validate the configuration, print a summary or what is wrong, and exit.
    #[arg(long = "config.check", global = true)]
    pub config_check: bool,

    /// Serve a simulated account of eight VPSes; needs no configuration and no key.
    #[arg(long, global = true, conflicts_with_all = ["config_file", "config_check"])]
    pub demo: bool,

    /// Address to listen on; repeatable. `:PORT` means all interfaces. [default: :10064, in the demo 127.0.0.1:10064]
    #[arg(long = "web.listen-address", value_name = "ADDR", global = true)]
    listen_address: Vec<String>,

    /// Listen on the sockets that systemd passes, instead of addresses.
    #[arg(long = "web.systemd-socket", global = true)]
    pub systemd_socket: bool,

    /// TLS, basic auth, headers and a rate limit, in the format of the Prometheus exporter toolkit.
    #[arg(long = "web.config.file", value_name = "PATH", global = true)]
    pub web_config_file: Option<PathBuf>,

    /// Path of the metrics.
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = "/metrics", value_parser = telemetry_path, global = true)]
    pub telemetry_path: String,

    /// Requests answered at a time, 503 beyond; 0 is no limit.
    #[arg(
        long = "web.max-requests",
        value_name = "N",
        default_value_t = 40,
        global = true
    )]
    pub max_requests: usize,

    /// Allow POST /-/reload. SIGHUP reloads in any case.
    #[arg(long = "web.enable-lifecycle", global = true)]
    pub enable_lifecycle: bool,

    /// How fast time runs in the simulated account that the configuration points at, as given to `simulate`: intervals
    /// and the windows of points are shorter by this factor.
    #[arg(long = "simulator.time-scale", value_name = "FACTOR", default_value_t = 1.0, value_parser = faster, global = true)]
    pub time_scale: f64,

    /// The least important lines to log.
    #[arg(
        long = "log.level",
        value_name = "LEVEL",
        default_value = "info",
        global = true
    )]
    pub log_level: LogLevel,

    /// The form of the log.
    #[arg(
        long = "log.format",
        value_name = "FORMAT",
        default_value = "logfmt",
        global = true
    )]
    pub log_format: LogFormat,
}

/// The commands beside serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Validate the configuration, ask each VPS once and print a table; exit code 1 if any failed.
    Check,
    /// Poll everything once and print the metrics to standard output.
    Once,
    /// Print what the configuration costs in calls, API points and bytes, and the intervals that result. Makes no call.
    Plan,
    /// Print the usage history as OpenMetrics text with timestamps, for
    /// `promtool tsdb create-blocks-from openmetrics`. One getRawUsageStats for each VPS.
    Backfill(Backfill),
    /// Ask a running exporter whether it is well; exit code 0 or 1. Spends no points.
    Healthcheck,
    /// Run the simulated API by itself and print a configuration for it.
    Simulate(Simulate),
}

/// Which history is written, and where.
#[derive(Args, Clone, Debug)]
pub struct Backfill {
    /// Only this VPS, by its name in the configuration; repeatable.
    #[arg(long = "vps", value_name = "NAME")]
    pub vps: Vec<String>,
    /// From this time on: RFC 3339, a date (UTC), Unix seconds, or a duration ago, for example 30d.
    #[arg(long, value_name = "TIME", value_parser = Time::parse)]
    pub since: Option<Time>,
    /// Up to this time, which must not be after the start of the exporter that serves the same series.
    /// [default: 3h, what Prometheus itself keeps in memory]
    #[arg(long, value_name = "TIME", value_parser = Time::parse)]
    pub until: Option<Time>,
    /// The file to write; - is standard output.
    #[arg(long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// A label that Prometheus adds when it scrapes, for example job=kiwivm and instance=localhost:10064; repeatable.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    pub labels: Vec<(String, String)>,
}

/// What Prometheus keeps in memory: blocks for it would overlap.
const HEAD_BLOCK_SECONDS: i64 = 3 * 3600;

impl Backfill {
    /// The times to write, Unix seconds, both included; `now` is that too.
    #[must_use]
    pub fn range(&self, now: i64) -> RangeInclusive<i64> {
        let since = self.since.map_or(0, |time| time.before(now));
        let until = self
            .until
            .map_or(now - HEAD_BLOCK_SECONDS, |time| time.before(now));
        since..=until
    }

    /// What is wrong with flags that are right one by one.
    fn contradiction(&self, now: i64) -> Option<String> {
        let mut names: Vec<_> = self.labels.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        if let Some([twice, _]) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Some(format!("--label: {twice} is there twice"));
        }
        self.range(now).is_empty().then(|| {
            "--since is later than --until, which is three hours ago by default: nothing lies between them".to_owned()
        })
    }
}

/// A moment on a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// Unix seconds.
    At(i64),
    /// So many seconds ago.
    Ago(i64),
}

impl Time {
    /// Unix seconds, `now` being that too.
    #[must_use]
    pub const fn before(self, now: i64) -> i64 {
        match self {
            Self::At(seconds) => seconds,
            Self::Ago(seconds) => now.saturating_sub(seconds),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        use time::format_description::well_known::Rfc3339;
        let midnight = || time::OffsetDateTime::parse(&format!("{text}T00:00:00Z"), &Rfc3339);
        // Prometheus shows times with a fraction.
        let seconds = text.split_once('.').map_or(text, |(seconds, _)| seconds);
        if let (Ok(seconds), Ok(_)) = (seconds.parse(), text.parse::<f64>()) {
            return Ok(Self::At(seconds));
        }
        if let Ok(time) = time::OffsetDateTime::parse(text, &Rfc3339).or_else(|_| midnight()) {
            return Ok(Self::At(time.unix_timestamp()));
        }
        crate::config::parse_duration(text)
            .and_then(|ago| i64::try_from(ago.as_secs()).ok())
            .map(Self::Ago)
            .ok_or_else(|| {
                "must be like 2026-11-01T00:00:00Z, 2026-11-01, 1793491200 or 30d".to_owned()
            })
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    let letters = name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
    if !letters || name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(
            "the name must be letters, digits and _, and not begin with a digit".to_owned(),
        );
    }
    if name.starts_with("__") || ["veid", "vps"].contains(&name) {
        return Err("this name is taken".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// What the simulator simulates.
#[derive(Args, Clone, Debug)]
pub struct Simulate {
    /// Address to listen on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:10065")]
    pub listen: String,
    /// Number of VPSes.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub vps: u32,
    /// The same seed makes the same account.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How much faster than real time the story goes.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = time_scale)]
    pub time_scale: f64,
    /// Days of usage rows that there are at the start.
    #[arg(long, value_name = "DAYS", default_value_t = 14.0, value_parser = days)]
    pub history: f64,
    /// Seconds that getLiveServiceInfo takes.
    #[arg(long = "live.latency", value_name = "SECONDS", default_value_t = 0.3, value_parser = seconds)]
    pub live_latency: f64,
    /// API points in 15 minutes and in 24 hours.
    #[arg(long = "points.sizes", value_name = "N,N", default_value = "1000,20000", value_parser = points_sizes)]
    pub points_sizes: [f64; 2],
    /// What a call costs in points, for example getLiveServiceInfo=20; repeatable. Others cost 1.
    #[arg(long = "points.cost", value_name = "CALL=POINTS", value_parser = points_cost)]
    pub points_costs: Vec<(String, f64)>,
    /// What an allowance covers: vps, account, or groups of VPSes by VEID modulo N.
    #[arg(long = "points.scope", value_name = "vps|account|groups:N", default_value = "vps", value_parser = points_scope)]
    pub points_scope: PointsScope,
    /// Windows of points slide; else they begin anew all at once.
    #[arg(long = "points.sliding")]
    pub points_sliding: bool,
    /// Seconds by which the remaining points lag behind.
    #[arg(long = "points.lag", value_name = "SECONDS", default_value_t = 0.0, value_parser = seconds)]
    pub points_lag: f64,
    /// How a call without points is refused: status (429), drop or message.
    #[arg(long = "points.refusal", value_name = "HOW", default_value = "status", value_parser = points_refusal)]
    pub points_refusal: Refusal,
    /// A YAML file with faults: a list of {veid, call, kind, seconds}.
    #[arg(long, value_name = "FILE")]
    pub faults: Option<PathBuf>,
}

/// How much to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// What needs somebody.
    Error,
    /// What may need somebody.
    Warn,
    /// What matters.
    Info,
    /// Every call.
    Debug,
    /// Everything.
    Trace,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// `key=value`.
    Logfmt,
    /// One JSON object a line.
    Json,
}

impl Cli {
    /// The command line of this process. Wrong usage ends the process with exit code 2.
    #[must_use]
    pub fn parse_arguments() -> Self {
        Self::try_parse()
            .and_then(Self::consistent)
            .unwrap_or_else(|error| error.exit())
    }

    #[expect(clippy::cast_possible_truncation, reason = "a time of this century")]
    fn consistent(self) -> Result<Self, clap::Error> {
        let now = Clock::start().now().unix as i64;
        let contradiction = match &self.command {
            Some(Command::Backfill(options)) => options.contradiction(now),
            _ => None,
        };
        match contradiction {
            Some(text) => Err(Self::command().error(ErrorKind::ValueValidation, text)),
            None => Ok(self),
        }
    }

    /// Where the configuration comes from.
    #[must_use]
    pub fn config_source(&self) -> Source {
        Source {
            file: self
                .config_file
                .clone()
                .unwrap_or_else(|| PathBuf::from("config.yaml")),
            file_named: self.config_file.is_some(),
            // A variable that is not UTF-8 cannot be one of ours.
            environment: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
        }
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

fn telemetry_path(path: &str) -> Result<String, String> {
    let taken = matches!(path, "/" | "/status.json") || path.starts_with("/-/");
    let plain = path.starts_with('/')
        && path
            .bytes()
            .all(|c| c.is_ascii_graphic() && !b"?#\"<>".contains(&c));
    if plain && !taken {
        Ok(path.to_owned())
    } else {
        Err("must begin with a slash, and be neither / nor /status.json nor below /-/".to_owned())
    }
}

fn points_sizes(text: &str) -> Result<[f64; 2], String> {
    let points = |text: &str| {
        text.parse()
            .ok()
            .filter(|points: &f64| (0.0..1e9).contains(points))
    };
    text.split_once(',')
        .and_then(|(quarter, day)| Some([points(quarter)?, points(day)?]))
        .ok_or_else(|| "must be two numbers, for example 1000,20000".to_owned())
}

fn points_cost(text: &str) -> Result<(String, f64), String> {
    text.split_once('=')
        .and_then(|(call, points)| Some((call.to_owned(), points.parse().ok()?)))
        .filter(|(_, points): &(String, f64)| (0.0..1e6).contains(points))
        .ok_or_else(|| {
            "must be a call and its points, for example getLiveServiceInfo=20".to_owned()
        })
}

fn points_scope(text: &str) -> Result<PointsScope, String> {
    match (text, text.strip_prefix("groups:").map(str::parse)) {
        ("vps", _) => Ok(PointsScope::Vps),
        ("account", _) => Ok(PointsScope::Account),
        (_, Some(Ok(groups))) if groups > 0 => Ok(PointsScope::Groups(groups)),
        _ => Err("must be vps, account or groups:N".to_owned()),
    }
}

fn points_refusal(text: &str) -> Result<Refusal, String> {
    match text {
        "status" => Ok(Refusal::Status),
        "drop" => Ok(Refusal::Drop),
        "message" => Ok(Refusal::Message),
        _ => Err("must be status, drop or message".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text
        .parse()
        .ok()
        .filter(|seconds: &f64| (0.0..1e6).contains(seconds));
    seconds.ok_or_else(|| "must be a number of seconds".to_owned())
}

fn days(text: &str) -> Result<f64, String> {
    let days = text
        .parse()
        .ok()
        .filter(|days: &f64| (0.0..=1000.0).contains(days));
    days.ok_or_else(|| "must be a number of days from 0 to 1000".to_owned())
}

fn faster(text: &str) -> Result<f64, String> {
    let scale = text
        .parse()
        .ok()
        .filter(|scale: &f64| (1.0..=100_000.0).contains(scale));
    scale.ok_or_else(|| "must be a number from 1 to 100000".to_owned())
}

fn time_scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if (0.001..=100_000.0).contains(&scale) => Ok(scale),
        _ => Err("must be a number from 0.001 to 100000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"kiwivm_exporter").chain(arguments))
            .and_then(Cli::consistent)
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_stand_on_either_side_of_the_command() {
        for arguments in [["--config.file=a", "check"], ["check", "--config.file=a"]] {
            let cli = parse(&arguments).expect("it is right");
            assert_eq!(cli.config_source().file, PathBuf::from("a"));
        }
    }

    #[test]
    fn the_demo_listens_on_loopback_unless_told_otherwise() {
        let addresses =
            |arguments: &[&str]| parse(arguments).expect("it is right").listen_addresses();
        assert_eq!(addresses(&["--demo"]), ["127.0.0.1:10064"]);
        assert_eq!(addresses(&[]), [":10064"]);
        let two = [
            "--demo",
            "--web.listen-address=:1",
            "--web.listen-address=[::1]:2",
        ];
        assert_eq!(addresses(&two), [":1", "[::1]:2"]);
    }

    #[test]
    fn times_as_people_write_them() {
        for (text, time) in [
            ("1793491200", Time::At(1_793_491_200)),
            ("1793491200.75", Time::At(1_793_491_200)),
            ("2026-11-01", Time::At(1_793_491_200)),
            ("2026-11-01T01:00:00+01:00", Time::At(1_793_491_200)),
            ("30d", Time::Ago(30 * 86_400)),
            ("3h", Time::Ago(10_800)),
        ] {
            assert_eq!(Time::parse(text), Ok(time), "{text}");
        }
        assert_eq!(Time::Ago(10).before(100), 90);
    }

    #[test]
    fn wrong_usage_has_exit_code_2() {
        for arguments in [
            &["--nope"][..],
            &["nope"],
            &["--web.telemetry-path=metrics"],
            &["--web.telemetry-path=/-/x"],
            &["--web.telemetry-path=/status.json"],
            &["--demo", "--config.file=x"],
            &["simulate", "--time-scale=nan"],
            &["simulate", "--vps=0"],
            &["backfill", "--since=yesterday"],
            &["backfill", "--label=job"],
            &["backfill", "--label=vps=x"],
            &["backfill", "--label=0=x"],
            &["backfill", "--label=job=x", "--label=job=y"],
            &["backfill", "--since=2h"],
            &["backfill", "--since=2026-11-02", "--until=2026-11-01"],
            &["simulate", "--history=-1"],
        ] {
            assert_eq!(
                parse(arguments).expect_err("it is wrong").exit_code(),
                2,
                "{arguments:?}"
            );
        }
    }
}
