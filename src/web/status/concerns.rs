//! Why somebody should look at a VPS: the alerts that need no history, with their default thresholds.

use super::derive::whole;
use super::facts::{Concern, Level, State, Vps};
use super::words::{Count, Percent, Span, Utc};
use crate::clock::Moment;
use crate::exposition::Reloads;
use crate::fleet::VpsState;
use crate::kiwivm::Call;
use crate::kiwivm::model::{Hypervisor, LiveInfo, ServiceInfo};
use Level::{Critical, Info, Warning};

/// So long into a period its pace is worth a warning.
const TRUSTED_PACE: i64 = 7 * 86_400;
/// A deadline so near is critical.
const DEADLINE_NEAR: i64 = 86_400;

/// Collects concerns.
#[derive(Default)]
struct Concerns(Vec<Concern>);

impl Concerns {
    fn add(&mut self, level: Level, alert: &'static str, text: String) {
        self.0.push(Concern { level, alert, text });
    }

    /// Above the first threshold a warning, above the second critical.
    fn above(
        &mut self,
        value: Option<f64>,
        thresholds: [f64; 2],
        alert: &'static str,
        text: impl Fn(Percent) -> String,
    ) {
        let Some(value) = value else { return };
        let [warning, critical] = thresholds.map(|threshold| value >= threshold);
        if critical {
            self.add(Critical, alert, text(Percent(value)));
        } else if warning {
            self.add(Warning, alert, text(Percent(value)));
        }
    }
}

/// What concerns all VPSes, or the exporter.
pub fn of_fleet(vps: &[Vps], reloads: Reloads) -> Vec<Concern> {
    let mut concerns = Concerns::default();
    let asked = |vps: &&Vps| {
        !matches!(
            vps.state,
            State::NotAskedYet | State::KeyRefused | State::Locked
        )
    };
    let all = vps.iter().filter(asked).count();
    let silent = vps.iter().filter(asked).filter(|vps| !vps.up).count();
    if all > 1 && 2 * silent >= all {
        let text =
            format!("{silent} of {all} VPSes give no answer: the API, or the way to it, fails.");
        concerns.add(Critical, "KiwiVMAPIFailing", text);
    }
    if !reloads.successful {
        let text = "The configuration could not be loaded again: the one from before stays in force. The log tells what is wrong.";
        concerns.add(Warning, "KiwiVMReloadFailed", text.to_owned());
    }
    concerns.0
}

/// What concerns one VPS, worst first. `told` is what is told about it otherwise.
pub fn of_vps(
    told: &Vps,
    vps: &VpsState,
    (service, live): (Option<&ServiceInfo>, Option<&LiveInfo>),
    staleness: f64,
    now: Moment,
) -> Vec<Concern> {
    let mut concerns = Concerns::default();
    if told.state == State::KeyRefused {
        let text = if vps.without_key {
            "There is no usable key: nothing is known about this VPS."
        } else {
            "The API refuses the key: nothing is known about this VPS."
        };
        concerns.add(Warning, "KiwiVMAuthenticationFailed", text.to_owned());
    }
    if let Some(info) = service {
        account(&mut concerns, told, info, now);
    }
    policy(&mut concerns, told, service, now);
    power(&mut concerns, told);
    if let Some(live) = live {
        guest(&mut concerns, told, live, service);
    }
    silence(&mut concerns, told, vps, staleness, now);
    concerns
        .0
        .sort_by_key(|concern| std::cmp::Reverse(concern.level));
    concerns.0
}

/// Suspension, allowance, addresses, abuse.
fn account(concerns: &mut Concerns, told: &Vps, info: &ServiceInfo, now: Moment) {
    let bandwidth = &told.bandwidth;
    let reset = bandwidth.reset_timestamp_seconds;
    // What was used before a reset that is over says nothing.
    let used = bandwidth
        .used_ratio
        .filter(|_| reset.is_none_or(|reset| reset > whole(now.unix)));
    if told.state == State::Suspended {
        let text = if used.is_some_and(|used| used >= 1.0) {
            "Suspended: the transfer allowance is used up, until the reset."
        } else {
            "Suspended by the vendor: see the cases in KiwiVM."
        };
        concerns.add(Critical, "KiwiVMSuspended", text.to_owned());
    } else {
        concerns.above(used, [0.8, 0.95], "KiwiVMBandwidthNearlyUsed", |used| {
            format!("{used} of the transfer allowance is used.")
        });
        let trusted = bandwidth
            .period_start_timestamp_seconds
            .is_some_and(|start| whole(now.unix) - start >= TRUSTED_PACE);
        let projected = bandwidth
            .projected_ratio
            .filter(|projected| trusted && *projected >= 1.0 && used < Some(1.0));
        if let Some(projected) = projected {
            let text = format!(
                "At this pace {} of the transfer allowance is used at the reset.",
                Percent(projected)
            );
            concerns.add(Warning, "KiwiVMBandwidthWillRunOut", text);
        }
    }
    if let Some(nullrouted @ 1..) = info.nullrouted_ip_addresses {
        let text = format!(
            "Nothing reaches {nullrouted} of its addresses: null-routed because of an attack."
        );
        concerns.add(Critical, "KiwiVMAddressNullRouted", text);
    }
    let abuse = ratio(info.abuse_points, info.abuse_points_limit);
    concerns.above(abuse, [0.5, 0.8], "KiwiVMAbusePointsHigh", |abuse| {
        format!("{abuse} of the abuse points of this year are reached.")
    });
}

