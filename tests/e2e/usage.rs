//! Counters of usage rows, checked against a simulator with known rows: each row counts exactly once.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::exporter::{Exporter, config, unix_now};
use crate::mock::{Mock, Reply};
use crate::page::Page;
use crate::polled_vps::{PolledVps, owner, successes, yaml};

const USAGE: &str = "getRawUsageStats";
/// Makes a usage row every second.
const TIME_SCALE: u32 = 300;
/// Intervals short enough to see each row separately.
const OFTEN: &str = "intervals: {live: 10m, usage: 30s, points: 10m, inventory: 1h}\n";

/// The counters, in the order of the columns of the simulator's rows, which begin with the time.
const COUNTERS: [&str; 4] = [
    "kiwivm_network_receive_bytes_total",
    "kiwivm_network_transmit_bytes_total",
    "kiwivm_disk_read_bytes_total",
    "kiwivm_disk_written_bytes_total",
];

fn counters(page: &Page) -> [Option<f64>; 4] {
    COUNTERS.map(|counter| page.of("one", counter))
}

fn ignored(page: &Page) -> Option<f64> {
    page.of("one", "kiwivm_usage_rows_ignored_total")
}

/// An exporter that counts, and the rows that its first response had.
struct Counting {
    watched: PolledVps,
    first: BTreeSet<i64>,
}

impl Counting {
    /// Halts the account until the first response, so that its rows are known.
    async fn start(yaml: &str, simulated: &[&str]) -> Self {
        let owner = owner(1_000_001, TIME_SCALE, simulated).await;
        // An account without history starts with its first row.
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(50));
        while owner.truth().await["usage_totals"]["rows"] == 0 {
            tick.tick().await;
        }
        owner.control("halt", "true".to_owned()).await;
        let watched = PolledVps::of(owner, TIME_SCALE, yaml);
        let mut counting = Self {
            watched,
            first: BTreeSet::new(),
        };
        counting.wait_for_first_response().await;
        counting
    }

    /// Waits for the first response to a fresh exporter.
    async fn wait_for_first_response(&mut self) {
        let response = self.watched.owner.call(USAGE, "").await;
        let rows = response["data"].as_array().expect("it is a list");
        self.first = rows
            .iter()
            .filter_map(|row| row["timestamp"].as_i64())
            .collect();
        let page = self
            .watched
            .wait_for("rows are counted", |page| counters(page)[0].is_some())
            .await;
        assert_eq!(counters(&page), [Some(0.0); 4]);
        assert_eq!(ignored(&page), Some(0.0));
    }

    /// Waits until the account has `more` additional rows.
    async fn rows(&self, more: usize) {
        let count = async || {
            let rows = self.watched.owner.truth().await["usage_totals"]["rows"].as_u64();
            usize::try_from(rows.expect("it is a number")).expect("there are few")
        };
        let wanted = count().await + more;
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(50));
        while count().await < wanted {
            tick.tick().await;
        }
    }

    /// Expected sums from the account. They are far below 2^53.
    async fn expected(&self) -> [Option<f64>; 4] {
        let truth = self.watched.owner.truth().await;
        let rows = truth["usage_rows"].as_array().expect("it is a list");
        let new = rows
            .iter()
            .filter(|row| row[0].as_i64().is_some_and(|at| !self.first.contains(&at)));
        [1, 2, 3, 4].map(|number| new.clone().map(|row| row[number].as_f64()).sum())
    }

    /// Halts the account and checks that everything was counted, to the byte.
    async fn assert_all_counted(&self) -> Page {
        self.watched.halt(true).await;
        let expected = self.expected().await;
        let page = self
            .watched
            .wait_for("everything is counted", |page| {
                let counters = counters(page);
                assert!(counters <= expected, "{counters:?} are above {expected:?}");
                counters == expected
            })
            .await;
        // Known rows are not counted again.
        let page_later = self.watched.wait_for_polls(USAGE, 2.0).await;
        assert_eq!(counters(&page_later), expected);
        assert_eq!(ignored(&page), Some(0.0));
        page_later
    }

    async fn resume(&self) {
        self.watched.halt(false).await;
    }
}

#[tokio::test]
async fn counters_sum_the_rows_since_the_first_response() {
    let counting = Counting::start(OFTEN, &[]).await;
    for _ in 0..2 {
        counting.resume().await;
        counting.rows(2).await;
        let page = counting.assert_all_counted().await;
        let truth = counting.watched.owner.truth().await;
        let gauge = |metric| page.of("one", metric);
        assert_eq!(
            gauge("kiwivm_usage_timestamp_seconds"),
            truth["usage_timestamp"].as_f64()
        );
        let percent = truth["cpu_percent"].as_f64().expect("it is a number");
        assert_eq!(gauge("kiwivm_cpu_usage_ratio"), Some(percent / 100.0));
    }
}

