//! The fields that `getLiveServiceInfo` adds, for KVM and for OpenVZ.

use super::Fields;
use crate::kiwivm::lenient::{InvalidValue, Loose};
use crate::kiwivm::model::{Beancounter, Hypervisor, LiveInfo, ServiceInfo, Status};
use crate::units::Bytes;

/// Defines the tables of fields: the field of [`LiveInfo`], the rule and the vendor's name. The names of the response
/// itself also identify it. A nested object has a table of its own, which begins with its name.
macro_rules! fields {
    (
        $($table:ident { $($slot:ident: $($rule:ident)::+($name:literal),)* })*
        $($object:literal => $nested:ident {
            $($nested_slot:ident: $($nested_rule:ident)::+($nested_name:literal),)*
        })*
    ) => {
        pub const FIELDS: &[&str] = &[$($($name,)*)* $($object,)*];

        $(fn $table(fields: &mut Fields, live: &mut LiveInfo) {
            $(live.$slot = fields.read($name, $($rule)::+);)*
        })*

        $(fn $nested<'a>(
            fields: &mut Fields<'a>,
            counters: &[&'static str],
            live: &mut LiveInfo,
        ) -> Fields<'a> {
            let mut object = nested(fields, $object, &[&[$($nested_name,)*], counters]);
            $(live.$nested_slot = object.read($nested_name, $($nested_rule)::+);)*
            object
        })*
    };
}

fields! {
    kvm {
        status: status("ve_status"),
        disk_used: Loose::bytes("ve_used_disk_space_b"),
        disk_size: gib("ve_disk_quota_gb"),
        load: Loose::load_average("load_average"),
        memory_available: kib("mem_available_kb"),
        swap_total: kib("swap_total_kb"),
        swap_free: kib("swap_available_kb"),
    }
    throttling {
        cpu_throttled: Loose::flag("is_cpu_throttled"),
        disk_throttled: Loose::flag("is_disk_throttled"),
    }
    "vz_status" => openvz_status {
        status: status("status"),
        load: Loose::load_average("load_average"),
    }
    "vz_quota" => openvz_quota {
        disk_used: kib("occupied_kb"),
        disk_size: kib("softlimit_kb"),
        inodes_used: Loose::count("occupied_inodes"),
        inodes_limit: Loose::count("softlimit_inodes"),
    }
}

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
    let mut live = LiveInfo::default();
    if is_openvz {
        openvz(fields, service, &mut live);
    } else {
        kvm(fields, &mut live);
    }
    if live.status == Some(Status::Other) {
        fields.problem(if is_openvz { "vz_status" } else { "ve_status" });
    }
    throttling(fields, &mut live);
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

fn openvz(fields: &mut Fields, service: &ServiceInfo, live: &mut LiveInfo) {
    let counters = BEANCOUNTERS.map(|(name, _, _)| name);
    let barriers = BEANCOUNTERS.map(|(_, barrier, _)| barrier);
    let mut counted = openvz_status(fields, &[counters, barriers].concat(), live);
    live.beancounters = BEANCOUNTERS
        .iter()
        .map(|(name, barrier, unit)| Beancounter {
            resource: (*name).into(),
            held: counted.read(name, |value| value.count_of(*unit)),
            barrier: counted.read(barrier, |value| value.count_of(*unit)),
        })
        .filter(|counter| counter.held.is_some() || counter.barrier.is_some())
        .collect();
    let limited = openvz_quota(fields, &[], live);
    let find = |resource| {
        live.beancounters
            .iter()
            .find(|counter| counter.resource == resource)
    };
    let held = |resource| find(resource)?.held.map(Bytes);
    let swap_total = service
        .plan_swap
        .or_else(|| find("swappages")?.barrier.map(Bytes));
    // Other clients with OpenVZ support use oomguarpages as the memory in use.
    let memory_available = remaining(service.plan_ram, held("oomguarpages"));
    let swap_free = remaining(swap_total, held("swappages"));
    live.memory_available = memory_available;
    live.swap_total = swap_total;
    live.swap_free = swap_free;
    fields.problems(counted.problems);
    fields.problems(limited.problems);
}

/// Reads the known fields of a nested object.
fn nested<'a>(
    fields: &mut Fields<'a>,
    name: &'static str,
    known: &[&[&'static str]],
) -> Fields<'a> {
    let Some(object) = fields.get(name) else {
        return Fields::default();
    };
    if let Ok(Some(nested)) = Fields::of(object, known) {
        return nested;
    }
    // Records a problem unless the value is blank or an empty list, which is PHP's empty map.
    let _ = fields.members(name, &mut |_, _| {});
    Fields::default()
}

fn kib(value: &Loose) -> Result<Option<Bytes>, InvalidValue> {
    value.bytes_of(KIB)
}

fn gib(value: &Loose) -> Result<Option<Bytes>, InvalidValue> {
    value.bytes_of(GIB)
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
fn remaining(total: Option<Bytes>, held: Option<Bytes>) -> Option<Bytes> {
    Some(total?.saturating_sub(held?))
}
