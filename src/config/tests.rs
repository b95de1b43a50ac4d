//! Tests of loading configurations from files and the environment.

mod environment;
mod fleets;
mod groups;
mod proxy;
mod shards;
mod thresholds;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const CANARY: &str = "private_CanaryCanaryCanary012345";

/// A directory with a configuration and a key file, both readable only by the owner.
fn folder(yaml: &str) -> TempDir {
    let folder = TempDir::new().expect("writable");
    write(folder.path(), "config.yaml", yaml);
    write(folder.path(), "a.key", "private_a\n");
    folder
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::write(&path, text).expect("writable");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("permitted");
}

fn source(folder: &TempDir, environment: &[(&str, &str)]) -> ConfigSource {
    ConfigSource {
        file: folder.path().join("config.yaml"),
        file_is_explicit: true,
        environment: environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        shard: Shard::default(),
    }
}

fn load_with(
    folder: &TempDir,
    environment: &[(&str, &str)],
) -> Result<(Config, Vec<Warning>), ConfigErrors> {
    load(&source(folder, environment))
}

/// Loads a configuration whose file is optional.
fn load_from(
    folder: &TempDir,
    environment: &[(&str, &str)],
) -> Result<(Config, Vec<Warning>), ConfigErrors> {
    load(&ConfigSource {
        file_is_explicit: false,
        ..source(folder, environment)
    })
}

fn load_yaml(yaml: &str) -> Result<(Config, Vec<Warning>), ConfigErrors> {
    load_with(&folder(yaml), &[])
}

fn errors(yaml: &str) -> Vec<String> {
    let folder = folder(yaml);
    let place = format!("{}/", folder.path().display());
    load_with(&folder, &[])
        .expect_err("invalid")
        .0
        .iter()
        .map(|problem| problem.to_string().replace(&place, ""))
        .collect()
}

const VPS: &str = "vps: [{veid: 1, api_key_file: a.key}]\n";

#[test]
fn defaults() {
    let (config, warnings) = load_yaml(VPS).expect("valid");
    assert_eq!(warnings, []);
    assert_eq!(config.api.endpoint.as_str(), DEFAULT_ENDPOINT);
    assert_eq!(config.api.concurrency, Concurrency::Auto);
    assert_eq!(config.intervals, DEFAULT_INTERVALS);
    assert_eq!(config.collect, Collect::default());
    assert_eq!(
        (config.staleness, config.budget.share),
        (DEFAULT_STALENESS, DEFAULT_SHARE)
    );
    let vps = &config.vps[0];
    assert_eq!(
        (vps.name.as_str(), vps.veid, vps.expect),
        ("1", Veid(1), Expect::Running)
    );
    assert_eq!(vps.key.as_ref().ok(), ApiKey::new("private_a").as_ref());
}

/// Users start from the example, so it must be valid and complete, and match the defaults.
#[test]
fn the_example_is_valid_and_complete() {
    let example =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.yaml"))
            .expect("the example exists");
    let folder = folder(&example);
    write(folder.path(), "tokyo-1.key", "private_tokyo");
    let (config, warnings) = load_with(&folder, &[]).expect("valid");
    assert_eq!(warnings, []);
    let defaults = load_yaml(VPS).expect("valid").0;
    assert_eq!(config.vps.len(), 2);
    assert_eq!(
        Config {
            vps: defaults.vps.clone(),
            vps_of_all_shards: defaults.vps_of_all_shards,
            ..config
        },
        defaults
    );
    let sections = validate::SECTIONS
        .iter()
        .flat_map(|(name, keys)| std::iter::once(name).chain(*keys));
    let all = sections
        .chain(validate::TOP_LEVEL_KEYS)
        .chain(fleet::KEYS)
        .chain(fleet::BUDGET)
        .chain(&["vps"]);
    for key in all {
        assert!(
            example.contains(&format!("{key}:")),
            "{key} is not in the example"
        );
    }
}

