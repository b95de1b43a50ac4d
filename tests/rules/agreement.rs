//! Tests that the table of conditions and the Prometheus rules agree, minute by minute.
//!
//! A story describes the responses of the API over some hours. The fleet applies them and evaluates its conditions, and
//! its metrics of each minute become the input of promtool. `ALERTS` must then match the table: alert, VPS, severity
//! and state.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use kiwivm_exporter::clock::{BEFORE_START, Moment};
use kiwivm_exporter::config::{ConfigSource, Shard, load};
use kiwivm_exporter::exposition::{Reloads, render};
use kiwivm_exporter::fleet::{Active, CONDITIONS, Fleet, PlannedCalls};
use kiwivm_exporter::kiwivm::model::{
    Backups, Hypervisor, Inventory, LiveInfo, Payload, PolicyViolations, ServiceInfo, Snapshots,
    Status as Power, SuspensionCases, UsageRow,
};
use kiwivm_exporter::kiwivm::{Call, CallError, Decoded, PerCall, Reason, Veid};
use kiwivm_exporter::poller::{SharedFleet, fleet_of, lock};
use kiwivm_exporter::units::{Bytes, UnixSeconds};
use kiwivm_exporter::web::Status;

use super::{alerts, files, promtool};

/// Alerts that the exporter cannot evaluate, with the reason.
const ONLY_PROMETHEUS: [(&str, &str); 6] = [
    ("KiwiVMExporterDown", "the exporter does not run"),
    ("KiwiVMExporterAbsent", "Prometheus has no target"),
    ("KiwiVMShardMissing", "a shard does not know of the others"),
    ("KiwiVMThrottlingRecurs", "needs a day of history"),
    ("KiwiVMDiskWillFill", "needs a day of history"),
    ("KiwiVMDecodeProblems", "needs a day of history"),
];

/// Converts a duration of the rules to seconds.
fn seconds(duration: &str) -> u64 {
    let (number, unit) = duration.split_at(duration.len() - 1);
    let unit = match unit {
        "m" => 60,
        "h" => 3600,
        _ => panic!("{duration}"),
    };
    unit * number.parse::<u64>().expect("it is a number")
}

#[test]
fn table_and_rules_have_the_same_alerts() {
    let excluded: BTreeSet<_> = ONLY_PROMETHEUS.iter().map(|(name, _)| *name).collect();
    let of_rules: BTreeSet<_> = alerts()
        .into_iter()
        .filter(|(name, _)| !excluded.contains(name.as_str()))
        .map(|(name, rule)| {
            let hold = rule.hold.as_deref().map_or(0, seconds);
            (name, rule.labels["severity"].clone(), hold)
        })
        .collect();
    let of_table: BTreeSet<_> = CONDITIONS
        .iter()
        .map(|condition| {
            let (alert, severity) = (condition.alert.name(), condition.severity.name());
            let hold = condition.hold.as_secs();
            (alert.to_owned(), severity.to_owned(), hold)
        })
        .collect();
    assert_eq!(of_table, of_rules);
    let known: BTreeSet<_> = alerts().into_iter().map(|(name, _)| name).collect();
    for name in excluded {
        assert!(known.contains(name), "{name} is no longer an alert");
    }
}

/// Unix time of minute 0 of a story, 2026-10-11 00:00. The clock of promtool begins at 0.
pub(super) const START: i64 = 1_791_676_800;
/// The end of the period, 2026-10-31 00:00.
const RESET: i64 = 1_793_404_800;
/// Minutes between two polls. Values are stale after three intervals.
pub(super) const INTERVAL: u64 = 5;
/// Polls take place two minutes after a comparison, so that ranges and hold times never end at one.
const POLLED_AT: u64 = 2;
const DAY: i64 = 86_400;

fn at(minute: u64) -> Moment {
    let unix = START + 60 * i64::try_from(minute).expect("a few hours");
    Moment {
        elapsed: BEFORE_START + Duration::from_secs(60 * minute),
        #[expect(clippy::cast_precision_loss, reason = "a date")]
        unix: UnixSeconds(unix as f64),
    }
}

