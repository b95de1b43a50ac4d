//! Tests of impossible and unreadable values: each is dropped and reported, and affects no other field.

use super::*;

/// Replaces a field of a sample by raw bytes, which need not be JSON.
fn sample_with(name: &str, field: &str, value: &[u8]) -> Vec<u8> {
    let document: serde_json::Value = serde_json::from_slice(&sample(name)).expect("valid JSON");
    let fields = document.as_object().expect("an object");
    let mut body = b"{".to_vec();
    for (name, kept) in fields.iter().filter(|(name, _)| *name != field) {
        body.extend(format!("\"{name}\":{kept},").into_bytes());
    }
    body.extend(format!("\"{field}\":").into_bytes());
    body.extend(value);
    body.push(b'}');
    body
}

fn service_with(field: &str, value: &[u8]) -> (ServiceInfo, Vec<&'static str>) {
    let body = sample_with("service_info_kvm.json", field, value);
    let decoded = read(Call::ServiceInfo, &body).expect("valid response");
    match decoded.payload {
        Payload::Service(info) => (*info, decoded.problems),
        other => panic!("{other:?}"),
    }
}

fn live_with(name: &str, field: &str, value: &str) -> (LiveInfo, Vec<&'static str>) {
    let decoded = read(
        Call::LiveServiceInfo,
        &sample_with(name, field, value.as_bytes()),
    );
    let decoded = decoded.expect("valid response");
    match decoded.payload {
        Payload::Live(_, live) => (*live, decoded.problems),
        other => panic!("{other:?}"),
    }
}

/// Values that are invalid for every field.
const INVALID_VALUES: [&[u8]; 11] = [
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"-1e999",
    b"\"\\ud800\"",
    b"\"\\udc00\\ud800\"",
    b"\"\xff\xfe\"",
    b"\"a\nb\"",
    b"\"a\\",
    b"[NaN]",
    b"{\"a\":1e999}",
];

#[test]
fn an_invalid_value_affects_only_its_field() {
    for value in INVALID_VALUES {
        let shown = String::from_utf8_lossy(value);
        // An unterminated string makes the rest of the response unreadable.
        let is_terminated = !value.ends_with(b"\\");
        for field in ["hostname", "data_counter", "plan", "os", "node_location"] {
            let body = sample_with("service_info_kvm.json", field, value);
            if !is_terminated {
                assert_eq!(
                    read(Call::ServiceInfo, &body).unwrap_err().reason,
                    Reason::NotJson
                );
                continue;
            }
            let (info, problems) = service_with(field, value);
            assert_eq!(problems, [field], "{shown}");
            let mut expected = kvm();
            match field {
                "hostname" => expected.hostname = None,
                "data_counter" => expected.data_counter = None,
                "plan" => expected.plan = None,
                "os" => expected.os = None,
                _ => expected.location = None,
            }
            assert_eq!(info, expected, "{field}: {shown}");
        }
        if is_terminated {
            let (info, problems) = service_with("unknown", value);
            assert_eq!((info, problems), (kvm(), vec![]), "{shown}");
        }
    }
}

