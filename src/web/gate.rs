//! Who comes in: the web configuration in force, which is read again when its files change.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::header::{AUTHORIZATION, HeaderMap};

use super::basic_auth::{BasicAuth, Verdict};
use super::config::{self, Loaded, Snapshot, WebConfig};
use crate::config::{ConfigErrors, Warning};

/// How often the files are looked at, at most, and only while somebody asks.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The name or the password is missing or wrong.
    Unauthorized,
    /// Too many passwords wait to be checked.
    Busy,
    /// The rate limit is reached.
    TooMany,
}

/// The web configuration in force.
pub struct Gate {
    file: PathBuf,
    auth: BasicAuth,
    state: Mutex<State>,
}

struct State {
    config: Arc<WebConfig>,
    snapshot: Snapshot,
    looked: Instant,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate({})", self.file.display())
    }
}

impl Gate {
    /// Reads a web configuration for the first time.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn open(file: &Path) -> Result<Self, String> {
        let Loaded { config, snapshot } = config::load(file);
        let config = accept(config).map_err(|errors| errors.to_string())?;
        let auth = BasicAuth::new().map_err(|_| "there are no random numbers".to_owned())?;
        Ok(Self {
            file: file.to_owned(),
            auth,
            state: Mutex::new(State {
                config,
                snapshot,
                looked: Instant::now(),
            }),
        })
    }

    /// Reads it again now. If something is wrong with it the old one stays in force.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the new one.
    pub fn reload(&self) -> Result<(), String> {
        self.load(&mut self.state())
            .map_err(|errors| errors.to_string())
    }

    /// Whether it is HTTPS that is spoken now.
    #[must_use]
    pub fn speaks_tls(&self) -> bool {
        self.state().config.tls.is_some()
    }

    /// The configuration in force; a new one, if the files have changed.
    pub(super) fn current(&self) -> Arc<WebConfig> {
        let mut state = self.state();
        if state.looked.elapsed() >= LOOK_AGAIN {
            state.looked = Instant::now();
            if !state.snapshot.is_current() {
                match self.load(&mut state) {
                    Ok(()) => tracing::info!("web configuration reloaded"),
                    Err(error) => {
                        tracing::error!(%error, "web configuration not reloaded, the old one stays in force");
                    }
                }
            }
        }
        state.config.clone()
    }

    /// Admits a request of this client with these headers, or refuses it.
    ///
    /// # Errors
    ///
    /// Why it is not.
    pub(super) async fn admit(
        &self,
        config: &WebConfig,
        headers: &HeaderMap,
        client: IpAddr,
    ) -> Result<(), Refusal> {
        if let Some(limit) = &config.rate_limit
            && !limit.admits(Instant::now())
        {
            return Err(Refusal::TooMany);
        }
        if config.users.is_empty() {
            return Ok(());
        }
        let authorization = headers.get(AUTHORIZATION);
        match self.auth.judge(&config.users, authorization, client).await {
            Verdict::Welcome => Ok(()),
            Verdict::Refused => Err(Refusal::Unauthorized),
            Verdict::Busy => Err(Refusal::Busy),
        }
    }

    fn load(&self, state: &mut State) -> Result<(), ConfigErrors> {
        let Loaded { config, snapshot } = config::load(&self.file);
        // Also of one that is wrong: what is wrong is said once.
        state.snapshot = snapshot;
        state.config = accept(config)?;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a web configuration, only to tell what is wrong with it.
///
/// # Errors
///
/// Everything that is.
pub fn validate(file: &Path) -> Result<(), ConfigErrors> {
    accept(config::load(file).config).map(drop)
}

/// Logs what should not stay so.
fn accept(
    config: Result<(WebConfig, Vec<Warning>), ConfigErrors>,
) -> Result<Arc<WebConfig>, ConfigErrors> {
    let (config, warnings) = config?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(Arc::new(config))
}
