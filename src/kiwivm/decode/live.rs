//! The fields that `getLiveServiceInfo` adds, for KVM and for OpenVZ.

use super::Fields;
use crate::kiwivm::lenient::{InvalidValue, Loose};
use crate::kiwivm::model::{Beancounter, Hypervisor, LiveInfo, ServiceInfo, Status};

pub const FIELDS: &[&str] = &[
    "ve_status",
    "vz_status",
    "ve_used_disk_space_b",
    "ve_disk_quota_gb",
    "is_cpu_throttled",
    "is_disk_throttled",
    "load_average",
    "mem_available_kb",
    "swap_total_kb",
    "swap_available_kb",
    "vz_quota",
];

const KIB: u64 = 1 << 10;
const GIB: u64 = 1 << 30;
/// OpenVZ counts memory in pages of this size.
const PAGE: u64 = 4096;

/// The name of a beancounter, the name of its barrier, and its unit in bytes (1 for plain numbers and bytes).
const BEANCOUNTERS: [(&str, &str, u64); 8] = [
    ("nproc", "nproc_b", 1),
    ("kmemsize", "kmemsize_b", 1),
    ("privvmpages", "privvmpages_b", PAGE),
    ("oomguarpages", "oomguarpages_b", PAGE),
    ("numtcpsock", "numtcpsock_b", 1),
    ("numfile", "numfile_b", 1),
    ("swappages", "swappages_b", PAGE),
    ("physpages", "physpages_l", PAGE),
];

pub(super) fn read(fields: &mut Fields, service: &ServiceInfo) -> LiveInfo {
    // The name of the status field predicts the shape of the response better than `vm_type` does.
    let is_openvz = match (fields.has("ve_status"), fields.has("vz_status")) {
        (true, false) => false,
        (false, true) => true,
        _ => service.hypervisor == Some(Hypervisor::OpenVz),
    };
    let mut live = if is_openvz {
        openvz(fields, service)
    } else {
        kvm(fields)
    };
    if live.status == Some(Status::Other) {
        fields.problem(if is_openvz { "vz_status" } else { "ve_status" });
    }
    live.cpu_throttled = fields.read("is_cpu_throttled", Loose::flag);
    live.disk_throttled = fields.read("is_disk_throttled", Loose::flag);
    // The API may send nulls or zeros for a guest that is off, and 0 would mean "no memory available". So values of the
    // guest are kept only if it is known to be running.
    if live.status != Some(Status::Running) {
        live.load = None;
        live.memory_available = None;
        live.swap_total = None;
        live.swap_free = None;
        live.beancounters.clear();
    }
    live
}

fn kvm(fields: &mut Fields) -> LiveInfo {
    LiveInfo {
        status: fields.read("ve_status", status),
        disk_used: fields.read("ve_used_disk_space_b", Loose::count),
        disk_size: fields.read("ve_disk_quota_gb", |value| value.count_of(GIB)),
        load: fields.read("load_average", Loose::load_average),
        memory_available: fields.read("mem_available_kb", |value| value.count_of(KIB)),
        swap_total: fields.read("swap_total_kb", |value| value.count_of(KIB)),
        swap_free: fields.read("swap_available_kb", |value| value.count_of(KIB)),
        ..LiveInfo::default()
    }
}

fn openvz(fields: &mut Fields, service: &ServiceInfo) -> LiveInfo {
    let mut status_of = nested(fields, "vz_status");
    let mut quota_of = nested(fields, "vz_quota");
    let beancounters: Vec<_> = BEANCOUNTERS
        .iter()
        .map(|(name, barrier, unit)| Beancounter {
            resource: (*name).into(),
            held: status_of.read(name, |value| value.count_of(*unit)),
            barrier: status_of.read(barrier, |value| value.count_of(*unit)),
        })
        .filter(|counter| counter.held.is_some() || counter.barrier.is_some())
        .collect();
    let find = |resource| {
        beancounters
            .iter()
            .find(|counter| counter.resource == resource)
    };
    let held = |resource| find(resource).and_then(|counter| counter.held);
    let swap_total = service
        .plan_swap
        .or_else(|| find("swappages").and_then(|counter| counter.barrier));
    let live = LiveInfo {
        status: status_of.read("status", status),
        load: status_of.read("load_average", Loose::load_average),
        // Other clients with OpenVZ support use oomguarpages as the memory in use.
        memory_available: remaining(service.plan_ram, held("oomguarpages")),
        swap_total,
        swap_free: remaining(swap_total, held("swappages")),
        disk_used: quota_of.read("occupied_kb", |value| value.count_of(KIB)),
        disk_size: quota_of.read("softlimit_kb", |value| value.count_of(KIB)),
        inodes_used: quota_of.read("occupied_inodes", Loose::count),
        inodes_limit: quota_of.read("softlimit_inodes", Loose::count),
        beancounters,
        ..LiveInfo::default()
    };
    fields.problems(status_of.problems);
    fields.problems(quota_of.problems);
    live
}

/// Reads the fields of a nested object.
fn nested<'a>(fields: &mut Fields<'a>, name: &'static str) -> Fields<'a> {
    const OTHER_FIELDS: &[&str] = &[
        "status",
        "load_average",
        "occupied_kb",
        "softlimit_kb",
        "occupied_inodes",
        "softlimit_inodes",
    ];
    let Some(object) = fields.get(name) else {
        return Fields::default();
    };
    let counters = BEANCOUNTERS.map(|(name, _, _)| name);
    let barriers = BEANCOUNTERS.map(|(_, barrier, _)| barrier);
    if let Ok(Some(nested)) = Fields::of(object, &[&counters, &barriers, OTHER_FIELDS]) {
        return nested;
    }
    // Records a problem unless the value is blank or an empty list, which is PHP's empty map.
    let _ = fields.members(name, &mut |_, _| {});
    Fields::default()
}

/// Reads the state. The vendor's documentation has `Running`, the API sends `running`.
fn status(value: &Loose) -> Result<Option<Status>, InvalidValue> {
    let Some(word) = value.text()? else {
        return Ok(None);
    };
    Ok(match word.trim().to_ascii_lowercase().as_str() {
        "" | "-" => None,
        "running" => Some(Status::Running),
        "starting" => Some(Status::Starting),
        "stopped" => Some(Status::Stopped),
        _ => Some(Status::Other),
    })
}

/// Subtracts, with 0 as the minimum: a container may hold more than its plan has.
fn remaining(total: Option<u64>, held: Option<u64>) -> Option<u64> {
    Some(total?.saturating_sub(held?))
}
