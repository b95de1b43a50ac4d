//! Mutated responses: no panic, no key in the result, no field lost without a problem, and no list counted too short.

use kiwivm_exporter::kiwivm::model::{Inventory, LiveInfo, Payload, RateLimitStatus, ServiceInfo};
use kiwivm_exporter::kiwivm::{Call, Decoded, Reason, decode};
use serde_json::Value;

use crate::dice::Dice;
use crate::keys::Key;
use crate::run;
use crate::tree::Tree;

pub fn samples(call: Call) -> &'static [&'static str] {
    match call {
        Call::LiveServiceInfo => &[
            "live_kvm_running.json",
            "live_kvm_stopped.json",
            "live_kvm_throttled.json",
            "live_ovz.json",
            "live_ovz_stopped.json",
            "error_locked.json",
        ],
        Call::RateLimitStatus => &["rate_limit_status.json", "error_rate_limited.json"],
        Call::RawUsageStats => &[
            "raw_usage_stats_kvm.json",
            "raw_usage_stats_odd_rows.json",
            "raw_usage_stats_empty.json",
        ],
        Call::ServiceInfo => &[
            "service_info_kvm.json",
            "service_info_multiplier.json",
            "service_info_nullrouted.json",
            "service_info_ovz.json",
            "service_info_php_shapes.json",
            "error_with_code_and_info.json",
        ],
        Call::PolicyViolations => &["policy_violations.json", "policy_violations_none.json"],
        Call::SuspensionDetails => &[
            "suspension_details.json",
            "suspension_details_none_empty_arrays.json",
        ],
        Call::BackupList => &["backup_list.json", "backup_list_empty.json"],
        Call::SnapshotList => &["snapshot_list.json", "snapshot_list_empty.json"],
        Call::AuditLog => &["audit_log.json", "audit_log_legacy_strings.json"],
        Call::MigrateLocations => &[
            "migrate_locations.json",
            "migrate_locations_fractional.json",
        ],
    }
}

/// A mutated response to this call.
pub fn body(call: Call, dice: &mut Dice, key: &Key) -> Vec<u8> {
    let mut tree = Tree::sample(dice.pick(samples(call)));
    tree.mutate(dice, key);
    tree.body(dice)
}

fn any_call(dice: &mut Dice) -> Call {
    Call::ALL[dice.below(Call::ALL.len())]
}

#[test]
fn responses() {
    run("responses", |dice| {
        let call = any_call(dice);
        let key = Key::any(dice);
        let body = body(call, dice, &key);
        let input = String::from_utf8_lossy(&body).into_owned();
        let result = decode(call, &key.key, &body, &mut |_| {});
        key.assert_hidden_in(&format!("{result:?}"), &input);
        let Ok(decoded) = &result else { return };
        let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&body);
        // An invalid value costs only its field in the decoder, but the whole document in serde_json.
        if let Ok(Value::Object(document)) = serde_json::from_slice(body) {
            let is_present = |name: &str| document.get(name).is_some_and(is_meaningful);
            for (name, known) in fields(&decoded.payload) {
                let accounted_for = known || !is_present(name) || decoded.problems.contains(&name);
                assert!(accounted_for, "{name} is lost: {decoded:?}\nof {input}");
            }
            check_count(call, decoded, &document, &input);
        }
    });
}

/// Messages of a rate limit only count in failed responses.
#[test]
fn refusals() {
    const WORDS: [&str; 8] = [
        "Too many requests",
        "rate limit exceeded",
        "API points exhausted",
        "quota exceeded",
        "slow down",
        "not enough points",
        "Bandwidth quota exceeded",
        "nothing of the kind",
    ];
    run("refusals", |dice| {
        let call = any_call(dice);
        let key = Key::any(dice);
        let words = dice.pick(&WORDS).to_owned();
        let good = Tree::sample(samples(call)[0]);
        let Tree::Object(mut members) = good else {
            unreachable!("samples are objects")
        };
        members.insert(0, ("message".to_owned(), Tree::Raw(format!("\"{words}\""))));
        let code = dice.below(3);
        members.retain(|(name, _)| name != "error");
        members.push(("error".to_owned(), Tree::Raw(code.to_string())));
        let mut text = String::new();
        Tree::Object(members).write(dice, &mut text);
        let result = decode(call, &key.key, text.as_bytes(), &mut |_| {});
        assert_eq!(result.is_ok(), code == 0, "{words}: {result:?} of {text}");
        let alone = |text: &str| {
            let body = format!("{{\"error\":1,\"message\":\"{text}\"}}");
            let result = decode(call, &key.key, body.as_bytes(), &mut |_| {});
            result.expect_err("it is an error").reason == Reason::RateLimited
        };
        let (upper, marked) = (words.to_uppercase(), words.replace(' ', "_"));
        let expected = !WORDS[6..].contains(&&*words);
        assert_eq!(
            [&*words, &upper, &marked].map(alone),
            [expected; 3],
            "{words}"
        );
    });
}

