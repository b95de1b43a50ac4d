//! Decodes inventory: snapshots, backups, policy cases, the audit log, locations. Only counts, sizes and times are
//! kept. Secrets such as download links, tokens and evidence are skipped without a copy.
//!
//! An unreadable item is a problem, but is still counted, so that no list seems shorter than it is. Aggregates over all
//! items (a sum, the newest) are unknown then.

use super::{Fields, unescaped};
use crate::kiwivm::lenient::{InvalidValue, Loose};
use crate::kiwivm::model::{
    AuditLog, Backups, Inventory, LocationMultipliers, PolicyViolations, Snapshots, SuspensionCases,
};
use crate::kiwivm::{ApiKey, Call};
use crate::units::{Bytes, UnixSeconds};

pub const POLICY_VIOLATIONS: &str = "policy_violations";
pub const SUSPENSIONS: &str = "suspensions";
pub const BACKUPS: &str = "backups";
pub const SNAPSHOTS: &str = "snapshots";
pub const LOG_ENTRIES: &str = "log_entries";
pub const MULTIPLIERS: &str = "dataTransferMultipliers";

/// Limit of locations, which become labels. The vendor has about twenty.
const MAX_LOCATIONS: usize = 100;
const MAX_LOCATION_LENGTH: usize = 64;
/// Limit of a snapshot's remaining seconds. Snapshots are kept for a month; a value in milliseconds exceeds this limit
/// until the last hours.
const MAX_PURGES_IN: u64 = 366 * 24 * 3600;

/// Reads a response. Returns `None` if its list is missing or in an unknown form.
pub(super) fn read(call: Call, fields: &mut Fields, key: &ApiKey) -> Option<Inventory> {
    match call {
        Call::SnapshotList => snapshots(fields).map(Inventory::Snapshots),
        Call::BackupList => backups(fields).map(Inventory::Backups),
        Call::SuspensionDetails => suspension_cases(fields).map(Inventory::SuspensionCases),
        Call::PolicyViolations => policy_violations(fields).map(Inventory::PolicyViolations),
        Call::AuditLog => audit_log(fields).map(Inventory::AuditLog),
        Call::MigrateLocations => locations(fields, key).map(Inventory::Locations),
        Call::LiveServiceInfo | Call::RateLimitStatus | Call::RawUsageStats | Call::ServiceInfo => {
            None
        }
    }
}

fn snapshots(fields: &mut Fields) -> Option<Snapshots> {
    let mut all = Snapshots {
        sticky: Some(0),
        size: Some(Bytes(0)),
        ..Snapshots::default()
    };
    let mut newest = Newest::default();
    let mut purges_in = Some(None);
    let known = &["fileName", "size", "sticky", "purgesIn"];
    for_each_object(fields, SNAPSHOTS, known, &mut |item| {
        all.count += 1;
        let size = item.read("size", Loose::bytes);
        all.size = all
            .size
            .zip(size)
            .and_then(|(sum, size)| sum.checked_add(size));
        // null is PHP's false, but a missing field is unknown.
        let sticky = item
            .has("sticky")
            .then(|| item.read("sticky", Loose::flag))
            .flatten();
        all.sticky = all
            .sticky
            .zip(sticky)
            .map(|(count, sticky)| count + u64::from(sticky));
        newest.add(item.read("fileName", created_at));
        // A sticky snapshot is never purged and has 0 here.
        if sticky != Some(true) {
            let seconds = item.read("purgesIn", purge_seconds);
            purges_in = purges_in
                .zip(seconds)
                .map(|(least, seconds)| min_known(least, Some(seconds).filter(|left| *left > 0)));
        }
    })
    .ok()
    .filter(|arrived| *arrived)?;
    all.newest = newest.time();
    all.purges_in = purges_in.flatten();
    Some(all)
}

fn backups(fields: &mut Fields) -> Option<Backups> {
    let mut all = Backups::default();
    let mut newest = Newest::default();
    for_each_object(fields, BACKUPS, &["size", "timestamp"], &mut |item| {
        all.count += 1;
        let size = item.read("size", Loose::bytes);
        if newest.add(item.read("timestamp", nonzero_time)) {
            all.newest_size = size;
        }
    })
    .ok()
    .filter(|arrived| *arrived)?;
    all.newest = newest.time();
    all.newest_size = all.newest_size.filter(|_| all.newest.is_some());
    Some(all)
}

/// Counts suspension cases. Without an open case the API omits the list.
fn suspension_cases(fields: &mut Fields) -> Option<SuspensionCases> {
    let mut cases = SuspensionCases::default();
    for_each_object(fields, SUSPENSIONS, &["is_soft"], &mut |item| {
        // If the flag is unknown, assume that the case needs the vendor's support.
        match item.read("is_soft", Loose::flag) {
            Some(true) => cases.clearable += 1,
            _ => cases.not_clearable += 1,
        }
    })
    .ok()?;
    Some(cases)
}

