//! Validates the merged list of VPSes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use figment::value::{Dict, Value};

use super::key_source::{KeySource, parse_key};
use super::labels::labels;
use super::locate::join;
use super::reader::{Reader, text, whole};
use super::thresholds::THRESHOLDS;
use super::validate::{
    BANDWIDTH, Directories, INTERVALS, Origin, SingleVps, intervals, multiplier,
};
use super::vps_file::CsvRow;
use super::vps_key::{KEY_SOURCES, key, key_file};
use super::{Expect, Intervals, Multiplier, Thresholds, Vps};
use crate::kiwivm::{Veid, contains_issued_key};

/// Keys of a VPS.
pub const KEYS: &[&str] = &[
    "name",
    "veid",
    "api_key",
    "api_key_file",
    "api_key_env",
    "labels",
    "expect",
    "intervals",
    "budget",
    "bandwidth",
    "thresholds",
];

/// Keys of `budget` of a VPS.
pub const BUDGET: &[&str] = &["group"];

/// Length limit of names, which are labels and appear in log lines.
const MAX_NAME_LENGTH: usize = 100;

/// Settings of a VPS without its own.
#[derive(Clone, Debug)]
pub struct Defaults {
    pub intervals: Intervals,
    pub multiplier: Multiplier,
    pub thresholds: Arc<Thresholds>,
}

/// Reads the VPSes of the list, or the single one of the environment. Returns `None` for VPSes of other shards and for
/// invalid ones, whose problem is recorded.
pub fn fleet(
    reader: &mut Reader,
    value: Option<&Value>,
    defaults: &Defaults,
    origin: &Origin<'_>,
) -> Vec<Option<Vps>> {
    let (single, shard) = (origin.single, origin.shard);
    let listed = match value {
        None | Some(Value::Empty(..)) => &[][..],
        Some(Value::Array(_, entries)) => entries,
        Some(_) => {
            reader.problem("vps", "must be a list: begin each entry with a dash");
            return Vec::new();
        }
    };
    let rows = origin.vps_file.map_or(&[][..], |file| &file.rows);
    if listed.is_empty() && rows.is_empty() {
        if !single.is_empty() {
            let vps = single_vps(reader, single, defaults, origin.directories);
            return vec![vps.filter(|vps| shard.holds(vps.veid))];
        }
        if origin.vps_file.is_some() {
            let message = "no VPS is configured: the file lists no active service";
            reader.problem("vps_file", message);
        } else {
            reader.problem(
                "vps",
                "no VPS is configured: add one with name, veid and api_key_file, or set KIWIVM_VEID and KIWIVM_API_KEY",
            );
        }
        return Vec::new();
    }
    if !single.is_empty() {
        reader.problem(
            "vps",
            "the file lists VPSes and KIWIVM_VEID, KIWIVM_API_KEY or KIWIVM_API_KEY_FILE is set: use one or the other",
        );
    }
    let mut entries: Vec<VpsEntry> = listed
        .iter()
        .enumerate()
        .filter_map(|(index, entry)| {
            let path = format!("vps[{index}]");
            vps(reader, entry, path, defaults, origin)
        })
        .collect();
    let named: HashSet<Veid> = entries.iter().map(|entry| entry.veid).collect();
    let others = rows.iter().filter(|row| !named.contains(&row.veid));
    let taken = entries.iter().map(|entry| entry.name.clone()).collect();
    for (row, name) in named_by_hostname(others.collect(), &taken) {
        let veid = Value::from(row.veid.to_string());
        let entry = Dict::from([("veid".to_owned(), veid), ("name".to_owned(), name.into())]);
        entries.extend(vps(
            reader,
            &entry.into(),
            "vps_file".to_owned(),
            defaults,
            origin,
        ));
    }
    refuse_duplicates(reader, &entries);
    entries.into_iter().map(|entry| entry.vps).collect()
}

/// Names each row by its hostname, with the VEID appended if another VPS has or may get that name, or by the VEID alone.
/// Names do not depend on the order of the rows.
fn named_by_hostname<'a>(
    rows: Vec<&'a CsvRow>,
    taken: &HashSet<String>,
) -> Vec<(&'a CsvRow, String)> {
    let mut uses: HashMap<&str, usize> = HashMap::new();
    for row in &rows {
        *uses.entry(&row.hostname).or_default() += 1;
    }
    let veids: HashSet<Veid> = rows.iter().map(|row| row.veid).collect();
    let name = |row: &CsvRow| {
        let hostname = &row.hostname;
        let with_veid = format!("{hostname}-{}", row.veid);
        // A hostname that ends in the VEID of another VPS may be the name of that VPS.
        let end = hostname.rsplit('-').next().unwrap_or_default();
        let is_of_other = |veid| veid != row.veid && veids.contains(&veid);
        let is_ambiguous = end.parse().is_ok_and(|veid| is_of_other(Veid(veid)));
        let is_unique = uses[hostname.as_str()] == 1 && !taken.contains(hostname);
        let name = if is_unique && !is_ambiguous {
            hostname.clone()
        } else {
            with_veid
        };
        if !hostname.is_empty() && is_name(&name) && !taken.contains(&name) {
            name
        } else {
            row.veid.to_string()
        }
    };
    rows.into_iter().map(|row| (row, name(row))).collect()
}

