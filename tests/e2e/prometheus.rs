//! What the demo serves, judged by those it is made for: promtool, Python's parser of OpenMetrics, and Prometheus.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kiwivm_exporter::exposition::catalogue::{EXPORTER_METRICS, Kind, Metric, vps_metrics};
use serde_json::Value;
use tempfile::TempDir;

use crate::exporter::{Exporter, PATIENCE, get, http, write};
use crate::page::Page;

/// Runs a judge with a page on its standard input; it must have nothing to say.
pub fn judge(program: &str, arguments: &[&str], page: &str) {
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
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && said.is_empty(),
        "{program}: {}",
        String::from_utf8_lossy(&said)
    );
}

const PARSE_OPENMETRICS: &str = "\
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
assert sum(len(f.samples) for f in text_string_to_metric_families(sys.stdin.read())) > 100
";

/// A python that has the parser.
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
        .expect("it answers")
        .text()
        .await
        .expect("it is text")
}

/// The demo once every VPS was asked for everything.
async fn demo() -> Exporter {
    let exporter = Exporter::start(&["--demo"]);
    exporter
        .wait_for("everything was asked for", everything_was_asked_for)
        .await;
    exporter
}

/// Halts the story of a demo's account; where that is.
pub async fn halt(exporter: &Exporter) -> String {
    let log = exporter.log();
    let line = log
        .lines()
        .find(|line| line.contains("simulating"))
        .expect("it says where");
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
    assert!(halt.expect("it answers").status().is_success());
    simulator
}

/// True once a page of the demo's account has something of everything.
pub fn everything_was_asked_for(page: &Page) -> bool {
    let has = |metric| page.series(metric, &[]).count();
    has("kiwivm_up") == 8
        && has("kiwivm_usage_timestamp_seconds") >= 6
        && has("kiwivm_lock_progress_ratio") == 1
}

/// Makes blocks in a data folder of OpenMetrics text with timestamps.
pub fn create_blocks(history: &Path, data: &Path) {
    let promtool = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        // It reads all of the text again for each block.
        .arg("--max-block-duration=1000h")
        .args([history, data])
        .output()
        .expect("the package prometheus has promtool");
    assert!(promtool.status.success(), "{promtool:?}");
}

#[tokio::test]
async fn both_formats_pass_their_judges() {
    let exporter = demo().await;
    judge(
        "promtool",
        &["check", "metrics"],
        &page_as(&exporter, "text/plain").await,
    );
    let openmetrics = page_as(&exporter, "application/openmetrics-text").await;
    assert!(openmetrics.ends_with("# EOF\n"));
    judge(&python(), &["-c", PARSE_OPENMETRICS], &openmetrics);
}

/// The page that the unit tests hold the exposition to, with VPSes in every state.
#[test]
fn the_golden_page_passes_promtool() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/exposition.txt");
    let golden = std::fs::read_to_string(golden).expect("it is there");
    judge("promtool", &["check", "metrics"], &golden);
}

/// What the metrics of a VPS must be by what its simulator says.
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

/// What of the page is not as the simulator says.
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
        for (metric, should) in expected(truth) {
            let is = page.of(name, metric);
            let equal = match (is, should) {
                (Some(is), Some(should)) => (is - should).abs() <= should.abs() * 1e-9,
                (is, should) => is.is_none() && should.is_none(),
            };
            if !equal {
                differences.push(format!("{name} {metric}: {is:?}, should be {should:?}"));
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
        Self::start_in(TempDir::new().expect("there is room"), target)
    }

    /// Keeps its data in `data` of a folder, where there may be blocks already.
    pub fn start_in(folder: TempDir, target: &str) -> Self {
        Self::start_with(folder, target, "")
    }

    /// The same with more of a configuration: rule files, an Alertmanager.
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
        // Prometheus does not tell which port it got for 0.
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
            // However old what there is may be.
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
        self.ask("query", &[("query", query)]).await
    }

    /// The result of an instant query at a time, Unix seconds.
    pub async fn query_at(&self, query: &str, time: i64) -> Vec<Value> {
        self.ask("query", &[("query", query), ("time", &time.to_string())])
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
        self.ask("query_range", &parameters).await
    }

    /// The targets that it scrapes.
    pub async fn active_targets(&self) -> Vec<Value> {
        let url = format!("{}/api/v1/targets?state=active", self.process.url);
        let response: Value = serde_json::from_str(&get(&url).await).expect("it is JSON");
        let targets = response["data"]["activeTargets"].as_array();
        targets.cloned().unwrap_or_default()
    }

    async fn ask(&self, what: &str, parameters: &[(&str, &str)]) -> Vec<Value> {
        let url = reqwest::Url::parse_with_params(
            &format!("{}/api/v1/{what}", self.process.url),
            parameters,
        );
        let answer = get(url.expect("it is a URL").as_str()).await;
        let answer: Value = serde_json::from_str(&answer).expect("it is JSON");
        assert_eq!(answer["status"], "success", "{answer}");
        answer["data"]["result"]
            .as_array()
            .expect("it is a vector")
            .clone()
    }

    /// Everything that it last scraped, as a page.
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
async fn prometheus_holds_what_the_simulated_account_holds() {
    let exporter = demo().await;
    let simulator = halt(&exporter).await;
    let account: Value =
        serde_json::from_str(&get(&format!("{simulator}/_simulator/account")).await)
            .expect("it is JSON");

    let prometheus = Prometheus::start(&exporter.url);
    let deadline = Instant::now() + PATIENCE;
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