/// A fleet and the API that it polls.
pub(super) struct World {
    fleet: SharedFleet,
    reload_successful: bool,
    pub(super) now: Moment,
    /// Responses to the next polls, by VEID; no poll without an entry.
    responses: BTreeMap<u64, Response>,
}

#[derive(Clone)]
enum Response {
    Live(Box<(ServiceInfo, LiveInfo)>),
    Failure(Reason),
}

impl World {
    fn new(vps: &str, thresholds: &[(&str, &str)]) -> Self {
        let threshold = |(name, value): &(&str, &str)| {
            (
                format!("KIWIVM_EXPORTER_THRESHOLDS__{name}"),
                (*value).to_owned(),
            )
        };
        let source = ConfigSource {
            file: PathBuf::from("there-is-no-such-file.yaml"),
            file_is_explicit: false,
            environment: thresholds
                .iter()
                .map(threshold)
                .chain([("KIWIVM_EXPORTER_VPS".to_owned(), vps.to_owned())])
                .collect(),
            shard: Shard::default(),
        };
        let (config, _) = load(&source).unwrap_or_else(|problems| panic!("{problems}"));
        let veids: Vec<_> = config.vps.iter().map(|vps| vps.veid).collect();
        let fleet = fleet_of(&config);
        let planned = PlannedCalls {
            // Other calls are made once or never, so they have no interval and cannot be stale.
            intervals: PerCall::from_fn(|call| {
                let is_polled = matches!(call, Call::LiveServiceInfo | Call::ServiceInfo);
                is_polled.then_some(Duration::from_secs(60 * INTERVAL))
            }),
            allowed: None,
            points_exhausted: None,
            quota: None,
            next_poll: None,
        };
        for veid in &veids {
            lock(&fleet).set_plan(*veid, planned, at(0));
        }
        Self {
            fleet,
            reload_successful: true,
            now: at(0),
            responses: veids
                .iter()
                .map(|veid| (veid.0, Response::Live(Box::new((service(), live())))))
                .collect(),
        }
    }

    /// Changes the next responses for a VPS.
    fn change(&mut self, veid: u64, change: impl FnOnce(&mut ServiceInfo, &mut LiveInfo)) {
        let mut changed = match self.responses.remove(&veid) {
            Some(Response::Live(infos)) => infos,
            _ => Box::new((service(), live())),
        };
        change(&mut changed.0, &mut changed.1);
        self.responses.insert(veid, Response::Live(changed));
    }

    fn fail(&mut self, veids: impl IntoIterator<Item = u64>, reason: Reason) {
        for veid in veids {
            self.responses.insert(veid, Response::Failure(reason));
        }
    }

    fn recover(&mut self, veids: impl IntoIterator<Item = u64>) {
        for veid in veids {
            self.responses
                .insert(veid, Response::Live(Box::new((service(), live()))));
        }
    }

    fn list(&mut self, veid: u64, call: Call, inventory: Inventory) {
        let payload = Payload::Inventory(Some(inventory));
        apply(&mut lock(&self.fleet), veid, call, payload, self.now);
    }

    /// Applies five weeks of usage rows with `bytes` an hour, up to now.
    fn usage(&mut self, veid: u64, bytes: u64) {
        let mut fleet = lock(&self.fleet);
        let mut usage = fleet.start_usage(Veid(veid), self.now);
        for hour in 0..35 * 24 {
            usage.take(UsageRow {
                timestamp: self.now.unix.whole() - hour * 3600,
                cpu_percent: None,
                network_in: Some(Bytes(bytes)),
                network_out: None,
                disk_read: None,
                disk_written: None,
            });
        }
        apply(
            &mut fleet,
            veid,
            Call::RawUsageStats,
            Payload::Usage,
            self.now,
        );
        fleet.apply_usage(Veid(veid), usage);
    }

