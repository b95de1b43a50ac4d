//! Random inputs for everything that reads what comes from outside: responses, configurations, headers, saved state. The
//! inputs are mutations of real ones. Each run is a few hundred inputs; `KIWIVM_FUZZ_SECONDS` makes each test take so
//! long instead, and `KIWIVM_FUZZ_SEED` repeats the first input of a failed run. docs/testing.md tells more.

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

/// Inputs of a run that nobody gave a length. All tests together take seconds then.
const INPUTS: u64 = 300;
/// The slowest input takes milliseconds. One that takes so long is a hang, or work that grows faster than the input.
const LONGEST: Duration = Duration::from_secs(5);

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={value} is no number")),
    )
}

/// Runs a property with one seed after another.
fn run(what: &str, property: impl Fn(&mut Dice)) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let long = number("KIWIVM_FUZZ_SECONDS").map(Duration::from_secs);
    let given = number("KIWIVM_FUZZ_SEED");
    // A short run has to be the same each time: it is part of the tests.
    let first = given.unwrap_or_else(|| match long {
        Some(_) => now.map_or(0, |now| u64::try_from(now.as_micros()).unwrap_or_default()),
        None => 1,
    });
    let started = Instant::now();
    let mut inputs = 0;
    while long.map_or(inputs < INPUTS, |long| started.elapsed() < long) {
        let seed = first.wrapping_add(inputs);
        let begins = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| property(&mut Dice::new(seed))));
        let took = begins.elapsed();
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
    eprintln!("{what} failed; KIWIVM_FUZZ_SEED={seed} repeats it");
    resume_unwind(panic)
}
