//! Mutated configurations: no panic, no endless work, and no secret in the error messages.

use std::cell::Cell;
use std::fmt::Write as _;
use std::path::Path;

use kiwivm_exporter::config::{ConfigSource, Shard, load};
use kiwivm_exporter::web;
use tempfile::TempDir;

use crate::dice::Dice;
use crate::run;

const KEY: &str = "private_CanaryCanaryCanary012345";
/// A bcrypt hash with the lowest cost.
const HASH: &str = "$2y$04$abcdefghijklmnopqrstuuOGdFsRAaqEyXkuF2SNsQ/4LuZOAsLYm";

const CONFIGURATION: &str = "\
api:
  endpoint: http://127.0.0.1:1/v1
  proxy: http://proxy.example:3128
  concurrency: auto
budget: {share: 0.5, download: 100MiB, scope: auto}
intervals:
  live: 2m
  usage: 10m
  points: 10m
  inventory: 1h
collect: {snapshots: true, backups: true, policy: true, audit: false, locations: false}
staleness: 3
state_file: /tmp/none/state.json
vps:
  - veid: 1000001
    api_key: KEY
    name: web-1
    labels: {team: \"a b\", env: prod}
    expect: running
  - veid: 1000002
    api_key: KEY
    intervals: {live: 5m}
    budget: {group: other}
";
const WEB: &str = "\
tls_server_config:
  cert_file: none.crt
  key_file: none.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: none.ca
  min_version: TLS12
  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]
  curve_preferences: [X25519]
http_server_config:
  http2: true
  headers:
    X-Frame-Options: deny
    Strict-Transport-Security: max-age=1
rate_limit: {interval: 1s, burst: 20}
basic_auth_users:
  alice: HASH
  0x10: HASH
";

const TOKENS: &[&str] = &[
    "&a ",
    "*a",
    "<<: *a",
    "<<: [*a, *a]",
    "!!binary ",
    "!!str ",
    "!x ",
    "? ",
    "- ",
    ": ",
    "|\n  ",
    ">-\n  ",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "# ",
    "\t",
    "\r",
    "\0",
    "\u{feff}",
    "\u{2028}",
    "\u{85}",
    "'",
    "\"",
    "\"\\x\"",
    "\"\\ud800\"",
    "[",
    "]",
    "{",
    "}",
    "[[[[[[[[",
    "{{{{{{{{",
    "{a: &b [*b]}",
    "null",
    "~",
    "true",
    "yes",
    "off",
    "0x10",
    "0o17",
    "1e3",
    ".inf",
    ".nan",
    "-1",
    "0",
    "18446744073709551616",
    "1.5s",
    "25h",
    "1e999",
    "-0",
    "''",
    "1h1h",
    "9999999999999999999d",
    "100PiB",
    "0.0000001",
    "=",
    "@",
    "`",
    "😀",
    "é",
    "\u{202e}",
    "../../../../etc/passwd",
    "/dev/null",
    "/dev/zero",
    "http://user:pw@h:1",
    "ftp://h",
    "127.0.0.1",
    "[::1]:9",
    "*",
    "veid",
    "api_key",
    "api_key_file: /dev/null",
    "intervals",
    "labels: {__x: y, a-b: c}",
];

