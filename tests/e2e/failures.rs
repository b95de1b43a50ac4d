//! VPSes that fail while others do not, and recover. The exporter's components run in the test's process, because the
//! intervals are shorter than a configuration allows.

use std::time::{Duration, Instant};

use kiwivm_exporter::clock::Clock;
use kiwivm_exporter::config::{Config, Intervals};
use kiwivm_exporter::exposition::Exposition;
use kiwivm_exporter::exposition::format::Format;
use kiwivm_exporter::kiwivm::{ApiKey, Client, ClientOptions, Veid};
use kiwivm_exporter::poller::{Poller, fleet_of};
use reqwest::Url;
use tokio::sync::{mpsc, watch};

use crate::exporter::{TIMEOUT, config, run_without_blocking};
use crate::mock::{Mock, Reply, sample};
use crate::page::Page;

/// Live values are dropped after three intervals.
const INTERVAL: Duration = Duration::from_millis(400);

/// The quota windows shrink with the intervals: an interval stands for the default of two minutes.
const TIME_SCALE: f64 = 300.0;

struct Watched {
    mock: Mock,
    exposition: Exposition,
    _stop: watch::Sender<bool>,
}

/// Polls VPSes 1 to `count`, named by their number, until the test ends.
async fn watch_vps(count: u64) -> Watched {
    let mock = Mock::start(1..=count).await;
    watch_mock(mock, count)
}

fn watch_mock(mock: Mock, count: u64) -> Watched {
    let endpoint = Url::parse(&mock.endpoint).expect("it is a URL");
    let intervals = Intervals {
        live: INTERVAL.mul_f64(TIME_SCALE),
        usage: INTERVAL.mul_f64(TIME_SCALE),
        points: INTERVAL.mul_f64(TIME_SCALE),
        inventory: INTERVAL.mul_f64(TIME_SCALE),
    };
    let credentials = (1..=count).map(|veid| {
        let key = ApiKey::new("private_x").expect("it is a key");
        (veid.to_string(), Veid(veid), key)
    });
    let config = Config::for_simulator(endpoint.clone(), intervals, 3.0, credentials);
    let client = Client::new(ClientOptions {
        endpoint,
        proxy: None,
    })
    .expect("loopback is allowed");
    let clock = Clock::start().scaled(TIME_SCALE);
    let fleet = fleet_of(&config);
    let exposition = Exposition::new(fleet.clone(), clock, Vec::new());
    let poller = Poller::new(&config, client, fleet, clock);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        let (_reloads, none) = mpsc::channel(1);
        poller.run(none, stopped).await;
    });
    Watched {
        mock,
        exposition,
        _stop: stop,
    }
}

impl Watched {
    fn page(&self) -> Page {
        let body = self
            .exposition
            .scrape(Format::OpenMetrics1, false, &[])
            .expect("no VPS is named");
        Page::parse(std::str::from_utf8(&body).expect("it is text"))
    }

    async fn wait_for(&self, what: &str, is: impl Fn(&Page) -> bool) -> Page {
        let deadline = Instant::now() + TIMEOUT;
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        loop {
            tick.tick().await;
            let page = self.page();
            if is(&page) {
                return page;
            }
            assert!(
                Instant::now() < deadline,
                "{what} did not happen:\n{page:#?}"
            );
        }
    }

    async fn all_up(&self, count: u64) -> Page {
        self.wait_for("all are up", |page| {
            (1..=count).all(|veid| page.of(&veid.to_string(), "kiwivm_up") == Some(1.0))
        })
        .await
    }
}

fn errors(page: &Page, vps: &str, call: &str, reason: &str) -> f64 {
    let labels = [("vps", vps), ("call", call), ("reason", reason)];
    page.one("kiwivm_poll_errors_total", &labels).unwrap_or(0.0)
}

const LIVE: &str = "getLiveServiceInfo";

