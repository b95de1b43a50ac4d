//! Every simulated response has the fields, their order and the types of the sample, and the headers of recorded ones.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::json;

use crate::exporter::http;
use crate::owner::Owner;
use crate::simulator::post;

/// JSON in the order in which it is written.
#[derive(Clone, Debug, PartialEq)]
enum Json {
    Null,
    Flag,
    Whole,
    Fraction,
    Text,
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Flag)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Whole)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Whole)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Fraction)
    }

    fn visit_str<E>(self, _: &str) -> Result<Json, E> {
        Ok(Json::Text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Json::Object(object))
    }
}

/// Maps from data to values: their names differ.
const MAPS: [&str; 7] = [
    "ptr",
    "ip_nullroutes",
    "backups",
    "evidence",
    "descriptions",
    "dataTransferMultipliers",
    "email_preferences",
];

/// The lines `path: type` of everything in a document. Items of lists and members of maps have one path, and so may have
/// several types.
fn types(json: &Json, path: &str, is_map: bool, found: &mut BTreeSet<String>) {
    let kind = match json {
        Json::Null => "null",
        Json::Flag => "flag",
        Json::Whole => "whole number",
        Json::Fraction => "fraction",
        Json::Text => "text",
        Json::List(items) => {
            for item in items {
                types(item, &format!("{path}[]"), false, found);
            }
            "list"
        }
        Json::Object(members) => {
            for (name, value) in members {
                let inner = if is_map {
                    format!("{path}.*")
                } else {
                    format!("{path}.{name}")
                };
                let twice = is_map && path == ".email_preferences";
                types(value, &inner, twice || MAPS.contains(&name.as_str()), found);
            }
            "object"
        }
    };
    found.insert(format!("{path}: {kind}"));
}

/// The names at the top, in order.
fn names(json: &Json) -> Vec<&str> {
    let Json::Object(members) = json else {
        panic!("it is no object: {json:?}");
    };
    members.iter().map(|(name, _)| name.as_str()).collect()
}

/// Lines that may be there or not, because it depends on what the VPS has and what happened to it: items, and null in place of
/// a value.
const OPTIONAL: [&str; 10] = [
    ".ptr.*: null",
    ".ptr.*: text",
    ".log_entries[].requestor_ipv4: null",
    ".private_ip_addresses[]: text",
    ".suspension_count: null",
    ".suspension_count: whole number",
    // Invented for the decoders: an empty group, of which nobody knows how the API writes it.
    ".email_preferences.*: list",
    ".email_preferences.*.*.s_value: text",
    ".available_ips[]: text",
    ".snapshots[].description: text",
];

