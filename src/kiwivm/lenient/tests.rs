use super::*;

fn loose(json: &str) -> Loose {
    Loose::parse(json.as_bytes()).expect("valid JSON")
}

#[test]
fn integers() {
    for (json, expected) in [
        ("7", Ok(Some(7))),
        ("7.0", Ok(Some(7))),
        ("\" 7 \"", Ok(Some(7))),
        ("1152921504606846976", Ok(Some(1 << 60))),
        ("null", Ok(None)),
        ("\"\"", Ok(None)),
        ("\"-\"", Ok(None)),
        ("7.5", Err(InvalidValue)),
        ("-7", Err(InvalidValue)),
        ("1152921504606846977", Err(InvalidValue)),
        ("9223372036854775807", Err(InvalidValue)),
        ("18446744073709551615", Err(InvalidValue)),
        ("18446744073709551616", Err(InvalidValue)),
        ("1e300", Err(InvalidValue)),
        ("\"seven\"", Err(InvalidValue)),
        ("\"0x10\"", Err(InvalidValue)),
        ("\"1.000\"", Err(InvalidValue)),
        ("\"1,000\"", Err(InvalidValue)),
        ("\"1 000\"", Err(InvalidValue)),
        ("\"7 GB\"", Err(InvalidValue)),
        ("\"1e3\"", Err(InvalidValue)),
        ("true", Err(InvalidValue)),
        ("[7]", Err(InvalidValue)),
        ("{}", Err(InvalidValue)),
    ] {
        assert_eq!(loose(json).count(), expected, "{json}");
    }
}

#[test]
fn reals() {
    for (json, expected) in [
        ("0.33", Ok(Some(0.33))),
        ("\"0.33\"", Ok(Some(0.33))),
        ("1", Ok(Some(1.0))),
        ("null", Ok(None)),
        ("\"NaN\"", Err(InvalidValue)),
        ("\"inf\"", Err(InvalidValue)),
        ("\"1e999\"", Err(InvalidValue)),
        ("\"0,33\"", Err(InvalidValue)),
        ("\"33 %\"", Err(InvalidValue)),
    ] {
        assert_eq!(loose(json).real(), expected, "{json}");
    }
}

#[test]
fn converts_sizes_to_bytes() {
    assert_eq!(loose("\"41\"").bytes_of(1 << 30), Ok(Some(Bytes(41 << 30))));
    for invalid in [
        "41.5",
        "\"41G\"",
        "-1",
        "1073741825",
        "18446744073709551615",
    ] {
        assert_eq!(
            loose(invalid).bytes_of(1 << 30),
            Err(InvalidValue),
            "{invalid}"
        );
    }
}

#[test]
fn timestamps_are_seconds() {
    for (json, expected) in [
        ("1790812801", Ok(Some(UnixSeconds(1_790_812_801)))),
        ("\"1790812801\"", Ok(Some(UnixSeconds(1_790_812_801)))),
        ("null", Ok(None)),
        ("1790812801000", Err(InvalidValue)),
        ("1790812801.5", Err(InvalidValue)),
        ("\"2026-10-01\"", Err(InvalidValue)),
        ("-1790812801", Err(InvalidValue)),
        ("5", Err(InvalidValue)),
    ] {
        assert_eq!(loose(json).timestamp(), expected, "{json}");
    }
}

#[test]
fn rejects_invalid_json() {
    for invalid in [
        "NaN",
        "-Infinity",
        "1e999",
        "\"\\ud800\"",
        "\"a\nb\"",
        "\"\\x\"",
        "tru",
        "",
    ] {
        assert_eq!(
            Loose::parse(invalid.as_bytes()),
            Err(InvalidValue),
            "{invalid}"
        );
    }
    assert_eq!(Loose::parse(b"\"\xff\""), Err(InvalidValue));
    for nested in ["[7]", " {}"] {
        assert_eq!(loose(nested), Loose::Nested);
    }
}

#[test]
fn flags() {
    for (json, expected) in [
        ("\"\"", Ok(Some(false))),
        ("null", Ok(Some(false))),
        ("0", Ok(Some(false))),
        ("\"0\"", Ok(Some(false))),
        ("false", Ok(Some(false))),
        ("\"false\"", Ok(Some(false))),
        ("1", Ok(Some(true))),
        ("\"1\"", Ok(Some(true))),
        ("2", Ok(Some(true))),
        ("true", Ok(Some(true))),
        ("\"TRUE\"", Ok(Some(true))),
        ("\"-\"", Ok(None)),
        ("\"throttled\"", Err(InvalidValue)),
        ("[]", Err(InvalidValue)),
    ] {
        assert_eq!(loose(json).flag(), expected, "{json}");
    }
}

#[test]
fn load_lines() {
    let averages = |text: &str| {
        Loose::Text(text.to_owned()).load_average().map(|load| {
            load.map(|load| (load.averages, load.processes.map(|p| (p.runnable, p.total))))
        })
    };
    assert_eq!(
        averages("0.32 0.25 0.10 1/335 2886523"),
        Ok(Some(([0.32, 0.25, 0.1], Some((1, 335)))))
    );
    assert_eq!(averages("1 2 3"), Ok(Some(([1.0, 2.0, 3.0], None))));
    assert_eq!(
        averages("0.04/0.09/0.05"),
        Ok(Some(([0.04, 0.09, 0.05], None)))
    );
    assert_eq!(averages("-"), Ok(None));
    assert_eq!(averages(""), Ok(None));
    for invalid in [
        "0.32",
        "a/b/c",
        "1 2",
        "1/2/3/4",
        "-1 2 3",
        "nan nan nan",
        "1e300 0 0",
        "0,5 0,5 0,5",
    ] {
        assert_eq!(averages(invalid), Err(InvalidValue), "{invalid}");
    }
}

#[test]
fn text_and_digits() {
    assert_eq!(loose("\"é\"").text(), Ok(Some("é".to_owned())));
    assert_eq!(loose("12").text(), Ok(Some("12".to_owned())));
    assert_eq!(loose("\"\"").text(), Ok(None));
    assert_eq!(loose("{}").text(), Err(InvalidValue));
}

#[test]
fn address_families() {
    for (address, ipv6) in [
        ("2001:db8:12:34::", Some(true)),
        ("2001:db8::/64", Some(true)),
        ("192.0.2.10", Some(false)),
        ("192.0.2.0/24", Some(false)),
        ("vps1.example.com", None),
        ("192.0.2.10/x", None),
        ("2001:db8::/129", None),
        ("", None),
    ] {
        assert_eq!(is_ipv6(address), ipv6, "{address}");
    }
}
