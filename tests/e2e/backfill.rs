//! `backfill` as a user runs it: the contents of the file, the flags, and failures.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use crate::exporter::{Exporter, PROGRAM, TIMEOUT, config, get, run};
use crate::prometheus::{check_with, python};
use crate::simulator::{control, set_key, simulator};

const KEY: &str = "private_test";

/// Two VPSes with three days of history, and a halted clock.
pub struct Account {
    pub simulator: Exporter,
    pub folder: TempDir,
    flag: String,
}

impl Account {
    pub async fn halted(arguments: &[&str]) -> Self {
        let mut all = vec!["--vps=2", "--history=3", "--live.latency=0.01"];
        all.extend(arguments);
        let simulator = simulator(&all);
        for veid in [1_000_001, 1_000_002] {
            assert_eq!(set_key(&simulator, veid).await, KEY);
        }
        // No new rows arrive while the account is halted. The newest must stay fresh even on a slow machine.
        let (folder, flag) = config(&format!(
            "api: {{endpoint: {}/v1}}\nintervals: {{live: 30s, usage: 30s, points: 30s}}\nstaleness: 1000\nvps:\n\
            - {{name: vps-0001, veid: 1000001, api_key: {KEY}}}\n\
            - {{name: vps-0002, veid: 1000002, api_key: {KEY}}}\n",
            simulator.url
        ));
        let account = Self {
            simulator,
            folder,
            flag,
        };
        account.control("halt", "true").await;
        account
    }

    pub async fn control(&self, route: &str, body: &str) {
        control(&self.simulator, route, body).await;
    }

    /// Usage rows as the API returns them.
    pub async fn rows(&self, veid: u64) -> Vec<Value> {
        let url = format!(
            "{}/v1/getRawUsageStats?veid={veid}&api_key={KEY}",
            self.simulator.url
        );
        let response: Value = serde_json::from_str(&get(&url).await).expect("it is JSON");
        response["data"].as_array().expect("it is a list").clone()
    }

    async fn calls(&self) -> usize {
        let calls = get(&format!("{}/_simulator/calls", self.simulator.url)).await;
        let calls: Value = serde_json::from_str(&calls).expect("it is JSON");
        calls.as_array().expect("it is a list").len()
    }

    pub fn config(&self) -> &str {
        &self.flag
    }

    fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let mut all = vec!["backfill", &self.flag];
        all.extend(more);
        all
    }

    /// Runs it. Returns the exit code and both outputs.
    fn run(&self, more: &[&str]) -> (Option<i32>, String, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = run(&self.arguments(more));
        let text = |bytes| String::from_utf8(bytes).expect("it is text");
        let (stdout, stderr) = (text(stdout), text(stderr));
        assert!(!format!("{stdout}{stderr}").contains(KEY), "{stderr}");
        (status.code(), stdout, stderr)
    }

    /// Runs it and returns stdout. Panics if it fails or writes to stderr.
    pub fn text(&self, more: &[&str]) -> String {
        let (code, text, error) = self.run(more);
        assert_eq!((code, error.as_str()), (Some(0), ""));
        text
    }

    /// Expects exit code 1 and exactly this on stderr.
    fn fails(&self, more: &[&str], expected: &str) -> String {
        let (code, text, error) = self.run(more);
        assert_eq!((code, error.as_str()), (Some(1), expected));
        text
    }

    fn names_in_folder(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.folder.path()).expect("it is there");
        names
            .map(|entry| entry.expect("it is there").file_name())
            .map(|name| name.into_string().expect("it is text"))
            .collect()
    }
}

/// The timestamp of a sample.
fn time(line: &str) -> i64 {
    let time = line.rsplit(' ').next().and_then(|time| time.parse().ok());
    time.unwrap_or_else(|| panic!("{line}"))
}

/// Keeps the comments and the wanted samples.
fn only(text: &str, wanted: impl Fn(&str) -> bool) -> String {
    text.lines()
        .filter(|line| line.starts_with('#') || wanted(line))
        .flat_map(|line| [line, "\n"])
        .collect()
}

pub fn unix_now() -> i64 {
    let now = kiwivm_exporter::commands::simulate::unix_now();
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds are meant")]
    let now = now as i64;
    now
}

const PARSE: &str = "\
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = list(text_string_to_metric_families(sys.stdin.read()))
assert len({f.name for f in families}) == len(families) == 6, families
assert all(len(f.samples) > 1600 and f.documentation for f in families)
";

