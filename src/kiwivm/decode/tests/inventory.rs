//! Tests of snapshots, backups, policy cases, the audit log and locations.

use super::*;
use crate::kiwivm::model::{
    AuditLog, Backups, Inventory, PolicyViolations, Snapshots, SuspensionCases,
};

fn inventory(call: Call, name: &str) -> Inventory {
    let decoded = decoded(call, name);
    assert_eq!(decoded.problems, [""; 0], "{name}");
    match decoded.payload {
        Payload::Inventory(Some(inventory)) => inventory,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn snapshots() {
    let two = Snapshots {
        count: 2,
        sticky: Some(1),
        size: Some(Bytes(1_630_223_871 + 1_701_223_344)),
        newest: Some(UnixSeconds(1_790_640_000)),
        purges_in: Some(2_420_441),
    };
    let call = Call::SnapshotList;
    assert_eq!(
        inventory(call, "snapshot_list.json"),
        Inventory::Snapshots(two)
    );
    let none = Snapshots {
        sticky: Some(0),
        size: Some(Bytes(0)),
        ..Snapshots::default()
    };
    assert_eq!(
        inventory(call, "snapshot_list_empty.json"),
        Inventory::Snapshots(none)
    );
}

#[test]
fn an_invalid_snapshot_field_affects_only_its_aggregates() {
    let body = br#"{"error":0,"snapshots":[
        {"fileName":"mine.tar.gz","size":"7","sticky":0,"purgesIn":"60"},
        {"fileName":"snapshot-1-1790640000-2026-09-29-a.tar.gz","size":"big","purgesIn":-1}, 5]}"#;
    let decoded = read(Call::SnapshotList, body).expect("valid response");
    let expected = Snapshots {
        count: 3,
        sticky: None,
        size: None,
        newest: None,
        purges_in: None,
    };
    assert_eq!(
        decoded.payload,
        Payload::Inventory(Some(Inventory::Snapshots(expected)))
    );
    assert_eq!(
        decoded.problems,
        ["fileName", "size", "purgesIn", "snapshots"]
    );
    let body = br#"{"error":0,"snapshots":"many"}"#;
    let decoded = read(Call::SnapshotList, body).expect("valid response");
    assert_eq!(
        (decoded.payload, decoded.problems),
        (Payload::Inventory(None), vec!["snapshots"])
    );
}

#[test]
fn backups_as_map_or_list() {
    let two = Backups {
        count: 2,
        newest: Some(UnixSeconds(1_790_726_412)),
        newest_size: Some(Bytes(1_634_567_890)),
    };
    let call = Call::BackupList;
    assert_eq!(inventory(call, "backup_list.json"), Inventory::Backups(two));
    assert_eq!(
        inventory(call, "backup_list_empty.json"),
        Inventory::Backups(Backups::default())
    );
    let body =
        br#"{"backups":[{"backupToken":"x","size":"9","timestamp":"1790726412"}],"error":0}"#;
    let decoded = read(call, body).expect("valid response");
    let one = Backups {
        count: 1,
        newest_size: Some(Bytes(9)),
        ..two
    };
    assert_eq!(
        decoded.payload,
        Payload::Inventory(Some(Inventory::Backups(one)))
    );
}

#[test]
fn policy_cases_and_none() {
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
        deadline: Some(UnixSeconds(1_790_872_800)),
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
    let decoded = read(call, body).expect("valid response");
    assert_eq!(decoded.payload, Payload::Inventory(None));
}

