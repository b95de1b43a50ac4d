//! Counts the user instructions of a scrape with valgrind.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use kiwivm_exporter::clock::Clock;

use crate::limit::{self, Form};
use crate::scraper::Scraper;
use crate::{FORMS, account, servers};

const SIZES: [u64; 3] = [1, 10, 100];
/// Number of scrapes in the compared runs, and the pause before each. The instructions outside scrapes and renderings
/// are the same in all runs.
const RUNS: [(u64, Duration); 3] = [
    (200, Duration::ZERO),
    (1200, Duration::ZERO),
    (10, Duration::from_millis(1100)),
];

/// Serves until standard input is closed: `serve exporter|memory VPSES plain|gzip`.
pub fn serve(arguments: &[String]) {
    let [server, vps, form] = arguments else {
        panic!("usage: serve exporter|memory VPSES plain|gzip");
    };
    let form = FORMS
        .into_iter()
        .find(|(_, name)| name == form)
        .map_or(Form::Plain, |(form, _)| form);
    let clock = Clock::start();
    let fleet = account::fleet_of(vps.parse().expect("a number"), clock.now());
    let mut address = servers::exporter(fleet, clock);
    if server == "memory" {
        let body = Scraper::connect(address, form).body();
        address = limit::from_memory(form, body.into());
    }
    println!("{address}");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

pub fn table() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("instructions: skipped, valgrind is not installed");
        return;
    }
    println!("user instructions of a scrape, and of rendering a body");
    println!(
        "{:>6} {:<6}{:>12}{:>12}{:>8}{:>14}",
        "VPSes", "form", "exporter", "limit", "ratio", "rendering"
    );
    for vps in SIZES {
        for (form, name) in FORMS {
            let [ours, memory] = ["exporter", "memory"]
                .map(|server| Cost::of(RUNS.map(|run| counted(server, vps, name, form, run))));
            println!(
                "{vps:>6} {name:<6}{:>12.0}{:>12.0}{:>8.2}{:>14.0}",
                ours.scrape,
                memory.scrape,
                ours.scrape / memory.scrape,
                ours.rendering
            );
        }
    }
}

/// Measurements of a run.
#[derive(Clone, Copy)]
struct Run {
    instructions: f64,
    scrapes: f64,
    /// Number of different bodies. `process_*` differs in every rendering.
    renderings: f64,
}

struct Cost {
    scrape: f64,
    rendering: f64,
}

impl Cost {
    /// Solves `instructions = base + scrapes * scrape + renderings * rendering` for the three runs.
    fn of([few, many, slow]: [Run; 3]) -> Self {
        let difference = |run: Run| Run {
            instructions: run.instructions - few.instructions,
            scrapes: run.scrapes - few.scrapes,
            renderings: run.renderings - few.renderings,
        };
        let (a, b) = (difference(many), difference(slow));
        let determinant = a.scrapes * b.renderings - b.scrapes * a.renderings;
        if determinant == 0.0 {
            // A server from memory never renders.
            let scrape = a.instructions / a.scrapes;
            return Self {
                scrape,
                rendering: 0.0,
            };
        }
        Self {
            scrape: (a.instructions * b.renderings - b.instructions * a.renderings) / determinant,
            rendering: (a.scrapes * b.instructions - b.scrapes * a.instructions) / determinant,
        }
    }
}

fn counted(server: &str, vps: u64, name: &str, form: Form, (count, pause): (u64, Duration)) -> Run {
    let this = std::env::current_exe().expect("the path of this program");
    let mut child = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .args(["serve", server, &vps.to_string(), name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("valgrind starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("a pipe");
    BufReader::new(stdout)
        .read_line(&mut line)
        .expect("the server prints its address");
    let address = line.trim().parse().expect("a valid address");
    let mut scraper = Scraper::connect(address, form);
    let mut renderings = 0;
    let mut last = Vec::new();
    for _ in 0..count {
        std::thread::sleep(pause);
        let body = scraper.body();
        renderings += u32::from(body != last);
        last = body;
    }
    drop(child.stdin.take());
    let output = child.wait_with_output().expect("the server exits");
    let log = String::from_utf8_lossy(&output.stderr);
    let instructions = log
        .lines()
        .find_map(|line| line.split_once("Collected : "))
        .and_then(|(_, count)| count.trim().parse().ok());
    #[expect(clippy::cast_precision_loss, reason = "a thousand")]
    Run {
        instructions: instructions
            .unwrap_or_else(|| panic!("no instruction count from valgrind:\n{log}")),
        scrapes: count as f64,
        renderings: renderings.into(),
    }
}