/// A VPS in the list.
struct VpsEntry {
    path: String,
    name: String,
    veid: Veid,
    /// `None` if it belongs to another shard or has no key.
    vps: Option<Vps>,
}

fn refuse_duplicates(reader: &mut Reader, entries: &[VpsEntry]) {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut veids: HashMap<Veid, &str> = HashMap::new();
    for VpsEntry {
        path, name, veid, ..
    } in entries
    {
        if let Some(first) = names.insert(name, path) {
            reader.problem(
                &join(path, "name"),
                format!("{first} has the same name: use unique names"),
            );
        }
        if let Some(first) = veids.insert(*veid, path) {
            reader.problem(
                &join(path, "veid"),
                format!("{first} has the same VEID: remove one of them"),
            );
        }
    }
}

fn single_vps(
    reader: &mut Reader,
    single: &SingleVps<'_>,
    defaults: &Defaults,
    directories: &Directories,
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
        (Some(key), None) => match parse_key(key) {
            Ok(key) => Some((Ok(key), KeySource::Inline)),
            Err(error) => {
                reader.problem("KIWIVM_API_KEY", error.to_string());
                None
            }
        },
        (None, Some(path)) => Some(key_file(reader, "KIWIVM_API_KEY_FILE", path, directories)),
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
                "KIWIVM_API_KEY_FILE is set too: set only one of them",
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
        intervals: defaults.intervals,
        multiplier: defaults.multiplier,
        thresholds: Arc::clone(&defaults.thresholds),
        quota_group: None,
    })
}

fn vps(
    reader: &mut Reader,
    entry: &Value,
    at: String,
    defaults: &Defaults,
    origin: &Origin<'_>,
) -> Option<VpsEntry> {
    let path = at.as_str();
    let section = reader.section(Some(entry), path, KEYS);
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
    let vps_name = name(reader, &section, path, "name");
    let is_terminated = |veid| {
        let file = origin.vps_file?;
        file.terminated.contains(&Veid(veid)).then_some(&file.path)
    };
    if let Some(file) = veid.and_then(is_terminated)
        && !KEY_SOURCES.iter().any(|source| has(source))
    {
        let message = format!("is a terminated service in {}; skipped", file.display());
        reader.warn(&join(path, "veid"), message);
        return None;
    }
    // The key of a VPS of another shard may be missing on this machine.
    let in_shard = veid.is_none_or(|veid| origin.shard.holds(Veid(veid)));
    let key = key(reader, &section, path, veid, origin).filter(|_| in_shard);
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
    let intervals = intervals(reader, &intervals_section, &own, defaults.intervals);
    let own = join(path, "bandwidth");
    let bandwidth = reader.section(section.get("bandwidth"), &own, BANDWIDTH);
    let multiplier = multiplier(reader, &bandwidth, &own).unwrap_or(defaults.multiplier);
    let own = join(path, "thresholds");
    let thresholds_section = reader.section(section.get("thresholds"), &own, THRESHOLDS);
    let thresholds = Thresholds::read_own(reader, &thresholds_section, &own, &defaults.thresholds);
    let own = join(path, "budget");
    let budget = reader.section(section.get("budget"), &own, BUDGET);
    let quota_group = name(reader, &budget, &own, "group");
    let veid = Veid(veid?);
    let name = vps_name.unwrap_or_else(|| veid.to_string());
    let vps = key.map(|(key, key_source)| Vps {
        name: name.clone(),
        veid,
        key,
        key_source,
        labels,
        expect: expect.unwrap_or(Expect::Running),
        intervals,
        multiplier,
        thresholds: Arc::clone(&thresholds),
        quota_group,
    });
    Some(VpsEntry {
        path: at,
        name,
        veid,
        vps,
    })
}

/// Reads a user-defined name.
fn name(reader: &mut Reader, section: &Dict, path: &str, key: &str) -> Option<String> {
    let expected =
        format!("text of 1 to {MAX_NAME_LENGTH} characters without control characters or API keys");
    reader.read(section, path, key, &expected, |value| {
        text(value).filter(|name| is_name(name))
    })
}

fn is_name(name: &str) -> bool {
    !name.trim().is_empty()
        && name.chars().count() <= MAX_NAME_LENGTH
        && !name.contains(char::is_control)
        && !contains_issued_key(name)
}
