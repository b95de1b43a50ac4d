//! Simulator calls that change something, and the read calls that show the change.

use serde_json::{Value, json};

use crate::exporter::http;
use crate::owner::Owner;
use crate::simulator::{post, set_key};

const LOCKED: u64 = 788_888;

fn is_open(response: &Value) -> bool {
    response["error"] == 0
}

#[tokio::test]
async fn a_stop_changes_status_and_audit_log_and_cannot_be_repeated() {
    let owner = Owner::of(1_000_001, &["--time-scale=20"]).await;
    let entries = async || {
        let log = owner.done("getAuditLog", "").await;
        let log = log["log_entries"].as_array().expect("it is a list").clone();
        assert!(log.is_sorted_by_key(|entry| entry["timestamp"].as_i64()));
        log
    };
    let before = entries().await;
    let requestors: Vec<_> = before
        .iter()
        .map(|entry| &entry["requestor_ipv4"])
        .collect();
    assert!(requestors.contains(&&Value::Null) && requestors.contains(&&json!(0)));

    owner.done("stop", "").await;
    let live = owner.done("getLiveServiceInfo", "").await;
    assert_eq!(live["ve_status"], "stopped");
    assert!(live["ssh_port"].is_null() && live["load_average"].is_null());
    assert_eq!(owner.truth().await["status"], "stopped");
    assert_eq!(owner.call("stop", "").await["error"], 700_000);
    assert_eq!(
        owner.call("basicShell/exec", "command=true").await["error"],
        700_000
    );

    let log = entries().await;
    let summaries: Vec<_> = log[before.len()..]
        .iter()
        .filter_map(|entry| entry["summary"].as_str())
        .collect();
    assert_eq!(summaries[..2], ["Command received: stop", "VM stopped"]);
    let truth = owner.truth().await;
    assert_eq!(truth["audit_entries"], log.len());
    assert_eq!(truth["audit_newest"], log[log.len() - 1]["timestamp"]);

    owner.done("start", "").await;
    assert_eq!(owner.call("start", "").await["error"], 700_003);
    let running = |response: &Value| response["ve_status"] == "running";
    owner.until("getLiveServiceInfo", running).await;
}

#[tokio::test]
async fn a_snapshot_is_created_made_sticky_restored_and_deleted() {
    let owner = Owner::of(1_000_001, &["--time-scale=200"]).await;
    let before = owner.truth().await["snapshots"].clone();
    let response = owner
        .get("snapshot/create", "description=before%20it")
        .await;
    assert_eq!(response["notificationEmail"], "owner@example.com");
    let locked = owner.call("getServiceInfo", "").await;
    assert_eq!(locked["error"], LOCKED);
    assert_eq!(locked["additionalErrorInfo"], "Snapshot: before it");
    assert!(locked["additionalLockingInfo"]["completed_percent"].is_u64());
    assert_eq!(owner.truth().await["locked"], true);

    let list = owner.until("snapshot/list", is_open).await;
    let list = list["snapshots"].as_array().expect("it is a list");
    assert_eq!(json!(list.len() - 1), before);
    let made = list.last().expect("there are some");
    assert_eq!(made["description"], "before it");
    assert_eq!(made["sticky"], false);
    let purges_in = made["purgesIn"].as_i64().expect("it is a number");
    // Thirty simulated days in wall-clock time.
    assert!((12_900..=12_960).contains(&purges_in), "{purges_in}");
    let truth = owner.truth().await;
    let sizes = list.iter().map(|snapshot| {
        let size = snapshot["size"].as_str().expect("it is text");
        size.parse::<u64>().expect("it is digits")
    });
    assert_eq!(truth["snapshots_size"], sizes.sum::<u64>());
    let name = made["fileName"].as_str().expect("it is text");
    let created = &truth["snapshot_newest"];
    assert!(
        name.starts_with(&format!("snapshot-1000001-{created}-2")),
        "{name}"
    );
    assert!(
        made["downloadLinkSSL"]
            .as_str()
            .is_some_and(|link| link.ends_with(name))
    );

    let sticky = truth["snapshots_sticky"].as_u64().expect("it is a number");
    let parameter = format!("snapshot={name}");
    owner
        .done("snapshot/toggleSticky", &format!("{parameter}&sticky=1"))
        .await;
    let list = owner.done("snapshot/list", "").await;
    let kept = list["snapshots"]
        .as_array()
        .expect("it is a list")
        .last()
        .cloned();
    let kept = kept.expect("it is there");
    assert_eq!(
        (&kept["sticky"], &kept["purgesIn"]),
        (&json!(true), &json!(0))
    );
    assert_eq!(owner.truth().await["snapshots_sticky"], sticky + 1);

    owner.done("snapshot/restore", &parameter).await;
    assert_eq!(owner.call("getRateLimitStatus", "").await["error"], LOCKED);
    owner.until("getServiceInfo", is_open).await;
    owner.done("snapshot/delete", &parameter).await;
    assert_eq!(owner.truth().await["snapshots"], before);
    let gone = owner.call("snapshot/delete", &parameter).await;
    assert_eq!(
        (&gone["error"], &gone["message"]),
        (&json!(1), &json!("Snapshot not found"))
    );
}

