//! Checks the snippets of the documents: configurations load, commands exist.

use std::fs;
use std::process::Command;

use clap::error::ErrorKind;
use kiwivm_exporter::cli;
use kiwivm_exporter::simulator::parse_faults;
use tempfile::TempDir;

use crate::generated::keys;
use crate::markdown::Document;

/// Runs a command. Panics if it fails.
fn run(origin: &str, command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?} cannot be run; tests/run installs it: {error}")
    });
    let [out, error] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{origin}\n{out}{error}");
}

/// Loads a configuration of this exporter, with the key and password files that it names.
fn load(origin: &str, yaml: &str) {
    let folder = TempDir::new().expect("a temporary folder can be created");
    let write = |name: &str, content: &str| {
        fs::write(folder.path().join(name), content).expect("the file can be written");
    };
    write("config.yaml", yaml);
    for file in ["tokyo-1.key", "backup.key", "proxy.password"] {
        write(file, "private_test");
    }
    write(
        "keys.csv",
        "VEID,HOSTNAME,IS_TERMINATED,API_KEY\n1234568,backup.example.com,0,private_test\n",
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiwivm_exporter"));
    command.arg("--config.check").arg(format!(
        "--config.file={}",
        folder.path().join("config.yaml").display()
    ));
    if !yaml.contains("vps:") {
        command.env("KIWIVM_EXPORTER_VPS", "[{veid: 1, api_key: private_test}]");
    }
    run(origin, &mut command);
}

/// Checks the syntax of a Prometheus configuration, without the files that it names.
fn check_prometheus(origin: &str, yaml: &str) {
    let folder = TempDir::new().expect("a temporary folder can be created");
    let file = folder.path().join("prometheus.yml");
    fs::write(&file, yaml).expect("the file can be written");
    let arguments = ["check", "config", "--syntax-only"];
    run(origin, Command::new("promtool").args(arguments).arg(&file));
}

#[test]
fn configurations_load() {
    let own: Vec<String> = keys().into_iter().map(|key| key.path).collect();
    let mut loaded = 0;
    for document in Document::all() {
        for block in document.blocks() {
            let origin = format!("{}:\n{}", document.path, block.text);
            if block.language != "yaml" {
                continue;
            }
            let first = block.text.lines().next().unwrap_or_default();
            let key = first.split(':').next().unwrap_or_default();
            match key {
                _ if own.iter().any(|name| name == key) => {
                    load(&origin, &block.text);
                    loaded += 1;
                }
                "rule_files" | "scrape_configs" => check_prometheus(&origin, &block.text),
                "- {veid" => {
                    let faults =
                        parse_faults(&block.text).unwrap_or_else(|error| panic!("{origin}{error}"));
                    assert_eq!(faults.len(), block.text.lines().count());
                }
                // Covered by tests/deploy and tests/e2e.
                "receivers"
                | "routes"
                | "# kustomization.yaml"
                | "# web.yml; paths are relative to this file" => {}
                _ if first.starts_with("# values.yaml") => {}
                _ => panic!("no test covers {origin}"),
            }
        }
    }
    assert!(loaded > 5, "only {loaded} configurations were found");
}

/// The commands of this program in a text, each as a list of arguments.
fn commands(text: &str) -> Vec<Vec<String>> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().filter_map(|line| {
        let line = line.split(" #").next().unwrap_or_default();
        let line = line.split(" > ").next().unwrap_or_default();
        let words = line.split_whitespace().map(str::to_owned);
        let words: Vec<String> = words
            .skip_while(|word| word.starts_with("KIWIVM_"))
            .collect();
        (words.first()? == "kiwivm_exporter").then_some(words)
    });
    lines.collect()
}

#[test]
fn commands_exist() {
    let mut checked = 0;
    for document in Document::all() {
        let mut texts: Vec<String> = document
            .blocks()
            .into_iter()
            .map(|block| block.text)
            .collect();
        texts.extend(document.spans());
        for words in texts.iter().flat_map(|text| commands(text)) {
            let result = cli::command().try_get_matches_from(&words);
            let is_help = |error: &clap::Error| {
                matches!(
                    error.kind(),
                    ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
                )
            };
            if let Err(error) = result
                && !is_help(&error)
            {
                panic!("{}: {words:?}: {error}", document.path);
            }
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} commands were found");
}
