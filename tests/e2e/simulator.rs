//! The simulator's API: response formats, faults and points.

use std::collections::BTreeSet;
use std::fs::File;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::exporter::{Exporter, PROGRAM, get, http, run, write};

/// A simulator with the demo's account. The URL is that of the API without its path.
pub fn simulator(arguments: &[&str]) -> Exporter {
    let mut command = Command::new(PROGRAM);
    command
        .stdout(Stdio::null())
        .args(["simulate", "--listen=127.0.0.1:0", "--log.format=json"])
        .args(arguments);
    Exporter::wait_for_line(command, |line| {
        let line: Value = serde_json::from_str(line).ok()?;
        line["endpoint"]
            .as_str()
            .map(|endpoint| endpoint.trim_end_matches("/v1").to_owned())
    })
}

/// Sets a key that the simulator accepts. The generated ones are only on its standard output.
pub async fn set_key(simulator: &Exporter, veid: u64) -> &'static str {
    let body = format!("{{\"veid\":{veid},\"api_key\":\"private_test\"}}");
    control(simulator, "vps", &body).await;
    "private_test"
}

/// Causes a change that no call can make.
pub async fn control(simulator: &Exporter, route: &str, body: &str) {
    let request = http().post(format!("{}/_simulator/{route}", simulator.url));
    let response = request.body(body.to_owned()).send().await;
    let response = response.expect("it responds");
    let status = response.status();
    assert!(status.is_success(), "{:?}", response.text().await);
}

pub async fn post(simulator: &Exporter, call: &str, form: &str) -> String {
    http()
        .post(format!("{}/v1/{call}", simulator.url))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.to_owned())
        .send()
        .await
        .expect("it responds")
        .text()
        .await
        .expect("it is text")
}

#[tokio::test]
async fn get_and_post_return_the_same_documented_format() {
    let simulator = simulator(&[]);
    let key = set_key(&simulator, 1_000_001).await;
    let form = format!("veid=1000001&api_key={key}");
    let posted = post(&simulator, "getLiveServiceInfo", &form).await;
    let got = get(&format!("{}/v1/getLiveServiceInfo?{form}", simulator.url)).await;
    let keys = |text: &str| -> Vec<String> {
        let value: Value = serde_json::from_str(text).expect("it is JSON");
        value
            .as_object()
            .expect("it is an object")
            .keys()
            .cloned()
            .collect()
    };
    assert_eq!(keys(&posted), keys(&got));
    assert!(
        posted.starts_with("{\"vm_type\":\"kvm\",\"ve_status\":\"running\",\"ve_mac1\":"),
        "{posted}"
    );
    assert!(
        posted.ends_with(",\"error\":0,\"veid\":1000001}"),
        "{posted}"
    );
    for quirk in [
        "\"is_cpu_throttled\":\"\"",
        "\"ve_disk_quota_gb\":\"20\"",
        "\"ip_nullroutes\":[]",
        "Transit\\/Mixed",
    ] {
        assert!(posted.contains(quirk), "{quirk} in {posted}");
    }
    let calls: Value =
        serde_json::from_str(&get(&format!("{}/_simulator/calls", simulator.url)).await)
            .expect("it is JSON");
    assert_eq!(
        (&calls[0]["key_in_url"], &calls[1]["key_in_url"]),
        (&Value::Bool(false), &Value::Bool(true))
    );
}

#[tokio::test]
async fn every_read_call_of_the_api_has_a_response() {
    let simulator = simulator(&[]);
    let key = set_key(&simulator, 1_000_001).await;
    let form = format!("veid=1000001&api_key={key}");
    for call in [
        "getServiceInfo",
        "getLiveServiceInfo",
        "getRawUsageStats",
        "getRateLimitStatus",
        "getUsageGraphs",
        "getAuditLog",
        "getAvailableOS",
        "getSshKeys",
        "getSuspensionDetails",
        "getPolicyViolations",
        "snapshot/list",
        "backup/list",
        "migrate/getLocations",
        "privateIp/getAvailableIps",
        "kiwivm/getNotificationPreferences",
    ] {
        let response: Value =
            serde_json::from_str(&post(&simulator, call, &form).await).expect(call);
        assert_eq!(response["error"], 0, "{call}");
    }
}

