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
use crate::simulator::{self, Credential, Options, Simulator};

/// A minute of watching is an hour of the story.
const TIME_SCALE: f64 = 60.0;
/// In the time of the story: live every two seconds of watching.
const INTERVALS: Intervals = Intervals {
    live: Duration::from_secs(2 * 60),
    usage: Duration::from_secs(10 * 60),
    points: Duration::from_secs(10 * 60),
    inventory: Duration::from_secs(60 * 60),
};
/// With intervals this short a busy machine must not make values come and go.
const STALENESS: f64 = 10.0;
const LATENCY: Duration = Duration::from_millis(100);

/// A simulated account in this process.
pub struct Demo {
    endpoint: Url,
    credentials: Vec<Credential>,
}

impl Demo {
    /// Starts it. It runs as long as the runtime.
    ///
    /// # Errors
    ///
    /// That there is no port for it.
    pub async fn start() -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = endpoint(listener.local_addr()?)?;
        tracing::info!(%endpoint, "simulating an account of eight VPSes; time runs {TIME_SCALE} times as fast there");
        let simulator = simulator();
        let credentials = simulator.credentials();
        let forever = std::future::pending();
        tokio::spawn(simulator::serve(listener, Arc::new(simulator), forever));
        Ok(Self {
            endpoint,
            credentials,
        })
    }

    /// Its configuration.
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

/// The configuration of a demo that nobody polls.
///
/// # Errors
///
/// None: the URL is a URL.
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
    let options = Options {
        time_scale: TIME_SCALE,
        live_latency: LATENCY,
        real_time_transfer: true,
        faults: vec![Simulator::odd_field_of_demo()],
        ..Options::default()
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
