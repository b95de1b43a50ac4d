//! What the program takes of a machine while it polls an account over TLS: `cargo bench --bench process`, or one table of
//! it with `-- start`, `-- memory`, `-- moving` or `-- idle`.
//!
//! The limit of memory is what is mapped of files: nearly all of the program and of glibc, because the kernel maps pages
//! around each one that is touched. On the heap are trusted certificates, the compressor (0.4 MB), and the buffers of
//! connections, 40 KB each and what TLS takes. While a fast peer sends usage history, hyper doubles its read buffer up to
//! 0.5 MB, for which reqwest has no setting, and from then on glibc gives back less: of 1.9 MB of heap at 10 VPSes, 1.2
//! are free after the hour. Of each VPS some 6 KB are live: its values (1.7 KB), its schedule and planner (1.6 KB), windows
//! of points and bytes (0.9 KB after an hour, up to 2 KB more after a day), the times of a day of usage rows (0.6 KB), its
//! part of the page (0.6 KB), its key, names and other texts. Some 3 MB of the heap are free with 1000 VPSes: what reading
//! the configuration took, the place of the next page, and what the connections of the busiest moment took. What was left:
//! the windows of an allowance of one VPS are those of the VPS once more; mimalloc takes twice as much as glibc.

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
/// As fast as an hour of polling passes, and as slow as to make the calls that it makes in real time. Four times as fast a
/// slow core made a sixth fewer, and those that gathered took 8 MiB for their connections.
const FAST: f64 = 15.0;
const HOUR: Duration = Duration::from_secs(3600);

/// Measures the programs and prints what came of it.
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

/// From exec to the end of the first answer.
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

/// Resident after an hour of polling and a thousand scrapes.
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
                let begun = Instant::now();
                for scrape in 1..=1000 {
                    let due = HOUR.div_f64(FAST) * scrape / 1000;
                    std::thread::sleep(due.saturating_sub(begun.elapsed()));
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

/// Scrapes while data change all the time.
fn moving(programs: &[Program]) {
    const SPEED: f64 = 10.0;
    println!(
        "1000 VPSes polled at their intervals, time {SPEED} times as fast, gzip, 1 connection"
    );
    let account = Account::start(1000, SPEED);
    let running = programs[0].start(&account);
    let mut scraper = Scraper::connect(running.address, Form::Gzip);
    // Until every VPS has been asked for everything.
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
            median(paces.iter().map(|pace| pace.a_second).collect()),
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
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(pause);
            if pause < Duration::from_secs(20) {
                scraper_of(&running).scrape();
            }
        }
        let used = running.usage().cpu - before.cpu;
        used / begun.elapsed().as_secs_f64() * 100.0
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

/// What waiting costs, in real time and unscraped.
fn idle(programs: &[Program]) {
    println!(
        "{:>6}{:>12}{:>14}{:>14}{:>16}",
        "VPSes", "calls/s", "% of a core", "us a call", "wakes a call"
    );
    for vps in [20, 2000] {
        let account = Account::start(vps, 1.0);
        let running = programs[0].start(&account);
        // The first round asks everything of everybody.
        std::thread::sleep(Duration::from_secs(90));
        let (before, calls) = (running.usage(), running.polls());
        let begun = Instant::now();
        std::thread::sleep(Duration::from_secs(60));
        let (after, elapsed) = (running.usage(), begun.elapsed().as_secs_f64());
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
