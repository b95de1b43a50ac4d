//! Backfilled history in a real Prometheus: promtool makes the blocks, then the live exporter continues the series.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::backfill::{Account, unix_now};
use crate::exporter::{Exporter, TIMEOUT, get, write};
use crate::prometheus::{Prometheus, create_blocks};

const VEIDS: [u64; 2] = [1_000_001, 1_000_002];
const DAY: i64 = 86_400;
const COUNTERS: [(&str, &str, &str); 4] = [
    (
        "kiwivm_network_receive_bytes_total",
        "network_in_bytes",
        "in",
    ),
    (
        "kiwivm_network_transmit_bytes_total",
        "network_out_bytes",
        "out",
    ),
    ("kiwivm_disk_read_bytes_total", "disk_read_bytes", "read"),
    (
        "kiwivm_disk_written_bytes_total",
        "disk_write_bytes",
        "written",
    ),
];

/// The number in a field of a row or of the simulator's account.
fn number(value: &Value, field: &str) -> f64 {
    let number = value[field].as_f64();
    number.unwrap_or_else(|| panic!("{field} of {value}"))
}

fn at(row: &Value) -> i64 {
    row["timestamp"].as_i64().expect("it is a number")
}

/// The only value of a query that returns one series.
fn value(result: &[Value]) -> f64 {
    let [series] = result else {
        panic!("one series is expected: {result:?}")
    };
    let value = series["value"][1].as_str().expect("it is a scalar");
    value.parse().expect("it is a number")
}

/// The samples of a range query that returns one series.
fn samples(result: &[Value]) -> Vec<(f64, f64)> {
    let [series] = result else {
        panic!("one series is expected: {result:?}")
    };
    let sample = |sample: &Value| {
        let value = sample[1].as_str().and_then(|value| value.parse().ok());
        Some((sample[0].as_f64()?, value?))
    };
    let samples = series["values"].as_array().expect("it is a range");
    samples
        .iter()
        .map(|pair| sample(pair).expect("it is a sample"))
        .collect()
}

/// `increase()` before extrapolation: a counter that falls was reset to 0.
#[expect(clippy::float_cmp, reason = "bytes are whole numbers below 2^53")]
fn increase(samples: &[(f64, f64)]) -> (f64, usize) {
    let steps = samples.windows(2).map(|pair| (pair[0].1, pair[1].1));
    let resets = steps.clone().filter(|(before, after)| after < before);
    let increase = steps.map(|(before, after)| {
        if after < before {
            after
        } else {
            after - before
        }
    });
    let (sum, resets) = (increase.sum::<f64>(), resets.count());
    assert_eq!(sum, sum.trunc());
    (sum, resets)
}

/// Every backfilled sample equals its row, and each daily increase equals the sum of the day's rows.
#[expect(clippy::float_cmp, reason = "bytes are whole numbers below 2^53")]
async fn assert_past_matches_rows(prometheus: &Prometheus, rows: &[Value], labels: &str) {
    let newest = at(rows.last().expect("there are rows"));
    let stored = async |metric: &str| {
        let range = format!("{metric}{{{labels}}}[5d]");
        samples(&prometheus.query_at(&range, newest).await)
    };
    let expected = |value: &dyn Fn(&Value) -> f64| -> Vec<(f64, f64)> {
        let sample = |row| (number(row, "timestamp"), value(row));
        rows.iter().map(sample).collect()
    };
    let cpu = expected(&|row| number(row, "cpu_usage") / 100.0);
    assert_eq!(stored("kiwivm_cpu_usage_ratio").await, cpu);
    let times = expected(&|row| number(row, "timestamp"));
    assert_eq!(stored("kiwivm_usage_timestamp_seconds").await, times);

    for (metric, field, _) in COUNTERS {
        let mut sum = 0.0;
        let mut sums = expected(&|row| number(row, field));
        for (_, value) in &mut sums {
            sum += *value;
            *value = sum;
        }
        assert_eq!(stored(metric).await, sums, "{metric}");

        for end in [newest - DAY - 7, newest - DAY / 2, newest] {
            let mut day = rows
                .iter()
                .filter(|row| (end - DAY..=end).contains(&at(row)));
            // The increase begins after the first sample of the range.
            day.next();
            let rows: f64 = day.map(|row| number(row, field)).sum();
            let over = async |function: &str| {
                let query = format!("{function}({metric}{{{labels}}}[1d])");
                value(&prometheus.query_at(&query, end).await)
            };
            assert_eq!(
                over("max_over_time").await - over("min_over_time").await,
                rows
            );
            // Extrapolated to the ends of the day, which are less than one row interval plus jitter away.
            let increase = over("increase").await;
            let most = rows * 86_400.0 / (86_400.0 - 2.0 * 302.0);
            assert!((rows..=most).contains(&increase), "{increase} {rows}");
        }
    }
}

