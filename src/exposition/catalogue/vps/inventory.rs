//! Snapshots, backups, policy cases, the audit log, locations.

use super::{VpsMetric, gauge, labelled_gauge};
use crate::exposition::series::View;
use crate::kiwivm::Call;
use crate::kiwivm::model::{AuditLog, Backups, Inventory, PolicyViolations, Snapshots};

pub(super) const METRICS: &[VpsMetric] = &[
    gauge("kiwivm_snapshots", "Snapshots.", |view, series| {
        series.value(snapshots(view).map(|all| all.count));
    }),
    gauge(
        "kiwivm_snapshots_sticky",
        "Snapshots that are kept for good.",
        |view, series| series.value(snapshots(view).and_then(|all| all.sticky)),
    ),
    gauge(
        "kiwivm_snapshots_size_bytes",
        "Compressed size of all snapshots.",
        |view, series| series.value(snapshots(view).and_then(|all| all.size)),
    ),
    gauge(
        "kiwivm_snapshot_newest_timestamp_seconds",
        "When the newest snapshot was made, Unix time, from its file name.",
        |view, series| series.value(snapshots(view).and_then(|all| all.newest)),
    ),
    gauge(
        "kiwivm_snapshot_next_purge_timestamp_seconds",
        "When the next snapshot will be deleted, Unix time.",
        |view, series| series.value(view.next_purge()),
    ),
    gauge("kiwivm_backups", "Automatic backups.", |view, series| {
        series.value(backups(view).map(|all| all.count));
    }),
    gauge(
        "kiwivm_backup_newest_timestamp_seconds",
        "When the newest backup was made, Unix time.",
        |view, series| series.value(backups(view).and_then(|all| all.newest)),
    ),
    gauge(
        "kiwivm_backup_newest_size_bytes",
        "Size of the newest backup.",
        |view, series| series.value(backups(view).and_then(|all| all.newest_size)),
    ),
    gauge(
        "kiwivm_policy_violations_open",
        "Open policy cases.",
        |view, series| series.value(violations(view).map(|all| all.open)),
    ),
    gauge(
        "kiwivm_policy_violation_deadline_timestamp_seconds",
        "When the VPS is suspended unless the most urgent policy case is settled, Unix time.",
        |view, series| series.value(violations(view).and_then(|all| all.deadline)),
    ),
    labelled_gauge(
        "kiwivm_suspension_cases",
        &["clearable"],
        "Open suspension cases, by whether the owner can clear them. None when the allowance is used up.",
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
        "Entries of the audit log. Only with collect.audit.",
        |view, series| series.value(audit_log(view).map(|log| log.entries)),
    ),
    gauge(
        "kiwivm_audit_log_newest_timestamp_seconds",
        "Time of the newest entry of the audit log, Unix time. Only with collect.audit.",
        |view, series| series.value(audit_log(view).and_then(|log| log.newest)),
    ),
    labelled_gauge(
        "kiwivm_location_bandwidth_multiplier",
        &["location"],
        "What transfer is multiplied with in each location the VPS could move to. Only with collect.locations.",
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
