//! Builds a [`Config`] from the merged values.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use figment::value::{Dict, Value};
use reqwest::Url;

use super::fleet::{Defaults, fleet};
use super::key_source::world_readable;
use super::locate::join;
use super::proxy::proxy;
use super::reader::{Reader, duration, flag, real, size, text, whole};
use super::thresholds::THRESHOLDS;
use super::units::show_duration;
use super::vps_file::Export;
use super::{
    Api, Budget, Collect, Compatibility, Concurrency, Config, DEFAULT_DOWNLOAD, DEFAULT_ENDPOINT,
    DEFAULT_INTERVALS, DEFAULT_SHARE, DEFAULT_STALENESS, Intervals, LONGEST_INTERVAL, Multiplier,
    SHORTEST_INTERVAL, Scope, Shard, Thresholds,
};
use crate::kiwivm::{Call, is_loopback};
use crate::units::Bytes;

/// Top-level keys other than sections and `vps`.
pub const TOP_LEVEL_KEYS: &[&str] = &["staleness", "state_file", "compatibility", "vps_file"];
/// Top-level sections and their keys.
pub const SECTIONS: &[(&str, &[&str])] = &[
    (
        "api",
        &["endpoint", "concurrency", "proxy", "proxy_password_file"],
    ),
    ("budget", &["share", "scope", "download"]),
    ("intervals", INTERVALS),
    ("collect", &Call::COLLECT_KEYS),
    ("bandwidth", BANDWIDTH),
    ("thresholds", THRESHOLDS),
];
/// Keys of a `bandwidth` section.
pub const BANDWIDTH: &[&str] = &["multiplier"];
/// Keys of an `intervals` section.
pub const INTERVALS: &[&str] = &["live", "usage", "points", "inventory"];

/// The variables that configure a single VPS.
pub struct SingleVps<'a> {
    pub veid: Option<&'a str>,
    pub key: Option<&'a str>,
    pub key_file: Option<&'a str>,
}

impl SingleVps<'_> {
    pub fn is_empty(&self) -> bool {
        self.veid.is_none() && self.key.is_none() && self.key_file.is_none()
    }
}

/// Base directories of relative paths.
pub struct Directories {
    pub config: PathBuf,
    pub credentials: Option<PathBuf>,
    pub state: Option<PathBuf>,
}

impl Directories {
    /// Resolves the path of a file with secrets. Relative paths are looked up in systemd's credentials first, then
    /// beside the configuration. Credentials have no subdirectories: systemd loads `keys/a.key` as `keys_a.key`.
    pub fn secret(&self, path: &str) -> PathBuf {
        let in_credentials = self.credentials.as_ref().and_then(|folder| {
            [folder.join(path), folder.join(path.replace('/', "_"))]
                .into_iter()
                .find(|path| path.exists())
        });
        in_credentials.unwrap_or_else(|| self.config.join(path))
    }
}

/// The sources of VPSes and keys, and the shard to poll.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    pub single: &'a SingleVps<'a>,
    pub directories: &'a Directories,
    pub file: &'a Path,
    pub environment: &'a [(String, String)],
    /// The vendor's export, after it was read.
    pub vps_file: Option<&'a Export>,
    pub shard: Shard,
}

