//! The demo's pages as seen by their consumers: promtool, Python's OpenMetrics parser, and Prometheus.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kiwivm_exporter::exposition::catalogue::{EXPORTER_METRICS, Kind, Metric, vps_metrics};
use serde_json::Value;
use tempfile::TempDir;

use crate::exporter::{Exporter, TIMEOUT, get, http, write};
use crate::page::Page;

/// Runs a checker with a page on standard input. It must print nothing.
pub fn check_with(program: &str, arguments: &[&str], page: &str) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is needed for this test: {error}"));
    child
        .stdin
        .take()
        .expect("it is piped")
        .write_all(page.as_bytes())
        .expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let printed = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && printed.is_empty(),
        "{program}: {}",
        String::from_utf8_lossy(&printed)
    );
}

const PARSE_OPENMETRICS: &str = "\
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
assert sum(len(f.samples) for f in text_string_to_metric_families(sys.stdin.read())) > 100
";

/// A python with the parser installed.
pub fn python() -> String {
    std::env::var("KIWIVM_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

pub async fn page_as(exporter: &Exporter, accept: &str) -> String {
    let request = http()
        .get(format!("{}/metrics", exporter.url))
        .header("accept", accept);
    request
        .send()
        .await
        .expect("it responds")
        .text()
        .await
        .expect("it is text")
}

/// The demo after every call to every VPS was made.
async fn demo() -> Exporter {
    let exporter = Exporter::start(&["--demo"]);
    exporter
        .wait_for("every call was made", every_call_was_made)
        .await;
    exporter
}

/// Halts the clock of a demo's account. Returns the simulator's URL.
pub async fn halt(exporter: &Exporter) -> String {
    let log = exporter.log();
    let line = log
        .lines()
        .find(|line| line.contains("simulating"))
        .expect("the simulator is logged");
    let line: Value = serde_json::from_str(line).expect("it is JSON");
    let simulator = line["endpoint"]
        .as_str()
        .expect("it is there")
        .trim_end_matches("/v1")
        .to_owned();
    let halt = http()
        .post(format!("{simulator}/_simulator/halt"))
        .body("true")
        .send()
        .await;
    assert!(halt.expect("it responds").status().is_success());
    simulator
}

/// Reports whether the demo's page has data of every call.
pub fn every_call_was_made(page: &Page) -> bool {
    let has = |metric| page.series(metric, &[]).count();
    has("kiwivm_up") == 8
        && has("kiwivm_usage_timestamp_seconds") >= 6
        && has("kiwivm_lock_progress_ratio") == 1
}

/// Makes blocks from OpenMetrics text with timestamps, in a data folder.
pub fn create_blocks(history: &Path, data: &Path) {
    let promtool = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        // promtool reads the whole text again for each block, so make few.
        .arg("--max-block-duration=1000h")
        .args([history, data])
        .output()
        .expect("the package prometheus has promtool");
    assert!(promtool.status.success(), "{promtool:?}");
}

#[tokio::test]
async fn both_formats_pass_their_checkers() {
    let exporter = demo().await;
    check_with(
        "promtool",
        &["check", "metrics"],
        &page_as(&exporter, "text/plain").await,
    );
    let openmetrics = page_as(&exporter, "application/openmetrics-text").await;
    assert!(openmetrics.ends_with("# EOF\n"));
    check_with(&python(), &["-c", PARSE_OPENMETRICS], &openmetrics);
}

/// The page of the unit tests, with VPSes in every state.
#[test]
fn the_golden_page_passes_promtool() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/exposition.txt");
    let golden = std::fs::read_to_string(golden).expect("it is there");
    check_with("promtool", &["check", "metrics"], &golden);
}

/// Expected metrics of a VPS from the simulator's account.
fn expected(truth: &Value) -> Vec<(&'static str, Option<f64>)> {
    let number = |field: &str| match &truth[field] {
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        value => value.as_f64(),
    };
    let multiplied = |field: &str| Some(number(field)? * number("monthly_data_multiplier")?);
    let load = |index: usize| truth["load"][index].as_f64();
    vec![
        (
            "kiwivm_running",
            Some(f64::from(u8::from(truth["status"] == "running"))),
        ),
        ("kiwivm_suspended", number("suspended")),
        ("kiwivm_cpu_throttled", number("cpu_throttled")),
        ("kiwivm_bandwidth_used_bytes", multiplied("data_counter")),
        (
            "kiwivm_bandwidth_allowance_bytes",
            multiplied("plan_monthly_data"),
        ),
        (
            "kiwivm_bandwidth_multiplier",
            number("monthly_data_multiplier"),
        ),
        (
            "kiwivm_bandwidth_reset_timestamp_seconds",
            number("data_next_reset"),
        ),
        ("kiwivm_memory_total_bytes", number("plan_ram")),
        ("kiwivm_memory_available_bytes", number("memory_available")),
        ("kiwivm_swap_total_bytes", number("swap_total")),
        ("kiwivm_swap_free_bytes", number("swap_free")),
        ("kiwivm_disk_used_bytes", number("disk_used")),
        ("kiwivm_disk_size_bytes", number("disk_size")),
        ("kiwivm_load1", load(0)),
        ("kiwivm_load5", load(1)),
        ("kiwivm_load15", load(2)),
        ("kiwivm_processes", number("processes")),
        ("kiwivm_processes_runnable", number("processes_runnable")),
        (
            "kiwivm_cpu_usage_ratio",
            number("cpu_percent").map(|percent| percent / 100.0),
        ),
        ("kiwivm_usage_timestamp_seconds", number("usage_timestamp")),
    ]
}

/// Metrics that differ from the simulator's account.
fn differences(account: &Value, page: &Page) -> Vec<String> {
    let mut differences = Vec::new();
    for truth in account["vps"].as_array().expect("it is a list") {
        let name = truth["name"].as_str().expect("it has a name");
        if truth["locked"] == true || truth["key_is_right"] == false {
            let up = page.of(name, "kiwivm_up");
            if up != Some(0.0) {
                differences.push(format!("{name} is up: {up:?}"));
            }
            continue;
        }
        for (metric, expected_value) in expected(truth) {
            let value = page.of(name, metric);
            let equal = match (value, expected_value) {
                (Some(value), Some(expected)) => (value - expected).abs() <= expected.abs() * 1e-9,
                (value, expected) => value.is_none() && expected.is_none(),
            };
            if !equal {
                differences.push(format!(
                    "{name} {metric}: {value:?}, expected {expected_value:?}"
                ));
            }
        }
    }
    differences
}

/// A Prometheus that scrapes one target every second.
pub struct Prometheus {
    process: Exporter,
    _folder: TempDir,
}

impl Prometheus {
    fn start(target: &str) -> Self {
        Self::start_in(TempDir::new().expect("disk is writable"), target)
    }

    /// Keeps its data in `data` of a folder, which may already have blocks.
    pub fn start_in(folder: TempDir, target: &str) -> Self {
        Self::start_with(folder, target, "")
    }

    /// The same with additional configuration, such as rule files or an Alertmanager.
    pub fn start_with(folder: TempDir, target: &str, more: &str) -> Self {
        let target = target.trim_start_matches("http://");
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nscrape_configs:\n- job_name: kiwivm\n  static_configs: [{{targets: [\"{target}\"]}}]\n{more}"
        );
        Self::start_configured(folder, &config)
    }

    /// The same with this configuration.
    pub fn start_configured(folder: TempDir, config: &str) -> Self {
        let config = write(folder.path(), "prometheus.yml", config);
        // Prometheus does not report the port that it got for 0.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("there is a port")
            .port();
        let mut command = Command::new("prometheus");
        command.stdout(Stdio::null()).args([
            format!("--config.file={config}"),
            format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ),
            // Keep data of any age.
            "--storage.tsdb.retention.time=10y".to_owned(),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ]);
        let process = Exporter::wait_for_line(command, |line| {
            let ready = line.contains("Server is ready to receive web requests");
            ready.then(|| format!("http://127.0.0.1:{port}"))
        });
        Self {
            process,
            _folder: folder,
        }
    }

    /// The samples of an instant query.
    pub async fn query(&self, query: &str) -> Vec<Value> {
        self.query_api("query", &[("query", query)]).await
    }

    /// The result of an instant query at a time, Unix seconds.
    pub async fn query_at(&self, query: &str, time: i64) -> Vec<Value> {
        self.query_api("query", &[("query", query), ("time", &time.to_string())])
            .await
    }

    /// The result of a range query, times in Unix seconds and the step in seconds.
    pub async fn query_range(&self, query: &str, start: i64, end: i64, step: u32) -> Vec<Value> {
        let [start, end, step] = [start, end, step.into()].map(|number: i64| number.to_string());
        let parameters = [
            ("query", query),
            ("start", &start),
            ("end", &end),
            ("step", &step),
        ];
        self.query_api("query_range", &parameters).await
    }

    /// The active targets.
    pub async fn active_targets(&self) -> Vec<Value> {
        let url = format!("{}/api/v1/targets?state=active", self.process.url);
        let response: Value = serde_json::from_str(&get(&url).await).expect("it is JSON");
        let targets = response["data"]["activeTargets"].as_array();
        targets.cloned().unwrap_or_default()
    }

    async fn query_api(&self, what: &str, parameters: &[(&str, &str)]) -> Vec<Value> {
        let url = reqwest::Url::parse_with_params(
            &format!("{}/api/v1/{what}", self.process.url),
            parameters,
        );
        let response = get(url.expect("it is a URL").as_str()).await;
        let response: Value = serde_json::from_str(&response).expect("it is JSON");
        assert_eq!(response["status"], "success", "{response}");
        response["data"]["result"]
            .as_array()
            .expect("it is a vector")
            .clone()
    }

    /// The last scrape of the job, as a page.
    async fn page(&self) -> Page {
        let mut page = Page::default();
        for sample in self.query("{job=\"kiwivm\"}").await {
            let labels = sample["metric"].as_object().expect("it has labels");
            let shown: Vec<_> = labels
                .iter()
                .filter(|(name, _)| *name != "__name__")
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let name = labels["__name__"].as_str().expect("it has a name");
            let value = sample["value"][1]
                .as_str()
                .and_then(|value| value.parse().ok());
            page.samples.insert(
                format!("{name}{{{}}}", shown.join(",")),
                value.expect("it is a number"),
            );
        }
        page
    }
}

#[tokio::test]
async fn prometheus_stores_the_values_of_the_simulated_account() {
    let exporter = demo().await;
    let simulator = halt(&exporter).await;
    let account: Value =
        serde_json::from_str(&get(&format!("{simulator}/_simulator/account")).await)
            .expect("it is JSON");

    let prometheus = Prometheus::start(&exporter.url);
    let deadline = Instant::now() + TIMEOUT;
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    let page = loop {
        tick.tick().await;
        let page = prometheus.page().await;
        let differences = differences(&account, &page);
        if differences.is_empty() {
            break page;
        }
        assert!(Instant::now() < deadline, "{differences:#?}");
    };

    assert_eq!(page.one("up", &[]), Some(1.0));
    let present: BTreeSet<&str> = page
        .samples
        .keys()
        .filter_map(|series| series.split('{').next())
        .collect();
    let missing = |metric: &&Metric| {
        let sample = match metric.kind {
            Kind::Histogram => format!("{}_bucket", metric.name),
            Kind::Gauge | Kind::Counter => metric.name.to_owned(),
        };
        !present.contains(sample.as_str())
    };
    let all = vps_metrics().map(|vps| &vps.metric).chain(EXPORTER_METRICS);
    // The demo keeps no state.
    let of_state = |metric: &&Metric| metric.name.starts_with("kiwivm_exporter_state_");
    let missing = all.filter(missing).filter(|metric| !of_state(metric));
    let missing: Vec<_> = missing.map(|metric| metric.name).collect();
    assert_eq!(missing, [""; 0]);
}
