//! Missing or unusable keys: each affects only its own VPS and is picked up once it is fixed.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::exporter::{Exporter, PROGRAM, config, run_without_blocking, write};
use crate::mock::{Mock, sample};
use crate::page::Page;

const CANARY: &str = "private_CanaryCanaryCanary0123";

fn yaml(mock: &Mock, keys: &[&str]) -> String {
    let mut yaml = format!("api: {{endpoint: \"{}\"}}\nvps:\n", mock.endpoint);
    for (index, key) in keys.iter().enumerate() {
        let veid = index + 1;
        let _ = writeln!(yaml, "  - {{name: vps-{veid}, veid: {veid}, {key}}}");
    }
    yaml
}

fn refused(page: &Page, vps: &str) -> Option<f64> {
    page.of(vps, "kiwivm_authentication_failed")
}

/// Unusable key files by name, with the expected error.
fn bad_files(folder: &Path) -> Vec<(&'static str, &'static str)> {
    for (name, text) in [
        ("empty", ""),
        ("blank", "\u{feff} \r\n"),
        ("lines", &format!("{CANARY}\n{CANARY}\n")),
        ("quoted", &format!("\"{CANARY}\"\n")),
        ("single", &format!("'{CANARY}'")),
        ("assigned", &format!("KEY={CANARY}\n")),
        ("exported", &format!("export KEY={CANARY}\r\n")),
        ("long", &CANARY.repeat(1000)),
    ] {
        write(folder, name, text);
    }
    fs::write(
        folder.join("utf16"),
        CANARY
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect::<Vec<_>>(),
    )
    .and_then(|()| {
        fs::write(
            folder.join("latin"),
            [b"\xe9\xff" as &[u8], CANARY.as_bytes()].concat(),
        )
    })
    .and_then(|()| fs::create_dir(folder.join("folder")))
    .expect("disk is writable");
    std::os::unix::fs::symlink("loop", folder.join("loop")).expect("links work");
    let made = Command::new("mkfifo").arg(folder.join("fifo")).status();
    assert!(made.expect("mkfifo is installed").success());
    vec![
        ("missing", "does not exist: put the API key in it"),
        ("empty", "is empty: put the API key in it"),
        ("blank", "is empty: put the API key in it"),
        (
            "lines",
            "has more than one line: put only the API key in it",
        ),
        (
            "quoted",
            "has quotes around the key: put only the API key in it, without quotes",
        ),
        (
            "single",
            "has quotes around the key: put only the API key in it, without quotes",
        ),
        (
            "assigned",
            "holds NAME=value: put only the API key in it, without a name",
        ),
        (
            "exported",
            "holds NAME=value: put only the API key in it, without a name",
        ),
        (
            "long",
            "is longer than 4096 bytes: put only the API key in it",
        ),
        ("utf16", "is not UTF-8 text: put only the API key in it"),
        ("latin", "is not UTF-8 text: put only the API key in it"),
        ("folder", "cannot be read: it is a folder"),
        ("loop", "cannot be read: Too many levels of symbolic links"),
        ("fifo", "cannot be read: it is not a regular file"),
    ]
}

#[tokio::test]
async fn a_bad_key_file_only_affects_its_vps_until_it_is_fixed() {
    let mock = Mock::start(1..=16).await;
    let (folder, flag) = config("");
    let bad = bad_files(folder.path());
    let mut keys: Vec<String> = bad
        .iter()
        .map(|(name, _)| format!("api_key_file: {name}"))
        .collect();
    write(folder.path(), "good.key", "\u{feff}private_good\r\n");
    keys.push("api_key_file: good.key".to_owned());
    keys.push("api_key_env: KIWIVM_TEST_NO_SUCH_KEY".to_owned());
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    write(folder.path(), "config.yaml", &yaml(&mock, &keys));

    // The check without polling names each file and the reason.
    let checked = run_without_blocking(&["--config.check", &flag]).await;
    assert_eq!(checked.status.code(), Some(1));
    let error = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(
        error.contains("15 of 16 VPSes have no usable key"),
        "{error}"
    );
    let summary = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(summary.contains("16 VPSes at"), "{summary}");
    let checked = run_without_blocking(&["check", &flag]).await;
    assert_eq!(checked.status.code(), Some(1));
    let table = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(table.contains("\nvps-15  15    ok: "), "{table}");
    for (index, (name, reason)) in bad.iter().enumerate() {
        let path = folder.path().join(name);
        let expected = format!(
            "vps[{index}].api_key_file: key file {} {reason}",
            path.display()
        );
        assert!(error.contains(&expected), "{expected}: {error}");
        assert!(table.contains(&expected), "{expected}: {table}");
    }
    assert!(
        error.contains("variable KIWIVM_TEST_NO_SUCH_KEY is not set"),
        "{error}"
    );

    let exporter = Exporter::start(&[&flag]);
    let page = exporter
        .wait_for("all were polled", |page| {
            (1..=16).all(|veid| refused(page, &format!("vps-{veid}")).is_some())
        })
        .await;
    for veid in 1..=16 {
        let name = format!("vps-{veid}");
        let is_good = veid == 15;
        assert_eq!(refused(&page, &name), Some(f64::from(!is_good)), "{name}");
        assert_eq!(
            page.of(&name, "kiwivm_up"),
            Some(f64::from(is_good)),
            "{name}"
        );
        let labels = [("vps", name.as_str()), ("reason", "auth")];
        let errors: f64 = page
            .series("kiwivm_poll_errors_total", &labels)
            .map(|(_, count)| count)
            .sum();
        assert_eq!(errors > 0.0, !is_good, "{name}");
    }
    let log = exporter.log();
    for (name, reason) in &bad {
        let expected = format!("key file {} {reason}", folder.path().join(name).display());
        assert_eq!(log.matches(&expected).count(), 1, "{expected}: {log}");
    }
    let status = exporter.get("/status.json").await;
    assert!(
        status.contains("It has no usable key")
            && status.contains("does not exist: put the API key in it")
    );
    for text in [&error, &summary, &table, &log, &status] {
        assert!(!text.contains("Canary"), "{text}");
    }
    let calls = |mock: &Mock| {
        mock.requests()
            .iter()
            .filter(|request| request.veid() != 15)
            .count()
    };
    assert_eq!(calls(&mock), 0, "without a key there is no call");

    // The exporter checks each file every minute.
    for (index, (name, _)) in bad.iter().enumerate() {
        let path = folder.path().join(name);
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        write(folder.path(), name, &format!("private_{index}\n"));
    }
    exporter
        .wait_for("all files are used", |page| {
            (1..=15).all(|veid| {
                let name = format!("vps-{veid}");
                page.of(&name, "kiwivm_up") == Some(1.0) && refused(page, &name) == Some(0.0)
            })
        })
        .await;
    let page = exporter.scrape().await;
    assert_eq!(
        refused(&page, "vps-16"),
        Some(1.0),
        "an environment variable cannot change"
    );
}

