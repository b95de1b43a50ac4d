//! The commands, one per file. Each returns its failure as one text for standard error.

pub mod backfill;
pub mod check;
pub mod demo;
pub mod healthcheck;
pub mod once;
pub mod plan;
pub mod record;
pub mod serve;
mod service_manager;
pub mod simulate;

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::sync::Once;

use crate::cli::Cli;
use crate::config::{self, Config, Vps};
use crate::kiwivm::{Client, ClientOptions, is_loopback};

/// The reason for exit code 1, for standard error.
#[derive(Debug)]
pub struct Failure(pub String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Loads the configuration that the command line and the environment name, and logs its warnings.
///
/// # Errors
///
/// All errors of the configuration.
pub fn load_config(cli: &Cli) -> Result<Config, Failure> {
    let (config, warnings) = config::load(&cli.config_source())?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if let Some(file) = &config.vps_file {
        tracing::info!("{file}");
    }
    Ok(config)
}

/// Starts the demo and returns its configuration, or loads the one that the command line and the environment name.
///
/// # Errors
///
/// All errors of the configuration.
pub async fn load_or_demo(cli: &Cli) -> Result<Config, Failure> {
    if cli.demo {
        return Ok(demo::Demo::start().await?.config());
    }
    load_config(cli)
}

/// Logs the VPSes that cannot be polled because they have no usable key.
pub fn log_missing_keys(config: &Config) {
    for (vps, problem) in config.vps_without_key() {
        let (vps, veid) = (&vps.name, vps.veid.0);
        tracing::warn!(
            vps,
            veid,
            "no usable key, so this VPS is not polled: {problem}"
        );
    }
}

/// A client for the API that the configuration names.
///
/// # Errors
///
/// The TLS configuration of this machine is unusable.
pub fn client_for(config: &Config) -> Result<Client, Failure> {
    Ok(Client::new(client_options(config))?)
}

/// The options of a client for the API that the configuration names.
fn client_options(config: &Config) -> ClientOptions {
    log_environment(config);
    ClientOptions {
        endpoint: config.api.endpoint.clone(),
        proxy: config.api.proxy.clone(),
    }
}

/// The VPSes with these names, or all if there are no names.
fn chosen<'a>(config: &'a Config, names: &[String]) -> Result<Vec<&'a Vps>, Failure> {
    if let Some(unknown) = names
        .iter()
        .find(|name| !config.vps.iter().any(|vps| vps.name == **name))
    {
        return Err(Failure(format!(
            "--vps={unknown}: there is no VPS of this name in the configuration"
        )));
    }
    let wanted = |vps: &&Vps| names.is_empty() || names.contains(&vps.name);
    Ok(config.vps.iter().filter(wanted).collect())
}

/// Warns about environment variables with an unexpected effect, once a process: a proxy that only other programs use,
/// and missing certificates.
fn log_environment(config: &Config) {
    static LOGGED: Once = Once::new();
    const PROXIES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    if is_loopback(&config.api.endpoint) {
        return;
    }
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    LOGGED.call_once(|| {
        if config.api.proxy.is_none()
            && let Some(variable) = PROXIES.into_iter().find(|name| is_set(name))
        {
            tracing::warn!(
                "{variable} is set but not used; set api.proxy to reach the API through a proxy"
            );
        }
        if cfg!(target_vendor = "apple") && is_set("SSL_CERT_FILE") {
            // The verifier of these systems uses the keychain and reads no file.
            tracing::warn!("SSL_CERT_FILE is set but not used; add the CA to the keychain");
        } else if let Some(file) = std::env::var_os("SSL_CERT_FILE")
            && !Path::new(&file).is_file()
        {
            tracing::warn!(file = %Path::new(&file).display(), "SSL_CERT_FILE is not a file; only Mozilla's certificates are trusted");
        }
    });
}

/// Threads for blocking work: name resolution, password checks, file writes. With tokio's default limit, the first round
/// over a large fleet would start dozens of threads, each with memory of its own.
const BLOCKING_THREADS: usize = 4;

/// Runs a command on a single-threaded runtime: nearly all of its time is waiting.
///
/// # Errors
///
/// Those of the command, or a runtime that cannot be started.
pub fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(|error| Failure(format!("the runtime could not be started: {error}")))?;
    let outcome = runtime.block_on(future);
    // A password check that is still running must not delay the exit.
    runtime.shutdown_background();
    outcome
}
