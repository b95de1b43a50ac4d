//! The configuration: what may be written, where it is read from, and what is wrong with it.
//!
//! Everything here has been validated: after [`load`] nothing needs to be checked again.

mod file;
mod fleet;
mod key_source;
mod load;
mod locate;
mod problem;
mod proxy;
mod reader;
mod shard;
mod thresholds;
mod units;
mod validate;
mod vps_file;
mod vps_key;
mod yaml;

pub(crate) use file::read;
#[cfg(test)]
pub(crate) use fleet::is_taken_label;
pub use key_source::{KeySource, read_key_file};
pub(crate) use load::read_file;
pub use load::{Source, load};
pub(crate) use locate::join;
pub use problem::{ConfigErrors, Problem, Warning};
pub(crate) use reader::{Reader, duration, nearest, shows_no_secret, text, whole};
pub use shard::Shard;
pub use thresholds::{Threshold, Thresholds};
pub use units::parse_duration;
pub use vps_file::{Fingerprint, VpsFile};

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use crate::kiwivm::{ApiKey, Call, PerCall, Proxy, Veid, is_loopback};

/// Where the API is unless the configuration says otherwise.
pub const DEFAULT_ENDPOINT: &str = "https://api.64clouds.com/v1";
/// The share of the points that the exporter allows itself.
pub const DEFAULT_SHARE: f64 = 0.5;
/// Bytes of answers a day and VPS.
pub const DEFAULT_DOWNLOAD: u64 = 100 << 20;
/// Intervals without success after which a value is dropped.
pub const DEFAULT_STALENESS: f64 = 3.0;
/// The wanted intervals.
pub const DEFAULT_INTERVALS: Intervals = Intervals {
    live: Call::LiveServiceInfo.default_interval(),
    usage: Call::RawUsageStats.default_interval(),
    points: Call::RateLimitStatus.default_interval(),
    inventory: Call::INVENTORY[0].default_interval(),
};
/// A shorter interval asks more of the API than its answers change.
pub const SHORTEST_INTERVAL: Duration = Duration::from_secs(30);
/// A longer one would outlast every limit of freshness.
pub const LONGEST_INTERVAL: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// How the API is reached.
    pub api: Api,
    /// What may be spent.
    pub budget: Budget,
    /// The wanted intervals of every VPS that has none of its own.
    pub intervals: Intervals,
    /// Planned intervals without success after which a value is dropped; 1 or more.
    pub staleness: f64,
    /// Where counters and values survive a restart.
    pub state_file: Option<PathBuf>,
    /// Which inventory is asked for.
    pub collect: Collect,
    /// What the multiplier applies to for every VPS that has none of its own.
    pub multiplier: Multiplier,
    /// The limits of the alerts for every VPS that has none of its own.
    pub thresholds: Arc<Thresholds>,
    /// Names of other exporters to serve too.
    pub compatibility: Vec<Compatibility>,
    /// Which part of the VPSes is here.
    pub shard: Shard,
    /// How many VPSes there are in all shards.
    pub vps_of_all_shards: usize,
    /// The vendor's export of keys, if one is used.
    pub vps_file: Option<VpsFile>,
    /// The VPSes of this shard; names and VEIDs unique. At least one, unless there are other shards.
    pub vps: Vec<Vps>,
}

/// How the API is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Api {
    /// https, or loopback.
    pub endpoint: Url,
    /// Calls in flight over all VPSes.
    pub concurrency: Concurrency,
    /// Not used for loopback.
    pub proxy: Option<Proxy>,
}

/// Calls in flight over all VPSes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrency {
    /// From the size of the fleet and the slow call.
    Auto,
    /// Exactly so many.
    Calls(NonZeroUsize),
}

/// What may be spent.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Of the points, at most this much: above 0, up to 1.
    pub share: f64,
    /// What one allowance of points covers.
    pub scope: Scope,
    /// Bytes of answers a day and VPS.
    pub download: u64,
}

/// What one allowance of points covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// To be found out.
    Auto,
    /// Each VPS has its own.
    Vps,
    /// All VPSes share one.
    Account,
}

/// The wanted intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intervals {
    /// Of `getLiveServiceInfo`.
    pub live: Duration,
    /// Of `getRawUsageStats`.
    pub usage: Duration,
    /// Of `getRateLimitStatus`.
    pub points: Duration,
    /// Of snapshots, backups, suspensions, violations.
    pub inventory: Duration,
}

/// The inventory calls that are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collect(PerCall<bool>);

impl Collect {
    /// All inventory.
    pub const EVERYTHING: Self = Self(PerCall::all(true));

    /// No inventory at all.
    pub const NOTHING: Self = Self(PerCall::all(false));

    /// The inventory whose keys are true.
    pub fn new(mut key_is_true: impl FnMut(&'static str, bool) -> bool) -> Self {
        let mut read = BTreeMap::new();
        Self(PerCall::from_fn(|call| {
            call.collect().is_some_and(|(key, by_default)| {
                *read
                    .entry(key)
                    .or_insert_with(|| key_is_true(key, by_default))
            })
        }))
    }

    /// Whether a call is made at all; what is no inventory always is.
    #[must_use]
    pub fn wants(self, call: Call) -> bool {
        call.collect().is_none() || self.0[call]
    }
}

impl Default for Collect {
    fn default() -> Self {
        Self::new(|_, by_default| by_default)
    }
}

/// What `monthly_data_multiplier` of the API is multiplied with. Clients read the field in three ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Multiplier {
    /// Counter and allowance, as the vendor's documentation says.
    #[default]
    Both,
    /// The allowance alone.
    Allowance,
    /// Nothing.
    None,
}

