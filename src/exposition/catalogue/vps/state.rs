//! What a VPS is, what state it is in, and what its plan allows.

use super::{VpsMetric, gauge, labelled_gauge};
use crate::config::{Expect, Threshold};
use crate::fleet::{SuspensionReason, bandwidth};
use crate::kiwivm::model::{Hypervisor, Status};

pub(super) const METRICS: &[VpsMetric] = &[
    gauge(
        "kiwivm_up",
        "1 while an answer of live or service info is fresh, else 0. From the first attempt on.",
        |view, series| series.value(view.vps.tried.then_some(view.up)),
    ),
    gauge(
        "kiwivm_expected_running",
        "What the configuration expects: 1 running, 0 stopped, absent for any.",
        |view, series| {
            series.value(match view.vps.identity.expect {
                Expect::Running => Some(true),
                Expect::Stopped => Some(false),
                Expect::Any => None,
            });
        },
    ),
    labelled_gauge(
        "kiwivm_threshold",
        &["threshold"],
        "Limit of an alert for this VPS, from the configuration. Absent while it is off.",
        |view, series| {
            for threshold in Threshold::ALL {
                let limit = view.vps.identity.thresholds.get(threshold);
                series.labelled(&[("threshold", threshold.name())], limit);
            }
        },
    ),
    gauge(
        "kiwivm_authentication_failed",
        "1 if the API refused the key or there is no usable key, 0 after the API accepted the key.",
        |view, series| series.value(view.vps.authentication_failed),
    ),
    labelled_gauge(
        "kiwivm_vps_info",
        &[
            "hostname",
            "vm_type",
            "plan",
            "os",
            "node",
            "location_id",
            "location",
            "datacenter",
            "ip_address",
        ],
        "Always 1. What can change about a VPS; a field that did not arrive is an empty label.",
        |view, series| {
            let Some(info) = view.service else { return };
            let text = |field: &Option<String>| field.clone().unwrap_or_default();
            let addresses = info.ip_addresses.as_ref();
            let labels = [
                ("hostname", text(&info.hostname)),
                (
                    "vm_type",
                    info.hypervisor.map_or("", Hypervisor::name).to_owned(),
                ),
                ("plan", text(&info.plan)),
                ("os", text(&info.os)),
                ("node", text(&info.node)),
                ("location_id", text(&info.location_id)),
                ("location", text(&info.location)),
                ("datacenter", text(&info.datacenter)),
                (
                    "ip_address",
                    addresses
                        .and_then(|a| a.primary.clone())
                        .unwrap_or_default(),
                ),
            ];
            let labels = labels
                .each_ref()
                .map(|(name, value)| (*name, value.as_str()));
            series.labelled(&labels, Some(1_u64));
        },
    ),
    gauge(
        "kiwivm_running",
        "1 if the VPS is running, else 0. Absent if the API reported an unknown state.",
        |view, series| {
            let status = view.live.and_then(|live| live.status);
            let known = status.filter(|status| *status != Status::Other);
            series.value(known.map(|status| status == Status::Running));
        },
    ),
    labelled_gauge(
        "kiwivm_status",
        &["status"],
        "The power state: 1 for the state the VPS is in, 0 for the others.",
        |view, series| {
            let Some(status) = view.live.and_then(|live| live.status) else {
                return;
            };
            for state in Status::ALL {
                series.labelled(&[("status", state.name())], Some(state == status));
            }
        },
    ),
    gauge(
        "kiwivm_locked",
        "1 while the API answers that a task holds the VPS.",
        |view, series| series.value(view.lock.map(Option::is_some)),
    ),
    gauge(
        "kiwivm_lock_progress_ratio",
        "How far the task that holds the VPS is, 0 to 1.",
        |view, series| {
            let lock = view.lock.and_then(Option::as_ref);
            series.value(lock.and_then(|lock| lock.progress));
        },
    ),
    gauge(
        "kiwivm_suspended",
        "1 while the VPS is suspended, also when its transfer allowance is used up.",
        |view, series| series.value(view.service.and_then(|info| info.suspended)),
    ),
    labelled_gauge(
        "kiwivm_suspension_reason",
        &["reason"],
        "1 for each known reason of the suspension, 0 for the others: the transfer allowance is used up, a policy case, or neither. Only while suspended.",
        |view, series| {
            if let Some(reasons) = view.suspension_reasons() {
                for reason in SuspensionReason::ALL {
                    let holds = reasons.contains(&reason);
                    series.labelled(&[("reason", reason.name())], Some(holds));
                }
            }
        },
    ),
    gauge(
        "kiwivm_policy_violation",
        "1 while a policy case needs action.",
        |view, series| series.value(view.service.and_then(|info| info.policy_violation)),
    ),
    gauge(
        "kiwivm_suspensions",
        "Suspensions in this calendar year.",
        |view, series| series.value(view.service.and_then(|info| info.suspensions)),
    ),
    gauge(
        "kiwivm_abuse_points",
        "Abuse points in this calendar year.",
        |view, series| series.value(view.service.and_then(|info| info.abuse_points)),
    ),
    gauge(
        "kiwivm_abuse_points_limit",
        "Abuse points that the plan allows in a calendar year.",
        |view, series| series.value(view.service.and_then(|info| info.abuse_points_limit)),
    ),
    gauge(
        "kiwivm_cpu_throttled",
        "1 while the CPU is throttled for high usage. The vendor lifts it after two hours.",
        |view, series| series.value(view.live.and_then(|live| live.cpu_throttled)),
    ),
    gauge(
        "kiwivm_disk_throttled",
        "1 while disk I/O is throttled. KVM only.",
        |view, series| series.value(view.live.and_then(|live| live.disk_throttled)),
    ),
    gauge(
        "kiwivm_bandwidth_used_bytes",
        "Transfer used since the last reset, times the multiplier of the location unless bandwidth.multiplier says otherwise. May exceed the allowance.",
        |view, series| {
            series.value(
                view.service
                    .and_then(|info| bandwidth::used(info, view.multiplier())),
            );
        },
    ),
    gauge(
        "kiwivm_bandwidth_allowance_bytes",
        "Transfer allowed until the next reset, times the multiplier of the location unless bandwidth.multiplier is none.",
        |view, series| {
            series.value(
                view.service
                    .and_then(|info| bandwidth::allowance(info, view.multiplier())),
            );
        },
    ),
    gauge(
        "kiwivm_bandwidth_multiplier",
        "Accounting coefficient of the location, which bandwidth.multiplier applies to used and allowance. If the API omits it, it is taken for 1; if it is unusable, what it applies to is absent.",
        |view, series| series.value(view.service.and_then(|info| info.data_multiplier)),
    ),
    gauge(
        "kiwivm_bandwidth_reset_timestamp_seconds",
        "When the transfer counter is reset, Unix time.",
        |view, series| series.value(view.service.and_then(|info| info.data_next_reset)),
    ),
    gauge(
        "kiwivm_bandwidth_period_start_timestamp_seconds",
        "When the transfer counter was last reset, Unix time. Derived: the next reset minus one calendar month.",
        |view, series| {
            let reset = view.service.and_then(|info| info.data_next_reset);
            series.value(reset.and_then(bandwidth::period_start));
        },
    ),
    gauge(
        "kiwivm_bandwidth_forecast_bytes",
        "Use of transfer at the next reset, forecast from the usage history and the counter, multiplied like the used bytes. Absent in the first hours of a period.",
        |view, series| {
            let bytes = view
                .forecast
                .zip(view.service)
                .and_then(|(forecast, info)| {
                    bandwidth::of_counter(forecast.bytes, info, view.multiplier())
                });
            series.value(bytes);
        },
    ),
    gauge(
        "kiwivm_bandwidth_exhaustion_timestamp_seconds",
        "When the transfer allowance is used up according to the forecast, or was, Unix time. Absent if it lasts until the reset.",
        |view, series| series.value(view.forecast.and_then(|forecast| forecast.exhaustion)),
    ),
    gauge(
        "kiwivm_memory_total_bytes",
        "Memory of the plan.",
        |view, series| series.value(view.service.and_then(|info| info.plan_ram)),
    ),
    gauge(
        "kiwivm_memory_available_bytes",
        "Memory available to new programs in the guest. Only while the VPS runs.",
        |view, series| series.value(view.live.and_then(|live| live.memory_available)),
    ),
    gauge(
        "kiwivm_swap_total_bytes",
        "Swap of the guest (KVM) or of the plan (OpenVZ). Only while the VPS runs.",
        |view, series| series.value(view.live.and_then(|live| live.swap_total)),
    ),
    gauge(
        "kiwivm_swap_free_bytes",
        "Free swap. Only while the VPS runs.",
        |view, series| series.value(view.live.and_then(|live| live.swap_free)),
    ),
    gauge(
        "kiwivm_disk_size_bytes",
        "Size of the disk image (KVM) or soft limit of the disk quota (OpenVZ).",
        |view, series| series.value(view.live.and_then(|live| live.disk_size)),
    ),
    gauge(
        "kiwivm_disk_used_bytes",
        "KVM: mapped blocks of the image, which only grow until the guest trims, not what its file system uses. OpenVZ: used quota.",
        |view, series| series.value(view.live.and_then(|live| live.disk_used)),
    ),
    gauge(
        "kiwivm_disk_quota_bytes",
        "Disk of the plan.",
        |view, series| series.value(view.service.and_then(|info| info.plan_disk)),
    ),
    gauge(
        "kiwivm_load1",
        "Load average over 1 minute. Only while the VPS runs.",
        |view, series| series.value(view.load_average(0)),
    ),
    gauge(
        "kiwivm_load5",
        "Load average over 5 minutes. Only while the VPS runs.",
        |view, series| series.value(view.load_average(1)),
    ),
    gauge(
        "kiwivm_load15",
        "Load average over 15 minutes. Only while the VPS runs.",
        |view, series| series.value(view.load_average(2)),
    ),
    gauge(
        "kiwivm_processes",
        "Kernel scheduling entities that exist, from the load line. KVM only.",
        |view, series| series.value(view.processes().map(|processes| processes.total)),
    ),
    gauge(
        "kiwivm_processes_runnable",
        "Kernel scheduling entities that can run, from the load line. KVM only.",
        |view, series| series.value(view.processes().map(|processes| processes.runnable)),
    ),
    labelled_gauge(
        "kiwivm_ip_addresses",
        &["family"],
        "Assigned addresses; an IPv6 entry is an address or a subnet.",
        |view, series| {
            let Some(info) = view.service else { return };
            let public = info.ip_addresses.as_ref();
            series.labelled(&[("family", "ipv4")], public.map(|public| public.ipv4));
            series.labelled(&[("family", "ipv6")], public.map(|public| public.ipv6));
            series.labelled(&[("family", "private")], info.private_ip_addresses);
        },
    ),
    gauge(
        "kiwivm_nullrouted_ip_addresses",
        "Addresses that are null-routed because of an attack.",
        |view, series| series.value(view.service.and_then(|info| info.nullrouted_ip_addresses)),
    ),
    gauge(
        "kiwivm_ipv6_subnets_limit",
        "IPv6 subnets (/64) that the plan allows.",
        |view, series| series.value(view.service.and_then(|info| info.ipv6_subnets_limit)),
    ),
    labelled_gauge(
        "kiwivm_openvz_held",
        &["resource"],
        "What the container holds of a beancounter; bytes where the kernel counts pages.",
        |view, series| {
            for counter in view.live.iter().flat_map(|live| &live.beancounters) {
                series.labelled(&[("resource", &counter.resource)], counter.held);
            }
        },
    ),
    labelled_gauge(
        "kiwivm_openvz_barrier",
        &["resource"],
        "The barrier of a beancounter (the limit for physpages), in the unit of what is held.",
        |view, series| {
            for counter in view.live.iter().flat_map(|live| &live.beancounters) {
                series.labelled(&[("resource", &counter.resource)], counter.barrier);
            }
        },
    ),
    gauge(
        "kiwivm_inodes_used",
        "Inodes in use. OpenVZ only.",
        |view, series| series.value(view.live.and_then(|live| live.inodes_used)),
    ),
    gauge(
        "kiwivm_inodes_limit",
        "Soft limit of inodes. OpenVZ only.",
        |view, series| series.value(view.live.and_then(|live| live.inodes_limit)),
    ),
];
