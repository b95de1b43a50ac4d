//! Budget and state: the real exporter polling the simulator at high speed, and after restarts.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::exporter::{Exporter, PROGRAM, TIMEOUT, config, get, http};
use crate::mock::{Mock, Reply};
use crate::page::Page;
use crate::simulator::simulator;

const LIVE: &str = "getLiveServiceInfo";

/// A configuration for all VPSes of a simulator. Their keys are set to a known one.
pub async fn configuration(simulator: &Exporter, more: &str) -> String {
    let account: Value =
        serde_json::from_str(&get(&format!("{}/_simulator/account", simulator.url)).await)
            .expect("it is JSON");
    let mut yaml = format!("api: {{endpoint: \"{}/v1\"}}\n{more}vps:\n", simulator.url);
    for vps in account["vps"].as_array().expect("there are VPSes") {
        let veid = &vps["veid"];
        let set = http()
            .post(format!("{}/_simulator/vps", simulator.url))
            .body(json!({"veid": veid, "api_key": "private_test"}).to_string())
            .send()
            .await;
        assert!(set.expect("it responds").status().is_success());
        let _ = writeln!(
            yaml,
            "- {{name: vps-{veid}, veid: {veid}, api_key: private_test}}"
        );
    }
    yaml
}

/// The fewest points left in 15 minutes and 24 hours over all VPSes, by the simulator's own count.
pub async fn left(simulator: &Exporter) -> [f64; 2] {
    let account: Value =
        serde_json::from_str(&get(&format!("{}/_simulator/account", simulator.url)).await)
            .expect("it is JSON");
    let of = |window: usize| {
        account["vps"]
            .as_array()
            .expect("there are VPSes")
            .iter()
            .map(|vps| vps["points"][window].as_f64().expect("it is a number"))
            .fold(f64::MAX, f64::min)
    };
    [of(0), of(1)]
}

/// A live call costs 20 points and all VPSes share one quota. A few minutes cover a day, measured by the account.
#[tokio::test]
async fn expensive_calls_on_a_shared_quota_leave_half_of_the_points() {
    for sliding in [true, false] {
        let mut arguments = vec![
            "--vps=4",
            "--live.latency=0.01",
            "--time-scale=150",
            "--points.cost=getLiveServiceInfo=20",
            "--points.scope=account",
        ];
        if sliding {
            arguments.push("--points.sliding");
        }
        let simulator = simulator(&arguments);
        let (_folder, flag) = config(&configuration(&simulator, "").await);
        let exporter = Exporter::start(&["--simulator.time-scale=150", &flag]);
        let points = |page: &Page, call| {
            page.one("kiwivm_api_call_points", &[("call", call)])
                .unwrap_or(-1.0)
        };
        let page = exporter
            .wait_for("the cost is learned and the plan follows", |page| {
                (points(page, LIVE) - 20.0).abs() < 1.5
                    && page.of("vps-1000001", "kiwivm_running") == Some(1.0)
                    // The wanted interval of 2 minutes is 0.8 s here.
                    && page
                        .one("kiwivm_poll_interval_seconds", &[("vps", "vps-1000001"), ("call", LIVE)])
                        .is_some_and(|interval| interval > 2.4)
            })
            .await;
        assert_eq!(page.one("kiwivm_api_points_shared", &[]), Some(1.0));
        // Ten live calls, which is about half an hour of the plan.
        let spent = |page: &Page| -> f64 {
            page.series("kiwivm_api_points_spent_total", &[])
                .map(|(_, points)| points)
                .sum()
        };
        let enough = spent(&page) + 200.0;
        let deadline = Instant::now() + TIMEOUT;
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        let page = loop {
            tick.tick().await;
            let [quarter, day] = left(&simulator).await;
            assert!(
                quarter >= 500.0 && day >= 10_000.0,
                "{quarter} and {day} points are left"
            );
            let page = exporter.scrape().await;
            if spent(&page) >= enough {
                break page;
            }
            assert!(Instant::now() < deadline, "{} points", spent(&page));
        };
        assert!(
            exporter
                .log()
                .contains("not enough API points for the configured intervals"),
            "{}",
            exporter.log()
        );
        let refused = [("reason", "rate_limited")];
        assert_eq!(page.series("kiwivm_poll_errors_total", &refused).count(), 0);
    }
}

