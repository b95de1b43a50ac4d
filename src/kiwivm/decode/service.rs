//! The fields of `getServiceInfo`.

use super::{Fields, scan};
use crate::kiwivm::ApiKey;
use crate::kiwivm::lenient::{InvalidValue, Loose, is_ipv6};
use crate::kiwivm::model::{Hypervisor, IpAddresses, ServiceInfo};
use crate::units::{Bytes, UnixSeconds};

/// Defines the table of fields: the field of [`ServiceInfo`], the rule and the vendor's name. The names also identify
/// the response.
macro_rules! fields {
    ($($slot:ident: $rule:ident($name:literal),)*) => {
        pub const FIELDS: &[&str] = &[$($name,)* "vz_status"];

        pub(super) fn read(fields: &mut Fields, key: &ApiKey) -> ServiceInfo {
            let data_multiplier_unusable = is_unusable_multiplier(fields);
            ServiceInfo {
                $($slot: $rule(fields, $name, key),)*
                data_multiplier_unusable,
            }
        }
    };
}

fields! {
    hypervisor: hypervisor("vm_type"),
    hostname: text("hostname"),
    node: text("node_alias"),
    location_id: text("node_location_id"),
    location: text("node_location"),
    datacenter: text("node_datacenter"),
    plan: text("plan"),
    os: text("os"),
    monthly_data: bytes("plan_monthly_data"),
    data_counter: bytes("data_counter"),
    data_multiplier: multiplier("monthly_data_multiplier"),
    data_next_reset: timestamp("data_next_reset"),
    plan_disk: bytes("plan_disk"),
    plan_ram: bytes("plan_ram"),
    plan_swap: bytes("plan_swap"),
    ipv6_subnets_limit: count("plan_max_ipv6s"),
    ip_addresses: addresses("ip_addresses"),
    private_ip_addresses: length("private_ip_addresses"),
    nullrouted_ip_addresses: length("ip_nullroutes"),
    suspended: flag("suspended"),
    policy_violation: flag("policy_violation"),
    suspensions: count("suspension_count"),
    abuse_points: count("total_abuse_points"),
    abuse_points_limit: count("max_abuse_points"),
}

fn text(fields: &mut Fields, name: &'static str, key: &ApiKey) -> Option<String> {
    fields.text(name, key)
}

fn count(fields: &mut Fields, name: &'static str, _: &ApiKey) -> Option<u64> {
    fields.read(name, Loose::count)
}

fn bytes(fields: &mut Fields, name: &'static str, _: &ApiKey) -> Option<Bytes> {
    fields.read(name, Loose::bytes)
}

fn timestamp(fields: &mut Fields, name: &'static str, _: &ApiKey) -> Option<UnixSeconds<i64>> {
    fields.read(name, Loose::timestamp)
}

fn flag(fields: &mut Fields, name: &'static str, _: &ApiKey) -> Option<bool> {
    fields.read(name, Loose::flag)
}

const MULTIPLIER: &str = "monthly_data_multiplier";

fn multiplier(fields: &mut Fields, name: &'static str, _: &ApiKey) -> Option<f64> {
    fields.read(name, Loose::multiplier)
}

/// Returns true if the multiplier is present but invalid, so that the allowance is unknown. A missing one counts as 1.
fn is_unusable_multiplier(fields: &mut Fields) -> bool {
    let unusable = fields.has(MULTIPLIER) && fields.read(MULTIPLIER, Loose::multiplier).is_none();
    if unusable {
        fields.problem(MULTIPLIER);
    }
    unusable
}

/// Reads `vm_type`. Responses before 2016 lack it; those with `vz_status` are OpenVZ.
fn hypervisor(fields: &mut Fields, name: &'static str, _: &ApiKey) -> Option<Hypervisor> {
    let named = fields.read(name, |value| {
        let Some(name) = value.text()? else {
            return Ok(None);
        };
        match name.to_ascii_lowercase().as_str() {
            "kvm" => Ok(Some(Hypervisor::Kvm)),
            "ovz" | "openvz" => Ok(Some(Hypervisor::OpenVz)),
            _ => Err(InvalidValue),
        }
    });
    named.or_else(|| fields.has("vz_status").then_some(Hypervisor::OpenVz))
}

/// Counts addresses by family. An invalid one could be of either family, so it makes all counts unknown.
fn addresses(fields: &mut Fields, name: &'static str, _: &ApiKey) -> Option<IpAddresses> {
    let mut addresses = IpAddresses::default();
    let mut first = None;
    let mut invalid = false;
    let arrived = fields.items(name, &[], &mut |item| {
        let text = Loose::parse(item).and_then(|item| item.text());
        let address = text.ok().flatten().unwrap_or_default();
        match is_ipv6(&address) {
            Some(true) => {
                addresses.ipv6 += 1;
                // The API lists a /64 subnet by its base, `2001:db8:12:34::`.
                if !address.ends_with("::") && !address.contains('/') {
                    addresses.host_ipv6.get_or_insert_with(|| address.clone());
                }
            }
            Some(false) => {
                addresses.ipv4 += 1;
                addresses.primary.get_or_insert_with(|| address.clone());
            }
            None => {
                invalid = true;
                return;
            }
        }
        first.get_or_insert(address);
    });
    if invalid {
        fields.problem(name);
    }
    addresses.primary = addresses.primary.or(first);
    (arrived == Ok(true) && !invalid).then_some(addresses)
}

/// Counts the entries of a list or map, including unreadable ones.
fn length(fields: &mut Fields, name: &'static str, _: &ApiKey) -> Option<u64> {
    const NULLROUTE_FIELDS: &[&str] = &["nullroute_timestamp", "nullroute_duration_s", "log"];
    let mut count = 0;
    let mut invalid = false;
    let arrived = fields.items(name, NULLROUTE_FIELDS, &mut |item| {
        count += 1;
        let readable = match Loose::parse(item) {
            Ok(Loose::Text(text)) => !text.is_empty(),
            Ok(Loose::Nested) => scan::first(item) == Some(b'{'),
            _ => false,
        };
        invalid |= !readable;
    });
    if invalid {
        fields.problem(name);
    }
    (arrived == Ok(true)).then_some(count)
}