    fn points_exhausted(&mut self, veid: u64, exhausted: bool) {
        let mut fleet = lock(&self.fleet);
        let calls = fleet
            .by_veid(Veid(veid))
            .expect("it is there")
            .calls
            .clone();
        let planned = PlannedCalls {
            intervals: calls.map(|call| call.interval),
            allowed: None,
            points_exhausted: Some(exhausted),
            quota: None,
            next_poll: None,
        };
        fleet.set_plan(Veid(veid), planned, self.now);
    }

    fn state_written(&mut self, successful: bool) {
        let mut fleet = lock(&self.fleet);
        fleet.totals_mut().state_written(successful, self.now.unix);
    }

    /// Polls every VPS once.
    fn poll(&mut self) {
        let mut fleet = lock(&self.fleet);
        for (veid, response) in &self.responses {
            let call = Call::LiveServiceInfo;
            match response {
                Response::Live(infos) => {
                    let (service, live) = &**infos;
                    let payload = Payload::Live(Box::new(service.clone()), Box::new(live.clone()));
                    apply(&mut fleet, *veid, call, payload, self.now);
                }
                Response::Failure(reason) => {
                    let error = CallError {
                        veid: Veid(*veid),
                        call,
                        reason: *reason,
                        detail: "for the test".to_owned(),
                        lock: None,
                        timed_out_phase: None,
                        retry_after: None,
                        without_key: false,
                    };
                    fleet.apply(Veid(*veid), call, &Err(error), self.now);
                }
            }
        }
    }

    fn page(&self) -> String {
        render(&self.fleet, self.reloads(), Vec::new(), self.now)
    }

    fn reloads(&self) -> Reloads {
        Reloads {
            successful: self.reload_successful,
            last_success: at(0).unix,
        }
    }

    fn evaluate(&mut self) {
        lock(&self.fleet).evaluate_conditions(self.reload_successful, self.now);
    }

    /// The status page, as of the last evaluation.
    pub(super) fn status(&self) -> Status {
        Status::new(&lock(&self.fleet), self.reloads(), "/metrics", self.now)
    }

