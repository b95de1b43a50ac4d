//! Metrics follow the changes made to a VPS of a simulated account.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::exporter::TIMEOUT;
use crate::page::Page;
use crate::polled_vps::PolledVps;

/// Metrics without additional labels, and the matching fields of the account.
const UNLABELLED: [(&str, &str); 14] = [
    ("kiwivm_snapshots", "snapshots"),
    ("kiwivm_snapshots_sticky", "snapshots_sticky"),
    ("kiwivm_snapshots_size_bytes", "snapshots_size"),
    (
        "kiwivm_snapshot_newest_timestamp_seconds",
        "snapshot_newest",
    ),
    ("kiwivm_backups", "backups"),
    ("kiwivm_backup_newest_timestamp_seconds", "backup_newest"),
    ("kiwivm_backup_newest_size_bytes", "backup_newest_size"),
    ("kiwivm_policy_violations_open", "policy_violations"),
    (
        "kiwivm_policy_violation_deadline_timestamp_seconds",
        "policy_violation_deadline",
    ),
    ("kiwivm_audit_log_entries", "audit_entries"),
    ("kiwivm_audit_log_newest_timestamp_seconds", "audit_newest"),
    ("kiwivm_nullrouted_ip_addresses", "nullrouted"),
    ("kiwivm_abuse_points", "abuse_points"),
    ("kiwivm_bandwidth_multiplier", "monthly_data_multiplier"),
];
const PURGE: &str = "kiwivm_snapshot_next_purge_timestamp_seconds";
const EVERYTHING: &str = "collect: {audit: true, locations: true}\n";

/// Making a snapshot takes a second, and inventory is polled three times in it.
async fn watch(veid: u64) -> PolledVps {
    let intervals = "intervals: {live: 90s, usage: 1h, points: 1h, inventory: 90s}\n";
    PolledVps::start(veid, 300, &format!("{intervals}{EVERYTHING}")).await
}

fn cases(page: &Page, clearable: &str) -> Option<f64> {
    page.one("kiwivm_suspension_cases", &[("clearable", clearable)])
}

/// A flag as a metric value.
fn flag(value: &Value) -> Option<f64> {
    value.as_bool().map(|on| f64::from(u8::from(on)))
}

/// Metrics that differ from the account.
fn differences(page: &Page, truth: &Value) -> Vec<String> {
    let number = |name: &str| truth[name].as_f64();
    let mut pairs: Vec<(&str, Option<f64>, Option<f64>)> = UNLABELLED
        .iter()
        .map(|(metric, name)| (*metric, page.of("one", metric), number(name)))
        .collect();
    for (clearable, name) in [
        ("yes", "suspension_cases_clearable"),
        ("no", "suspension_cases_not_clearable"),
    ] {
        pairs.push((name, cases(page, clearable), number(name)));
    }
    for metric in ["suspended", "locked"] {
        let of_page = page.of("one", &format!("kiwivm_{metric}"));
        pairs.push((metric, of_page, flag(&truth[metric])));
    }
    // The API reports rounded seconds from now, and now is rounded as well.
    let purge = page.of("one", PURGE);
    let near = purge
        .zip(number("snapshot_next_purge"))
        .filter(|(reported, actual)| (reported - actual).abs() <= 2.0);
    pairs.push((
        PURGE,
        purge,
        near.map_or(number("snapshot_next_purge"), |(reported, _)| {
            Some(reported)
        }),
    ));
    pairs
        .into_iter()
        .filter(|(_, page, truth)| page != truth)
        .map(|(name, page, truth)| format!("{name}: {page:?}, account {truth:?}"))
        .collect()
}

/// Waits until the account satisfies `is` and the metrics agree with it.
async fn wait_until_equal(
    watched: &PolledVps,
    what: &str,
    is: impl Fn(&Value) -> bool,
) -> (Page, Value) {
    let deadline = Instant::now() + TIMEOUT;
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    loop {
        tick.tick().await;
        let truth = watched.owner.truth().await;
        let page = watched.exporter.scrape().await;
        let differences = differences(&page, &truth);
        if is(&truth) && differences.is_empty() {
            return (page, truth);
        }
        assert!(
            Instant::now() < deadline,
            "{what} did not happen: {differences:#?} of {truth:#}"
        );
    }
}