#[tokio::test]
async fn wrong_credentials_get_the_errors_of_the_api() {
    let simulator = simulator(&[]);
    for (form, code) in [
        ("veid=1000001&api_key=wrong", "700005"),
        ("veid=1&api_key=x", "700005"),
        ("api_key=x", "700001"),
        ("", "700001"),
    ] {
        assert!(
            post(&simulator, "getServiceInfo", form)
                .await
                .contains(code),
            "{form}"
        );
    }
    let key = set_key(&simulator, 1_000_006).await;
    let locked = post(
        &simulator,
        "getServiceInfo",
        &format!("veid=1000006&api_key={key}"),
    )
    .await;
    assert!(
        locked.contains("\"error\":788888") && locked.contains("completed_percent"),
        "{locked}"
    );
}

#[tokio::test]
async fn a_stop_and_a_start_change_the_status() {
    let simulator = simulator(&["--time-scale=100"]);
    let key = set_key(&simulator, 1_000_001).await;
    let form = format!("veid=1000001&api_key={key}");
    post(&simulator, "stop", &form).await;
    assert!(
        post(&simulator, "getLiveServiceInfo", &form)
            .await
            .contains("\"ve_status\":\"stopped\"")
    );
    post(&simulator, "start", &form).await;
    let live = post(&simulator, "getLiveServiceInfo", &form).await;
    assert!(
        live.contains("\"ve_status\":\"starting\"") || live.contains("\"ve_status\":\"running\""),
        "{live}"
    );
}

#[tokio::test]
async fn faults_are_injected_on_demand() {
    let folder = tempfile::TempDir::new().expect("disk is writable");
    let file = crate::exporter::write(
        folder.path(),
        "faults.yaml",
        "[{call: getServiceInfo, kind: html}, {veid: 1000001, kind: http500}]",
    );
    let simulator = simulator(&[&format!("--faults={file}")]);
    assert!(
        post(&simulator, "getServiceInfo", "")
            .await
            .starts_with("<!DOCTYPE")
    );
    assert!(
        post(&simulator, "getRateLimitStatus", "veid=1000001&api_key=x")
            .await
            .contains("Sorry")
    );
    set_faults(&simulator, "[]").await;
    assert!(
        post(&simulator, "getServiceInfo", "")
            .await
            .contains("700001")
    );
}

/// The reading of a VPS.
async fn reading(simulator: &Exporter, veid: u64) -> Value {
    let form = format!("veid={veid}&api_key=private_test");
    let text = post(simulator, "getRateLimitStatus", &form).await;
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))
}

async fn set_faults(simulator: &Exporter, faults: &str) {
    let set = http()
        .post(format!("{}/_simulator/faults", simulator.url))
        .body(faults.to_owned())
        .send()
        .await;
    assert!(set.expect("it responds").status().is_success());
}

#[tokio::test]
async fn faulty_readings_are_injected_on_demand() {
    let simulator = simulator(&["--points.sizes=60,5000", "--vps=2"]);
    for veid in [1_000_001, 1_000_002] {
        set_key(&simulator, veid).await;
    }
    let expected_reading = |quarter: Value, day: Value| json!({"error": 0, "remaining_points_15min": quarter, "remaining_points_24h": day});
    set_faults(
        &simulator,
        "[{kind: constant_points, points: [1, 20000], first: 1}]",
    )
    .await;
    for (veid, expected) in [
        (1_000_001, expected_reading(json!(1), json!(20_000))),
        (1_000_002, expected_reading(json!(1), json!(20_000))),
        // Each of the two readings cost a point.
        (1_000_001, expected_reading(json!(58), json!(4998))),
    ] {
        assert_eq!(reading(&simulator, veid).await, expected);
    }
    // Every reading costs a point, whatever it reports.
    for (kind, expected) in [
        ("constant", expected_reading(json!(60), json!(5000))),
        ("null", expected_reading(Value::Null, Value::Null)),
        ("text", expected_reading(json!("plenty"), json!("plenty"))),
        ("negative", expected_reading(json!(-1), json!(-1))),
        ("fractional", expected_reading(json!(53.5), json!(4993.5))),
        ("missing", json!({"error": 0})),
    ] {
        set_faults(&simulator, &format!("[{{\"kind\": \"{kind}_points\"}}]")).await;
        assert_eq!(reading(&simulator, 1_000_001).await, expected, "{kind}");
    }
}

