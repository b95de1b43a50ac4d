//! Hours of faults, and a hundred kills: nothing grows, nothing stops, and no byte is counted twice or lost. Only on
//! demand; docs/testing.md tells how.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use kiwivm_exporter::kiwivm::mix;
use serde_json::Value;
use tempfile::TempDir;

use crate::exporter::{Exporter, config, get, http};
use crate::page::Page;
use crate::simulator::simulator;

const VPS: u64 = 12;
const FIRST: u64 = 1_000_001;
/// A row a second, a live call of each VPS every 0.4 seconds.
const TIME_SCALE: u32 = 300;
/// The longest wait for what comes back after faults. A refused key pauses a VPS for twelve seconds of this time.
const RECOVERY: Duration = Duration::from_secs(120);
/// The poller, the listener and the rest of the runtime have this long to take what they need.
const WARM_UP: f64 = 0.2;
/// Faults change after so long.
const FAULTS_LAST: Duration = Duration::from_secs(4);

const KINDS: [&str; 14] = [
    "slow",
    "hang",
    "reset",
    "truncated",
    "html",
    "empty",
    "wrong_types",
    "odd_field",
    "missing_error",
    "auth",
    "locked",
    "rate_limited",
    "http500",
    "jumping_points",
];
const COUNTERS: [&str; 4] = [
    "kiwivm_network_receive_bytes_total",
    "kiwivm_network_transmit_bytes_total",
    "kiwivm_disk_read_bytes_total",
    "kiwivm_disk_written_bytes_total",
];

fn number(variable: &str, default: u64) -> u64 {
    let value = std::env::var(variable).ok();
    value.map_or(default, |value| value.parse().expect("it is a number"))
}

/// Numbers that differ from run to run, and are printed.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let now = std::time::UNIX_EPOCH
            .elapsed()
            .expect("it is long after 1970");
        let seed = number("KIWIVM_SOAK_SEED", now.as_secs());
        println!("KIWIVM_SOAK_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0) % limit
    }

    fn pick(&mut self, of: &[&'static str]) -> &'static str {
        of[usize::try_from(self.below(of.len() as u64)).unwrap_or_default()]
    }
}

/// A simulated account, the exporter before it, and its configuration.
struct Soak {
    account: Exporter,
    exporter: Exporter,
    flag: String,
    folder: TempDir,
}

impl Soak {
    async fn start(more: &str) -> Self {
        let scale = format!("--time-scale={TIME_SCALE}");
        let vps = format!("--vps={VPS}");
        // Points are not the subject, and a day of history is enough.
        let points = "--points.sizes=1000000,100000000";
        let account = simulator(&[&scale, &vps, points, "--history=1", "--live.latency=0.02"]);
        let mut yaml = format!(
            "api: {{endpoint: \"{}/v1\"}}\nbudget: {{share: 1, scope: account, download: 1000GiB}}\n{more}\nvps:\n",
            account.url
        );
        for veid in FIRST..FIRST + VPS {
            let _ = writeln!(
                yaml,
                "  - {{name: \"{veid}\", veid: {veid}, api_key: private_test}}"
            );
        }
        let (folder, flag) = config(&yaml);
        for veid in FIRST..FIRST + VPS {
            crate::simulator::set_key(&account, veid).await;
        }
        control(&account, "halt", "true").await;
        Self {
            exporter: begin(&flag),
            account,
            flag,
            folder,
        }
    }

    async fn truth(&self) -> Vec<Value> {
        let account = get(&format!("{}/_simulator/account", self.account.url)).await;
        let account: Value = serde_json::from_str(&account).expect("it is JSON");
        account["vps"].as_array().expect("it is a list").clone()
    }

    /// Waits until every VPS has begun to count, and returns the rows that counting begins with.
    async fn begins(&self) -> BTreeSet<(u64, i64)> {
        let begun = |page: &Page| {
            page.series(COUNTERS[0], &[]).count() == usize::try_from(VPS).unwrap_or_default()
        };
        self.wait_for("counting begins", begun).await;
        let truth = self.truth().await;
        let rows = |vps: &Value| {
            let veid = vps["veid"].as_u64().expect("it is a number");
            let rows = vps["usage_rows"].as_array().expect("it is a list").clone();
            rows.into_iter()
                .filter_map(move |row| Some((veid, row[0].as_i64()?)))
        };
        truth.iter().flat_map(rows).collect()
    }

    /// The counters that must come out.
    async fn expected(&self, first: &BTreeSet<(u64, i64)>) -> BTreeMap<(u64, usize), f64> {
        let mut expected = BTreeMap::new();
        for vps in self.truth().await {
            let veid = vps["veid"].as_u64().expect("it is a number");
            let rows = vps["usage_rows"].as_array().expect("it is a list");
            let new = |row: &&Value| {
                row[0]
                    .as_i64()
                    .is_some_and(|at| !first.contains(&(veid, at)))
            };
            for number in 0..COUNTERS.len() {
                let sum = rows
                    .iter()
                    .filter(new)
                    .filter_map(|row| row[number + 1].as_f64())
                    .sum();
                expected.insert((veid, number), sum);
            }
        }
        expected
    }

    async fn wait_for(&self, what: &str, is: impl Fn(&Page) -> bool) -> Page {
        let deadline = Instant::now() + RECOVERY;
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        loop {
            tick.tick().await;
            let page = self.exporter.scrape().await;
            if is(&page) {
                return page;
            }
            assert!(
                Instant::now() < deadline,
                "{what} did not happen:\n{page:#?}"
            );
        }
    }
}

fn begin(flag: &str) -> Exporter {
    Exporter::start(&[&format!("--simulator.time-scale={TIME_SCALE}"), flag])
}

async fn control(account: &Exporter, route: &str, body: &str) {
    let url = format!("{}/_simulator/{route}", account.url);
    let response = http()
        .post(url)
        .body(body.to_owned())
        .send()
        .await
        .expect("it responds");
    assert!(
        response.status().is_success(),
        "{:?}",
        response.text().await
    );
}

/// The counters by VPS and number.
fn counters(page: &Page) -> BTreeMap<(u64, usize), f64> {
    let mut found = BTreeMap::new();
    for veid in FIRST..FIRST + VPS {
        for (number, counter) in COUNTERS.iter().enumerate() {
            if let Some(value) = page.of(&veid.to_string(), counter) {
                found.insert((veid, number), value);
            }
        }
    }
    found
}

/// Series that are lower than before, or gone.
fn fallen<K: Ord + std::fmt::Debug + Clone>(
    before: &BTreeMap<K, f64>,
    after: &BTreeMap<K, f64>,
) -> Vec<K> {
    let fell = |(series, value): &(&K, &f64)| after.get(series).is_none_or(|now| now < value);
    before
        .iter()
        .filter(fell)
        .map(|(series, _)| series.clone())
        .collect()
}

/// What the process takes: KiB of memory, descriptors, threads.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Taken {
    resident: u64,
    descriptors: u64,
    threads: u64,
}

