//! The state file: locking, restored values, and files that are odd, damaged or not writable.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::exporter::{Exporter, PROGRAM, config, listening, unix_now, write};
use crate::mock::{Mock, Reply};
use crate::page::Page;
use crate::polled_vps::successes;
use crate::prometheus::python;

const WRITTEN: &str = "kiwivm_exporter_state_last_write_successful";
const WRITTEN_AT: &str = "kiwivm_exporter_state_last_write_success_timestamp_seconds";
const USAGE: &str = "getRawUsageStats";
/// Short intervals, because each usage response is followed by a write. The clock is 300 times as fast.
const OFTEN: &str = "intervals: {live: 10m, usage: 30s, points: 10m, inventory: 1h}\n";

fn yaml(mock: &Mock, state_file: &str) -> String {
    format!(
        "api: {{endpoint: \"{}\"}}\n{OFTEN}state_file: {state_file}\nvps:\n- {{name: one, veid: 1, api_key: private_x}}\n",
        mock.endpoint
    )
}

fn is_written(page: &Page) -> bool {
    page.one(WRITTEN, &[]) == Some(1.0)
}

/// Expects a refusal to start. Returns the error. A start that hangs ends with another exit code.
fn refused(flag: &str) -> String {
    let output = Command::new("timeout")
        .args(["60", PROGRAM, "--web.listen-address=127.0.0.1:0", flag])
        .arg("--log.level=error")
        .output()
        .expect("timeout is installed");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

#[tokio::test]
async fn a_second_process_is_refused_even_without_the_lock_file() {
    let mock = Mock::start([1]).await;
    let (folder, flag) = config(&yaml(&mock, "state.json"));
    let path = |name: &str| folder.path().join(name);
    let other = |state_file: &str| {
        let file = write(folder.path(), "other.yaml", &yaml(&mock, state_file));
        refused(&format!("--config.file={file}"))
    };
    symlink("state.json", path("link.json")).expect("links work");
    symlink(path("link.json"), path("link of link.json")).expect("links work");
    let exporter = Exporter::start(&[&flag]);
    exporter.wait_for("it is written", is_written).await;
    let in_use = "is in use by another process; stop it";
    let lock = path("state.json.lock");
    for state_file in ["state.json", "link.json", "link of link.json"] {
        let error = other(state_file);
        assert!(error.contains(&format!("{state_file} {in_use}")), "{error}");
    }
    fs::remove_file(&lock).expect("it is there");
    assert!(refused(&flag).contains(in_use), "the lock file was deleted");
    fs::remove_file(&lock).expect("the attempt made one");
    fs::write(&lock, "").expect("it can be written");
    assert!(
        refused(&flag).contains(in_use),
        "a new lock file does not help"
    );
    let page = exporter.scrape().await;
    assert!(is_written(&page), "the first process is not affected");
    drop(exporter);
    let exporter = Exporter::start(&[&flag]);
    exporter.wait_for("it is written", is_written).await;
    assert!(exporter.log().contains("resuming from the state file"));
}

/// Without the state and lock files, a second process starts. The first one notices at its next write.
#[tokio::test]
async fn a_process_stops_writing_once_another_uses_the_file() {
    let mock = Mock::start([1]).await;
    let (folder, flag) = config(&yaml(&mock, "state.json"));
    let state = folder.path().join("state.json");
    let mut first = Exporter::start(&[&flag]);
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    // Wait for the usage data, after which nothing is written for a while.
    while !fs::read_to_string(&state).is_ok_and(|text| text.contains("\"usage\":{")) {
        tick.tick().await;
    }
    fs::remove_file(&state).expect("it is there");
    fs::remove_file(folder.path().join("state.json.lock")).expect("it is there");
    let second = Exporter::start(&[&flag]);
    second.wait_for("it is written", is_written).await;
    first.signal("TERM");
    assert_eq!(first.ended().0, Some(0));
    let log = first.log();
    assert!(log.contains("now in use by another process"), "{log}");
    assert!(refused(&flag).contains("is in use by another process"));
}

#[tokio::test]
async fn a_symlinked_state_file_stays_a_symlink() {
    let mock = Mock::start([1]).await;
    let (folder, flag) = config(&yaml(&mock, "state.json"));
    let (link, file) = (
        folder.path().join("state.json"),
        folder.path().join("data/file.json"),
    );
    fs::create_dir(folder.path().join("data")).expect("disk is writable");
    // The target of the link does not exist yet.
    symlink("data/file.json", &link).expect("links work");
    for _ in 0..2 {
        let exporter = Exporter::start(&[&flag]);
        exporter.wait_for("it is written", is_written).await;
        exporter
            .wait_for("the VPS is up", |page| {
                page.of("one", "kiwivm_up") == Some(1.0)
            })
            .await;
        let is_link = fs::symlink_metadata(&link).is_ok_and(|metadata| metadata.is_symlink());
        assert!(is_link && file.is_file());
        let beside = fs::read_dir(folder.path().join("data")).expect("it is there");
        assert_eq!(beside.count(), 2, "the folder has the state and its lock");
    }
}

#[tokio::test]
async fn only_regular_state_files_are_accepted() {
    let mock = Mock::start([1]).await;
    let (folder, flag) = config(&yaml(&mock, "state.json"));
    let path = |name: &str| folder.path().join(name);
    let fifo = |name: &str| {
        let made = Command::new("mkfifo").arg(path(name)).status();
        assert!(made.expect("mkfifo is installed").success());
    };
    let state = path("state.json");
    fifo("state.json");
    assert!(refused(&flag).contains("state_file: is not a regular file"));
    fs::remove_file(&state).expect("it is there");
    let _socket = UnixListener::bind(&state).expect("it can be made");
    assert!(refused(&flag).contains("state_file: is not a regular file"));
    fs::remove_file(&state).expect("it is there");
    fs::create_dir(&state).expect("it can be made");
    assert!(refused(&flag).contains("state_file: is a directory"));
    fs::remove_dir(&state).expect("it is there");
    symlink("/dev/zero", &state).expect("links work");
    assert!(refused(&flag).contains("state_file: is not a regular file"));
    fs::remove_file(&state).expect("it is there");
    symlink("state.json", &state).expect("links work");
    assert!(refused(&flag).contains("state.json cannot be used: too many symbolic links"));
    fs::remove_file(&state).expect("it is there");
    fifo("state.json.lock");
    let error = refused(&flag);
    assert!(
        error.contains("state.json.lock cannot be written: it is not a regular file"),
        "{error}"
    );
    fs::remove_file(path("state.json.lock")).expect("it is there");
    // A leftover of another type at the temporary path blocks neither the start nor a write.
    fifo("state.json.new");
    let exporter = Exporter::start(&[&flag]);
    exporter.wait_for("it is written", is_written).await;
}

#[tokio::test]
async fn a_missing_folder_is_logged_once_and_its_return_too() {
    let mock = Mock::start([1]).await;
    mock.plenty_of_points(1);
    let (folder, flag) = config(&yaml(&mock, "data/state.json"));
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("disk is writable");
    let exporter = Exporter::start(&[&flag, "--simulator.time-scale=300"]);
    let page = exporter.wait_for("it is written", is_written).await;
    let at = page.one(WRITTEN_AT, &[]).expect("it was written");
    fs::rename(&data, folder.path().join("elsewhere")).expect("it can be moved");
    write(folder.path(), "data", "no folder");
    let page = exporter
        .wait_for("it cannot be written", |page| !is_written(page))
        .await;
    let last = page.one(WRITTEN_AT, &[]).expect("it was written");
    assert!(last >= at, "the time of the last success stays");
    // Each response triggers another attempt to write.
    let seen = successes(&page, USAGE);
    let page = exporter
        .wait_for("polling continues", |page| {
            successes(page, USAGE) >= seen + 5.0
        })
        .await;
    assert_eq!(page.one(WRITTEN_AT, &[]), Some(last));
    fs::remove_file(&data).expect("it is there");
    fs::create_dir(&data).expect("disk is writable");
    let page = exporter.wait_for("it is written again", is_written).await;
    assert!(page.one(WRITTEN_AT, &[]) > Some(last));
    let log = exporter.log();
    let count = |words: &str| log.matches(words).count();
    assert_eq!(count("the state file cannot be written"), 1, "{log}");
    assert_eq!(count("the state file can be written again"), 1, "{log}");
    assert!(data.join("state.json.lock").exists(), "it is locked again");
}

/// A file size limit simulates a full disk: files can be created but not written.
#[tokio::test]
async fn a_full_disk_does_not_stop_polling_and_writes_resume_later() {
    let mock = Mock::start([1]).await;
    mock.plenty_of_points(1);
    let (folder, flag) = config(&yaml(&mock, "state.json"));
    let mut command = Command::new("bash");
    command
        .args(["-c", "trap '' XFSZ; ulimit -S -f 0; exec \"$@\"", "-"])
        .args([PROGRAM, "--web.listen-address=127.0.0.1:0"])
        .args(["--log.format=json", "--simulator.time-scale=300", &flag]);
    let exporter = Exporter::wait_for_line(command, listening);
    let page = exporter
        .wait_for("the VPS is up", |page| {
            page.of("one", "kiwivm_up") == Some(1.0) && page.one(WRITTEN, &[]).is_some()
        })
        .await;
    assert_eq!(page.one(WRITTEN, &[]), Some(0.0));
    assert_eq!(page.one(WRITTEN_AT, &[]), None);
    let new = folder.path().join("state.json.new");
    assert!(!new.exists(), "the partial file is removed");
    exporter.without_limit("fsize");
    exporter.wait_for("it is written", is_written).await;
    let log = exporter.log();
    assert_eq!(log.matches("the state file cannot be written").count(), 1);
}

/// Takes out a lease on a file: the kernel makes others wait to open it, as a network share does that hangs. Prints
/// `blocked` when one does. Ends with its standard input.
const LEASE: &str = r#"
import fcntl, signal, sys
file = open(sys.argv[1], "w")
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGIO})
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
signal.sigwait({signal.SIGIO})
print("blocked", flush=True)
sys.stdin.read()
"#;

