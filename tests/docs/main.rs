//! Tests of the documents: links, snippets, names and generated parts.

mod architecture;
mod chinese;
mod generated;
mod links;
mod markdown;
mod names;
mod snippets;

use std::path::{Path, PathBuf};

/// A path in the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_readme_stays_short() {
    let readme = markdown::Document::read("README.md");
    let lines = readme.text.lines().count();
    assert!(
        lines <= 200,
        "README.md has {lines} lines; move details to docs/"
    );
}
