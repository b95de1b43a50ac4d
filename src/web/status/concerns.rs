//! Why somebody should look at a VPS: the alerts that need no history, with the thresholds of the configuration.

use super::derive::whole;
use super::facts::{Concern, Level, State, Vps};
use super::words::{Count, Percent, Span, Utc};
use crate::clock::Moment;
use crate::config::{Threshold as T, Thresholds};
use crate::exposition::Reloads;
use crate::fleet::VpsState;
use crate::kiwivm::Call;
use crate::kiwivm::model::{Hypervisor, LiveInfo, ServiceInfo};
use Level::{Critical, Info, Warning};

/// Collects concerns.
struct Concerns<'a> {
    thresholds: &'a Thresholds,
    found: Vec<Concern>,
}

impl<'a> Concerns<'a> {
    const fn new(thresholds: &'a Thresholds) -> Self {
        Self {
            thresholds,
            found: Vec::new(),
        }
    }

    fn add(&mut self, level: Level, alert: &'static str, text: String) {
        self.found.push(Concern { level, alert, text });
    }

    /// True if so many seconds are within the limit.
    #[expect(clippy::cast_precision_loss, reason = "seconds of years")]
    fn is_near(&self, seconds: i64, threshold: T) -> bool {
        let limit = self.thresholds.get(threshold);
        limit.is_some_and(|limit| seconds as f64 <= limit)
    }

    /// Above the limit of the warning, or above the critical one.
    fn above(
        &mut self,
        value: Option<f64>,
        thresholds: [Option<T>; 2],
        alert: &'static str,
        text: impl Fn(Percent) -> String,
    ) {
        let Some(value) = value else { return };
        let [warning, critical] = thresholds.map(|threshold| {
            let limit = threshold.and_then(|threshold| self.thresholds.get(threshold));
            limit.is_some_and(|limit| value >= limit)
        });
        if critical {
            self.add(Critical, alert, text(Percent(value)));
        } else if warning {
            self.add(Warning, alert, text(Percent(value)));
        }
    }
}

/// What concerns all VPSes, or the exporter.
pub fn of_fleet(vps: &[Vps], thresholds: &Thresholds, reloads: Reloads) -> Vec<Concern> {
    let mut concerns = Concerns::new(thresholds);
    let asked = |vps: &&Vps| {
        !matches!(
            vps.state,
            State::NotAskedYet | State::KeyRefused | State::Locked
        )
    };
    let all = vps.iter().filter(asked).count();
    let silent = vps.iter().filter(asked).filter(|vps| !vps.up).count();
    #[expect(clippy::cast_precision_loss, reason = "VPSes are few")]
    let part = silent as f64 / all.max(1) as f64;
    if all > 1
        && silent > 0
        && thresholds
            .get(T::ApiFailing)
            .is_some_and(|limit| part >= limit)
    {
        let text =
            format!("{silent} of {all} VPSes give no answer: the API, or the way to it, fails.");
        concerns.add(Critical, "KiwiVMAPIFailing", text);
    }
    if !reloads.successful {
        let text = "The configuration could not be loaded again: the one from before stays in force. The log tells what is wrong.";
        concerns.add(Warning, "KiwiVMReloadFailed", text.to_owned());
    }
    concerns.found
}

/// What concerns one VPS, worst first. `told` is what is told about it otherwise.
pub fn of_vps(
    told: &Vps,
    vps: &VpsState,
    (service, live): (Option<&ServiceInfo>, Option<&LiveInfo>),
    staleness: f64,
    now: Moment,
) -> Vec<Concern> {
    let mut concerns = Concerns::new(&vps.identity.thresholds);
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
        .found
        .sort_by_key(|concern| std::cmp::Reverse(concern.level));
    concerns.found
}