#[tokio::test]
async fn a_snapshot_is_exported_and_imported_by_token() {
    let owner = Owner::of(1_000_001, &["--time-scale=200"]).await;
    let other = 1_000_007;
    let key = set_key(&owner.simulator, other).await;
    let list = owner.done("snapshot/list", "").await;
    let name = list["snapshots"][0]["fileName"]
        .as_str()
        .expect("there is one");
    let token = owner
        .done("snapshot/export", &format!("snapshot={name}"))
        .await;
    let token = token["token"].as_str().expect("there is one").to_owned();
    let other = Owner {
        form: format!("veid={other}&api_key={key}"),
        veid: other,
        simulator: owner.simulator,
    };
    assert_eq!(
        other.done("snapshot/list", "").await["snapshots"],
        json!([])
    );
    let wrong = other
        .call("snapshot/import", "sourceVeid=1000001&sourceToken=x")
        .await;
    assert_eq!(wrong["error"], 1);
    let parameters = format!("sourceVeid=1000001&sourceToken={token}");
    other.done("snapshot/import", &parameters).await;
    let list = other.until("snapshot/list", is_open).await;
    let imported = &list["snapshots"][0];
    assert!(
        imported["fileName"]
            .as_str()
            .is_some_and(|name| name.starts_with("snapshot-1000007-")),
        "{imported}"
    );
    assert_eq!(imported["description"], "before-upgrade");
}

#[tokio::test]
async fn a_migration_changes_the_location_and_every_address() {
    let owner = Owner::of(1_000_002, &["--time-scale=300"]).await;
    let before = owner.done("getServiceInfo", "").await;
    assert_eq!(before["node_location_id"], "USCA_9");
    let locations = owner.done("migrate/getLocations", "").await;
    assert_eq!(locations["currentLocation"], "USCA_9");
    owner.set("nullrouted", json!(true)).await;

    let response = owner.done("migrate/start", "location=EUNL_3").await;
    let locked = owner.call("migrate/getLocations", "").await;
    assert_eq!(locked["error"], LOCKED);
    assert_eq!(locked["additionalErrorInfo"], "Migration: EUNL_3");
    let after = owner.until("getServiceInfo", is_open).await;
    assert_eq!(after["node_location_id"], "EUNL_3");
    assert_eq!(after["monthly_data_multiplier"], 1);
    assert_eq!(after["ip_addresses"], response["newIps"]);
    assert_ne!(after["ip_addresses"][0], before["ip_addresses"][0]);
    assert_eq!(after["ip_nullroutes"], json!([]));
    assert_eq!(owner.truth().await["location"], "EUNL_3");
}

#[tokio::test]
async fn a_suspension_is_listed_and_a_soft_one_can_be_cleared() {
    let owner = Owner::of(1_000_001, &["--time-scale=20"]).await;
    let none = owner.done("getSuspensionDetails", "").await;
    assert!(none["suspensions"].is_null() && none["evidence"].is_null());
    assert!(none["suspension_count"].is_null());
    owner.set("suspension", json!(true)).await;
    let service = owner.done("getServiceInfo", "").await;
    assert_eq!(service["suspended"], true);
    assert_eq!(service["total_abuse_points"], 100);
    let details = owner.done("getSuspensionDetails", "").await;
    assert_eq!(details["suspension_count"], 1);
    let case = &details["suspensions"][0];
    let evidence = case["evidence_record_id"].to_string();
    assert!(details["evidence"][evidence].is_string(), "{details}");
    let truth = owner.truth().await;
    assert_eq!(
        (&truth["suspension_cases_clearable"], &truth["status"]),
        (&json!(1), &json!("stopped"))
    );
    assert_eq!(owner.call("start", "").await["error"], 1);

    let record = format!("record_id={}", case["record_id"]);
    owner.done("unsuspend", &record).await;
    assert_eq!(owner.call("unsuspend", &record).await["error"], 1);
    let service = owner.done("getServiceInfo", "").await;
    assert_eq!(
        (&service["suspended"], &service["suspension_count"]),
        (&json!(false), &json!(1))
    );
    owner
        .until("getLiveServiceInfo", |live| live["ve_status"] == "running")
        .await;

    owner.set("suspension", json!("hard")).await;
    let details = owner.done("getSuspensionDetails", "").await;
    let record = format!("record_id={}", details["suspensions"][0]["record_id"]);
    assert_eq!(owner.call("unsuspend", &record).await["error"], 1);
    assert_eq!(owner.truth().await["suspension_cases_not_clearable"], 1);
}