/// Builds the configuration. Returns `None` only after recording a problem.
pub fn config(reader: &mut Reader, merged: &Dict, origin: &Origin<'_>) -> Option<Config> {
    let directories = origin.directories;
    let known: Vec<&str> = SECTIONS
        .iter()
        .map(|(name, _)| *name)
        .chain(TOP_LEVEL_KEYS.iter().copied())
        .chain(["vps"])
        .collect();
    let top = reader.section(Some(&Value::from(merged.clone())), "", &known);
    let mut section = |name: &str| {
        let keys = SECTIONS.iter().find(|(section, _)| *section == name);
        reader.section(top.get(name), name, keys.map_or(&[], |(_, keys)| keys))
    };
    let (api_section, budget_section) = (section("api"), section("budget"));
    let (intervals_section, collect_section) = (section("intervals"), section("collect"));
    let (bandwidth_section, thresholds_section) = (section("bandwidth"), section("thresholds"));

    let api = api(reader, &api_section, origin);
    let budget = budget(reader, &budget_section);
    let intervals = intervals(reader, &intervals_section, "intervals", DEFAULT_INTERVALS);
    let collect = collect(reader, &collect_section);
    let staleness = reader
        .read(&top, "", "staleness", "a number from 1 to 1000", |value| {
            real(value).filter(|staleness| (1.0..=1000.0).contains(staleness))
        })
        .unwrap_or(DEFAULT_STALENESS);
    let state_file = state_file(reader, &top, directories);
    let compatibility = compatibility(reader, &top);
    let expected = "the path of a CSV file";
    let vps_file = match reader.read(&top, "", "vps_file", expected, non_blank) {
        Some(path) => Some(vps_file(reader, &directories.secret(&path))?),
        None => None,
    };
    let origin = &Origin {
        vps_file: vps_file.as_ref(),
        ..*origin
    };
    let defaults = Defaults {
        intervals,
        multiplier: multiplier(reader, &bandwidth_section, "bandwidth").unwrap_or_default(),
        thresholds: Thresholds::read(reader, &thresholds_section, "thresholds", &Arc::default()),
    };
    let fleet = fleet(reader, top.get("vps"), &defaults, origin);
    let vps_of_all_shards = fleet.len();
    Some(Config {
        api: api?,
        budget,
        intervals,
        staleness,
        state_file,
        collect,
        multiplier: defaults.multiplier,
        thresholds: defaults.thresholds,
        compatibility,
        shard: origin.shard,
        vps_of_all_shards,
        vps_file: vps_file.map(Export::into_known),
        vps: fleet.into_iter().flatten().collect(),
    })
}

/// Reads text with more than white space.
fn non_blank(value: &Value) -> Option<String> {
    text(value).filter(|text| !text.trim().is_empty())
}

/// Reads `state_file` and checks that the path is usable. Opening the file may still fail later.
fn state_file(reader: &mut Reader, top: &Dict, directories: &Directories) -> Option<PathBuf> {
    let path = reader.read(top, "", "state_file", "the path of a file", non_blank)?;
    let path = directories
        .state
        .as_ref()
        .unwrap_or(&directories.config)
        .join(path);
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if path.is_dir() {
        reader.problem("state_file", "is a directory: name a file in it");
    } else if path.exists() && !path.is_file() {
        reader.problem(
            "state_file",
            "is not a regular file: use another path, which need not exist yet",
        );
    } else if let Some(missing) = folder.filter(|folder| !folder.is_dir()) {
        // Only a warning, as the configuration may be checked on another machine.
        reader.warn(
            "state_file",
            format!(
                "directory {} does not exist; the exporter needs it to start",
                missing.display()
            ),
        );
    }
    Some(path)
}

/// Reads the vendor's export. Returns `None` after recording a problem.
fn vps_file(reader: &mut Reader, path: &Path) -> Option<Export> {
    let export = match Export::read(path) {
        Ok(export) => export,
        Err(error) => {
            reader.problem("vps_file", format!("{} {error}", path.display()));
            return None;
        }
    };
    for (line, message) in &export.warnings {
        reader.warn_in(path, *line, message);
    }
    if world_readable(path) {
        let message = "the file with the keys is world-readable: chmod 600";
        reader.warn("vps_file", message);
    }
    Some(export)
}

fn api(reader: &mut Reader, section: &Dict, origin: &Origin<'_>) -> Option<Api> {
    let url = |value: &Value| Url::parse(&text(value)?).ok().filter(Url::has_host);
    let endpoint = match reader.read(section, "api", "endpoint", "an https URL", url) {
        None if section
            .get("endpoint")
            .is_some_and(|value| !matches!(value, Value::Empty(..))) =>
        {
            None
        }
        given => given.or_else(|| Url::parse(DEFAULT_ENDPOINT).ok()),
    };
    if let Some(endpoint) = &endpoint {
        if endpoint.scheme() != "https" && !(endpoint.scheme() == "http" && is_loopback(endpoint)) {
            reader.problem(
                "api.endpoint",
                "must be an https URL (http only for loopback): http would expose the API key",
            );
        }
        if !endpoint.username().is_empty()
            || endpoint.password().is_some()
            || endpoint.query().is_some()
            || endpoint.fragment().is_some()
        {
            reader.problem(
                "api.endpoint",
                "must have no user, password, query or fragment: remove them",
            );
        }
    }
    let proxy = proxy(reader, section, origin);
    let concurrency = reader.read(
        section,
        "api",
        "concurrency",
        "auto, or a number of calls from 1 to 1000",
        |value| {
            if text(value)? == "auto" {
                return Some(Concurrency::Auto);
            }
            let calls = usize::try_from(whole(value)?)
                .ok()
                .filter(|calls| *calls <= 1000)?;
            Some(Concurrency::Calls(NonZeroUsize::new(calls)?))
        },
    );
    Some(Api {
        endpoint: endpoint?,
        concurrency: concurrency.unwrap_or(Concurrency::Auto),
        proxy,
    })
}