/// Mutates lines, indentation and words of YAML.
fn mutate(text: &str, dice: &mut Dice) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for _ in 0..=dice.below(4) {
        if lines.is_empty() {
            break;
        }
        let at = dice.below(lines.len());
        match dice.below(9) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[at].clone()),
            2 => {
                let to = dice.below(lines.len());
                lines.swap(at, to);
            }
            3 => lines[at].insert_str(0, dice.pick(&["  ", " ", "\t", "- ", "    "])),
            4 => {
                let indent = lines[at].len() - lines[at].trim_start().len();
                lines[at].drain(..indent);
            }
            5 => {
                let token = dice.pick(TOKENS);
                lines.insert(at, token.to_owned());
            }
            6 => {
                // Replaces the value of a line.
                if let Some((name, _)) = lines[at].split_once(": ") {
                    lines[at] = format!("{name}: {}", dice.pick(TOKENS));
                }
            }
            7 => {
                // Swaps key and value.
                if let Some((name, value)) = lines[at].split_once(": ") {
                    let indent = name.len() - name.trim_start().len();
                    lines[at] = format!("{}{value}: {}", " ".repeat(indent), name.trim_start());
                }
            }
            _ => {
                let line = &lines[at];
                let mut middle = dice.below(line.len() + 1);
                while !line.is_char_boundary(middle) {
                    middle -= 1;
                }
                let (before, after) = line.split_at(middle);
                lines[at] = format!("{before}{}{after}", dice.pick(TOKENS));
            }
        }
    }
    lines.join(dice.pick(&["\n", "\n", "\n", "\n", "\r\n"])) + "\n"
}

/// An alias bomb: each name expands to ten of the previous one.
fn bomb(dice: &mut Dice) -> String {
    let mut text = "a0: &a0 [x, x, x]\n".to_owned();
    for level in 1..=dice.below(12) {
        let before = level - 1;
        let names = vec![format!("*a{before}"); 10].join(", ");
        let _ = writeln!(text, "a{level}: &a{level} [{names}]");
    }
    text
}

fn text(template: &str, dice: &mut Dice) -> Vec<u8> {
    let mut text = mutate(template, dice);
    if dice.chance(3) {
        text += &bomb(dice);
    }
    let mut bytes = text.replace("KEY", KEY).replace("HASH", HASH).into_bytes();
    if dice.chance(10) {
        dice.damage(&mut bytes);
    }
    bytes
}

fn assert_hidden(output: &str, secret: &str, input: &[u8]) {
    assert!(
        !output.contains(secret),
        "{output}\nof {}",
        String::from_utf8_lossy(input)
    );
}

#[test]
fn configuration() {
    let folder = TempDir::new().expect("disk is writable");
    let file = folder.path().join("config.yaml");
    let valid = Cell::new(0);
    run("configuration", |dice| {
        let text = text(CONFIGURATION, dice);
        std::fs::write(&file, &text).expect("it can be written");
        let names = [
            "KIWIVM_EXPORTER_VPS",
            "KIWIVM_EXPORTER_INTERVALS__LIVE",
            "KIWIVM_EXPORTER_BUDGET",
            "KIWIVM_VEID",
            "KIWIVM_API_KEY",
        ];
        let variables = (0..dice.below(2)).map(|_| {
            let value = mutate(dice.pick(TOKENS), dice);
            (dice.pick(&names).to_owned(), value)
        });
        let source = ConfigSource {
            file: file.clone(),
            file_is_explicit: true,
            environment: variables.collect(),
            shard: Shard::default(),
        };
        let output = match load(&source) {
            Ok((config, warnings)) => {
                valid.set(valid.get() + 1);
                format!(
                    "{config:?} {}",
                    warnings.iter().map(ToString::to_string).collect::<String>()
                )
            }
            Err(errors) => {
                assert!(!errors.0.is_empty());
                errors.to_string()
            }
        };
        assert_hidden(&output, KEY, &text);
    });
    assert!(valid.get() > 0, "every configuration was refused");
}

#[test]
fn web_configuration() {
    let folder = TempDir::new().expect("disk is writable");
    let file = folder.path().join("web.yaml");
    let valid = Cell::new(0);
    run("web configuration", |dice| {
        // A TLS configuration is never valid here, because the certificate files do not exist.
        let begin = if dice.chance(50) {
            WEB.find("http_server_config").unwrap_or_default()
        } else {
            0
        };
        let text = text(&WEB[begin..], dice);
        std::fs::write(&file, &text).expect("it can be written");
        match web::validate(Path::new(&file)) {
            Ok(()) => valid.set(valid.get() + 1),
            Err(errors) => assert_hidden(&errors.to_string(), HASH, &text),
        }
    });
    assert!(valid.get() > 0, "every configuration was refused");
}