#[tokio::test]
async fn each_failure_is_counted_by_reason_and_only_for_its_vps() {
    let watched = watch_vps(8).await;
    watched.all_up(8).await;
    let broken = [
        ("1", Reply::Body("<html>".to_owned()), "not_json"),
        ("2", sample("error_auth.json"), "auth"),
        ("3", Reply::Status(500, ""), "http_status"),
        ("4", Reply::Truncated("{\"error\":0}".to_owned()), "connect"),
        ("5", Reply::Status(429, ""), "rate_limited"),
        ("6", Reply::Drop, "connect"),
    ];
    for (vps, reply, _) in &broken {
        watched
            .mock
            .reply_to_everything(vps.parse().expect("it is a number"), reply.clone());
    }
    // On a slow machine a response of a healthy VPS may be late, so wait until the healthy ones are up as well.
    let page = watched
        .wait_for("exactly the broken VPSes are down", |page| {
            let down = |(vps, ..): &(&str, Reply, &str)| page.of(vps, "kiwivm_up") == Some(0.0);
            let runs = |vps: &&str| page.of(vps, "kiwivm_running") == Some(1.0);
            broken.iter().all(down) && ["7", "8"].iter().all(runs)
        })
        .await;
    for (vps, _, reason) in &broken {
        let of_vps = [("vps", *vps)];
        let reasons: Vec<_> = page.series("kiwivm_poll_errors_total", &of_vps).collect();
        assert!(!reasons.is_empty(), "{vps}");
        assert!(
            reasons.iter().all(|(series, _)| series.contains(reason)),
            "{reasons:?}"
        );
    }
    assert_eq!(page.of("2", "kiwivm_authentication_failed"), Some(1.0));
    for vps in ["7", "8"] {
        assert_eq!(page.of(vps, "kiwivm_up"), Some(1.0));
        assert_eq!(
            page.series("kiwivm_poll_errors_total", &[("vps", vps)])
                .count(),
            0
        );
    }
}

/// Metrics that only the live call provides.
const LIVE_ONLY: [&str; 6] = [
    "kiwivm_running",
    "kiwivm_cpu_throttled",
    "kiwivm_memory_available_bytes",
    "kiwivm_disk_used_bytes",
    "kiwivm_load1",
    "kiwivm_processes",
];
/// Metrics that service info provides as well.
const SERVICE: [&str; 4] = [
    "kiwivm_bandwidth_used_bytes",
    "kiwivm_vps_info",
    "kiwivm_suspended",
    "kiwivm_memory_total_bytes",
];

#[tokio::test]
async fn service_info_replaces_a_failing_live_call() {
    let watched = watch_vps(1).await;
    let before = watched.all_up(1).await;
    for metric in LIVE_ONLY.iter().chain(&SERVICE) {
        assert!(before.of("1", metric).is_some(), "{metric}");
    }
    watched.mock.reply(1, LIVE, Reply::Status(502, ""));
    let during = watched
        .wait_for("live values disappear and service info stays", |page| {
            page.of("1", "kiwivm_running").is_none()
                && SERVICE.iter().all(|metric| page.of("1", metric).is_some())
        })
        .await;
    for metric in LIVE_ONLY {
        assert_eq!(during.of("1", metric), None, "{metric}");
    }
    assert_eq!(during.of("1", "kiwivm_up"), Some(1.0));
    watched.mock.recover(1);
    let after = watched
        .wait_for("live values come back", |page| {
            page.of("1", "kiwivm_running").is_some()
        })
        .await;
    for metric in LIVE_ONLY.iter().chain(&SERVICE) {
        assert!(after.of("1", metric).is_some(), "{metric}");
    }
}

#[tokio::test]
async fn values_expire_counters_stay_and_all_recover_if_every_call_fails() {
    let watched = watch_vps(1).await;
    let polls = |page: &Page, outcome| {
        page.one(
            "kiwivm_polls_total",
            &[("call", LIVE), ("outcome", outcome)],
        )
        .unwrap_or(-1.0)
    };
    let before = watched.all_up(1).await;
    assert!(
        (-0.5..0.5).contains(&polls(&before, "failure")),
        "counters start at 0"
    );
    watched.mock.reply_to_everything(1, Reply::Drop);
    let stay = [
        "kiwivm_authentication_failed",
        "kiwivm_data_stale",
        "kiwivm_expected_running",
        "kiwivm_last_success_timestamp_seconds",
        "kiwivm_poll_errors_total",
        "kiwivm_poll_interval_seconds",
        "kiwivm_polls_total",
        "kiwivm_threshold",
        "kiwivm_up",
    ];
    let goes = |metric: &&str| {
        !stay.contains(metric)
            && !metric.ends_with("_bytes_total")
            && !metric.starts_with("kiwivm_usage")
            && !metric.starts_with("kiwivm_cpu_usage")
            && !metric.starts_with("kiwivm_api_points")
    };
    // A value that several calls provide, such as the lock, disappears with the last of them.
    let during = watched
        .wait_for("all values disappear", |page| {
            page.of("1", "kiwivm_up") == Some(0.0) && !page.metrics_of("1").iter().any(goes)
        })
        .await;
    assert!(polls(&during, "success") >= polls(&before, "success"));
    assert!(polls(&during, "failure") >= 1.0);
    watched.mock.recover(1);
    watched
        .wait_for("live is back", |page| {
            polls(page, "success") > polls(&during, "success")
                && page.of("1", "kiwivm_running") == Some(1.0)
        })
        .await;
}