fn policy(concerns: &mut Concerns, told: &Vps, service: Option<&ServiceInfo>, now: Moment) {
    let flagged = service.and_then(|info| info.policy_violation) == Some(true);
    let open = match told.policy_cases_open {
        Some(0) | None if !flagged => return,
        Some(0) | None => "A policy case is open".to_owned(),
        Some(open) => {
            let open = usize::try_from(open).unwrap_or(usize::MAX);
            format!("{} open", Count(open, "policy case is", "policy cases are"))
        }
    };
    match told.policy_deadline_timestamp_seconds {
        Some(deadline) => {
            let left = deadline - whole(now.unix);
            let text = if left > 0 {
                format!(
                    "{open}: the VPS is suspended in {}, {}, unless it is settled.",
                    Span(left),
                    Utc(deadline)
                )
            } else {
                format!("{open}, and its deadline has passed.")
            };
            if left <= DEADLINE_NEAR {
                concerns.add(Critical, "KiwiVMPolicyDeadlineNear", text);
            } else {
                concerns.add(Warning, "KiwiVMPolicyViolationOpen", text);
            }
        }
        None => concerns.add(
            Warning,
            "KiwiVMPolicyViolationOpen",
            format!("{open}; its deadline is not known."),
        ),
    }
}

/// Whether it is on, as it should be.
fn power(concerns: &mut Concerns, told: &Vps) {
    match (told.expected_state, told.state) {
        (Some(State::Running), State::Stopped | State::Other) => concerns.add(
            Critical,
            "KiwiVMNotAsExpected",
            "It does not run, although it should.".to_owned(),
        ),
        (Some(State::Stopped), State::Running) => concerns.add(
            Warning,
            "KiwiVMNotAsExpected",
            "It runs, although it should not.".to_owned(),
        ),
        (_, State::Locked) => concerns.add(
            Info,
            "KiwiVMLockedTooLong",
            "A task holds it: until it ends the API tells nothing else.".to_owned(),
        ),
        _ => {}
    }
}

/// Throttling, disk, memory.
fn guest(concerns: &mut Concerns, told: &Vps, live: &LiveInfo, service: Option<&ServiceInfo>) {
    if live.cpu_throttled == Some(true) {
        let text = "The CPU is throttled for high usage. The vendor lifts it after two hours.";
        concerns.add(Warning, "KiwiVMCPUThrottled", text.to_owned());
    }
    if live.disk_throttled == Some(true) {
        let text = "Disk I/O is throttled for high usage. The vendor lifts it within three hours.";
        concerns.add(Warning, "KiwiVMDiskThrottled", text.to_owned());
    }
    let disk = ratio(told.disk.used_bytes, told.disk.size_bytes);
    match service.and_then(|info| info.hypervisor) {
        Some(Hypervisor::OpenVz) => {
            concerns.above(disk, [0.85, 0.95], "KiwiVMDiskNearlyFull", |used| {
                format!("{used} of the disk quota is used.")
            });
        }
        Some(Hypervisor::Kvm) => {
            if let Some(mapped) = disk.filter(|mapped| *mapped >= 0.9) {
                let text = format!(
                    "{} of the disk image is mapped: trim in the guest.",
                    Percent(mapped)
                );
                concerns.add(Info, "KiwiVMDiskImageMapped", text);
            }
        }
        None => {}
    }
    let inodes = ratio(live.inodes_used, live.inodes_limit);
    concerns.above(
        inodes,
        [0.9, f64::INFINITY],
        "KiwiVMInodesNearlyUsed",
        |used| format!("{used} of the inodes are used."),
    );
    let memory = &told.memory;
    let available = ratio(memory.available_bytes, memory.total_bytes);
    let used = available.map(|available| 1.0 - available);
    concerns.above(used, [0.9, 0.95], "KiwiVMMemoryLow", |used| {
        format!("Only {} of the memory is available.", Percent(1.0 - used.0))
    });
    let swap_used = memory.swap_total_bytes.zip(memory.swap_free_bytes);
    let swap = ratio(
        swap_used.map(|(total, free)| total.saturating_sub(free)),
        memory.swap_total_bytes,
    );
    if let Some(swap) = swap.filter(|swap| *swap >= 0.8 && available.is_some_and(|a| a <= 0.2)) {
        let text = format!(
            "{} of the swap is used and memory is scarce.",
            Percent(swap)
        );
        concerns.add(Warning, "KiwiVMSwapBusy", text);
    }
}

/// That no answer tells its state any more.
fn silence(concerns: &mut Concerns, told: &Vps, vps: &VpsState, staleness: f64, now: Moment) {
    if told.state != State::Unknown {
        return;
    }
    let since = |at: Option<i64>| at.map(|at| Span(whole(now.unix) - at));
    let interval = told.poll_interval_seconds.unwrap_or_default();
    let overdue = vps.calls[Call::LiveServiceInfo.index()]
        .last_success
        .is_some_and(|at| now.unix - at > staleness * interval);
    let failing = [Call::LiveServiceInfo, Call::ServiceInfo].map(|call| vps.failing(call));
    if !overdue && !failing.contains(&true) {
        return;
    }
    let text = if told.up {
        match since(told.last_live_answer_timestamp_seconds) {
            Some(since) => {
                format!("The API has not told its state for {since}, only plan and bandwidth.")
            }
            None => "The API does not tell its state, only plan and bandwidth.".to_owned(),
        }
    } else {
        match since(told.last_answer_timestamp_seconds) {
            Some(since) => format!("No answer for {since}."),
            None => "It has never answered.".to_owned(),
        }
    };
    concerns.add(Warning, "KiwiVMDataStale", text);
}

#[expect(clippy::cast_precision_loss, reason = "shown as whole percent")]
fn ratio(part: Option<u64>, whole: Option<u64>) -> Option<f64> {
    let whole = whole.filter(|whole| *whole > 0)?;
    Some(part? as f64 / whole as f64)
}
