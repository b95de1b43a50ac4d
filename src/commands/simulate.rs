//! `simulate`: runs the simulated API alone.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;

use super::{Failure, block_on};
use crate::cli::Simulate;
use crate::simulator::{self, PointsOptions, Simulator, SimulatorOptions, parse_faults};

/// Prints a configuration for the simulated account and serves it until SIGINT or SIGTERM.
///
/// # Errors
///
/// An address that cannot be listened on, or an invalid file of faults.
pub fn run(arguments: &Simulate) -> Result<(), Failure> {
    let faults = match &arguments.faults {
        None => Vec::new(),
        Some(file) => std::fs::read_to_string(file)
            .map_err(Failure::from)
            .and_then(|yaml| Ok(parse_faults(&yaml)?))
            .map_err(|error| Failure(format!("{}: {error}", file.display())))?,
    };
    let options = SimulatorOptions {
        seed: arguments.seed,
        time_scale: arguments.time_scale,
        history: Duration::from_secs_f64(arguments.history * 86_400.0),
        past_days: 0,
        real_time_transfer: false,
        faults,
        live_latency: Duration::from_secs_f64(arguments.live_latency),
        points: PointsOptions {
            sizes: arguments.points_sizes,
            costs: arguments
                .points_costs
                .iter()
                .map(|(call, points)| (call.clone(), (*points).into()))
                .collect(),
            scope: arguments.points_scope.clone(),
            sliding: arguments.points_sliding,
            lag: arguments.points_lag,
            refusal: arguments.points_refusal,
        },
    };
    block_on(async {
        let listener = TcpListener::bind(&arguments.listen)
            .await
            .map_err(|error| Failure(format!("cannot listen on {}: {error}", arguments.listen)))?;
        let endpoint = format!("http://{}/v1", listener.local_addr()?);
        let simulator = match arguments.vps {
            8 => Simulator::demo(options, unix_now()),
            count => Simulator::fleet(options, unix_now(), count),
        };
        let configuration = simulator.example_configuration(&endpoint);
        std::io::stdout().write_all(configuration.as_bytes())?;
        std::io::stdout().flush()?;
        // Scripts that wait for this line read the whole configuration.
        tracing::info!(endpoint, vps = arguments.vps, "simulating");
        let stop = super::serve::stop_signal()?;
        simulator::serve(listener, Arc::new(simulator), stop).await;
        Ok(())
    })
}

/// The wall clock in Unix seconds.
#[must_use]
pub fn unix_now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}
