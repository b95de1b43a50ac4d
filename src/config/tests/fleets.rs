//! Tests of unusable keys, the vendor's export, and fleets without a file.

use super::*;

#[test]
fn an_unusable_key_affects_only_its_vps() {
    let yaml = "\
vps:
  - {veid: 1, api_key_file: a.key}
  - veid: 2
    api_key_file: missing.key
  - {veid: 3, api_key_file: .}
  - {veid: 4, api_key_env: NOWHERE}
  - {veid: 5, api_key_env: BLANK}
  - {veid: 6, api_key_env: HERE}
  - {veid: 7, api_key_env: ASSIGNED}
";
    let folder = folder(yaml);
    let environment = [
        ("BLANK", ""),
        ("HERE", "private_b"),
        ("ASSIGNED", "KEY=private_c"),
    ];
    let (config, warnings) = load_with(&folder, &environment).expect("valid");
    assert_eq!(warnings, []);
    let place = format!("{}/", folder.path().display());
    let problems: Vec<_> = config
        .vps_without_key()
        .map(|(vps, problem)| (vps.veid.0, problem.to_string().replace(&place, "")))
        .collect();
    let messages: Vec<_> = problems
        .iter()
        .map(|(veid, message)| (*veid, &**message))
        .collect();
    assert_eq!(
        messages,
        [
            (
                2,
                "config.yaml:4: vps[1].api_key_file: key file missing.key does not exist: put the API key in it"
            ),
            (
                3,
                "config.yaml:5: vps[2].api_key_file: key file . cannot be read: it is a folder; make it a file that the exporter can read"
            ),
            (
                4,
                "config.yaml:6: vps[3].api_key_env: variable NOWHERE is not set: put the API key in it"
            ),
            (
                5,
                "config.yaml:7: vps[4].api_key_env: variable BLANK is empty: put the API key in it"
            ),
            (
                7,
                "config.yaml:9: vps[6].api_key_env: variable ASSIGNED holds NAME=value: put only the API key in it, without a name"
            ),
        ]
    );
    let key = config.vps[5].key.as_ref();
    assert_eq!(key.ok(), ApiKey::new("private_b").as_ref());
    let summary = config.summary();
    assert!(
        summary.contains("key from the variable HERE\n"),
        "{summary}"
    );
    assert_eq!(summary.matches("UNUSABLE").count(), 5, "{summary}");
    assert_eq!(
        errors("vps: [{veid: 1, api_key_env: A, api_key: b}, {veid: 2, api_key_env: ''}]\n"),
        [
            "config.yaml:1: vps[0]: has api_key and api_key_env: keep only one of them",
            "config.yaml:1: vps[1].api_key_env: must be the name of an environment variable",
        ]
    );
}

const EXPORT: &str = "\
VEID,VM_TYPE,HOSTNAME,PRIMARY_IP,IS_TERMINATED,IS_2FA_ENABLED,API_KEY
1,kvm,tokyo.example.com,192.0.2.1,0,0,private_1
2,kvm,web,192.0.2.2,0,0,private_2
3,kvm,web,192.0.2.3,0,0,private_3
4,kvm,gone,192.0.2.4,1,0,private_4
5,kvm,,192.0.2.5,0,0,private_5
6,kvm,paris,192.0.2.6,0,0,
7,kvm,named,192.0.2.7,0,0,private_7
";

#[test]
fn reads_the_vpses_of_the_export() {
    let folder = folder("\u{feff}vps_file: keys.csv\nintervals: {live: 3m}\n");
    write(folder.path(), "keys.csv", EXPORT);
    let (config, warnings) = load_with(&folder, &[]).expect("valid");
    assert_eq!(warnings, []);
    let names: Vec<_> = config.vps.iter().map(|vps| vps.name.as_str()).collect();
    assert_eq!(
        names,
        ["tokyo.example.com", "web-2", "web-3", "5", "paris", "named"]
    );
    let vps = &config.vps[0];
    assert_eq!(
        (vps.veid, vps.intervals.live),
        (Veid(1), Duration::from_secs(180))
    );
    assert_eq!(vps.key.as_ref().ok(), ApiKey::new("private_1").as_ref());
    let problems: Vec<_> = config
        .vps_without_key()
        .map(|(_, problem)| problem.to_string())
        .collect();
    let place = folder.path().join("keys.csv").display().to_string();
    assert_eq!(
        problems,
        [format!(
            "{place}:7: API_KEY of VEID 6 is empty: put the API key in it"
        )]
    );
    let summary = config.summary();
    for expected in [
        "6 VPSes at",
        &format!("{place} has 6 VPSes; skipping terminated services: VEID 4.\n"),
        &format!("; key from {place}\n"),
        &format!("; key from {place}, UNUSABLE\n"),
    ] {
        assert!(summary.contains(expected), "{expected}: {summary}");
    }
    assert!(!format!("{config:?} {summary}").contains("private_"));
}