fn parse(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The response has the shape of the sample.
fn assert_shape(call: &str, sample: &str, response: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/samples")
        .join(sample);
    let expected = parse(&std::fs::read_to_string(path).expect("the sample exists"));
    let found = parse(response);
    assert_eq!(names(&found), names(&expected), "{call}, {sample}");
    let of = |json: &Json| {
        let mut found = BTreeSet::new();
        types(json, "", false, &mut found);
        found.retain(|line| !OPTIONAL.contains(&line.as_str()));
        found
    };
    assert_eq!(
        of(&found),
        of(&expected),
        "{call}, {sample}: {response:.2000}"
    );
    assert!(
        !response.contains(['\n', '\r']),
        "{call}: PHP writes one line"
    );
    assert!(
        !response.replace("\\/", "").contains('/'),
        "{call}: PHP escapes slashes"
    );
}

/// Calls by GET, by POST of a form and by POST of a form in parts, whose responses are alike, and returns the last response.
async fn ask(owner: &Owner, call: &str) -> String {
    let url = format!("{}/v1/{call}", owner.simulator.url);
    let mut parts = String::new();
    for (name, value) in owner
        .form
        .split('&')
        .filter_map(|pair| pair.split_once('='))
    {
        let _ = write!(
            parts,
            "--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
    }
    let requests = [
        http().get(format!("{url}?{}", owner.form)),
        http()
            .post(&url)
            .header("content-type", "multipart/form-data; boundary=x")
            .body(parts + "--x--\r\n"),
        http()
            .post(&url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(owner.form.clone()),
    ];
    let mut bodies = Vec::new();
    for request in requests {
        let response = request.send().await.expect("it answers");
        assert_eq!(response.status(), 200, "{call}");
        assert_eq!(
            response.headers()["content-type"],
            "text/plain;charset=UTF-8",
            "{call}"
        );
        bodies.push(response.text().await.expect("it is text"));
    }
    let shape = |text: &String| {
        let mut found = BTreeSet::new();
        types(&parse(text), "", false, &mut found);
        found
    };
    assert!(
        bodies.iter().all(|body| shape(body) == shape(&bodies[0])),
        "{call}: {bodies:?}"
    );
    bodies.pop().expect("there are three")
}

#[tokio::test]
async fn responses_about_a_kvm_have_the_shape_of_recorded_ones() {
    let owner = Owner::of(1_000_001, &["--time-scale=20"]).await;
    for (call, sample) in [
        ("getServiceInfo", "service_info_kvm.json"),
        ("getLiveServiceInfo", "live_kvm_running.json"),
        ("getRawUsageStats", "raw_usage_stats_kvm.json"),
        ("getRateLimitStatus", "rate_limit_status.json"),
        ("getAuditLog", "audit_log.json"),
        ("getAvailableOS", "available_os.json"),
        ("getSshKeys", "ssh_keys.json"),
        ("getSuspensionDetails", "suspension_details_none.json"),
        ("getPolicyViolations", "policy_violations_none.json"),
        ("snapshot/list", "snapshot_list.json"),
        ("backup/list", "backup_list.json"),
        ("migrate/getLocations", "migrate_locations.json"),
        ("privateIp/getAvailableIps", "private_ips_available.json"),
        (
            "kiwivm/getNotificationPreferences",
            "notification_preferences.json",
        ),
    ] {
        assert_shape(call, sample, &ask(&owner, call).await);
    }
    owner.set("nullrouted", json!(true)).await;
    assert_shape(
        "getServiceInfo",
        "service_info_nullrouted.json",
        &ask(&owner, "getServiceInfo").await,
    );
    owner.set("suspension", json!(true)).await;
    assert_shape(
        "getSuspensionDetails",
        "suspension_details.json",
        &ask(&owner, "getSuspensionDetails").await,
    );
    assert_shape("getLiveServiceInfo", "live_kvm_suspended.json", &{
        owner.set("nullrouted", json!(false)).await;
        ask(&owner, "getLiveServiceInfo").await
    });
}

#[tokio::test]
async fn responses_about_other_vpses_have_the_shape_of_recorded_ones() {
    let stopped = Owner::of(1_000_004, &[]).await;
    assert_shape(
        "getLiveServiceInfo",
        "live_kvm_stopped.json",
        &ask(&stopped, "getLiveServiceInfo").await,
    );
    assert_shape(
        "stop",
        "error_not_running.json",
        &ask(&stopped, "stop").await,
    );
    let warned = Owner::of(1_000_002, &[]).await;
    assert_shape(
        "getPolicyViolations",
        "policy_violations.json",
        &ask(&warned, "getPolicyViolations").await,
    );
    let openvz = Owner::of(1_000_007, &[]).await;
    assert_shape(
        "getServiceInfo",
        "service_info_ovz.json",
        &ask(&openvz, "getServiceInfo").await,
    );
    assert_shape(
        "getLiveServiceInfo",
        "live_ovz.json",
        &ask(&openvz, "getLiveServiceInfo").await,
    );
    assert_shape(
        "getRawUsageStats",
        "raw_usage_stats_kvm.json",
        &ask(&openvz, "getRawUsageStats").await,
    );
    assert_shape(
        "snapshot/list",
        "snapshot_list_empty.json",
        &ask(&openvz, "snapshot/list").await,
    );
    openvz.done("stop", "").await;
    assert_shape(
        "getLiveServiceInfo",
        "live_ovz_stopped.json",
        &ask(&openvz, "getLiveServiceInfo").await,
    );
}

#[tokio::test]
async fn failures_have_the_shape_of_recorded_ones() {
    let locked = Owner::of(1_000_006, &[]).await;
    for call in [
        "getServiceInfo",
        "getRateLimitStatus",
        "migrate/getLocations",
        "start",
    ] {
        assert_shape(call, "error_locked.json", &ask(&locked, call).await);
    }
    let wrong = Owner {
        form: "veid=1000001&api_key=private_wrong".to_owned(),
        ..locked
    };
    assert_shape(
        "getServiceInfo",
        "error_auth.json",
        &ask(&wrong, "getServiceInfo").await,
    );
    let nothing = post(&wrong.simulator, "getServiceInfo", "api_key=private_test").await;
    assert_shape("getServiceInfo", "error_missing_param.json", &nothing);
}

#[tokio::test]
async fn a_multiplier_has_a_fraction_on_demand_only() {
    let owner = Owner::of(1_000_002, &[]).await;
    for _ in 0..2 {
        let service = owner.done("getServiceInfo", "").await;
        let locations = owner.done("migrate/getLocations", "").await;
        assert_eq!(service["node_location_id"], "USCA_9");
        assert!(service["monthly_data_multiplier"].is_u64(), "{service}");
        assert_eq!(locations["dataTransferMultipliers"]["USCA_9"], 1);
        owner
            .control(
                "faults",
                "[{kind: fractional_multiplier, first: 3}]".to_owned(),
            )
            .await;
        for call in ["getServiceInfo", "getLiveServiceInfo"] {
            assert_eq!(owner.done(call, "").await["monthly_data_multiplier"], 0.5);
        }
        let locations = owner.done("migrate/getLocations", "").await;
        assert_eq!(
            locations["dataTransferMultipliers"],
            json!({"USCA_2": 1, "USCA_9": 0.5, "USNY_2": 1, "EUNL_3": 1})
        );
    }
}

#[tokio::test]
async fn pages_that_are_no_responses_say_that_they_are_html() {
    let owner = Owner::of(1_000_001, &[]).await;
    for kind in ["html", "http500", "rate_limited"] {
        owner.control("faults", format!("[{{kind: {kind}}}]")).await;
        let url = format!("{}/v1/getServiceInfo?{}", owner.simulator.url, owner.form);
        let response = http().get(url).send().await.expect("it answers");
        assert_eq!(
            response.headers()["content-type"],
            "text/html; charset=UTF-8",
            "{kind}"
        );
    }
}
