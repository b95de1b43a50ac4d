//! Running what judges.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A path in the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A command that `tests/run` installs below `target/tools`, or one that is in PATH.
pub fn tool(name: &str) -> Command {
    let installed = repository("target/tools/bin").join(name);
    if installed.exists() {
        Command::new(installed)
    } else {
        Command::new(name)
    }
}

/// What it prints on standard output.
///
/// # Panics
///
/// When it cannot be run or does not succeed, with all that it printed.
pub fn run(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap_or_else(|error| {
        panic!("{command:?} cannot be run, tests/run installs it: {error}")
    });
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {status}\n{stdout}{stderr}");
    stdout
}
