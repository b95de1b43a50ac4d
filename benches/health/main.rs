//! No response, whatever its length and order, keeps `/-/healthy` waiting: nothing that the exporter does with it holds
//! its thread for 100 ms. `cargo bench --bench health` measures that, and fails beyond it.
//!
//! An exporter with a state file polls one VPS beside a task that is always ready. The longest time between two turns of
//! that task is what a request may have to wait. The thread's own time is measured, so that it does not matter what else
//! the machine does.
//!
//! Measured on two busy cores: 0.4 ms for 10,000 rows, 1.2 to 2 ms for 86,400, 3 to 5.8 ms for 300,000, whatever their
//! order; 0.3 to 2.9 ms for other responses of 4 MB.

#[path = "../../tests/e2e/mock.rs"]
#[expect(dead_code, reason = "tests use more of it")]
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
use reqwest::Url;
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

use mock::{Mock, Reply};

/// Nothing may wait longer.
const LONGEST: Duration = Duration::from_millis(100);
/// A call that is not made in this time never is.
const PATIENCE: Duration = Duration::from_secs(90);
/// Everything is polled this often.
const INTERVAL: Duration = Duration::from_millis(100);
const TIME_SCALE: f64 = 1000.0;
const VPS: Veid = Veid(1);

/// The time that this thread has run.
fn ran() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

fn unix_now() -> u64 {
    let now = std::time::UNIX_EPOCH.elapsed();
    now.expect("it is long after 1970").as_secs()
}

/// A response of usage rows of these times.
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
    gzip.write_all(text.as_bytes()).expect("memory takes it");
    gzip.finish().expect("memory takes it")
}

/// The account in a thread of its own, whose time does not count.
fn account() -> Mock {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("there is a runtime").block_on(async {
            let mock = Mock::start([VPS.0]).await;
            mock.plenty_of_points(VPS.0);
            sender.send(mock).expect("somebody waits");
            std::future::pending::<()>().await;
        });
    });
    receiver.recv().expect("it starts")
}

struct Polled {
    mock: Mock,
    fleet: SharedFleet,
    /// The longest time between two turns of a task that is always ready, in nanoseconds.
    longest: Arc<AtomicU64>,
    _stop: watch::Sender<bool>,
    _folder: TempDir,
}

/// An exporter in this thread, with a state file.
fn poll() -> Polled {
    let mock = account();
    let endpoint = Url::parse(&mock.endpoint).expect("it is a URL");
    let interval = INTERVAL.mul_f64(TIME_SCALE);
    let intervals = Intervals {
        live: interval,
        usage: interval,
        points: interval,
        inventory: interval,
    };
    let key = ApiKey::new("private_x").expect("it is a key");
    let mut config = Config::for_simulator(
        endpoint.clone(),
        intervals,
        1000.0,
        [("one".to_owned(), VPS, key)],
    );
    config.budget.download = u64::MAX;
    let proxy = None;
    let client = Client::new(ClientOptions { endpoint, proxy }).expect("loopback is allowed");
    let fleet = fleet_of(&config);
    let mut poller = Poller::new(&config, client, fleet.clone(), Clock::start(), TIME_SCALE);
    let folder = TempDir::new().expect("there is room");
    let (file, state) =
        StateFile::open(&folder.path().join("state"), 0.0).expect("it can be written");
    poller.keep_state(file, state);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        let (_reloads, none) = mpsc::channel(1);
        poller.run(none, stopped).await;
    });
    let longest = Arc::new(AtomicU64::new(0));
    let measured = longest.clone();
    tokio::spawn(async move {
        let mut last = ran();
        loop {
            tokio::task::yield_now().await;
            let now = ran();
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

    /// Waits until a call was made so many times more, with this response, and returns the longest time without a turn.
    async fn made(&self, call: Call, reply: Reply, times: u64) -> Duration {
        self.mock.reply(VPS.0, call.name(), reply);
        self.longest.store(0, Ordering::Relaxed);
        // One may be on its way with the response before.
        let wanted = self.attempts(call) + times + 1;
        let deadline = Instant::now() + PATIENCE;
        while self.attempts(call) < wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert!(Instant::now() < deadline, "{} is not made", call.name());
        }
        Duration::from_nanos(self.longest.load(Ordering::Relaxed))
    }
}

/// Polls until a call brought this response twice, and returns the longest time without a turn.
fn measure(call: Call, before: Option<Reply>, reply: Reply) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    // All tasks end with it.
    runtime.expect("there is a runtime").block_on(async {
        let polled = poll();
        if let Some(before) = before {
            polled.made(call, before, 1).await;
        }
        polled.made(call, reply, 2).await
    })
}

fn check(what: &str, took: Duration) {
    println!("{what:<60}{:>8.2} ms", took.as_secs_f64() * 1000.0);
    assert!(took < LONGEST, "{what} holds the thread for {took:?}");
}

/// Usage history by length and order.
fn usage() {
    for count in [10_000, 86_400, 300_000] {
        let newest = unix_now();
        let first = newest - count;
        let number = usize::try_from(count).unwrap_or_default();
        for (order, times) in [
            ("ascending", (first..newest).collect::<Vec<_>>()),
            ("descending", (first..newest).rev().collect()),
            // Steps of a prime visit all of them.
            (
                "shuffled",
                (0..count).map(|at| first + at * 52_711 % count).collect(),
            ),
            ("all the same", vec![newest - 1; number]),
        ] {
            // Counting begins before all of them: to the first response they are new, to the second known.
            let before = Reply::Body(rows([first - 1]));
            let reply = Reply::Whole(200, "Content-Encoding: gzip\r\n", gzip(&rows(times)));
            let took = measure(Call::RawUsageStats, Some(before), reply);
            check(&format!("{count} usage rows, {order}"), took);
        }
    }
}

/// Other responses, as large as they may be.
fn others() {
    const LARGEST: usize = 4_000_000;
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
        let body = format!("{before}{}{after}", piece.repeat(LARGEST / piece.len()));
        let what = format!("{} {before}{piece}", call.name());
        check(
            &format!("{what:.58}"),
            measure(call, None, Reply::Body(body)),
        );
    }
}

fn main() {
    usage();
    others();
}
