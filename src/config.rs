//! The configuration: its keys, its sources and its validation.
//!
//! [`load`] validates everything, so a [`Config`] needs no further checks.

mod file;
mod fleet;
mod key_source;
mod labels;
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
mod vps_table;
mod yaml;

pub(crate) use file::read;
pub use key_source::{InvalidKey, KeyError, KeySource, read_key_file};
#[cfg(test)]
pub(crate) use labels::is_reserved_label;
pub(crate) use load::read_file;
pub use load::{ConfigSource, load};
pub(crate) use locate::join;
pub use problem::{ConfigErrors, Problem, Warning};
pub(crate) use reader::{Reader, duration, is_safe_to_show, nearest, text, whole};
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
use crate::units::Bytes;

/// The default of `api.endpoint`.
pub const DEFAULT_ENDPOINT: &str = "https://api.64clouds.com/v1";
/// The default of `budget.share`.
pub const DEFAULT_SHARE: f64 = 0.5;
/// The default of `budget.download`.
pub const DEFAULT_DOWNLOAD: Bytes = Bytes(100 << 20);
/// The default of `staleness`, in intervals.
pub const DEFAULT_STALENESS: f64 = 3.0;
/// The default intervals.
pub const DEFAULT_INTERVALS: Intervals = Intervals {
    live: Call::LiveServiceInfo.default_interval(),
    usage: Call::RawUsageStats.default_interval(),
    points: Call::RateLimitStatus.default_interval(),
    inventory: Call::INVENTORY[0].default_interval(),
};
/// Shortest interval. The data of the API do not change faster.
pub const SHORTEST_INTERVAL: Duration = Duration::from_secs(30);
/// Longest interval. With a longer one, no data would count as fresh.
pub const LONGEST_INTERVAL: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A complete configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The connection to the API.
    pub api: Api,
    /// Limits of points and downloads.
    pub budget: Budget,
    /// The intervals of every VPS without its own.
    pub intervals: Intervals,
    /// Planned intervals without success after which a value is dropped, at least 1.
    pub staleness: f64,
    /// The file that keeps counters and values over a restart.
    pub state_file: Option<PathBuf>,
    /// The inventory calls to make.
    pub collect: Collect,
    /// The use of the multiplier for every VPS without its own.
    pub multiplier: Multiplier,
    /// The thresholds of alerts for every VPS without its own.
    pub thresholds: Arc<Thresholds>,
    /// Other exporters whose metrics are served too.
    pub compatibility: Vec<Compatibility>,
    /// The shard that this process polls.
    pub shard: Shard,
    /// Number of VPSes in all shards.
    pub vps_of_all_shards: usize,
    /// The vendor's export of keys, if configured.
    pub vps_file: Option<VpsFile>,
    /// The VPSes of this shard, with unique names and VEIDs. Only empty if there are other shards.
    pub vps: Vec<Vps>,
}

/// The connection to the API.
#[derive(Clone, Debug, PartialEq)]
pub struct Api {
    /// An https or loopback URL.
    pub endpoint: Url,
    /// Limit of calls in flight over all VPSes.
    pub concurrency: Concurrency,
    /// The proxy, not used for a loopback endpoint.
    pub proxy: Option<Proxy>,
}

/// Limit of calls in flight over all VPSes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrency {
    /// Derived from the size of the fleet and the duration of the slow call.
    Auto,
    /// A fixed number.
    Calls(NonZeroUsize),
}

/// Limits of points and downloads.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Share of the points that may be spent: above 0, up to 1.
    pub share: f64,
    /// The VPSes that share one quota of points.
    pub scope: Scope,
    /// Limit of received bytes per VPS and day.
    pub download: Bytes,
}

/// The VPSes that share one quota of points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Detected from observed points.
    Auto,
    /// Each VPS has its own.
    Vps,
    /// All VPSes share one.
    Account,
}

/// The poll intervals.
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

/// The inventory calls to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collect(PerCall<bool>);

impl Collect {
    /// All inventory.
    pub const EVERYTHING: Self = Self(PerCall::all(true));

    /// No inventory at all.
    pub const NOTHING: Self = Self(PerCall::all(false));

    /// Enables the calls for whose key and default `key_is_true` returns true. Calls it once per key.
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

    /// Returns true if a call is made. Only inventory calls can be disabled.
    #[must_use]
    pub fn includes(self, call: Call) -> bool {
        call.collect().is_none() || self.0[call]
    }
}

impl Default for Collect {
    fn default() -> Self {
        Self::new(|_, by_default| by_default)
    }
}

/// The values that `monthly_data_multiplier` of the API applies to. Clients interpret the field in three ways.
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

/// Another exporter whose metrics can be served too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compatibility {
    /// icyleaf's.
    BandwagonExporter,
    /// weiqiang333's.
    BandwagonhostCloudExporter,
}

impl Compatibility {
    /// All supported exporters.
    pub const ALL: [Self; 2] = [Self::BandwagonExporter, Self::BandwagonhostCloudExporter];
}

/// One VPS.
#[derive(Clone, Debug, PartialEq)]
pub struct Vps {
    /// The `vps` label.
    pub name: String,
    /// The `veid` label.
    pub veid: Veid,
    /// The key, or the reason why there is none.
    pub key: Result<ApiKey, Problem>,
    /// The source of the key.
    pub key_source: KeySource,
    /// Additional labels of all its series.
    pub labels: BTreeMap<String, String>,
    /// The state that raises no alert.
    pub expect: Expect,
    /// Its intervals, or those of the configuration where it has none.
    pub intervals: Intervals,
    /// Its use of the multiplier, or that of the configuration.
    pub multiplier: Multiplier,
    /// Its thresholds, or those of the configuration where it has none.
    pub thresholds: Arc<Thresholds>,
    /// The quota group. VPSes of one group share a quota of API points among themselves, regardless of
    /// [`Budget::scope`].
    pub quota_group: Option<String>,
}

/// The state of a VPS that raises no alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The VPS runs.
    Running,
    /// The VPS is stopped on purpose.
    Stopped,
    /// Both states are fine.
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
    /// Builds the configuration of a demo, with intervals too short for the real API.
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

    /// Describes the VPSes of this shard, unless it is the only one.
    #[must_use]
    pub fn shard_summary(&self) -> Option<String> {
        let (shard, all) = (self.shard, self.vps_of_all_shards);
        (!shard.is_whole()).then(|| match self.vps.len() {
            0 => format!("None of the {all} VPSes belong to {shard}: there is nothing to poll"),
            here => format!("{here} of {all} VPSes belong to {shard}"),
        })
    }

    /// The VPSes without a usable key, and the reasons.
    pub fn vps_without_key(&self) -> impl Iterator<Item = (&Vps, &Problem)> {
        self.vps
            .iter()
            .filter_map(|vps| Some((vps, vps.key.as_ref().err()?)))
    }

    /// Describes the configuration for the user. Contains no secrets.
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
        if let Some(shard) = self.shard_summary() {
            let _ = writeln!(text, "{shard}.");
        }
        if let Some(proxy) = &self.api.proxy {
            let unused = if is_loopback(&self.api.endpoint) {
                ", which is not used for a loopback endpoint"
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