#[tokio::test]
async fn a_removed_key_file_takes_effect_on_reload() {
    let mock = Mock::start([1, 2]).await;
    let (folder, flag) = config(&yaml(
        &mock,
        &["api_key_file: one.key", "api_key: private_x"],
    ));
    let key = write(folder.path(), "one.key", "private_one");
    let exporter = Exporter::start(&[&flag, "--web.enable-lifecycle"]);
    let is_up = |page: &Page, vps: &str| {
        page.of(vps, "kiwivm_up") == Some(1.0) && refused(page, vps) == Some(0.0)
    };
    exporter
        .wait_for("both are up", |page| {
            is_up(page, "vps-1") && is_up(page, "vps-2")
        })
        .await;
    fs::remove_file(key).expect("it is there");
    let page = exporter.scrape().await;
    assert!(is_up(&page, "vps-1"));
    exporter.signal("HUP");
    exporter
        .wait_for("the removal takes effect", |page| {
            refused(page, "vps-1") == Some(1.0)
        })
        .await;
    let page = exporter.scrape().await;
    assert!(is_up(&page, "vps-2"));
    assert_eq!(
        page.one("kiwivm_exporter_config_last_reload_successful", &[]),
        Some(1.0)
    );
    assert!(exporter.log().contains("one.key does not exist"));
}

#[tokio::test]
async fn without_any_usable_key_the_exporter_runs_and_reports_it() {
    let mock = Mock::start([1, 2]).await;
    let (folder, flag) = config(&yaml(
        &mock,
        &["api_key_file: a.key", "api_key_file: b.key"],
    ));
    let exporter = Exporter::start(&[&flag]);
    exporter
        .wait_for("both are refused", |page| {
            refused(page, "vps-1") == Some(1.0) && refused(page, "vps-2") == Some(1.0)
        })
        .await;
    assert_eq!(
        exporter.get("/-/healthy").await,
        "kiwivm_exporter is healthy.\n"
    );
    let once = run_without_blocking(&["once", &flag]).await;
    assert_eq!(once.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&once.stdout)
            .contains("kiwivm_authentication_failed{veid=\"1\",vps=\"vps-1\"} 1")
    );
    let backfill = run_without_blocking(&["backfill", &flag]).await;
    assert_eq!(backfill.status.code(), Some(1));
    for output in [&once, &backfill] {
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            error.contains("a.key does not exist") && error.contains("b.key does not exist"),
            "{error}"
        );
    }
    // The same for a single VPS from the environment.
    let mut single = Command::new(PROGRAM);
    single
        .current_dir(folder.path())
        .args(["--config.check", "--config.file=config.yaml"])
        .env("KIWIVM_VEID", "7")
        .env("KIWIVM_API_KEY_FILE", "nowhere");
    write(folder.path(), "config.yaml", "");
    let output = single.output().expect("it starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("KIWIVM_API_KEY_FILE: key file nowhere does not exist"),
        "{error}"
    );
}

/// The state file keeps the pause after a refused key. A new key ends it.
#[tokio::test]
async fn a_restart_ends_the_pause_after_a_refused_key() {
    let mock = Mock::start([1, 2]).await;
    mock.reply_to_everything(1, sample("error_auth.json"));
    let keys = ["api_key_file: one.key", "api_key_file: two.key"];
    let (folder, flag) = config(&format!("state_file: state.json\n{}", yaml(&mock, &keys)));
    write(folder.path(), "one.key", "private_old");
    let mut exporter = Exporter::start(&[&flag]);
    exporter
        .wait_for("both are refused", |page| {
            refused(page, "vps-1") == Some(1.0) && refused(page, "vps-2") == Some(1.0)
        })
        .await;
    exporter.signal("TERM");
    assert_eq!(exporter.ended().0, Some(0));
    mock.recover(1);
    for name in ["one.key", "two.key"] {
        write(folder.path(), name, "private_new");
    }
    let exporter = Exporter::start(&[&flag]);
    exporter
        .wait_for("both are up", |page| {
            ["vps-1", "vps-2"].iter().all(|vps| {
                page.of(vps, "kiwivm_up") == Some(1.0) && refused(page, vps) == Some(0.0)
            })
        })
        .await;
    assert!(exporter.log().contains("resuming from the state file"));
}
