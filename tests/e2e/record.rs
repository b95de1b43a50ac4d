//! `record` through the command line: what it writes, what it leaves out, and where it stops.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tempfile::TempDir;

use crate::exporter::{config, run_without_blocking, write};
use crate::mock::{Mock, Reply, sample};

const KEY: &str = "private_x";

fn yaml(mock: &Mock, names: &[&str]) -> String {
    let vps = (1..)
        .zip(names)
        .map(|(veid, name)| format!("  - {{name: {name}, veid: {veid}, api_key: {KEY}}}\n"));
    format!(
        "api: {{endpoint: {}}}\nvps:\n{}",
        mock.endpoint,
        vps.collect::<String>()
    )
}

async fn record(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = format!("--output={}", folder.display());
    let Output {
        status,
        stderr,
        stdout,
    } = run_without_blocking(&[&["record", &output], arguments].concat()).await;
    assert!(stdout.is_empty(), "what it says goes to standard error");
    (
        status.code(),
        String::from_utf8(stderr).expect("it is text"),
    )
}

fn files(folder: &Path) -> BTreeMap<String, String> {
    let files = std::fs::read_dir(folder).expect("it is there").map(|file| {
        let file = file.expect("it can be listed");
        let mode = file.metadata().expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file:?}");
        let text = std::fs::read_to_string(file.path()).expect("it is text");
        (file.file_name().into_string().expect("it is text"), text)
    });
    files.collect()
}

fn index(files: &BTreeMap<String, String>) -> Vec<Value> {
    let lines = files["responses.jsonl"].lines();
    lines
        .map(|line| serde_json::from_str(line).expect("it is JSON"))
        .collect()
}