#[tokio::test]
async fn a_vps_suspended_for_bandwidth_has_no_case() {
    let owner = Owner::of(1_000_005, &[]).await;
    assert_eq!(owner.done("getServiceInfo", "").await["suspended"], true);
    let details = owner.done("getSuspensionDetails", "").await;
    assert!(details["suspensions"].is_null());
    assert_eq!(details["suspension_count"], 1);
}

#[tokio::test]
async fn a_policy_violation_is_resolved_or_ends_in_a_suspension() {
    let owner = Owner::of(1_000_002, &[]).await;
    assert_eq!(
        owner.done("getServiceInfo", "").await["policy_violation"],
        true
    );
    let open = owner.done("getPolicyViolations", "").await;
    let case = &open["policy_violations"][0];
    assert_eq!(
        case["suspend_at"],
        owner.truth().await["policy_violation_deadline"]
    );
    let record = format!("record_id={}", case["record_id"]);
    owner.done("resolvePolicyViolation", &record).await;
    let none = owner.done("getPolicyViolations", "").await;
    assert!(none["policy_violations"].is_null());
    assert_eq!(none["total_abuse_points"], 100);
    assert_eq!(
        owner.done("getServiceInfo", "").await["policy_violation"],
        false
    );

    // Halt, so that the deadline does not pass before the assertions.
    owner.control("halt", "true".to_owned()).await;
    owner.set("policy_violation", json!(1)).await;
    let truth = owner.truth().await;
    assert_eq!(
        (&truth["policy_violations"], &truth["suspended"]),
        (&json!(1), &json!(false))
    );
    owner.control("halt", "false".to_owned()).await;
    let suspended = |service: &Value| service["suspended"] == true;
    owner.until("getServiceInfo", suspended).await;
    let details = owner.done("getSuspensionDetails", "").await;
    assert_eq!(details["suspensions"][0]["is_soft"], 1);
    assert_eq!(owner.truth().await["policy_violations"], 0);
}

#[tokio::test]
async fn a_reinstallation_changes_the_operating_system() {
    let owner = Owner::of(1_000_001, &["--time-scale=300"]).await;
    let available = owner.done("getAvailableOS", "").await;
    assert_eq!(available["installed"], "debian-12-x86_64");
    let templates = available["templates"].as_array().expect("it is a list");
    assert!(templates.contains(&json!("debian-13-x86_64")));
    let response = owner.done("reinstallOS", "os=debian-13-x86_64").await;
    assert!(response["rootPassword"].is_string() && response["sshPort"].is_u64());
    assert_eq!(owner.call("getAvailableOS", "").await["error"], LOCKED);
    let service = owner.until("getServiceInfo", is_open).await;
    assert_eq!(service["os"], "debian-13-x86_64");
    owner
        .until("getLiveServiceInfo", |live| live["ve_status"] == "running")
        .await;
}

#[tokio::test]
async fn a_missing_parameter_is_an_error_for_get_and_post() {
    let owner = Owner::of(1_000_001, &[]).await;
    for call in [
        "snapshot/delete",
        "migrate/start",
        "unsuspend",
        "basicShell/exec",
    ] {
        assert_eq!(owner.call(call, "").await["error"], 700_001, "{call}");
        assert_eq!(owner.get(call, "").await["error"], 700_001, "{call}");
    }
}

#[tokio::test]
async fn a_nullroute_is_added_and_removed() {
    let owner = Owner::of(1_000_001, &[]).await;
    let service = async || owner.done("getServiceInfo", "").await;
    assert_eq!(service().await["ip_nullroutes"], json!([]));
    owner.set("nullrouted", json!(true)).await;
    let response = service().await;
    let address = response["ip_addresses"][0].as_str().expect("there is one");
    let route = &response["ip_nullroutes"][address];
    assert!(route["nullroute_timestamp"].is_i64() && route["nullroute_duration_s"].is_i64());
    assert!(
        route["log"]
            .as_str()
            .is_some_and(|log| log.contains(address))
    );
    assert_eq!(owner.truth().await["nullrouted"], 1);
    owner.set("nullrouted", json!(false)).await;
    assert_eq!(service().await["ip_nullroutes"], json!([]));
}

