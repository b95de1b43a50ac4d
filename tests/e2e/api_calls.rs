//! Requests sent to the API: one for each collected call, no other, and never one that changes anything.

use std::collections::BTreeSet;

use kiwivm_exporter::kiwivm::Call;
use serde_json::Value;

use crate::exporter::{Exporter, config, get, run_without_blocking};
use crate::mock::{Mock, Reply};
use crate::page::Page;
use crate::polled_vps::{PolledVps, owner, successes, yaml};

/// The read calls of the API that the exporter uses.
const READS: [&str; 10] = [
    "backup/list",
    "getAuditLog",
    "getLiveServiceInfo",
    "getPolicyViolations",
    "getRateLimitStatus",
    "getRawUsageStats",
    "getServiceInfo",
    "getSuspensionDetails",
    "migrate/getLocations",
    "snapshot/list",
];

/// Every call of the API that changes something or runs something in the guest.
const CHANGES: [&str; 30] = [
    "start",
    "stop",
    "restart",
    "kill",
    "reinstallOS",
    "resetRootPassword",
    "updateSshKeys",
    "setHostname",
    "setPTR",
    "iso/mount",
    "iso/unmount",
    "basicShell/cd",
    "basicShell/exec",
    "shellScript/exec",
    "snapshot/delete",
    "snapshot/restore",
    "snapshot/toggleSticky",
    "snapshot/export",
    "snapshot/import",
    "backup/copyToSnapshot",
    "ipv6/add",
    "ipv6/delete",
    "migrate/start",
    "cloneFromExternalServer",
    "unsuspend",
    "resolvePolicyViolation",
    "privateIp/assign",
    "privateIp/delete",
    "kiwivm/setNotificationPreferences",
    // Last, because it succeeds without a parameter and locks the VPS, which would fail the other calls.
    "snapshot/create",
];

#[tokio::test]
async fn the_table_of_calls_has_only_read_calls() {
    let names: BTreeSet<&str> = Call::ALL.iter().map(|call| call.name()).collect();
    assert_eq!(names, BTreeSet::from(READS));
    let owner = owner(1_000_001, 1, &[]).await;
    owner.control("halt", "true".to_owned()).await;
    let truth = async || {
        let mut truth = owner.truth().await;
        let members = truth.as_object_mut().expect("it is an object");
        // These follow the wall clock, which is not halted, and the calls themselves.
        members.retain(|name, _| !["usage_rows", "points"].contains(&name.as_str()));
        truth
    };
    let before = truth().await;
    for read in READS {
        owner.done(read, "").await;
    }
    assert_eq!(truth().await, before);
    for change in CHANGES {
        assert!(!names.contains(change), "{change}");
        // The simulator knows each of these calls: an unknown call gets another response.
        let response = owner.call(change, "").await;
        assert!(response["error"].is_number(), "{change}: {response}");
        assert_ne!(response["error"], 788_888, "{change}");
    }
}

