//! Puts secrets into every place of every sample, and compares the decoded results.

use std::net::IpAddr;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Sanitised, Sanitiser};
use crate::kiwivm::{ApiKey, Call, Veid, decode};

const KEY: &str = "private_CanaryCanaryCanary012345";

/// Secrets of every kind, none of which may appear in a recording.
const SECRETS: [&str; 16] = [
    KEY,
    "Canary7Secret",
    "canary",
    "198.51.100.177",
    "10.77.66.55",
    "10.77.66.55/24",
    "198.51.100.177:40022",
    "2001:db8:dead:beef::77",
    "[2001:db8:dead:beef::77]:22",
    "canary.example.org",
    "canary+x@mail.example.org",
    "02:42:ac:11:00:99",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "https://canary.example.org/canary?token=canary",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5CANARYcanary canary@example.org",
    "Canary pass is hunter2, call +49 30 9182736",
];
/// Parts of the secrets, none of which is part of a replacement.
const TRACES: [&str; 12] = [
    "anary",
    "ANARY",
    "198.51.100.177",
    "10.77.66",
    "dead",
    "beef",
    "42:ac",
    "da39",
    "AAAAC3",
    "hunter2",
    "9182736",
    "40022",
];

fn samples() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let mut samples: Vec<_> = std::fs::read_dir(folder)
        .expect("it is there")
        .map(|file| file.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|name| name != "md"))
        .map(|path| {
            let name = path.file_name().expect("it is a file").to_string_lossy();
            let text = std::fs::read_to_string(&path).expect("it is text");
            (name.into_owned(), text)
        })
        .collect();
    samples.sort();
    assert!(samples.len() > 40, "{}", samples.len());
    samples
}

fn sanitiser() -> Sanitiser {
    let key = ApiKey::new(KEY).expect("it is a key");
    Sanitiser::new([Veid(1_347_891)], vec![key])
}

fn sanitised(body: &str) -> String {
    sanitiser().body(body.as_bytes()).content().to_owned()
}

fn assert_no_trace(text: &str, about: &str) {
    for trace in TRACES {
        assert!(!text.contains(trace), "{trace} of {about}:\n{text}");
    }
}

/// Calls `take` with the JSON with all strings replaced by the secret, and with `one_by_one` also once for each string.
fn with_secrets(value: &Value, secret: &str, one_by_one: bool, take: &mut dyn FnMut(&Value)) {
    fn places(value: &mut Value, take: &mut dyn FnMut(&mut Value)) {
        match value {
            Value::Object(members) => members.values_mut().for_each(|member| places(member, take)),
            Value::Array(items) => items.iter_mut().for_each(|item| places(item, take)),
            Value::String(_) => take(value),
            _ => {}
        }
    }
    let mut count = 0;
    if one_by_one {
        places(&mut value.clone(), &mut |_| count += 1);
    }
    for chosen in (0..count).map(Some).chain([None]) {
        let mut changed = value.clone();
        let mut at = 0;
        places(&mut changed, &mut |text| {
            if chosen.is_none_or(|chosen| chosen == at) {
                *text = secret.into();
            }
            at += 1;
        });
        take(&changed);
    }
}

/// Adds a member with this name to every object whose names are data, and to one of an unknown field.
fn with_secret_names(value: &Value, secret: &str) -> Value {
    const MAPS: [&str; 7] = [
        "ptr",
        "ip_nullroutes",
        "evidence",
        "descriptions",
        "dataTransferMultipliers",
        "backups",
        "email_preferences",
    ];
    let inner = |value: &Value| with_secret_names(value, secret);
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let mut value = inner(value);
                if MAPS.contains(&name.as_str()) {
                    let member = value.as_object().and_then(|map| map.values().next());
                    value = json!({ secret: member.unwrap_or(&json!(1)) });
                }
                (name.clone(), value)
            })
            .chain([(
                "owner_map".to_owned(),
                json!({ secret: { secret: [secret] } }),
            )])
            .collect(),
        Value::Array(items) => items.iter().map(inner).collect(),
        other => other.clone(),
    }
}

#[test]
fn replaces_a_secret_in_any_string_or_name() {
    for (name, text) in samples() {
        let Ok(value) = serde_json::from_str::<Value>(&text) else {
            continue;
        };
        for secret in SECRETS {
            with_secrets(&value, secret, secret == KEY, &mut |value| {
                assert_no_trace(&sanitised(&value.to_string()), &name);
            });
            let named = with_secret_names(&value, secret);
            assert_no_trace(&sanitised(&named.to_string()), &name);
        }
    }
}

