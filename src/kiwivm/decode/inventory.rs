//! Calls whose responses rarely change: snapshots, backups, policy cases, the audit log, locations. Only counts, sizes and
//! times are kept of them; the secrets beside (download links, tokens, evidence) are skipped without a copy.
//!
//! An item that cannot be read is counted, and is a problem: no list seems shorter than it is. What is said of all items
//! (a sum, the newest) is not known then.

use super::{Fields, unescaped};
use crate::kiwivm::lenient::{Loose, Odd};
use crate::kiwivm::model::{
    AuditLog, Backups, Inventory, LocationMultipliers, PolicyViolations, Snapshots, SuspensionCases,
};
use crate::kiwivm::{ApiKey, Call};

pub const POLICY_VIOLATIONS: &str = "policy_violations";
pub const SUSPENSIONS: &str = "suspensions";
pub const BACKUPS: &str = "backups";
pub const SNAPSHOTS: &str = "snapshots";
pub const LOG_ENTRIES: &str = "log_entries";
pub const MULTIPLIERS: &str = "dataTransferMultipliers";

/// There are about twenty; more would be something else.
const MOST_LOCATIONS: usize = 100;
const LONGEST_LOCATION: usize = 64;
/// A snapshot is kept for a month. Milliseconds in place of seconds are more than this until its last hours.
const LONGEST_KEPT: u64 = 366 * 24 * 3600;

/// Reads a response; `None` if its list is in no known form.
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
        size: Some(0),
        ..Snapshots::default()
    };
    let mut newest = Newest::default();
    let mut purges_in = Some(None);
    let known = &["fileName", "size", "sticky", "purgesIn"];
    objects(fields, SNAPSHOTS, known, &mut |item| {
        all.count += 1;
        let size = item.read("size", Loose::count);
        all.size = all
            .size
            .zip(size)
            .and_then(|(sum, size)| sum.checked_add(size));
        // PHP's false may be null, but a field that is missing says nothing.
        let sticky = item
            .has("sticky")
            .then(|| item.read("sticky", Loose::flag))
            .flatten();
        all.sticky = all
            .sticky
            .zip(sticky)
            .map(|(count, sticky)| count + u64::from(sticky));
        newest.take(item.read("fileName", created));
        // Of one that is kept for good it is 0.
        if sticky != Some(true) {
            let seconds = item.read("purgesIn", kept);
            purges_in = purges_in
                .zip(seconds)
                .map(|(least, seconds)| least_of(least, Some(seconds).filter(|left| *left > 0)));
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
    objects(fields, BACKUPS, &["size", "timestamp"], &mut |item| {
        all.count += 1;
        let size = item.read("size", Loose::count);
        if newest.take(item.read("timestamp", past)) {
            all.newest_size = size;
        }
    })
    .ok()
    .filter(|arrived| *arrived)?;
    all.newest = newest.time();
    all.newest_size = all.newest_size.filter(|_| all.newest.is_some());
    Some(all)
}

/// With nothing outstanding the list is absent.
fn suspension_cases(fields: &mut Fields) -> Option<SuspensionCases> {
    let mut cases = SuspensionCases::default();
    objects(fields, SUSPENSIONS, &["is_soft"], &mut |item| {
        // One that is not known to be clearable needs the vendor's support.
        match item.read("is_soft", Loose::flag) {
            Some(true) => cases.clearable += 1,
            _ => cases.not_clearable += 1,
        }
    })
    .ok()?;
    Some(cases)
}

/// With nothing outstanding the list is absent. A deadline that is known stays in force beside one that is not.
fn policy_violations(fields: &mut Fields) -> Option<PolicyViolations> {
    let mut violations = PolicyViolations::default();
    objects(fields, POLICY_VIOLATIONS, &["suspend_at"], &mut |item| {
        violations.open += 1;
        violations.deadline = least_of(violations.deadline, item.read("suspend_at", past));
    })
    .ok()?;
    Some(violations)
}

fn audit_log(fields: &mut Fields) -> Option<AuditLog> {
    let mut log = AuditLog::default();
    let mut newest = Newest::default();
    objects(fields, LOG_ENTRIES, &["timestamp"], &mut |item| {
        log.entries += 1;
        newest.take(item.read("timestamp", past));
    })
    .ok()
    .filter(|arrived| *arrived)?;
    log.newest = newest.time();
    Some(log)
}

fn locations(fields: &mut Fields, key: &ApiKey) -> Option<LocationMultipliers> {
    let mut known = LocationMultipliers::new();
    let mut odd = false;
    let mut take = |name: &[u8], multiplier: &[u8]| {
        // Taking a key out of a name costs more than anything else here.
        let room = known.len() < MOST_LOCATIONS;
        match room.then(|| location(name, multiplier, key)).flatten() {
            Some(location) => {
                // As in PHP, the last of several members of one name counts.
                known.retain(|(name, _)| *name != location.0);
                known.push(location);
            }
            None => odd = true,
        }
    };
    let arrived = fields.members(MULTIPLIERS, &mut take);
    arrived.ok().filter(|arrived| *arrived)?;
    if odd {
        fields.problem(MULTIPLIERS);
    }
    Some(known)
}

fn location(name: &[u8], multiplier: &[u8], key: &ApiKey) -> Option<(String, f64)> {
    let name = String::from_utf8(unescaped(name).into_owned()).ok()?;
    let named = !name.is_empty()
        && name.len() <= LONGEST_LOCATION
        && !name.contains(char::is_control)
        && key.redact(&name) == name;
    let multiplier = Loose::parse(multiplier).ok()?.multiplier().ok()??;
    named.then_some((name, multiplier))
}

/// The fields that an item may have, by which a single one is told from a list of them.
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

/// Passes on each item of a list, one that cannot be read without any field. Returns whether there is a list.
fn objects(
    fields: &mut Fields,
    name: &'static str,
    known: &'static [&'static str],
    take: &mut dyn FnMut(&mut Fields),
) -> Result<bool, Odd> {
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

/// The newest of several times, as long as all of them are known.
#[derive(Default)]
struct Newest {
    latest: Option<i64>,
    unknown: bool,
}

impl Newest {
    /// True for a time that is the newest so far.
    fn take(&mut self, time: Option<i64>) -> bool {
        self.unknown |= time.is_none();
        let newer = time.is_some() && time >= self.latest;
        if newer {
            self.latest = time;
        }
        newer
    }

    fn time(&self) -> Option<i64> {
        self.latest.filter(|_| !self.unknown)
    }
}

/// When a snapshot was made, from `snapshot-<VEID>-<Unix seconds>-<date>-<hash>.tar.gz`.
fn created(value: &Loose) -> Result<Option<i64>, Odd> {
    let Some(name) = value.text()? else {
        return Ok(None);
    };
    let seconds = name.split('-').nth(2).ok_or(Odd)?;
    Loose::Text(seconds.to_owned())
        .timestamp()?
        .map(Some)
        .ok_or(Odd)
}

/// A time; 0 is none.
fn past(value: &Loose) -> Result<Option<i64>, Odd> {
    match value.integer()? {
        Some(0) => Ok(None),
        _ => value.timestamp(),
    }
}

fn kept(value: &Loose) -> Result<Option<u64>, Odd> {
    match value.count()? {
        Some(LONGEST_KEPT..) => Err(Odd),
        seconds => Ok(seconds),
    }
}

fn least_of<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}
