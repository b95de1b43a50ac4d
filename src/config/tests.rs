//! Tests of loading configurations from files and the environment.

mod fleets;
mod proxy;

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

fn load_with(
    folder: &TempDir,
    environment: &[(&str, &str)],
) -> Result<(Config, Vec<Warning>), ConfigErrors> {
    load(&ConfigSource {
        file: folder.path().join("config.yaml"),
        file_is_explicit: true,
        environment: environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        shard: Shard::default(),
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
            "config.yaml:23: vps[3].name: must be text of 1 to 100 characters without control characters",
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
fn a_vps_overrides_single_thresholds() {
    let yaml = "\
thresholds:
  bandwidth_used_ratio_warning: 0.7
  backup_age_seconds: 3d
  swap_used_ratio: off
vps:
- {veid: 1, api_key_file: a.key}
- {veid: 2, api_key_file: a.key, thresholds: {bandwidth_used_ratio_warning: 0.9, disk_full_seconds_critical: 3600, backup_age_seconds: 'off'}}
";
    let (config, _) = load_yaml(yaml).expect("valid");
    let of = |threshold| {
        config
            .vps
            .iter()
            .map(move |vps| vps.thresholds.get(threshold))
    };
    for (threshold, [one, two]) in [
        (Threshold::BandwidthUsedWarning, [Some(0.7), Some(0.9)]),
        (Threshold::BandwidthUsedCritical, [Some(0.95), Some(0.95)]),
        (Threshold::DiskFullCritical, [Some(43_200.0), Some(3600.0)]),
        (Threshold::BackupAge, [Some(3.0 * 86_400.0), None]),
        (Threshold::SwapUsed, [None, None]),
        (Threshold::SnapshotPurge, [None, None]),
    ] {
        let name = threshold.name();
        assert_eq!(of(threshold).collect::<Vec<_>>(), [one, two], "{name}");
    }
}

#[test]
fn rejects_invalid_thresholds() {
    let yaml = "\
thresholds:
  bandwidth_used_ratio_warnin: 0.7
  bandwidth_used_ratio_critical: 95
  memory_available_ratio_critical: 0.2
  policy_deadline_seconds: soon
  throttle_starts: 0
vps:
- {veid: 1, api_key_file: a.key}
- veid: 2
  api_key_file: a.key
  thresholds:
    bandwidth_used_ratio_warning: 0.97
    api_failing_ratio: 0.1
";
    assert_eq!(
        errors(yaml),
        [
            "config.yaml:2: thresholds.bandwidth_used_ratio_warnin: unknown key; did you mean bandwidth_used_ratio_warning?",
            "config.yaml:3: thresholds.bandwidth_used_ratio_critical: must be a number from 0 to 1, or off",
            "config.yaml:6: thresholds.throttle_starts: must be a number from 1 to 1000, or off",
            "config.yaml:5: thresholds.policy_deadline_seconds: must be a duration such as 12h or 3d, or seconds, up to 3650d, or off",
            "config.yaml:4: thresholds.memory_available_ratio_critical: memory_available_ratio_critical must not be above memory_available_ratio_warning: change one of them",
            "config.yaml:13: vps[1].thresholds.api_failing_ratio: applies to all VPSes: set it in the top-level thresholds section",
            "config.yaml:12: vps[1].thresholds.bandwidth_used_ratio_warning: bandwidth_used_ratio_warning must not be above bandwidth_used_ratio_critical: change one of them",
        ]
    );
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
fn vpses_of_a_group_share_a_quota() {
    let yaml = "\
vps:
  - {veid: 1, api_key: x, budget: {group: first account}}
  - {veid: 2, api_key: x, budget: {group: 7}}
  - {veid: 3, api_key: x, budget: {group: null}}
  - {veid: 4, api_key: x, budget: null}
  - {veid: 5, api_key: x}
";
    let (config, _) = load_yaml(yaml).expect("valid");
    let groups: Vec<_> = config
        .vps
        .iter()
        .map(|vps| vps.quota_group.as_deref())
        .collect();
    assert_eq!(groups, [Some("first account"), Some("7"), None, None, None]);
    let summary = config.summary();
    assert!(
        summary.contains("inventory every 1h; quota group first account; key"),
        "{summary}"
    );
    assert_eq!(summary.matches("quota group").count(), 2, "{summary}");
}

#[test]
fn an_invalid_group_is_reported_with_its_line() {
    let yaml = "\
vps:
  - veid: 1
    api_key: x
    budget:
      group: ''
  - veid: 2
    api_key: x
    budget:
      share: 0.3
      grup: a
  - veid: 3
    api_key: x
    budget: a
  - veid: 4
    api_key: x
    budget:
      group: [a, b]
";
    let name = "must be text of 1 to 100 characters without control characters";
    assert_eq!(
        errors(yaml),
        [
            format!("config.yaml:5: vps[0].budget.group: {name}"),
            "config.yaml:10: vps[1].budget.grup: unknown key; did you mean group?".to_owned(),
            "config.yaml:9: vps[1].budget.share: unknown key; known here: group".to_owned(),
            "config.yaml:13: vps[2].budget: must be a section with keys (group)".to_owned(),
            format!("config.yaml:17: vps[3].budget.group: {name}"),
        ]
    );
    let warnings = load_with(&folder(VPS), &[("KIWIVM_EXPORTER_BUDGET__GROUP", "a")]);
    let (config, warnings) = warnings.expect("variable ignored");
    assert_eq!(config.vps[0].quota_group, None);
    assert_eq!(warnings[0].key, "KIWIVM_EXPORTER_BUDGET__GROUP");
}

#[test]
fn the_environment_overrides_the_file() {
    let folder = folder(&format!("budget: {{share: 0.2}}\n{VPS}"));
    let environment = [
        ("KIWIVM_EXPORTER_BUDGET__SHARE", "0.3"),
        ("KIWIVM_EXPORTER_INTERVALS__LIVE", "90s"),
        ("KIWIVM_EXPORTER_COLLECT__AUDIT", "true"),
        ("KIWIVM_EXPORTER_STALENESS", "5"),
        ("KIWIVM_EXPORTER_SERVICE_HOST", "10.0.0.1"),
        ("KIWIVM_EXPORTER_PORT_10064_TCP", "tcp://10.0.0.1:10064"),
        ("KIWIVM_EXPORTER_BUGDET__SHARE", "0.9"),
    ];
    let (config, warnings) = load_with(&folder, &environment).expect("valid");
    assert_eq!((config.budget.share, config.staleness), (0.3, 5.0));
    assert_eq!(config.vps[0].intervals.live, Duration::from_secs(90));
    assert!(config.collect.includes(Call::AuditLog));
    let warnings: Vec<_> = warnings
        .iter()
        .map(|warning| warning.key.as_str())
        .collect();
    assert_eq!(warnings, ["KIWIVM_EXPORTER_BUGDET__SHARE"]);
}

#[test]
fn problems_of_a_variable_name_the_variable() {
    let folder = folder(&format!("intervals:\n  live: 2m\n{VPS}"));
    let environment = [
        ("KIWIVM_EXPORTER_INTERVALS__LIVE", "5"),
        ("KIWIVM_EXPORTER_COMPATIBILITY", "[nobody]"),
        ("KIWIVM_EXPORTER_API__PROXY", ""),
    ];
    let ConfigErrors(problems) = load_with(&folder, &environment).expect_err("invalid");
    let messages: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        messages,
        [
            "KIWIVM_EXPORTER_INTERVALS__LIVE: must be a duration such as 90s, 5m or 2h",
            "KIWIVM_EXPORTER_COMPATIBILITY: must be a list of bandwagon_exporter, bandwagonhost_cloud_exporter",
        ]
    );
    let environment = [("KIWIVM_EXPORTER_COMPATIBILITY", "[bandwagon_exporter]")];
    let (config, warnings) = load_with(&folder, &environment).expect("valid");
    assert_eq!(config.compatibility, [Compatibility::BandwagonExporter]);
    assert_eq!(warnings, []);
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
fn one_vps_needs_no_file() {
    let folder = folder("");
    fs::remove_file(folder.path().join("config.yaml")).expect("removable");
    let key_file = folder.path().join("a.key").display().to_string();
    let load = |environment: &[(&str, &str)]| {
        load(&ConfigSource {
            file: folder.path().join("config.yaml"),
            file_is_explicit: false,
            environment: environment
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            shard: Shard::default(),
        })
    };
    let (config, _) =
        load(&[("KIWIVM_VEID", "7"), ("KIWIVM_API_KEY", "private_x")]).expect("valid");
    assert_eq!(
        (config.vps[0].veid, config.vps[0].name.as_str()),
        (Veid(7), "7")
    );
    let (config, _) =
        load(&[("KIWIVM_VEID", "7"), ("KIWIVM_API_KEY_FILE", &key_file)]).expect("valid");
    assert_eq!(
        config.vps[0].key.as_ref().ok(),
        ApiKey::new("private_a").as_ref()
    );
    for environment in [
        &[][..],
        &[("KIWIVM_VEID", "7")],
        &[("KIWIVM_API_KEY", "x")],
        &[("KIWIVM_VEID", "x"), ("KIWIVM_API_KEY", "x")],
        &[("KIWIVM_VEID", "7"), ("KIWIVM_API_KEY", " \n")],
        &[("KIWIVM_VEID", "7"), ("KIWIVM_API_KEY", "a b")],
    ] {
        let error = load(environment).expect_err("invalid").to_string();
        assert!(
            error.contains("KIWIVM_VEID") || error.contains("KIWIVM_API_KEY"),
            "{error}"
        );
    }
}

#[test]
fn credentials_of_systemd_take_precedence() {
    let yaml = folder(VPS);
    let credentials = TempDir::new().expect("writable");
    write(credentials.path(), "a.key", "private_credential");
    let path = credentials.path().display().to_string();
    let (config, _) = load_with(&yaml, &[("CREDENTIALS_DIRECTORY", &path)]).expect("valid");
    assert_eq!(
        config.vps[0].key.as_ref().ok(),
        ApiKey::new("private_credential").as_ref()
    );
}

#[test]
fn finds_credentials_of_a_subdirectory() {
    let folder = folder("vps: [{veid: 1, api_key_file: keys/a.key}]\n");
    let credentials = TempDir::new().expect("writable");
    write(credentials.path(), "keys_a.key", "private_credential");
    let path = credentials.path().display().to_string();
    let (config, _) = load_with(&folder, &[("CREDENTIALS_DIRECTORY", &path)]).expect("valid");
    assert_eq!(
        config.vps[0].key.as_ref().ok(),
        ApiKey::new("private_credential").as_ref()
    );
}

#[test]
fn warns_of_world_readable_files() {
    let folder = folder("vps: [{veid: 1, api_key_file: a.key}, {veid: 2, api_key: x}]\n");
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

proptest! {
    #[test]
    fn random_text_does_not_panic(yaml in "(vps|api|intervals|staleness|name|veid|api_key|live|[-:{}\\[\\]'\"# \n,x0-9]){0,40}") {
        let _ = load_yaml(&yaml);
    }
}

#[test]
fn a_shard_reads_only_the_keys_of_its_vpses() {
    let vps: Vec<_> = (1..=20)
        .map(|veid| format!("  - {{veid: {veid}, api_key_file: {veid}.key}}"))
        .collect();
    let yaml = format!("vps:\n{}\n", vps.join("\n"));
    let folder = folder(&yaml);
    let load = |ordinal| {
        load(&ConfigSource {
            file: folder.path().join("config.yaml"),
            file_is_explicit: true,
            environment: Vec::new(),
            shard: Shard::new(ordinal, 3).expect("below 3"),
        })
    };
    // Only VPSes of the shard have problems with missing keys.
    let missing = |ordinal| {
        let (config, _) = load(ordinal).expect("valid despite missing keys");
        assert_eq!(
            (config.vps.len(), config.vps_of_all_shards),
            (config.vps_without_key().count(), 20)
        );
        config.vps.len()
    };
    let sizes = [0, 1, 2].map(missing);
    assert_eq!(sizes.iter().sum::<usize>(), 20);
    assert!(sizes.iter().all(|size| *size > 0), "{sizes:?}");
    for veid in 1..=20 {
        if Shard::new(1, 3).is_some_and(|shard| shard.holds(Veid(veid))) {
            write(folder.path(), &format!("{veid}.key"), "private_x");
        }
    }
    let (config, _) = load(1).expect("valid");
    assert_eq!(config.vps_without_key().count(), 0);
    assert_eq!(missing(0), sizes[0]);
}

#[test]
fn every_shard_rejects_duplicate_names() {
    let folder = folder(
        "vps:\n  - {name: a, veid: 1, api_key: private_x}\n  - {name: a, veid: 2, api_key: private_y}\n",
    );
    for ordinal in 0..4 {
        let errors = load(&ConfigSource {
            file: folder.path().join("config.yaml"),
            file_is_explicit: true,
            environment: Vec::new(),
            shard: Shard::new(ordinal, 4).expect("below 4"),
        });
        let errors = errors.expect_err("invalid").to_string();
        assert!(errors.contains("vps[0] has the same name"), "{errors}");
    }
}
