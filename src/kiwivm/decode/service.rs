//! The fields of `getServiceInfo`.

use super::{Fields, scan};
use crate::kiwivm::ApiKey;
use crate::kiwivm::lenient::{Loose, Odd, is_ipv6};
use crate::kiwivm::model::{Hypervisor, IpAddresses, ServiceInfo};

pub const FIELDS: &[&str] = &[
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

const MULTIPLIER: &str = "monthly_data_multiplier";

pub(super) fn read(fields: &mut Fields, key: &ApiKey) -> ServiceInfo {
    let data_multiplier = fields.read(MULTIPLIER, Loose::multiplier);
    let data_multiplier_unusable = data_multiplier.is_none() && fields.has(MULTIPLIER);
    if data_multiplier_unusable {
        fields.problem(MULTIPLIER);
    }
    ServiceInfo {
        hypervisor: hypervisor(fields),
        hostname: fields.text("hostname", key),
        node: fields.text("node_alias", key),
        location_id: fields.text("node_location_id", key),
        location: fields.text("node_location", key),
        datacenter: fields.text("node_datacenter", key),
        plan: fields.text("plan", key),
        os: fields.text("os", key),
        monthly_data: fields.read("plan_monthly_data", Loose::count),
        data_counter: fields.read("data_counter", Loose::count),
        data_multiplier,
        data_multiplier_unusable,
        data_next_reset: fields.read("data_next_reset", Loose::timestamp),
        plan_disk: fields.read("plan_disk", Loose::count),
        plan_ram: fields.read("plan_ram", Loose::count),
        plan_swap: fields.read("plan_swap", Loose::count),
        ipv6_subnets_limit: fields.read("plan_max_ipv6s", Loose::count),
        ip_addresses: addresses(fields),
        private_ip_addresses: length(fields, "private_ip_addresses"),
        nullrouted_ip_addresses: length(fields, "ip_nullroutes"),
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

/// One that is no address could be of either family, so none is counted.
fn addresses(fields: &mut Fields) -> Option<IpAddresses> {
    const NAME: &str = "ip_addresses";
    let mut addresses = IpAddresses::default();
    let mut first = None;
    let mut odd = false;
    let arrived = fields.items(NAME, &[], &mut |item| {
        let text = Loose::parse(item).and_then(|item| item.text());
        let address = text.ok().flatten().unwrap_or_default();
        match is_ipv6(&address) {
            Some(true) => {
                addresses.ipv6 += 1;
                // A /64 is listed by its base, `2001:db8:12:34::`.
                if !address.ends_with("::") && !address.contains('/') {
                    addresses.host_ipv6.get_or_insert_with(|| address.clone());
                }
            }
            Some(false) => {
                addresses.ipv4 += 1;
                addresses.primary.get_or_insert_with(|| address.clone());
            }
            None => {
                odd = true;
                return;
            }
        }
        first.get_or_insert(address);
    });
    if odd {
        fields.problem(NAME);
    }
    addresses.primary = addresses.primary.or(first);
    (arrived == Ok(true) && !odd).then_some(addresses)
}

/// Number of entries of a list or map, those included that cannot be read.
fn length(fields: &mut Fields, name: &'static str) -> Option<u64> {
    const OF_ONE_NULLROUTE: &[&str] = &["nullroute_timestamp", "nullroute_duration_s", "log"];
    let mut count = 0;
    let mut odd = false;
    let arrived = fields.items(name, OF_ONE_NULLROUTE, &mut |item| {
        count += 1;
        let readable = match Loose::parse(item) {
            Ok(Loose::Text(text)) => !text.is_empty(),
            Ok(Loose::Nested) => scan::first(item) == Some(b'{'),
            _ => false,
        };
        odd |= !readable;
    });
    if odd {
        fields.problem(name);
    }
    (arrived == Ok(true)).then_some(count)
}
