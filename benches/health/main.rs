//! Checks that `/-/healthy` is never delayed: processing a response, of any length and order, must not block the thread
//! of the exporter for 100 ms. Run with `cargo bench --bench health`.
//!
//! An exporter with a state file polls one VPS next to a task that is always ready. The longest time between two polls
//! of that task is the longest delay of a request. It is measured in CPU time of the thread, which is independent of
//! other load on the machine.
//!
//! Results on two busy cores: 0.4 ms for 10,000 rows, 1.2 to 2 ms for 86,400, and 3 to 5.8 ms for 300,000, in any
//! order. Other responses of 4 MB take 0.3 to 2.9 ms.

#[path = "../../tests/e2e/mock.rs"]
#[expect(dead_code, reason = "only tests use all of it")]
mod mock;

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use kiwivm_exporter::clock::Clock;
use kiwivm_exporter::config::{Config, Intervals};
use kiwivm_exporter::kiwivm::{ApiKey, Call, Client, ClientOptions, Veid};
use kiwivm_exporter::poller::{Poller, SharedFleet, StateFile, fleet_of, lock};
use kiwivm_exporter::units::Bytes;
use kiwivm_exporter::units::UnixSeconds;
use reqwest::Url;
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

use mock::{Mock, Reply};

/// Limit of the time that the thread may be blocked.
const BLOCKING_LIMIT: Duration = Duration::from_millis(100);
/// Time limit of waiting for a call.
const CALL_TIMEOUT: Duration = Duration::from_secs(90);
/// Interval of all calls.
const INTERVAL: Duration = Duration::from_millis(100);
const TIME_SCALE: f64 = 1000.0;
const VPS: Veid = Veid(1);

/// Returns the CPU time of this thread.
fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

fn unix_now() -> u64 {
    let now = std::time::UNIX_EPOCH.elapsed();
    now.expect("after 1970").as_secs()
}

/// Builds a response with usage rows at these times.
fn rows(times: impl IntoIterator<Item = u64>) -> String {
    let mut text = String::from("{\"data\":[");
    for (position, time) in times.into_iter().enumerate() {
        let comma = if position > 0 { "," } else { "" };
        let _ = write!(
            text,
            "{comma}{{\"timestamp\":{time},\"cpu_usage\":7,\"network_in_bytes\":5}}"
        );
    }
    text + "],\"error\":0}"
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).expect("in memory");
    gzip.finish().expect("in memory")
}

/// Starts the account in a separate thread, which is not measured.
fn account() -> Mock {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("runtime").block_on(async {
            let mock = Mock::start([VPS.0]).await;
            mock.plenty_of_points(VPS.0);
            sender.send(mock).expect("receiver waits");
            std::future::pending::<()>().await;
        });
    });
    receiver.recv().expect("starts")
}

struct Polled {
    mock: Mock,
    fleet: SharedFleet,
    /// The longest time between two polls of a task that is always ready, in nanoseconds.
    longest: Arc<AtomicU64>,
    _stop: watch::Sender<bool>,
    _folder: TempDir,
}

/// Starts an exporter with a state file in this thread.
fn poll() -> Polled {
    let mock = account();
    let endpoint = Url::parse(&mock.endpoint).expect("valid URL");
    let interval = INTERVAL.mul_f64(TIME_SCALE);
    let intervals = Intervals {
        live: interval,
        usage: interval,
        points: interval,
        inventory: interval,
    };
    let key = ApiKey::new("private_x").expect("valid key");
    let mut config = Config::for_simulator(
        endpoint.clone(),
        intervals,
        1000.0,
        [("one".to_owned(), VPS, key)],
    );
    config.budget.download = Bytes(u64::MAX);
    let proxy = None;
    let client = Client::new(ClientOptions { endpoint, proxy }).expect("loopback is allowed");
    let fleet = fleet_of(&config);
    let clock = Clock::start().scaled(TIME_SCALE);
    let mut poller = Poller::new(&config, client, fleet.clone(), clock);
    let folder = TempDir::new().expect("writable");
    let (file, state) =
        StateFile::open(&folder.path().join("state"), UnixSeconds(0.0)).expect("writable");
    poller.keep_state(file, state);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        let (_reloads, none) = mpsc::channel(1);
        poller.run(none, stopped).await;
    });
    let longest = Arc::new(AtomicU64::new(0));
    let measured = longest.clone();
    tokio::spawn(async move {
        let mut last = thread_time();
        loop {
            tokio::task::yield_now().await;
            let now = thread_time();
            let nanos = u64::try_from(now.saturating_sub(last).as_nanos()).unwrap_or(u64::MAX);
            measured.fetch_max(nanos, Ordering::Relaxed);
            last = now;
        }
    });
    Polled {
        mock,
        fleet,
        longest,
        _stop: stop,
        _folder: folder,
    }
}