    /// Firing and pending alerts, in the form of `ALERTS`.
    fn alerts(&self) -> BTreeSet<String> {
        let fleet = lock(&self.fleet);
        let sample = |active: Active, vps: &str| {
            let state = if active.fires() { "firing" } else { "pending" };
            let condition = active.condition;
            let (alert, severity) = (condition.alert.name(), condition.severity.name());
            format!(r#"{{alertname="{alert}",alertstate="{state}",severity="{severity}"{vps}}}"#)
        };
        let mut all: BTreeSet<_> = fleet
            .active(self.now)
            .map(|active| sample(active, ""))
            .collect();
        for vps in fleet.vps() {
            let label = format!(r#",vps="{}""#, vps.identity.name);
            all.extend(vps.active(self.now).map(|active| sample(active, &label)));
        }
        all
    }
}

fn apply(fleet: &mut Fleet, veid: u64, call: Call, payload: Payload, now: Moment) {
    let decoded = Decoded {
        payload,
        problems: Vec::new(),
    };
    fleet.apply(Veid(veid), call, &Ok(decoded), now);
}

fn service() -> ServiceInfo {
    ServiceInfo {
        hypervisor: Some(Hypervisor::OpenVz),
        data_counter: Some(Bytes(100 << 30)),
        monthly_data: Some(Bytes(1000 << 30)),
        data_multiplier: Some(1.0),
        data_next_reset: Some(UnixSeconds(RESET)),
        plan_ram: Some(Bytes(1 << 30)),
        suspended: Some(false),
        policy_violation: Some(false),
        nullrouted_ip_addresses: Some(0),
        abuse_points: Some(10),
        abuse_points_limit: Some(100),
        ..ServiceInfo::default()
    }
}

fn live() -> LiveInfo {
    LiveInfo {
        status: Some(Power::Running),
        cpu_throttled: Some(false),
        disk_throttled: Some(false),
        disk_used: Some(Bytes(5 << 30)),
        disk_size: Some(Bytes(20 << 30)),
        memory_available: Some(Bytes(512 << 20)),
        swap_total: Some(Bytes(512 << 20)),
        swap_free: Some(Bytes(512 << 20)),
        inodes_used: Some(1000),
        inodes_limit: Some(100_000),
        ..LiveInfo::default()
    }
}

/// Changes the world at a minute, before the polls of that minute.
type Script = fn(&mut World, u64);

pub(super) struct Story {
    pub(super) name: &'static str,
    vps: &'static str,
    thresholds: &'static [(&'static str, &'static str)],
    hours: u64,
    script: Script,
    /// Alerts that must fire during the story, so that it cannot pass without testing them.
    fired: &'static [&'static str],
}

const ONE: &str = "[{veid: 1, name: tokyo-1, api_key: private_x}]";
const TWO: &str =
    "[{veid: 1, name: tokyo-1, api_key: private_x}, {veid: 2, name: osaka-1, api_key: private_x}]";
const FOUR: &str = "[{veid: 1, name: a, api_key: private_x}, {veid: 2, name: b, api_key: private_x}, \
    {veid: 3, name: c, api_key: private_x}, {veid: 4, name: d, api_key: private_x}]";
const EXPECTATIONS: &str = "[{veid: 1, name: runs, api_key: private_x}, \
    {veid: 2, name: rests, api_key: private_x, expect: stopped}, \
    {veid: 3, name: free, api_key: private_x, expect: any}]";

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "nothing happens",
        vps: TWO,
        thresholds: &[],
        hours: 2,
        script: |_, _| {},
        fired: &[],
    },
    Story {
        name: "the transfer runs out, then the VPS is suspended until the reset is over",
        vps: TWO,
        thresholds: &[],
        hours: 14,
        script: |world, minute| match minute {
            // At this pace a third is used at the reset.
            2 => (1..=2).for_each(|veid| world.usage(veid, 400 << 20)),
            // 3 GiB an hour: used up in eight days.
            62 => {
                world.usage(1, 3 << 30);
                world.change(1, |info, _| info.data_counter = Some(Bytes(400 << 30)));
            }
            // Used up in a few hours.
            182 => world.change(1, |info, _| info.data_counter = Some(Bytes(985 << 30))),
            602 => world.change(1, |info, live| {
                info.data_counter = Some(Bytes(1000 << 30));
                info.suspended = Some(true);
                live.status = Some(Power::Stopped);
            }),
            // A case is found.
            632 => world.list(
                1,
                Call::SuspensionDetails,
                Inventory::SuspensionCases(SuspensionCases {
                    clearable: 1,
                    not_clearable: 0,
                }),
            ),
            // The response omits the flag.
            662 => world.change(1, |info, _| info.suspended = None),
            722 => world.change(1, |info, live| {
                info.suspended = Some(false);
                info.data_counter = Some(Bytes(0));
                live.status = Some(Power::Running);
            }),
            _ => {}
        },
        fired: &["KiwiVMBandwidthWillRunOut", "KiwiVMSuspended"],
    },
    Story {
        name: "much transfer is used and there is no forecast",
        vps: TWO,
        thresholds: &[],
        hours: 5,
        script: |world, minute| match minute {
            2 => {
                world.change(1, |info, _| info.data_counter = Some(Bytes(800 << 30)));
                world.change(2, |info, _| info.data_counter = Some(Bytes(799 << 30)));
            }
            62 => {
                world.change(1, |info, _| info.data_counter = Some(Bytes(950 << 30)));
                world.change(2, |info, _| info.data_counter = Some(Bytes(949 << 30)));
            }
            // Without polls the last value counts.
            122 => world.responses.clear(),
            242 => world.recover(1..=2),
            _ => {}
        },
        fired: &["KiwiVMBandwidthNearlyUsed", "KiwiVMDataStale"],
    },
    Story {
        name: "states that the configuration does not expect",
        vps: EXPECTATIONS,
        thresholds: &[],
        hours: 9,
        script: |world, minute| match minute {
            32 => world.change(1, |_, live| live.status = Some(Power::Stopped)),
            // Too short for an alert.
            42 => world.change(1, |_, live| live.status = Some(Power::Running)),
            62 => (1..=3).for_each(|veid| {
                world.change(veid, |_, live| live.status = Some(Power::Stopped));
            }),
            102 => world.change(2, |_, live| live.status = Some(Power::Other)),
            // A restore stops the VPS.
            122 => world.fail([1], Reason::Locked),
            362 => world.recover([1]),
            392 => world.change(1, |_, live| live.status = Some(Power::Starting)),
            422 => world.change(1, |_, live| live.status = None),
            _ => {}
        },
        fired: &["KiwiVMNotAsExpected", "KiwiVMLockedTooLong"],
    },
    Story {
        name: "attack and throttling, then silence for hours",
        vps: TWO,
        thresholds: &[],
        hours: 7,
        script: |world, minute| match minute {
            12 => world.change(1, |info, live| {
                info.nullrouted_ip_addresses = Some(2);
                live.cpu_throttled = Some(true);
            }),
            22 => world.change(1, |info, live| {
                info.nullrouted_ip_addresses = None;
                live.disk_throttled = Some(true);
                live.cpu_throttled = None;
            }),
            32 => world.fail([1], Reason::Timeout),
            _ => {}
        },
        fired: &[
            "KiwiVMAddressNullRouted",
            "KiwiVMCPUThrottled",
            "KiwiVMDiskThrottled",
            "KiwiVMDataStale",
        ],
    },
    Story {
        name: "disks and inodes fill",
        vps: TWO,
        thresholds: &[("DISK_MAPPED_RATIO", "0.9")],
        hours: 5,
        script: |world, minute| match minute {
            2 => {
                world.change(1, |_, live| live.disk_used = Some(Bytes(17 << 30)));
                world.change(2, |info, live| {
                    info.hypervisor = Some(Hypervisor::Kvm);
                    live.disk_used = Some(Bytes(19 << 30));
                });
            }
            62 => world.change(1, |_, live| live.disk_used = Some(Bytes(19 << 30))),
            122 => world.change(1, |_, live| {
                live.disk_used = None;
                live.inodes_used = Some(90_000);
            }),
            182 => world.recover(1..=2),
            _ => {}
        },
        fired: &[
            "KiwiVMDiskNearlyFull",
            "KiwiVMDiskImageMapped",
            "KiwiVMInodesNearlyUsed",
        ],
    },
    Story {
        name: "memory is scarce",
        vps: TWO,
        thresholds: &[],
        hours: 5,
        script: |world, minute| match minute {
            2 => {
                world.change(1, |_, live| live.memory_available = Some(Bytes(100 << 20)));
                world.change(2, |_, live| {
                    live.memory_available = Some(Bytes(200 << 20));
                    live.swap_free = Some(Bytes(100 << 20));
                });
            }
            62 => world.change(1, |_, live| live.memory_available = Some(Bytes(51 << 20))),
            92 => world.change(2, |_, live| live.memory_available = Some(Bytes(90 << 20))),
            122 => world.change(1, |_, live| live.memory_available = Some(Bytes(104 << 20))),
            182 => world.change(2, |_, live| {
                live.status = Some(Power::Stopped);
                live.memory_available = None;
            }),
            _ => {}
        },
        fired: &["KiwiVMMemoryLow", "KiwiVMSwapBusy"],
    },
    Story {
        name: "policy cases with and without deadlines",
        vps: TWO,
        thresholds: &[],
        hours: 12,
        script: |world, minute| {
            let violations = |open, deadline: Option<i64>| {
                let deadline = deadline.map(UnixSeconds);
                Inventory::PolicyViolations(PolicyViolations { open, deadline })
            };
            match minute {
                2 => {
                    world.change(1, |info, _| info.policy_violation = Some(true));
                    let near = violations(2, Some(START + 4 * 3600));
                    world.list(2, Call::PolicyViolations, near);
                }
                32 => {
                    let far = violations(1, Some(START + 3 * DAY));
                    world.list(1, Call::PolicyViolations, far);
                }
                // The list has a case without a deadline.
                62 => world.list(2, Call::PolicyViolations, violations(1, None)),
                92 => {
                    let near = violations(1, Some(START + 3 * 3600));
                    world.list(2, Call::PolicyViolations, near);
                }
                // The case is closed.
                362 => {
                    world.change(1, |info, _| info.policy_violation = Some(false));
                    world.list(1, Call::PolicyViolations, violations(0, None));
                }
                _ => {}
            }
        },
        fired: &["KiwiVMPolicyViolationOpen", "KiwiVMPolicyDeadlineNear"],
    },
    Story {
        name: "abuse points, copies and purges",
        vps: TWO,
        thresholds: &[
            ("BACKUP_AGE_SECONDS", "3d"),
            ("SNAPSHOT_PURGE_SECONDS", "2d"),
        ],
        hours: 8,
        script: |world, minute| {
            let snapshots = |count, newest: Option<i64>, purges_in: Option<u64>| {
                Inventory::Snapshots(Snapshots {
                    count,
                    sticky: Some(0),
                    size: Some(Bytes(0)),
                    newest: newest.map(UnixSeconds),
                    purges_in,
                })
            };
            let backups = |count, newest: Option<i64>| {
                Inventory::Backups(Backups {
                    count,
                    newest: newest.map(UnixSeconds),
                    newest_size: None,
                })
            };
            match minute {
                2 => {
                    world.change(1, |info, _| info.abuse_points = Some(50));
                    world.change(2, |info, _| info.abuse_points = Some(49));
                    world.list(1, Call::SnapshotList, snapshots(0, None, None));
                    world.list(1, Call::BackupList, backups(0, None));
                    let purged = snapshots(1, Some(START - 4 * DAY), Some(86_400));
                    world.list(2, Call::SnapshotList, purged);
                    world.list(2, Call::BackupList, backups(1, Some(START - 2 * DAY)));
                }
                62 => world.change(1, |info, _| info.abuse_points = Some(80)),
                92 => {
                    world.list(1, Call::BackupList, backups(1, Some(START)));
                    world.list(
                        2,
                        Call::SnapshotList,
                        snapshots(1, Some(START - 4 * DAY), None),
                    );
                    world.list(2, Call::BackupList, backups(1, Some(START - 5 * DAY)));
                }
                _ => {}
            }
        },
        fired: &[
            "KiwiVMAbusePointsHigh",
            "KiwiVMBackupTooOld",
            "KiwiVMSnapshotPurgedSoon",
        ],
    },
    Story {
        name: "one of two VPSes fails",
        vps: TWO,
        thresholds: &[],
        hours: 3,
        script: |world, minute| match minute {
            2 => world.fail([2], Reason::HttpStatus),
            122 => world.recover([2]),
            _ => {}
        },
        fired: &["KiwiVMDataStale"],
    },
    Story {
        name: "the API fails for half of the VPSes, for less, for all",
        vps: FOUR,
        thresholds: &[],
        hours: 8,
        script: |world, minute| match minute {
            62 => world.fail([1], Reason::HttpStatus),
            122 => world.fail([2], Reason::Timeout),
            242 => world.recover([1]),
            302 => world.fail(1..=4, Reason::Connect),
            // Half of the VPSes are locked by a task.
            362 => world.fail(1..=2, Reason::Locked),
            422 => world.recover(1..=4),
            _ => {}
        },
        fired: &["KiwiVMAPIFailing", "KiwiVMDataStale"],
    },
    Story {
        name: "keys are refused, first of one, then of all",
        vps: TWO,
        thresholds: &[],
        hours: 4,
        script: |world, minute| match minute {
            32 => world.fail([1], Reason::Auth),
            92 => world.fail([2], Reason::Auth),
            152 => world.recover(1..=2),
            _ => {}
        },
        fired: &["KiwiVMAuthenticationFailed", "KiwiVMAllKeysRefused"],
    },
    Story {
        name: "the only key is refused from the start",
        vps: ONE,
        thresholds: &[],
        hours: 1,
        script: |world, minute| {
            if minute == 2 {
                world.fail([1], Reason::Auth);
            }
        },
        fired: &["KiwiVMAllKeysRefused"],
    },
    Story {
        name: "no API points are left",
        vps: TWO,
        thresholds: &[],
        hours: 5,
        script: |world, minute| match minute {
            32 => {
                world.points_exhausted(1, true);
                world.responses.clear();
            }
            122 => world.points_exhausted(1, false),
            _ => {}
        },
        fired: &["KiwiVMAPIPointsExhausted", "KiwiVMDataStale"],
    },
    Story {
        name: "configuration and state file",
        vps: ONE,
        thresholds: &[],
        hours: 2,
        script: |world, minute| match minute {
            12 => world.reload_successful = false,
            22 => world.state_written(false),
            62 => {
                world.reload_successful = true;
                world.state_written(true);
            }
            _ => {}
        },
        fired: &["KiwiVMReloadFailed", "KiwiVMStateNotWritten"],
    },
    Story {
        name: "several things at once",
        vps: FOUR,
        thresholds: &[],
        hours: 6,
        script: |world, minute| match minute {
            12 => {
                world.change(1, |info, live| {
                    info.data_counter = Some(Bytes(960 << 30));
                    live.memory_available = Some(Bytes(20 << 20));
                    live.disk_used = Some(Bytes(18 << 30));
                    live.cpu_throttled = Some(true);
                });
                world.change(2, |info, live| {
                    info.suspended = Some(true);
                    info.nullrouted_ip_addresses = Some(1);
                    live.memory_available = Some(Bytes(20 << 20));
                });
                world.fail([3], Reason::Auth);
                world.fail([4], Reason::BadShape);
            }
            132 => world.change(2, |info, _| info.suspended = Some(false)),
            192 => world.fail([1], Reason::Auth),
            252 => world.recover(1..=4),
            _ => {}
        },
        fired: &[
            "KiwiVMBandwidthNearlyUsed",
            "KiwiVMMemoryLow",
            "KiwiVMDiskNearlyFull",
            "KiwiVMSuspended",
            "KiwiVMAddressNullRouted",
        ],
    },
];

