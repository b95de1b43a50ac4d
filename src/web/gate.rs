//! Admits requests by the active web configuration, which is reloaded when its files change.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::header::{AUTHORIZATION, HeaderMap};
use thiserror::Error;

use super::basic_auth::{BasicAuth, PasswordVerdict};
use super::config::{self, FileVersions, Loaded, WebConfig};
use crate::config::{ConfigErrors, Warning};

/// Minimum interval between checks of the files. They are only checked on requests.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The reason for refusing a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Name or password is missing or wrong.
    Unauthorized,
    /// Too many password checks are pending.
    Busy,
    /// The rate limit is reached.
    RateLimited,
}

/// The reason why the exporter cannot start with a web configuration.
#[derive(Debug, Error)]
pub enum GateError {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The system provides no random numbers, which checks of passwords need.
    #[error("no random numbers available")]
    NoRandomNumbers,
}

/// The active web configuration.
pub struct Gate {
    file: PathBuf,
    auth: BasicAuth,
    state: Mutex<GateState>,
}

struct GateState {
    config: Arc<WebConfig>,
    snapshot: FileVersions,
    checked_at: Instant,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate({})", self.file.display())
    }
}

impl Gate {
    /// Loads a web configuration for the first time.
    ///
    /// # Errors
    ///
    /// If the configuration is invalid or there are no random numbers.
    pub fn open(file: &Path) -> Result<Self, GateError> {
        let Loaded { config, snapshot } = config::load(file);
        let config = accept(config)?;
        let auth = BasicAuth::new().map_err(|_| GateError::NoRandomNumbers)?;
        Ok(Self {
            file: file.to_owned(),
            auth,
            state: Mutex::new(GateState {
                config,
                snapshot,
                checked_at: Instant::now(),
            }),
        })
    }

    /// Reloads the configuration now. If it is invalid, the previous one stays active.
    ///
    /// # Errors
    ///
    /// Returns all problems of the new configuration.
    pub fn reload(&self) -> Result<(), ConfigErrors> {
        self.load(&mut self.state())
    }

    /// Returns true if TLS is configured.
    #[must_use]
    pub fn uses_tls(&self) -> bool {
        self.state().config.tls.is_some()
    }

    /// Returns the active configuration, after reloading it if its files have changed.
    pub(super) fn current(&self) -> Arc<WebConfig> {
        let mut state = self.state();
        if state.checked_at.elapsed() >= CHECK_INTERVAL {
            state.checked_at = Instant::now();
            if !state.snapshot.is_current() {
                match self.load(&mut state) {
                    Ok(()) => tracing::info!("web configuration reloaded"),
                    Err(error) => {
                        tracing::error!(%error, "web configuration not reloaded, the previous one stays active");
                    }
                }
            }
        }
        state.config.clone()
    }

    /// Admits or refuses a request of this client with these headers.
    ///
    /// # Errors
    ///
    /// Returns the reason for refusing it.
    pub(super) async fn admit(
        &self,
        config: &WebConfig,
        headers: &HeaderMap,
        client: IpAddr,
    ) -> Result<(), Refusal> {
        if let Some(limit) = &config.rate_limit
            && !limit.admits(Instant::now())
        {
            return Err(Refusal::RateLimited);
        }
        if config.users.is_empty() {
            return Ok(());
        }
        let authorization = headers.get(AUTHORIZATION);
        match self.auth.verify(&config.users, authorization, client).await {
            PasswordVerdict::Accepted => Ok(()),
            PasswordVerdict::Refused => Err(Refusal::Unauthorized),
            PasswordVerdict::Busy => Err(Refusal::Busy),
        }
    }

    fn load(&self, state: &mut GateState) -> Result<(), ConfigErrors> {
        let Loaded { config, snapshot } = config::load(&self.file);
        // Keep the snapshot of an invalid configuration too, so that its problems are logged only once.
        state.snapshot = snapshot;
        state.config = accept(config)?;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Validates a web configuration without using it.
///
/// # Errors
///
/// Returns all problems of the configuration.
pub fn validate(file: &Path) -> Result<(), ConfigErrors> {
    accept(config::load(file).config).map(drop)
}

/// Logs the warnings of a valid configuration.
fn accept(
    config: Result<(WebConfig, Vec<Warning>), ConfigErrors>,
) -> Result<Arc<WebConfig>, ConfigErrors> {
    let (config, warnings) = config?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(Arc::new(config))
}
