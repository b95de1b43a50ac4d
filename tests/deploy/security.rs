//! Every claim of `deploy/security.md` names an existing test.

use std::fs;
use std::path::Path;

use crate::tools::repository;

/// Collects all source files below a folder.
fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("it is text");
            found.push((path.display().to_string(), text));
        }
    }
}

#[test]
fn every_claim_names_existing_tests() {
    let mut files = Vec::new();
    sources(&repository("src"), &mut files);
    sources(&repository("tests"), &mut files);
    let page = fs::read_to_string(repository("deploy/security.md")).expect("it is there");
    let named: Vec<&str> = page.split('`').filter(|code| code.contains("::")).collect();
    assert!(named.len() > 30, "{named:?}");
    for name in named {
        let mut parts: Vec<&str> = name.split("::").collect();
        let test = parts.pop().expect("it has parts");
        let module: Vec<&str> = parts.into_iter().filter(|part| *part != "tests").collect();
        let declared = format!("fn {test}(");
        let exists = files.iter().any(|(path, text)| {
            let place = text.find(&declared);
            place.is_some_and(|place| {
                // The test attribute is on one of the lines before.
                let before = &text[place.saturating_sub(120)..place];
                let is_test = before.contains("#[test]") || before.contains("#[tokio::test");
                is_test && module.iter().all(|module| path.contains(module))
            })
        });
        assert!(exists, "{name} is not a test");
    }
}