#[test]
fn names_from_hostnames_are_unique() {
    let rows = [
        (1, "web-2", "web-2-1"),
        (2, "web", "web-2"),
        (3, "web", "3"),
        (4, "5", "5-4"),
        (5, "", "5"),
        (6, "node-6", "node-6"),
        (7, CANARY, "7"),
    ];
    let yaml = "vps_file: keys.csv\nvps: [{veid: 9, name: web-3, api_key: private_9}]\n";
    let folder = folder(yaml);
    for reversed in [false, true] {
        let mut rows = rows.to_vec();
        if reversed {
            rows.reverse();
        }
        let row = |(veid, hostname, _): &_| format!("{veid},{hostname},private_{veid}\n");
        let text: String = rows.iter().map(row).collect();
        write(
            folder.path(),
            "keys.csv",
            &format!("VEID,HOSTNAME,API_KEY\n{text}"),
        );
        let (config, _) = load_with(&folder, &[]).expect("valid");
        let names = config.vps.iter().map(|vps| vps.name.as_str());
        let expected = rows.iter().map(|(.., name)| *name);
        assert!(names.eq(["web-3"].into_iter().chain(expected)));
    }
}

#[test]
fn an_entry_overrides_its_row() {
    let yaml = "\
vps_file: keys.csv
vps:
  - {veid: 3, name: named, expect: stopped, labels: {env: prod}, intervals: {live: 10m}, budget: {group: a}}
  - {veid: 2, name: own, api_key_file: a.key}
  - {veid: 4, name: terminated}
  - {veid: 8, name: absent}
  - {veid: 9, name: apart, api_key: private_9}
";
    let folder = folder(yaml);
    write(folder.path(), "keys.csv", EXPORT);
    let (config, warnings) = load_with(&folder, &[]).expect("valid");
    let messages: Vec<_> = warnings
        .iter()
        .map(|warning| (warning.line, warning.key.as_str()))
        .collect();
    assert_eq!(messages, [(Some(5), "vps[2].veid")]);
    let names: Vec<_> = config.vps.iter().map(|vps| vps.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "named",
            "own",
            "absent",
            "apart",
            "tokyo.example.com",
            "5",
            "paris",
            "named-7"
        ]
    );
    let first = &config.vps[0];
    assert_eq!(first.key.as_ref().ok(), ApiKey::new("private_3").as_ref());
    assert_eq!(
        (first.expect, first.intervals.live),
        (Expect::Stopped, Duration::from_secs(600))
    );
    assert_eq!(
        (first.labels.len(), first.quota_group.as_deref()),
        (1, Some("a"))
    );
    assert_eq!(
        config.vps[1].key.as_ref().ok(),
        ApiKey::new("private_a").as_ref()
    );
    let absent = config.vps[2].key.as_ref().expect_err("no key");
    assert_eq!((absent.line, absent.key.as_str()), (Some(6), "vps[3]"));
    assert!(
        absent.message.contains("or a row with VEID 8 to "),
        "{absent}"
    );
}

#[test]
fn an_unusable_export_is_an_error() {
    let yaml = "intervals: {live: 3m}\nvps_file: keys.csv\n";
    let error_of = |text: Option<&str>| {
        let folder = folder(yaml);
        if let Some(text) = text {
            write(folder.path(), "keys.csv", text);
        }
        let place = format!("{}/", folder.path().display());
        let error = load_with(&folder, &[]).expect_err("invalid").to_string();
        error
            .replace(&place, "")
            .replace("invalid configuration: ", "")
    };
    assert_eq!(
        error_of(None),
        "config.yaml:2: vps_file: keys.csv cannot be read: No such file or directory (os error 2)"
    );
    assert!(
        error_of(Some("a,b\n")).starts_with("config.yaml:2: vps_file: keys.csv has no column VEID")
    );
    let head = EXPORT.lines().next().expect("not empty");
    for rows in ["", "4,kvm,gone,192.0.2.4,1,0,private_4\n"] {
        assert_eq!(
            error_of(Some(&format!("{head}\n{rows}"))),
            "config.yaml:2: vps_file: no VPS is configured: the file lists no active service"
        );
    }
    let folder = folder(&format!("{yaml}vps: [{{veid: 1, name: web}}]\n"));
    write(
        folder.path(),
        "keys.csv",
        &format!("{EXPORT}x,,,,,,private_x\n1,,,,,,private_y\n"),
    );
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(folder.path().join("keys.csv"), open).expect("permitted");
    let (_, warnings) = load_with(&folder, &[]).expect("valid");
    let place = format!("{}/", folder.path().display());
    let messages: Vec<_> = warnings
        .iter()
        .map(|warning| warning.to_string().replace(&place, ""))
        .collect();
    assert_eq!(
        messages,
        [
            "keys.csv:9: VEID must be a number above 0; row skipped",
            "keys.csv:10: VEID 1 is already in line 2; row skipped",
            "config.yaml:2: vps_file: the file with the keys is world-readable: chmod 600",
        ]
    );
}

