//! Configuration from environment variables and systemd credentials.

use super::*;

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
fn one_vps_needs_no_file() {
    let folder = folder("");
    fs::remove_file(folder.path().join("config.yaml")).expect("removable");
    let key_file = folder.path().join("a.key").display().to_string();
    let load = |environment: &[(&str, &str)]| load_from(&folder, environment);
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