#[tokio::test]
async fn rows_count_once_in_any_order_format_or_delay() {
    let counting = Counting::start(OFTEN, &[]).await;
    // One of three rows is late.
    for (fault, new) in [("shuffled_rows", 1), ("late_rows", 3), ("wrong_types", 1)] {
        counting.resume().await;
        counting
            .watched
            .faults(&format!(
                "[{{\"call\": \"{USAGE}\", \"kind\": \"{fault}\"}}]"
            ))
            .await;
        counting.rows(new).await;
        counting.watched.wait_for_polls(USAGE, 2.0).await;
        if fault != "late_rows" {
            counting.assert_all_counted().await;
            counting.resume().await;
        }
        counting.watched.faults("[]").await;
        counting.assert_all_counted().await;
    }
}

#[tokio::test]
async fn rows_of_failed_responses_count_once_after_recovery() {
    // Without history, half a response already contains new rows.
    let counting = Counting::start(OFTEN, &["--history=0"]).await;
    for (fault, reason, new) in [("truncated", "connect", 3), ("http500", "http_status", 1)] {
        let before = counting.assert_all_counted().await;
        counting
            .watched
            .faults(&format!(
                "[{{\"call\": \"{USAGE}\", \"kind\": \"{fault}\"}}]"
            ))
            .await;
        counting.resume().await;
        counting.rows(new).await;
        let labels = [("call", USAGE), ("reason", reason)];
        let failures = |page: &Page| {
            page.one("kiwivm_poll_errors_total", &labels)
                .unwrap_or_default()
        };
        let seen = failures(&counting.watched.exporter.scrape().await);
        let page = counting
            .watched
            .wait_for("calls fail", |page| failures(page) >= seen + 2.0)
            .await;
        assert_eq!(counters(&page), counters(&before), "{fault}");
        counting.watched.faults("[]").await;
        counting.assert_all_counted().await;
    }
}

#[tokio::test]
async fn counters_in_the_state_file_never_fall_over_restarts() {
    // Writes follow calls, and these are so rare that a kill would come before a write if counters did not wait for it.
    let yaml =
        "intervals: {live: 1h, usage: 150s, points: 1h, inventory: 1h}\nstate_file: state.json\n";
    let mut counting = Counting::start(yaml, &[]).await;
    counting.resume().await;
    let mut seen = [Some(0.0); 4];
    for signal in ["KILL", "TERM", "KILL"] {
        // The restart must not show lower counters than this page.
        let risen = |page: &Page| counters(page) > seen;
        seen = counters(&counting.watched.wait_for("more is counted", risen).await);
        counting.watched.exporter.signal(signal);
        counting.watched.exporter.ended();
        counting.rows(1).await;
        counting.watched.restart();
        let now = counters(&counting.watched.exporter.scrape().await);
        let fell = |(now, before): (&Option<f64>, &Option<f64>)| now < before;
        assert!(!now.iter().zip(&seen).any(fell), "{now:?} after {seen:?}");
        seen = now;
    }
    counting.assert_all_counted().await;
}

#[tokio::test]
async fn counters_restart_at_zero_without_a_state_file() {
    let mut counting = Counting::start(OFTEN, &[]).await;
    counting.resume().await;
    counting.rows(1).await;
    counting.assert_all_counted().await;
    counting.watched.exporter.signal("KILL");
    counting.watched.exporter.ended();
    counting.watched.restart();
    counting.wait_for_first_response().await;
    counting.resume().await;
    counting.rows(1).await;
    counting.assert_all_counted().await;
}

fn rows(rows: &[Value]) -> Reply {
    Reply::Body(json!({"data": rows, "vm_type": "kvm", "error": 0}).to_string())
}

fn row(timestamp: u64, bytes: u64) -> Value {
    json!({
        "timestamp": timestamp, "cpu_usage": 7,
        "network_in_bytes": bytes, "network_out_bytes": bytes + 1,
        "disk_read_bytes": bytes + 2, "disk_write_bytes": bytes + 3,
    })
}

