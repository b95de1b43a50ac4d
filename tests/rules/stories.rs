//! Stories: responses of the API over some hours, and the alerts that must fire.

use kiwivm_exporter::kiwivm::model::{
    Backups, Hypervisor, Inventory, PolicyViolations, Snapshots, Status as Power, SuspensionCases,
};
use kiwivm_exporter::kiwivm::{Call, Reason};
use kiwivm_exporter::units::{Bytes, UnixSeconds};

use super::world::{DAY, START, World};

/// Changes the world at a minute, before the polls of that minute.
pub type Script = fn(&mut World, u64);

pub struct Story {
    pub name: &'static str,
    pub vps: &'static str,
    pub thresholds: &'static [(&'static str, &'static str)],
    pub hours: u64,
    pub script: Script,
    /// Alerts that must fire during the story, so that it cannot pass without testing them.
    pub fired: &'static [&'static str],
}

const ONE: &str = "[{veid: 1, name: tokyo-1, api_key: private_x}]";
const TWO: &str =
    "[{veid: 1, name: tokyo-1, api_key: private_x}, {veid: 2, name: osaka-1, api_key: private_x}]";
const FOUR: &str = "[{veid: 1, name: a, api_key: private_x}, {veid: 2, name: b, api_key: private_x}, \
    {veid: 3, name: c, api_key: private_x}, {veid: 4, name: d, api_key: private_x}]";
const EXPECTATIONS: &str = "[{veid: 1, name: runs, api_key: private_x}, \
    {veid: 2, name: rests, api_key: private_x, expect: stopped}, \
    {veid: 3, name: free, api_key: private_x, expect: any}]";

/// All stories.
pub const STORIES: &[Story] = &[
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
        name: "used up without a suspension, and a reset that is late by more than a day",
        vps: TWO,
        thresholds: &[],
        hours: 7,
        script: |world, minute| match minute {
            2 => {
                world.usage(1, 3 << 30);
                world.change(1, |info, _| info.data_counter = Some(Bytes(1001 << 30)));
                world.change(2, |info, _| {
                    info.data_counter = Some(Bytes(970 << 30));
                    info.data_next_reset = Some(UnixSeconds(START - 20 * 3600));
                });
            }
            // Without usage rows there is no forecast.
            362 => world.change(2, |info, _| info.data_counter = Some(Bytes(1001 << 30))),
            _ => {}
        },
        fired: &["KiwiVMBandwidthWillRunOut", "KiwiVMBandwidthNearlyUsed"],
    },
    Story {
        name: "a threshold of 0 for a failing API",
        vps: FOUR,
        thresholds: &[("API_FAILING_RATIO", "0")],
        hours: 2,
        script: |world, minute| match minute {
            32 => world.fail([1], Reason::HttpStatus),
            92 => world.recover([1]),
            _ => {}
        },
        fired: &["KiwiVMAPIFailing"],
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
            452 => world.change(1, |_, live| live.status = Some(Power::Running)),
            // The API reports an unknown state.
            482 => world.change(1, |_, live| live.status = Some(Power::Other)),
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
