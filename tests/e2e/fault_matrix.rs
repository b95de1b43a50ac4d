//! Every fault of the simulator at the first VPS, a middle one and all: at the start, later, and after it has ended.
//! Each cell of the matrix is a separate exporter for three VPSes of one simulated account.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::{JoinSet, LocalSet};

use crate::exporter::{Exporter, config, http};
use crate::page::Page;
use crate::simulator::{set_key, simulator};

/// Makes the live interval 2.4 s, with values dropped after three of them, and the pause after a refused key 18 s.
const TIME_SCALE: u32 = 200;
const INTERVALS: &str = "{live: 8m, usage: 10m, points: 10m, inventory: 1h}";
/// The longest step is a hanging call, which times out after 30 s. A slow machine takes longer.
const TIMEOUT: Duration = Duration::from_secs(80);
/// Number of exporters at a time. More of them would delay each other.
const AT_A_TIME: usize = 35;
/// VPSes per exporter.
const VPS: usize = 3;
/// Size of the simulated fleet: enough for every cell without its stopped and odd VPSes.
const FLEET: u64 = 300;
const FIRST: u64 = 1_000_001;
/// Positions in each 20 at which the simulator puts VPSes that are not healthy.
const ODD: [u64; 4] = [3, 7, 11, 17];

const LIVE: &str = "getLiveServiceInfo";
const READING: &str = "getRateLimitStatus";
const USAGE: &str = "getRawUsageStats";
const SOURCES: [&str; 2] = ["kiwivm_bandwidth_used_bytes", "kiwivm_vps_info"];

/// Symptom of a fault.
#[derive(Clone, Copy, Debug)]
enum Symptom {
    /// Calls fail for this reason, and all values disappear.
    Fails(&'static str),
    /// Calls are refused. The planner slows down, so values stay fresh for longer.
    Refused,
    /// Calls succeed, and a field is counted as a decode problem.
    Problem(&'static str, &'static str),
    /// Only readings fail, for this reason.
    ReadingsFail(&'static str),
    /// No error at all.
    None,
}

const KINDS: [(&str, Symptom); 24] = [
    // The hanging ones take longest, so they start first.
    ("hang", Symptom::Fails("timeout")),
    ("auth", Symptom::Fails("auth")),
    ("locked", Symptom::Fails("locked")),
    ("reset", Symptom::Fails("connect")),
    ("truncated", Symptom::Fails("connect")),
    ("html", Symptom::Fails("not_json")),
    ("empty", Symptom::Fails("not_json")),
    ("rate_limited", Symptom::Refused),
    ("http500", Symptom::Fails("http_status")),
    ("slow", Symptom::None),
    ("wrong_types", Symptom::None),
    ("fractional_multiplier", Symptom::None),
    ("odd_field", Symptom::Problem(LIVE, "plan_max_ipv6s")),
    ("missing_error", Symptom::Problem(LIVE, "error")),
    ("shuffled_rows", Symptom::None),
    ("late_rows", Symptom::None),
    ("constant_points", Symptom::None),
    (
        "null_points",
        Symptom::Problem(READING, "remaining_points_15min"),
    ),
    (
        "text_points",
        Symptom::Problem(READING, "remaining_points_15min"),
    ),
    (
        "negative_points",
        Symptom::Problem(READING, "remaining_points_15min"),
    ),
    (
        "fractional_points",
        Symptom::Problem(READING, "remaining_points_15min"),
    ),
    ("missing_points", Symptom::ReadingsFail("bad_shape")),
    ("noisy_points", Symptom::None),
    ("jumping_points", Symptom::None),
];

/// Which of the three VPSes a fault concerns.
const PLACES: [(&str, &[usize]); 3] = [("first", &[0]), ("middle", &[1]), ("all", &[0, 1, 2])];

/// The active faults of all cells.
struct Faults {
    account: Exporter,
    of: Mutex<BTreeMap<u64, String>>,
}

impl Faults {
    /// Sets or clears the fault of some VPSes.
    async fn set(&self, veids: &[u64], kind: Option<&str>) {
        let mut of = self.of.lock().await;
        for veid in veids {
            match kind {
                Some(kind) => {
                    let fault = json!({"veid": veid, "kind": kind, "seconds": 0.3});
                    of.insert(*veid, fault.to_string());
                }
                None => drop(of.remove(veid)),
            }
        }
        let all: Vec<&str> = of.values().map(String::as_str).collect();
        let url = format!("{}/_simulator/faults", self.account.url);
        let request = http().post(url).body(format!("[{}]", all.join(",")));
        let response = request.send().await.expect("it responds");
        assert!(
            response.status().is_success(),
            "{:?}",
            response.text().await
        );
    }
}

/// One fault at some of three VPSes.
struct Cell {
    what: String,
    kind: &'static str,
    symptom: Symptom,
    veids: Vec<u64>,
    /// The VPSes with the fault.
    affected: Vec<u64>,
}

/// The exporter of a cell, and the counters seen so far.
struct Watch<'a> {
    cell: &'a Cell,
    exporter: Exporter,
    client: reqwest::Client,
    counters: BTreeMap<String, f64>,
    _folder: TempDir,
}

impl<'a> Watch<'a> {
    fn start(cell: &'a Cell, account: &str) -> Self {
        let mut yaml = format!(
            "api: {{endpoint: \"{account}/v1\"}}\nbudget: {{share: 1, scope: vps, download: 1000GiB}}\nintervals: {INTERVALS}\nvps:\n"
        );
        for veid in &cell.veids {
            let _ = writeln!(
                yaml,
                "  - {{name: \"{veid}\", veid: {veid}, api_key: private_test}}"
            );
        }
        let (folder, flag) = config(&yaml);
        let scale = format!("--simulator.time-scale={TIME_SCALE}");
        Self {
            cell,
            exporter: Exporter::start(&[&scale, &flag]),
            client: http(),
            counters: BTreeMap::new(),
            _folder: folder,
        }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let url = format!("{}{path}", self.exporter.url);
        let response = self.client.get(url).send().await.expect("it responds");
        let status = response.status().as_u16();
        (status, response.text().await.expect("it is text"))
    }

