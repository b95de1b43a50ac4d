//! Measures memory and time of decoding usage history by its length. Run with `cargo bench --bench usage`.
//!
//! The bench fails beyond these limits:
//! - Decoding a response uses at most 64 KiB of heap, at any length of the history.
//! - The resident memory of `backfill` grows by at most 4 MiB from 30 days to two years.
//! - The time per row does not depend on the number and order of the rows.
//! - No chunk of a response blocks the thread for more than 50 ms.
//!
//! Medians of five runs on two busy cores: 14 to 16 KiB of heap at any length. For two years (30 MiB), a typed struct
//! takes 50 MiB and `serde_json::Value` 183 MiB. Lenient streaming takes 0.2 s for two years: three times as long as
//! the typed struct, and 0.5 to 1.1 times as long as `Value`. A row takes 0.5 us, for 10,000 and 300,000 rows, sorted
//! or shuffled. The slowest chunk of 86,400 rows takes 1 to 4 ms. `backfill` uses 7 MiB of resident memory, for 30 days
//! and for two years.

#![expect(
    clippy::cast_precision_loss,
    reason = "bytes and microseconds, far below 2^53"
)]

mod backfill;

use std::fmt::Write as _;
use std::time::Instant;

use kiwivm_exporter::fleet::{UsageHistory, UsageReading};
use kiwivm_exporter::kiwivm::model::UsageRow;
use kiwivm_exporter::kiwivm::{ApiKey, Call, UsageStream, decode};
use kiwivm_exporter::units::{Bytes, UnixSeconds};
use peak_alloc::PeakAlloc;
use serde::Deserialize;
use serde_json::Value;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const RUNS: usize = 5;
/// Index of the typed struct, the baseline for times.
const TYPED: usize = 2;
const ROWS_A_DAY: i64 = 288;
/// Size of the chunks that the network delivers, in bytes.
const CHUNK: usize = 16 << 10;
const START: i64 = 1_700_000_000;
/// Limit of heap while decoding a response.
const HEAP_LIMIT: usize = 64 << 10;
/// Limit of additional heap for a screenshot in a live response.
const SCREENSHOT_LIMIT: usize = 1 << 10;
/// Limit of the ratio between the times for the slowest order and for sorted rows.
const ORDER_LIMIT: f64 = 4.0;
/// Limit of the time that a chunk blocks the thread, in microseconds.
const LONGEST_CHUNK_MICROS: u128 = 50_000;

/// Builds a response with rows of the size that the API sends.
fn response(rows: i64) -> String {
    let mut text = String::from("{\"data\":[");
    for row in 0..rows {
        let comma = if row > 0 { "," } else { "" };
        let (time, noise) = (START + row * 300, row * 7919 % 1_000_000);
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "{comma}{{\"timestamp\":{time},\"cpu_usage\":{},\"network_in_bytes\":{},\"network_out_bytes\":{},\"disk_read_bytes\":{},\"disk_write_bytes\":{}}}",
            noise % 100,
            noise * 31,
            noise * 47,
            noise * 13,
            noise * 17
        );
    }
    text.push_str("],\"error\":0}");
    text
}

#[derive(Deserialize)]
struct Typed {
    data: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    timestamp: i64,
    cpu_usage: f64,
    network_in_bytes: u64,
    network_out_bytes: u64,
    disk_read_bytes: u64,
    disk_write_bytes: u64,
}

/// Buffers the whole body, as a client without streaming does.
fn whole_body(text: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for chunk in text.as_bytes().chunks(CHUNK) {
        body.extend_from_slice(chunk);
    }
    body
}

fn streamed(text: &str, mut reading: UsageReading) -> UsageHistory {
    let mut stream = UsageStream::default();
    for chunk in text.as_bytes().chunks(CHUNK) {
        let pushed = stream.push(chunk, &mut |row| reading.take(row));
        pushed.expect("valid response");
    }
    stream.finish(&key()).expect("valid response");
    reading.finish().expect("there are rows")
}

fn typed(text: &str, mut reading: UsageReading) -> UsageHistory {
    let response: Typed = serde_json::from_slice(&whole_body(text)).expect("valid response");
    for row in response.data {
        reading.take(UsageRow {
            timestamp: UnixSeconds(row.timestamp),
            cpu_percent: Some(row.cpu_usage),
            network_in: Some(Bytes(row.network_in_bytes)),
            network_out: Some(Bytes(row.network_out_bytes)),
            disk_read: Some(Bytes(row.disk_read_bytes)),
            disk_written: Some(Bytes(row.disk_write_bytes)),
        });
    }
    reading.finish().expect("there are rows")
}