/// Suspension, allowance, addresses, abuse.
fn account(concerns: &mut Concerns<'_>, told: &Vps, info: &ServiceInfo, now: Moment) {
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
        concerns.above(
            used,
            [
                Some(T::BandwidthUsedWarning),
                Some(T::BandwidthUsedCritical),
            ],
            "KiwiVMBandwidthNearlyUsed",
            |used| format!("{used} of the transfer allowance is used."),
        );
        let exhaustion = bandwidth.exhaustion_timestamp_seconds;
        if let Some(exhaustion) = exhaustion.filter(|_| used < Some(1.0)) {
            let left = exhaustion - whole(now.unix);
            let near = |threshold| concerns.is_near(left, threshold);
            let alert = if near(T::BandwidthExhaustionCritical) {
                Some((Critical, "KiwiVMBandwidthWillRunOut"))
            } else {
                near(T::BandwidthExhaustionWarning)
                    .then_some((Warning, "KiwiVMBandwidthWillRunOut"))
            };
            if let Some((level, alert)) = alert {
                let text = format!(
                    "The transfer allowance is expected to be used up in {}, {}, before its reset.",
                    Span(left),
                    Utc(exhaustion)
                );
                concerns.add(level, alert, text);
            }
        }
    }
    if let Some(nullrouted @ 1..) = info.nullrouted_ip_addresses {
        let text = format!(
            "Nothing reaches {nullrouted} of its addresses: null-routed because of an attack."
        );
        concerns.add(Critical, "KiwiVMAddressNullRouted", text);
    }
    let abuse = ratio(info.abuse_points, info.abuse_points_limit);
    concerns.above(
        abuse,
        [Some(T::AbusePointsWarning), Some(T::AbusePointsCritical)],
        "KiwiVMAbusePointsHigh",
        |abuse| format!("{abuse} of the abuse points of this year are reached."),
    );
}

fn policy(concerns: &mut Concerns<'_>, told: &Vps, service: Option<&ServiceInfo>, now: Moment) {
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
            if concerns.is_near(left, T::PolicyDeadline) {
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
fn power(concerns: &mut Concerns<'_>, told: &Vps) {
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
fn guest(concerns: &mut Concerns<'_>, told: &Vps, live: &LiveInfo, service: Option<&ServiceInfo>) {
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
            concerns.above(
                disk,
                [Some(T::DiskUsedWarning), Some(T::DiskUsedCritical)],
                "KiwiVMDiskNearlyFull",
                |used| format!("{used} of the disk quota is used."),
            );
        }
        Some(Hypervisor::Kvm) => {
            let limit = concerns.thresholds.get(T::DiskMapped);
            if let Some(mapped) = disk.filter(|mapped| limit.is_some_and(|limit| *mapped >= limit))
            {
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
        [Some(T::InodesUsed), None],
        "KiwiVMInodesNearlyUsed",
        |used| format!("{used} of the inodes are used."),
    );
    let memory = &told.memory;
    let available = ratio(memory.available_bytes, memory.total_bytes);
    let thresholds = concerns.thresholds;
    let below = |threshold: T| {
        let limit = thresholds.get(threshold);
        available.filter(|available| limit.is_some_and(|limit| *available <= limit))
    };
    let critical = below(T::MemoryAvailableCritical);
    if let Some(scarce) = critical.or(below(T::MemoryAvailableWarning)) {
        let level = if critical.is_some() {
            Critical
        } else {
            Warning
        };
        let text = format!("Only {} of the memory is available.", Percent(scarce));
        concerns.add(level, "KiwiVMMemoryLow", text);
    }
    let swap_used = memory.swap_total_bytes.zip(memory.swap_free_bytes);
    let swap = ratio(
        swap_used.map(|(total, free)| total.saturating_sub(free)),
        memory.swap_total_bytes,
    );
    let limit = concerns.thresholds.get(T::SwapUsed);
    let swap = swap.filter(|swap| limit.is_some_and(|limit| *swap >= limit));
    if let Some(swap) = swap.filter(|_| below(T::SwapMemoryAvailable).is_some()) {
        let text = format!(
            "{} of the swap is used and memory is scarce.",
            Percent(swap)
        );
        concerns.add(Warning, "KiwiVMSwapBusy", text);
    }
}

/// That no answer tells its state any more.
fn silence(concerns: &mut Concerns<'_>, told: &Vps, vps: &VpsState, staleness: f64, now: Moment) {
    if told.state != State::Unknown {
        return;
    }
    let since = |at: Option<i64>| at.map(|at| Span(whole(now.unix) - at));
    let interval = told.poll_interval_seconds.unwrap_or_default();
    let overdue = vps.calls[Call::LiveServiceInfo]
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