#[test]
fn reports_all_problems_with_their_lines() {
    let yaml = "\
api:
  endpoint: http://api.example.com/v1
  concurency: 3
budget: {share: 1.5, download: lots}
intervals:
  live: 5s
  usage: soon
staleness: 0
vps:
  - name: a
    veid: 1
    api_key_file: a.key
    api_key: x
  - name: a
    veid: 1
    api_key_file: a.key
    labels: {veid: x}
    intervals:
      points: 10s
  - veid: -3
    api_key_file: missing.key
    expect: sleeping
  - name: ''
    veid: 4
    api_key: ''
  - name: e
    veid: 5
";
    assert_eq!(
        errors(yaml),
        [
            "config.yaml:3: api.concurency: unknown key; did you mean concurrency?",
            "config.yaml:2: api.endpoint: must be an https URL (http only for loopback): http would expose the API key",
            "config.yaml:4: budget.share: must be a number above 0 and up to 1",
            "config.yaml:4: budget.download: must be a size such as 100MiB, above 0",
            "config.yaml:6: intervals.live: is shorter than 30s: the API is slow and limits calls; use 30s or more",
            "config.yaml:7: intervals.usage: must be a duration such as 90s, 5m or 2h",
            "config.yaml:8: staleness: must be a number from 1 to 1000",
            "config.yaml:10: vps[0]: has api_key and api_key_file: keep only one of them",
            "config.yaml:17: vps[1].labels.veid: identifies the VPS or the exporter: choose another name",
            "config.yaml:19: vps[1].intervals.points: is shorter than 30s: the API is slow and limits calls; use 30s or more",
            "config.yaml:20: vps[2].veid: must be the VEID of the VPS, a number above 0",
            "config.yaml:22: vps[2].expect: must be running, stopped or any",
            "config.yaml:23: vps[3].name: must be text of 1 to 100 characters without control characters or API keys",
            "config.yaml:25: vps[3].api_key: must be the API key as text, one word",
            "config.yaml:26: vps[4]: has no key: set api_key_file to the path of a key file",
            "config.yaml:14: vps[1].name: vps[0] has the same name: use unique names",
            "config.yaml:15: vps[1].veid: vps[0] has the same VEID: remove one of them",
        ]
    );
}

#[test]
fn a_vps_inherits_or_overrides_the_multiplier() {
    let yaml = "\
bandwidth: {multiplier: allowance}
vps:
- {veid: 1, api_key_file: a.key}
- {veid: 2, api_key_file: a.key, bandwidth: {multiplier: none}}
";
    let of = |yaml: &str| {
        let (config, _) = load_yaml(yaml).expect("valid");
        let each = config.vps.iter().map(|vps| vps.multiplier);
        each.collect::<Vec<_>>()
    };
    assert_eq!(of(yaml), [Multiplier::Allowance, Multiplier::None]);
    assert_eq!(of(VPS), [Multiplier::Both]);
    let wrong = yaml.replace("multiplier: none", "multiplier: 2");
    assert_eq!(
        errors(&wrong),
        ["config.yaml:4: vps[1].bandwidth.multiplier: must be both, allowance or none"]
    );
}

#[test]
fn rejects_labels_that_are_already_in_use() {
    let yaml =
        |labels: &str| format!("vps:\n- {{veid: 1, api_key_file: a.key, labels: {labels}}}\n");
    let (config, _) = load_yaml(&yaml("{env: prod, _team: 7}")).expect("valid");
    let labels: Vec<_> = config.vps[0].labels.iter().collect();
    assert_eq!(
        labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect::<Vec<_>>(),
        [("_team", "7"), ("env", "prod")]
    );
    for (labels, words) in [
        (
            "{call: x}",
            "vps[0].labels.call: metrics or alerts already have a label call: choose another name, such as my_call",
        ),
        ("{threshold: x}", "already have a label threshold"),
        ("{reason: x}", "already have a label reason"),
        ("{le: x}", "already have a label le"),
        ("{job: x}", "identifies the VPS or the exporter"),
        ("{vps: x}", "identifies the VPS or the exporter"),
        ("{__name__: x}", "not begin with a digit or two underscores"),
        ("{a-b: x}", "letters, digits and underscores"),
        ("{env: [x]}", "must be text"),
        ("[env]", "must be a mapping of names to values"),
    ] {
        let errors = errors(&yaml(labels));
        assert!(
            errors.len() == 1 && errors[0].contains(words),
            "{labels}: {errors:?}"
        );
    }
}