#[tokio::test]
async fn a_lock_is_reported_with_its_progress() {
    let watched = watch_vps(1).await;
    watched
        .mock
        .reply_to_everything(1, sample("error_locked.json"));
    let page = watched
        .wait_for("the lock is reported", |page| {
            // Another call may be the first to get this error.
            page.of("1", "kiwivm_locked") == Some(1.0) && errors(page, "1", LIVE, "locked") >= 1.0
        })
        .await;
    assert_eq!(page.of("1", "kiwivm_lock_progress_ratio"), Some(0.45));
    watched.mock.recover(1);
    let page = watched
        .wait_for("the lock ends", |page| {
            page.of("1", "kiwivm_locked") == Some(0.0)
        })
        .await;
    assert_eq!(page.of("1", "kiwivm_lock_progress_ratio"), None);
}

/// A hanging call occupies a slot for half a minute each time. Nine of them must not occupy all slots.
#[tokio::test]
async fn nine_hanging_vpses_do_not_make_the_others_stale() {
    let mock = Mock::start(1..=20).await;
    for veid in 1..=9 {
        mock.reply_to_everything(veid, Reply::Hang);
    }
    let watched = watch_mock(mock, 20);
    let tried = |page: &Page| {
        (10..=20).all(|veid: u64| page.of(&veid.to_string(), "kiwivm_up") == Some(1.0))
    };
    watched.wait_for("the responding VPSes are up", tried).await;
    let hung =
        |page: &Page| (1..=9).all(|veid: u64| page.of(&veid.to_string(), "kiwivm_up") == Some(0.0));
    let watching = Instant::now();
    let page = watched
        .wait_for("the hanging VPSes are down and the others up", |page| {
            hung(page) && tried(page)
        })
        .await;
    assert!(watching.elapsed() < TIMEOUT);
    for veid in 1..=9 {
        // A VPS may have polled its points first.
        let calls = [LIVE, "getRateLimitStatus"];
        let errors = calls.map(|call| errors(&page, &veid.to_string(), call, "timeout"));
        assert!(errors.iter().sum::<f64>() >= 1.0, "{veid}");
    }
}

#[tokio::test]
async fn api_messages_cannot_forge_log_lines() {
    let mock = Mock::start([1]).await;
    let words = "no\nts=2026-01-01T00:00:00Z level=info message=\"forged\"\r\n\u{1b}[2Kforged";
    let response = serde_json::json!({"error": 5, "message": words}).to_string();
    mock.reply_to_everything(1, Reply::Body(response));
    let yaml = format!(
        "api: {{endpoint: \"{}\"}}\nvps: [{{veid: 1, api_key: private_x}}]\n",
        mock.endpoint
    );
    let (_folder, flag) = config(&yaml);
    for format in ["json", "logfmt"] {
        let output = run_without_blocking(&[
            "once",
            &flag,
            &format!("--log.format={format}"),
            "--log.level=trace",
        ])
        .await;
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(log.contains("forged"), "{log}");
        let prefix = if format == "json" { "{\"" } else { "ts=20" };
        let last = "kiwivm_exporter: no data for 1; see the log lines above";
        for line in log.lines().filter(|line| *line != last) {
            assert!(
                line.starts_with(prefix) && !line.starts_with("ts=2026-01-01"),
                "{line}"
            );
            assert!(!line.contains('\u{1b}'), "{line}");
        }
    }
}
