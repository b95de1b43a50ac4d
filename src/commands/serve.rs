//! `serve`: polls in the background and serves scrapes until it is stopped.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};

use super::{Failure, block_on, client_for, load_config, log_missing_keys, service_manager};
use crate::cli::Cli;
use crate::clock::Clock;
use crate::config::{Compatibility, Config, Fingerprint, VpsFile};
use crate::exposition::format::Format;
use crate::exposition::{Exposition, UnknownVps};
use crate::kiwivm::is_loopback;
use crate::poller::{Heartbeat, Poller, Reload, SharedFleet, StateFile, fleet_of, lock};
use crate::web::{self, Discovery, Gate, Options, ReloadError, Site, Status};

/// The exporter is ready after this time at the latest: waiting longer would only hide the VPSes that respond.
const READY_AT_LAST: Duration = Duration::from_secs(60);

/// Interval at which the vendor's export is read, the same as of key files.
const VPS_FILE_CHECK: Duration = Duration::from_secs(60);

/// Loads the configuration, at the start and for each reload.
pub type LoadConfig = Box<dyn Fn() -> Result<Config, Failure> + Send + Sync>;

/// Serves the VPSes of the configuration.
///
/// # Errors
///
/// An invalid configuration, or an address that cannot be listened on.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let owned_cli = cli.clone();
    let load = move || {
        let config = load_config(&owned_cli)?;
        log_missing_keys(&config);
        if owned_cli.time_scale > 1.0 && !is_loopback(&config.api.endpoint) {
            return Err(Failure(
                "--simulator.time-scale requires a simulated account on this machine (api.endpoint on loopback)".to_owned(),
            ));
        }
        Ok(config)
    };
    block_on(serve(cli, Box::new(load), cli.time_scale))
}

