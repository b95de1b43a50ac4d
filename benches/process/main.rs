//! Measures the resources of the program while it polls an account over TLS: `cargo bench --bench process`, or one
//! table with `-- start`, `-- memory`, `-- moving` or `-- idle`.
//!
//! The lower limit of memory is mapped files: nearly all of the program and of glibc, because the kernel maps pages
//! around each touched page. The heap holds trusted certificates, the compressor (0.4 MB), and the buffers of
//! connections (40 KB each, plus TLS). While a fast peer sends usage history, hyper doubles its read buffer up to 0.5
//! MB. reqwest has no setting for this, and glibc returns less memory afterwards: of 1.9 MB of heap at 10 VPSes, 1.2 MB
//! are free after an hour.
//!
//! Each VPS has about 6 KB of live data: its values (1.7 KB), its schedule and planner (1.6 KB), windows of points and
//! bytes (0.9 KB after an hour, up to 2 KB more after a day), the times of a day of usage rows (0.6 KB), its part of
//! the page (0.6 KB), its key, names and other texts. With 1000 VPSes, about 3 MB of the heap are free: memory used to
//! read the configuration, room for the next page, and memory used by connections at the busiest moment.
//!
//! Not optimized: the quota of a single VPS duplicates the windows of the VPS. mimalloc takes twice as much as glibc.

mod account;
#[path = "../scrape/limit.rs"]
mod limit;
mod program;
#[path = "../scrape/scraper.rs"]
mod scraper;

use std::time::{Duration, Instant};

use account::Account;
use limit::Form;
use program::{Program, Running};
use scraper::{Pace, Scraper, pace};

const ROUNDS: usize = 5;
/// Fast enough for an hour of polling, and slow enough to make as many calls as in real time. At four times this speed,
/// a slow core made a sixth fewer calls, and the backlog took 8 MiB for its connections.
const FAST: f64 = 15.0;
const HOUR: Duration = Duration::from_secs(3600);

/// Measures the programs and prints a table.
type Table = fn(&[Program]);

fn main() {
    let programs = Program::all();
    let wanted = std::env::args()
        .nth(1)
        .filter(|table| !table.starts_with('-'));
    let tables: [(&str, Table); 4] = [
        ("start", start),
        ("memory", memory),
        ("moving", moving),
        ("idle", idle),
    ];
    for (name, table) in tables {
        if wanted.as_deref().is_none_or(|wanted| wanted == name) {
            table(&programs);
            println!();
        }
    }
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_unstable_by(f64::total_cmp);
    of[of.len() / 2]
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}

/// Measures the time from exec to the end of the first response.
fn start(programs: &[Program]) {
    println!("start, 10 VPSes");
    println!("{:<16}{:>12}{:>20}", "", "binary MB", "first scrape ms");
    let account = Account::start(10, 1.0);
    let mut found: Vec<_> = programs.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (program, times) in programs.iter().zip(&mut found) {
            times.push(program.first_scrape(&account).as_secs_f64() * 1e3);
        }
    }
    for (program, times) in programs.iter().zip(found) {
        println!(
            "{:<16}{:>12.2}{:>20.1}",
            program.name,
            float(program.size()) / 1e6,
            median(times)
        );
    }
}

/// Measures resident memory after an hour of polling and a thousand scrapes.
fn memory(programs: &[Program]) {
    println!("resident memory in MiB after an hour of polling and 1000 scrapes with gzip");
    println!(
        "{:<16}{:>10}{:>12}{:>14}{:>18}",
        "", "10 VPSes", "1000 VPSes", "KiB a VPS", "calls at 1000"
    );
    for program in programs {
        let sizes = if program.is_ours() {
            &[10, 1000][..]
        } else {
            &[10]
        };
        let measured: Vec<(f64, f64)> = sizes
            .iter()
            .map(|vps| {
                let account = Account::start(*vps, FAST);
                let running = program.start(&account);
                let mut scraper = Scraper::connect(running.address, Form::Gzip);
                let started = Instant::now();
                for scrape in 1..=1000 {
                    let due = HOUR.div_f64(FAST) * scrape / 1000;
                    std::thread::sleep(due.saturating_sub(started.elapsed()));
                    scraper.scrape();
                }
                let resident = float(running.resident()) / 1024.0;
                (
                    resident,
                    if program.is_ours() {
                        running.polls()
                    } else {
                        0.0
                    },
                )
            })
            .collect();
        match measured[..] {
            [(ten, _), (thousand, calls)] => println!(
                "{:<16}{ten:>10.1}{thousand:>12.1}{:>14.1}{calls:>18.0}",
                program.name,
                (thousand - ten) * 1024.0 / 990.0
            ),
            _ => println!("{:<16}{:>10.1}", program.name, measured[0].0),
        }
    }
}