#[tokio::test]
async fn every_request_is_a_post_of_a_read_call() {
    let mock = Mock::start([1]).await;
    mock.plenty_of_points(1);
    let more = "intervals: {live: 90s, usage: 90s, points: 90s, inventory: 90s}\ncollect: {audit: true, locations: true}\n";
    let (_folder, flag) = config(&yaml(&mock.endpoint, 1, more));
    let exporter = Exporter::start(&["--simulator.time-scale=300", &flag]);
    let lines = |calls: &[&str]| -> BTreeSet<String> {
        let line = |call: &&str| format!("POST /v1/{call} HTTP/1.1");
        calls.iter().map(line).collect()
    };
    let requested = || -> BTreeSet<String> {
        let requests = mock.requests().into_iter();
        requests.map(|request| request.line).collect()
    };
    let all = |page: &Page| {
        READS
            .iter()
            .all(|call| *call == "getServiceInfo" || successes(page, call) >= 1.0)
    };
    exporter.wait_for("every call is made", all).await;
    let without_service: Vec<_> = READS
        .into_iter()
        .filter(|call| *call != "getServiceInfo")
        .collect();
    assert_eq!(requested(), lines(&without_service));
    // Service info is only requested if the live call fails.
    mock.reply(1, "getLiveServiceInfo", Reply::Status(502, ""));
    exporter
        .wait_for("service info is requested", |page| {
            successes(page, "getServiceInfo") >= 1.0
        })
        .await;
    assert_eq!(requested(), lines(&READS));

    // A redirect may point anywhere.
    mock.reply_to_everything(1, Reply::Status(307, "/v1/stop"));
    let redirected = |page: &Page| {
        let refused = [("reason", "http_status")];
        page.series("kiwivm_poll_errors_total", &refused).count() >= 9
    };
    exporter
        .wait_for("everything is redirected", redirected)
        .await;
    mock.recover(1);
    drop(exporter);
    for command in [
        &["once"][..],
        &["check"],
        &["backfill", "--output=-"],
        &["plan"],
        &["--config.check"],
    ] {
        let output = run_without_blocking(&[command, &[flag.as_str()]].concat()).await;
        assert!(output.status.success(), "{command:?}: {output:?}");
    }
    assert_eq!(requested(), lines(&READS));
}

/// Calls and metrics that a switch of `collect` enables.
type Brings = (&'static [&'static str], &'static [&'static str]);

const SWITCHES: [(&str, Brings); 5] = [
    ("snapshots", (&["snapshot/list"], &["kiwivm_snapshot"])),
    ("backups", (&["backup/list"], &["kiwivm_backup"])),
    (
        "policy",
        (
            &["getPolicyViolations", "getSuspensionDetails"],
            // Service info reports open cases and the number of suspensions even without these calls.
            &["kiwivm_policy_violations", "kiwivm_suspension_cases"],
        ),
    ),
    ("audit", (&["getAuditLog"], &["kiwivm_audit"])),
    (
        "locations",
        (&["migrate/getLocations"], &["kiwivm_location"]),
    ),
];

#[tokio::test]
async fn disabled_collectors_make_no_calls_and_have_no_series() {
    let intervals = "intervals: {live: 90s, usage: 90s, points: 90s, inventory: 90s}\n";
    let inventory = Call::INVENTORY.map(Call::name);
    for switched_on in [None, Some("snapshots"), Some("policy"), Some("audit")] {
        let switches = SWITCHES.map(|(name, _)| format!("{name}: {}", Some(name) == switched_on));
        let collect = format!("collect: {{{}}}\n", switches.join(", "));
        let watched = PolledVps::start(1_000_001, 300, &format!("{intervals}{collect}")).await;
        let wanted = SWITCHES
            .iter()
            .filter(|(name, _)| Some(*name) == switched_on)
            .flat_map(|(_, (calls, _))| *calls);
        // Usage is polled as often as inventory.
        for call in wanted.clone() {
            watched
                .wait_for(call, |page| successes(page, call) >= 1.0)
                .await;
        }
        let page = watched.wait_for_polls("getRawUsageStats", 3.0).await;
        let calls = get(&format!("{}/_simulator/calls", watched.owner.simulator.url)).await;
        let calls: Value = serde_json::from_str(&calls).expect("it is JSON");
        let mut made: Vec<&str> = calls
            .as_array()
            .expect("it is a list")
            .iter()
            .filter_map(|call| call["call"].as_str())
            .filter(|call| inventory.contains(call))
            .collect();
        made.sort_unstable();
        made.dedup();
        assert_eq!(made, wanted.copied().collect::<Vec<_>>(), "{collect}");
        let metrics = page.metrics_of("one");
        for (name, (_, prefixes)) in SWITCHES {
            let some = |prefix: &&str| metrics.iter().any(|metric| metric.starts_with(*prefix));
            let on = Some(name) == switched_on;
            assert!(
                prefixes.iter().all(|prefix| some(prefix) == on),
                "{name}: {metrics:?}"
            );
        }
    }
}