    /// Waits until a page satisfies `is`. Meanwhile the exporter must stay healthy, counters must not fall, and the
    /// VPSes without the fault must have no errors.
    async fn wait_for(&mut self, what: &str, is: impl Fn(&Page) -> bool) -> Page {
        let deadline = Instant::now() + TIMEOUT;
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        loop {
            tick.tick().await;
            let cell = &self.cell.what;
            assert_eq!(self.get("/-/healthy").await.0, 200, "{cell}: {what}");
            let page = Page::parse(&self.get("/metrics").await.1);
            let counters = page.samples.iter().filter(|(series, _)| {
                let name = series.split('{').next().unwrap_or_default();
                name.ends_with("_total")
            });
            for (series, value) in counters {
                let before = self.counters.insert(series.clone(), *value);
                assert!(
                    before <= Some(*value),
                    "{cell}: {what}: {series} fell to {value} from {before:?}"
                );
            }
            let gone: Vec<_> = self
                .counters
                .keys()
                .filter(|series| !page.samples.contains_key(*series))
                .collect();
            assert!(gone.is_empty(), "{cell}: {what}: {gone:?} are gone");
            for veid in self.others() {
                assert!(
                    errors(&page, *veid, None) < 0.5,
                    "{cell}: {what}: {veid} fails too\n{page:#?}"
                );
            }
            if is(&page) {
                return page;
            }
            assert!(
                Instant::now() < deadline,
                "{cell}: {what} did not happen:\n{page:#?}\n{}",
                self.exporter.log()
            );
        }
    }

    fn others(&self) -> impl Iterator<Item = &u64> {
        let cell = self.cell;
        cell.veids
            .iter()
            .filter(|veid| !cell.affected.contains(veid))
    }

    /// Waits until all are up and were polled once more.
    async fn all_healthy(&mut self, what: &str) -> Page {
        let cell = self.cell;
        let seen = self.counters.clone();
        let page = self
            .wait_for(what, |page| {
                cell.veids.iter().all(|veid| {
                    let polled = of(&page.samples, *veid, LIVE) > of(&seen, *veid, LIVE);
                    polled && is_up(page, *veid)
                })
            })
            .await;
        for veid in &cell.veids {
            let vps = veid.to_string();
            for metric in SOURCES {
                assert!(
                    page.series(metric, &[("vps", &vps)]).count() == 1,
                    "{}: {what}: {metric}",
                    cell.what
                );
            }
            for metric in ["kiwivm_authentication_failed", "kiwivm_locked"] {
                assert_eq!(
                    page.of(&vps, metric),
                    Some(0.0),
                    "{}: {what}: {metric}",
                    cell.what
                );
            }
        }
        page
    }