#[tokio::test]
async fn shells_accept_get_post_and_multipart() {
    let owner = Owner::of(1_000_001, &[]).await;
    let posted = owner.call("basicShell/exec", "command=echo+a%26b").await;
    assert_eq!(
        (&posted["error"], &posted["message"]),
        (&json!(0), &json!("a&b\n"))
    );
    let got = owner.get("basicShell/exec", "command=exit%203").await;
    assert_eq!(got["error"], 3);
    let moved = owner
        .get("basicShell/cd", "currentDir=/root&newDir=..")
        .await;
    assert_eq!(moved["pwd"], "/");
    let part = |name: &str, value: &str| {
        format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let parts = [
        part("veid", "1000001"),
        part("api_key", "private_test"),
        part("script", "ls --all\nexit 0"),
    ];
    let response = http()
        .post(format!("{}/v1/shellScript/exec", owner.simulator.url))
        .header("content-type", "multipart/form-data; boundary=B")
        .body(format!("{}--B--\r\n", parts.concat()))
        .send()
        .await
        .expect("it responds");
    let response: Value =
        serde_json::from_str(&response.text().await.expect("it is text")).expect("it is JSON");
    assert!(
        response["log"]
            .as_str()
            .is_some_and(|log| log.starts_with("shellscript-")),
        "{response}"
    );
}

#[tokio::test]
async fn settings_can_be_changed_and_read_back() {
    let owner = Owner::of(1_000_001, &[]).await;
    let service = async || owner.done("getServiceInfo", "").await;
    let address = service().await["ip_addresses"][0].clone();
    let address = address.as_str().expect("there is one");
    owner.done("setHostname", "newHostname=b.example.com").await;
    owner
        .done("setPTR", &format!("ip={address}&ptr=c.example.com"))
        .await;
    let assigned = owner.done("privateIp/assign", "").await;
    owner.done("ipv6/add", "").await;
    let after = service().await;
    assert_eq!(after["hostname"], "b.example.com");
    assert_eq!(after["ptr"][address], "c.example.com");
    assert_eq!(after["private_ip_addresses"], assigned["assigned_ips"]);
    assert_eq!(after["ip_addresses"].as_array().map(Vec::len), Some(3));
    let available = owner.done("privateIp/getAvailableIps", "").await;
    let available = available["available_ips"].as_array().expect("it is a list");
    assert!(!available.contains(&assigned["assigned_ips"][0]));

    owner
        .done("updateSshKeys", "ssh_keys=ssh-ed25519+AAAA+x")
        .await;
    let keys = owner.done("getSshKeys", "").await;
    assert_eq!(
        (&keys["ssh_keys_veid"], &keys["ssh_keys_preferred"]),
        (&json!("ssh-ed25519 AAAA x"), &json!("ssh-ed25519 AAAA x"))
    );
    let preferences = "json_notification_preferences=%7B%22bw_80%22%3A0%7D";
    owner
        .done("kiwivm/setNotificationPreferences", preferences)
        .await;
    let preferences = owner.done("kiwivm/getNotificationPreferences", "").await;
    let alert = &preferences["email_preferences"]["Bandwidth Alerts"]["bw_80"];
    assert_eq!(alert["is_enabled"], 0);
    let news = &preferences["email_preferences"]["Miscellaneous"]["news"];
    assert_eq!(
        (&news["is_enabled"], &news["changed_timestamp"]),
        (&json!(1), &json!(0))
    );

    assert_eq!(
        owner
            .call("iso/mount", "iso=systemrescue-12.01-amd64.iso")
            .await["error"],
        1
    );
    owner.done("stop", "").await;
    owner
        .done("iso/mount", "iso=systemrescue-12.01-amd64.iso")
        .await;
    assert_eq!(service().await["iso1"], "systemrescue-12.01-amd64.iso");
    owner.done("iso/unmount", "").await;
    assert_eq!(service().await["iso1"], "");
}

#[tokio::test]
async fn backups_are_a_map_and_can_become_snapshots() {
    let owner = Owner::of(1_000_002, &["--time-scale=200"]).await;
    let backups = owner.done("backup/list", "").await;
    let backups = backups["backups"].as_object().expect("it is a map");
    let truth = owner.truth().await;
    assert_eq!(truth["backups"], backups.len());
    let newest = backups
        .iter()
        .max_by_key(|(_, backup)| backup["timestamp"].as_i64())
        .expect("there are some");
    assert_eq!(truth["backup_newest"], newest.1["timestamp"]);
    assert_eq!(truth["backup_newest_size"], newest.1["size"]);
    assert_eq!(truth["snapshots"], 0);
    owner
        .done(
            "backup/copyToSnapshot",
            &format!("backupToken={}", newest.0),
        )
        .await;
    let list = owner.until("snapshot/list", is_open).await;
    assert_eq!(list["snapshots"][0]["size"], newest.1["size"].to_string());

    let other = set_key(&owner.simulator, 1_000_007).await;
    let none = post(
        &owner.simulator,
        "backup/list",
        &format!("veid=1000007&api_key={other}"),
    )
    .await;
    assert_eq!(none, "{\"error\":0,\"backups\":[]}");
}
