//! What a scrape costs, beside a server that has the same bytes in memory: `cargo bench --bench scrape`, or one table of it
//! with `-- beside`, `-- rendering` or `-- instructions`.
//!
//! The limit is hyper: a scrape is reading its head, two headers that are compared with those of the last one, a lock, and
//! one write of headers and body. 15,000 user instructions of 18,000 are hyper's; most of the others make headers, keep
//! deadlines, and count requests in flight. Beyond 100 KB the kernel's copy is all that counts.
//!
//! Rendering is a twentieth of a core, by the time for which a body is served, up to where it takes 95 ms (some 5000
//! VPSes). Two thirds of it is gzip, the rest is writing numbers and labels. What was left: each VPS's lines could be kept
//! until its data change, which would save most of the writing and none of the compression, for as much memory again as
//! a plain page takes.

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

/// Medians over rounds in which the sides take turns: what else this machine does slows all of them.
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
        a_second: median(paces.iter().map(|pace| pace.a_second).collect()),
    })
}

fn beside_the_limit() {
    println!("a scrape, beside hyper with the same bytes from memory");
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
                    ours.a_second,
                    memory.a_second,
                    ours.a_second / memory.a_second
                );
            }
        }
    }
}

/// The first scrape after a pause, which renders, and what exporters do that render on each.
fn rendering() {
    println!("rendering, in ms; a scrape of this exporter renders once a second at most");
    println!(
        "{:>6}{:>14}{:>14}{:>20}{:>14}{:>10}",
        "VPSes", "plain", "gzip", "on each, gzip 6", "a scrape", "ratio"
    );
    for size in SIZES {
        let clock = Clock::start();
        let fleet = account::fleet_of(size, clock.now());
        let once = |form| {
            let exposition = Exposition::new(fleet.clone(), clock, Vec::new());
            let begun = Instant::now();
            let body = exposition.scrape(Format::OpenMetrics1, form == Form::Gzip, &[]);
            std::hint::black_box(body.expect("no VPS is named"));
            begun.elapsed().as_secs_f64() * 1e3
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