#[tokio::test]
async fn separate_quotas_are_detected() {
    let simulator = simulator(&["--vps=12", "--live.latency=0.01", "--time-scale=60"]);
    let (_folder, flag) = config(&configuration(&simulator, "").await);
    let exporter = Exporter::start(&["--simulator.time-scale=60", &flag]);
    exporter
        .wait_for("separate quotas are detected", |page| {
            page.one("kiwivm_api_points_shared", &[]) == Some(0.0)
        })
        .await;
}

fn calls(mock: &Mock) -> Vec<String> {
    mock.requests()
        .iter()
        .map(|request| request.call().to_owned())
        .collect()
}

#[tokio::test]
async fn data_survive_a_kill_and_are_not_polled_twice() {
    let mock = Mock::start([1]).await;
    let yaml = format!(
        "api: {{endpoint: \"{}\"}}\nstate_file: state.json\nvps:\n- {{name: one, veid: 1, api_key: private_x}}\n",
        mock.endpoint
    );
    let (folder, flag) = config(&yaml);
    let exporter = Exporter::start(&[&flag]);
    let before = exporter
        .wait_for("all data arrive", |page| {
            page.of("one", "kiwivm_running") == Some(1.0)
                && page.of("one", "kiwivm_cpu_usage_ratio").is_some()
        })
        .await;
    // The last write may lack the newest data. The next call triggers the next write.
    let written = || std::fs::read_to_string(folder.path().join("state.json")).unwrap_or_default();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    while !written().contains("\"memory_available\":") {
        tick.tick().await;
    }
    assert!(!written().contains("private_x"), "no key is in the file");
    exporter.signal("KILL");
    drop(exporter);
    let count = calls(&mock).len();
    // From here on the API is silent, so all data shown come from the state file.
    mock.reply_to_everything(1, Reply::Hang);
    let exporter = Exporter::start(&[&flag]);
    let after = exporter.scrape().await;
    for metric in [
        "kiwivm_up",
        "kiwivm_running",
        "kiwivm_bandwidth_used_bytes",
        "kiwivm_memory_available_bytes",
    ] {
        assert_eq!(
            after.of("one", metric),
            before.of("one", metric),
            "{metric}"
        );
    }
    let log = exporter.log();
    assert!(log.contains("resuming from the state file"), "{log}");
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    while calls(&mock).len() == count {
        tick.tick().await;
    }
    let repeated = calls(&mock)[count..].to_vec();
    assert!(
        !repeated.iter().any(|call| call == LIVE),
        "live data of the state file are not polled again at once: {repeated:?}"
    );
}

#[tokio::test]
async fn plan_prints_calls_points_and_thresholds() {
    let mut yaml = "vps:\n".to_owned();
    for veid in 1..=12 {
        let _ = writeln!(
            yaml,
            "- {{name: vps-{veid}, veid: {veid}, api_key: private_x}}"
        );
    }
    let (_folder, flag) = config(&yaml);
    let output = std::process::Command::new(PROGRAM)
        .args(["plan", &flag])
        .output()
        .expect("it starts");
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("12 VPSes, assumed to share one quota"),
        "{text}"
    );
    // At one point a call a VPS wants 720 + 144 + 144 + 96 calls a day. 9500 points of the 10000 can be spent on these.
    assert!(
        text.contains("Intervals are stretched from 9 VPSes on."),
        "{text}"
    );
    let live = text
        .lines()
        .find(|line| line.starts_with(LIVE))
        .expect("there is a line for it");
    let columns: Vec<&str> = live.split_whitespace().collect();
    assert_eq!(columns[..3], [LIVE, "1.00", "120s"], "{text}");
    assert!(!text.contains("private_x"));
}