/// Waits until a write hangs, as long as the returned process runs. The exporter opens the lock file if it is another
/// one than before.
async fn hang_next_write(folder: &Path) -> Child {
    let (other, lock) = (folder.join("other.lock"), folder.join("state.json.lock"));
    let hangs = move || {
        let mut holder = Command::new(python())
            .args(["-c", LEASE])
            .arg(&other)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python is installed");
        let lines = BufReader::new(holder.stdout.take().expect("it is piped")).lines();
        let mut lines = lines.map(|line| line.expect("it is text"));
        assert_eq!(lines.next().as_deref(), Some("held"));
        fs::rename(other, lock).expect("it can be moved");
        assert_eq!(lines.next().as_deref(), Some("blocked"));
        holder
    };
    let hanging = tokio::task::spawn_blocking(hangs).await;
    hanging.expect("it does not panic")
}

#[tokio::test]
async fn polling_continues_while_a_write_hangs() {
    let mock = Mock::start([1]).await;
    mock.plenty_of_points(1);
    let (folder, flag) = config(&yaml(&mock, "state.json"));
    let mut exporter = Exporter::start(&[&flag, "--simulator.time-scale=300"]);
    exporter.wait_for("it is written", is_written).await;
    let mut holder = hang_next_write(folder.path()).await;
    let seen = successes(&exporter.scrape().await, USAGE);
    let before = exporter
        .wait_for("polling continues", |page| {
            successes(page, USAGE) > seen + 5.0
        })
        .await;
    assert!(
        is_written(&before),
        "it is not known yet that the write hangs"
    );
    let page = exporter
        .wait_for("the write counts as failed", |page| !is_written(page))
        .await;
    let (at, seen) = (page.one(WRITTEN_AT, &[]), successes(&page, USAGE));
    assert_eq!(at, before.one(WRITTEN_AT, &[]));
    exporter
        .wait_for("polling continues", |page| {
            successes(page, USAGE) > seen + 5.0
        })
        .await;
    holder.kill().and_then(|()| holder.wait()).expect("it ends");
    let page = exporter.wait_for("it is written again", is_written).await;
    assert!(page.one(WRITTEN_AT, &[]) > at);
    let log = exporter.log();
    let count = |words: &str| log.matches(words).count();
    assert_eq!(count("the state file cannot be written"), 1, "{log}");
    assert_eq!(count("writing takes more than 10s"), 1, "{log}");
    assert_eq!(count("the state file can be written again"), 1, "{log}");
    let mut holder = hang_next_write(folder.path()).await;
    exporter.signal("TERM");
    assert_eq!(exporter.ended().0, Some(0));
    holder.kill().and_then(|()| holder.wait()).expect("it ends");
}

