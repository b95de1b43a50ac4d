//! The workflows of GitHub: their form, and what they could be abused for.

use std::fs;
use std::path::PathBuf;

use crate::tools::{repository, run, tool};

fn workflows() -> Vec<PathBuf> {
    let folder = fs::read_dir(repository(".github/workflows")).expect("it is there");
    folder
        .map(|entry| entry.expect("it can be read").path())
        .collect()
}

#[test]
fn they_are_workflows() {
    run(tool("check-jsonschema")
        .args(["--builtin-schema", "vendor.github-workflows"])
        .args(workflows()));
}

/// Actions pinned to a commit, permissions no wider than needed, no text of strangers in scripts.
#[test]
fn zizmor_finds_no_fault() {
    run(tool("zizmor")
        .args(["--offline", "--no-progress", "--quiet"])
        .args(workflows()));
}