/// The live exporter starts counting at 0, with the rows after the newest that it found. This makes one counter reset,
/// which `increase()` handles, and no row is missing.
#[tokio::test]
#[expect(clippy::float_cmp, reason = "bytes are whole numbers below 2^53")]
async fn the_live_exporter_continues_the_backfilled_series() {
    let account = Account::halted(&["--time-scale=100"]).await;
    let exporter = Exporter::start(&[account.config(), "--simulator.time-scale=100"]);
    exporter
        .wait_for("rows were counted", |page| {
            page.series("kiwivm_network_receive_bytes_total", &[])
                .count()
                == 2
        })
        .await;
    let instance = exporter.url.trim_start_matches("http://");

    let label = format!("--label=instance={instance}");
    let history = account.text(&["--until=0s", "--label=job=kiwivm", &label]);
    let folder = TempDir::new().expect("disk is writable");
    let file = write(folder.path(), "history.om", &history);
    create_blocks(Path::new(&file), &folder.path().join("data"));
    let prometheus = Prometheus::start_in(folder, &exporter.url);
    for (veid, number) in VEIDS.into_iter().zip(1..) {
        let labels = format!(
            "job=\"kiwivm\",instance=\"{instance}\",veid=\"{veid}\",vps=\"vps-000{number}\""
        );
        assert_past_matches_rows(&prometheus, &account.rows(veid).await, &labels).await;
    }

    let before = account.rows(VEIDS[0]).await.len();
    account.control("halt", "false").await;
    let deadline = Instant::now() + TIMEOUT;
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    while account.rows(VEIDS[0]).await.len() < before + 3 {
        tick.tick().await;
        assert!(Instant::now() < deadline, "no new rows");
    }
    account.control("halt", "true").await;
    for veid in VEIDS {
        let truth = truth(&account, veid).await;
        let newest = number(&truth, "usage_timestamp");
        let query = format!("kiwivm_usage_timestamp_seconds{{veid=\"{veid}\"}}");
        loop {
            // The last row of the history may be too old to be shown, and the first scrape may not have happened yet.
            let shown = prometheus.query_at(&query, unix_now()).await;
            if !shown.is_empty() && value(&shown) >= newest {
                break;
            }
            tick.tick().await;
            assert!(Instant::now() < deadline, "the last row did not arrive");
        }
        let now = unix_now();
        let first = &account.rows(veid).await[0];
        for (metric, field, total) in COUNTERS {
            let query = format!("{metric}{{veid=\"{veid}\"}}[5d]");
            let samples = samples(&prometheus.query_at(&query, now).await);
            let (rows, resets) = increase(&samples);
            let all = number(&truth["usage_totals"], total) - number(first, field);
            assert_eq!((rows, resets), (all, 1), "{metric}");
            let over = async |function: &str| {
                let query = format!("{function}({metric}{{veid=\"{veid}\"}}[2d])");
                value(&prometheus.query_at(&query, now).await)
            };
            assert_eq!(over("resets").await, 1.0);
            #[expect(clippy::cast_precision_loss, reason = "a time of this century")]
            let since = (now - 2 * DAY) as f64;
            let (rows, _) =
                increase(&samples[samples.partition_point(|(time, _)| *time < since)..]);
            let both = over("increase").await;
            assert!(
                (rows..=rows * 1.01).contains(&both),
                "{metric}: {both} {rows}"
            );
        }
    }
}

async fn truth(account: &Account, veid: u64) -> Value {
    let url = format!("{}/_simulator/account?veid={veid}", account.simulator.url);
    let truth: Value = serde_json::from_str(&get(&url).await).expect("it is JSON");
    truth["vps"][0].clone()
}