#[tokio::test]
async fn the_output_is_ordered_openmetrics_for_any_order_of_rows() {
    let account = Account::halted(&[]).await;
    let all = account.text(&["--until=0s", "--label=job=kiwivm"]);
    check_with(&python(), &["-c", PARSE], &all);
    assert!(all.ends_with("\n# EOF\n"));

    let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
    let (mut family, mut series) = ("", "");
    for line in all.lines().filter(|line| *line != "# EOF") {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            family = head.split(' ').next().expect("it has a name");
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        let now = &line[..=line.find('}').expect("it has labels")];
        assert!(line.starts_with(family) && now.contains("{job=\"kiwivm\",veid=\"100000"));
        let before = newest.insert(now, time(line));
        assert!(
            before.is_none_or(|before| now == series && before < time(line)),
            "{line}"
        );
        series = now;
    }
    assert_eq!(newest.len(), 12);

    account
        .control("faults", "[{\"kind\":\"shuffled_rows\"}]")
        .await;
    assert!(all == account.text(&["--until=0s", "--label=job=kiwivm"]));
}

#[tokio::test]
async fn flags_select_vpses_and_times_without_changing_values() {
    let account = Account::halted(&[]).await;
    let all = account.text(&["--until=0s"]);
    let both = account.text(&["--until=0s", "--vps=vps-0002", "--vps=vps-0001"]);
    assert!(all == both);
    let second = account.text(&["--until=0s", "--vps=vps-0002"]);
    assert!(second == only(&all, |line| line.contains("vps=\"vps-0002\"")));

    let rows = account.rows(1_000_002).await;
    let at = |row: &Value| row["timestamp"].as_i64().expect("it is a number");
    let (since, until) = (at(&rows[100]), at(&rows[200]));
    let flags = [&format!("--since={since}"), &format!("--until={until}.9")];
    let part = account.text(&["--vps=vps-0002", flags[0], flags[1]]);
    assert!(part == only(&second, |line| (since..=until).contains(&time(line))));
    assert_eq!(
        part.lines().filter(|line| !line.starts_with('#')).count(),
        606
    );
    let received: u64 = rows[..=100]
        .iter()
        .filter_map(|row| row["network_in_bytes"].as_u64())
        .sum();
    assert!(part.contains(&format!("}} {received} {since}\n")));

    let before = unix_now();
    let file = account.text(&["--vps=vps-0002"]);
    let limit = unix_now() - 3 * 3600;
    let last = file.lines().rev().nth(1).map_or(0, time);
    let next = rows.iter().map(at).find(|time| *time > last);
    assert!(last <= limit, "{last} {limit}");
    assert!(next.is_some_and(|next| next > before - 3 * 3600));
}

#[tokio::test]
async fn output_goes_to_a_new_file_stdout_or_an_existing_pipe() {
    let account = Account::halted(&[]).await;
    let all = account.text(&[]);
    let path = account.folder.path().join("history.om");
    let output = format!("--output={}", path.display());
    std::fs::write(&path, "of an earlier run").expect("disk is writable");
    assert_eq!(account.text(&[&output]), "");
    assert!(std::fs::read_to_string(&path).expect("it is there") == all);
    assert!(account.text(&["--output=-"]) == all);
    // A pipe in this test. It must not be replaced by a file.
    assert!(account.text(&["--output=/dev/stdout"]) == all);

    let mut command = Command::new(PROGRAM);
    command
        .args(account.arguments(&[]))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    stdout.read_line(&mut line).expect("it is text");
    drop(stdout);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stderr, b"");
    assert!(line.starts_with("# HELP"));
}

#[tokio::test]
async fn a_terminal_shows_a_progress_bar() {
    let account = Account::halted(&[]).await;
    let path = account.folder.path().join("history.om");
    let output = format!("--output={}", path.display());
    let line = [&[PROGRAM], &account.arguments(&[&output])[..]].concat();
    let terminal = Command::new("script")
        .args(["--quiet", "--return", "--command"])
        .args([&line.join(" "), "/dev/null"])
        .stdin(Stdio::null())
        .output()
        .expect("bsdutils is essential in Debian");
    let shown = String::from_utf8(terminal.stdout).expect("it is text");
    assert_eq!(terminal.status.code(), Some(0), "{shown}");
    assert!(shown.contains("[------------------------] 0 of 2  vps-0001  0 rows"));
    assert!(shown.contains("[############------------] 1 of 2  vps-0002  0 rows"));
    assert!(shown.contains("[########################] 2 of 2  vps-0002  864 rows"));
    assert!(shown.ends_with("\r\x1b[K"), "the bar is erased: {shown:?}");
}

