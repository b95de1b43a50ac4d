//! What changes seldom: snapshots, backups, policy cases, the audit log, locations. Only counts, sizes and times are
//! kept of it.

use super::list::List;
use super::{DecodeError, ENVELOPE, Fields, document};
use crate::kiwivm::lenient::{Loose, Odd};
use crate::kiwivm::model::{
    AuditLog, Backups, Inventory, LocationMultipliers, PolicyViolations, Snapshots, SuspensionCases,
};

type Read = Result<(Option<Inventory>, Fields), DecodeError>;

/// There are about twenty; more would be something else.
const MOST_LOCATIONS: usize = 100;
const LONGEST_LOCATION: usize = 64;

pub(super) fn snapshots(body: &[u8]) -> Read {
    let mut all = Snapshots {
        sticky: Some(0),
        size: Some(0),
        ..Snapshots::default()
    };
    let known = &["fileName", "size", "sticky", "purgesIn"];
    let (arrived, fields) = read_list(body, "snapshots", known, &mut |item| {
        all.count += 1;
        let size = item.read("size", Loose::count);
        all.size = all
            .size
            .zip(size)
            .and_then(|(sum, size)| sum.checked_add(size));
        let sticky = item
            .has("sticky")
            .then(|| item.read("sticky", Loose::flag))
            .flatten();
        all.sticky = all
            .sticky
            .zip(sticky)
            .map(|(count, sticky)| count + u64::from(sticky));
        all.newest = all.newest.max(item.read("fileName", created));
        // Of one that is kept for good it is 0.
        let purges_in = item
            .read("purgesIn", Loose::count)
            .filter(|seconds| *seconds > 0 && sticky != Some(true));
        all.purges_in = least(all.purges_in, purges_in);
    })?;
    Ok((arrived.then_some(Inventory::Snapshots(all)), fields))
}

pub(super) fn backups(body: &[u8]) -> Read {
    let mut all = Backups::default();
    let known = &["size", "timestamp"];
    let (arrived, fields) = read_list(body, "backups", known, &mut |item| {
        all.count += 1;
        let size = item.read("size", Loose::count);
        let timestamp = item.read("timestamp", past);
        if timestamp.is_some() && timestamp >= all.newest {
            all.newest = timestamp;
            all.newest_size = size;
        }
    })?;
    Ok((arrived.then_some(Inventory::Backups(all)), fields))
}

/// With nothing outstanding the list is absent.
pub(super) fn suspension_cases(body: &[u8]) -> Read {
    let mut cases = SuspensionCases::default();
    let known = &["is_soft"];
    let (arrived, fields) = read_list(body, "suspensions", known, &mut |item| {
        // One of which that is not known needs the vendor's support.
        match item.read("is_soft", Loose::flag) {
            Some(true) => cases.clearable += 1,
            _ => cases.not_clearable += 1,
        }
    })?;
    let none_or_known = arrived || !fields.problems.contains(&"suspensions");
    Ok((
        none_or_known.then_some(Inventory::SuspensionCases(cases)),
        fields,
    ))
}

/// With nothing outstanding the list is absent.
pub(super) fn policy_violations(body: &[u8]) -> Read {
    let mut violations = PolicyViolations::default();
    let known = &["suspend_at"];
    let (arrived, fields) = read_list(body, "policy_violations", known, &mut |item| {
        violations.open += 1;
        violations.deadline = least(violations.deadline, item.read("suspend_at", past));
    })?;
    let none_or_known = arrived || !fields.problems.contains(&"policy_violations");
    Ok((
        none_or_known.then_some(Inventory::PolicyViolations(violations)),
        fields,
    ))
}

pub(super) fn audit_log(body: &[u8]) -> Read {
    let mut log = AuditLog::default();
    let known = &["timestamp"];
    let (arrived, fields) = read_list(body, "log_entries", known, &mut |item| {
        log.entries += 1;
        log.newest = log.newest.max(item.read("timestamp", past));
    })?;
    Ok((arrived.then_some(Inventory::AuditLog(log)), fields))
}

pub(super) fn locations(body: &[u8]) -> Read {
    let mut fields = document(body, &[ENVELOPE, &["dataTransferMultipliers"]], None)?;
    let mut odd = false;
    let multipliers = fields.read("dataTransferMultipliers", |value| {
        let entries = value.map()?;
        let known = entries.iter().filter_map(|(location, multiplier)| {
            let multiplier = multiplier.real().ok()?.filter(|real| *real > 0.0);
            let short = location.len() <= LONGEST_LOCATION;
            Some((location.clone(), multiplier.filter(|_| short)?))
        });
        let known: LocationMultipliers = known.take(MOST_LOCATIONS).collect();
        odd = known.len() < entries.len();
        Ok(Some(known))
    });
    if odd {
        fields.problem("dataTransferMultipliers");
    }
    Ok((multipliers.map(Inventory::Locations), fields))
}

/// Reads a list of an answer; whether it arrived in a known form, and the rest of the answer with all problems.
fn read_list(
    body: &[u8],
    name: &'static str,
    known: &'static [&'static str],
    take: &mut dyn FnMut(&mut Fields),
) -> Result<(bool, Fields), DecodeError> {
    let mut problems = Vec::new();
    let mut take = |mut item: Fields| {
        take(&mut item);
        problems.extend(item.problems);
    };
    let mut list = List::new(name, known, &mut take);
    let mut fields = document(body, &[ENVELOPE], Some(&mut list))?;
    let (arrived, odd) = (list.arrived, list.odd);
    for problem in problems.into_iter().chain(odd.then_some(name)) {
        fields.problem(problem);
    }
    Ok((arrived, fields))
}

/// When a snapshot was made, from `snapshot-<VEID>-<Unix seconds>-<date>-<hash>.tar.gz`.
fn created(value: &Loose) -> Result<Option<i64>, Odd> {
    let Some(name) = value.text()? else {
        return Ok(None);
    };
    let seconds = name.split('-').nth(2).ok_or(Odd)?;
    match seconds.parse() {
        Ok(seconds) if seconds > 0 => Ok(Some(seconds)),
        _ => Err(Odd),
    }
}

/// A time that can be one: 0 is none.
fn past(value: &Loose) -> Result<Option<i64>, Odd> {
    match value.timestamp()? {
        Some(0) => Ok(None),
        Some(seconds) if seconds < 0 => Err(Odd),
        seconds => Ok(seconds),
    }
}

fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}