#[tokio::test]
async fn without_a_state_file_there_are_no_state_metrics() {
    let mock = Mock::start([1]).await;
    let (_folder, flag) = config(&yaml(&mock, "null"));
    let exporter = Exporter::start(&[&flag]);
    let page = exporter
        .wait_for("the VPS is up", |page| {
            page.of("one", "kiwivm_up") == Some(1.0)
        })
        .await;
    assert_eq!(
        (page.one(WRITTEN, &[]), page.one(WRITTEN_AT, &[])),
        (None, None)
    );
}

fn set_aside(folder: &Path) -> Option<std::path::PathBuf> {
    let entries = fs::read_dir(folder).expect("it is there");
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.find(|path| path.to_string_lossy().contains("state.json.set-aside-"))
}

#[tokio::test]
async fn an_unusable_state_file_is_set_aside() {
    let mock = Mock::start([1]).await;
    let header = "{\"format\": \"kiwivm_exporter state\", \"version\":";
    let whole = include_str!("state_version_2.json");
    for (text, problem) in [
        ("", "damaged or belongs to another program"),
        ("not json", "damaged or belongs to another program"),
        ("\0\0\0\0", "damaged or belongs to another program"),
        (
            "{\"format\": \"something else\", \"version\": 1}",
            "belongs to another program",
        ),
        (&format!("{header} 999}}"), "has version 999"),
        (&format!("{header} 2, \"written\": 5}}"), "is damaged"),
        (
            &whole[..whole.len() / 2],
            "damaged or belongs to another program",
        ),
    ] {
        let (folder, flag) = config(&yaml(&mock, "state.json"));
        write(folder.path(), "state.json", text);
        let exporter = Exporter::start(&[&flag]);
        let runs = |page: &Page| page.of("one", "kiwivm_up") == Some(1.0) && is_written(page);
        exporter
            .wait_for("the exporter runs without it", runs)
            .await;
        assert!(exporter.log().contains(problem), "{}", exporter.log());
        let kept = set_aside(folder.path()).expect("it was moved");
        assert_eq!(fs::read_to_string(kept).expect("it can be read"), text);
    }
    let (folder, flag) = config(&yaml(&mock, "state.json"));
    let path = write(folder.path(), "state.json", "");
    let file = fs::File::options().write(true).open(path);
    // A sparse file takes no disk space.
    let grown = file.and_then(|file| file.set_len(1 << 33));
    grown.expect("it can grow");
    let exporter = Exporter::start(&[&flag]);
    exporter
        .wait_for("the exporter runs without it", is_written)
        .await;
    assert!(exporter.log().contains("is larger than 256 MiB"));
    assert!(set_aside(folder.path()).is_some());
}

