//! A Prometheus with the past days of the demo's account. It scrapes the demo, which continues the series.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kiwivm_exporter::commands::simulate::unix_now;
use tempfile::TempDir;

use crate::demo_history::history::History;
use crate::exporter::{Exporter, TIMEOUT};
use crate::prometheus::{Prometheus, create_blocks, every_call_was_made};

/// Series of job `kiwivm` and instance `demo`, past and present.
pub struct DemoPrometheus {
    pub prometheus: Prometheus,
    _exporter: Exporter,
    /// Unix seconds of the last sample of the past.
    pub end: i64,
}

impl DemoPrometheus {
    /// Loads so many days of history in steps of 5 minutes and evaluates these rule files every second. Returns once
    /// every call was made and scraped. A day takes seconds.
    pub async fn start(days: u32, rules: &[PathBuf]) -> Self {
        let folder = TempDir::new().expect("disk is writable");
        #[expect(clippy::cast_possible_truncation, reason = "whole seconds are meant")]
        let end = unix_now() as i64;
        let file = folder.path().join("history.om");
        let data = folder.path().join("data");
        let written = tokio::task::spawn_blocking(move || {
            write_history(days, end, &file);
            create_blocks(&file, &data);
            std::fs::remove_file(&file).expect("it is ours");
        });
        written.await.expect("it does not panic");
        // The demo's account starts where the history ends. Its time is fast, except for transfer and resets.
        let exporter = Exporter::start(&["--demo"]);
        exporter
            .wait_for("every call was made", every_call_was_made)
            .await;
        let prometheus = Prometheus::start_with(folder, &exporter.url, &more(rules));
        let demo = Self {
            prometheus,
            _exporter: exporter,
            end,
        };
        demo.is_scraped().await;
        demo
    }

    async fn is_scraped(&self) {
        let query = format!("timestamp(up{{instance=\"demo\"}}) > {}", self.end);
        let deadline = Instant::now() + TIMEOUT;
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        while self.prometheus.query(&query).await.is_empty() {
            tick.tick().await;
            assert!(Instant::now() < deadline, "the exporter was not scraped");
        }
    }
}

fn write_history(days: u32, end: i64, file: &Path) {
    let history = History {
        vps: 8,
        days,
        step: 300,
        slower: 3,
        end,
        job: "kiwivm".to_owned(),
        instance: "demo".to_owned(),
        only: Vec::new(),
    };
    let mut out = BufWriter::new(File::create_new(file).expect("it is not there"));
    history.write(&mut out).expect("disk is writable");
    out.flush().expect("disk is writable");
}

/// Relabels the instance of the only target, and adds the rule files.
fn more(rules: &[PathBuf]) -> String {
    let rules: Vec<_> = rules
        .iter()
        .map(|file| format!("\"{}\"", file.display()))
        .collect();
    format!(
        "  relabel_configs: [{{target_label: instance, replacement: demo}}]\nrule_files: [{}]\n",
        rules.join(", ")
    )
}

mod tests {
    use super::*;
    use crate::exporter::write;
    use serde_json::Value;

    /// The value of a response with one series.
    fn number(result: &[Value]) -> f64 {
        let [series] = result else {
            panic!("one series is expected: {result:?}")
        };
        let number = series["value"][1]
            .as_str()
            .and_then(|number| number.parse().ok());
        number.expect("it is a number")
    }

    const SHARE: &str =
        "kiwivm_bandwidth_used_bytes{vps=\"nearly-used-up\"} / kiwivm_bandwidth_allowance_bytes";

    #[tokio::test]
    async fn the_demo_continues_its_history() {
        let folder = TempDir::new().expect("disk is writable");
        let rules = "groups: [{name: a, rules: [{record: \"vps:up:sum\", expr: \"sum by (vps) (kiwivm_up)\"}]}]";
        let rules = write(folder.path(), "rules.yml", rules);
        let demo = DemoPrometheus::start(1, &[rules.into()]).await;
        let prometheus = &demo.prometheus;

        let past = prometheus
            .query_range(SHARE, demo.end - 85_800, demo.end, 300)
            .await;
        let past: Vec<f64> = past[0]["values"]
            .as_array()
            .expect("it is a range")
            .iter()
            .filter_map(|sample| sample[1].as_str()?.parse().ok())
            .collect();
        assert!(past.len() > 280 && past.is_sorted(), "{past:?}");
        let last = past[past.len() - 1];
        assert!((0.92..0.94).contains(&last), "{last}");
        // It uses 4 % a day.
        let now = number(&prometheus.query(SHARE).await);
        assert!((last..last + 0.02).contains(&now), "{last} {now}");

        let calls = async |of| {
            let query = format!("sum(kiwivm_poll_duration_seconds_{of})");
            number(&prometheus.query_at(&query, demo.end).await).to_bits()
        };
        assert_eq!(calls("bucket{le=\"+Inf\"}").await, calls("count").await);

        let series = "count(kiwivm_up) + count(count_over_time(kiwivm_up[1d]))";
        assert_eq!(
            number(&prometheus.query(series).await).to_bits(),
            16.0_f64.to_bits()
        );
        let recorded = "count(vps:up:sum)";
        let deadline = Instant::now() + TIMEOUT;
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        while prometheus.query(recorded).await.is_empty() {
            tick.tick().await;
            assert!(Instant::now() < deadline, "the rule was not evaluated");
        }
    }
}