/// Measures scrapes while data change all the time.
fn moving(programs: &[Program]) {
    const SPEED: f64 = 10.0;
    println!(
        "1000 VPSes polled at their intervals, time {SPEED} times as fast, gzip, 1 connection"
    );
    let account = Account::start(1000, SPEED);
    let running = programs[0].start(&account);
    let mut scraper = Scraper::connect(running.address, Form::Gzip);
    // Wait until every call of every VPS has been made.
    let settled = Instant::now() + Duration::from_secs(60);
    while Instant::now() < settled {
        scraper.scrape();
        std::thread::sleep(Duration::from_secs(1));
    }
    let limit = limit::from_memory(Form::Gzip, scraper.body().into());
    let sides = [running.address, limit];
    let mut found = sides.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (side, paces) in sides.iter().zip(&mut found) {
            paces.push(pace(*side, Form::Gzip, 1, Duration::from_secs(3)));
        }
    }
    let [ours, memory] = found.map(|paces: Vec<Pace>| {
        let p50 = median(paces.iter().map(|pace| pace.p50).collect());
        (
            p50,
            median(paces.iter().map(|pace| pace.per_second).collect()),
        )
    });
    println!(
        "p50 {:.1} us, from memory {:.1} us, ratio {:.2}; {:.0} and {:.0} scrapes a second, ratio {:.2}",
        ours.0,
        memory.0,
        ours.0 / memory.0,
        ours.1,
        memory.1,
        ours.1 / memory.1
    );
    let busy = |pause: Duration| {
        let before = running.usage();
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(pause);
            if pause < Duration::from_secs(20) {
                scraper_of(&running).scrape();
            }
        }
        let used = running.usage().cpu - before.cpu;
        used / started.elapsed().as_secs_f64() * 100.0
    };
    println!(
        "of a core: {:.2} % unscraped",
        busy(Duration::from_secs(20))
    );
    println!(
        "of a core: {:.2} % scraped every 5 s",
        busy(Duration::from_secs(5))
    );
    println!(
        "of a core: {:.2} % scraped ten times a second",
        busy(Duration::from_millis(100))
    );
}

fn scraper_of(running: &Running) -> Scraper {
    Scraper::connect(running.address, Form::Gzip)
}

/// Measures the cost of polling in real time without scrapes.
fn idle(programs: &[Program]) {
    println!(
        "{:>6}{:>12}{:>14}{:>14}{:>16}",
        "VPSes", "calls/s", "% of a core", "us a call", "wakes a call"
    );
    for vps in [20, 2000] {
        let account = Account::start(vps, 1.0);
        let running = programs[0].start(&account);
        // The first round makes every call for every VPS.
        std::thread::sleep(Duration::from_secs(90));
        let (before, calls) = (running.usage(), running.polls());
        let started = Instant::now();
        std::thread::sleep(Duration::from_secs(60));
        let (after, elapsed) = (running.usage(), started.elapsed().as_secs_f64());
        let calls = running.polls() - calls;
        let cpu = after.cpu - before.cpu;
        println!(
            "{vps:>6}{:>12.2}{:>14.3}{:>14.0}{:>16.1}",
            calls / elapsed,
            cpu / elapsed * 100.0,
            cpu / calls * 1e6,
            float(after.wakes - before.wakes) / calls
        );
    }
}