#[tokio::test]
async fn a_snapshot_is_reported_from_creation_to_deletion() {
    let watched = watch(1_000_001).await;
    let (before, _) = wait_until_equal(&watched, "the beginning", |_| true).await;
    assert!(before.of("one", "kiwivm_snapshots") >= Some(2.0));
    assert!(before.of("one", "kiwivm_backups") >= Some(3.0));

    // A halted task cannot end before the exporter polls it.
    watched.halt(true).await;
    watched.owner.done("snapshot/create", "description=x").await;
    let locked = watched.owner.call("getServiceInfo", "").await;
    let percent = locked["additionalLockingInfo"]["completed_percent"].as_f64();
    let progress = percent.map(|percent| percent / 100.0);
    let held = watched
        .wait_for("the task is reported", |page| {
            page.of("one", "kiwivm_locked") == Some(1.0)
        })
        .await;
    assert_eq!(held.of("one", "kiwivm_lock_progress_ratio"), progress);
    watched.halt(false).await;
    let count = before.of("one", "kiwivm_snapshots").expect("it was there");
    let (page, truth) = wait_until_equal(&watched, "the snapshot", |truth| {
        truth["snapshots"].as_f64() == Some(count + 1.0)
    })
    .await;
    assert_eq!(page.of("one", "kiwivm_lock_progress_ratio"), None);
    let newest = "kiwivm_snapshot_newest_timestamp_seconds";
    assert!(page.of("one", newest) > before.of("one", newest));

    let list = watched.owner.done("snapshot/list", "").await;
    let made = list["snapshots"].as_array().and_then(|list| list.last());
    let name = made.and_then(|made| made["fileName"].as_str());
    let name = format!("snapshot={}", name.expect("it is there"));
    let sticky = truth["snapshots_sticky"].as_f64().expect("it is a number");
    watched
        .owner
        .done("snapshot/toggleSticky", &format!("{name}&sticky=1"))
        .await;
    wait_until_equal(&watched, "the sticky snapshot", |truth| {
        truth["snapshots_sticky"].as_f64() == Some(sticky + 1.0)
    })
    .await;
    watched.owner.done("snapshot/delete", &name).await;
    let (page, _) = wait_until_equal(&watched, "the deletion", |truth| {
        truth["snapshots"].as_f64() == Some(count)
    })
    .await;
    assert_eq!(page.of("one", newest), before.of("one", newest));

    // Without purgeable snapshots there is no next purge.
    let list = watched.owner.done("snapshot/list", "").await;
    for snapshot in list["snapshots"].as_array().expect("it is a list") {
        let name = snapshot["fileName"].as_str().expect("it has a name");
        watched
            .owner
            .done("snapshot/delete", &format!("snapshot={name}"))
            .await;
    }
    let (page, _) = wait_until_equal(&watched, "the last deletion", |truth| {
        truth["snapshots"] == 0
    })
    .await;
    assert_eq!(page.of("one", "kiwivm_snapshots"), Some(0.0));
    assert_eq!(
        (page.of("one", newest), page.of("one", PURGE)),
        (None, None)
    );
}

#[tokio::test]
async fn a_stop_and_a_start_change_status_and_audit_log() {
    let watched = watch(1_000_001).await;
    let (before, _) = wait_until_equal(&watched, "the beginning", |_| true).await;
    let entries = before.of("one", "kiwivm_audit_log_entries");
    for (call, running, status) in [("stop", 0.0, "stopped"), ("start", 1.0, "running")] {
        watched.owner.done(call, "").await;
        let state = [("status", status)];
        watched
            .wait_for(call, |page| {
                page.of("one", "kiwivm_running") == Some(running)
                    && page.one("kiwivm_status", &state) == Some(1.0)
            })
            .await;
    }
    let (page, _) = wait_until_equal(&watched, "the log", |_| true).await;
    assert!(page.of("one", "kiwivm_audit_log_entries") >= entries.map(|count| count + 4.0));
}

#[tokio::test]
async fn a_migration_changes_location_and_address_and_ends_nullroutes() {
    let watched = watch(1_000_002).await;
    watched.owner.set("nullrouted", json!(true)).await;
    let (page, truth) =
        wait_until_equal(&watched, "the nullroute", |truth| truth["nullrouted"] == 1).await;
    let at = |place: &Value, address: &Value| {
        let text = |value: &Value| value.as_str().expect("it is text").to_owned();
        [("location_id", text(place)), ("ip_address", text(address))]
    };
    let is_at = |page: &Page, labels: &[(&str, String); 2]| {
        let labels = labels
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        page.one("kiwivm_vps_info", &labels)
    };
    let before = at(&truth["location"], &truth["ip_addresses"][0]);
    assert_eq!(is_at(&page, &before), Some(1.0));

    let response = watched.owner.done("migrate/start", "location=EUNL_3").await;
    let (page, truth) = wait_until_equal(&watched, "the migration", |truth| {
        truth["location"] == "EUNL_3" && truth["locked"] == false
    })
    .await;
    assert_eq!(truth["ip_addresses"][0], response["newIps"][0]);
    let after = at(&truth["location"], &response["newIps"][0]);
    assert_eq!(is_at(&page, &after), Some(1.0));
    assert_eq!(is_at(&page, &before), None);
}