#[test]
fn audit_log_with_numbers_or_text() {
    for (name, entries, newest) in [
        ("audit_log.json", 6, 1_790_640_002),
        ("audit_log_legacy_strings.json", 2, 1_640_995_260),
    ] {
        let log = AuditLog {
            entries,
            newest: Some(UnixSeconds(newest)),
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
    let decoded = read(call, body).expect("valid response");
    assert_eq!(
        (decoded.payload, decoded.problems),
        (
            Payload::Inventory(Some(Inventory::Locations(vec![("B".to_owned(), 2.0)]))),
            vec!["dataTransferMultipliers"]
        )
    );
}

/// Decodes a response with `list` as the value of its list field.
fn listing(call: Call, list: &str) -> (Option<Inventory>, Vec<&'static str>) {
    let name = match call {
        Call::SnapshotList => "snapshots",
        Call::BackupList => "backups",
        Call::SuspensionDetails => "suspensions",
        Call::PolicyViolations => "policy_violations",
        _ => "log_entries",
    };
    let body = format!(r#"{{"error":0,"{name}":{list}}}"#);
    let decoded = read(call, body.as_bytes()).expect("valid response");
    match decoded.payload {
        Payload::Inventory(inventory) => (inventory, decoded.problems),
        other => panic!("{other:?}"),
    }
}

fn count(inventory: &Inventory) -> u64 {
    match inventory {
        Inventory::Snapshots(all) => all.count,
        Inventory::Backups(all) => all.count,
        Inventory::SuspensionCases(cases) => cases.clearable + cases.not_clearable,
        Inventory::PolicyViolations(violations) => violations.open,
        Inventory::AuditLog(log) => log.entries,
        Inventory::Locations(locations) => locations.len() as u64,
    }
}

const LISTINGS: [Call; 5] = [
    Call::SnapshotList,
    Call::BackupList,
    Call::SuspensionDetails,
    Call::PolicyViolations,
    Call::AuditLog,
];

#[test]
fn counts_unreadable_items() {
    for call in LISTINGS {
        for (list, items) in [
            (r#"["spam"]"#, 1),
            ("[17]", 1),
            ("[null]", 1),
            ("[[]]", 1),
            ("[false,{}]", 2),
            ("[NaN,{}]", 2),
            (r#"["\ud800"]"#, 1),
            (r#"{"0":"spam","7":{}}"#, 2),
        ] {
            let (inventory, problems) = listing(call, list);
            let counted = inventory.as_ref().map(count);
            assert_eq!(counted, Some(items), "{} {list}", call.name());
            assert_eq!(problems.len(), 1, "{} {list}: {problems:?}", call.name());
        }
        for (no_list, problems) in [
            ("true", 1),
            ("false", 1),
            ("7", 1),
            (r#""spam""#, 1),
            ("[{},,{}]", 1),
        ] {
            let (inventory, found) = listing(call, no_list);
            assert_eq!((inventory, found.len()), (None, problems), "{no_list}");
        }
        for none in ["null", r#""""#, "[]", "{}"] {
            let (inventory, problems) = listing(call, none);
            assert_eq!(inventory.as_ref().map(count), Some(0), "{none}");
            assert_eq!(problems, [""; 0], "{none}");
        }
    }
}

#[test]
fn accepts_a_single_item_instead_of_a_list() {
    for (call, item) in [
        (
            Call::SnapshotList,
            r#"{"fileName":"snapshot-1-1790640000-2026-09-29-a.tar.gz","size":"7","sticky":false,"purgesIn":60}"#,
        ),
        (
            Call::BackupList,
            r#"{"backupToken":"x","size":7,"os":"y","timestamp":1790640000}"#,
        ),
        (
            Call::SuspensionDetails,
            r#"{"record_id":1,"flag":"spam","is_soft":0}"#,
        ),
        (
            Call::PolicyViolations,
            r#"{"record_id":1,"suspend_at":1790872800,"evidence":{"a":1}}"#,
        ),
        (
            Call::AuditLog,
            r#"{"timestamp":1790640000,"summary":"Login"}"#,
        ),
    ] {
        let (one, problems) = listing(call, item);
        let (listed, _) = listing(call, &format!("[{item}]"));
        assert_eq!((&one, problems), (&listed, vec![]), "{item}");
        let escaped = item.replace("\"record_id\"", "\"r\\u0065cord_id\"");
        let escaped = escaped.replace("\"timestamp\"", "\"t\\u0069mestamp\"");
        assert_eq!(listing(call, &escaped).0, listed, "{escaped}");
        assert_eq!(one.as_ref().map(count), Some(1), "{item}");
    }
}

#[test]
fn aggregates_are_unknown_if_an_item_is_invalid() {
    let (Some(Inventory::Backups(backups)), problems) = listing(
        Call::BackupList,
        r#"[{"size":7,"timestamp":1790640000},{"size":9,"timestamp":1790640000000}]"#,
    ) else {
        panic!("no backups");
    };
    let expected = Backups {
        count: 2,
        ..Backups::default()
    };
    assert_eq!((backups, problems), (expected, vec!["timestamp"]));
    let (Some(Inventory::Snapshots(snapshots)), problems) = listing(
        Call::SnapshotList,
        r#"[{"fileName":"snapshot-1-1790640000000-x","size":"1 GB","sticky":0,"purgesIn":2420441000}]"#,
    ) else {
        panic!("no snapshots");
    };
    let expected = Snapshots {
        count: 1,
        sticky: Some(0),
        ..Snapshots::default()
    };
    assert_eq!(
        (snapshots, problems),
        (expected, vec!["size", "fileName", "purgesIn"])
    );
    // Known deadlines count even if others are invalid.
    let (Some(Inventory::PolicyViolations(violations)), problems) = listing(
        Call::PolicyViolations,
        r#"[{"suspend_at":1790872800},{"suspend_at":1790872800000},{"suspend_at":0},"spam"]"#,
    ) else {
        panic!("no violations");
    };
    let expected = PolicyViolations {
        open: 4,
        deadline: Some(UnixSeconds(1_790_872_800)),
    };
    assert_eq!(
        (violations, problems),
        (expected, vec!["suspend_at", "policy_violations"])
    );
}

#[test]
fn abuse_points_identify_a_response_without_cases() {
    let none = br#"{"error":0,"total_abuse_points":0,"max_abuse_points":1000}"#;
    let decoded = read(Call::PolicyViolations, none).expect("valid response");
    let expected = Inventory::PolicyViolations(PolicyViolations::default());
    assert_eq!(decoded.payload, Payload::Inventory(Some(expected)));
    for call in LISTINGS {
        let other = br#"{"error":0,"violations":[{"record_id":1}],"cases":[]}"#;
        let error = read(call, other).expect_err("no known field");
        assert_eq!(error.reason, Reason::BadShape);
    }
}

proptest! {
    #[test]
    fn every_item_is_counted(items in prop::collection::vec(any_json(), 0..6), as_map in any::<bool>()) {
        let list = if as_map {
            serde_json::Value::Object(items.iter().enumerate().map(|(at, item)| (at.to_string(), item.clone())).collect())
        } else {
            items.clone().into()
        };
        for call in LISTINGS {
            let (inventory, problems) = listing(call, &list.to_string());
            let (count, length) = (inventory.as_ref().map(count), Some(items.len() as u64));
            let nested = items.iter().any(serde_json::Value::is_array);
            prop_assert!(count == length || (nested && count > length));
            let invalid = items.iter().any(|item| !item.is_object());
            prop_assert!(!invalid || !problems.is_empty());
        }
    }
}

#[test]
fn counts_backups_whose_tokens_are_named_like_fields() {
    for (backups, count) in [
        (r#"{"a":{"size":1},"record_id":{"size":2}}"#, 2),
        (
            r#"{"size":{"size":1},"flag":{"size":2},"timestamp":"x"}"#,
            3,
        ),
        (r#"{"size":1,"timestamp":2}"#, 1),
        (r#"{"size":1,"evidence_data":{}}"#, 1),
    ] {
        let body = format!("{{\"error\":0,\"backups\":{backups}}}");
        let decoded = read(Call::BackupList, body.as_bytes()).expect("valid response");
        let Payload::Inventory(Some(Inventory::Backups(known))) = decoded.payload else {
            panic!("{:?}", decoded.payload);
        };
        assert_eq!(known.count, count, "{backups}");
    }
}

#[test]
fn the_last_multiplier_of_a_duplicate_location_wins() {
    let body = br#"{"dataTransferMultipliers":{"USCA_2":1,"JPOS_1":2,"USCA\u005f2":3},"error":0}"#;
    let decoded = read(Call::MigrateLocations, body).expect("valid response");
    let expected = vec![("JPOS_1".to_owned(), 2.0), ("USCA_2".to_owned(), 3.0)];
    assert_eq!(
        decoded.payload,
        Payload::Inventory(Some(Inventory::Locations(expected)))
    );
}

#[test]
fn a_nested_list_of_objects_is_counted_by_its_items() {
    let case = |day: u32| {
        format!(
            "{{\"record_id\":{day},\"suspend_at\":{}}}",
            1_790_000_000 + day
        )
    };
    let [one, two, three] = [1, 2, 3].map(case);
    for (list, open, deadline) in [
        (format!("[[{one},{two}]]"), 2, Some(1_790_000_001)),
        (format!("[{three},[{one},{two}]]"), 3, Some(1_790_000_001)),
        (
            format!("{{\"items\":[{two},{three}]}}"),
            2,
            Some(1_790_000_002),
        ),
        (
            format!("{{\"record_id\":[{two},{three}]}}"),
            2,
            Some(1_790_000_002),
        ),
        ("[[1,1790000001,\"spam\"]]".to_owned(), 1, None),
        (format!("[[{one},,{two}]]"), 1, None),
    ] {
        let body = format!("{{\"error\":0,\"policy_violations\":{list}}}");
        let decoded = read(Call::PolicyViolations, body.as_bytes()).expect("valid response");
        assert_eq!(decoded.problems, ["policy_violations"], "{list}");
        let deadline = deadline.map(UnixSeconds);
        let expected = Inventory::PolicyViolations(PolicyViolations { open, deadline });
        assert_eq!(
            decoded.payload,
            Payload::Inventory(Some(expected)),
            "{list}"
        );
    }
}