/// Names of the metrics in the rules.
pub(super) fn metric_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for rule in super::rules() {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let texts = rule.annotations.values().chain([&rule.expr]);
        for word in texts.flat_map(|text| text.split(|c| !is_name(c))) {
            if word.starts_with("kiwivm_") {
                names.insert(word.to_owned());
            }
        }
    }
    names
}

/// Values of a series, minute by minute.
type Values = Vec<Option<f64>>;

/// Formats values for promtool: runs, and a stale marker where a series ends.
fn format_values(values: &[Option<f64>]) -> String {
    let mut text = String::new();
    let mut rest = values;
    let mut before = None;
    while let Some(first) = rest.first() {
        let run = rest.iter().take_while(|value| *value == first).count();
        // `1x4` is five samples, but `_x4` is four.
        let written = match first {
            Some(value) => write!(text, "{value}x{} ", run - 1),
            None if before.is_none() => write!(text, "_x{run} "),
            None if run == 1 => write!(text, "stale "),
            None => write!(text, "stale _x{} ", run - 1),
        };
        written.expect("a string takes everything");
        before = *first;
        rest = &rest[run..];
    }
    text
}

/// Adds the samples of a page. Timestamp values become relative to the start of the story.
fn collect(
    page: &str,
    minute: usize,
    names: &BTreeSet<String>,
    all: &mut BTreeMap<String, Values>,
) {
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        if !names.contains(name) {
            continue;
        }
        let mut value: f64 = value.parse().expect("a number");
        if name.ends_with("_timestamp_seconds") {
            #[expect(clippy::cast_precision_loss, reason = "a date")]
            let start = START as f64;
            value -= start;
        }
        let comma = if labels == "}" { "" } else { "," };
        let series = format!(r#"{name}{{job="kiwivm",instance="a:10064"{comma}{labels}"#);
        let values = all.entry(series).or_default();
        values.resize(minute, None);
        values.push(Some(value));
    }
}