/// Counts policy violations. Without an open case the API omits the list. Unreadable deadlines are ignored, so that the
/// known ones still raise an alert.
fn policy_violations(fields: &mut Fields) -> Option<PolicyViolations> {
    let mut violations = PolicyViolations::default();
    for_each_object(fields, POLICY_VIOLATIONS, &["suspend_at"], &mut |item| {
        violations.open += 1;
        violations.deadline = min_known(violations.deadline, item.read("suspend_at", nonzero_time));
    })
    .ok()?;
    Some(violations)
}

fn audit_log(fields: &mut Fields) -> Option<AuditLog> {
    let mut log = AuditLog::default();
    let mut newest = Newest::default();
    for_each_object(fields, LOG_ENTRIES, &["timestamp"], &mut |item| {
        log.entries += 1;
        newest.add(item.read("timestamp", nonzero_time));
    })
    .ok()
    .filter(|arrived| *arrived)?;
    log.newest = newest.time();
    Some(log)
}

fn locations(fields: &mut Fields, key: &ApiKey) -> Option<LocationMultipliers> {
    let mut known = LocationMultipliers::new();
    let mut invalid = false;
    let mut take = |name: &[u8], multiplier: &[u8]| {
        // Redacting the name is expensive, so the number of locations is checked first.
        let room = known.len() < MAX_LOCATIONS;
        match room.then(|| location(name, multiplier, key)).flatten() {
            Some(location) => {
                // The last of several members with one name wins, as in PHP.
                known.retain(|(name, _)| *name != location.0);
                known.push(location);
            }
            None => invalid = true,
        }
    };
    let arrived = fields.members(MULTIPLIERS, &mut take);
    arrived.ok().filter(|arrived| *arrived)?;
    if invalid {
        fields.problem(MULTIPLIERS);
    }
    Some(known)
}

fn location(name: &[u8], multiplier: &[u8], key: &ApiKey) -> Option<(String, f64)> {
    let name = String::from_utf8(unescaped(name).into_owned()).ok()?;
    let named = !name.is_empty()
        && name.len() <= MAX_LOCATION_LENGTH
        && !name.contains(char::is_control)
        && key.redact(&name) == name;
    let multiplier = Loose::parse(multiplier).ok()?.multiplier().ok()??;
    named.then_some((name, multiplier))
}

/// Fields of the items of all lists. They distinguish a single item from a list sent as an object.
const ITEM_FIELDS: &[&str] = &[
    "fileName",
    "size",
    "md5",
    "sticky",
    "purgesIn",
    "timestamp",
    "backupToken",
    "record_id",
    "flag",
    "is_soft",
    "suspend_at",
    "abuse_points",
    "evidence_data",
    "evidence_record_id",
    "summary",
    "requestor_ipv4",
];

/// Passes on each item of a list. An unreadable item has no fields. Returns true if the list is present.
fn for_each_object(
    fields: &mut Fields,
    name: &'static str,
    known: &'static [&'static str],
    take: &mut dyn FnMut(&mut Fields),
) -> Result<bool, InvalidValue> {
    let mut problems = Vec::new();
    let arrived = fields.items(name, ITEM_FIELDS, &mut |item| {
        let mut item = match Fields::of(item, &[known]) {
            Ok(Some(item)) => item,
            _ => Fields {
                problems: vec![name],
                ..Fields::default()
            },
        };
        take(&mut item);
        for problem in item.problems {
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
    });
    fields.problems(problems);
    arrived
}

/// The maximum of several times. Unknown if any of them is.
#[derive(Default)]
struct Newest {
    latest: Option<UnixSeconds<i64>>,
    unknown: bool,
}

impl Newest {
    /// Adds a time. Returns true if it is the newest so far.
    fn add(&mut self, time: Option<UnixSeconds<i64>>) -> bool {
        self.unknown |= time.is_none();
        let newer = time.is_some() && time >= self.latest;
        if newer {
            self.latest = time;
        }
        newer
    }

    fn time(&self) -> Option<UnixSeconds<i64>> {
        self.latest.filter(|_| !self.unknown)
    }
}

/// Reads the creation time of a snapshot from `snapshot-<VEID>-<Unix seconds>-<date>-<hash>.tar.gz`.
fn created_at(value: &Loose) -> Result<Option<UnixSeconds<i64>>, InvalidValue> {
    let Some(name) = value.text()? else {
        return Ok(None);
    };
    let seconds = name.split('-').nth(2).ok_or(InvalidValue)?;
    Loose::Text(seconds.to_owned())
        .timestamp()?
        .map(Some)
        .ok_or(InvalidValue)
}

/// Reads a time, where 0 means none.
fn nonzero_time(value: &Loose) -> Result<Option<UnixSeconds<i64>>, InvalidValue> {
    match value.integer()? {
        Some(0) => Ok(None),
        _ => value.timestamp(),
    }
}

fn purge_seconds(value: &Loose) -> Result<Option<u64>, InvalidValue> {
    match value.count()? {
        Some(MAX_PURGES_IN..) => Err(InvalidValue),
        seconds => Ok(seconds),
    }
}

fn min_known<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}
