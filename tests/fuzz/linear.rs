//! Work grows linearly with the input, whatever is repeated in it.

use kiwivm_exporter::exposition::format::{accepts_gzip, negotiate};
use kiwivm_exporter::kiwivm::{ApiKey, Call, decode};

use crate::cpu_time;

/// Bytes of the smaller input, and the factor to the larger one.
const SMALL: usize = 40_000;
const LARGER: usize = 8;
/// Limit for the ratio of the times. Linear work has a ratio of 8, quadratic work one of 64.
const MOST: f64 = 24.0;

/// The minimum of a few runs. It is at least 0.1 ms, because dividing by noise makes no sense.
fn cost(work: &dyn Fn(&str), input: &str) -> f64 {
    let once = || {
        let before = cpu_time();
        work(input);
        cpu_time().saturating_sub(before).as_secs_f64()
    };
    (0..3).map(|_| once()).fold(f64::MAX, f64::min).max(1e-4)
}

fn assert_linear(what: &str, work: &dyn Fn(&str), input: &dyn Fn(usize) -> String) {
    let (small, large) = (input(SMALL), input(SMALL * LARGER));
    let ratio = cost(work, &large) / cost(work, &small);
    assert!(
        ratio < MOST,
        "{what}: {ratio:.0} times the work for {LARGER} times the input"
    );
}

/// A text of about this length that repeats `piece`.
fn repeated(before: &str, piece: &str, after: &str, length: usize) -> String {
    format!("{before}{}{after}", piece.repeat(length / piece.len()))
}

#[test]
fn repetitive_responses_take_linear_time() {
    let key = ApiKey::new("private_CanaryCanaryCanary012345").expect("it is a key");
    let shapes: [(&str, &str, &str); 16] = [
        ("{\"hostname\":\"", "a", "\"}"),
        ("{\"hostname\":\"", "\\u0070", "\"}"),
        ("{\"hostname\":\"", "%25", "\"}"),
        ("{\"hostname\":\"", "&amp;", "\"}"),
        ("{\"hostname\":\"", "private_", "\"}"),
        (
            "{\"hostname\":\"",
            "cHJpdmF0ZV9DYW5hcnlDYW5hcnlDYW5hcnkwMTIzNDU ",
            "\"}",
        ),
        ("{\"hostname\":\"a\",\"x\":", "[", ""),
        ("{\"hostname\":\"a\",\"x\":", "{\"x\":", ""),
        ("{", "\"hostname\":\"a\",", "\"error\":0}"),
        ("{\"error\":0,\"x\":[", "0,", "0]}"),
        ("{\"error\":1,\"message\":\"", "too many ", "\"}"),
        ("{\"policy_violations\":[", "{\"suspend_at\":1},", "{}]}"),
        (
            "{\"policy_violations\":[",
            "{\"suspend_at\":1,\"suspend_at\":1},",
            "{}]}",
        ),
        ("{\"snapshots\":{", "\"a\":{\"size\":\"x\"},", "\"b\":{}}}"),
        (
            "{\"dataTransferMultipliers\":{",
            "\"USCA_2\":1,",
            "\"x\":1}}",
        ),
        (
            "{\"data\":[",
            "{\"timestamp\":1,\"cpu_usage\":1},",
            "{\"timestamp\":2}]}",
        ),
    ];
    for (before, piece, after) in shapes {
        let call = match before.split('"').nth(1) {
            Some("policy_violations") => Call::PolicyViolations,
            Some("snapshots") => Call::SnapshotList,
            Some("dataTransferMultipliers") => Call::MigrateLocations,
            _ => Call::ServiceInfo,
        };
        for call in [call, Call::RawUsageStats] {
            let work = |input: &str| drop(decode(call, &key, input.as_bytes(), &mut |_| {}));
            let what = format!("{} of {before}{piece}...{after}", call.name());
            assert_linear(&what, &work, &|length| {
                repeated(before, piece, after, length)
            });
        }
    }
}

#[test]
fn repetitive_headers_take_linear_time() {
    for piece in [
        ",",
        ";",
        "text/plain;q=0.5,",
        "*/*;",
        "q=0.5;",
        "application/openmetrics-text;version=1.0.0,",
        " ",
    ] {
        let work = |input: &str| {
            let _ = (
                negotiate([input].into_iter()),
                accepts_gzip([input].into_iter()),
            );
        };
        assert_linear(piece, &work, &|length| repeated("", piece, "", length));
    }
}