#[test]
fn an_invalid_value_in_a_nested_object_affects_only_its_field() {
    for invalid in ["NaN", "1e999", "\"\\ud800\"", "{}"] {
        let status = format!(r#"{{"status":"running","numfile":{invalid},"numfile_b":"20480"}}"#);
        let (live, problems) = live_with("live_ovz.json", "vz_status", &status);
        assert_eq!(problems, ["numfile"], "{invalid}");
        assert_eq!(live.status, Some(Status::Running));
        let numfile = &live.beancounters[0];
        assert_eq!((numfile.held, numfile.barrier), (None, Some(20_480)));
    }
    for invalid in ["NaN", "7", "\"running\"", "[1]", "true"] {
        let (live, problems) = live_with("live_ovz.json", "vz_status", invalid);
        assert_eq!(
            (problems, live.status),
            (vec!["vz_status"], None),
            "{invalid}"
        );
        assert_eq!(live.disk_used, Some(Bytes(3_981_524 << 10)));
    }
    let (_, problems) = live_with("live_ovz.json", "vz_status", "[]");
    assert_eq!(problems, [""; 0], "an empty map in PHP");
}

#[test]
fn impossible_numbers_are_dropped() {
    for invalid in [
        "-1",
        "1.5",
        "1e300",
        "18446744073709551615",
        "9223372036854775807",
        "\"1000 GB\"",
        "\"0,33\"",
        "\"1.000.000\"",
        "\"1.000\"",
        "\"0x10\"",
        "true",
        "[]",
        "{}",
    ] {
        let (info, problems) = service_with("data_counter", invalid.as_bytes());
        assert_eq!(
            (info.data_counter, problems),
            (None, vec!["data_counter"]),
            "{invalid}"
        );
        let (info, problems) = service_with("plan_ram", invalid.as_bytes());
        assert_eq!(
            (info.plan_ram, problems),
            (None, vec!["plan_ram"]),
            "{invalid}"
        );
    }
    for invalid in [
        "1792540800000",
        "1792540800000000",
        "1792540800.5",
        "0",
        "-1792540800",
        "1e300",
        "\"2026-10-21\"",
        "\"1792540800 s\"",
    ] {
        let (info, problems) = service_with("data_next_reset", invalid.as_bytes());
        assert_eq!(
            (info.data_next_reset, problems),
            (None, vec!["data_next_reset"]),
            "{invalid}"
        );
    }
    for invalid in ["-1", "0.5", "1e300", "\"612340 kB\"", "\"612,340\""] {
        let (live, problems) = live_with("live_kvm_running.json", "mem_available_kb", invalid);
        assert_eq!(
            (live, problems),
            (
                LiveInfo {
                    memory_available: None,
                    ..live_kvm()
                },
                vec!["mem_available_kb"]
            ),
            "{invalid}"
        );
    }
    for invalid in [
        "\"0,32 0,25 0,10 1/335 2886523\"",
        "\"1e300 0 0\"",
        "\"-1 0 0\"",
        "0.32",
        "[0.32]",
    ] {
        let (live, problems) = live_with("live_kvm_running.json", "load_average", invalid);
        assert_eq!(
            (live.load, problems),
            (None, vec!["load_average"]),
            "{invalid}"
        );
    }
}

#[test]
fn truncated_and_rejected_text_is_a_problem() {
    for (value, expected, invalid) in [
        (r#"" vps1 ""#, text("vps1"), false),
        (r#""vps1\n""#, text("vps1"), false),
        (r#""vps\u00e9\ud83e\udd5d""#, text("vpsé🥝"), false),
        (r#""vps\u00001""#, None, true),
        (r#""vps\u001b[2J1""#, None, true),
        (r#""vps\u0085""#, text("vps"), false),
        (r#""vps\u00851""#, None, true),
        (r#""\u0000""#, None, true),
        (r#"" ""#, None, false),
        (r#"["vps1"]"#, None, true),
        ("true", None, true),
    ] {
        let (info, problems) = service_with("hostname", value.as_bytes());
        assert_eq!(
            (info.hostname, problems.contains(&"hostname")),
            (expected, invalid),
            "{value}"
        );
    }
    let long = format!("\"{}\"", "é".repeat(10_000));
    let (info, problems) = service_with("hostname", long.as_bytes());
    assert_eq!(info.hostname, Some("é".repeat(MAX_TEXT_LENGTH)));
    assert_eq!(problems, ["hostname"]);
}

#[test]
fn invalid_items_do_not_lower_counts() {
    for invalid in ["17", "null", "[]", "\"\"", "NaN", "\"\\ud800\"", "true"] {
        let list = format!("[\"192.0.2.10\",{invalid}]");
        let (info, problems) = service_with("ip_addresses", list.as_bytes());
        assert_eq!(
            (info.ip_addresses, problems),
            (None, vec!["ip_addresses"]),
            "{list}"
        );
        for field in ["private_ip_addresses", "ip_nullroutes"] {
            let (info, problems) = service_with(field, list.as_bytes());
            let counts = [info.private_ip_addresses, info.nullrouted_ip_addresses];
            assert!(counts.contains(&Some(2)), "{field}: {list}");
            assert_eq!(problems, [field], "{list}");
        }
        let map = format!("{{\"192.0.2.10\":{{}},\"192.0.2.11\":{invalid}}}");
        let (info, problems) = service_with("ip_nullroutes", map.as_bytes());
        assert_eq!(info.nullrouted_ip_addresses, Some(2), "{map}");
        let text = invalid == "\"\"" || !invalid.starts_with('"');
        assert!(
            !text || problems == ["ip_nullroutes"],
            "{map}: {problems:?}"
        );
    }
    for no_list in ["7", "true", "false", "\"192.0.2.10\"", "NaN", "[1,,2]"] {
        let (info, problems) = service_with("ip_nullroutes", no_list.as_bytes());
        assert_eq!(
            (info.nullrouted_ip_addresses, problems),
            (None, vec!["ip_nullroutes"]),
            "{no_list}"
        );
    }
    let one = br#"{"nullroute_timestamp":1790000000,"nullroute_duration_s":3600,"log":"x"}"#;
    let (info, _) = service_with("ip_nullroutes", one);
    assert_eq!(info.nullrouted_ip_addresses, Some(1));
}

#[test]
fn a_multiplier_is_valid_or_missing_or_unusable() {
    for (value, expected) in [("1", 1.0), ("0.33", 0.33), ("\"0.33\"", 0.33), ("2.0", 2.0)] {
        let (info, problems) = service_with("monthly_data_multiplier", value.as_bytes());
        assert_eq!(info.data_multiplier, Some(expected));
        assert!(
            !info.data_multiplier_unusable && problems.is_empty(),
            "{value}"
        );
    }
    for value in [
        "\"abc\"", "\"0,33\"", "-1", "0", "null", "\"\"", "\"-\"", "1e300", "1e999", "1e-300",
        "NaN", "[]", "{}", "true",
    ] {
        let (info, problems) = service_with("monthly_data_multiplier", value.as_bytes());
        assert!(info.data_multiplier_unusable, "{value}");
        assert_eq!(
            (info.data_multiplier, problems),
            (None, vec!["monthly_data_multiplier"]),
            "{value}"
        );
    }
    let missing = service("service_info_ovz_2017.json");
    assert!(missing.data_multiplier.is_none() && !missing.data_multiplier_unusable);
}

#[test]
fn values_of_the_guest_need_a_running_vps() {
    let zeros = |status: &str| {
        format!(
            r#"{{"error":0,"vm_type":"kvm",{status}"load_average":"0 0 0 0/0 0","mem_available_kb":0,"swap_total_kb":0,
               "swap_available_kb":0,"ve_used_disk_space_b":0,"ve_disk_quota_gb":"41"}}"#
        )
    };
    for (status, expected) in [
        ("", None),
        (r#""ve_status":null,"#, None),
        (r#""ve_status":"","#, None),
        (r#""ve_status":"-","#, None),
        (r#""ve_status":7,"#, Some(Status::Other)),
        (r#""ve_status":[],"#, None),
        (r#""ve_status":"hibernated","#, Some(Status::Other)),
        (r#""ve_status":"Starting","#, Some(Status::Starting)),
        (r#""ve_status":"stopped","#, Some(Status::Stopped)),
    ] {
        let decoded =
            read(Call::LiveServiceInfo, zeros(status).as_bytes()).expect("valid response");
        if expected == Some(Status::Other) {
            assert_eq!(decoded.problems, ["ve_status"], "{status}");
        }
        let Payload::Live(_, live) = decoded.payload else {
            panic!("wrong payload");
        };
        let expected = LiveInfo {
            status: expected,
            disk_used: Some(Bytes(0)),
            disk_size: Some(Bytes(41 << 30)),
            ..LiveInfo::default()
        };
        assert_eq!(*live, expected, "{status}");
    }
    for status in ["", r#""status":null,"#, r#""status":"mounted","#] {
        let body = format!(
            r#"{{"error":0,"vm_type":"ovz","plan_ram":7,"plan_swap":7,"vz_status":{{{status}"load_average":"0.00\/0.00\/0.00",
               "oomguarpages":"0","swappages":"0","swappages_b":"16384"}},"vz_quota":{{"occupied_kb":"9"}}}}"#
        );
        let decoded = read(Call::LiveServiceInfo, body.as_bytes()).expect("valid response");
        let Payload::Live(_, live) = decoded.payload else {
            panic!("wrong payload");
        };
        let guest = (
            live.load,
            live.memory_available,
            live.swap_total,
            live.swap_free,
        );
        assert_eq!(guest, (None, None, None, None), "{status}");
        assert!(
            live.beancounters.is_empty() && live.disk_used == Some(Bytes(9 << 10)),
            "{status}"
        );
    }
}

#[test]
fn invalid_points_are_dropped_and_reported() {
    let bad = [
        "null",
        "\"\"",
        "\"-\"",
        "-1",
        "990.5",
        "\"many\"",
        "\"990 points\"",
        "1e999",
        "NaN",
        "true",
        "[]",
        "{}",
    ];
    let names = ["remaining_points_15min", "remaining_points_24h"];
    for bad in bad {
        for (field, other) in [(names[0], names[1]), (names[1], names[0])] {
            let body = format!(r#"{{"error":0,"{other}":7,"{field}":{bad}}}"#);
            let decoded = read(Call::RateLimitStatus, body.as_bytes()).expect("valid response");
            let Payload::RateLimit(points) = decoded.payload else {
                panic!("wrong payload");
            };
            let both = [points.remaining_15m, points.remaining_24h];
            let expected = names.map(|name| (name == other).then_some(7));
            assert_eq!((both, decoded.problems), (expected, vec![field]), "{body}");
        }
    }
    for name in names {
        let body = format!(r#"{{"error":0,"{name}":7}}"#);
        let decoded = read(Call::RateLimitStatus, body.as_bytes()).expect("valid response");
        let missing = names.into_iter().filter(|other| *other != name);
        assert_eq!(decoded.problems, missing.collect::<Vec<_>>(), "{body}");
    }
}

proptest! {
    #[test]
    fn a_random_value_affects_only_its_field(value in any_json(), field in prop::sample::select(vec![
        "data_counter", "plan_disk", "hostname", "suspended", "ip_nullroutes", "monthly_data_multiplier",
    ])) {
        let (mut info, problems) = service_with(field, value.to_string().as_bytes());
        prop_assert!(problems.iter().all(|problem| *problem == field));
        let expected = kvm();
        match field {
            "data_counter" => info.data_counter = expected.data_counter,
            "plan_disk" => info.plan_disk = expected.plan_disk,
            "hostname" => info.hostname.clone_from(&expected.hostname),
            "suspended" => info.suspended = expected.suspended,
            "ip_nullroutes" => info.nullrouted_ip_addresses = expected.nullrouted_ip_addresses,
            _ => {
                info.data_multiplier = expected.data_multiplier;
                info.data_multiplier_unusable = false;
            }
        }
        prop_assert_eq!(info, expected);
    }
}

#[test]
fn the_status_field_of_a_live_response_overrides_vm_type() {
    for (sample, value) in [
        ("live_kvm_running.json", "\"ovz\""),
        ("live_ovz.json", "\"kvm\""),
        ("live_ovz.json", "null"),
    ] {
        let (live, problems) = live_with(sample, "vm_type", value);
        assert_eq!(problems, [""; 0], "{sample}");
        assert_eq!(live.status, Some(Status::Running), "{sample}: {value}");
        assert!(live.memory_available.is_some(), "{sample}: {value}");
    }
}
