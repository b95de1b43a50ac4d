//! The simulator as a client of the API meets it: forms, faults, points.

use std::fs::File;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::exporter::{Exporter, PROGRAM, get, http, run, write};

/// A simulator with the demo's account, and the endpoint of its API.
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

/// A key that the simulator accepts: set by the test, since the true ones are on its standard output.
pub async fn set_key(simulator: &Exporter, veid: u64) -> &'static str {
    let body = format!("{{\"veid\":{veid},\"api_key\":\"private_test\"}}");
    let set = http()
        .post(format!("{}/_simulator/vps", simulator.url))
        .body(body)
        .send()
        .await;
    assert!(set.expect("it answers").status().is_success());
    "private_test"
}

pub async fn post(simulator: &Exporter, call: &str, form: &str) -> String {
    http()
        .post(format!("{}/v1/{call}", simulator.url))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.to_owned())
        .send()
        .await
        .expect("it answers")
        .text()
        .await
        .expect("it is text")
}

#[tokio::test]
async fn get_and_post_answer_alike_in_the_documented_shape() {
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
async fn every_read_call_of_the_api_has_an_answer() {
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
        let answer: Value = serde_json::from_str(&post(&simulator, call, &form).await).expect(call);
        assert_eq!(answer["error"], 0, "{call}");
    }
}

#[tokio::test]
async fn credentials_are_judged_as_the_api_does() {
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
async fn a_stop_and_a_start_are_seen() {
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
async fn faults_come_on_demand() {
    let folder = tempfile::TempDir::new().expect("there is room");
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
    let set = http()
        .post(format!("{}/_simulator/faults", simulator.url))
        .body("[]")
        .send()
        .await;
    assert!(set.expect("it answers").status().is_success());
    assert!(
        post(&simulator, "getServiceInfo", "")
            .await
            .contains("700001")
    );
}

#[tokio::test]
async fn a_truncated_answer_begins_and_does_not_end() {
    let simulator = simulator(&[]);
    let set = http()
        .post(format!("{}/_simulator/faults", simulator.url))
        .body("[{\"kind\": \"truncated\"}]")
        .send()
        .await;
    assert!(set.expect("it answers").status().is_success());
    let mut answer = http()
        .get(format!("{}/v1/getServiceInfo", simulator.url))
        .send()
        .await
        .expect("it begins");
    let begun = answer.chunk().await.expect("something comes");
    assert!(begun.is_some_and(|begun| begun.starts_with(b"{\"error\":")));
    assert!(answer.chunk().await.is_err());
}

#[test]
fn the_configuration_it_prints_is_that_of_its_account() {
    let folder = tempfile::TempDir::new().expect("there is room");
    let file = write(folder.path(), "config.yaml", "");
    let mut command = Command::new(PROGRAM);
    command
        .stdout(File::create(&file).expect("it can be written"))
        .args(["simulate", "--listen=127.0.0.1:0", "--vps=3", "--seed=7"]);
    let _simulator =
        Exporter::wait_for_line(command, |line| line.contains("endpoint=").then(String::new));
    let flag = format!("--config.file={file}");
    // The configuration is printed right after the line that was waited for.
    let deadline = std::time::Instant::now() + crate::exporter::PATIENCE;
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
