//! `once` makes each call at most once, ends within seconds, and reports the calls that it left out.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::account::{
    Account, Behaviour, LIVE, READING, RecordedCall, SERVICE, Scope, USAGE, name, reading,
    state_times, summary,
};
use crate::exporter::{PROGRAM, config};
use crate::mock::{Reply, sample};
use crate::page::Page;

/// Deadline for the exit on a slow machine.
const SECONDS: Duration = Duration::from_secs(20);
/// Calls for each VPS. Readings and service info are only polled if needed.
const CALLS: [&str; 6] = [
    LIVE,
    USAGE,
    "snapshot/list",
    "backup/list",
    "getSuspensionDetails",
    "getPolicyViolations",
];

/// A child process, killed on drop.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The running command.
struct Once {
    account: Account,
    process: Process,
    started: Instant,
    folder: TempDir,
}

/// The finished command.
struct Ended {
    account: Account,
    code: Option<i32>,
    page: Page,
    stderr: String,
}

impl Once {
    fn start(account: Account, more: &str) -> Self {
        let (folder, flag) = config(&account.configuration(more));
        let file = |name: &str| File::create(folder.path().join(name)).expect("it can be written");
        let child = Command::new(PROGRAM)
            .args(["once", &flag])
            .env_remove("KIWIVM_VEID")
            .env_remove("KIWIVM_API_KEY")
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .expect("it starts");
        Self {
            account,
            process: Process(child),
            started: Instant::now(),
            folder,
        }
    }

    /// Waits for the exit. Returns `Err` after the deadline.
    async fn end(mut self) -> Result<Ended, String> {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        let code = loop {
            tick.tick().await;
            if let Some(status) = self.process.0.try_wait().expect("it is ours") {
                break status.code();
            }
            if self.started.elapsed() > SECONDS {
                return Err(format!(
                    "{} VPSes: not ended after {SECONDS:?}; {}",
                    self.account.vps,
                    summary(&self.account.made())
                ));
            }
        };
        let read = |name: &str| std::fs::read_to_string(self.folder.path().join(name));
        let (stdout, stderr) = (read("stdout"), read("stderr"));
        Ok(Ended {
            account: self.account,
            code,
            page: Page::parse(&stdout.expect("it is text")),
            stderr: stderr.expect("it is text"),
        })
    }
}

impl Ended {
    fn made(&self, veid: u64, call: &str) -> bool {
        let made = self.account.made();
        made.iter()
            .any(|made| made.veid == veid && made.call == call)
    }

    /// Calls that were not made.
    fn left_out(&self) -> Vec<(u64, &'static str)> {
        let all = (1..=self.account.vps).flat_map(|veid| CALLS.map(|call| (veid, call)));
        all.filter(|(veid, call)| !self.made(*veid, call)).collect()
    }

    /// The line of standard error that names a VPS and one of its calls.
    fn line(&self, veid: u64, call: &str) -> Option<&str> {
        let name = name(veid);
        self.stderr
            .lines()
            .find(|line| line.contains(&name) && line.contains(call))
    }

    /// Checks the properties that hold for any number of points.
    fn check_invariants(&self) -> Result<(), String> {
        let made = self.account.made();
        let what = format!(
            "{} VPSes, exit code {:?}, {}",
            self.account.vps,
            self.code,
            summary(&made)
        );
        let distinct: BTreeSet<_> = made.iter().map(|made| (made.veid, &made.call)).collect();
        if distinct.len() != made.len() {
            return Err(format!("{what}: calls are made more than once"));
        }
        let unreported = self.left_out().into_iter().find(|(veid, call)| {
            let line = self.line(*veid, call);
            // These tests have no other reason to leave out a call.
            !line.is_some_and(|line| line.contains("points"))
        });
        if let Some((veid, call)) = unreported {
            return Err(format!(
                "{what}: {call} of VPS {veid} is left out silently:\n{}",
                self.stderr
            ));
        }
        for veid in 1..=self.account.vps {
            let up = self.page.of(&name(veid), "kiwivm_up");
            if (up == Some(1.0)) != has_state(&made, veid) {
                return Err(format!("{what}: kiwivm_up of VPS {veid} is {up:?}"));
            }
        }
        let complete = (1..=self.account.vps).all(|veid| has_state(&made, veid));
        if self.code != Some(i32::from(!complete)) {
            return Err(format!("{what}: has data of all VPSes: {complete}"));
        }
        Ok(())
    }
}

