//! A program under measurement, and its resource usage as reported by the kernel.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::account::Account;
use crate::limit::Form;
use crate::scraper::Scraper;

/// A program that can be measured.
pub struct Program {
    pub name: &'static str,
    pub path: PathBuf,
}

/// A running program, killed on drop.
pub struct Running {
    child: Child,
    pub address: SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Resources that a process has used so far.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// CPU time in seconds.
    pub cpu: f64,
    /// Number of wakeups.
    pub wakes: u64,
}

impl Program {
    /// Returns the release build, the static builds if they exist, and `node_exporter` if it is installed.
    pub fn all() -> Vec<Self> {
        let default = PathBuf::from(env!("CARGO_BIN_EXE_kiwivm_exporter"));
        let target = default
            .parent()
            .and_then(|release| release.parent())
            .expect("a target directory");
        let built = |name, path: &str| Self {
            name,
            path: target.join(path),
        };
        let programs = [
            Self {
                name: "default build",
                path: default.clone(),
            },
            built(
                "static, glibc",
                "x86_64-unknown-linux-gnu/release/kiwivm_exporter",
            ),
            built(
                "static, musl",
                "x86_64-unknown-linux-musl/release/kiwivm_exporter",
            ),
            Self {
                name: "node_exporter",
                path: "/usr/bin/prometheus-node-exporter".into(),
            },
        ];
        programs
            .into_iter()
            .filter(|program| {
                let exists = program.path.exists();
                if !exists {
                    println!(
                        "{}: skipped, {} is missing",
                        program.name,
                        program.path.display()
                    );
                }
                exists
            })
            .collect()
    }

    pub fn is_ours(&self) -> bool {
        self.name != "node_exporter"
    }

    /// Starts the program, ours with an account, and waits until it listens.
    pub fn start(&self, account: &Account) -> Running {
        let address = free_address();
        let child = self.spawn(account, address);
        let running = Running { child, address };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "{} does not listen", self.name);
            std::thread::yield_now();
        }
        running
    }

    fn spawn(&self, account: &Account, address: SocketAddr) -> Child {
        let mut command = Command::new(&self.path);
        command
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if self.is_ours() {
            command
                .arg(format!("--config.file={}", account.config().display()))
                .arg(format!("--simulator.time-scale={}", account.time_scale))
                .env("SSL_CERT_FILE", account.ca());
        }
        command.spawn().expect("the program starts")
    }

    /// Measures the time from the start of the program to the end of its first response.
    pub fn first_scrape(&self, account: &Account) -> Duration {
        let address = free_address();
        let started = Instant::now();
        let child = self.spawn(account, address);
        let running = Running { child, address };
        while TcpStream::connect(address).is_err() {
            std::thread::yield_now();
        }
        Scraper::connect(address, Form::Gzip).scrape();
        let elapsed = started.elapsed();
        drop(running);
        elapsed
    }

    /// Returns the size of the file in bytes.
    pub fn size(&self) -> u64 {
        fs::metadata(&self.path).expect("an existing file").len()
    }
}

impl Running {
    /// Returns the resident memory in KiB.
    pub fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    pub fn usage(&self) -> Usage {
        let path = format!("/proc/{}/schedstat", self.child.id());
        let schedstat = fs::read_to_string(path).expect("a running process");
        let nanoseconds: f64 = schedstat
            .split(' ')
            .next()
            .and_then(|nanoseconds| nanoseconds.parse().ok())
            .expect("a number");
        Usage {
            cpu: nanoseconds / 1e9,
            wakes: self.status("voluntary_ctxt_switches:"),
        }
    }

    /// Returns the number of API calls that succeeded or failed.
    pub fn polls(&self) -> f64 {
        let body = Scraper::connect(self.address, Form::Plain).body();
        let polls = BufReader::new(body.as_slice())
            .lines()
            .map_while(Result::ok)
            .filter(|line| line.starts_with("kiwivm_polls_total{"))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        polls.sum()
    }

    fn status(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("a running process");
        status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .and_then(|value| value.split_whitespace().next()?.parse().ok())
            .expect("a value from the kernel")
    }
}

/// Returns an unused address, for programs that do not print theirs.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound socket")
}