/// Reports whether a field has a meaningful value.
fn is_meaningful(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !matches!(text.trim(), "" | "-"),
        _ => true,
    }
}

/// Names of fields, and true if the decoder found a value.
fn fields(payload: &Payload) -> Vec<(&'static str, bool)> {
    match payload {
        Payload::Service(info) => of_service(info),
        Payload::Live(info, live) => [of_service(info), of_live(live)].concat(),
        Payload::RateLimit(RateLimitStatus {
            remaining_15m,
            remaining_24h,
        }) => vec![
            ("remaining_points_15min", remaining_15m.is_some()),
            ("remaining_points_24h", remaining_24h.is_some()),
        ],
        _ => Vec::new(),
    }
}

fn of_service(info: &ServiceInfo) -> Vec<(&'static str, bool)> {
    vec![
        ("hostname", info.hostname.is_some()),
        ("node_alias", info.node.is_some()),
        ("node_location_id", info.location_id.is_some()),
        ("node_location", info.location.is_some()),
        ("node_datacenter", info.datacenter.is_some()),
        ("plan", info.plan.is_some()),
        ("os", info.os.is_some()),
        ("plan_monthly_data", info.monthly_data.is_some()),
        ("data_counter", info.data_counter.is_some()),
        ("monthly_data_multiplier", info.data_multiplier.is_some()),
        ("data_next_reset", info.data_next_reset.is_some()),
        ("plan_disk", info.plan_disk.is_some()),
        ("plan_ram", info.plan_ram.is_some()),
        ("plan_swap", info.plan_swap.is_some()),
        ("plan_max_ipv6s", info.ipv6_subnets_limit.is_some()),
        ("ip_addresses", info.ip_addresses.is_some()),
        ("private_ip_addresses", info.private_ip_addresses.is_some()),
        ("ip_nullroutes", info.nullrouted_ip_addresses.is_some()),
        ("suspended", info.suspended.is_some()),
        ("policy_violation", info.policy_violation.is_some()),
        ("suspension_count", info.suspensions.is_some()),
        ("total_abuse_points", info.abuse_points.is_some()),
        ("max_abuse_points", info.abuse_points_limit.is_some()),
    ]
}

fn of_live(live: &LiveInfo) -> Vec<(&'static str, bool)> {
    vec![
        ("ve_status", live.status.is_some()),
        ("is_cpu_throttled", live.cpu_throttled.is_some()),
    ]
}

/// A lower bound for the number of items in a list, in any of its formats.
fn items(list: Option<&Value>) -> u64 {
    let number = match list {
        Some(Value::Array(items)) => items.len(),
        Some(Value::Object(members)) => {
            let items = members.values().filter(|value| value.is_object());
            items.count().max(usize::from(!members.is_empty()))
        }
        _ => 0,
    };
    number as u64
}

fn check_count(
    call: Call,
    decoded: &Decoded,
    document: &serde_json::Map<String, Value>,
    input: &str,
) {
    let Payload::Inventory(inventory) = &decoded.payload else {
        return;
    };
    let (name, count) = match (call, inventory) {
        (Call::PolicyViolations, Some(Inventory::PolicyViolations(known))) => {
            ("policy_violations", known.open)
        }
        (Call::SuspensionDetails, Some(Inventory::SuspensionCases(known))) => {
            ("suspensions", known.clearable + known.not_clearable)
        }
        (Call::BackupList, Some(Inventory::Backups(known))) => ("backups", known.count),
        (Call::SnapshotList, Some(Inventory::Snapshots(known))) => ("snapshots", known.count),
        (Call::AuditLog, Some(Inventory::AuditLog(known))) => ("log_entries", known.entries),
        (_, Some(_)) => return,
        (_, None) => {
            assert!(
                !decoded.problems.is_empty() || document.len() < 40,
                "{input}"
            );
            return;
        }
    };
    let listed = items(document.get(name));
    assert!(
        count >= listed,
        "{count} of {listed} {name}: {decoded:?}\nof {input}"
    );
}