/// After the clock was set back, the age of the saved values is unknown.
#[tokio::test]
async fn values_from_the_future_are_dropped_but_counters_stay() {
    let mock = Mock::start([]).await;
    mock.reply_to_everything(1, Reply::Hang);
    for (seconds, up, used) in [
        (30, 1.0, Some(388_265_294_756.0)),
        (3600, 0.0, None),
        (400_000_000, 0.0, None),
    ] {
        let (folder, flag) = config(&yaml(&mock, "state.json"));
        let written = format!("{}.5", unix_now() + seconds);
        let state = include_str!("state_version_2.json").replace("1795946661.939564", &written);
        write(folder.path(), "state.json", &state);
        let exporter = Exporter::start(&[&flag]);
        let page = exporter.scrape().await;
        assert_eq!(page.of("one", "kiwivm_up"), Some(up), "{seconds}");
        assert_eq!(
            page.of("one", "kiwivm_bandwidth_used_bytes"),
            used,
            "{seconds}"
        );
        let received = page.of("one", "kiwivm_network_receive_bytes_total");
        assert_eq!(received, Some(128_497_030.0), "{seconds}");
        let log = exporter.log();
        assert_eq!(
            log.contains("written in the future"),
            used.is_none(),
            "{log}"
        );
    }
}

/// State of version 2, from before the feedback planner. One of its VPSes has no usage row yet.
#[tokio::test]
async fn state_of_version_2_is_restored() {
    let mock = Mock::start([]).await;
    for veid in [1, 2] {
        mock.reply_to_everything(veid, Reply::Hang);
    }
    let vps = yaml(&mock, "state.json") + "- {name: two, veid: 2, api_key: private_x}\n";
    let (folder, flag) = config(&vps);
    let now = unix_now();
    let old = include_str!("state_version_2.json")
        .replace("1795946661.939564", &format!("{}.5", now - 60));
    write(folder.path(), "state.json", &old);
    let exporter = Exporter::start(&[&flag]);
    let page = exporter.scrape().await;
    for (vps, metric, value) in [
        (
            "one",
            "kiwivm_network_receive_bytes_total",
            Some(128_497_030.0),
        ),
        ("one", "kiwivm_up", Some(1.0)),
        (
            "one",
            "kiwivm_bandwidth_used_bytes",
            Some(388_265_294_756.0),
        ),
        ("two", "kiwivm_up", Some(1.0)),
        ("two", "kiwivm_network_receive_bytes_total", None),
        ("two", "kiwivm_backups", Some(3.0)),
    ] {
        assert_eq!(page.of(vps, metric), value, "{vps} {metric}");
    }
    let log = exporter.log();
    assert!(
        log.contains("is from an earlier version") && log.contains("resuming from the state file"),
        "{log}"
    );
    assert_eq!(set_aside(folder.path()), None);
    exporter.wait_for("it is written", is_written).await;
    let new = fs::read_to_string(folder.path().join("state.json")).expect("it is there");
    assert!(new.contains("\"version\":3") && new.contains("128497030"));
}
