//! Inventory metrics: snapshots, backups, policy violations, the audit log and locations.

use super::{VpsMetric, gauge, labelled_gauge};
use crate::exposition::series::View;
use crate::kiwivm::Call;
use crate::kiwivm::model::{AuditLog, Backups, Inventory, PolicyViolations, Snapshots};

pub(super) const METRICS: &[VpsMetric] = &[
    gauge(
        "kiwivm_snapshots",
        "Number of snapshots.",
        |view, series| {
            series.value(snapshots(view).map(|all| all.count));
        },
    ),
    gauge(
        "kiwivm_snapshots_sticky",
        "Number of sticky snapshots, which are never purged.",
        |view, series| series.value(snapshots(view).and_then(|all| all.sticky)),
    ),
    gauge(
        "kiwivm_snapshots_size_bytes",
        "Total compressed size of all snapshots.",
        |view, series| series.value(snapshots(view).and_then(|all| all.size)),
    ),
    gauge(
        "kiwivm_snapshot_newest_timestamp_seconds",
        "Unix time at which the newest snapshot was made, from its file name.",
        |view, series| series.value(snapshots(view).and_then(|all| all.newest)),
    ),
    gauge(
        "kiwivm_snapshot_next_purge_timestamp_seconds",
        "Unix time at which the next snapshot will be purged.",
        |view, series| series.value(view.next_purge()),
    ),
    gauge(
        "kiwivm_backups",
        "Number of automatic backups.",
        |view, series| {
            series.value(backups(view).map(|all| all.count));
        },
    ),
    gauge(
        "kiwivm_backup_newest_timestamp_seconds",
        "Unix time at which the newest backup was made.",
        |view, series| series.value(backups(view).and_then(|all| all.newest)),
    ),
    gauge(
        "kiwivm_backup_newest_size_bytes",
        "Size of the newest backup.",
        |view, series| series.value(backups(view).and_then(|all| all.newest_size)),
    ),
    gauge(
        "kiwivm_policy_violations_open",
        "Number of open policy violations.",
        |view, series| series.value(violations(view).map(|all| all.open)),
    ),
    gauge(
        "kiwivm_policy_violation_deadline_timestamp_seconds",
        "Unix time at which the VPS will be suspended unless its most urgent policy violation is resolved.",
        |view, series| series.value(violations(view).and_then(|all| all.deadline)),
    ),
    labelled_gauge(
        "kiwivm_suspension_cases",
        &["clearable"],
        "Open suspension cases, by clearable: yes if the owner can clear them. A used-up bandwidth allowance opens no case.",
        |view, series| {
            let Some(Inventory::SuspensionCases(cases)) = view.inventory(Call::SuspensionDetails)
            else {
                return;
            };
            series.labelled(&[("clearable", "yes")], Some(cases.clearable));
            series.labelled(&[("clearable", "no")], Some(cases.not_clearable));
        },
    ),
    gauge(
        "kiwivm_audit_log_entries",
        "Number of audit log entries. Only with collect.audit.",
        |view, series| series.value(audit_log(view).map(|log| log.entries)),
    ),
    gauge(
        "kiwivm_audit_log_newest_timestamp_seconds",
        "Unix time of the newest audit log entry. Only with collect.audit.",
        |view, series| series.value(audit_log(view).and_then(|log| log.newest)),
    ),
    labelled_gauge(
        "kiwivm_location_bandwidth_multiplier",
        &["location"],
        "Bandwidth multiplier of each location that the VPS can migrate to. Only with collect.locations.",
        |view, series| {
            let Some(Inventory::Locations(locations)) = view.inventory(Call::MigrateLocations)
            else {
                return;
            };
            for (location, multiplier) in locations {
                series.labelled(&[("location", location)], Some(*multiplier));
            }
        },
    ),
];

fn snapshots<'a>(view: &View<'a>) -> Option<&'a Snapshots> {
    match view.inventory(Call::SnapshotList)? {
        Inventory::Snapshots(snapshots) => Some(snapshots),
        _ => None,
    }
}

fn backups<'a>(view: &View<'a>) -> Option<&'a Backups> {
    match view.inventory(Call::BackupList)? {
        Inventory::Backups(backups) => Some(backups),
        _ => None,
    }
}

fn violations<'a>(view: &View<'a>) -> Option<&'a PolicyViolations> {
    match view.inventory(Call::PolicyViolations)? {
        Inventory::PolicyViolations(violations) => Some(violations),
        _ => None,
    }
}

fn audit_log<'a>(view: &View<'a>) -> Option<&'a AuditLog> {
    match view.inventory(Call::AuditLog)? {
        Inventory::AuditLog(log) => Some(log),
        _ => None,
    }
}
