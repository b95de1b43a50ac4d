//! Work grows with the input and no faster, whatever is repeated in it.

use std::time::Duration;

use kiwivm_exporter::exposition::format::{accepts_gzip, negotiate};
use kiwivm_exporter::kiwivm::{ApiKey, Call, decode};
use rustix::time::{ClockId, clock_gettime};

/// Bytes of the smaller input, and how much larger the other one is.
const SMALL: usize = 40_000;
const LARGER: usize = 8;
/// Linear work takes eight times as long, quadratic work 64 times.
const MOST: f64 = 24.0;

/// Seconds that this thread has run: what others do on the machine does not count.
fn ran() -> f64 {
    let ran = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(ran).unwrap_or_default().as_secs_f64()
}

/// The least of a few runs; at least a tenth of a millisecond, so that no noise is divided by.
fn cost(work: &dyn Fn(&str), input: &str) -> f64 {
    let once = || {
        let before = ran();
        work(input);
        ran() - before
    };
    (0..3).map(|_| once()).fold(f64::MAX, f64::min).max(1e-4)
}

fn is_linear(what: &str, work: &dyn Fn(&str), input: &dyn Fn(usize) -> String) {
    let (small, large) = (input(SMALL), input(SMALL * LARGER));
    let ratio = cost(work, &large) / cost(work, &small);
    assert!(
        ratio < MOST,
        "{what}: {ratio:.0} times the work for {LARGER} times the input"
    );
}

/// A text of this length in the end, repeated between two others.
fn repeated(before: &str, piece: &str, after: &str, length: usize) -> String {
    format!("{before}{}{after}", piece.repeat(length / piece.len()))
}

#[test]
fn responses_with_much_of_the_same() {
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
            is_linear(&what, &work, &|length| {
                repeated(before, piece, after, length)
            });
        }
    }
}

#[test]
fn headers_with_much_of_the_same() {
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
        is_linear(piece, &work, &|length| repeated("", piece, "", length));
    }
}
