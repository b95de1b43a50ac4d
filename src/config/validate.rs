//! From merged values to a [`Config`].

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::value::{Dict, Value};
use reqwest::Url;

use super::key_source::{KeySource, world_readable};
use super::locate::join;
use super::reader::{Reader, duration, flag, real, size, text, whole};
use super::units::show_duration;
use super::{
    Api, Budget, Collect, Compatibility, Concurrency, Config, DEFAULT_DOWNLOAD, DEFAULT_ENDPOINT,
    DEFAULT_INTERVALS, DEFAULT_SHARE, DEFAULT_STALENESS, Expect, Intervals, LONGEST_INTERVAL,
    SHORTEST_INTERVAL, Scope, Vps,
};
use crate::kiwivm::{ApiKey, Veid, is_loopback};

/// Keys of the top level that hold one value.
pub const SCALARS: &[&str] = &["staleness", "state_file"];
/// Sections of the top level and their keys.
pub const SECTIONS: &[(&str, &[&str])] = &[
    ("api", &["endpoint", "concurrency", "proxy"]),
    ("budget", &["share", "scope", "download"]),
    ("intervals", INTERVALS),
    (
        "collect",
        &["snapshots", "backups", "policy", "audit", "locations"],
    ),
];
const INTERVALS: &[&str] = &["live", "usage", "points", "inventory"];
/// Keys of a VPS.
pub const VPS: &[&str] = &[
    "name",
    "veid",
    "api_key",
    "api_key_file",
    "labels",
    "expect",
    "intervals",
];

/// Labels that metrics of this exporter, or Prometheus itself, already have.
const RESERVED_LABELS: &[&str] = &[
    "veid",
    "vps",
    "job",
    "instance",
    "status",
    "window",
    "call",
    "reason",
    "outcome",
    "family",
    "resource",
    "location",
    "location_id",
    "clearable",
    "field",
    "hostname",
    "vm_type",
    "plan",
    "os",
    "node",
    "datacenter",
    "ip_address",
    "version",
    "revision",
    "rustc",
    "le",
    "quantile",
    "alertname",
    "severity",
];

const LONGEST_NAME: usize = 100;

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

/// The configuration; `None` only together with a noted problem.
pub fn config(
    reader: &mut Reader,
    merged: &Dict,
    single: &Single<'_>,
    folders: &Folders,
    file: &Path,
) -> Option<Config> {
    let known: Vec<&str> = SECTIONS
        .iter()
        .map(|(name, _)| *name)
        .chain(SCALARS.iter().copied())
        .chain(["compatibility", "vps"])
        .collect();
    let top = reader.section(Some(&Value::from(merged.clone())), "", &known);
    let mut section = |name: &str| {
        let keys = SECTIONS.iter().find(|(section, _)| *section == name);
        reader.section(top.get(name), name, keys.map_or(&[], |(_, keys)| keys))
    };
    let (api_section, budget_section) = (section("api"), section("budget"));
    let (intervals_section, collect_section) = (section("intervals"), section("collect"));

    let api = api(reader, &api_section);
    let budget = budget(reader, &budget_section);
    let intervals = intervals(reader, &intervals_section, "intervals", DEFAULT_INTERVALS);
    let collect = collect(reader, &collect_section);
    let staleness = reader
        .read(&top, "", "staleness", "a number from 1 to 1000", |value| {
            real(value).filter(|staleness| (1.0..=1000.0).contains(staleness))
        })
        .unwrap_or(DEFAULT_STALENESS);
    let state_file = reader
        .read(&top, "", "state_file", "a path", text)
        .map(|path| folders.state.as_ref().unwrap_or(&folders.config).join(path));
    let compatibility = compatibility(reader, &top);
    let vps = fleet(reader, top.get("vps"), intervals, single, folders, file);
    Some(Config {
        api: api?,
        budget,
        intervals,
        staleness,
        state_file,
        collect,
        compatibility,
        vps,
    })
}