fn budget(reader: &mut Reader, section: &Dict) -> Budget {
    let share = reader.read(
        section,
        "budget",
        "share",
        "a number above 0 and up to 1",
        |value| real(value).filter(|share| *share > 0.0 && *share <= 1.0),
    );
    let scope = reader.read(
        section,
        "budget",
        "scope",
        "auto, vps or account",
        |value| match text(value)?.as_str() {
            "auto" => Some(Scope::Auto),
            "vps" => Some(Scope::Vps),
            "account" => Some(Scope::Account),
            _ => None,
        },
    );
    let download = reader.read(
        section,
        "budget",
        "download",
        "a size such as 100MiB, above 0",
        |value| size(value).filter(|bytes| *bytes > 0).map(Bytes),
    );
    Budget {
        share: share.unwrap_or(DEFAULT_SHARE),
        scope: scope.unwrap_or(Scope::Auto),
        download: download.unwrap_or(DEFAULT_DOWNLOAD),
    }
}

/// Reads intervals. Missing ones are taken from `defaults`.
pub fn intervals(
    reader: &mut Reader,
    section: &Dict,
    path: &str,
    defaults: Intervals,
) -> Intervals {
    let mut interval = |key: &str, default: Duration| {
        let expected = "a duration such as 90s, 5m or 2h";
        // Defaults are not checked here, so that a problem of one is not repeated for each VPS.
        let Some(interval) = reader.read(section, path, key, expected, duration) else {
            return default;
        };
        if interval < SHORTEST_INTERVAL {
            let shortest = show_duration(SHORTEST_INTERVAL);
            reader.problem(
                &join(path, key),
                format!("is shorter than {shortest}: the API is slow and limits calls; use {shortest} or more"),
            );
        }
        if interval > LONGEST_INTERVAL {
            let longest = show_duration(LONGEST_INTERVAL);
            reader.problem(
                &join(path, key),
                format!("is longer than {longest}: no data would be fresh; use {longest} or less"),
            );
        }
        interval
    };
    Intervals {
        live: interval("live", defaults.live),
        usage: interval("usage", defaults.usage),
        points: interval("points", defaults.points),
        inventory: interval("inventory", defaults.inventory),
    }
}

/// Reads the use of the multiplier.
pub fn multiplier(reader: &mut Reader, section: &Dict, path: &str) -> Option<Multiplier> {
    let expected = "both, allowance or none";
    reader.read(section, path, "multiplier", expected, |value| {
        match text(value)?.as_str() {
            "both" => Some(Multiplier::Both),
            "allowance" => Some(Multiplier::Allowance),
            "none" => Some(Multiplier::None),
            _ => None,
        }
    })
}

fn collect(reader: &mut Reader, section: &Dict) -> Collect {
    Collect::new(|key, by_default| {
        reader
            .read(section, "collect", key, "true or false", flag)
            .unwrap_or(by_default)
    })
}

fn compatibility(reader: &mut Reader, top: &Dict) -> Vec<Compatibility> {
    let known = |value: &Value| match text(value)?.as_str() {
        "bandwagon_exporter" => Some(Compatibility::BandwagonExporter),
        "bandwagonhost_cloud_exporter" => Some(Compatibility::BandwagonhostCloudExporter),
        _ => None,
    };
    let expected = "a list of bandwagon_exporter, bandwagonhost_cloud_exporter";
    reader
        .read(top, "", "compatibility", expected, |value| {
            value.as_array()?.iter().map(known).collect()
        })
        .unwrap_or_default()
}