#[test]
fn replaces_a_secret_beside_known_words() {
    for secret in SECRETS {
        for field in [
            "plan",
            "os",
            "node_datacenter",
            "message",
            "summary",
            "additionalErrorInfo",
            "flag",
            "x",
        ] {
            for text in [
                format!("Snapshot: {secret}"),
                format!("US, {secret}, California"),
                format!("{secret}-debian-12"),
                format!("debian-12-{secret}"),
                format!("({secret}) failed, try again"),
                format!("error={secret}&x"),
                format!("host={secret};user={secret}|{secret}"),
            ] {
                assert_no_trace(&sanitised(&json!({ field: text }).to_string()), field);
            }
        }
        let page = format!(
            "<html><a href=\"http://{secret}/\">{secret}</a>Too many requests of {secret}."
        );
        assert_no_trace(&sanitised(&page), "a page");
    }
}

#[test]
fn replaces_secrets_of_no_known_form_by_their_field() {
    let text = json!({
        "root_password": 31_415_926, "client_id": 31_415_926, "apiToken": ["x", {"a": "running"}], "phone": "31415926",
        "users": {"alice": {"bob": 1}}, "requestor_ipv4": 3_325_256_881_u32, "veid": 31_415_926, "other": 1_347_891,
        "note": "1347891", "pin": "-31.415926", "client_ids": {"31415926": 1}, "x": {"1347891": 1},
    });
    let text = sanitised(&text.to_string());
    for trace in [
        "1415926",
        "415926",
        "running",
        "alice",
        "bob",
        "3325256881",
        "1347891",
    ] {
        assert!(!text.contains(trace), "{trace}: {text}");
    }
}

#[test]
fn masks_encoded_keys() {
    let each = |encode: fn(char) -> String| KEY.chars().map(encode).collect::<String>();
    for (encoded, trace) in [
        (each(|c| format!("%{:02X}", u32::from(c))), "%70%72"),
        (each(|c| format!("&#{};", u32::from(c))), "112;"),
        (each(|c| format!("&#x{:x};", u32::from(c))), "x70"),
        (each(|c| format!("\\u{:04x}", u32::from(c))), "u0070"),
        (
            "cHJpdmF0ZV9DYW5hcnlDYW5hcnlDYW5hcnkwMTIzNDU=".to_owned(),
            "cHJpd",
        ),
    ] {
        for field in ["message", "plan", "hostname", "unknown", "description"] {
            let text = sanitised(&format!("{{\"{field}\":\"{encoded}\"}}"));
            assert!(!text.contains(trace) && !text.contains("anary"), "{text}");
            let text = sanitised(&json!({ field: encoded }).to_string());
            assert!(!text.contains(trace) && !text.contains("anary"), "{text}");
        }
        let text = sanitised(&format!("<html>{encoded}</html>"));
        assert!(!text.contains(trace), "{text}");
    }
}

/// The call of a sample, for the decoders.
fn call_of(name: &str) -> Call {
    let calls = [
        ("live", Call::LiveServiceInfo),
        ("raw_usage", Call::RawUsageStats),
        ("rate_limit", Call::RateLimitStatus),
        ("policy", Call::PolicyViolations),
        ("suspension", Call::SuspensionDetails),
        ("backup", Call::BackupList),
        ("snapshot", Call::SnapshotList),
        ("audit", Call::AuditLog),
        ("migrate", Call::MigrateLocations),
    ];
    let found = calls.iter().find(|(prefix, _)| name.starts_with(prefix));
    found.map_or(Call::ServiceInfo, |(_, call)| *call)
}