/// Another exporter whose names can be served too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compatibility {
    /// icyleaf's.
    BandwagonExporter,
    /// weiqiang333's.
    BandwagonhostCloudExporter,
}

impl Compatibility {
    /// Every one of them.
    pub const ALL: [Self; 2] = [Self::BandwagonExporter, Self::BandwagonhostCloudExporter];
}

/// One VPS.
#[derive(Clone, Debug, PartialEq)]
pub struct Vps {
    /// The `vps` label.
    pub name: String,
    /// The `veid` label.
    pub veid: Veid,
    /// The key as it was read, or why there is none.
    pub key: Result<ApiKey, Problem>,
    /// The source of the key.
    pub key_source: KeySource,
    /// Labels of every series of it, beside `veid` and `vps`.
    pub labels: BTreeMap<String, String>,
    /// What the alerts take for normal.
    pub expect: Expect,
    /// Its own intervals where it has any, else those of the configuration.
    pub intervals: Intervals,
    /// Its own choice, else that of the configuration.
    pub multiplier: Multiplier,
    /// Its own limits where it has any, else those of the configuration.
    pub thresholds: Arc<Thresholds>,
    /// VPSes with the same name here share a quota of API points, and share it with no others, whatever
    /// [`Budget::scope`] says.
    pub quota_group: Option<String>,
}

/// What the alerts take for normal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The VPS runs.
    Running,
    /// The VPS is off on purpose.
    Stopped,
    /// Either is fine.
    Any,
}

impl Expect {
    const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Any => "any",
        }
    }
}

impl Config {
    /// The configuration of a demo: intervals far below what may be asked of the real API.
    #[must_use]
    pub fn for_simulator(
        endpoint: Url,
        intervals: Intervals,
        staleness: f64,
        credentials: impl IntoIterator<Item = (String, Veid, ApiKey)>,
    ) -> Self {
        let thresholds = Arc::<Thresholds>::default();
        let simulated = |(name, veid, key): (String, Veid, ApiKey)| Vps {
            name,
            veid,
            key: Ok(key),
            key_source: KeySource::Inline,
            labels: BTreeMap::from([("env".to_owned(), "demo".to_owned())]),
            expect: Expect::Running,
            intervals,
            multiplier: Multiplier::default(),
            thresholds: Arc::clone(&thresholds),
            quota_group: None,
        };
        let vps: Vec<Vps> = credentials.into_iter().map(simulated).collect();
        Self {
            thresholds,
            api: Api {
                endpoint,
                concurrency: Concurrency::Auto,
                proxy: None,
            },
            budget: Budget {
                share: DEFAULT_SHARE,
                scope: Scope::Auto,
                download: DEFAULT_DOWNLOAD,
            },
            intervals,
            staleness,
            state_file: None,
            collect: Collect::EVERYTHING,
            multiplier: Multiplier::default(),
            compatibility: Vec::new(),
            shard: Shard::default(),
            vps_of_all_shards: vps.len(),
            vps_file: None,
            vps,
        }
    }

    /// How many of the VPSes are in this shard, in words, if there are others.
    #[must_use]
    pub fn part(&self) -> Option<String> {
        let (shard, all) = (self.shard, self.vps_of_all_shards);
        (!shard.is_whole()).then(|| match self.vps.len() {
            0 => format!("No VPS of {all} belongs to {shard}: there is nothing to poll"),
            here => format!("Of {all} VPSes {here} belong to {shard}"),
        })
    }

    /// The VPSes without a usable key, and why.
    pub fn without_key(&self) -> impl Iterator<Item = (&Vps, &Problem)> {
        self.vps
            .iter()
            .filter_map(|vps| Some((vps, vps.key.as_ref().err()?)))
    }

    /// What was understood, for people. No secrets.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut text = format!(
            "The configuration is valid: {} VPS{} at {}.\n",
            self.vps_of_all_shards,
            if self.vps_of_all_shards == 1 {
                ""
            } else {
                "es"
            },
            self.api.endpoint
        );
        if let Some(part) = self.part() {
            let _ = writeln!(text, "{part}.");
        }
        if let Some(proxy) = &self.api.proxy {
            let unused = if is_loopback(&self.api.endpoint) {
                ", which is not used for an API on this machine"
            } else {
                ""
            };
            let _ = writeln!(text, "The proxy is {proxy}{unused}.");
        }
        if let Some(file) = &self.vps_file {
            let _ = writeln!(text, "{file}.");
        }
        for vps in &self.vps {
            let Intervals {
                live,
                usage,
                points,
                inventory,
            } = vps.intervals;
            // Writing to a String does not fail.
            let _ = writeln!(
                text,
                "  {} (VEID {}): expected {}; live every {}, usage every {}, points every {}, inventory every {}{}; key {}{}",
                vps.name,
                vps.veid,
                vps.expect.name(),
                units::show_duration(live),
                units::show_duration(usage),
                units::show_duration(points),
                units::show_duration(inventory),
                vps.quota_group
                    .as_ref()
                    .map_or_else(String::new, |group| format!("; quota group {group}")),
                vps.key_source,
                if vps.key.is_ok() { "" } else { ", UNUSABLE" },
            );
        }
        text
    }
}

#[cfg(test)]
mod tests;