impl Polled {
    fn attempts(&self, call: Call) -> u64 {
        let fleet = lock(&self.fleet);
        let record = &fleet.vps()[0].calls[call];
        record.successes + record.failures()
    }

    /// Sets a reply and waits until a call has received it `times` times. Returns the longest time that the thread was
    /// blocked.
    async fn wait_for(&self, call: Call, reply: Reply, times: u64) -> Duration {
        self.mock.reply(VPS.0, call.name(), reply);
        self.longest.store(0, Ordering::Relaxed);
        // A call in flight may still receive the previous reply.
        let wanted = self.attempts(call) + times + 1;
        let deadline = Instant::now() + CALL_TIMEOUT;
        while self.attempts(call) < wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert!(Instant::now() < deadline, "{} was not made", call.name());
        }
        Duration::from_nanos(self.longest.load(Ordering::Relaxed))
    }
}

/// Polls until a call has received a reply twice. Returns the longest time that the thread was blocked.
fn measure(call: Call, before: Option<Reply>, reply: Reply) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    // Dropping the runtime ends all tasks.
    runtime.expect("runtime").block_on(async {
        let polled = poll();
        if let Some(before) = before {
            polled.wait_for(call, before, 1).await;
        }
        polled.wait_for(call, reply, 2).await
    })
}

fn check(name: &str, took: Duration) {
    println!("{name:<60}{:>8.2} ms", took.as_secs_f64() * 1000.0);
    assert!(
        took < BLOCKING_LIMIT,
        "{name} blocks the thread for {took:?}"
    );
}

/// Checks usage history by length and order.
fn usage() {
    for count in [10_000, 86_400, 300_000] {
        let newest = unix_now();
        let first = newest - count;
        let number = usize::try_from(count).unwrap_or_default();
        for (order, times) in [
            ("ascending", (first..newest).collect::<Vec<_>>()),
            ("descending", (first..newest).rev().collect()),
            // The step is a prime, so every index occurs once.
            (
                "shuffled",
                (0..count).map(|at| first + at * 52_711 % count).collect(),
            ),
            ("all the same", vec![newest - 1; number]),
        ] {
            // Counting begins before the oldest row: all rows are new in the first response and known in the second.
            let before = Reply::Body(rows([first - 1]));
            let reply = Reply::Whole(200, "Content-Encoding: gzip\r\n", gzip(&rows(times)));
            let took = measure(Call::RawUsageStats, Some(before), reply);
            check(&format!("{count} usage rows, {order}"), took);
        }
    }
}

/// Checks other responses of the maximum size.
fn others() {
    const MAX_SIZE: usize = 4_000_000;
    for (call, before, piece, after) in [
        (
            Call::LiveServiceInfo,
            "{\"error\":0,\"screendump_png_base64\":\"",
            "iVBORw0KGgo\\/",
            "\"}",
        ),
        (
            Call::LiveServiceInfo,
            "{\"error\":0,\"hostname\":\"",
            "\\u0070%70&#112;",
            "\"}",
        ),
        (
            Call::LiveServiceInfo,
            "{\"error\":0,\"hostname\":\"a\",\"x\":",
            "[",
            "",
        ),
        (
            Call::LiveServiceInfo,
            "{",
            "\"hostname\":\"a\",",
            "\"error\":0}",
        ),
        (
            Call::LiveServiceInfo,
            "{\"error\":1,\"message\":\"",
            "too many points ",
            "\"}",
        ),
        (
            Call::PolicyViolations,
            "{\"error\":0,\"policy_violations\":[",
            "{\"suspend_at\":1},",
            "{}]}",
        ),
        (
            Call::SuspensionDetails,
            "{\"error\":0,\"suspensions\":[",
            "[],",
            "{}]}",
        ),
        (
            Call::SnapshotList,
            "{\"error\":0,\"snapshots\":{",
            "\"a\":{\"size\":\"x\"},",
            "\"b\":{}}}",
        ),
        (
            Call::BackupList,
            "{\"error\":0,\"backups\":[",
            "[],",
            "{}]}",
        ),
        (
            Call::RawUsageStats,
            "{\"error\":0,\"data\":[",
            "[],",
            "{}]}",
        ),
        (
            Call::RawUsageStats,
            "{\"error\":0,\"data\":[{\"timestamp\":\"",
            "0",
            "\"}]}",
        ),
        (Call::RawUsageStats, "<html>", "<p>", "</html>"),
    ] {
        let body = format!("{before}{}{after}", piece.repeat(MAX_SIZE / piece.len()));
        let name = format!("{} {before}{piece}", call.name());
        check(
            &format!("{name:.58}"),
            measure(call, None, Reply::Body(body)),
        );
    }
}

fn main() {
    usage();
    others();
}
