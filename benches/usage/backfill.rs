//! The resident memory of `backfill`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use super::{RUNS, median};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kiwivm_exporter");
/// Limit of the growth from the short to the long history.
const RESIDENT_GROWTH_LIMIT: u64 = 4 << 20;

/// A simulated account with one VPS. Killed on drop.
struct Simulator(Child);

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn simulator(days: i64, config: &std::path::Path) -> Simulator {
    let history = format!("--history={days}");
    let mut child = Command::new(PROGRAM)
        .args(["simulate", "--listen=127.0.0.1:0", "--vps=1", &history])
        .args(["--points.sizes=100000,100000", "--log.level=error"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut yaml = String::new();
    for line in lines {
        yaml += &(line.expect("UTF-8") + "\n");
        if yaml.contains("veid:") {
            break;
        }
    }
    std::fs::write(config, yaml).expect("writable");
    Simulator(child)
}

/// Runs `backfill`. Returns its peak resident memory and the bytes written.
fn resident(config: &std::path::Path) -> (u64, u64) {
    let mut child = Command::new(PROGRAM)
        .arg(format!("--config.file={}", config.display()))
        .args(["backfill", "--log.level=error"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let status = format!("/proc/{}/status", child.id());
    let mut stdout = child.stdout.take().expect("piped");
    let (mut chunk, mut written, mut most) = (vec![0; 64 << 10], 0, 0);
    loop {
        // The full pipe blocks the writer until the last chunk is read, so the final high-water mark is seen.
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let mark = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = mark.and_then(|mark| mark.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        most = kib.map_or(most, |kib| kib << 10);
        match stdout.read(&mut chunk).expect("readable") {
            0 => break,
            bytes => written += bytes as u64,
        }
    }
    assert!(child.wait().expect("a child process").success());
    (most, written)
}

/// Prints the resident memory of `backfill` for a short and a long history, and fails if it grows with the length.
pub fn backfill() {
    println!(
        "\n{:<10}{:>16}{:>24}",
        "backfill", "MiB written", "peak resident MiB"
    );
    let folder = tempfile::TempDir::new().expect("writable");
    let config = folder.path().join("config.yaml");
    let found = [30, 730].map(|days| {
        let _simulator = simulator(days, &config);
        let runs = (0..RUNS).map(|_| resident(&config));
        let (most, written) = median(runs.collect());
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        println!(
            "{:<10}{:>16.1}{:>24.1}",
            format!("{days} days"),
            mib(written),
            mib(most)
        );
        most
    });
    let growth = found[1].saturating_sub(found[0]);
    assert!(
        growth <= RESIDENT_GROWTH_LIMIT,
        "resident memory grew by {growth} bytes"
    );
}
