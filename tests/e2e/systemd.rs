//! The systemd interface: socket activation and notifications.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output, Stdio};

use crate::exporter::{Exporter, PROGRAM, TIMEOUT};
use crate::prometheus::python;

/// Creates sockets, passes them like systemd, and execs the program. Each argument up to `--` is a kind of socket.
const PARENT: &str = "\
import os, socket, sys
kinds = sys.argv[1:sys.argv.index('--')]
sockets = []
for kind in kinds:
    made = socket.socket(socket.AF_UNIX if kind == 'unix' else socket.AF_INET, socket.SOCK_DGRAM if kind == 'udp' else socket.SOCK_STREAM)
    if kind != 'unix':
        made.bind(('127.0.0.1', 0))
    if kind == 'tcp':
        made.listen()
    sockets.append(os.dup2(made.fileno(), 100 + len(sockets)))
for number, made in enumerate(sockets):
    os.dup2(made, 3 + number)
os.environ.update(LISTEN_FDS=str(len(sockets)), LISTEN_PID=str(os.getpid()))
program = sys.argv[sys.argv.index('--') + 1:]
os.execv(program[0], program)
";

fn command(sockets: &[&str], arguments: &[&str]) -> Command {
    let mut command = Command::new(python());
    command
        .args(["-c", PARENT])
        .args(sockets)
        .args(["--", PROGRAM, "--demo", "--web.systemd-socket"])
        .args(arguments);
    command
}

fn fails(sockets: &[&str]) -> String {
    let Output { status, stderr, .. } = command(sockets, &["--log.level=error"])
        .output()
        .expect("python is needed for this test");
    assert_eq!(status.code(), Some(1), "{sockets:?}");
    String::from_utf8_lossy(&stderr).into_owned()
}

#[tokio::test]
async fn passed_sockets_are_served_instead_of_the_listen_address() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let taken = taken.local_addr().expect("it is bound");
    let mut command = command(
        &["tcp", "tcp"],
        &[
            &format!("--web.listen-address={taken}"),
            "--log.format=json",
        ],
    );
    command.stdout(Stdio::null());
    let url = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        let address = line["address"].as_str()?;
        Some(format!("http://{address}"))
    };
    let exporter = Exporter::wait_for_line(command, url);
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(20));
    while exporter.log().matches("\"listening\"").count() < 2 {
        tick.tick().await;
    }
    let urls: Vec<String> = exporter.log().lines().filter_map(url).collect();
    assert_eq!(urls.len(), 2);
    for url in urls {
        let healthy = crate::exporter::get(&format!("{url}/-/healthy")).await;
        assert_eq!(healthy, "kiwivm_exporter is healthy.\n");
    }
}

#[test]
fn sockets_that_are_no_tcp_listener_are_refused() {
    let none = fails(&[]);
    assert!(
        none.contains("systemd passed no socket; start the service by its .socket unit"),
        "{none}"
    );
    for (sockets, expected) in [
        (&["udp"][..], "systemd socket 1 is not a TCP socket"),
        (&["unix"], "systemd socket 1 is not a TCP socket"),
        (&["tcp", "connected"], "systemd socket 2 is not listening"),
    ] {
        let error = fails(sockets);
        assert!(
            error.contains(expected) && error.contains("Accept=no"),
            "{error}"
        );
    }
    let output = Command::new(PROGRAM)
        .args(["--demo", "--web.systemd-socket", "--log.level=error"])
        .env_remove("LISTEN_FDS")
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(1));
}

/// Stands in for systemd and receives its notifications.
struct Manager {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::TempDir::new().expect("there is a temporary directory");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("it is free");
        socket.set_read_timeout(Some(TIMEOUT)).expect("it is one");
        Self { socket, folder }
    }

    /// Starts the demo with this manager as its notification socket.
    fn start(&self, watchdog_usec: Option<&str>) -> Exporter {
        let mut command = Command::new(PROGRAM);
        command
            .args([
                "--demo",
                "--web.listen-address=127.0.0.1:0",
                "--log.format=json",
            ])
            .env("NOTIFY_SOCKET", self.folder.path().join("notify"))
            .stdout(Stdio::null());
        if let Some(usec) = watchdog_usec {
            command.env("WATCHDOG_USEC", usec);
        }
        Exporter::wait_for_line(command, |line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            let listens = line["message"] == "listening";
            listens.then(|| format!("http://{}", line["address"].as_str().unwrap_or_default()))
        })
    }

    fn next(&self) -> String {
        let mut buffer = [0; 1024];
        let length = self
            .socket
            .recv(&mut buffer)
            .expect("a notification arrives");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }
}

#[test]
fn the_service_manager_is_notified_of_state_changes() {
    let manager = Manager::new();
    let mut exporter = manager.start(None);
    let ready = manager.next();
    assert!(ready.starts_with("READY=1\nSTATUS="), "{ready}");
    assert!(ready.contains(" of 8 VPSes have responded\n"), "{ready}");

    exporter.signal("HUP");
    let reloading = manager.next();
    assert!(
        reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
        "{reloading}"
    );
    assert!(manager.next().starts_with("READY=1\n"));

    exporter.signal("TERM");
    assert_eq!(manager.next(), "STOPPING=1\n");
    assert_eq!(exporter.ended().0, Some(0));
}

#[test]
fn the_watchdog_is_notified_while_the_poller_runs() {
    let manager = Manager::new();
    let _exporter = manager.start(Some("400000"));
    assert!(manager.next().starts_with("READY=1\n"));
    for _ in 0..3 {
        let notification = manager.next();
        assert!(
            notification.starts_with("WATCHDOG=1\nSTATUS="),
            "{notification}"
        );
    }
}

#[test]
fn a_missing_service_manager_does_not_stop_the_exporter() {
    let manager = Manager::new();
    std::fs::remove_file(manager.folder.path().join("notify")).expect("it is there");
    let mut exporter = manager.start(None);
    exporter.signal("TERM");
    assert_eq!(exporter.ended().0, Some(0));
    let message = "cannot notify the service manager";
    assert!(exporter.log().contains(message), "{}", exporter.log());
}