#[test]
fn errors_show_unknown_keys_as_long_as_known_ones() {
    for threshold in Threshold::ALL {
        let name = threshold.name();
        let typo = name.replacen('_', "__", 1);
        let error = &errors(&format!(
            "thresholds: {{{typo}: 1}}\nvps: [{{veid: 1, api_key_file: a.key}}]\n"
        ))[0];
        let expected = format!("thresholds.{typo}: unknown key; did you mean {name}?");
        assert!(error.contains(&expected), "{error}");
        let error = &errors(&format!(
            "{name}: 1\nvps: [{{veid: 1, api_key_file: a.key}}]\n"
        ))[0];
        assert!(error.contains(&format!(" {name}: unknown key")), "{error}");
    }
    for secret in [
        "3f786850e387550fdab836ed7e6dc881de23001b",
        "private_words_and_more",
    ] {
        let error = &errors(&format!(
            "{secret}: 1\nvps: [{{veid: 1, api_key_file: a.key}}]\n"
        ))[0];
        assert!(!error.contains(secret), "{error}");
    }
}

#[test]
fn names_and_veids_are_unique() {
    let yaml = "vps:\n- {name: a, veid: 1, api_key_file: a.key}\n- {name: a, veid: 1, api_key_file: a.key}\n";
    assert_eq!(
        errors(yaml),
        [
            "config.yaml:3: vps[1].name: vps[0] has the same name: use unique names",
            "config.yaml:3: vps[1].veid: vps[0] has the same VEID: remove one of them",
        ]
    );
}

#[test]
fn rejects_other_files_with_the_line_of_the_error() {
    for (yaml, line, words) in [
        ("vps: [", None, "is not YAML"),
        ("vps:\n\t- x", None, "is not YAML"),
        ("- 1\n", Some(1), "is not YAML"),
        ("", None, "no VPS is configured"),
        ("vps: []", None, "no VPS is configured"),
        ("vps: 7", None, "must be a list"),
        ("vps: [7]", None, "must be a section"),
        ("a: 1\na: 2\n", None, "is not YAML"),
    ] {
        let error = load_yaml(yaml).expect_err(yaml);
        assert!(error.0[0].to_string().contains(words), "{yaml}: {error}");
        assert!(line.is_none() || error.0[0].line == line, "{yaml}: {error}");
    }
}

#[test]
fn reads_bare_numbers_as_text() {
    let yaml =
        "vps: [{name: 123, veid: '0000007', api_key: 987654321, labels: {rack: 7, on: true}}]\n";
    let (config, _) = load_yaml(yaml).expect("valid");
    let vps = &config.vps[0];
    assert_eq!((vps.name.as_str(), vps.veid), ("123", Veid(7)));
    assert_eq!(vps.labels.get("rack").map(String::as_str), Some("7"));
}

#[test]
fn rejects_a_state_file_that_is_not_a_file() {
    for (file, problem) in [
        (
            "''",
            "config.yaml:1: state_file: must be the path of a file",
        ),
        (
            ".",
            "config.yaml:1: state_file: is a directory: name a file in it",
        ),
    ] {
        assert_eq!(errors(&format!("state_file: {file}\n{VPS}")), [problem]);
    }
    let (_, warnings) =
        load_yaml(&format!("state_file: /nowhere/state.json\n{VPS}")).expect("only a warning");
    let warned = warnings.first().expect("a warning").to_string();
    assert!(
        warned
            .ends_with("config.yaml:1: state_file: directory /nowhere does not exist; the exporter needs it to start"),
        "{warned}"
    );
}

#[test]
fn warns_of_world_readable_files() {
    let folder = folder(
        "vps: [{veid: 1, api_key_file: a.key}, {veid: 2, api_key: x}, {veid: 3, api_key: x}]\n",
    );
    for name in ["a.key", "config.yaml"] {
        let open = fs::Permissions::from_mode(0o644);
        fs::set_permissions(folder.path().join(name), open).expect("permitted");
    }
    let (_, warnings) = load_with(&folder, &[]).expect("valid");
    let keys: Vec<_> = warnings
        .iter()
        .map(|warning| warning.key.as_str())
        .collect();
    assert_eq!(keys, ["vps[0].api_key_file", "vps[1].api_key"]);
}