/// Runs a story and calls a function at each minute. Returns promtool's test file, which lacks only the tests.
pub(super) fn run_story(
    story: &Story,
    names: &BTreeSet<String>,
    mut minute_passed: impl FnMut(&World, u64),
) -> String {
    let minutes = 60 * story.hours;
    let mut world = World::new(story.vps, story.thresholds);
    let mut series = BTreeMap::new();
    for minute in 0..=minutes {
        world.now = at(minute);
        (story.script)(&mut world, minute);
        if minute % INTERVAL == POLLED_AT {
            world.poll();
        }
        let page = world.page();
        let position = usize::try_from(minute).expect("a few hours");
        collect(&page, position, names, &mut series);
        world.evaluate();
        minute_passed(&world, minute);
    }
    let rules = files("rules");
    let rules: Vec<_> = rules
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let mut text = format!(
        "rule_files: {rules:?}\nevaluation_interval: 1m\ngroup_eval_order: [kiwivm-past, kiwivm, kiwivm-slow]\ntests:\n  - name: {}\n    interval: 1m\n    input_series:\n      \
         - {{series: 'up{{job=\"kiwivm\",instance=\"a:10064\"}}', values: '1x{minutes}'}}\n",
        story.name
    );
    for (series, mut values) in series {
        values.resize(usize::try_from(minutes).expect("a few hours") + 1, None);
        let values = format_values(&values);
        writeln!(text, "      - {{series: '{series}', values: '{values}'}}").expect("a string");
    }
    text
}

