//! Options of `simulate`.

use std::path::PathBuf;

use clap::Args;

use super::InvalidArgument;
use crate::simulator::{PointsRefusal, PointsScope};

/// Options of the simulated account.
#[derive(Args, Clone, Debug)]
pub struct Simulate {
    /// Address to listen on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:10065")]
    pub listen: String,
    /// Number of VPSes.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub vps: u32,
    /// Seed of the account; the same seed makes the same account.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Speed of simulated time relative to real time.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = time_scale)]
    pub time_scale: f64,
    /// Days of usage history at the start.
    #[arg(long, value_name = "DAYS", default_value_t = 14.0, value_parser = days)]
    pub history: f64,
    /// Latency of getLiveServiceInfo.
    #[arg(long = "live.latency", value_name = "SECONDS", default_value_t = 0.3, value_parser = seconds)]
    pub live_latency: f64,
    /// API points in 15 minutes and in 24 hours.
    #[arg(long = "points.sizes", value_name = "N,N", default_value = "1000,20000", value_parser = points_sizes)]
    pub points_sizes: [f64; 2],
    /// Points that a call costs, for example getLiveServiceInfo=20; repeatable. Other calls cost 1.
    #[arg(long = "points.cost", value_name = "CALL=POINTS", value_parser = points_cost)]
    pub points_costs: Vec<(String, f64)>,
    /// VPSes that share a quota: vps (each has its own), account (all), or groups of VPSes by VEID modulo N.
    #[arg(long = "points.scope", value_name = "vps|account|groups:N", default_value = "vps", value_parser = points_scope)]
    pub points_scope: PointsScope,
    /// Use sliding windows of points instead of fixed ones.
    #[arg(long = "points.sliding")]
    pub points_sliding: bool,
    /// Delay until spent points show in the remaining points.
    #[arg(long = "points.lag", value_name = "SECONDS", default_value_t = 0.0, value_parser = seconds)]
    pub points_lag: f64,
    /// Reply to a call without points: status (429), drop or message.
    #[arg(long = "points.refusal", value_name = "HOW", default_value = "status", value_parser = points_refusal)]
    pub points_refusal: PointsRefusal,
    /// YAML file with faults: a list of {veid, call, kind, seconds, after, first, points}.
    #[arg(long, value_name = "FILE")]
    pub faults: Option<PathBuf>,
}

fn points_sizes(text: &str) -> Result<[f64; 2], InvalidArgument> {
    let points = |text: &str| {
        text.parse()
            .ok()
            .filter(|points: &f64| (0.0..1e9).contains(points))
    };
    text.split_once(',')
        .and_then(|(quarter, day)| Some([points(quarter)?, points(day)?]))
        .ok_or(InvalidArgument(
            "must be two numbers, for example 1000,20000",
        ))
}

fn points_cost(text: &str) -> Result<(String, f64), InvalidArgument> {
    text.split_once('=')
        .and_then(|(call, points)| Some((call.to_owned(), points.parse().ok()?)))
        .filter(|(_, points): &(String, f64)| (0.0..1e6).contains(points))
        .ok_or(InvalidArgument(
            "must be a call and its points, for example getLiveServiceInfo=20",
        ))
}

fn points_scope(text: &str) -> Result<PointsScope, InvalidArgument> {
    match (text, text.strip_prefix("groups:").map(str::parse)) {
        ("vps", _) => Ok(PointsScope::Vps),
        ("account", _) => Ok(PointsScope::Account),
        (_, Some(Ok(groups))) if groups > 0 => Ok(PointsScope::Groups(groups)),
        _ => Err(InvalidArgument("must be vps, account or groups:N")),
    }
}

fn points_refusal(text: &str) -> Result<PointsRefusal, InvalidArgument> {
    match text {
        "status" => Ok(PointsRefusal::Status),
        "drop" => Ok(PointsRefusal::Drop),
        "message" => Ok(PointsRefusal::Message),
        _ => Err(InvalidArgument("must be status, drop or message")),
    }
}

fn seconds(text: &str) -> Result<f64, InvalidArgument> {
    let seconds = text
        .parse()
        .ok()
        .filter(|seconds: &f64| (0.0..1e6).contains(seconds));
    seconds.ok_or(InvalidArgument("must be a number of seconds"))
}

fn days(text: &str) -> Result<f64, InvalidArgument> {
    let days = text
        .parse()
        .ok()
        .filter(|days: &f64| (0.0..=1000.0).contains(days));
    days.ok_or(InvalidArgument("must be a number of days from 0 to 1000"))
}

fn time_scale(text: &str) -> Result<f64, InvalidArgument> {
    match text.parse::<f64>() {
        Ok(scale) if (0.001..=100_000.0).contains(&scale) => Ok(scale),
        _ => Err(InvalidArgument("must be a number from 0.001 to 100000")),
    }
}