#[test]
fn the_environment_can_configure_a_fleet() {
    let folder = TempDir::new().expect("writable");
    write(folder.path(), "keys.csv", EXPORT);
    let load = |environment: &[(&str, &str)]| load_from(&folder, environment);
    let list = "KIWIVM_EXPORTER_VPS";
    for value in [
        "[{veid: 1, api_key: private_x}, {veid: 2, name: two, api_key: private_y}]",
        r#"[{"veid": 1, "api_key": "private_x"}, {"veid": "2", "name": "two", "api_key": "private_y"}]"#,
        "- veid: 1\n  api_key: private_x\n- {veid: 2, name: two, api_key: private_y}\n",
    ] {
        let (config, warnings) = load(&[(list, value)]).expect(value);
        assert_eq!(warnings, [], "{value}");
        let names: Vec<_> = config.vps.iter().map(|vps| vps.name.as_str()).collect();
        assert_eq!(names, ["1", "two"], "{value}");
        assert_eq!(
            config.vps[1].key.as_ref().ok(),
            ApiKey::new("private_y").as_ref()
        );
    }
    let file = [("KIWIVM_EXPORTER_VPS_FILE", "keys.csv")];
    let (config, warnings) = load(&file).expect("valid");
    assert_eq!((config.vps.len(), warnings), (6, vec![]));
    let both = [file[0], (list, "[{veid: 2, name: two}]")];
    let (config, _) = load(&both).expect("valid");
    assert_eq!((config.vps.len(), config.vps[0].name.as_str()), (6, "two"));
    for (value, expected) in [
        (
            "{veid: 1}",
            "KIWIVM_EXPORTER_VPS: must be a YAML or JSON list",
        ),
        (
            "[{veid: 1",
            "KIWIVM_EXPORTER_VPS: must be a YAML or JSON list",
        ),
        (
            "private_Canary",
            "KIWIVM_EXPORTER_VPS: must be a YAML or JSON list",
        ),
        (
            "[private_Canary]",
            "KIWIVM_EXPORTER_VPS[0]: must be a section",
        ),
        ("[{veid: 1}]", "KIWIVM_EXPORTER_VPS[0]: has no key"),
        (
            "[{veid: 1, api_key: private_Canary private_Canary}]",
            "KIWIVM_EXPORTER_VPS[0].api_key: must be",
        ),
        (
            "[{veid: 0, api_key: private_Canary}]",
            "KIWIVM_EXPORTER_VPS[0].veid: must be",
        ),
        ("[]", "KIWIVM_EXPORTER_VPS: no VPS is configured"),
    ] {
        let error = load(&[(list, value)]).expect_err(value).to_string();
        assert!(
            error.contains(expected) && !error.contains("Canary"),
            "{value}: {error}"
        );
    }
    let folder = self::folder(VPS);
    let (config, _) =
        load_with(&folder, &[(list, "[{veid: 5, api_key: private_x}]")]).expect("valid");
    assert_eq!(
        (config.vps.len(), config.vps[0].veid),
        (1, Veid(5)),
        "the environment overrides the file"
    );
}

#[test]
fn skips_a_byte_order_mark() {
    let folder = folder(&format!("\u{feff}{VPS}"));
    let (config, warnings) = load_with(&folder, &[]).expect("valid");
    assert_eq!((config.vps.len(), warnings), (1, vec![]));
    assert_eq!(
        errors("\u{feff}vps: [{veid: 1, api_key: x}]\r\nstaleness: 0\r\n"),
        ["config.yaml:2: staleness: must be a number from 1 to 1000"]
    );
}