fn generic(text: &str, mut reading: UsageReading) -> UsageHistory {
    let response: Value = serde_json::from_slice(&whole_body(text)).expect("valid response");
    for row in response["data"].as_array().expect("a list") {
        reading.take(UsageRow {
            timestamp: UnixSeconds(row["timestamp"].as_i64().expect("a number")),
            cpu_percent: row["cpu_usage"].as_f64(),
            network_in: row["network_in_bytes"].as_u64().map(Bytes),
            network_out: row["network_out_bytes"].as_u64().map(Bytes),
            disk_read: row["disk_read_bytes"].as_u64().map(Bytes),
            disk_written: row["disk_write_bytes"].as_u64().map(Bytes),
        });
    }
    reading.finish().expect("there are rows")
}

fn key() -> ApiKey {
    ApiKey::new("private_x").expect("valid key")
}

fn median<T: Ord + Copy>(mut of: Vec<T>) -> T {
    of.sort_unstable();
    of[of.len() / 2]
}

/// Returns the additional peak heap in bytes, and the time in microseconds.
fn measure(work: impl Fn() -> UsageHistory) -> (usize, u128) {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let started = Instant::now();
    std::hint::black_box(work());
    let micros = started.elapsed().as_micros();
    (HEAP.peak_usage() - before, micros)
}

type Decode = fn(&str, UsageReading) -> UsageHistory;

fn decoding() {
    println!(
        "{:<10}{:>8}{:>10}  {:<30}{:>12}{:>10}{:>10}{:>8}",
        "history", "rows", "KiB", "decoded by", "heap KiB", "of body", "ms", "ratio"
    );
    for (name, days) in [
        ("1 day", 1),
        ("30 days", 30),
        ("1 year", 365),
        ("2 years", 730),
    ] {
        let rows = days * ROWS_A_DAY;
        let text = response(rows);
        // A realistic later poll: counting began with the first row, and two rows are new since the previous poll.
        let started = streamed(&response(1), UsageReading::new(None, now(rows)));
        let previous = streamed(
            &response(rows - 2),
            UsageReading::new(Some(&started), now(rows)),
        );
        let decoders: [(&str, Decode, Option<&UsageHistory>); 4] = [
            ("this exporter, first poll", streamed, None),
            ("this exporter, later poll", streamed, Some(&previous)),
            ("typed struct, later poll", typed, Some(&previous)),
            ("serde_json::Value, later poll", generic, Some(&previous)),
        ];
        let expected = streamed(&text, UsageReading::new(Some(&previous), now(rows)));
        let mut found = decoders.map(|_| (Vec::new(), Vec::new()));
        // Interleaved, so that other load on the machine slows all decoders equally.
        for _ in 0..RUNS {
            for ((decoder, decode, before), (heap, micros)) in decoders.iter().zip(&mut found) {
                let work = || decode(&text, UsageReading::new(*before, now(rows)));
                assert!(
                    before.is_none() || work() == expected,
                    "{decoder} has a different result"
                );
                let measured = measure(work);
                heap.push(measured.0);
                micros.push(measured.1);
            }
        }
        let found = found.map(|(heap, micros)| (median(heap), median(micros)));
        let base = found[TYPED].1;
        for (index, ((decoder, ..), (heap, micros))) in decoders.into_iter().zip(found).enumerate()
        {
            if index < TYPED {
                assert!(
                    heap <= HEAP_LIMIT,
                    "{decoder}, {name}: {heap} bytes of heap"
                );
            }
            let once = |text: String| if index == 0 { text } else { String::new() };
            println!(
                "{:<10}{:>8}{:>10}  {decoder:<30}{:>12.1}{:>10.3}{:>10.2}{:>8.2}",
                once(name.to_owned()),
                once(rows.to_string()),
                once((text.len() >> 10).to_string()),
                heap as f64 / 1024.0,
                heap as f64 / text.len() as f64,
                micros as f64 / 1000.0,
                micros as f64 / base as f64
            );
        }
    }
}