fn api(reader: &mut Reader, section: &Dict) -> Option<Api> {
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
    let proxy = reader.read(
        section,
        "api",
        "proxy",
        "the http or https URL of a proxy",
        |value| url(value).filter(|url| matches!(url.scheme(), "http" | "https")),
    );
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

fn intervals(reader: &mut Reader, section: &Dict, path: &str, defaults: Intervals) -> Intervals {
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

fn collect(reader: &mut Reader, section: &Dict) -> Collect {
    let defaults = Collect::default();
    let mut switch = |key: &str, default: bool| {
        reader
            .read(section, "collect", key, "true or false", flag)
            .unwrap_or(default)
    };
    Collect {
        snapshots: switch("snapshots", defaults.snapshots),
        backups: switch("backups", defaults.backups),
        policy: switch("policy", defaults.policy),
        audit: switch("audit", defaults.audit),
        locations: switch("locations", defaults.locations),
    }
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

fn fleet(
    reader: &mut Reader,
    value: Option<&Value>,
    defaults: Intervals,
    single: &Single<'_>,
    folders: &Folders,
    file: &Path,
) -> Vec<Vps> {
    let entries = match value {
        None | Some(Value::Empty(..)) => &[][..],
        Some(Value::Array(_, entries)) => entries,
        Some(_) => {
            reader.problem("vps", "must be a list: begin each VPS with a dash");
            return Vec::new();
        }
    };
    if entries.is_empty() {
        if single.is_empty() {
            reader.problem(
                "vps",
                "no VPS is configured: add one with name, veid and api_key_file, or set KIWIVM_VEID and KIWIVM_API_KEY",
            );
            return Vec::new();
        }
        return single_vps(reader, single, defaults, folders)
            .into_iter()
            .collect();
    }
    if !single.is_empty() {
        reader.problem(
            "vps",
            "the file has VPSes and KIWIVM_VEID, KIWIVM_API_KEY or KIWIVM_API_KEY_FILE is set: use one or the other",
        );
    }
    let fleet: Vec<(String, Vps)> = entries
        .iter()
        .enumerate()
        .filter_map(|(index, entry)| {
            let path = format!("vps[{index}]");
            let vps = vps(reader, entry, &path, defaults, folders, file)?;
            Some((path, vps))
        })
        .collect();
    refuse_duplicates(reader, &fleet);
    fleet.into_iter().map(|(_, vps)| vps).collect()
}

fn refuse_duplicates(reader: &mut Reader, fleet: &[(String, Vps)]) {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut veids: HashMap<Veid, &str> = HashMap::new();
    for (path, vps) in fleet {
        if let Some(first) = names.insert(&vps.name, path) {
            reader.problem(
                &join(path, "name"),
                format!("{first} has the same name: give each VPS its own"),
            );
        }
        if let Some(first) = veids.insert(vps.veid, path) {
            reader.problem(
                &join(path, "veid"),
                format!("{first} has the same VEID: leave one of them out"),
            );
        }
    }
}

fn single_vps(
    reader: &mut Reader,
    single: &Single<'_>,
    intervals: Intervals,
    folders: &Folders,
) -> Option<Vps> {
    let veid = single
        .veid
        .and_then(|veid| veid.trim().parse::<u64>().ok())
        .filter(|veid| *veid > 0);
    if veid.is_none() {
        reader.problem(
            "KIWIVM_VEID",
            "must be the VEID of the VPS, a number: KiwiVM shows it under API",
        );
    }
    let key = match (single.key, single.key_file) {
        (Some(key), None) => ApiKey::new(key).map(|key| (key, KeySource::Inline)),
        (None, Some(path)) => key_file(reader, "KIWIVM_API_KEY_FILE", path, folders),
        (None, None) => {
            reader.problem(
                "KIWIVM_API_KEY",
                "is not set: set it, or KIWIVM_API_KEY_FILE",
            );
            None
        }
        (Some(_), Some(_)) => {
            reader.problem(
                "KIWIVM_API_KEY",
                "KIWIVM_API_KEY_FILE is set too: set one of them",
            );
            None
        }
    };
    let (veid, (key, key_source)) = (veid?, key?);
    Some(Vps {
        name: veid.to_string(),
        veid: Veid(veid),
        key,
        key_source,
        labels: BTreeMap::new(),
        expect: Expect::Running,
        intervals,
    })
}

fn vps(
    reader: &mut Reader,
    entry: &Value,
    path: &str,
    defaults: Intervals,
    folders: &Folders,
    file: &Path,
) -> Option<Vps> {
    let section = reader.section(Some(entry), path, VPS);
    let has = |key: &str| {
        section
            .get(key)
            .is_some_and(|value| !matches!(value, Value::Empty(..)))
    };
    let veid = reader.read(
        &section,
        path,
        "veid",
        "the VEID of the VPS, a number above 0",
        |value| whole(value).filter(|veid| *veid > 0),
    );
    if !has("veid") {
        reader.problem(&join(path, "veid"), "is missing: KiwiVM shows it under API");
    }
    let name = reader.read(
        &section,
        path,
        "name",
        &format!("text of 1 to {LONGEST_NAME} characters without control characters"),
        |value| {
            text(value).filter(|name| {
                !name.trim().is_empty()
                    && name.chars().count() <= LONGEST_NAME
                    && !name.contains(char::is_control)
            })
        },
    );
    let key = match (has("api_key"), has("api_key_file")) {
        (true, false) => {
            if world_readable(file) {
                reader.warn(
                    &join(path, "api_key"),
                    "everyone on this machine can read the file with the key: chmod 600, or use api_key_file",
                );
            }
            let key = reader.read(
                &section,
                path,
                "api_key",
                "the API key as text, not empty",
                |value| ApiKey::new(text(value)?),
            );
            key.map(|key| (key, KeySource::Inline))
        }
        (false, true) => reader
            .read(&section, path, "api_key_file", "a path", text)
            .and_then(|file| key_file(reader, &join(path, "api_key_file"), &file, folders)),
        (true, true) => {
            reader.problem(path, "has api_key and api_key_file: leave one of them out");
            None
        }
        (false, false) => {
            reader.problem(
                path,
                "has no key: add api_key_file with the path of a file that holds it",
            );
            None
        }
    };
    let expect = reader.read(
        &section,
        path,
        "expect",
        "running, stopped or any",
        |value| match text(value)?.as_str() {
            "running" => Some(Expect::Running),
            "stopped" => Some(Expect::Stopped),
            "any" => Some(Expect::Any),
            _ => None,
        },
    );
    let labels = labels(reader, &section, path);
    let own = join(path, "intervals");
    let intervals_section = reader.section(section.get("intervals"), &own, INTERVALS);
    let intervals = intervals(reader, &intervals_section, &own, defaults);
    let (veid, (key, key_source)) = (veid?, key?);
    Some(Vps {
        name: name.unwrap_or_else(|| veid.to_string()),
        veid: Veid(veid),
        key,
        key_source,
        labels,
        expect: expect.unwrap_or(Expect::Running),
        intervals,
    })
}

fn labels(reader: &mut Reader, section: &Dict, path: &str) -> BTreeMap<String, String> {
    let path = join(path, "labels");
    let mut labels = BTreeMap::new();
    let entries = match section.get("labels") {
        None | Some(Value::Empty(..)) => return labels,
        Some(Value::Dict(_, entries)) => entries,
        Some(_) => {
            reader.problem(&path, "must be names with values, such as {env: prod}");
            return labels;
        }
    };
    for (name, value) in entries {
        let mut characters = name.chars();
        let valid = characters
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !name.starts_with("__");
        if !valid {
            reader.problem(&path, "a label name must be letters, digits and underscores, and not begin with a digit or two underscores");
        } else if RESERVED_LABELS.contains(&name.as_str()) {
            reader.problem(
                &join(&path, name),
                "is a label that metrics already have: choose another name",
            );
        } else if let Some(value) = text(value) {
            labels.insert(name.clone(), value);
        } else {
            reader.problem(&join(&path, name), "must be text");
        }
    }
    labels
}

/// Relative paths are looked for among systemd's credentials first, then beside the configuration.
fn key_file(
    reader: &mut Reader,
    key: &str,
    path: &str,
    folders: &Folders,
) -> Option<(ApiKey, KeySource)> {
    let in_credentials = folders
        .credentials
        .as_ref()
        .map(|folder| folder.join(path))
        .filter(|path| path.exists());
    let path = in_credentials.unwrap_or_else(|| folders.config.join(path));
    let source = KeySource::File(path.clone());
    match source.read() {
        Ok(read) => {
            if world_readable(&path) {
                reader.warn(
                    key,
                    "everyone on this machine can read the key file: chmod 600",
                );
            }
            Some((read, source))
        }
        Err(error) => {
            // A key written here in place of a path must not be shown.
            let shown = path.to_string_lossy();
            let shown = if shown.contains("private_") {
                "path not shown"
            } else {
                &*shown
            };
            reader.problem(key, format!("{error} ({shown})"));
            None
        }
    }
}
