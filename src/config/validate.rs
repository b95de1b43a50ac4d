//! From merged values to a [`Config`].

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

/// Keys of the top level that are no sections, but for `vps`.
pub const PLAIN: &[&str] = &["staleness", "state_file", "compatibility", "vps_file"];
/// Sections of the top level and their keys.
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
/// Keys of a section of bandwidth.
pub const BANDWIDTH: &[&str] = &["multiplier"];
/// Keys of a section of intervals.
pub const INTERVALS: &[&str] = &["live", "usage", "points", "inventory"];

/// The single VPS of the environment.
pub struct Single<'a> {
    pub veid: Option<&'a str>,
    pub key: Option<&'a str>,
    pub key_file: Option<&'a str>,
}

impl Single<'_> {
    pub fn is_empty(&self) -> bool {
        self.veid.is_none() && self.key.is_none() && self.key_file.is_none()
    }
}

/// What relative paths are relative to.
pub struct Folders {
    pub config: PathBuf,
    pub credentials: Option<PathBuf>,
    pub state: Option<PathBuf>,
}

impl Folders {
    /// The path of a file with keys. Relative ones are looked for among systemd's credentials first, then beside the
    /// configuration. Credentials have no folders: for the files of one systemd writes an underscore, so that `keys/a.key` is
    /// `keys_a.key` there.
    pub fn secret(&self, path: &str) -> PathBuf {
        let in_credentials = self.credentials.as_ref().and_then(|folder| {
            [folder.join(path), folder.join(path.replace('/', "_"))]
                .into_iter()
                .find(|path| path.exists())
        });
        in_credentials.unwrap_or_else(|| self.config.join(path))
    }
}

/// Where the VPSes come from, and which of them are wanted.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    pub single: &'a Single<'a>,
    pub folders: &'a Folders,
    pub file: &'a Path,
    pub environment: &'a [(String, String)],
    /// The vendor's export, once it was read.
    pub vps_file: Option<&'a Export>,
    pub shard: Shard,
}

/// The configuration; `None` only together with a noted problem.
pub fn config(reader: &mut Reader, merged: &Dict, origin: &Origin<'_>) -> Option<Config> {
    let folders = origin.folders;
    let known: Vec<&str> = SECTIONS
        .iter()
        .map(|(name, _)| *name)
        .chain(PLAIN.iter().copied())
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
    let state_file = state_file(reader, &top, folders);
    let compatibility = compatibility(reader, &top);
    let vps_file = match vps_file(reader, &top, folders) {
        Ok(file) => file,
        Err(problem) => {
            reader.problem("vps_file", problem);
            return None;
        }
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

/// Where it can be written, as far as can be told beforehand.
fn state_file(reader: &mut Reader, top: &Dict, folders: &Folders) -> Option<PathBuf> {
    let path = reader.read(top, "", "state_file", "the path of a file", |value| {
        text(value).filter(|path| !path.trim().is_empty())
    })?;
    let path = folders.state.as_ref().unwrap_or(&folders.config).join(path);
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if path.is_dir() {
        reader.problem("state_file", "is a folder: name a file in it");
    } else if path.exists() && !path.is_file() {
        reader.problem(
            "state_file",
            "is not a regular file: name another, which need not exist yet",
        );
    } else if let Some(missing) = folder.filter(|folder| !folder.is_dir()) {
        // On another machine it may be there.
        reader.warn(
            "state_file",
            format!("there is no folder {}: serving needs it", missing.display()),
        );
    }
    Some(path)
}

/// Reads the vendor's export, if there is one.
fn vps_file(reader: &mut Reader, top: &Dict, folders: &Folders) -> Result<Option<Export>, String> {
    let named = |value: &Value| text(value).filter(|path| !path.trim().is_empty());
    let Some(path) = reader.read(top, "", "vps_file", "the path of a CSV file", named) else {
        return Ok(None);
    };
    let path = folders.secret(&path);
    let export = Export::read(&path).map_err(|what| format!("{} {what}", path.display()))?;
    for (line, what) in &export.warnings {
        reader.warn_in(&path, *line, what);
    }
    if world_readable(&path) {
        let what = "everyone on this machine can read the file with the keys: chmod 600";
        reader.warn("vps_file", what);
    }
    Ok(Some(export))
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
                "must be an https URL (http only for loopback): the key would be readable on the way",
            );
        }
        if !endpoint.username().is_empty()
            || endpoint.password().is_some()
            || endpoint.query().is_some()
            || endpoint.fragment().is_some()
        {
            reader.problem(
                "api.endpoint",
                "must have no user, password, query or fragment: leave them out",
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
        |value| size(value).filter(|bytes| *bytes > 0),
    );
    Budget {
        share: share.unwrap_or(DEFAULT_SHARE),
        scope: scope.unwrap_or(Scope::Auto),
        download: download.unwrap_or(DEFAULT_DOWNLOAD),
    }
}

/// Intervals, from defaults where there are none.
pub fn intervals(
    reader: &mut Reader,
    section: &Dict,
    path: &str,
    defaults: Intervals,
) -> Intervals {
    let mut interval = |key: &str, default: Duration| {
        let expected = "a duration such as 90s, 5m or 2h";
        // A default was judged where it stands: what is wrong with it is not repeated for each VPS.
        let Some(interval) = reader.read(section, path, key, expected, duration) else {
            return default;
        };
        if interval < SHORTEST_INTERVAL {
            let shortest = show_duration(SHORTEST_INTERVAL);
            reader.problem(
                &join(path, key),
                format!("is shorter than {shortest}: the API is slow and counts calls; write {shortest} or more"),
            );
        }
        if interval > LONGEST_INTERVAL {
            let longest = show_duration(LONGEST_INTERVAL);
            reader.problem(
                &join(path, key),
                format!(
                    "is longer than {longest}, when nothing would be fresh; write {longest} or less"
                ),
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

/// What the multiplier applies to, if the section says so.
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
