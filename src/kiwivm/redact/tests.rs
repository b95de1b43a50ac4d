//! The key in every encoding, alone, mixed and nested.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE};
use proptest::prelude::*;

use super::*;

/// Every kind of letter that an encoding changes.
const KEY: &str = "private_a/B+c&d<e>f\"g'h%i=j\\k?l~é";

fn of_bytes(text: &str, encode: impl Fn(u8) -> String) -> String {
    text.bytes().map(encode).collect()
}

fn of_letters(text: &str, encode: impl Fn(char) -> String) -> String {
    text.chars().map(encode).collect()
}

fn all_percent(text: &str) -> String {
    of_bytes(text, |byte| format!("%{byte:02x}"))
}

fn form(text: &str) -> String {
    of_bytes(text, |byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    })
}

fn html(text: &str) -> String {
    of_letters(text, |letter| match letter {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        '\'' => "&#039;".to_owned(),
        other => other.to_string(),
    })
}

fn named(text: &str) -> String {
    of_letters(text, |letter| {
        let entity = ENTITIES
            .iter()
            .find(|(_, byte)| char::from(*byte) == letter);
        entity.map_or_else(|| letter.to_string(), |(name, _)| format!("&{name};"))
    })
}

fn json(text: &str) -> String {
    let quoted = serde_json::to_string(text).expect("it can be written");
    quoted[1..quoted.len() - 1].replace('/', "\\/")
}

fn all_unicode(text: &str) -> String {
    let units = text.encode_utf16();
    let escapes: Vec<_> = units.map(|unit| format!("\\u{unit:04X}")).collect();
    escapes.concat()
}

