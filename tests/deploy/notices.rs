//! The licence notices: every crate that is linked into the program is named, with a text.

use std::collections::BTreeSet;
use std::process::Command;

use crate::tools::{repository, run};

/// No licence has a line like this.
const RULE: &str = "\n====================================================================================================\n";

/// The shortest licence among those that `deny.toml` allows, ISC, has 700 characters. Some crates ship a file that only names
/// their licences beside those with the texts.
const SHORTEST: usize = 600;

/// Name and version of every crate that the program for this machine links.
fn linked() -> BTreeSet<String> {
    let tree = run(Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none"])
        .current_dir(repository("")));
    let crates = tree.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (name, version) = (words.next()?, words.next()?);
        Some(format!("{name} {}", version.strip_prefix('v')?))
    });
    crates
        .filter(|it| !it.starts_with("kiwivm_exporter "))
        .collect()
}

#[test]
fn every_linked_crate_has_a_licence_text() {
    let notices = run(&mut Command::new(repository("deploy/notices")));
    // Before the first rule stands the list; then come by turns the crates of a text, and the text.
    let parts: Vec<&str> = notices.split(RULE).collect();
    assert!(parts.len() > 2 && parts.len() % 2 == 1, "{}", parts.len());
    let mut with_text = BTreeSet::new();
    for pair in parts[1..].chunks(2) {
        let (names, text) = (pair[0], pair[1]);
        if text.trim().len() >= SHORTEST {
            with_text.extend(names.trim().lines().map(str::to_owned));
        }
    }
    for linked in linked() {
        assert!(with_text.contains(&linked), "{linked} has no text");
        assert!(
            parts[0].contains(&format!("\n{linked}: ")),
            "{linked} is not listed"
        );
    }
}

#[test]
fn a_static_program_names_musl() {
    for (target, names) in [
        ("aarch64-unknown-linux-musl", true),
        ("x86_64-unknown-linux-gnu", false),
    ] {
        let notices = run(Command::new(repository("deploy/notices")).arg(target));
        assert_eq!(notices.contains("\nmusl: MIT."), names, "{target}");
    }
}