/// Creates promtool's test file for a story.
fn test_file(story: &Story, names: &BTreeSet<String>) -> String {
    let mut checks = String::new();
    let mut fired = BTreeSet::new();
    let text = run_story(story, names, |world, minute| {
        let alerts = world.alerts();
        for alert in alerts.iter().filter(|alert| alert.contains("firing")) {
            fired.insert(alert.split('"').nth(1).unwrap_or_default().to_owned());
        }
        if minute % INTERVAL == 0 {
            write!(
                checks,
                "      - eval_time: {minute}m\n        expr: '{}'\n        exp_samples: [",
                shown_alerts()
            )
            .expect("a string takes everything");
            for alert in alerts {
                write!(checks, "{{labels: '{alert}', value: 1}}, ").expect("a string");
            }
            checks += "]\n";
        }
    });
    let expected: BTreeSet<_> = story.fired.iter().map(|name| (*name).to_owned()).collect();
    let missing: Vec<_> = expected.difference(&fired).collect();
    assert!(
        missing.is_empty(),
        "{}: {missing:?} did not fire",
        story.name
    );
    text + "    promql_expr_test:\n" + &checks
}

fn shown_alerts() -> String {
    let hidden: Vec<_> = ONLY_PROMETHEUS.iter().map(|(name, _)| *name).collect();
    format!(
        r#"group by (alertname, alertstate, severity, vps) (ALERTS{{alertname!~"{}"}})"#,
        hidden.join("|")
    )
}

#[test]
fn the_table_and_the_rules_agree_in_every_story() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let names = metric_names();
    let files: Vec<_> = STORIES
        .iter()
        .enumerate()
        .map(|(number, story)| {
            let path = folder.path().join(format!("{number}.yml"));
            std::fs::write(&path, test_file(story, &names)).expect("it can be written");
            path
        })
        .collect();
    std::thread::scope(|scope| {
        for file in &files {
            scope.spawn(move || promtool(&["test", "rules"], file));
        }
    });
}

#[test]
fn every_condition_fires_in_a_story() {
    let fired: BTreeSet<_> = STORIES
        .iter()
        .flat_map(|story| story.fired)
        .copied()
        .collect();
    let all: BTreeSet<_> = CONDITIONS
        .iter()
        .map(|condition| condition.alert.name())
        .collect();
    assert_eq!(fired, all);
}
