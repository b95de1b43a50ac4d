//! Starts the real program and talks to it.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::page::Page;

/// Deadline for anything a test waits for. Long enough for a slow machine.
pub const TIMEOUT: Duration = Duration::from_secs(90);

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_kiwivm_exporter");

/// A running exporter, or another of its commands, killed on drop.
pub struct Exporter {
    child: Child,
    /// `http://127.0.0.1:PORT`, for those that serve.
    pub url: String,
    log: Arc<Mutex<String>>,
    /// One item for each line of the log, until its end.
    lines: Receiver<()>,
}

impl Exporter {
    /// Starts the program on port 0 and waits until it listens.
    pub fn start(arguments: &[&str]) -> Self {
        // A long test may use a release build.
        let program = std::env::var_os("KIWIVM_TEST_PROGRAM");
        let mut command = Command::new(program.unwrap_or_else(|| PROGRAM.into()));
        command
            .stdout(Stdio::null())
            .args(["--web.listen-address=127.0.0.1:0", "--log.format=json"])
            .args(arguments);
        Self::wait_for_line(command, listening)
    }

    /// Starts a program and waits for the line on standard error from which `found` extracts its URL.
    pub fn wait_for_line(mut command: Command, found: impl Fn(&str) -> Option<String>) -> Self {
        let mut child = command
            .env_remove("KIWIVM_VEID")
            .env_remove("KIWIVM_API_KEY")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let log = Arc::new(Mutex::new(String::new()));
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let written = log.clone();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = writeln!(written.lock().unwrap(), "{line}");
                let _ = sender.send(());
            }
        });
        let deadline = Instant::now() + TIMEOUT;
        let url = loop {
            if let Some(url) = log.lock().unwrap().lines().find_map(&found) {
                break url;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if lines.recv_timeout(left).is_err() {
                let _ = child.kill();
                panic!("{command:?} did not come up:\n{}", log.lock().unwrap());
            }
        };
        Self {
            child,
            url,
            log,
            lines,
        }
    }

    /// The process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The body at a path.
    pub async fn get(&self, path: &str) -> String {
        get(&format!("{}{path}", self.url)).await
    }

    pub async fn scrape(&self) -> Page {
        Page::parse(&self.get("/metrics").await)
    }

    /// Scrapes until the page satisfies `is`.
    pub async fn wait_for(&self, what: &str, is: impl Fn(&Page) -> bool) -> Page {
        let deadline = Instant::now() + TIMEOUT;
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        loop {
            tick.tick().await;
            let page = self.scrape().await;
            if is(&page) {
                return page;
            }
            assert!(
                Instant::now() < deadline,
                "{what} did not happen:\n{page:#?}\n{}",
                self.log()
            );
        }
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let killed = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
        assert!(killed.expect("kill is installed").success());
    }

    /// Lifts a resource limit, by its prlimit name.
    pub fn without_limit(&self, resource: &str) {
        let lifted = Command::new("prlimit")
            .args(["--pid", &self.child.id().to_string()])
            .arg(format!("--{resource}=unlimited"))
            .status();
        assert!(lifted.expect("prlimit is installed").success());
    }

    /// Waits for the exit. Returns the exit code and the time it took.
    pub fn ended(&mut self) -> (Option<i32>, Duration) {
        let started = Instant::now();
        let status = self.child.wait().expect("it is ours");
        let took = started.elapsed();
        // The last lines of the log may not have been read yet.
        while self.lines.recv_timeout(TIMEOUT).is_ok() {}
        (status.code(), took)
    }
}

/// Extracts the URL from the JSON log line `listening`.
pub fn listening(line: &str) -> Option<String> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let listens = line["message"] == "listening";
    listens.then(|| format!("http://{}", line["address"].as_str().unwrap_or_default()))
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub async fn get(url: &str) -> String {
    http()
        .get(url)
        .send()
        .await
        .unwrap_or_else(|error| panic!("{url}: {error}"))
        .text()
        .await
        .expect("it is text")
}

/// The time in whole seconds since 1970.
pub fn unix_now() -> u64 {
    std::time::UNIX_EPOCH
        .elapsed()
        .expect("the clock is later than 1970")
        .as_secs()
}

/// A client for the tests themselves.
pub fn http() -> reqwest::Client {
    http_from(None)
}

/// The same with another loopback address, which the server takes for another machine.
pub fn http_from(address: Option<[u8; 4]>) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .no_gzip()
        .local_address(address.map(IpAddr::from))
        .build()
        .expect("there is no TLS in it")
}

/// Runs a command of the program to completion.
pub fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(arguments)
        .output()
        .expect("it starts")
}

/// The same without blocking the runtime, for tests that respond to the program while it runs.
pub async fn run_without_blocking(arguments: &[&str]) -> Output {
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let run = move || run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let output = tokio::task::spawn_blocking(run).await;
    output.expect("it does not panic")
}

/// A folder with a configuration that only its owner can read, and the flag for it.
pub fn config(yaml: &str) -> (TempDir, String) {
    let folder = TempDir::new().expect("disk is writable");
    let flag = format!(
        "--config.file={}",
        write(folder.path(), "config.yaml", yaml)
    );
    (folder, flag)
}

/// Writes a file that only its owner can read.
pub fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("it can be written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
    path.display().to_string()
}