#[test]
fn a_relative_state_file_is_in_the_state_directory() {
    let folder = folder(&format!("state_file: state.json\n{VPS}"));
    let (config, _) = load_with(&folder, &[]).expect("valid");
    assert_eq!(config.state_file, Some(folder.path().join("state.json")));
    let (config, _) = load_with(&folder, &[("STATE_DIRECTORY", "/var/lib/x")]).expect("valid");
    assert_eq!(
        config.state_file,
        Some(PathBuf::from("/var/lib/x/state.json"))
    );
}

/// All output about a configuration, valid or not.
fn all_output(folder: &TempDir, environment: &[(&str, &str)]) -> String {
    match load_with(folder, environment) {
        Ok((config, warnings)) => format!("{config:?} {warnings:?} {}", config.summary()),
        Err(errors) => format!("{errors} {errors:?}"),
    }
}

#[test]
fn output_never_contains_a_key() {
    for yaml in [
        format!("vps: [{{veid: 1, api_key: {CANARY}}}]"),
        format!("vps: [{{veid: 1, api_key: [{CANARY}]}}]"),
        format!("vps: [{{veid: 1, api_key: {{x: {CANARY}}}}}]"),
        format!("vps: [{{veid: 1, api_key_file: {CANARY}}}]"),
        format!("vps: [{{veid: 1, api_key_env: {CANARY}}}]"),
        format!("vps: [{{veid: {CANARY}, api_key: x}}]"),
        format!("vps: [{{veid: 1, {CANARY}: x}}]"),
        format!("vps: [{{veid: 1, api_key: x, expect: {CANARY}}}]"),
        format!("vps:\n- veid: 1\n  api_key {CANARY}\n"),
        format!("vps:\n- veid: 1\n  api_key: \"{CANARY}\n"),
        format!("{CANARY}: 1"),
        CANARY.to_owned(),
        format!("intervals: {{live: {CANARY}}}\nvps: [{{veid: 1, api_key: {CANARY}}}]"),
        format!("staleness: {CANARY}"),
        format!("compatibility: [{CANARY}]"),
        format!("api: {{endpoint: 'https://{CANARY}@x/', proxy: '{CANARY}'}}"),
    ] {
        let output = all_output(&folder(&yaml), &[]);
        assert!(!output.contains(CANARY), "{yaml}:\n{output}");
    }
    for name in [
        "KIWIVM_EXPORTER_INTERVALS__LIVE",
        "KIWIVM_EXPORTER_STALENESS",
        "KIWIVM_EXPORTER_NOPE",
        "KIWIVM_VEID",
        "KIWIVM_API_KEY",
    ] {
        let output = all_output(&folder(VPS), &[(name, CANARY)]);
        assert!(!output.contains(CANARY), "{name}:\n{output}");
    }
}

#[test]
fn a_key_as_name_or_label_is_refused_and_not_shown() {
    for (place, path) in [
        (format!("name: {CANARY}"), "name"),
        (format!("labels: {{env: my {CANARY}}}"), "labels.env"),
        (format!("budget: {{group: {CANARY}}}"), "budget.group"),
    ] {
        let errors = errors(&format!(
            "vps: [{{veid: 1, api_key: private_x, {place}}}]\n"
        ));
        let expected = format!("config.yaml:1: vps[0].{path}: must be text ");
        assert!(errors[0].starts_with(&expected), "{errors:?}");
        assert!(errors[0].ends_with(" API keys"), "{errors:?}");
        assert!(errors.len() == 1 && !errors[0].contains("Canary"));
    }
}

proptest! {
    #[test]
    fn random_text_does_not_panic(yaml in "(vps|api|intervals|staleness|name|veid|api_key|live|[-:{}\\[\\]'\"# \n,x0-9]){0,40}") {
        let _ = load_yaml(&yaml);
    }
}
