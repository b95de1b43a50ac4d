//! The commands `check`, `once`, `healthcheck` and `--config.check` as a user runs them.

use crate::exporter::{Exporter, config, run, run_without_blocking, write};
use crate::mock::{Mock, Reply, sample};
use crate::page::Page;

fn yaml(mock: &Mock) -> String {
    format!(
        "api: {{endpoint: {}}}\nvps:\n  - {{name: one, veid: 1, api_key: private_x}}\n  - {{name: two, veid: 2, api_key: private_y}}\n",
        mock.endpoint
    )
}

/// Runs a command while the mock keeps responding on this thread's runtime.
async fn run_with_mock(arguments: &[&str]) -> (Option<i32>, String, String) {
    let arguments: Vec<String> = arguments
        .iter()
        .map(|argument| (*argument).to_owned())
        .collect();
    let output = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(&arguments)
    })
    .await
    .expect("it does not panic");
    let text = |bytes| String::from_utf8(bytes).expect("it is text");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn check_polls_each_vps_once_and_reports_failures() {
    let mock = Mock::start([1, 2]).await;
    let (_folder, flag) = config(&yaml(&mock));
    let (code, table, _) = run_with_mock(&["check", &flag]).await;
    assert_eq!(code, Some(0), "{table}");
    assert!(table.contains("vps1.example.com"), "{table}");
    assert_eq!(mock.requests().len(), 2);

    mock.reply_to_everything(2, sample("error_auth.json"));
    let (code, table, error) = run_with_mock(&[&flag, "check"]).await;
    assert_eq!(code, Some(1));
    let row = table
        .lines()
        .find(|line| line.starts_with("two"))
        .expect("it has a row");
    assert!(
        row.contains("700005") && row.contains("check veid and api_key"),
        "{row}"
    );
    assert_eq!(error, "kiwivm_exporter: 1 of 2 VPSes failed\n");
}

#[tokio::test]
async fn once_prints_all_data_and_no_process_metrics() {
    let mock = Mock::start([1, 2]).await;
    mock.reply_to_everything(2, Reply::Status(500, ""));
    let (_folder, flag) = config(&yaml(&mock));
    let (code, text, error) = run_with_mock(&["once", &flag]).await;
    assert_eq!(code, Some(1), "VPS two has no data: {error}");
    let page = Page::parse(&text);
    assert_eq!(page.of("one", "kiwivm_up"), Some(1.0));
    assert_eq!(page.of("two", "kiwivm_up"), Some(0.0));
    assert!(
        page.of("one", "kiwivm_cpu_usage_ratio").is_some(),
        "usage was polled"
    );
    assert!(
        page.one(
            "kiwivm_api_points_remaining",
            &[("vps", "one"), ("window", "24h")]
        )
        .is_some()
    );
    assert!(
        !text.contains("process_") && !text.contains("# EOF"),
        "a textfile collector takes this"
    );
    let calls: Vec<_> = mock
        .requests()
        .iter()
        .filter(|request| request.veid() == 1)
        .map(|request| request.call().to_owned())
        .collect();
    let mut once = calls.clone();
    once.sort();
    once.dedup();
    assert_eq!((calls.len(), once.len()), (7, 7), "{calls:?}");
    assert_eq!(page.of("one", "kiwivm_snapshots"), Some(2.0));
    assert_eq!(
        page.of("one", "kiwivm_network_receive_bytes_total"),
        None,
        "a counter of 0 at every run would look like no traffic"
    );
}

#[tokio::test]
async fn healthcheck_reports_the_state_of_the_exporter() {
    let exporter = Exporter::start(&["--demo"]);
    let flag = exporter.url.replace("http://", "--web.listen-address=");
    let (code, ..) = run_with_mock(&["healthcheck", &flag]).await;
    assert_eq!(code, Some(0));
    drop(exporter);
    let (code, _, error) = run_with_mock(&["healthcheck", &flag]).await;
    assert_eq!(code, Some(1));
    assert!(error.starts_with("kiwivm_exporter: 127.0.0.1:"), "{error}");
}

#[test]
fn config_check_prints_a_summary_or_the_error() {
    let (folder, flag) = config("vps: [{name: one, veid: 1, api_key_file: one.key}]\n");
    let wrong = run(&["--config.check", &flag]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("config.yaml:1: vps[0].api_key_file"));
    write(folder.path(), "one.key", "private_x");
    let right = run(&["--config.check", &flag]);
    assert_eq!(right.status.code(), Some(0));
    let summary = String::from_utf8_lossy(&right.stdout);
    assert!(
        summary.contains("one (VEID 1)") && summary.contains("live every 2m"),
        "{summary}"
    );
}

#[test]
fn usage_errors_exit_with_code_2() {
    assert_eq!(run(&["--nope"]).status.code(), Some(2));
    assert_eq!(run(&["--version"]).status.code(), Some(0));
}

#[tokio::test]
async fn commands_poll_the_demo() {
    // Each fails, because one VPS of the demo is locked and the key of another is wrong.
    for (command, code, words) in [
        (
            "check",
            1,
            "healthy         1000001  ok: healthy.example.com",
        ),
        ("once", 1, "kiwivm_up{veid=\"1000001\",vps=\"healthy\""),
        ("plan", 0, "8 VPSes, "),
        (
            "backfill",
            1,
            "kiwivm_network_receive_bytes_total{veid=\"1000001\",vps=\"healthy\"",
        ),
    ] {
        let output = run_without_blocking(&[command, "--demo"]).await;
        let (out, error) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert_eq!(output.status.code(), Some(code), "{command}: {error}");
        assert!(out.contains(words), "{command}: {out}");
        let polls = command != "plan";
        assert_eq!(
            error.contains("simulating an account"),
            polls,
            "{command}: {error}"
        );
    }
}

#[test]
fn a_command_refuses_flags_that_it_does_not_use() {
    for arguments in [
        ["simulate", "--config.check"],
        ["--config.check", "simulate"],
        ["once", "--web.listen-address=:1"],
        ["healthcheck", "--demo"],
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    let help = run(&["healthcheck", "--help"]);
    let help = String::from_utf8_lossy(&help.stdout);
    assert!(
        help.contains("--web.listen-address") && !help.contains("--config.file"),
        "{help}"
    );
}
