//! Start, reload and shutdown.

use std::process::Command;
use std::time::Duration;

use reqwest::StatusCode;

use crate::exporter::{Exporter, PROGRAM, TIMEOUT, config, http, write};
use crate::mock::{Mock, Reply, sample};
use crate::page::Page;

fn yaml(mock: &Mock, vps: &str) -> String {
    format!(
        "api: {{endpoint: {}}}\nintervals: {{live: 30s, usage: 30s, points: 30s}}\nvps:\n{vps}",
        mock.endpoint
    )
}

const ONE: &str = "  - {name: one, veid: 1, api_key: private_x}\n";
const TWO: &str = "  - {name: two, veid: 2, api_key: private_x}\n";

#[tokio::test]
async fn the_demo_has_metrics_within_two_seconds() {
    let exporter = Exporter::start(&["--demo"]);
    let started = std::time::Instant::now();
    exporter
        .wait_for("the first VPS is up", |page| {
            page.of("healthy", "kiwivm_up") == Some(1.0)
        })
        .await;
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn shutdown_does_not_wait_for_calls_in_flight() {
    for signal in ["TERM", "INT"] {
        let mock = Mock::start([1]).await;
        mock.reply_to_everything(1, Reply::Hang);
        let (_folder, flag) = config(&yaml(&mock, ONE));
        let mut exporter = Exporter::start(&[&flag]);
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while mock.requests().is_empty() {
            tick.tick().await;
        }
        exporter.signal(signal);
        let (code, took) = exporter.ended();
        assert_eq!(code, Some(0), "{}", exporter.log());
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
}

/// Opening a pipe that nobody writes to blocks, and configurations are read on the only thread.
#[tokio::test]
async fn a_pipe_in_place_of_a_configuration_stops_nothing() {
    const RELOADED: &str = "kiwivm_exporter_config_last_reload_successful";
    let mock = Mock::start([1]).await;
    let (folder, flag) = config(&yaml(&mock, ONE));
    let web = write(folder.path(), "web.yaml", "{}");
    let web_flag = format!("--web.config.file={web}");
    let exporter = Exporter::start(&[&flag, &web_flag]);
    exporter.scrape().await;
    for name in ["config.yaml", "web.yaml"] {
        let path = folder.path().join(name);
        std::fs::rename(&path, folder.path().join("kept")).expect("it can be moved");
        let made = Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("mkfifo is installed").success());
        exporter.signal("HUP");
        let refused = exporter.wait_for("the pipe is refused", |page| {
            page.one(RELOADED, &[]) == Some(0.0)
        });
        let refused = tokio::time::timeout(TIMEOUT, refused).await;
        assert!(refused.is_ok(), "{name}: {}", exporter.log());
        assert!(exporter.log().contains("it is not a regular file"));
        std::fs::rename(folder.path().join("kept"), path).expect("it can be moved");
        exporter.signal("HUP");
        exporter
            .wait_for("it is reloaded", |page| {
                page.one(RELOADED, &[]) == Some(1.0)
            })
            .await;
    }
    // A shell passes the output of a command as a pipe that is already open.
    let checked = Command::new("bash")
        .args([
            "-c",
            "\"$0\" --config.check --config.file=<(cat \"$1\")",
            PROGRAM,
        ])
        .arg(folder.path().join("config.yaml"))
        .output()
        .expect("bash is installed");
    assert!(checked.status.success(), "{checked:?}");
}

#[tokio::test]
async fn the_exporter_is_ready_after_polling_every_vps() {
    let mock = Mock::start([1, 2]).await;
    let (_folder, flag) = config(&yaml(&mock, &format!("{ONE}{TWO}")));
    let exporter = Exporter::start(&[&flag]);
    let ready = async || {
        let response = http().get(format!("{}/-/ready", exporter.url)).send().await;
        response.expect("it responds").status() == StatusCode::OK
    };
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    while !ready().await {
        tick.tick().await;
    }
    let page = exporter.scrape().await;
    assert_eq!(page.of("one", "kiwivm_up"), Some(1.0));
    assert_eq!(page.of("two", "kiwivm_up"), Some(1.0));
    assert_eq!(
        exporter.get("/-/healthy").await,
        "kiwivm_exporter is healthy.\n"
    );
}

#[tokio::test]
async fn a_reload_applies_a_valid_configuration_and_rejects_an_invalid_one() {
    let mock = Mock::start([1, 2]).await;
    let (folder, flag) = config(&yaml(&mock, ONE));
    let exporter = Exporter::start(&[&flag, "--web.enable-lifecycle"]);
    exporter
        .wait_for("the first is up", |page| {
            page.of("one", "kiwivm_up") == Some(1.0)
        })
        .await;
    let successful = "kiwivm_exporter_config_last_reload_successful";
    let reload = async || {
        let response = http()
            .post(format!("{}/-/reload", exporter.url))
            .send()
            .await
            .expect("it responds");
        (
            response.status(),
            response.text().await.expect("it is text"),
        )
    };

    write(
        folder.path(),
        "config.yaml",
        &yaml(&mock, &format!("{ONE}{TWO}")),
    );
    assert_eq!(reload().await.0, StatusCode::OK);
    let page = exporter
        .wait_for("the second is up", |page| {
            page.of("two", "kiwivm_up") == Some(1.0)
        })
        .await;
    assert_eq!(
        page.of("one", "kiwivm_up"),
        Some(1.0),
        "the first kept its state"
    );
    let timestamp = "kiwivm_exporter_config_last_reload_success_timestamp_seconds";
    let loaded = page.one(timestamp, &[]);

    write(
        folder.path(),
        "config.yaml",
        "vps: [{veid: 1}]\nintervals: {live: 1s}\n",
    );
    let (status, text) = reload().await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(
        text.contains("vps[0]: has no key") && text.contains("intervals.live"),
        "{text}"
    );
    let page = exporter.scrape().await;
    assert_eq!(page.one(successful, &[]), Some(0.0));
    assert_eq!(page.one(timestamp, &[]), loaded);
    assert_eq!(
        page.of("two", "kiwivm_up"),
        Some(1.0),
        "the old configuration stays active"
    );

    write(folder.path(), "config.yaml", &yaml(&mock, TWO));
    exporter.signal("HUP");
    let page = exporter
        .wait_for("the first is gone", |page| {
            page.of("one", "kiwivm_up").is_none()
        })
        .await;
    assert_eq!(page.one(successful, &[]), Some(1.0));
    assert_eq!(page.one("kiwivm_exporter_vps_configured", &[]), Some(1.0));
}

#[tokio::test]
async fn a_reload_disables_and_enables_collectors() {
    let mock = Mock::start([1]).await;
    let with = |collect: &str| format!("{}collect: {collect}\n", yaml(&mock, ONE));
    let (folder, flag) = config(&with("{backups: false}"));
    let exporter = Exporter::start(&[&flag]);
    let page = exporter
        .wait_for("snapshots are reported", |page| {
            page.of("one", "kiwivm_snapshots").is_some()
        })
        .await;
    assert_eq!(page.of("one", "kiwivm_backups"), None);
    write(folder.path(), "config.yaml", &with("{snapshots: false}"));
    exporter.signal("HUP");
    exporter
        .wait_for("backups are reported, snapshots are not", |page| {
            page.of("one", "kiwivm_snapshots").is_none()
                && page.of("one", "kiwivm_backups").is_some()
        })
        .await;
}

fn key_refused(page: &Page) -> Option<f64> {
    page.of("one", "kiwivm_authentication_failed")
}

#[tokio::test]
async fn a_reload_ends_the_pause_after_a_refused_key() {
    let mock = Mock::start([1]).await;
    mock.reply_to_everything(1, sample("error_auth.json"));
    let (_folder, flag) = config(&yaml(&mock, ONE));
    let exporter = Exporter::start(&[&flag]);
    exporter
        .wait_for("the key is refused", |page| key_refused(page) == Some(1.0))
        .await;
    mock.recover(1);
    exporter.signal("HUP");
    exporter
        .wait_for("the key is accepted", |page| key_refused(page) == Some(0.0))
        .await;
}

#[tokio::test]
async fn a_new_key_in_the_file_is_tried_without_a_reload() {
    let mock = Mock::start([1]).await;
    mock.reply_to_everything(1, sample("error_auth.json"));
    let (folder, flag) = config(&yaml(
        &mock,
        "  - {name: one, veid: 1, api_key_file: one.key}\n",
    ));
    write(folder.path(), "one.key", "private_old");
    let exporter = Exporter::start(&[&flag]);
    exporter
        .wait_for("the key is refused", |page| key_refused(page) == Some(1.0))
        .await;
    mock.recover(1);
    write(folder.path(), "one.key", "private_new");
    exporter
        .wait_for("the key is accepted", |page| key_refused(page) == Some(0.0))
        .await;
    let keys: Vec<_> = mock
        .requests()
        .iter()
        .map(|request| request.form["api_key"].clone())
        .collect();
    assert_eq!(keys[0], "private_old");
    assert!(keys.contains(&"private_new".to_owned()));
}

#[test]
fn an_address_in_use_is_reported_in_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let address = taken.local_addr().expect("it is bound");
    let output = crate::exporter::run(&[
        "--demo",
        &format!("--web.listen-address={address}"),
        "--log.level=error",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.lines().count() == 1 && error.contains(&address.to_string()),
        "{error}"
    );
}
