//! The units for systemd: what its tools say of them, and whether the program can live in their sandbox.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::debian::manual;
use crate::tools::{PROGRAM, Started, repository, run, tool, wait_until};

const SERVICE: &str = "deploy/systemd/kiwivm_exporter.service";
const SOCKET: &str = "deploy/systemd/kiwivm_exporter.socket";

/// The values of a setting of the unit.
fn settings(name: &str) -> Vec<String> {
    let unit = fs::read_to_string(repository(SERVICE)).expect("it is there");
    let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned());
    unit.lines().filter_map(value).collect()
}

#[test]
fn little_is_exposed() {
    let judged = run(tool("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=15"])
        .arg(repository(SERVICE)));
    let level = judged.lines().last().expect("it says something");
    assert!(level.contains("Overall exposure level"), "{judged}");
}

#[test]
fn systemd_has_nothing_to_say_about_the_units() {
    let folder = tempfile::tempdir().expect("there is a temporary directory");
    // Where nothing is installed, the program and its manual are elsewhere.
    let units = [SERVICE, SOCKET].map(|unit| {
        let text = fs::read_to_string(repository(unit)).expect("it is there");
        let path = folder
            .path()
            .join(Path::new(unit).file_name().expect("it has one"));
        fs::write(&path, text.replace("/usr/bin/kiwivm_exporter", PROGRAM)).expect("there is room");
        path
    });
    let section = folder.path().join("man/man1");
    fs::create_dir_all(&section).expect("there is room");
    fs::copy(
        manual().join("kiwivm_exporter.1"),
        section.join("kiwivm_exporter.1"),
    )
    .expect("it was made");
    let output = tool("systemd-analyze")
        .args(["verify", "--man=yes"])
        .args(units)
        .env("MANPATH", folder.path().join("man"))
        .output()
        .expect("systemd-analyze is needed for this test");
    let told = [output.stdout, output.stderr].concat();
    assert_eq!(String::from_utf8_lossy(&told), "");
    assert!(output.status.success());
}

/// Names of system calls, those in groups included.
fn calls_of(filter: &str) -> BTreeSet<String> {
    let listed = run(tool("systemd-analyze").args(["syscall-filter", filter]));
    let entry = |line: &str| {
        let entry = line.strip_prefix("    ")?;
        (!entry.starts_with('#')).then(|| entry.to_owned())
    };
    listed
        .lines()
        .filter_map(entry)
        .flat_map(|entry| {
            if entry.starts_with('@') {
                calls_of(&entry)
            } else {
                BTreeSet::from([entry])
            }
        })
        .collect()
}

/// What the unit's filter lets through.
fn allowed() -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for filter in settings("SystemCallFilter") {
        match filter.strip_prefix('~') {
            None => {
                for group in filter.split(' ') {
                    allowed.extend(calls_of(group));
                }
            }
            Some(taken) => {
                for group in taken.split(' ') {
                    allowed = &allowed - &calls_of(group);
                }
            }
        }
    }
    allowed
}

/// The lines of `strace` while the program serves over TLS with a state file, polls, reloads, is scraped and ends.
fn traced() -> String {
    let folder = tempfile::tempdir().expect("there is a temporary directory");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let yaml = path("config.yaml");
    let written = fs::File::create(&yaml).expect("there is room");
    let mut simulate = Command::new(PROGRAM);
    simulate
        .args([
            "simulate",
            "--vps=3",
            "--listen=127.0.0.1:0",
            "--log.format=json",
        ])
        .stdout(written);
    let _simulator = Started::when(simulate, "simulating");
    let names = vec!["localhost".to_owned()];
    let certified = rcgen::generate_simple_self_signed(names).expect("there is randomness");
    fs::write(path("server.pem"), certified.cert.pem()).expect("there is room");
    fs::write(path("server.key"), certified.signing_key.serialize_pem()).expect("there is room");
    let web = "tls_server_config: {cert_file: server.pem, key_file: server.key}\n";
    fs::write(path("web.yml"), web).expect("there is room");

    let trace = path("trace");
    let mut strace = tool("strace");
    strace
        .args(["-f", "-qq", "-s0", "-o", &trace, PROGRAM])
        .args(["--web.listen-address=127.0.0.1:0", "--log.format=json"])
        .arg(format!("--config.file={yaml}"))
        .arg(format!("--web.config.file={}", path("web.yml")))
        .env("KIWIVM_EXPORTER_STATE_FILE", path("state.json"))
        .stdout(Stdio::null());
    let mut exporter = Started::when(strace, "listening");
    let address = exporter.field("address");
    let scrape = || {
        run(tool("curl").args([
            "-sSk",
            "--compressed",
            &format!("https://{address}/metrics"),
        ]))
    };
    wait_until("everything was asked for", || {
        scrape().contains("kiwivm_usage_timestamp_seconds{")
    });
    signal(&exporter.child, "HUP");
    exporter.wait_for("configuration reloaded");
    assert!(!scrape().is_empty());
    signal(&exporter.child, "TERM");
    assert!(exporter.child.wait().expect("it ends").success());
    assert!(fs::exists(path("state.json")).expect("it can be told"));
    fs::read_to_string(trace).expect("it was written")
}

/// Signals the program that strace runs.
fn signal(strace: &Child, name: &str) {
    run(Command::new("pkill").args([&format!("-{name}"), "-P", &strace.id().to_string()]));
}

#[test]
fn the_program_lives_in_the_sandbox() {
    let trace = traced();
    let begun: Vec<(&str, &str)> = trace
        .lines()
        .filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('('))
        .filter(|(name, _)| name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_'))
        .collect();
    assert!(begun.len() > 500, "{trace}");
    let used: BTreeSet<String> = begun.iter().map(|(name, _)| (*name).to_owned()).collect();
    let missing: Vec<_> = used.difference(&allowed()).cloned().collect();
    assert_eq!(missing, Vec::<String>::new());

    for (name, arguments) in &begun {
        let maps = matches!(*name, "mmap" | "mprotect" | "pkey_mprotect");
        let both = arguments.contains("PROT_WRITE") && arguments.contains("PROT_EXEC");
        assert!(!(maps && both), "{name}({arguments}");
    }
    let families = settings("RestrictAddressFamilies").join(" ");
    for (_, arguments) in begun.iter().filter(|(name, _)| name.starts_with("socket")) {
        let family = arguments.split(',').next().unwrap_or_default();
        // The C library asks the kernel for its addresses, and does without an answer.
        assert!(
            family == "AF_NETLINK" || families.split(' ').any(|known| known == family),
            "{arguments}"
        );
    }
}