#[tokio::test]
async fn random_readings_depend_on_the_seed() {
    let folder = tempfile::TempDir::new().expect("disk is writable");
    let file = write(
        folder.path(),
        "faults.yaml",
        "[{veid: 1000001, kind: noisy_points, points: [5, 50]}, {veid: 1000002, kind: jumping_points}]",
    );
    let faults = format!("--faults={file}");
    let mut runs = Vec::new();
    for seed in ["--seed=1", "--seed=1", "--seed=2"] {
        let simulator = simulator(&["--vps=2", "--live.latency=0.01", &faults, seed]);
        let mut readings = Vec::new();
        for number in 1..=20 {
            for veid in [1_000_001, 1_000_002] {
                set_key(&simulator, veid).await;
                let reading = reading(&simulator, veid).await;
                let window = |name: &str| reading[name].as_i64().expect("it is a whole number");
                let (quarter, day) = (
                    window("remaining_points_15min"),
                    window("remaining_points_24h"),
                );
                if veid == 1_000_001 {
                    assert!((quarter - (1000 - number)).abs() <= 5, "{quarter}");
                    assert!((day - (20_000 - number)).abs() <= 50, "{day}");
                } else {
                    assert!((0..=1000).contains(&quarter), "{quarter}");
                    assert!((0..=20_000).contains(&day), "{day}");
                }
                readings.push((quarter, day));
            }
        }
        runs.push(readings);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
    let distances = (1..=20)
        .zip(&runs[0])
        .map(|(number, (quarter, _))| quarter + number);
    assert!(
        distances.collect::<BTreeSet<_>>().len() > 3,
        "the readings are not noisy"
    );
}

#[tokio::test]
async fn points_spent_elsewhere_are_deducted() {
    let simulator = simulator(&["--vps=2", "--points.scope=account"]);
    set_key(&simulator, 1_000_002).await;
    let spend = |points: u64| {
        http()
            .post(format!("{}/_simulator/vps", simulator.url))
            .body(json!({"veid": 1_000_001, "spent_points": points}).to_string())
            .send()
    };
    let status = |sent: Result<reqwest::Response, _>| sent.expect("it responds").status();
    assert_eq!(status(spend(900).await), 200);
    assert_eq!(status(spend(900).await), 400);
    let left = reading(&simulator, 1_000_002).await;
    assert_eq!(left["remaining_points_15min"], 99);
}

#[tokio::test]
async fn a_truncated_response_breaks_off() {
    let simulator = simulator(&[]);
    set_faults(&simulator, "[{\"kind\": \"truncated\"}]").await;
    let mut response = http()
        .get(format!("{}/v1/getServiceInfo", simulator.url))
        .send()
        .await
        .expect("it begins");
    let first = response.chunk().await.expect("bytes arrive");
    assert!(first.is_some_and(|first| first.starts_with(b"{\"error\":")));
    assert!(response.chunk().await.is_err());
}

#[test]
fn the_printed_configuration_matches_the_account() {
    let folder = tempfile::TempDir::new().expect("disk is writable");
    let file = write(folder.path(), "config.yaml", "");
    let mut command = Command::new(PROGRAM);
    command
        .stdout(File::create(&file).expect("it can be written"))
        .args(["simulate", "--listen=127.0.0.1:0", "--vps=3", "--seed=7"]);
    let _simulator =
        Exporter::wait_for_line(command, |line| line.contains("endpoint=").then(String::new));
    let flag = format!("--config.file={file}");
    // The configuration is printed right after this line.
    let deadline = std::time::Instant::now() + crate::exporter::TIMEOUT;
    while !std::fs::read_to_string(&file)
        .expect("it is there")
        .contains("vps-0003")
    {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
    let output = run(&["check", &flag]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