/// Serves until SIGTERM or SIGINT. The clock of the poller and the API points runs `time_scale` times as fast.
///
/// # Errors
///
/// As [`run`].
pub async fn serve(cli: &Cli, load: LoadConfig, time_scale: f64) -> Result<(), Failure> {
    let config = load()?;
    let signals = Signals::new()?;
    let gate = match &cli.web_config_file {
        Some(file) => Some(Arc::new(Gate::open(file)?)),
        None => None,
    };
    let listeners = if cli.systemd_socket {
        tracing::info!("listening on sockets passed by systemd instead of addresses");
        web::inherited()?
    } else {
        web::bind(&cli.listen_addresses()).await?
    };
    let tls = gate.as_ref().is_some_and(|gate| gate.uses_tls());
    for address in listeners
        .iter()
        .filter_map(|listener| listener.local_addr().ok())
    {
        let path = format!("{}{}", cli.route_prefix(), cli.telemetry_path);
        tracing::info!(%address, path, vps = config.vps.len(), tls, "listening");
    }

    if let Some(shard) = config.shard_summary() {
        tracing::info!("{shard}");
    }

    let clock = Clock::start().scaled(time_scale);
    let fleet = fleet_of(&config);
    let mut poller = Poller::new(&config, client_for(&config)?, fleet.clone(), clock);
    if let Some(path) = &config.state_file {
        let (file, state) = StateFile::open(path, clock.now().unix)?;
        poller.keep_state(file, state);
    }
    let compatibility = config.compatibility.clone();
    let vps_file = config.vps_file.clone();
    // The fleet and the poller have their own copies, and the configuration of a large fleet is large.
    drop(config);
    let (reloads, for_poller) = mpsc::channel(1);
    let (stop, stopped) = watch::channel(false);
    let exporter = Arc::new(RunningExporter {
        exposition: Exposition::new(fleet.clone(), clock, compatibility),
        fleet: fleet.clone(),
        heartbeat: poller.heartbeat(),
        started: clock.now().elapsed,
        clock,
        load,
        reloads,
        gate: gate.clone(),
        telemetry_path: cli.telemetry_path.clone(),
        vps_file: Mutex::new(vps_file),
    });
    let polling = tokio::spawn(poller.run(for_poller, stopped.clone()));
    let waiting = tokio::spawn(signals.handle(exporter.clone(), stop));
    let watching = tokio::spawn(watch_vps_file(exporter.clone()));
    let conditions = tokio::spawn(watch_conditions(exporter.clone()));
    let watchdog = service_manager::feed_watchdog(exporter.heartbeat.clone(), fleet.clone(), clock);
    let watchdog = tokio::spawn(watchdog);
    service_manager::ready(&fleet);

    let stopping = async move {
        let mut stopped = stopped;
        // The task that waits for signals owns the sender: stop if that task ends too.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let options = options(cli, gate);
    tracing::debug!(
        connections = options.max_connections,
        "connection limit, at most half of the limit of open files"
    );
    web::serve(listeners, exporter, options, stopping).await;
    waiting.abort();
    watching.abort();
    conditions.abort();
    watchdog.abort();
    if let Err(error) = polling.await {
        tracing::error!(%error, "poller task failed");
    }
    tracing::info!("stopped");
    Ok(())
}

fn options(cli: &Cli, gate: Option<Arc<Gate>>) -> Options {
    Options {
        telemetry_path: cli.telemetry_path.clone(),
        route_prefix: cli.route_prefix(),
        external_url: cli.external_url.clone(),
        max_requests: cli.max_requests,
        enable_lifecycle: cli.enable_lifecycle,
        gate,
        ..Options::default()
    }
}

/// Interval at which conditions are evaluated: far below the shortest time that an alert waits.
const CONDITIONS_INTERVAL: Duration = Duration::from_secs(15);

struct RunningExporter {
    exposition: Exposition,
    fleet: SharedFleet,
    clock: Clock,
    heartbeat: Heartbeat,
    started: Duration,
    load: LoadConfig,
    reloads: mpsc::Sender<Reload>,
    gate: Option<Arc<Gate>>,
    telemetry_path: String,
    /// The vendor's export as of the last check.
    vps_file: Mutex<Option<VpsFile>>,
}

/// Loads the configuration again when the vendor's export has changed.
async fn watch_vps_file(exporter: Arc<RunningExporter>) {
    loop {
        tokio::time::sleep(VPS_FILE_CHECK).await;
        if let Some(path) = exporter.changed_vps_file() {
            tracing::info!(file = %path.display(), "vps_file changed, reloading the configuration");
            // `reload_config` logs failures. The next change triggers another attempt.
            let _ = exporter.reload_config().await;
        }
    }
}

/// Evaluates the conditions of the alerts regularly, so that the status page knows since when they hold.
async fn watch_conditions(exporter: Arc<RunningExporter>) {
    loop {
        let (reloads, now) = (exporter.exposition.reloads(), exporter.clock.now());
        lock(&exporter.fleet).evaluate_conditions(reloads.successful, now);
        tokio::time::sleep(CONDITIONS_INTERVAL).await;
    }
}

impl RunningExporter {
    /// Replaces the configuration, or keeps the previous one and returns the error.
    async fn reload_config(&self) -> Result<(), ReloadError> {
        service_manager::reloading();
        let outcome = self
            .try_reload()
            .await
            .map_err(|failure| ReloadError(failure.0));
        self.exposition.reloaded(outcome.as_ref().ok().cloned());
        service_manager::ready(&self.fleet);
        match &outcome {
            Ok(_) => tracing::info!("configuration reloaded"),
            Err(error) => {
                tracing::error!(%error, "configuration not reloaded, the previous one stays active");
            }
        }
        outcome.map(drop)
    }

    /// The path of the vendor's export if it changed since the last check.
    fn changed_vps_file(&self) -> Option<PathBuf> {
        let mut file = self.vps_file.lock().unwrap_or_else(PoisonError::into_inner);
        let file = file.as_mut()?;
        let now = Fingerprint::of(&file.path);
        let before = std::mem::replace(&mut file.fingerprint, now);
        (before != now).then(|| file.path.clone())
    }

    /// Loads and activates a configuration; returns its compatibility names once it is active.
    async fn try_reload(&self) -> Result<Vec<Compatibility>, Failure> {
        if let Some(gate) = &self.gate {
            gate.reload()?;
        }
        let config = (self.load)()?;
        let compatibility = config.compatibility.clone();
        let vps_file = config.vps_file.clone();
        let client = client_for(&config)?;
        let (done, taken_over) = oneshot::channel();
        let reload = Reload {
            config,
            client,
            done,
        };
        let stopping = || Failure("the exporter is stopping".to_owned());
        self.reloads.send(reload).await.map_err(|_| stopping())?;
        taken_over.await.map_err(|_| stopping())?;
        *self.vps_file.lock().unwrap_or_else(PoisonError::into_inner) = vps_file;
        Ok(compatibility)
    }
}

impl Site for RunningExporter {
    fn metrics(&self, format: Format, gzip: bool, vps: &[String]) -> Result<Bytes, UnknownVps> {
        self.exposition.scrape(format, gzip, vps)
    }

    fn status(&self) -> Status {
        let (reloads, now) = (self.exposition.reloads(), self.clock.now());
        let mut fleet = lock(&self.fleet);
        fleet.evaluate_conditions(reloads.successful, now);
        Status::new(&fleet, reloads, &self.telemetry_path, now)
    }

    fn discovery(&self) -> Discovery {
        Discovery::new(&lock(&self.fleet))
    }

    fn healthy(&self) -> bool {
        self.heartbeat.is_alive(self.clock.now().elapsed)
    }

    fn ready(&self) -> bool {
        self.clock.now().elapsed >= self.started + READY_AT_LAST || lock(&self.fleet).all_tried()
    }

    fn reload(&self) -> BoxFuture<'_, Result<(), ReloadError>> {
        Box::pin(self.reload_config())
    }
}

/// Ends with SIGTERM or SIGINT.
///
/// # Errors
///
/// Signals cannot be received.
pub fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let mut signals = Signals::new()?;
    Ok(async move {
        tokio::select! {
            _ = signals.terminate.recv() => {}
            _ = signals.interrupt.recv() => {}
        }
    })
}

/// Receivers of the signals: SIGTERM and SIGINT stop, SIGHUP reloads.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn handle(mut self, exporter: Arc<RunningExporter>, stop: watch::Sender<bool>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                Some(()) = self.hangup.recv() => {
                    // `reload_config` logs failures.
                    let _ = exporter.reload_config().await;
                }
            }
        }
        tracing::info!("stopping");
        service_manager::stopping();
        stop.send_replace(true);
    }
}
