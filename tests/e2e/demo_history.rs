//! The generated history of the demo's account: ordered, and consistent with the account.

#[path = "../demo_history"]
mod demo {
    pub mod history;
}
pub use demo::history;

use std::collections::HashMap;

use kiwivm_exporter::simulator::Simulator;
use serde_json::Value;

use crate::prometheus::{check_with, python};
use history::History;

const END: i64 = 1_790_000_000;
const END_SECONDS: f64 = 1_790_000_000.0;
const DAY: i64 = 86_400;

const PARSE: &str = "\
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = list(text_string_to_metric_families(sys.stdin.read()))
assert sum(len(f.samples) for f in families) > 40_000
";

/// Four days of history, and the account at the end of them.
fn written() -> (String, Simulator) {
    let history = History {
        vps: 8,
        days: 4,
        step: 3600,
        slower: 10,
        end: END,
        job: "kiwivm".to_owned(),
        instance: "demo".to_owned(),
        only: Vec::new(),
    };
    let mut text = Vec::new();
    let account = history.write(&mut text).expect("writes to memory succeed");
    (String::from_utf8(text).expect("it is text"), account)
}

/// The samples by series, in file order.
fn samples(text: &str) -> HashMap<&str, Vec<(i64, f64)>> {
    let mut samples = HashMap::<_, Vec<_>>::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut parts = line.rsplitn(3, ' ');
        let time = parts.next().and_then(|time| time.parse().ok());
        let value = parts.next().and_then(|value| value.parse().ok());
        let series = parts.next().expect("it has a name");
        let sample = (time.expect("it has a time"), value.expect("it has a value"));
        samples.entry(series).or_default().push(sample);
    }
    samples
}

fn of<'a>(
    samples: &'a HashMap<&str, Vec<(i64, f64)>>,
    metric: &str,
    vps: &str,
) -> &'a [(i64, f64)] {
    let wanted = format!("vps=\"{vps}\",env=\"demo\"}}");
    let found = samples
        .iter()
        .find(|(series, _)| series.split('{').next() == Some(metric) && series.ends_with(&wanted));
    found.map_or(&[], |(_, samples)| samples)
}

#[test]
fn the_history_is_ordered_and_ends_at_the_state_of_the_account() {
    let (text, account) = written();
    // The parser takes the second sample of a bucket for a duplicate of the first.
    let parsed = |line: &&str| !line.contains("kiwivm_poll_duration_seconds");
    let parsed: Vec<_> = text.lines().filter(parsed).collect();
    check_with(&python(), &["-c", PARSE], &(parsed.join("\n") + "\n"));
    let samples = samples(&text);
    for (series, samples) in &samples {
        let times = samples.iter().map(|(time, _)| time);
        assert!(times.is_sorted_by(|a, b| a < b), "{series}");
        let name = series.split('{').next().expect("it has a name");
        let counts = ["_total", "_bucket", "_count", "_sum"];
        if counts.iter().any(|suffix| name.ends_with(suffix)) {
            let values = samples.iter().map(|(_, value)| value);
            assert!(values.is_sorted(), "{series} never falls");
        }
    }

    let last = |metric: &str, vps: &str| {
        let (time, value) = of(&samples, metric, vps).last()?;
        (*time == END).then_some(*value)
    };
    for of in account.credentials() {
        if ["locked", "wrong-key"].contains(&of.name.as_str()) {
            continue;
        }
        let response = account.respond(of.veid, &of.api_key, "getServiceInfo", END_SECONDS);
        let truth: Value =
            serde_json::from_str(&response.expect("it responds")).expect("it is JSON");
        let name = of.name.as_str();
        let number = |field: &str| truth[field].as_f64().expect("it is a number");
        let multiplier = number("monthly_data_multiplier");
        let used = last("kiwivm_bandwidth_used_bytes", name).expect("it is reported");
        // The last poll was up to 20 minutes ago.
        let actual = number("data_counter") * multiplier;
        assert!(
            used <= actual && used > actual * 0.99,
            "{name}: {used} {actual}"
        );
        let reset = last("kiwivm_bandwidth_reset_timestamp_seconds", name);
        assert_eq!(reset, Some(number("data_next_reset")), "{name}");
        let suspended = truth["suspended"]
            .as_bool()
            .map(|is| f64::from(u8::from(is)));
        assert_eq!(last("kiwivm_suspended", name), suspended, "{name}");
    }
    let share = |vps| {
        Some(
            last("kiwivm_bandwidth_used_bytes", vps)?
                / last("kiwivm_bandwidth_allowance_bytes", vps)?,
        )
    };
    assert!(share("nearly-used-up").is_some_and(|share| (0.92..0.94).contains(&share)));
    assert!(share("suspended").is_some_and(|share| share >= 1.0));
    for (metric, vps, value) in [
        ("kiwivm_policy_violations_open", "nearly-used-up", 1.0),
        ("kiwivm_cpu_throttled", "throttled", 1.0),
        ("kiwivm_running", "stopped", 0.0),
        ("kiwivm_suspended", "suspended", 1.0),
        ("kiwivm_locked", "locked", 1.0),
        ("kiwivm_authentication_failed", "wrong-key", 1.0),
        ("kiwivm_up", "healthy", 1.0),
        ("kiwivm_up", "wrong-key", 0.0),
    ] {
        assert_eq!(last(metric, vps), Some(value), "{metric} of {vps}");
    }

    let changes = |metric, vps| {
        let pairs = of(&samples, metric, vps).windows(2);
        pairs
            .filter(|pair| pair[0].1.to_bits() != pair[1].1.to_bits())
            .count()
    };
    // The demo throttles it six times a day.
    assert!(changes("kiwivm_cpu_throttled", "throttled") >= 4 * 10);
    assert_eq!(changes("kiwivm_suspended", "suspended"), 1);
    assert!(changes("kiwivm_disk_used_bytes", "openvz") > 80);
    let suspended = of(&samples, "kiwivm_suspended", "suspended");
    let since = suspended.iter().find(|(_, suspended)| *suspended > 0.0);
    assert!(since.is_some_and(|(time, _)| (2 * DAY..4 * DAY).contains(&(END - time))));
}