/// Measures responses with only new rows, by number and order of the rows: the total time, and the longest time that a
/// chunk blocks the thread.
fn orders() {
    println!(
        "\n{:<10}{:>8}{:>12}{:>12}{:>24}",
        "order", "rows", "ms", "us a row", "longest chunk in ms"
    );
    for rows in [10_000, 86_400, 300_000] {
        let ascending: Vec<i64> = (1..=rows).collect();
        let descending: Vec<i64> = (1..=rows).rev().collect();
        // The step is a prime, so every index occurs once.
        let shuffled: Vec<i64> = (0..rows).map(|at| at * 52_711 % rows + 1).collect();
        let started = response_at(&[0]);
        let previous = streamed(&started, UsageReading::new(None, now(rows)));
        let mut base = f64::INFINITY;
        for (order, times) in [
            ("ascending", &ascending),
            ("descending", &descending),
            ("shuffled", &shuffled),
        ] {
            let text = response_at(times);
            let runs =
                (0..RUNS).map(|_| paced(&text, UsageReading::new(Some(&previous), now(rows))));
            let (micros, longest) = median(runs.collect());
            let ms = micros as f64 / 1000.0;
            println!(
                "{order:<10}{rows:>8}{ms:>12.1}{:>12.2}{:>24.2}",
                micros as f64 / rows as f64,
                longest as f64 / 1000.0
            );
            base = base.min(ms);
            assert!(
                ms <= base * ORDER_LIMIT,
                "{order}: {ms} ms, ascending {base} ms"
            );
            assert!(
                longest <= LONGEST_CHUNK_MICROS,
                "{order}: {longest} us for one chunk"
            );
        }
    }
}

/// Builds a response with rows at these seconds after `START`.
fn response_at(seconds: &[i64]) -> String {
    let row = |at: &i64| format!("{{\"timestamp\":{},\"network_in_bytes\":{at}}}", START + at);
    let rows: Vec<_> = seconds.iter().map(row).collect();
    format!("{{\"data\":[{}],\"error\":0}}", rows.join(","))
}

/// Returns the microseconds for a response and for its slowest chunk.
fn paced(text: &str, mut reading: UsageReading) -> (u128, u128) {
    let mut stream = UsageStream::default();
    let mut longest = 0;
    let started = Instant::now();
    for chunk in text.as_bytes().chunks(CHUNK) {
        let started = Instant::now();
        let pushed = stream.push(chunk, &mut |row| reading.take(row));
        pushed.expect("valid response");
        longest = longest.max(started.elapsed().as_micros());
    }
    let last = Instant::now();
    stream.finish(&key()).expect("valid response");
    std::hint::black_box(reading.finish());
    longest = longest.max(last.elapsed().as_micros());
    (started.elapsed().as_micros(), longest)
}

fn now(rows: i64) -> UnixSeconds {
    UnixSeconds((START + rows * 300) as f64)
}

/// Checks that the screenshot in a live response uses almost no heap, as it is skipped.
fn screenshot() {
    let sample = include_str!("../../tests/samples/live_kvm_running.wire.json");
    let mut response: Value = serde_json::from_str(sample).expect("valid JSON");
    let peaks = [0, 200 << 10].map(|length| {
        // PHP escapes every slash.
        let screenshot = "iVBORw0KGgo/".repeat(length / 12);
        response["screendump_png_base64"] = screenshot.into();
        let body = response.to_string().replace('/', "\\/");
        let before = HEAP.current_usage();
        HEAP.reset_peak_usage();
        let decoded = decode(Call::LiveServiceInfo, &key(), body.as_bytes(), &mut |_| {});
        let peak = HEAP.peak_usage() - before;
        assert!(decoded.is_ok());
        (body.len(), peak)
    });
    println!("\n{:<32}{:>10}{:>12}", "live response", "KiB", "heap bytes");
    for ((length, peak), name) in peaks
        .iter()
        .zip(["without a screenshot", "with one of 200 KiB"])
    {
        println!("{name:<32}{:>10}{peak:>12}", length >> 10);
    }
    let additional = peaks[1].1.saturating_sub(peaks[0].1);
    assert!(
        additional <= SCREENSHOT_LIMIT,
        "the screenshot uses {additional} bytes"
    );
}

fn main() {
    decoding();
    orders();
    screenshot();
    backfill::backfill();
}
