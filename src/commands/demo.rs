//! `--demo`: the exporter and a simulated account in one process.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use tokio::net::TcpListener;

use super::serve::serve;
use super::simulate::unix_now;
use super::{Failure, block_on};
use crate::cli::Cli;
use crate::config::{Config, Intervals};
use crate::kiwivm::{ApiKey, Veid};
use crate::simulator::{self, Credential, Simulator, SimulatorOptions};

/// A minute of real time is an hour in the simulated account.
const TIME_SCALE: f64 = 60.0;
/// In simulated time: live data every two seconds of real time.
const INTERVALS: Intervals = Intervals {
    live: Duration::from_secs(2 * 60),
    usage: Duration::from_secs(10 * 60),
    points: Duration::from_secs(10 * 60),
    inventory: Duration::from_secs(60 * 60),
};
/// Intervals are so short that a busy machine would make values stale at the default factor.
const STALENESS: f64 = 10.0;
const LATENCY: Duration = Duration::from_millis(100);

/// A simulated account in this process.
pub struct Demo {
    endpoint: Url,
    credentials: Vec<Credential>,
}

impl Demo {
    /// Starts the simulated account, which runs as long as the runtime.
    ///
    /// # Errors
    ///
    /// No free port.
    pub async fn start() -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = endpoint(listener.local_addr()?)?;
        tracing::info!(%endpoint, "simulating an account of eight VPSes at {TIME_SCALE} times real time");
        let simulator = simulator();
        let credentials = simulator.credentials();
        let never = std::future::pending();
        tokio::spawn(simulator::serve(listener, Arc::new(simulator), never));
        Ok(Self {
            endpoint,
            credentials,
        })
    }

    /// The configuration for the simulated account.
    #[must_use]
    pub fn config(&self) -> Config {
        let credential = |of: &Credential| {
            let key = ApiKey::new(of.api_key.as_str())?;
            Some((of.name.clone(), Veid(of.veid), key))
        };
        let credentials = self.credentials.iter().filter_map(credential);
        Config::for_simulator(self.endpoint.clone(), INTERVALS, STALENESS, credentials)
    }
}

/// The configuration of a demo that does not run.
///
/// # Errors
///
/// None in practice: the URL is constant.
pub fn unpolled() -> Result<Config, Failure> {
    let demo = Demo {
        endpoint: endpoint(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)))?,
        credentials: simulator().credentials(),
    };
    Ok(demo.config())
}

fn endpoint(address: SocketAddr) -> Result<Url, Failure> {
    Ok(Url::parse(&format!("http://{address}/v1"))?)
}

fn simulator() -> Simulator {
    let options = SimulatorOptions {
        time_scale: TIME_SCALE,
        live_latency: LATENCY,
        real_time_transfer: true,
        faults: vec![Simulator::odd_field_of_demo()],
        ..SimulatorOptions::default()
    };
    Simulator::demo(options, unix_now())
}

/// Serves the metrics of a simulated account until SIGTERM or SIGINT.
///
/// # Errors
///
/// An address that cannot be listened on.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    block_on(async {
        let demo = Demo::start().await?;
        let config = move || Ok(demo.config());
        serve(cli, Box::new(config), TIME_SCALE).await
    })
}