fn has_state(made: &[RecordedCall], veid: u64) -> bool {
    state_times(made, veid).next().is_some()
}

#[tokio::test]
async fn once_ends_within_seconds_for_any_number_of_vpses() {
    let running: Vec<_> = [1, 5, 10, 16, 45, 100]
        .map(|vps| Once::start(Account::open(vps, Behaviour::default()), ""))
        .into();
    let mut failures = Vec::new();
    for once in running {
        let vps = once.account.vps;
        match once.end().await {
            Err(error) => failures.push(error),
            Ok(ended) => {
                failures.extend(ended.check_invariants().err());
                let left_out = ended.left_out();
                if vps <= 10 && !left_out.is_empty() {
                    failures.push(format!("{vps} VPSes: there are points for {left_out:?}"));
                }
                // 1000 points cover the live data of 45 VPSes even at 5 points a call.
                let known = (1..=vps).filter(|veid| has_state(&ended.account.made(), *veid));
                let known = known.count() as u64;
                if known < vps.min(45) {
                    failures.push(format!("{vps} VPSes: state of {known} only"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test]
async fn a_vps_without_points_does_not_block_others() {
    let running = ["", "budget: {scope: vps}"].map(|more| {
        let mut account = Account::closed(4);
        let behaviour = Behaviour {
            scope: Scope::Vps,
            ..Behaviour::default()
        };
        account.listen(behaviour, HashMap::from([(1, 998)]));
        (more, Once::start(account, more))
    });
    for (more, once) in running {
        let ended = once.end().await.unwrap_or_else(|error| panic!("{error}"));
        ended
            .check_invariants()
            .unwrap_or_else(|error| panic!("{more:?}: {error}"));
        let left_out = ended.left_out();
        assert!(
            left_out.iter().all(|(veid, _)| *veid == 1),
            "{more:?}: {left_out:?}"
        );
        assert!(left_out.len() >= 4, "VPS 1 has two points: {left_out:?}");
    }
}

#[tokio::test]
async fn once_prints_other_data_and_fails_if_a_vps_has_none() {
    let running: Vec<_> = [
        (Reply::Status(500, ""), "500"),
        (sample("error_auth.json"), "700005"),
        (sample("error_locked.json"), "lock"),
        (Reply::Drop, "connect"),
    ]
    .into_iter()
    .map(|(reply, reason)| {
        let behaviour = Behaviour {
            reply: Box::new(move |arrival| (arrival.veid == 1).then(|| reply.clone())),
            ..Behaviour::default()
        };
        (Once::start(Account::open(3, behaviour), ""), reason)
    })
    .collect();
    for (once, reason) in running {
        let ended = once.end().await.unwrap_or_else(|error| panic!("{error}"));
        let (stderr, made) = (&ended.stderr, ended.account.made());
        assert_eq!(ended.code, Some(1), "{reason}: {stderr}");
        let line = ended.line(1, LIVE).or_else(|| ended.line(1, SERVICE));
        assert!(
            line.is_some_and(|line| line.contains(reason)),
            "{reason}: {stderr}"
        );
        for veid in [2, 3] {
            let name = name(veid);
            assert_eq!(ended.page.of(&name, "kiwivm_up"), Some(1.0), "{reason}");
            assert!(CALLS.iter().all(|call| ended.made(veid, call)));
        }
        for (veid, call) in ended.left_out() {
            let line = ended.line(veid, call);
            assert!(line.is_some(), "{reason}: {call} is left out silently");
        }
        let distinct: BTreeSet<_> = made.iter().map(|made| (made.veid, &made.call)).collect();
        assert_eq!(distinct.len(), made.len(), "{reason}: {}", summary(&made));
    }
}

#[tokio::test]
async fn failing_readings_lose_no_data() {
    let running: Vec<_> = [
        Reply::Status(500, ""),
        Reply::Body("{\"error\":0}".to_owned()),
        reading("null", "null"),
    ]
    .into_iter()
    .map(|reply| {
        let what = format!("{reply:?}");
        let behaviour = Behaviour {
            reply: Box::new(move |arrival| (arrival.call == READING).then(|| reply.clone())),
            ..Behaviour::default()
        };
        (Once::start(Account::open(3, behaviour), ""), what)
    })
    .collect();
    for (once, what) in running {
        let ended = once
            .end()
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        ended
            .check_invariants()
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(ended.left_out(), [], "{what}");
        assert_eq!(ended.code, Some(0), "{what}: {}", ended.stderr);
    }
}