#[tokio::test]
async fn each_call_of_each_vps_is_recorded_once() {
    let mock = Mock::start([1, 2]).await;
    let (_config, flag) = config(&yaml(&mock, &["one", "two"]));
    let parent = TempDir::new().expect("there is room");
    let folder = parent.path().join("new");
    let (code, said) = record(&folder, &[&flag]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("Recorded 20 responses in") && said.contains("look through the files"),
        "{said}"
    );
    let mode = folder.metadata().expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let files = files(&folder);
    assert_eq!(files.len(), 21, "{files:?}");
    let live: Value =
        serde_json::from_str(&files["2-getLiveServiceInfo.json"]).expect("it is JSON");
    assert_eq!(
        (&live["hostname"], &live["os"]),
        (&"host1.example.com".into(), &"debian-12-x86_64".into())
    );
    assert!(files["1-snapshot-list.json"].contains("\"fileName\""));
    let mut calls: Vec<_> = mock
        .requests()
        .iter()
        .map(|request| (request.veid(), request.call().to_owned()))
        .collect();
    assert_eq!(
        calls[0],
        (1, "getRateLimitStatus".to_owned()),
        "points decide about the others"
    );
    calls.sort();
    calls.dedup();
    assert_eq!((calls.len(), mock.requests().len()), (20, 20));
    let index = index(&files);
    assert_eq!(index.len(), 20);
    for line in &index {
        assert_eq!(line["status"], 200, "{line}");
        assert_eq!(
            line["headers"]["content-type"], "text/html; charset=UTF-8",
            "{line}"
        );
        assert_eq!(line["outcome"], "ok", "{line}");
        assert!(
            files.contains_key(line["file"].as_str().expect("it is text")),
            "{line}"
        );
    }

    // Nothing is written over.
    let before = mock.requests().len();
    let (code, said) = record(&folder, &[&flag]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("the folder is not empty"), "{said}");
    assert_eq!(mock.requests().len(), before, "and nothing is asked for it");
    let empty = TempDir::new().expect("there is room");
    let (code, said) = record(empty.path(), &[&flag, "--vps=two"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        mock.requests()[before..]
            .iter()
            .all(|request| request.veid() == 2)
    );
    let (code, said) = record(&parent.path().join("other"), &[&flag, "--vps=nope"]).await;
    assert_eq!(code, Some(1));
    assert!(
        said.contains("--vps=nope") && !parent.path().join("other").exists(),
        "{said}"
    );
}

#[tokio::test]
async fn odd_responses_are_recorded_as_they_are() {
    let mock = Mock::start([1]).await;
    let page = "<html><h1>503 Service Temporarily Unavailable</h1>by host.example.org</html>";
    mock.reply(
        1,
        "getServiceInfo",
        Reply::Whole(503, "Retry-After: 120\r\n", page.into()),
    );
    mock.reply(
        1,
        "backup/list",
        Reply::Body("{\"backups\":{\"7e83ca2a65d6f90a809c8570c6c905a941b87732\":".to_owned()),
    );
    mock.reply(1, "snapshot/list", Reply::Body(String::new()));
    mock.reply(1, "getAuditLog", sample("error_locked.json"));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    std::io::Write::write_all(&mut gzip, b"{\"data\":[],\"vm_type\":\"kvm\",\"error\":0}")
        .expect("memory is there");
    let gzip = gzip.finish().expect("memory is there");
    mock.reply(
        1,
        "getRawUsageStats",
        Reply::Whole(200, "Content-Encoding: gzip\r\n", gzip),
    );
    let (_config, flag) = config(&yaml(&mock, &["one"]));
    let folder = TempDir::new().expect("there is room");
    let (code, said) = record(folder.path(), &[&flag]).await;
    assert_eq!(code, Some(0), "{said}");
    let files = files(folder.path());
    let index = index(&files);
    let line = |call: &str| {
        index
            .iter()
            .find(|line| line["call"] == call)
            .expect("it is there")
    };
    assert_eq!(
        files["1-getRawUsageStats.json"],
        "{\"data\":[],\"vm_type\":\"kvm\",\"error\":0}"
    );
    let usage = line("getRawUsageStats");
    assert_eq!(
        (&usage["headers"]["content-encoding"], &usage["bytes"]),
        (&"gzip".into(), &37.into())
    );
    // A response that asks to wait ends the round, so what is less important than it was not asked for.
    let service = line("getServiceInfo");
    assert_eq!(
        (&service["status"], &service["headers"]["retry-after"]),
        (&503.into(), &"120".into())
    );
    assert_eq!(service["outcome"]["error"], "rate_limited");
    assert_eq!(
        files["1-getServiceInfo.txt"],
        page.replace("host.example.org", "host2.example.com")
    );
    assert!(
        said.contains("skipping the other calls") && !files.contains_key("1-getAuditLog.json"),
        "{said}"
    );

    mock.reply(1, "getServiceInfo", sample("service_info_kvm.json"));
    let folder = TempDir::new().expect("there is room");
    let (_, said) = record(folder.path(), &[&flag]).await;
    let files = self::files(folder.path());
    let index = self::index(&files);
    let line = |call: &str| {
        index
            .iter()
            .find(|line| line["call"] == call)
            .expect("it is there")
    };
    let broken = line("backup/list");
    assert_eq!(
        files["1-backup-list.txt"],
        format!("{{\"backups\":{{\"{:040x}\":", 1)
    );
    assert_eq!(
        (
            &broken["outcome"]["error"],
            broken["not_json_at_byte"].is_u64()
        ),
        (&"not_json".into(), true)
    );
    let empty = line("snapshot/list");
    assert_eq!(
        (&empty["bytes"], &empty["file"]),
        (&0.into(), &Value::Null),
        "{said}"
    );
    assert!(
        files["1-getAuditLog.json"].contains("\"error\": 788888"),
        "a lock is a response"
    );
}

#[tokio::test]
async fn refusals_and_silence_end_a_recording() {
    let names = ["a", "b", "c", "d", "e"];
    let mock = Mock::start(1..=5).await;
    let (_config, flag) = config(&yaml(&mock, &names));
    let counts = |mock: &Mock| {
        let of = |veid: u64| {
            mock.requests()
                .iter()
                .filter(|request| request.veid() == veid)
                .count()
        };
        [of(1), of(2), of(3), of(4), of(5)]
    };
    // A key that is refused ends its VPS, a refusal for lack of points too, and after three such VPSes all ends.
    mock.reply_to_everything(1, sample("error_auth.json"));
    for veid in 2..=4 {
        mock.reply_to_everything(veid, sample("error_rate_limited.json"));
    }
    let folder = TempDir::new().expect("there is room");
    let (code, said) = record(folder.path(), &[&flag]).await;
    assert_eq!(code, Some(0), "refusals are responses: {said}");
    assert_eq!(counts(&mock), [1, 1, 1, 1, 0], "{said}");
    assert!(said.contains("skipping the others"), "{said}");
    assert!(
        files(folder.path())["2-getRateLimitStatus.json"]
            .contains("Too many requests, rate limit exceeded")
    );

    let mock = Mock::start(1..=5).await;
    let (_config, flag) = config(&yaml(&mock, &names));
    for veid in 1..=5 {
        mock.reply_to_everything(veid, Reply::Drop);
    }
    let folder = TempDir::new().expect("there is room");
    let (code, said) = record(folder.path(), &[&flag]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("no call got a response"), "{said}");
    assert_eq!(counts(&mock), [3, 3, 3, 0, 0], "{said}");
    let files = files(folder.path());
    assert_eq!(files.len(), 1);
    assert!(
        index(&files)
            .iter()
            .all(|line| line["outcome"]["error"] == "connect")
    );
}

#[tokio::test]
async fn points_that_are_not_there_are_not_spent() {
    let mock = Mock::start([1]).await;
    let points = "{\"error\":0,\"remaining_points_15min\":4,\"remaining_points_24h\":19000}";
    mock.reply(1, "getRateLimitStatus", Reply::Body(points.to_owned()));
    let (_config, flag) = config(&yaml(&mock, &["one"]));
    let folder = TempDir::new().expect("there is room");
    let (code, said) = record(folder.path(), &[&flag]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("getRawUsageStats skipped: ") && said.contains("points are left"),
        "{said}"
    );
    assert!(mock.requests().len() < 4, "{said}");
}

#[tokio::test]
async fn a_vps_without_a_key_costs_itself() {
    let mock = Mock::start([1, 2]).await;
    let yaml = format!(
        "api: {{endpoint: {}}}\nvps:\n  - {{name: one, veid: 1, api_key_file: one.key}}\n  - {{name: two, veid: 2, api_key: {KEY}}}\n",
        mock.endpoint
    );
    let (configured, flag) = config(&yaml);
    write(configured.path(), "one.key", "");
    let folder = TempDir::new().expect("there is room");
    let (code, said) = record(folder.path(), &[&flag]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("one: no usable key"), "{said}");
    assert_eq!(files(folder.path()).len(), 11);
}

#[tokio::test]
async fn the_demo_is_recorded_without_what_is_private_in_it() {
    let folder = TempDir::new().expect("there is room");
    let (code, said) = record(folder.path(), &["--demo"]).await;
    assert_eq!(code, Some(0), "{said}");
    let files = files(folder.path());
    assert!(files.len() > 50, "{said}");
    assert!(
        files["1-getServiceInfo.json"].contains("host1.example.com"),
        "{files:?}"
    );
    for (name, text) in &files {
        for private in ["healthy.example.com", "owner@example.com", "before-upgrade"] {
            assert!(!text.contains(private), "{private} in {name}:\n{text}");
        }
    }
    let whole = [
        "getLiveServiceInfo",
        "getRawUsageStats",
        "backup-list",
        "getAuditLog",
        "migrate-getLocations",
    ];
    for call in whole {
        let text = &files[&format!("1-{call}.json")];
        assert!(
            serde_json::from_str::<Value>(text).is_ok_and(|body| body["error"] == 0),
            "{text:.200}"
        );
    }
}
