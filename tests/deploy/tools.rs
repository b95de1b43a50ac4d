//! Helpers to run tools and the program.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The program, built without optimisation.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_kiwivm_exporter");
/// Deadline for anything a test waits for. Long enough for a slow machine.
const TIMEOUT: Duration = Duration::from_secs(90);

/// A path in the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A tool from `target/tools`, where `tests/run` installs some, or else from PATH.
pub fn tool(name: &str) -> Command {
    let installed = repository("target/tools/bin").join(name);
    if installed.exists() {
        Command::new(installed)
    } else {
        Command::new(name)
    }
}

/// Runs a command and returns its standard output.
///
/// # Panics
///
/// Panics with all output if the command cannot be run or fails.
pub fn run(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap_or_else(|error| {
        panic!("{command:?} cannot be run, tests/run installs it: {error}")
    });
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {status}\n{stdout}{stderr}");
    stdout
}

/// A running program with a JSON log, killed on drop.
pub struct Started {
    pub child: Child,
    lines: Receiver<String>,
    log: String,
    /// The log line that was waited for last.
    line: Value,
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Started {
    /// Starts a program and waits for a log message with this prefix.
    pub fn when(mut command: Command, message: &str) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // The receiver is gone once the test is over.
                let _ = sender.send(line);
            }
        });
        let mut started = Self {
            child,
            lines,
            log: String::new(),
            line: Value::Null,
        };
        started.wait_for(message);
        started
    }

    /// Waits for a log message with this prefix.
    pub fn wait_for(&mut self, message: &str) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("{message} was not logged:\n{}", self.log);
            };
            self.log += &line;
            self.log.push('\n');
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            if line["message"]
                .as_str()
                .is_some_and(|logged| logged.starts_with(message))
            {
                self.line = line;
                return;
            }
        }
    }

    /// A field of the log line that was waited for last.
    pub fn field(&self, name: &str) -> String {
        self.line[name]
            .as_str()
            .expect("the field is logged")
            .to_owned()
    }
}

/// Polls a condition of a page or of Prometheus, neither of which reports its changes.
pub fn wait_until(what: &str, is: impl Fn() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !is() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