#[tokio::test]
async fn impossible_rows_are_ignored_once_and_odd_fields_alone() {
    let mock = Mock::start([1]).await;
    mock.plenty_of_points(1);
    let now = unix_now();
    // Counting starts long enough ago for a row to be too late.
    let mut sent = [200_050, 200_040, 200_030]
        .map(|ago| row(now - ago, 1))
        .to_vec();
    mock.reply(1, USAGE, rows(&sent));
    let (_folder, flag) = config(&yaml(&mock.endpoint, 1, OFTEN));
    let exporter = Exporter::start(&["--simulator.time-scale=300", &flag]);
    exporter
        .wait_for("rows are counted", |page| counters(page)[0].is_some())
        .await;
    let expect = async |sent: &[Value], bytes: [f64; 4], rows_ignored: f64| {
        mock.reply(1, USAGE, rows(sent));
        // One call may be in flight with the previous response.
        let wanted = successes(&exporter.scrape().await, USAGE) + 4.0;
        let page = exporter
            .wait_for("the rows are polled", |page| {
                successes(page, USAGE) >= wanted
            })
            .await;
        assert_eq!(counters(&page), bytes.map(Some));
        assert_eq!(ignored(&page), Some(rows_ignored));
        page
    };

    sent.extend([
        row(now + 86_400, 1000),
        row(now - 20, 1 << 51),
        row(now - 10, 10),
    ]);
    let page = expect(&sent, [10.0, 11.0, 12.0, 13.0], 2.0).await;
    let newest = page.of("one", "kiwivm_usage_timestamp_seconds");
    assert_eq!(newest, json!(now - 10).as_f64());

    sent.insert(0, row(now - 10 - 86_401, 1000));
    expect(&sent, [10.0, 11.0, 12.0, 13.0], 3.0).await;

    let late = row(now - 10 - 86_000, 100);
    sent.splice(0..0, [late.clone(), late]);
    expect(&sent, [110.0, 112.0, 114.0, 116.0], 3.0).await;

    let mut text = row(now - 9, 0);
    text["network_in_bytes"] = json!("200");
    text["network_out_bytes"] = json!("much");
    text["disk_read_bytes"] = Value::Null;
    let mut without_time = row(now - 8, 1000);
    without_time["timestamp"] = json!("");
    sent.extend([text, without_time, json!("no row"), json!(null)]);
    let page = expect(&sent, [310.0, 112.0, 114.0, 119.0], 3.0).await;
    for field in ["network_out_bytes", "timestamp", "data"] {
        let labels = [("call", USAGE), ("field", field)];
        let problems = page.one("kiwivm_decode_problems_total", &labels);
        assert!(problems >= Some(1.0), "{field}: {problems:?}");
    }
}

#[tokio::test]
async fn counting_begins_with_the_first_real_row() {
    let mock = Mock::start([1]).await;
    mock.plenty_of_points(1);
    let now = unix_now();
    let day: Vec<_> = (1..=288).map(|at| row(now - 300 * at, 1000)).collect();
    let mut without_time = row(now, 1);
    without_time["timestamp"] = Value::Null;
    let none = [
        rows(&[]),
        Reply::Body(json!({"data": null, "error": 0}).to_string()),
        Reply::Body(json!({"data": "maintenance", "error": 0}).to_string()),
        rows(&[without_time, json!(17), json!(null)]),
        rows(&[row(now + 86_400, 1), row(now + 90_000, 1)]),
    ];
    mock.reply(1, USAGE, none[0].clone());
    let (_folder, flag) = config(&yaml(&mock.endpoint, 1, OFTEN));
    let exporter = Exporter::start(&["--simulator.time-scale=300", &flag]);
    for reply in none {
        mock.reply(1, USAGE, reply);
        let polls = |page: &Page| -> f64 {
            let polls = page.series("kiwivm_polls_total", &[("call", USAGE)]);
            polls.map(|(_, polls)| polls).sum()
        };
        let wanted = polls(&exporter.scrape().await) + 2.0;
        let page = exporter
            .wait_for("the rows are polled", |page| polls(page) >= wanted)
            .await;
        assert_eq!(counters(&page), [None; 4]);
    }
    mock.reply(1, USAGE, rows(&day));
    let counting = |page: &Page| counters(page)[0].is_some();
    let page = exporter.wait_for("counters exist", counting).await;
    assert_eq!(counters(&page), [Some(0.0); 4]);
    mock.reply(1, USAGE, rows(&[day, vec![row(now, 5)]].concat()));
    let risen = |page: &Page| counters(page)[0] > Some(0.0);
    let page = exporter.wait_for("a row is counted", risen).await;
    assert_eq!(counters(&page), [5.0, 6.0, 7.0, 8.0].map(Some));
}