fn base64(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

const ENCODINGS: [fn(&str) -> String; 14] = [
    str::to_owned,
    form,
    all_percent,
    html,
    named,
    |text| of_letters(text, |letter| format!("&#{};", u32::from(letter))),
    |text| of_letters(text, |letter| format!("&#x{:04x};", u32::from(letter))),
    |text| of_letters(text, |letter| format!("&#X{:X}", u32::from(letter)) + ";"),
    json,
    all_unicode,
    |text| {
        of_letters(text, |letter| {
            if letter.is_ascii() {
                format!("\\x{:02x}", u32::from(letter))
            } else {
                letter.to_string()
            }
        })
    },
    base64,
    |text| BASE64_URL_SAFE.encode(text),
    |text| BASE64_STANDARD_NO_PAD.encode(format!("1000001:{text}:x")),
];

#[test]
fn hexadecimal_and_other_case_are_hidden() {
    let hex = of_bytes(KEY, |byte| format!("{byte:02x}"));
    for text in [
        hex.clone(),
        hex.to_uppercase(),
        KEY.to_ascii_uppercase(),
        KEY.to_ascii_lowercase(),
    ] {
        for text in [text.clone(), format!("f{text}0"), format!("key={text};")] {
            let redacted = redact(&text, KEY);
            assert!(
                redacted.contains(REDACTED) && !redacted.contains(&text[8..20]),
                "{redacted}"
            );
        }
    }
    assert_eq!(redact("70726976617465", KEY), "70726976617465");
}

#[test]
fn a_key_is_found_in_every_encoding() {
    for (number, encode) in ENCODINGS.into_iter().enumerate() {
        let encoded = encode(KEY);
        let text = format!("for {encoded}, not \"1\"");
        let expected = "for [redacted], not \"1\"";
        assert_eq!(redact(&text, KEY), expected, "{number}: {encoded}");
    }
}

#[test]
fn a_key_is_found_in_an_encoding_within_another() {
    for outer in [form, all_percent, html, named, json, all_unicode] {
        for inner in ENCODINGS {
            let text = format!("[{}]", outer(&inner(KEY)));
            let redacted = redact(&text, KEY);
            assert!(
                redacted.starts_with("[[redacted]") && redacted.len() < 22,
                "{text}: {redacted}"
            );
            for third in [form, html, json] {
                let text = third(&outer(&inner(KEY)));
                let redacted = redact(&text, KEY);
                assert!(
                    redacted.starts_with("[redacted]") && redacted.len() < 26,
                    "{text}: {redacted}"
                );
            }
        }
    }
}

#[test]
fn base64_is_found_in_lines_and_in_longer_runs() {
    let credentials = base64(&format!("{}:{KEY}:{}", "x".repeat(100), "y".repeat(100)));
    let lines: Vec<_> = credentials
        .as_bytes()
        .chunks(76)
        .map(|line| String::from_utf8_lossy(line))
        .collect();
    assert_eq!(redact(&lines.join("\r\n"), KEY), "[redacted]");
    assert_eq!(
        redact(&format!("Basic {credentials}!"), KEY),
        "Basic [redacted]!"
    );
    for shift in ["", "a", "ab", "abc"] {
        let text = format!("{shift}{}", base64(KEY).trim_end_matches('='));
        assert_eq!(redact(&text, KEY), "[redacted]", "{text}");
    }
}

#[test]
fn a_truncated_key_at_the_end_is_hidden() {
    let key = "private_ab_cd/ef";
    for (text, shown) in [
        ("for private_ab_c", "for [redacted]"),
        ("private_ab_cd/ef, private_ab_cd", "[redacted], [redacted]"),
        ("for priv%61te_ab_cd%2", "for [redacted]"),
        ("for priv%61te_ab_cd%", "for [redacted]"),
        ("for private_ab_cd&#4", "for [redacted]"),
        ("for private_ab_cd&so", "for [redacted]"),
        ("for private_ab_cd\\u002", "for [redacted]"),
        ("for private_ab_cd\\", "for [redacted]"),
        ("private_ab_ cd", "private_ab_ cd"),
        // Every key begins like this.
        ("tokyo-private", "tokyo-private"),
        ("private_", "private_"),
        ("50 %", "50 %"),
        ("R&D", "R&D"),
        ("a\\", "a\\"),
    ] {
        assert_eq!(redact(text, key), shown, "{text}");
    }
    assert_eq!(
        redact("try to stop, secr", "secret_key"),
        "try to stop, [redacted]"
    );
    assert_eq!(redact("try to stop, sec", "secret_key"), "try to stop, sec");
    let cut = &base64(key)[..18];
    assert_eq!(redact(&format!("for {cut}"), key), "for [redacted]");
}

#[test]
fn keys_of_other_vpses_are_hidden() {
    let other = "private_abcdefghijklmnopqrstuvwx";
    for encode in ENCODINGS {
        let redacted = redact(&format!("<{}>", encode(other)), "private_x");
        assert!(
            redacted.starts_with("<[redacted]") && redacted.len() < 16,
            "{redacted}"
        );
    }
    let names = "private_network private_ip_addresses private.example.com";
    assert_eq!(redact(names, KEY), names);
}

#[test]
fn long_text_is_cut_where_a_key_might_be() {
    let text = "x ".repeat(10_000);
    assert_eq!(redact(&text, KEY).len(), MAX_KEPT);
    for begin in (MAX_KEPT - 60..MAX_SEARCHED + 10).step_by(7) {
        let text = format!(
            "{}{}{}",
            "x".repeat(begin),
            all_unicode(KEY),
            "é".repeat(1000)
        );
        let redacted = redact(&text, KEY);
        let shown = redacted.trim_start_matches('x');
        assert!(["", "[redacted]"].contains(&shown), "{begin}: {shown}");
    }
}

/// Any key that a configuration may hold.
fn any_key() -> impl Strategy<Value = String> {
    "[!-~]{8,40}|private_[A-Za-z0-9]{24}|[!-~é🥝]{8,20}"
}

proptest! {
    #[test]
    fn no_mixture_of_encodings_shows_a_key(
        key in any_key(), letters in prop::collection::vec(0..4_usize, 40), before in "[ -~é]{0,9}", after in "[ -~é]{0,9}",
        outer in 0..ENCODINGS.len(),
    ) {
        // Encodes each letter in its own way. A key with the marks of an encoding would be ambiguous.
        prop_assume!(!key.contains(['%', '&', '\\', '#', ';']));
        let mixed: String = key.chars().zip(letters.iter().cycle()).map(|(letter, encoding)| {
            let letter = letter.to_string();
            match encoding {
                0 => letter,
                1 => all_percent(&letter),
                2 => format!("&#{};", u32::from(letter.chars().next().expect("it is one"))),
                _ => all_unicode(&letter),
            }
        }).collect();
        let redacted = redact(&format!("{before} {mixed} {after}"), &key);
        prop_assert!(redacted.contains(REDACTED), "{}", redacted);
        prop_assert!(!redacted.contains(&mixed), "{}", redacted);
        let redacted = redact(&ENCODINGS[outer](&key), &key);
        prop_assert!(redacted.starts_with(REDACTED), "{}", redacted);
    }

    #[test]
    fn other_text_stays_as_it_is(text in "[ -~é🥝]{0,60}") {
        prop_assert_eq!(redact(&text, "Canary_0123456789"), text);
    }
}