/// The outcome of decoding a body, without text and addresses, which are replaced in recordings.
fn decoded_form(call: Call, body: &str) -> String {
    let key = ApiKey::new(KEY).expect("it is a key");
    let mut rows = Vec::new();
    let decoded = decode(call, &key, body.as_bytes(), &mut |row| rows.push(row));
    let outcome = match decoded {
        Ok(decoded) => format!("{:?} {:?} {rows:?}", decoded.payload, decoded.problems),
        Err(error) => format!(
            "{:?} {:?}",
            error.reason,
            error.lock.map(|lock| lock.progress)
        ),
    };
    let unquoted = outcome
        .split('"')
        .step_by(2)
        .collect::<Vec<_>>()
        .join("\"\"");
    let is_address = |word: &&str| word.parse::<IpAddr>().is_err();
    let words = unquoted.split([' ', ',', '[', ']', '(', ')']);
    words.filter(is_address).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_recording_decodes_like_the_original() {
    let mut successes = 0;
    for (name, text) in samples() {
        let call = call_of(&name);
        let before = decoded_form(call, &text);
        assert_eq!(decoded_form(call, &sanitised(&text)), before, "{name}");
        successes += usize::from(before.contains('{'));
    }
    assert!(successes > 20, "{successes} samples decode");
}

/// The JSON with strings and numbers reduced to their types.
fn form(json: &str) -> String {
    let mut form = String::new();
    let mut bytes = json.chars();
    while let Some(c) = bytes.next() {
        if c == '"' {
            while let Some(c) = bytes.next()
                && c != '"'
            {
                if c == '\\' {
                    bytes.next();
                }
            }
            form.push('"');
        } else if !c.is_ascii_digit() {
            form.push(c);
        } else if !form.ends_with('0') {
            form.push('0');
        }
    }
    form
}

#[test]
fn keeps_types_and_order() {
    for (name, text) in samples() {
        if let Sanitised::Json(json) = sanitiser().body(text.as_bytes()) {
            assert_eq!(form(&json), form(&text), "{name}");
        } else {
            assert!(!name.contains(".json") || name.contains(".txt"), "{name}");
        }
    }
    let odd = "\u{feff} {\"a\" : [1.50,-0, 1e999,NaN ,null,[],{ }],\"a\":\"\\u00e9\\/x\",\"data_counter\":\"0x1F\",\"plan\":\"\\ud800\",\"error\":00 }\r\n";
    let Sanitised::Json(json) = sanitiser().body(odd.as_bytes()) else {
        panic!("it is JSON");
    };
    assert_eq!(
        json,
        odd.replace("\\u00e9\\/x", "x\\/x").replace("0x1F", "0x0X")
    );
}

fn sample(sanitiser: &mut Sanitiser, name: &str) -> Value {
    let (_, text) = samples()
        .into_iter()
        .find(|(sample, _)| sample == name)
        .expect("it exists");
    let body = sanitiser.body(text.as_bytes());
    serde_json::from_str(body.content()).expect("it is JSON")
}

#[test]
fn replacements_are_consistent_in_all_files_of_a_run() {
    let mut sanitiser = sanitiser();
    let live = sample(&mut sanitiser, "live_kvm_running.json");
    let service = sample(&mut sanitiser, "service_info_kvm.json");
    let nullrouted = sample(&mut sanitiser, "service_info_nullrouted.json");
    let snapshots = sample(&mut sanitiser, "snapshot_list.json");
    let cases = sample(&mut sanitiser, "suspension_details.json");
    assert_eq!(
        live["ip_addresses"],
        json!(["203.0.113.1", "2001:db8:0:1::"])
    );
    assert_eq!(live["hostname"], "host1.example.com");
    assert_eq!(live["live_hostname"], live["hostname"]);
    assert_eq!(
        live["ptr"],
        json!({"203.0.113.1": "host1.example.com", "2001:db8:0:1::": ""})
    );
    assert_eq!(
        (&live["email"], &live["node_alias"]),
        (&json!("user1@example.com"), &json!("node1"))
    );
    assert_eq!(
        (&live["ve_mac1"], &live["veid"]),
        (&json!("02:00:00:00:00:01"), &json!(1_000_001))
    );
    for field in [
        "ip_addresses",
        "hostname",
        "ptr",
        "email",
        "veid",
        "node_alias",
    ] {
        assert_eq!(service[field], live[field]);
    }
    assert!(nullrouted["ip_nullroutes"]["203.0.113.1"]["log"].is_string());
    let snapshot = &snapshots["snapshots"][0];
    let file = snapshot["fileName"].as_str().expect("it is text");
    assert!(
        file.starts_with("snapshot-1000001-1788912000-2026-09-09-0000"),
        "{file}"
    );
    let link = snapshot["downloadLinkSSL"].as_str().expect("it is text");
    assert!(
        link.starts_with("https://host2.example.com/") && link.ends_with(file),
        "{link}"
    );
    let many =
        json!({"evidence": {"1234512": "x"}, "suspensions": [{"evidence_record_id": 1_234_512}]});
    let text = sanitiser.body(many.to_string().as_bytes());
    assert_eq!(text.content().matches("1234512").count(), 2, "{text:?}");
    let evidence = cases["suspensions"][0]["evidence_record_id"].to_string();
    assert!(cases["evidence"][&evidence].is_string(), "{cases}");
}

#[test]
fn keeps_fields_that_a_bug_report_needs() {
    for (name, fields) in [
        (
            "live_kvm_running.json",
            &[
                "vm_type",
                "ve_status",
                "os",
                "plan",
                "node_location",
                "node_location_id",
                "node_datacenter",
                "load_average",
                "ssh_port",
                "ve_disk_quota_gb",
                "is_cpu_throttled",
                "data_counter",
                "iso1",
            ][..],
        ),
        (
            "live_ovz.json",
            &["vz_quota", "plan", "os", "node_datacenter"],
        ),
        ("available_os.json", &["templates", "installed"]),
        (
            "migrate_locations.json",
            &[
                "currentLocation",
                "locations",
                "descriptions",
                "dataTransferMultipliers",
            ],
        ),
        ("error_rate_limited.json", &["message", "error"]),
        ("error_auth.json", &["message", "error"]),
        ("error_locked.json", &["message", "additionalLockingInfo"]),
        ("error_not_running.json", &["message"]),
    ] {
        let (_, text) = samples()
            .into_iter()
            .find(|(sample, _)| sample == name)
            .expect("it exists");
        let before: Value = serde_json::from_str(&text).expect("it is JSON");
        let after: Value = serde_json::from_str(&sanitised(&text)).expect("it is JSON");
        for field in fields {
            assert_eq!(after[field], before[field], "{name}: {field}");
        }
    }
    let new =
        r#"{"turbo_mode":"enabled","throttled_until":1790000000,"ends":"2026-09-29 12:00:00"}"#;
    assert_eq!(sanitised(new), new, "unknown fields");
    let page = "<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head></html>";
    assert_eq!(sanitised(page), page);
}

#[test]
fn cuts_invalid_json_at_the_first_invalid_byte() {
    let Sanitised::Broken(text, at) = sanitiser().body(br#"{"a":"canary","b":"can"#) else {
        panic!("it is cut off");
    };
    assert_eq!((&*text, at), (r#"{"a":"xxxxxx","b":"#, 18));
    for broken in [
        "{",
        "{\"a\":1,}",
        "[1,]",
        "{\"a\" 1}",
        "{} canary",
        "[1 2]",
        &"[".repeat(1 << 20),
    ] {
        let sanitised = sanitiser().body(broken.as_bytes());
        assert!(matches!(sanitised, Sanitised::Broken(..)), "{broken:.20}");
        assert_no_trace(sanitised.content(), broken);
    }
    let page = sanitised(&"canary ".repeat(100_000));
    assert!(page.len() < 4000, "{}", page.len());
    let picture =
        sanitised(&json!({"screendump_png_base64": "iVBORw0KGgo".repeat(10_000)}).to_string());
    assert!(
        picture.len() < 400 && picture.contains("[110000 characters]"),
        "{picture}"
    );
}

proptest! {
    #[test]
    fn no_input_panics(text in "\\PC{0,80}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        sanitiser().body(&bytes);
        sanitiser().body(&[b"{\"message\":\"", &bytes[..], b"\"}"].concat());
        for field in ["message", "plan", "hostname", "load_average", "node_alias", "veid", "fileName", "x"] {
            let body = json!({ field: text, &text: [text] }).to_string();
            let json = sanitiser().body(body.as_bytes());
            prop_assert!(matches!(json, Sanitised::Json(_)));
            prop_assert!(serde_json::from_str::<Value>(json.content()).is_ok());
        }
    }

    #[test]
    fn masks_a_random_word(word in "[a-zA-Z][a-zA-Z0-9]{3,7}[0-9][a-zA-Z]{5,9}") {
        for field in ["message", "plan", "os", "hostname", "node_datacenter", "flag", "x", "description"] {
            let text = sanitised(&json!({ field: word, "m": {&word: 1} }).to_string());
            prop_assert!(!text.contains(&word), "{}", text);
        }
    }
}