    /// Waits for the symptom, and until the VPSes without it were polled twice.
    async fn wait_for_symptom(&mut self, what: &str, later: bool) {
        let cell = self.cell;
        let others: Vec<u64> = self.others().copied().collect();
        match cell.symptom {
            Symptom::Fails(reason) => self.fails(what, reason, later, &others).await,
            Symptom::Refused => drop(self.has_errors(what, "rate_limited", &others).await),
            Symptom::ReadingsFail(reason) => drop(self.has_errors(what, reason, &cell.veids).await),
            Symptom::Problem(of_call, field) => self.has_problems(what, of_call, field).await,
            Symptom::None => self.has_no_errors(what).await,
        }
        if later && !matches!(cell.symptom, Symptom::Fails(_)) {
            let page = Page::parse(&self.get("/metrics").await.1);
            let all_up = cell.veids.iter().all(|veid| is_up(&page, *veid));
            assert!(all_up, "{}: {what}\n{page:#?}", cell.what);
        }
    }

    /// Waits for errors of the affected VPSes, and until the others were polled twice.
    async fn has_errors(&mut self, what: &str, reason: &str, others: &[u64]) -> Page {
        let cell = self.cell;
        let seen = self.counters.clone();
        self.wait_for(what, |page| {
            let more =
                |veid: &u64| errors(page, *veid, Some(reason)) > of_errors(&seen, *veid, reason);
            cell.affected.iter().all(more) && polled_more(&seen, page, others, LIVE, 2.0)
        })
        .await
    }

    async fn has_problems(&mut self, what: &str, call: &str, field: &str) {
        let veids = &self.cell.veids;
        let seen = self.counters.clone();
        let labels = [("call", call), ("field", field)];
        let problems = |samples: &BTreeMap<String, f64>| {
            sum(samples, "kiwivm_decode_problems_total", None, &labels)
        };
        self.wait_for(what, |page| {
            problems(&page.samples) > problems(&seen) && polled_more(&seen, page, veids, LIVE, 2.0)
        })
        .await;
    }

    async fn has_no_errors(&mut self, what: &str) {
        let cell = self.cell;
        let seen = self.counters.clone();
        let page = self
            .wait_for(what, |page| {
                polled_more(&seen, page, &cell.veids, LIVE, 3.0)
                    && polled_more(&seen, page, &cell.affected, USAGE, 2.0)
                    && polled_more(&seen, page, &cell.affected, READING, 1.0)
            })
            .await;
        for veid in &cell.affected {
            assert!(
                errors(&page, *veid, None) < 0.5,
                "{}: {what}: {veid} fails\n{page:#?}",
                cell.what
            );
        }
    }