fn taken(process: u32) -> Taken {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        value.expect("it is a number")
    };
    let descriptors = std::fs::read_dir(format!("/proc/{process}/fd")).expect("it runs");
    Taken {
        resident: field("VmRSS:"),
        descriptors: descriptors.count() as u64,
        threads: field("Threads:"),
    }
}

fn median(taken: &[Taken], of: impl Fn(&Taken) -> u64) -> u64 {
    let mut values: Vec<u64> = taken.iter().map(of).collect();
    values.sort_unstable();
    values[values.len() / 2]
}

/// Asks for a page, and returns how long it took.
async fn ask(url: &str) -> Duration {
    let asked = Instant::now();
    let response = http().get(url).send().await.expect("it responds");
    assert_eq!(response.status(), 200, "{url}");
    let _ = response.bytes().await;
    asked.elapsed()
}

#[tokio::test]
#[ignore = "takes as long as KIWIVM_SOAK_SECONDS says"]
async fn hours_of_faults() {
    let lasts = Duration::from_secs(number("KIWIVM_SOAK_SECONDS", 60));
    let mut dice = Dice::new();
    let soak = Soak::start(
        "intervals: {live: 2m, usage: 10m, points: 10m, inventory: 1h}\nstate_file: state.json",
    )
    .await;
    let first = soak.begins().await;
    control(&soak.account, "halt", "false").await;
    let process = soak.exporter.id();
    let started = Instant::now();
    let (mut measured, mut slowest) = (Vec::new(), Duration::ZERO);
    let mut totals: BTreeMap<String, f64> = BTreeMap::new();
    let mut faults_end = Instant::now();
    let mut rounds = 0_u32;
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    while started.elapsed() < lasts {
        tick.tick().await;
        if Instant::now() >= faults_end {
            faults_end = Instant::now() + FAULTS_LAST;
            let faults: Vec<String> = (0..dice.below(6)).map(|_| fault(&mut dice)).collect();
            control(&soak.account, "faults", &format!("[{}]", faults.join(","))).await;
            if dice.below(10) == 0 {
                soak.exporter.signal("HUP");
            }
        }
        let page = soak.exporter.scrape().await;
        let now: BTreeMap<String, f64> = page
            .samples
            .into_iter()
            .filter(|(series, _)| is_counter(series))
            .collect();
        assert_eq!(fallen(&totals, &now), [""; 0], "counters fell");
        totals = now;
        let path = dice.pick(&["/", "/status.json", "/metrics?vps=1000003", "/-/ready"]);
        ask(&format!("{}{path}", soak.exporter.url)).await;
        slowest = slowest.max(ask(&format!("{}/-/healthy", soak.exporter.url)).await);
        rounds += 1;
        if rounds.is_multiple_of(20) {
            measured.push(taken(process));
        }
    }
    control(&soak.account, "faults", "[]").await;
    let all_up = |page: &Page| {
        let up = page.series("kiwivm_up", &[]).filter(|(_, up)| *up > 0.5);
        up.count() == usize::try_from(VPS).unwrap_or_default()
    };
    soak.wait_for("every VPS is up again", all_up).await;
    at_rest(&soak, &first).await;

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a few thousand"
    )]
    let warm = ((measured.len() as f64 * WARM_UP) as usize).min(measured.len() - 1);
    let steady = &measured[warm..];
    let part = steady.len().div_ceil(4);
    let (begin, end) = (&steady[..part], &steady[steady.len() - part..]);
    println!(
        "{rounds} rounds in {:?}; /-/healthy took {slowest:?} at most",
        started.elapsed()
    );
    println!("            begin     end    most");
    for (what, of) in [
        ("memory KiB", (|taken| taken.resident) as fn(&Taken) -> u64),
        ("descriptors", |taken| taken.descriptors),
        ("threads", |taken| taken.threads),
    ] {
        let most = measured.iter().map(of).max().unwrap_or_default();
        println!(
            "{what:11} {:6} {:7} {most:7}",
            median(begin, of),
            median(end, of)
        );
    }
    let resident = |part: &[Taken]| median(part, |taken| taken.resident);
    assert!(
        resident(end) <= resident(begin) * 11 / 10 + 1024,
        "memory grows"
    );
    // The simulator's connections come and go.
    let descriptors = |part: &[Taken]| median(part, |taken| taken.descriptors);
    assert!(
        descriptors(end) <= descriptors(begin) + 10,
        "descriptors leak"
    );
    let threads = |part: &[Taken]| median(part, |taken| taken.threads);
    assert!(threads(end) <= threads(begin) + 1, "threads leak");
}

