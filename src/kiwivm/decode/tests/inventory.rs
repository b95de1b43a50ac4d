//! Snapshots, backups, policy cases, the audit log, locations.

use super::*;
use crate::kiwivm::model::{
    AuditLog, Backups, Inventory, PolicyViolations, Snapshots, SuspensionCases,
};

fn inventory(call: Call, name: &str) -> Inventory {
    let decoded = decoded(call, name);
    assert_eq!(decoded.problems, [""; 0], "{name}");
    match decoded.answer {
        Answer::Inventory(Some(inventory)) => inventory,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn snapshots() {
    let two = Snapshots {
        count: 2,
        sticky: Some(1),
        size: Some(1_630_223_871 + 1_701_223_344),
        newest: Some(1_790_640_000),
        purges_in: Some(2_420_441),
    };
    let call = Call::SnapshotList;
    assert_eq!(
        inventory(call, "snapshot_list.json"),
        Inventory::Snapshots(two)
    );
    let none = Snapshots {
        sticky: Some(0),
        size: Some(0),
        ..Snapshots::default()
    };
    assert_eq!(
        inventory(call, "snapshot_list_empty.json"),
        Inventory::Snapshots(none)
    );
}

#[test]
fn an_odd_snapshot_costs_what_is_odd_about_it() {
    let body = br#"{"error":0,"snapshots":[
        {"fileName":"mine.tar.gz","size":"7","sticky":0,"purgesIn":"60"},
        {"fileName":"snapshot-1-1790640000-2026-09-29-a.tar.gz","size":"big","purgesIn":-1}, 5]}"#;
    let decoded = decode(Call::SnapshotList, body, &mut |_| {}).expect("it is an answer");
    let expected = Snapshots {
        count: 2,
        sticky: None,
        size: None,
        newest: Some(1_790_640_000),
        purges_in: Some(60),
    };
    assert_eq!(
        decoded.answer,
        Answer::Inventory(Some(Inventory::Snapshots(expected)))
    );
    assert_eq!(
        decoded.problems,
        ["fileName", "size", "purgesIn", "snapshots"]
    );
    let body = br#"{"error":0,"snapshots":"many"}"#;
    let decoded = decode(Call::SnapshotList, body, &mut |_| {}).expect("it is an answer");
    assert_eq!(
        (decoded.answer, decoded.problems),
        (Answer::Inventory(None), vec!["snapshots"])
    );
}

#[test]
fn backups_as_map_and_as_list() {
    let two = Backups {
        count: 2,
        newest: Some(1_790_726_412),
        newest_size: Some(1_634_567_890),
    };
    let call = Call::BackupList;
    assert_eq!(inventory(call, "backup_list.json"), Inventory::Backups(two));
    assert_eq!(
        inventory(call, "backup_list_empty.json"),
        Inventory::Backups(Backups::default())
    );
    let body =
        br#"{"backups":[{"backupToken":"x","size":"9","timestamp":"1790726412"}],"error":0}"#;
    let decoded = decode(call, body, &mut |_| {}).expect("it is an answer");
    let one = Backups {
        count: 1,
        newest_size: Some(9),
        ..two
    };
    assert_eq!(
        decoded.answer,
        Answer::Inventory(Some(Inventory::Backups(one)))
    );
}

#[test]
fn policy_cases_and_their_absence() {
    let cases = SuspensionCases {
        clearable: 1,
        not_clearable: 0,
    };
    let call = Call::SuspensionDetails;
    assert_eq!(
        inventory(call, "suspension_details.json"),
        Inventory::SuspensionCases(cases)
    );
    for none in [
        "suspension_details_none.json",
        "suspension_details_none_empty_arrays.json",
    ] {
        assert_eq!(
            inventory(call, none),
            Inventory::SuspensionCases(SuspensionCases::default())
        );
    }
    let two = PolicyViolations {
        open: 2,
        deadline: Some(1_790_872_800),
    };
    let call = Call::PolicyViolations;
    assert_eq!(
        inventory(call, "policy_violations.json"),
        Inventory::PolicyViolations(two)
    );
    assert_eq!(
        inventory(call, "policy_violations_none.json"),
        Inventory::PolicyViolations(PolicyViolations::default())
    );
    let body = br#"{"error":0,"policy_violations":true}"#;
    let decoded = decode(call, body, &mut |_| {}).expect("it is an answer");
    assert_eq!(decoded.answer, Answer::Inventory(None));
}

#[test]
fn the_audit_log_now_and_as_text() {
    for (name, entries, newest) in [
        ("audit_log.json", 6, 1_790_640_002),
        ("audit_log_legacy_strings.json", 2, 1_640_995_260),
    ] {
        let log = AuditLog {
            entries,
            newest: Some(newest),
        };
        assert_eq!(inventory(Call::AuditLog, name), Inventory::AuditLog(log));
    }
}

#[test]
fn locations_and_their_multipliers() {
    let call = Call::MigrateLocations;
    let Inventory::Locations(locations) = inventory(call, "migrate_locations_fractional.json")
    else {
        panic!("no locations");
    };
    let multiplier = |id: &str| {
        locations
            .iter()
            .find(|(location, _)| location == id)
            .unwrap()
            .1
    };
    assert_eq!(locations.len(), 4);
    assert!(
        (multiplier("USCA_9") - 0.33).abs() < 1e-9 && (multiplier("USNY_2") - 1.0).abs() < 1e-9
    );
    assert_eq!(
        inventory(call, "migrate_locations_none.json"),
        Inventory::Locations(vec![])
    );
    let body = br#"{"error":0,"dataTransferMultipliers":{"A":-1,"B":2,"C":"x"}}"#;
    let decoded = decode(call, body, &mut |_| {}).expect("it is an answer");
    assert_eq!(
        (decoded.answer, decoded.problems),
        (
            Answer::Inventory(Some(Inventory::Locations(vec![("B".to_owned(), 2.0)]))),
            vec!["dataTransferMultipliers"]
        )
    );
}
