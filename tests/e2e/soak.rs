//! Soak tests: hours of faults, and a hundred kills. Nothing leaks or stalls, and no byte is counted twice or lost.
//! They only run on demand, see docs/testing.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use kiwivm_exporter::kiwivm::mix;
use serde_json::Value;
use tempfile::TempDir;

use crate::exporter::{Exporter, config, get, http, unix_now};
use crate::page::Page;
use crate::simulator::{control, simulator};

const VPS: u64 = 12;
const FIRST: u64 = 1_000_001;
/// Makes a usage row every second and a live call of each VPS every 0.4 seconds.
const TIME_SCALE: u32 = 300;
/// Deadline for recovery after faults. A refused key pauses a VPS for twelve seconds at this time scale.
const RECOVERY: Duration = Duration::from_secs(120);
/// Part of the measurements to skip, while the runtime still allocates what it needs.
const WARM_UP: f64 = 0.2;
/// Time until the faults change.
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

/// Random numbers from a seed, which is printed.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let seed = number("KIWIVM_SOAK_SEED", unix_now());
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

/// A simulated account and the exporter polling it, with its configuration.
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
        // Points are plentiful, because these tests are not about the quota.
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
            exporter: start_exporter(&flag),
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

    /// Waits until every VPS has started counting. Returns the rows that the counters exclude.
    async fn wait_for_counters(&self) -> BTreeSet<(u64, i64)> {
        let counting = |page: &Page| {
            page.series(COUNTERS[0], &[]).count() == usize::try_from(VPS).unwrap_or_default()
        };
        self.wait_for("all counters exist", counting).await;
        let truth = self.truth().await;
        let rows = |vps: &Value| {
            let veid = vps["veid"].as_u64().expect("it is a number");
            let rows = vps["usage_rows"].as_array().expect("it is a list").clone();
            rows.into_iter()
                .filter_map(move |row| Some((veid, row[0].as_i64()?)))
        };
        truth.iter().flat_map(rows).collect()
    }

    /// Expected counters from the account.
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

fn start_exporter(flag: &str) -> Exporter {
    Exporter::start(&[&format!("--simulator.time-scale={TIME_SCALE}"), flag])
}

/// The counters by VPS and index.
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

/// Series that fell or disappeared.
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

/// Resources of the process. Memory is in KiB.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Resources {
    resident: u64,
    descriptors: u64,
    threads: u64,
}

fn resources(process: u32) -> Resources {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        value.expect("it is a number")
    };
    let descriptors = std::fs::read_dir(format!("/proc/{process}/fd")).expect("it runs");
    Resources {
        resident: field("VmRSS:"),
        descriptors: descriptors.count() as u64,
        threads: field("Threads:"),
    }
}

fn median(resources: &[Resources], of: impl Fn(&Resources) -> u64) -> u64 {
    let mut values: Vec<u64> = resources.iter().map(of).collect();
    values.sort_unstable();
    values[values.len() / 2]
}

/// Requests a page. Returns the response time.
async fn timed_get(url: &str) -> Duration {
    let started = Instant::now();
    let response = http().get(url).send().await.expect("it responds");
    assert_eq!(response.status(), 200, "{url}");
    let _ = response.bytes().await;
    started.elapsed()
}

#[tokio::test]
#[ignore = "runs for KIWIVM_SOAK_SECONDS"]
async fn survives_hours_of_faults() {
    let duration = Duration::from_secs(number("KIWIVM_SOAK_SECONDS", 60));
    let mut dice = Dice::new();
    let soak = Soak::start(
        "intervals: {live: 2m, usage: 10m, points: 10m, inventory: 1h}\nstate_file: state.json",
    )
    .await;
    let first = soak.wait_for_counters().await;
    control(&soak.account, "halt", "false").await;
    let process = soak.exporter.id();
    let started = Instant::now();
    let (mut measured, mut slowest) = (Vec::new(), Duration::ZERO);
    let mut totals: BTreeMap<String, f64> = BTreeMap::new();
    let mut faults_end = Instant::now();
    let mut rounds = 0_u32;
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    while started.elapsed() < duration {
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
        timed_get(&format!("{}{path}", soak.exporter.url)).await;
        slowest = slowest.max(timed_get(&format!("{}/-/healthy", soak.exporter.url)).await);
        rounds += 1;
        if rounds.is_multiple_of(20) {
            measured.push(resources(process));
        }
    }
    control(&soak.account, "faults", "[]").await;
    let all_up = |page: &Page| {
        let up = page.series("kiwivm_up", &[]).filter(|(_, up)| *up > 0.5);
        up.count() == usize::try_from(VPS).unwrap_or_default()
    };
    soak.wait_for("every VPS is up again", all_up).await;
    assert_all_counted(&soak, &first).await;

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
    println!("            start     end     max");
    for (what, of) in [
        (
            "memory KiB",
            (|resources| resources.resident) as fn(&Resources) -> u64,
        ),
        ("descriptors", |resources| resources.descriptors),
        ("threads", |resources| resources.threads),
    ] {
        let most = measured.iter().map(of).max().unwrap_or_default();
        println!(
            "{what:11} {:6} {:7} {most:7}",
            median(begin, of),
            median(end, of)
        );
    }
    let resident = |part: &[Resources]| median(part, |resources| resources.resident);
    assert!(
        resident(end) <= resident(begin) * 11 / 10 + 1024,
        "memory grows"
    );
    // The number of connections to the simulator varies.
    let descriptors = |part: &[Resources]| median(part, |resources| resources.descriptors);
    assert!(
        descriptors(end) <= descriptors(begin) + 10,
        "descriptors leak"
    );
    let threads = |part: &[Resources]| median(part, |resources| resources.threads);
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
    // Without a limit, a hang or a refused key would block the VPS for the rest of the soak.
    let first = if kind == "auth" || kind == "hang" || veid.is_empty() {
        "\"first\": 1, "
    } else {
        ""
    };
    format!("{{{veid}{call}{first}\"seconds\": 1, \"kind\": \"{kind}\"}}")
}

/// Halts the account and checks that everything was counted, to the byte.
async fn assert_all_counted(soak: &Soak, first: &BTreeSet<(u64, i64)>) {
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
#[ignore = "takes seconds for each of KIWIVM_SOAK_KILLS kills"]
async fn survives_a_hundred_kills() {
    let kills = number("KIWIVM_SOAK_KILLS", 100);
    let mut dice = Dice::new();
    let mut soak = Soak::start("intervals: {live: 1h, usage: 150s, points: 1h, inventory: 1h}\nstaleness: 1000\nstate_file: state.json").await;
    let first = soak.wait_for_counters().await;
    control(&soak.account, "halt", "false").await;
    let mut seen = counters(&soak.exporter.scrape().await);
    for kill in 1..=kills {
        // Kills come some time after the last start or the last increase of a counter.
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
        soak.exporter = start_exporter(&soak.flag);
        let now = counters(&soak.exporter.scrape().await);
        assert_eq!(fallen(&seen, &now), [], "after kill {kill}");
        seen = now;
    }
    assert_all_counted(&soak, &first).await;
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
