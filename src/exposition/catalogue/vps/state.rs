//! Metrics about the identity, the state and the plan limits of a VPS.

use super::{VpsMetric, gauge, labelled_gauge};
use crate::config::{Expect, Threshold};
use crate::fleet::{SuspensionReason, bandwidth};
use crate::kiwivm::model::{Hypervisor, Status};

pub(super) const METRICS: &[VpsMetric] = &[
    gauge(
        "kiwivm_up",
        "1 if getLiveServiceInfo or getServiceInfo data is fresh, else 0. Absent until the first poll.",
        |view, series| series.value(view.vps.tried.then_some(view.up)),
    ),
    gauge(
        "kiwivm_expected_running",
        "Power state expected by the configuration: 1 for running, 0 for stopped. Absent if either is fine.",
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
        "Alert threshold of this VPS, from the configuration. Absent if the alert is off.",
        |view, series| {
            for threshold in Threshold::ALL {
                let limit = view.vps.identity.thresholds.get(threshold);
                series.labelled(&[("threshold", threshold.name())], limit);
            }
        },
    ),
    gauge(
        "kiwivm_authentication_failed",
        "1 if the API rejected the key or no key is usable, 0 once the API has accepted the key.",
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
        "VPS metadata, always 1. A label is empty if the API omitted the field.",
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
        "Power state: 1 for the current state, 0 for the others.",
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
        "1 if the API reports that a task has locked the VPS, else 0.",
        |view, series| series.value(view.lock.map(Option::is_some)),
    ),
    gauge(
        "kiwivm_lock_progress_ratio",
        "Progress of the task that has locked the VPS, from 0 to 1.",
        |view, series| {
            let lock = view.lock.and_then(Option::as_ref);
            series.value(lock.and_then(|lock| lock.progress));
        },
    ),
    gauge(
        "kiwivm_suspended",
        "1 if the VPS is suspended, else 0. A used-up bandwidth allowance also suspends it.",
        |view, series| series.value(view.service.and_then(|info| info.suspended)),
    ),
    labelled_gauge(
        "kiwivm_suspension_reason",
        &["reason"],
        "1 for each reason that applies to the current suspension, 0 for the others. Absent unless the VPS is suspended.",
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
        "1 if a policy violation requires action, else 0.",
        |view, series| series.value(view.service.and_then(|info| info.policy_violation)),
    ),
    gauge(
        "kiwivm_suspensions",
        "Suspensions in the current calendar year.",
        |view, series| series.value(view.service.and_then(|info| info.suspensions)),
    ),
    gauge(
        "kiwivm_abuse_points",
        "Abuse points in the current calendar year.",
        |view, series| series.value(view.service.and_then(|info| info.abuse_points)),
    ),
    gauge(
        "kiwivm_abuse_points_limit",
        "Abuse points that the plan allows per calendar year.",
        |view, series| series.value(view.service.and_then(|info| info.abuse_points_limit)),
    ),
    gauge(
        "kiwivm_cpu_throttled",
        "1 if the CPU is throttled for high usage, else 0. The vendor lifts the throttle after two hours.",
        |view, series| series.value(view.live.and_then(|live| live.cpu_throttled)),
    ),
    gauge(
        "kiwivm_disk_throttled",
        "1 if disk I/O is throttled, else 0. KVM only.",
        |view, series| series.value(view.live.and_then(|live| live.disk_throttled)),
    ),
    gauge(
        "kiwivm_bandwidth_used_bytes",
        "Bandwidth used since the last reset, times the location multiplier if bandwidth.multiplier is both. May exceed the allowance.",
        |view, series| {
            series.value(
                view.service
                    .and_then(|info| bandwidth::used(info, view.multiplier())),
            );
        },
    ),
    gauge(
        "kiwivm_bandwidth_allowance_bytes",
        "Bandwidth allowed until the next reset, times the location multiplier unless bandwidth.multiplier is none.",
        |view, series| {
            series.value(
                view.service
                    .and_then(|info| bandwidth::allowance(info, view.multiplier())),
            );
        },
    ),
    gauge(
        "kiwivm_bandwidth_multiplier",
        "Bandwidth multiplier of the location. If the API omits it, used and allowance assume 1.",
        |view, series| series.value(view.service.and_then(|info| info.data_multiplier)),
    ),
    gauge(
        "kiwivm_bandwidth_reset_timestamp_seconds",
        "Unix time of the next bandwidth reset.",
        |view, series| series.value(view.service.and_then(|info| info.data_next_reset)),
    ),
    gauge(
        "kiwivm_bandwidth_period_start_timestamp_seconds",
        "Unix time of the last bandwidth reset, derived as the next reset minus one calendar month.",
        |view, series| {
            let reset = view.service.and_then(|info| info.data_next_reset);
            series.value(reset.and_then(bandwidth::period_start));
        },
    ),
    gauge(
        "kiwivm_bandwidth_forecast_bytes",
        "Bandwidth usage forecast for the next reset, multiplied like the used bytes. Absent in the first hours of a period.",
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
        "Unix time at which the forecast expects the bandwidth allowance to run out, or it ran out. Absent if it lasts until the reset.",
        |view, series| series.value(view.forecast.and_then(|forecast| forecast.exhaustion)),
    ),
    gauge(
        "kiwivm_memory_total_bytes",
        "Memory size of the plan.",
        |view, series| series.value(view.service.and_then(|info| info.plan_ram)),
    ),
    gauge(
        "kiwivm_memory_available_bytes",
        "Memory available to new programs in the guest. Only while the VPS is running.",
        |view, series| series.value(view.live.and_then(|live| live.memory_available)),
    ),
    gauge(
        "kiwivm_swap_total_bytes",
        "Swap size of the guest (KVM) or of the plan (OpenVZ). Only while the VPS is running.",
        |view, series| series.value(view.live.and_then(|live| live.swap_total)),
    ),
    gauge(
        "kiwivm_swap_free_bytes",
        "Free swap. Only while the VPS is running.",
        |view, series| series.value(view.live.and_then(|live| live.swap_free)),
    ),
    gauge(
        "kiwivm_disk_size_bytes",
        "Size of the disk image (KVM) or soft limit of the disk quota (OpenVZ).",
        |view, series| series.value(view.live.and_then(|live| live.disk_size)),
    ),
    gauge(
        "kiwivm_disk_used_bytes",
        "KVM: allocated blocks of the disk image, which shrink only when the guest trims. OpenVZ: used disk quota.",
        |view, series| series.value(view.live.and_then(|live| live.disk_used)),
    ),
    gauge(
        "kiwivm_disk_quota_bytes",
        "Disk size of the plan.",
        |view, series| series.value(view.service.and_then(|info| info.plan_disk)),
    ),
    gauge(
        "kiwivm_load1",
        "Load average over 1 minute. Only while the VPS is running.",
        |view, series| series.value(view.load_average(0)),
    ),
    gauge(
        "kiwivm_load5",
        "Load average over 5 minutes. Only while the VPS is running.",
        |view, series| series.value(view.load_average(1)),
    ),
    gauge(
        "kiwivm_load15",
        "Load average over 15 minutes. Only while the VPS is running.",
        |view, series| series.value(view.load_average(2)),
    ),
    gauge(
        "kiwivm_processes",
        "Existing kernel scheduling entities, from the load average line. KVM only.",
        |view, series| series.value(view.processes().map(|processes| processes.total)),
    ),
    gauge(
        "kiwivm_processes_runnable",
        "Runnable kernel scheduling entities, from the load average line. KVM only.",
        |view, series| series.value(view.processes().map(|processes| processes.runnable)),
    ),
    labelled_gauge(
        "kiwivm_ip_addresses",
        &["family"],
        "Assigned IP addresses by family. An IPv6 entry is an address or a subnet.",
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
        "IP addresses null-routed because of an attack.",
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
        "Current usage of an OpenVZ beancounter. Pages are converted to bytes.",
        |view, series| {
            for counter in view.live.iter().flat_map(|live| &live.beancounters) {
                series.labelled(&[("resource", &counter.resource)], counter.held);
            }
        },
    ),
    labelled_gauge(
        "kiwivm_openvz_barrier",
        &["resource"],
        "Barrier of an OpenVZ beancounter (limit for physpages), in the unit of kiwivm_openvz_held.",
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