    /// Waits for errors, and until the values of the affected VPSes have disappeared.
    async fn fails(&mut self, what: &str, reason: &str, later: bool, others: &[u64]) {
        let cell = self.cell;
        let seen = self.counters.clone();
        let page = self.has_errors(what, reason, &[]).await;
        for veid in &cell.affected {
            // A failure does not remove fresh values. A hanging call fails too late for them to be fresh still.
            if later && cell.kind != "hang" {
                assert!(
                    is_up(&page, *veid),
                    "{}: {what}: {veid} is down at once\n{page:#?}",
                    cell.what
                );
            }
        }
        let page = self
            .wait_for(&format!("{what}, and values are gone"), |page| {
                let down = |veid: &u64| page.of(&veid.to_string(), "kiwivm_up") == Some(0.0);
                cell.affected.iter().all(down) && polled_more(&seen, page, others, LIVE, 2.0)
            })
            .await;
        for veid in &cell.affected {
            let vps = veid.to_string();
            for metric in SOURCES.iter().chain(&["kiwivm_running", "kiwivm_load1"]) {
                let known = page.series(metric, &[("vps", &vps)]).count();
                assert_eq!(known, 0, "{}: {what}: {metric}", cell.what);
            }
            for (metric, of_kind) in [
                ("kiwivm_authentication_failed", "auth"),
                ("kiwivm_locked", "locked"),
            ] {
                let raised = page.of(&vps, metric) == Some(1.0);
                assert_eq!(
                    raised,
                    cell.kind == of_kind,
                    "{}: {what}: {metric}\n{page:#?}",
                    cell.what
                );
            }
        }
    }
}

/// Reports whether each of these VPSes has at least `times` more successful calls of this kind than before.
fn polled_more(
    seen: &BTreeMap<String, f64>,
    page: &Page,
    veids: &[u64],
    call: &str,
    times: f64,
) -> bool {
    veids
        .iter()
        .all(|veid| of(&page.samples, *veid, call) >= of(seen, *veid, call) + times)
}

fn is_up(page: &Page, veid: u64) -> bool {
    let vps = veid.to_string();
    page.of(&vps, "kiwivm_up") == Some(1.0)
        && page.of(&vps, "kiwivm_bandwidth_used_bytes").is_some()
}

/// Errors of a VPS, for all reasons or one.
fn errors(page: &Page, veid: u64, reason: Option<&str>) -> f64 {
    sum(
        &page.samples,
        "kiwivm_poll_errors_total",
        Some(veid),
        reason.map(|reason| ("reason", reason)).as_slice(),
    )
}

fn of_errors(seen: &BTreeMap<String, f64>, veid: u64, reason: &str) -> f64 {
    sum(
        seen,
        "kiwivm_poll_errors_total",
        Some(veid),
        &[("reason", reason)],
    )
}

fn of(samples: &BTreeMap<String, f64>, veid: u64, call: &str) -> f64 {
    let labels = [("call", call), ("outcome", "success")];
    sum(samples, "kiwivm_polls_total", Some(veid), &labels)
}

fn sum(
    samples: &BTreeMap<String, f64>,
    metric: &str,
    veid: Option<u64>,
    labels: &[(&str, &str)],
) -> f64 {
    let vps = veid.map(|veid| format!("vps=\"{veid}\""));
    let has = |series: &str, (name, value): &(&str, &str)| {
        series.contains(&format!("{name}=\"{value}\""))
    };
    let of_it = |series: &&String| {
        series.starts_with(metric)
            && vps.as_ref().is_none_or(|vps| series.contains(vps))
            && labels.iter().all(|label| has(series, label))
    };
    samples
        .iter()
        .filter(|(series, _)| of_it(series))
        .map(|(_, value)| value)
        .sum()
}

async fn run(cell: Cell, faults: Rc<Faults>, slots: Rc<Semaphore>) {
    let _slot = slots.acquire().await.expect("it stays open");
    faults.set(&cell.affected, Some(cell.kind)).await;
    let mut watch = Watch::start(&cell, &faults.account.url);
    watch.wait_for_symptom("at the start", false).await;
    faults.set(&cell.affected, None).await;
    watch.all_healthy("after the first end").await;
    faults.set(&cell.affected, Some(cell.kind)).await;
    watch.wait_for_symptom("later", true).await;
    faults.set(&cell.affected, None).await;
    watch.all_healthy("after the second end").await;
}

#[tokio::test]
async fn every_fault_at_the_first_the_middle_and_all_vpses() {
    let scale = format!("--time-scale={TIME_SCALE}");
    let vps = format!("--vps={FLEET}");
    let account = simulator(&[
        &scale,
        &vps,
        "--history=0.1",
        "--live.latency=0.01",
        "--points.scope=vps",
    ]);
    let mut healthy = (0..FLEET)
        .filter(|index| !ODD.contains(&(index % 20)))
        .map(|index| FIRST + index);
    let mut cells = Vec::new();
    for (kind, symptom) in KINDS {
        for (place, affected) in PLACES {
            let veids: Vec<u64> = healthy.by_ref().take(VPS).collect();
            assert_eq!(veids.len(), VPS, "the fleet is too small");
            for veid in &veids {
                set_key(&account, *veid).await;
            }
            cells.push(Cell {
                what: format!("{kind} at {place}"),
                kind,
                symptom,
                affected: affected.iter().map(|position| veids[*position]).collect(),
                veids,
            });
        }
    }
    let faults = Rc::new(Faults {
        account,
        of: Mutex::default(),
    });
    let slots = Rc::new(Semaphore::new(AT_A_TIME));
    // One thread is enough, because the exporters do the work.
    let local = LocalSet::new();
    let running = async {
        let mut running = JoinSet::new();
        for cell in cells {
            running.spawn_local(run(cell, faults.clone(), slots.clone()));
        }
        let mut failures = Vec::new();
        while let Some(ended) = running.join_next().await {
            failures.extend(ended.err().map(|error| error.to_string()));
        }
        failures
    };
    let failures = local.run_until(running).await;
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Keeps the matrix complete when the simulator gets a new fault.
#[test]
fn the_matrix_has_every_fault() {
    let error = kiwivm_exporter::simulator::parse_faults("[{kind: nope}]")
        .expect_err("there is no such fault")
        .to_string();
    let known: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
    let mut listed: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
    assert!(known.len() > 20, "{error}");
    for kind in &known {
        assert!(listed.contains(kind), "{kind} is not in the matrix");
    }
    listed.retain(|kind| !known.contains(kind));
    assert_eq!(listed, [""; 0], "no fault of the simulator");
}