fn is_counter(series: &str) -> bool {
    let name = series.split('{').next().unwrap_or_default();
    (name.ends_with("_total") || name.ends_with("_bucket") || name.ends_with("_count"))
        && !name.starts_with("process_cpu")
}

fn fault(dice: &mut Dice) -> String {
    let kind = dice.pick(&KINDS);
    let veid = match dice.below(4) {
        0 => String::new(),
        _ => format!("\"veid\": {}, ", FIRST + dice.below(VPS)),
    };
    let call = match dice.below(2) {
        0 => String::new(),
        _ => format!(
            "\"call\": \"{}\", ",
            dice.pick(&[
                "getLiveServiceInfo",
                "getServiceInfo",
                "getRawUsageStats",
                "getRateLimitStatus",
                "backup/list"
            ])
        ),
    };
    // Without a limit one that hangs or refuses the key would hold up its VPS until the end of the soak.
    let first = if kind == "auth" || kind == "hang" || veid.is_empty() {
        "\"first\": 1, "
    } else {
        ""
    };
    format!("{{{veid}{call}{first}\"seconds\": 1, \"kind\": \"{kind}\"}}")
}

/// Halts the story and checks that all that happened was counted, to the byte.
async fn at_rest(soak: &Soak, first: &BTreeSet<(u64, i64)>) {
    control(&soak.account, "halt", "true").await;
    let expected = soak.expected(first).await;
    let page = soak
        .wait_for("everything is counted", |page| {
            let counters = counters(page);
            let above = expected
                .iter()
                .find(|(series, is)| counters.get(series).is_some_and(|value| value > *is));
            assert_eq!(above, None, "more was counted than there is");
            counters == expected
        })
        .await;
    let ignored: f64 = page
        .series("kiwivm_usage_rows_ignored_total", &[])
        .map(|(_, rows)| rows)
        .sum();
    assert!(ignored.abs() < 0.5, "{ignored} rows were ignored");
    println!("{} counters are exact", expected.len());
}

#[tokio::test]
#[ignore = "takes seconds for each of KIWIVM_SOAK_KILLS"]
async fn a_hundred_kills() {
    let kills = number("KIWIVM_SOAK_KILLS", 100);
    let mut dice = Dice::new();
    let mut soak = Soak::start("intervals: {live: 1h, usage: 150s, points: 1h, inventory: 1h}\nstaleness: 1000\nstate_file: state.json").await;
    let first = soak.begins().await;
    control(&soak.account, "halt", "false").await;
    let mut seen = counters(&soak.exporter.scrape().await);
    for kill in 1..=kills {
        // The moment of the kill: some time after the last start or the last increase of a counter.
        if dice.below(2) == 0 {
            let before = seen.clone();
            soak.wait_for("more is counted", |page| counters(page) != before)
                .await;
        }
        let kills_at = Instant::now() + Duration::from_millis(dice.below(1500));
        while Instant::now() < kills_at {
            let now = counters(&soak.exporter.scrape().await);
            assert_eq!(fallen(&seen, &now), [], "before kill {kill}");
            seen = now;
        }
        soak.exporter.signal("KILL");
        soak.exporter.ended();
        soak.exporter = begin(&soak.flag);
        let now = counters(&soak.exporter.scrape().await);
        assert_eq!(fallen(&seen, &now), [], "after kill {kill}");
        seen = now;
    }
    at_rest(&soak, &first).await;
    let left: Vec<_> = std::fs::read_dir(soak.folder.path())
        .expect("it is there")
        .filter_map(|entry| Some(entry.ok()?.file_name()))
        .collect();
    println!("{kills} kills; beside the state file: {left:?}");
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().contains("set-aside")),
        "{left:?}"
    );
}
