//! Links and anchors between the documents.

use std::path::{Component, Path, PathBuf};

use crate::markdown::Document;
use crate::repository;

/// Resolves a relative link to a file of the repository and the anchor in it.
pub fn resolve(document: &Document, link: &str) -> (String, Option<String>) {
    let (path, anchor) = match link.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor.to_owned())),
        None => (link, None),
    };
    if path.is_empty() {
        return (document.path.clone(), anchor);
    }
    let folder = Path::new(&document.path).parent().unwrap_or(Path::new(""));
    let mut resolved = PathBuf::new();
    for part in folder.join(path).components() {
        match part {
            Component::ParentDir => assert!(
                resolved.pop(),
                "{}: {link} leads out of the repository",
                document.path
            ),
            part => resolved.push(part),
        }
    }
    (resolved.to_string_lossy().into_owned(), anchor)
}

fn is_relative(link: &str) -> bool {
    !link.contains("://") && !link.starts_with("mailto:")
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut broken = Vec::new();
    let mut checked = 0;
    for document in Document::all() {
        for link in document.links().iter().filter(|link| is_relative(link)) {
            let (path, anchor) = resolve(&document, link);
            checked += 1;
            if !repository(&path).exists() {
                broken.push(format!("{}: {link}: no such file", document.path));
            } else if let Some(anchor) = anchor
                && !Document::read(&path).anchors().contains(&anchor)
            {
                broken.push(format!("{}: {link}: no such heading", document.path));
            }
        }
    }
    assert!(checked > 100, "only {checked} links were found");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_index_lists_every_document() {
    let index = Document::read("docs/README.md");
    let listed: Vec<String> = index
        .links()
        .iter()
        .map(|link| resolve(&index, link).0)
        .collect();
    for document in Document::all() {
        let is_listed = listed.contains(&document.path);
        let in_docs = document.path.starts_with("docs/") && document.path != index.path;
        assert!(is_listed || !in_docs, "{} is not listed", document.path);
    }
}
