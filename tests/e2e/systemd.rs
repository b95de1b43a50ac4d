//! Sockets that somebody else has bound, as systemd passes them.

use std::process::{Command, Output, Stdio};

use crate::exporter::{Exporter, PROGRAM};
use crate::prometheus::python;

/// Makes sockets, puts them where systemd does, and becomes the program. Each argument up to `--` is a kind of socket.
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
async fn every_socket_is_served_and_an_address_is_not() {
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
fn what_is_no_tcp_listener_is_refused() {
    let none = fails(&[]);
    assert!(
        none.contains("systemd passed no socket: start the service by its .socket unit"),
        "{none}"
    );
    for (sockets, expected) in [
        (&["udp"][..], "socket 1 of systemd is no TCP socket"),
        (&["unix"], "socket 1 of systemd is no TCP socket"),
        (&["tcp", "connected"], "socket 2 of systemd does not listen"),
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