#[tokio::test]
async fn a_failing_vps_loses_only_its_own_history_and_sets_the_exit_code() {
    let account = Account::halted(&[]).await;
    let second = account.text(&["--until=1d", "--vps=vps-0002"]);
    let wrong = "getRawUsageStats for VPS 1000001: the API returned error 700005: ";
    for (fault, words) in [
        ("auth", wrong),
        (
            "truncated",
            "getRawUsageStats for VPS 1000001: request or response body error: ",
        ),
        (
            "http500",
            "getRawUsageStats for VPS 1000001: HTTP status 500",
        ),
    ] {
        account
            .control(
                "faults",
                &format!("[{{\"veid\":1000001,\"kind\":\"{fault}\"}}]"),
            )
            .await;
        let (code, text, error) = account.run(&["--until=1d"]);
        assert_eq!(code, Some(1));
        assert!(text == second, "{fault}");
        let (first, last) = error.split_once('\n').expect("it is two lines");
        let expected = format!("kiwivm_exporter: vps-0001: {words}");
        assert!(first.starts_with(&expected), "{first}");
        assert_eq!(
            last,
            "kiwivm_exporter: 1 of 2 VPSes failed: the history of the others was written\n"
        );
    }
    let path = account.folder.path().join("history.om");
    let output = format!("--output={}", path.display());
    for _down in [false, true] {
        let (code, _, error) = account.run(&["--vps=vps-0001", &output]);
        assert_eq!((code, error.lines().count()), (Some(1), 2), "{error}");
        let last = "\nkiwivm_exporter: all VPSes failed: nothing was written\n";
        assert!(error.ends_with(last), "{error}");
        assert_eq!(account.names_in_folder(), ["config.yaml"]);
        account.simulator.signal("KILL");
    }
}

#[tokio::test]
async fn usage_errors_are_reported_before_any_call() {
    let account = Account::halted(&[]).await;
    let calls = account.calls().await;
    account.fails(
        &["--vps=vps-0001", "--vps=nope"],
        "kiwivm_exporter: --vps=nope: there is no VPS of this name in the configuration\n",
    );
    let folder = account.folder.path().display().to_string();
    account.fails(
        &[&format!("--output={folder}")],
        &format!("kiwivm_exporter: {folder} could not be written: Is a directory (os error 21)\n"),
    );
    let nowhere = format!("--output={folder}/nowhere/history.om");
    let (code, _, error) = account.run(&[&nowhere]);
    assert_eq!((code, error.lines().count()), (Some(1), 1), "{error}");
    assert!(error.contains("/nowhere/history.om could not be written: No such file"));
    for (usage, words) in [
        (
            &["--label=job=a", "--label=job=b"][..],
            "--label: job is given twice",
        ),
        (
            &["--since=2026-01-02", "--until=2026-01-01"],
            "--since is later than --until",
        ),
        (&["--since=1h"], "three hours ago by default"),
    ] {
        let (code, _, error) = account.run(usage);
        assert_eq!(code, Some(2), "{error}");
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(account.calls().await, calls);
}

#[tokio::test]
async fn a_signal_leaves_no_file_behind() {
    let account = Account::halted(&[]).await;
    account
        .control(
            "faults",
            "[{\"call\":\"getRawUsageStats\",\"kind\":\"hang\"}]",
        )
        .await;
    let path = account.folder.path().join("history.om");
    let output = format!("--output={}", path.display());
    for signal in ["INT", "TERM"] {
        let calls = account.calls().await;
        let child = Command::new(PROGRAM)
            .args(account.arguments(&[&output]))
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let deadline = Instant::now() + TIMEOUT;
        while account.calls().await < calls + 2 {
            assert!(Instant::now() < deadline, "it requests a history");
        }
        let sent = Command::new("kill")
            .args(["-s", signal, &child.id().to_string()])
            .status();
        assert!(sent.expect("kill is installed").success());
        let ended = child.wait_with_output().expect("it ends");
        assert_eq!(ended.status.code(), Some(1));
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(stderr, "kiwivm_exporter: stopped: nothing was written\n");
        assert_eq!(account.names_in_folder(), ["config.yaml"]);
    }
}