#[tokio::test]
async fn suspension_cases_follow_the_account() {
    let watched = watch(1_000_001).await;
    let (page, _) = wait_until_equal(&watched, "the beginning", |_| true).await;
    let both = |page: &Page| (cases(page, "yes"), cases(page, "no"));
    assert_eq!(both(&page), (Some(0.0), Some(0.0)));
    watched.owner.set("suspension", json!(true)).await;
    let (page, _) =
        wait_until_equal(&watched, "the case", |truth| truth["suspended"] == true).await;
    assert_eq!(both(&page), (Some(1.0), Some(0.0)));
    let details = watched.owner.done("getSuspensionDetails", "").await;
    let record = format!("record_id={}", details["suspensions"][0]["record_id"]);
    watched.owner.done("unsuspend", &record).await;
    wait_until_equal(&watched, "the closed case", |truth| {
        truth["suspended"] == false
    })
    .await;
    watched.owner.set("suspension", json!("hard")).await;
    let (page, _) = wait_until_equal(&watched, "the other case", |truth| {
        truth["suspended"] == true
    })
    .await;
    assert_eq!(both(&page), (Some(0.0), Some(1.0)));
}

#[tokio::test]
async fn policy_cases_end_by_resolution_or_deadline() {
    let watched = watch(1_000_002).await;
    let (page, _) = wait_until_equal(&watched, "the case", |truth| {
        truth["policy_violations"] == 1
    })
    .await;
    assert_eq!(page.of("one", "kiwivm_policy_violation"), Some(1.0));
    let open = watched.owner.done("getPolicyViolations", "").await;
    let record = format!("record_id={}", open["policy_violations"][0]["record_id"]);
    watched.owner.done("resolvePolicyViolation", &record).await;
    let (page, _) = wait_until_equal(&watched, "the resolved case", |truth| {
        truth["policy_violations"] == 0
    })
    .await;
    let deadline = "kiwivm_policy_violation_deadline_timestamp_seconds";
    assert_eq!(page.of("one", deadline), None);

    watched.halt(true).await;
    watched.owner.set("policy_violation", json!(1)).await;
    let (page, _) = wait_until_equal(&watched, "another case", |truth| {
        truth["policy_violations"] == 1
    })
    .await;
    assert!(page.of("one", deadline).is_some());
    watched.halt(false).await;
    wait_until_equal(&watched, "the passed deadline", |truth| {
        truth["suspended"] == true && truth["policy_violations"] == 0
    })
    .await;
}

#[tokio::test]
async fn backups_are_made_daily_and_can_become_snapshots() {
    // A day takes eight seconds. With intervals of more than an hour a backup could be missed.
    let intervals = "intervals: {live: 1h, usage: 1h, points: 1h, inventory: 1h}\n";
    let watched = PolledVps::start(1_000_001, 10_000, &format!("{intervals}{EVERYTHING}")).await;
    let (before, _) = wait_until_equal(&watched, "the beginning", |_| true).await;
    let newest = "kiwivm_backup_newest_timestamp_seconds";
    let first = before.of("one", newest);
    assert!(first.is_some());
    let (page, _) = wait_until_equal(&watched, "the daily backup", |truth| {
        truth["backup_newest"].as_f64() > first
    })
    .await;
    assert!(page.of("one", newest) > first);
    let backups = watched.owner.done("backup/list", "").await;
    let backups = backups["backups"].as_object().expect("it is a map");
    let token = backups.keys().next().expect("there are some");
    watched
        .owner
        .done("backup/copyToSnapshot", &format!("backupToken={token}"))
        .await;
    // Other snapshots may be purged meanwhile.
    let made = "kiwivm_snapshot_newest_timestamp_seconds";
    wait_until_equal(&watched, "the snapshot of the backup", |truth| {
        truth["snapshot_newest"].as_f64() > before.of("one", made)
    })
    .await;
}

#[tokio::test]
async fn every_location_has_its_multiplier() {
    let watched = watch(1_000_001).await;
    let metric = "kiwivm_location_bandwidth_multiplier";
    let page = watched
        .wait_for("locations are reported", |page| {
            page.series(metric, &[]).count() > 0
        })
        .await;
    let response = watched.owner.done("migrate/getLocations", "").await;
    let multipliers = response["dataTransferMultipliers"]
        .as_object()
        .expect("it is a map");
    assert_eq!(page.series(metric, &[]).count(), multipliers.len());
    for (location, multiplier) in multipliers {
        let labels = [("location", location.as_str())];
        assert_eq!(page.one(metric, &labels), multiplier.as_f64(), "{location}");
    }
}
