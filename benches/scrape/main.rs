//! Compares the cost of a scrape with a server that holds the same bytes in memory: `cargo bench --bench scrape`, or
//! one table with `-- beside`, `-- rendering` or `-- instructions`.
//!
//! The limit is hyper. A scrape parses the request head, compares two headers with the last request, takes a lock, and
//! writes headers and body at once. Of 18,000 user instructions, 15,000 are hyper's. Most of the others build headers,
//! keep deadlines and count requests in flight. Beyond 100 KB, only the kernel's copy matters.
//!
//! Rendering takes 1/20 of a core, because a body is served for 20 times its rendering time, up to 95 ms (about 5000
//! VPSes). Two thirds of the time is gzip, the rest writes numbers and labels. Caching each VPS's lines until its data
//! change would save most of the writing and no compression, and would take as much memory again as a plain page.

mod account;
mod instructions;
mod limit;
mod scraper;
mod servers;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kiwivm_exporter::clock::Clock;
use kiwivm_exporter::exposition::Exposition;
use kiwivm_exporter::exposition::format::Format;
use limit::Form;
use scraper::{Pace, Scraper, pace};

const SIZES: [u64; 5] = [1, 10, 100, 1000, 5000];
const ROUNDS: usize = 5;
const FORMS: [(Form, &str); 2] = [(Form::Plain, "plain"), (Form::Gzip, "gzip")];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("serve", rest)) = arguments
        .split_first()
        .map(|(first, rest)| (first.as_str(), rest))
    {
        instructions::serve(rest);
        return;
    }
    let wanted = arguments.iter().find(|argument| !argument.starts_with('-'));
    let tables: [(&str, fn()); 3] = [
        ("beside", beside_the_limit),
        ("rendering", rendering),
        ("instructions", instructions::table),
    ];
    for (name, table) in tables {
        if wanted.is_none_or(|wanted| wanted == name) {
            table();
            println!();
        }
    }
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_unstable_by(f64::total_cmp);
    of[of.len() / 2]
}

/// Returns medians over rounds. The sides take turns, so that other load on the machine slows all of them.
fn compare<const N: usize>(
    sides: [SocketAddr; N],
    form: Form,
    connections: usize,
    time: Duration,
) -> [Pace; N] {
    let mut found = sides.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (side, paces) in sides.iter().zip(&mut found) {
            paces.push(pace(*side, form, connections, time));
        }
    }
    found.map(|paces| Pace {
        p50: median(paces.iter().map(|pace| pace.p50).collect()),
        per_second: median(paces.iter().map(|pace| pace.per_second).collect()),
    })
}

fn beside_the_limit() {
    println!("a scrape, compared with hyper serving the same bytes from memory");
    println!(
        "{:>6} {:<6}{:>11}{:>8}{:>12}{:>12}{:>8}{:>12}{:>12}{:>8}",
        "VPSes",
        "form",
        "bytes",
        "conns",
        "p50 us",
        "limit us",
        "ratio",
        "scrapes/s",
        "limit",
        "ratio"
    );
    for size in SIZES {
        let clock = Clock::start();
        let exporter = servers::exporter(account::fleet_of(size, clock.now()), clock);
        for (form, name) in FORMS {
            let body = Scraper::connect(exporter, form).body();
            let length = body.len();
            let limit = limit::from_memory(form, body.into());
            let time = if length > 1 << 20 { 1000 } else { 300 };
            for connections in [1, 16] {
                let time = Duration::from_millis(time);
                let [ours, memory] = compare([exporter, limit], form, connections, time);
                println!(
                    "{size:>6} {name:<6}{length:>11}{connections:>8}{:>12.1}{:>12.1}{:>8.2}{:>12.0}{:>12.0}{:>8.2}",
                    ours.p50,
                    memory.p50,
                    ours.p50 / memory.p50,
                    ours.per_second,
                    memory.per_second,
                    ours.per_second / memory.per_second
                );
            }
        }
    }
}

/// Measures the first scrape after a pause, which renders, and an exporter that renders on each scrape.
fn rendering() {
    println!("rendering, in ms; this exporter renders at most once a second");
    println!(
        "{:>6}{:>14}{:>14}{:>20}{:>14}{:>10}",
        "VPSes", "plain", "gzip", "always, gzip 6", "a scrape", "ratio"
    );
    for size in SIZES {
        let clock = Clock::start();
        let fleet = account::fleet_of(size, clock.now());
        let once = |form| {
            let exposition = Exposition::new(fleet.clone(), clock, Vec::new());
            let started = Instant::now();
            let body = exposition.scrape(Format::OpenMetrics1, form == Form::Gzip, &[]);
            std::hint::black_box(body.expect("no VPS is named"));
            started.elapsed().as_secs_f64() * 1e3
        };
        let [plain, gzip] =
            FORMS.map(|(form, _)| median((0..ROUNDS).map(|_| once(form)).collect()));
        let sides = [
            servers::rendering(fleet.clone(), clock),
            servers::exporter(fleet.clone(), clock),
        ];
        let time = Duration::from_millis(if size > 100 { 1000 } else { 300 });
        let [each, ours] = compare(sides, Form::Gzip, 1, time);
        println!(
            "{size:>6}{plain:>14.3}{gzip:>14.3}{:>20.3}{:>14.3}{:>10.0}",
            each.p50 / 1e3,
            ours.p50 / 1e3,
            each.p50 / ours.p50
        );
    }
}
