//! The map of the modules in src/lib.rs holds: a module imports only from those below it.

use std::fs;
use std::path::{Path, PathBuf};

use super::repository;

/// Returns the modules in the order of the map.
fn map() -> Vec<String> {
    let text = fs::read_to_string(repository("src/lib.rs")).expect("it can be read");
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | ["));
    let names = rows.filter_map(|row| row.split(" | ").next());
    names
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).expect("it is a folder");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    paths.flat_map(|path| sources(&path)).collect()
}

/// Returns the modules of the crate that a file names, without its unit tests.
fn imports(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).expect("it can be read");
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let named = code.split("crate::").skip(1);
    let word = |rest: &str| {
        rest.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    named.map(word).collect()
}

#[test]
fn modules_import_only_from_below() {
    let map = map();
    let position = |module: &str| map.iter().position(|of| of == module);
    let mut found = 0;
    for module in &map {
        let paths =
            [format!("src/{module}.rs"), format!("src/{module}")].map(|path| repository(&path));
        let exist = paths.iter().filter(|path| path.exists());
        for source in exist.flat_map(|path| sources(path)) {
            let name = source
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            let is_test = source.components().any(|part| part.as_os_str() == "tests");
            if is_test
                || source.extension().is_none_or(|extension| extension != "rs")
                || name == "tests.rs"
            {
                continue;
            }
            for import in imports(&source).iter().filter(|import| *import != module) {
                let Some(below) = position(import) else {
                    continue;
                };
                found += 1;
                assert!(
                    Some(below) > position(module),
                    "{} imports {import}, which is above {module} in the map of src/lib.rs",
                    source.display()
                );
            }
        }
    }
    assert!(found > 100, "{found} imports");
}

#[test]
fn the_map_is_complete() {
    let text = fs::read_to_string(repository("src/lib.rs")).expect("it can be read");
    let declared = text
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod "));
    let mut declared: Vec<&str> = declared
        .map(|module| module.trim_end_matches(';'))
        .collect();
    let mut map = map();
    declared.sort_unstable();
    map.sort();
    assert_eq!(map, declared);
}
