//! A fleet with complete data, built from API responses.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kiwivm_exporter::clock::Moment;
use kiwivm_exporter::config::{Expect, Multiplier};
use kiwivm_exporter::fleet::{Fleet, Identity};
use kiwivm_exporter::kiwivm::{ApiKey, Call, Veid, decode};
use kiwivm_exporter::poller::SharedFleet;

/// Responses for each VPS, by call.
const RESPONSES: [(Call, &str); 6] = [
    (Call::RateLimitStatus, "rate_limit_status.json"),
    (Call::RawUsageStats, "raw_usage_stats_kvm.json"),
    (Call::SnapshotList, "snapshot_list.json"),
    (Call::BackupList, "backup_list.json"),
    (Call::SuspensionDetails, "suspension_details_none.json"),
    (Call::PolicyViolations, "policy_violations_none.json"),
];

/// Long enough that nothing goes stale while other sizes are measured.
const INTERVAL: Duration = Duration::from_secs(600);

fn sample(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/samples")
        .join(name);
    std::fs::read(path).expect("an existing sample")
}

/// Creates a fleet of running VPSes, each with different values.
pub fn fleet_of(count: u64, now: Moment) -> SharedFleet {
    let identity = |number: u64| Identity {
        veid: Veid(1_000_000 + number),
        name: format!("vps-{number}"),
        labels: vec![("env".to_owned(), "prod".to_owned())],
        expect: Expect::Running,
        multiplier: Multiplier::Both,
        thresholds: std::sync::Arc::default(),
    };
    let mut fleet = Fleet::new((1..=count).map(identity).collect(), 3.0);
    let others: Vec<_> = RESPONSES
        .iter()
        .map(|(call, name)| (*call, sample(name)))
        .collect();
    for number in 1..=count {
        let veid = Veid(1_000_000 + number);
        for call in Call::ALL {
            fleet.set_interval(veid, call, Some(INTERVAL), now);
        }
        apply(&mut fleet, veid, Call::LiveServiceInfo, &live(number), now);
        for (call, body) in &others {
            apply(&mut fleet, veid, *call, body, now);
        }
    }
    fleet.publish_usage();
    Arc::new(Mutex::new(fleet))
}

/// Returns a live response that differs from VPS to VPS.
pub fn live(number: u64) -> Vec<u8> {
    let noise = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let mut body: serde_json::Value =
        serde_json::from_slice(&sample("live_kvm_running.json")).expect("valid JSON");
    body["hostname"] = format!("host-{noise:x}.example.com").into();
    body["data_counter"] = (noise * 97).into();
    body["mem_available_kb"] = (noise % 1_000_000).into();
    body["load_average"] = format!(
        "0.{:02} 0.{:02} 0.{:02} 1/{} 4321",
        noise % 100,
        noise % 89,
        noise % 83,
        90 + noise % 50
    )
    .into();
    body["ip_addresses"] = serde_json::json!([format!("192.0.2.{}", noise % 250)]);
    body.to_string().into_bytes()
}

/// Applies a response as if it had just arrived.
pub fn apply(fleet: &mut Fleet, veid: Veid, call: Call, body: &[u8], now: Moment) {
    let mut usage = fleet.start_usage(veid, now);
    let key = ApiKey::new("private_x").expect("a valid key");
    let decoded = decode(call, &key, body, &mut |row| usage.take(row)).expect("a valid response");
    fleet.apply(veid, call, &Ok(decoded), now);
    if call == Call::RawUsageStats {
        fleet.apply_usage(veid, usage);
    }
}
