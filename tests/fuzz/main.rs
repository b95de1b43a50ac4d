//! Fuzz tests for everything that parses external input: responses, configurations, headers and saved state. The inputs
//! are mutations of real ones, a few hundred per run. `KIWIVM_FUZZ_SECONDS` sets a duration for each test instead, and
//! `KIWIVM_FUZZ_SEED` reproduces the first input of a failed run. See docs/testing.md.

mod configuration;
mod decode;
mod dice;
mod headers;
mod keys;
mod linear;
mod page;
mod pages;
mod response;
mod state;
mod tree;
mod usage;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dice::Dice;
use rustix::time::{ClockId, clock_gettime};

/// Number of inputs without `KIWIVM_FUZZ_SECONDS`. All tests together take seconds then.
const INPUTS: u64 = 300;
/// Limit of the CPU time for one input. A normal one takes milliseconds; this long means superlinear work.
const LONGEST: Duration = Duration::from_secs(5);

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={value} is not a number")),
    )
}

/// CPU time of this thread. A busy machine makes no input slow.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// Checks a property with consecutive seeds.
fn run(what: &str, property: impl Fn(&mut Dice)) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let long = number("KIWIVM_FUZZ_SECONDS").map(Duration::from_secs);
    let given = number("KIWIVM_FUZZ_SEED");
    // Short runs are part of the tests, so they must be reproducible.
    let first = given.unwrap_or_else(|| match long {
        Some(_) => now.map_or(0, |now| u64::try_from(now.as_micros()).unwrap_or_default()),
        None => 1,
    });
    let started = Instant::now();
    let mut inputs = 0;
    while long.map_or(inputs < INPUTS, |long| started.elapsed() < long) {
        let seed = first.wrapping_add(inputs);
        let begun = cpu_time();
        let result = catch_unwind(AssertUnwindSafe(|| property(&mut Dice::new(seed))));
        let took = cpu_time().saturating_sub(begun);
        if let Err(panic) = result {
            explain(what, seed, panic);
        }
        assert!(
            took < LONGEST,
            "{what}: KIWIVM_FUZZ_SEED={seed} took {took:?}"
        );
        inputs += 1;
    }
    println!(
        "{what}: {inputs} inputs from seed {first} in {:?}",
        started.elapsed()
    );
}

fn explain(what: &str, seed: u64, panic: Box<dyn Any + Send>) -> ! {
    eprintln!("{what} failed; KIWIVM_FUZZ_SEED={seed} reproduces it");
    resume_unwind(panic)
}
