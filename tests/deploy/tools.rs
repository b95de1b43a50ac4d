//! Running what judges, and the program that is judged.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The program, not optimised.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_kiwivm_exporter");
/// Longer than anything that is waited for takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A path in the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A command that `tests/run` installs below `target/tools`, or one that is in PATH.
pub fn tool(name: &str) -> Command {
    let installed = repository("target/tools/bin").join(name);
    if installed.exists() {
        Command::new(installed)
    } else {
        Command::new(name)
    }
}

/// What it prints on standard output.
///
/// # Panics
///
/// When it cannot be run or does not succeed, with all that it printed.
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

/// The program while it runs, with a log in JSON. It is killed at the end.
pub struct Started {
    pub child: Child,
    lines: Receiver<String>,
    log: String,
    /// The line that was waited for last.
    line: Value,
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Started {
    /// Starts it and waits until it logs a message that begins so.
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
                // Nobody listens any more when the test is over.
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

    /// Waits until it logs a message that begins so.
    pub fn wait_for(&mut self, message: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("it never said {message}:\n{}", self.log);
            };
            self.log += &line;
            self.log.push('\n');
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            if line["message"]
                .as_str()
                .is_some_and(|said| said.starts_with(message))
            {
                self.line = line;
                return;
            }
        }
    }

    /// A field of the line that was waited for.
    pub fn field(&self, name: &str) -> String {
        self.line[name].as_str().expect("it has it").to_owned()
    }
}

/// Waits for something that nobody tells.
pub fn wait_until(what: &str, is: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
