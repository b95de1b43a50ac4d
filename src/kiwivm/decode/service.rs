//! The fields of `getServiceInfo`.

use super::Fields;
use crate::kiwivm::lenient::{Loose, Odd, is_ipv6};
use crate::kiwivm::model::{Hypervisor, IpAddresses, ServiceInfo};

pub(super) const FIELDS: &[&str] = &[
    "vm_type",
    "vz_status",
    "hostname",
    "node_alias",
    "node_location_id",
    "node_location",
    "node_datacenter",
    "plan",
    "os",
    "plan_monthly_data",
    "data_counter",
    "monthly_data_multiplier",
    "data_next_reset",
    "plan_disk",
    "plan_ram",
    "plan_swap",
    "plan_max_ipv6s",
    "ip_addresses",
    "private_ip_addresses",
    "ip_nullroutes",
    "suspended",
    "policy_violation",
    "suspension_count",
    "total_abuse_points",
    "max_abuse_points",
];

pub(super) fn read(fields: &mut Fields) -> ServiceInfo {
    ServiceInfo {
        hypervisor: hypervisor(fields),
        hostname: fields.read("hostname", Loose::text),
        node: fields.read("node_alias", Loose::text),
        location_id: fields.read("node_location_id", Loose::text),
        location: fields.read("node_location", Loose::text),
        datacenter: fields.read("node_datacenter", Loose::text),
        plan: fields.read("plan", Loose::text),
        os: fields.read("os", Loose::text),
        monthly_data: fields.read("plan_monthly_data", Loose::count),
        data_counter: fields.read("data_counter", Loose::count),
        data_multiplier: fields.read("monthly_data_multiplier", multiplier),
        data_next_reset: fields.read("data_next_reset", reset),
        plan_disk: fields.read("plan_disk", Loose::count),
        plan_ram: fields.read("plan_ram", Loose::count),
        plan_swap: fields.read("plan_swap", Loose::count),
        ipv6_subnets_limit: fields.read("plan_max_ipv6s", Loose::count),
        ip_addresses: fields.read("ip_addresses", addresses),
        private_ip_addresses: fields.read("private_ip_addresses", length),
        nullrouted_ip_addresses: fields.read("ip_nullroutes", length),
        suspended: fields.read("suspended", Loose::flag),
        policy_violation: fields.read("policy_violation", Loose::flag),
        suspensions: fields.read("suspension_count", Loose::count),
        abuse_points: fields.read("total_abuse_points", Loose::count),
        abuse_points_limit: fields.read("max_abuse_points", Loose::count),
    }
}

/// Samples from before 2016 have no `vm_type`; what has `vz_status` is OpenVZ.
fn hypervisor(fields: &mut Fields) -> Option<Hypervisor> {
    let named = fields.read("vm_type", |value| {
        let Some(name) = value.text()? else {
            return Ok(None);
        };
        match name.to_ascii_lowercase().as_str() {
            "kvm" => Ok(Some(Hypervisor::Kvm)),
            "ovz" | "openvz" => Ok(Some(Hypervisor::OpenVz)),
            _ => Err(Odd),
        }
    });
    named.or_else(|| fields.has("vz_status").then_some(Hypervisor::OpenVz))
}

/// A coefficient of 0 or less would turn every share into nonsense.
fn multiplier(value: &Loose) -> Result<Option<f64>, Odd> {
    match value.real()? {
        Some(multiplier) if multiplier <= 0.0 => Err(Odd),
        multiplier => Ok(multiplier),
    }
}

/// A reset in 1970 or before is none.
fn reset(value: &Loose) -> Result<Option<i64>, Odd> {
    match value.timestamp()? {
        Some(reset) if reset <= 0 => Err(Odd),
        reset => Ok(reset),
    }
}

fn addresses(value: &Loose) -> Result<Option<IpAddresses>, Odd> {
    let mut addresses = IpAddresses::default();
    let mut first = None;
    for entry in value.list()? {
        let Some(address) = entry.text()? else {
            continue;
        };
        if is_ipv6(&address) {
            addresses.ipv6 += 1;
        } else {
            addresses.ipv4 += 1;
            if addresses.primary.is_none() {
                addresses.primary = Some(address.clone());
            }
        }
        first.get_or_insert(address);
    }
    addresses.primary = addresses.primary.or(first);
    Ok(Some(addresses))
}

/// How many entries a list or map has.
fn length(value: &Loose) -> Result<Option<u64>, Odd> {
    Ok(Some(value.list()?.len() as u64))
}
