//! The systemd units: checked with systemd's tools, and against the system calls of the running program.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::debian::manual;
use crate::tools::{PROGRAM, Started, repository, run, tool, wait_until};

const SERVICE: &str = "deploy/systemd/kiwivm_exporter.service";
const SOCKET: &str = "deploy/systemd/kiwivm_exporter.socket";

/// All values of a setting in the service unit.
fn settings(name: &str) -> Vec<String> {
    let unit = fs::read_to_string(repository(SERVICE)).expect("it is there");
    let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned());
    unit.lines().filter_map(value).collect()
}

#[test]
fn the_exposure_level_is_low() {
    let report = run(tool("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=15"])
        .arg(repository(SERVICE)));
    let level = report.lines().last().expect("the report has lines");
    assert!(level.contains("Overall exposure level"), "{report}");
}

#[test]
fn systemd_accepts_the_units() {
    let folder = tempfile::tempdir().expect("there is a temporary directory");
    // Nothing is installed, so the units must refer to the built program and manual.
    let units = [SERVICE, SOCKET].map(|unit| {
        let text = fs::read_to_string(repository(unit)).expect("it is there");
        let path = folder
            .path()
            .join(Path::new(unit).file_name().expect("it has one"));
        fs::write(&path, text.replace("/usr/bin/kiwivm_exporter", PROGRAM))
            .expect("disk is writable");
        path
    });
    let section = folder.path().join("man/man1");
    fs::create_dir_all(&section).expect("disk is writable");
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
    let output_text = [output.stdout, output.stderr].concat();
    assert_eq!(String::from_utf8_lossy(&output_text), "");
    assert!(output.status.success());
}

/// The system calls of a filter, with groups expanded.
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

/// The system calls that the unit allows.
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

/// Traces the program with `strace` while it serves over TLS with a state file, polls, reloads, is scraped and exits.
fn traced() -> String {
    let folder = tempfile::tempdir().expect("there is a temporary directory");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let yaml = path("config.yaml");
    let written = fs::File::create(&yaml).expect("disk is writable");
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
    fs::write(path("server.pem"), certified.cert.pem()).expect("disk is writable");
    fs::write(path("server.key"), certified.signing_key.serialize_pem()).expect("disk is writable");
    let web = "tls_server_config: {cert_file: server.pem, key_file: server.key}\n";
    fs::write(path("web.yml"), web).expect("disk is writable");

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
    wait_until("the first polls", || {
        scrape().contains("kiwivm_usage_timestamp_seconds{")
    });
    signal(&exporter.child, "HUP");
    exporter.wait_for("configuration reloaded");
    assert!(!scrape().is_empty());
    signal(&exporter.child, "TERM");
    assert!(exporter.child.wait().expect("it ends").success());
    assert!(fs::exists(path("state.json")).expect("the folder can be read"));
    fs::read_to_string(trace).expect("it was written")
}

/// Sends a signal to the program under strace.
fn signal(strace: &Child, name: &str) {
    run(Command::new("pkill").args([&format!("-{name}"), "-P", &strace.id().to_string()]));
}

#[test]
fn the_program_runs_within_the_sandbox() {
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
        // The C library lists addresses over netlink, but works without it.
        assert!(
            family == "AF_NETLINK" || families.split(' ').any(|known| known == family),
            "{arguments}"
        );
    }
}
