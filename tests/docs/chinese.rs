//! Checks that snippets, code spans and links of the Chinese page are in the English documents.

use std::collections::BTreeSet;

use crate::generated::keys;
use crate::links::resolve;
use crate::markdown::Document;

const PAGE: &str = "README.zh-CN.md";

/// A line of a snippet without its comment.
fn code(line: &str) -> &str {
    line.split(" #").next().unwrap_or_default().trim()
}

#[test]
fn snippets_match_the_english_documents() {
    let english = Document::english();
    let blocks: Vec<_> = english.iter().flat_map(Document::blocks).collect();
    let page = Document::read(PAGE);
    let own = page.blocks();
    assert!(own.len() > 5, "only {} snippets found", own.len());
    for block in own {
        let mut lines = block.text.lines().map(code).filter(|line| !line.is_empty());
        // A snippet may be shorter than its original.
        let has = |line: &str| {
            blocks
                .iter()
                .filter(|original| original.language == block.language)
                .any(|original| original.text.lines().any(|other| code(other) == line))
        };
        let unknown = lines.find(|line| !has(line));
        assert_eq!(unknown, None, "in no English document");
    }
}

#[test]
fn code_spans_match_the_english_documents() {
    let english = Document::english();
    let texts: String = english
        .iter()
        .map(|document| document.text.as_str())
        .collect();
    let keys: BTreeSet<String> = keys().into_iter().map(|key| key.path).collect();
    for span in Document::read(PAGE).spans() {
        assert!(
            texts.contains(&span) || keys.contains(&span),
            "{span} is in no English document"
        );
    }
}

#[test]
fn links_match_the_english_documents() {
    let english = Document::english();
    let known: BTreeSet<(String, Option<String>)> = english
        .iter()
        .flat_map(|document| {
            document
                .links()
                .into_iter()
                .map(|link| resolve(document, &link))
        })
        .collect();
    let page = Document::read(PAGE);
    let links = page.links();
    assert!(links.len() > 5, "only {} links found", links.len());
    for link in links.iter().filter(|link| *link != "README.md") {
        assert!(
            known.contains(&resolve(&page, link)),
            "{link} is in no English document"
        );
    }
}
