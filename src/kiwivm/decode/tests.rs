//! Tests decoding of every sample body, field by field.

mod inventory;
mod usage;
mod validation;
mod values;

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::kiwivm::model::{
    Beancounter, Hypervisor, IpAddresses, LiveInfo, LoadAverage, Processes, ServiceInfo, Status,
};
use crate::units::{Bytes, UnixSeconds};

fn sample(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/samples")
        .join(name);
    std::fs::read(path).expect("the sample exists")
}

fn key() -> ApiKey {
    ApiKey::new("private_CanaryCanaryCanary012345").expect("valid key")
}

fn read(call: Call, body: &[u8]) -> Result<Decoded, DecodeError> {
    decode(call, &key(), body, &mut |_| {})
}

fn decoded(call: Call, name: &str) -> Decoded {
    read(call, &sample(name)).expect("valid response")
}

fn service(name: &str) -> ServiceInfo {
    let decoded = decoded(Call::ServiceInfo, name);
    assert_eq!(decoded.problems, [""; 0], "{name}");
    match decoded.payload {
        Payload::Service(info) => *info,
        other => panic!("{other:?}"),
    }
}

fn live(name: &str) -> (ServiceInfo, LiveInfo) {
    let decoded = decoded(Call::LiveServiceInfo, name);
    assert_eq!(decoded.problems, [""; 0], "{name}");
    match decoded.payload {
        Payload::Live(service, live) => (*service, *live),
        other => panic!("{other:?}"),
    }
}

fn error(name: &str) -> DecodeError {
    read(Call::ServiceInfo, &sample(name)).expect_err("API error")
}

#[expect(clippy::unnecessary_wraps, reason = "the fields are optional")]
fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// The content of `service_info_kvm.json`. The other samples are variants of it.
fn kvm() -> ServiceInfo {
    ServiceInfo {
        hypervisor: Some(Hypervisor::Kvm),
        hostname: text("vps1.example.com"),
        node: text("v1001"),
        location_id: text("USCA_2"),
        location: text("US, California"),
        datacenter: text("US: Example City, California (DC2 Transit/Mixed)"),
        plan: text("kvmv5-20g-1024m-1000g-example"),
        os: text("debian-12-x86_64"),
        monthly_data: Some(Bytes(1_073_741_824_000)),
        data_counter: Some(Bytes(318_203_948_576)),
        data_multiplier: Some(1.0),
        data_multiplier_unusable: false,
        data_next_reset: Some(UnixSeconds(1_792_540_800)),
        plan_disk: Some(Bytes(21_474_836_480)),
        plan_ram: Some(Bytes(1_073_741_824)),
        plan_swap: Some(Bytes(0)),
        ipv6_subnets_limit: Some(3),
        ip_addresses: Some(IpAddresses {
            primary: text("192.0.2.10"),
            host_ipv6: None,
            ipv4: 1,
            ipv6: 1,
        }),
        private_ip_addresses: Some(0),
        nullrouted_ip_addresses: Some(0),
        suspended: Some(false),
        policy_violation: Some(false),
        suspensions: Some(0),
        abuse_points: Some(0),
        abuse_points_limit: Some(1000),
    }
}

/// The content of `service_info_ovz.json`.
fn ovz() -> ServiceInfo {
    ServiceInfo {
        hypervisor: Some(Hypervisor::OpenVz),
        hostname: text("box.example.net"),
        node: text("v201"),
        location_id: text("USAZ_2"),
        location: text("US, Arizona"),
        datacenter: text("US: Example City, Arizona"),
        plan: text("example10g512m1t"),
        os: text("debian-9.0-x86_64"),
        monthly_data: Some(Bytes(1_073_741_824_000)),
        data_counter: Some(Bytes(4_211_093_347)),
        data_multiplier: Some(1.0),
        data_multiplier_unusable: false,
        data_next_reset: Some(UnixSeconds(1_791_331_200)),
        plan_disk: Some(Bytes(10_737_418_240)),
        plan_ram: Some(Bytes(536_870_912)),
        plan_swap: Some(Bytes(67_108_864)),
        ipv6_subnets_limit: Some(3),
        ip_addresses: Some(IpAddresses {
            primary: text("192.0.2.77"),
            host_ipv6: text("2001:db8:77::5"),
            ipv4: 1,
            ipv6: 2,
        }),
        private_ip_addresses: None,
        nullrouted_ip_addresses: None,
        suspended: Some(false),
        policy_violation: None,
        suspensions: None,
        abuse_points: None,
        abuse_points_limit: None,
    }
}

#[test]
fn service_info_of_a_kvm() {
    assert_eq!(service("service_info_kvm.json"), kvm());
}

#[test]
fn service_info_variants() {
    for (name, expected) in [
        (
            "service_info_kvm_2021.json",
            ServiceInfo {
                ip_addresses: Some(IpAddresses {
                    primary: text("192.0.2.10"),
                    host_ipv6: None,
                    ipv4: 1,
                    ipv6: 0,
                }),
                suspensions: None,
                ..kvm()
            },
        ),
        (
            "service_info_multiplier.json",
            ServiceInfo {
                location_id: text("HKHK_1"),
                location: text("HK, Hong Kong"),
                datacenter: text("HK: Hong Kong (example)"),
                data_multiplier: Some(0.33),
                ..kvm()
            },
        ),
        (
            "service_info_suspended.json",
            ServiceInfo {
                data_counter: Some(Bytes(1_075_901_234_567)),
                suspended: Some(true),
                suspensions: Some(1),
                ..kvm()
            },
        ),
        (
            "service_info_policy_violation.json",
            ServiceInfo {
                policy_violation: Some(true),
                abuse_points: Some(100),
                ..kvm()
            },
        ),
        (
            "service_info_nullrouted.json",
            ServiceInfo {
                nullrouted_ip_addresses: Some(1),
                ..kvm()
            },
        ),
        (
            "service_info_php_shapes.json",
            ServiceInfo {
                monthly_data: Some(Bytes(536_870_912_000)),
                data_counter: Some(Bytes(73_014_444_032)),
                suspensions: None,
                ..kvm()
            },
        ),
        ("service_info_ovz.json", ovz()),
        (
            "service_info_ovz_2017.json",
            ServiceInfo {
                location_id: None,
                datacenter: None,
                plan: text("micro64"),
                monthly_data: Some(Bytes(107_374_182_400)),
                data_counter: Some(Bytes(10_160_337)),
                data_multiplier: None,
                plan_disk: Some(Bytes(1_932_735_283)),
                plan_ram: Some(Bytes(75_497_472)),
                plan_swap: Some(Bytes(16_777_216)),
                ..ovz()
            },
        ),
    ] {
        assert_eq!(service(name), expected, "{name}");
    }
}

/// The content of `live_kvm_running.json`.
fn live_kvm() -> LiveInfo {
    LiveInfo {
        status: Some(Status::Running),
        cpu_throttled: Some(false),
        disk_throttled: Some(false),
        disk_used: Some(Bytes(7_194_070_221)),
        disk_size: Some(Bytes(20 << 30)),
        load: Some(LoadAverage {
            averages: [0.32, 0.25, 0.10],
            processes: Some(Processes {
                runnable: 1,
                total: 335,
            }),
        }),
        memory_available: Some(Bytes(612_340 << 10)),
        swap_total: Some(Bytes(262_140 << 10)),
        swap_free: Some(Bytes(201_984 << 10)),
        ..LiveInfo::default()
    }
}

/// The same without the values of the guest, which is not running.
fn off(status: Status) -> LiveInfo {
    LiveInfo {
        status: Some(status),
        load: None,
        memory_available: None,
        swap_total: None,
        swap_free: None,
        ..live_kvm()
    }
}

#[test]
fn live_info_of_a_kvm_in_every_state() {
    let load = |averages, runnable, total| {
        Some(LoadAverage {
            averages,
            processes: Some(Processes { runnable, total }),
        })
    };
    for (name, expected) in [
        ("live_kvm_running.json", live_kvm()),
        ("live_kvm_running.wire.json", live_kvm()),
        (
            "live_kvm_no_swap.json",
            LiveInfo {
                load: load([0.0, 0.0, 0.0], 1, 147),
                swap_total: Some(Bytes(0)),
                swap_free: Some(Bytes(0)),
                ..live_kvm()
            },
        ),
        ("live_kvm_starting.json", off(Status::Starting)),
        ("live_kvm_stopped.json", off(Status::Stopped)),
        ("live_kvm_stopped_empty_values.json", off(Status::Stopped)),
        (
            "live_kvm_throttled.json",
            LiveInfo {
                cpu_throttled: Some(true),
                disk_throttled: Some(true),
                load: load([4.12, 3.98, 3.40], 6, 410),
                ..live_kvm()
            },
        ),
        (
            "live_kvm_throttled_numeric.json",
            LiveInfo {
                cpu_throttled: Some(true),
                load: load([2.02, 1.71, 1.30], 3, 288),
                ..live_kvm()
            },
        ),
    ] {
        assert_eq!(live(name), (kvm(), expected), "{name}");
    }
    let suspended = ServiceInfo {
        data_counter: Some(Bytes(1_075_901_234_567)),
        suspended: Some(true),
        suspensions: Some(1),
        ..kvm()
    };
    assert_eq!(
        live("live_kvm_suspended.json"),
        (suspended, off(Status::Stopped))
    );
}

#[test]
fn live_info_of_an_openvz() {
    let counter = |resource: &'static str, held, barrier| Beancounter {
        resource: resource.into(),
        held: Some(held),
        barrier: Some(barrier),
    };
    let running = LiveInfo {
        status: Some(Status::Running),
        cpu_throttled: Some(false),
        disk_throttled: None,
        disk_used: Some(Bytes(3_981_524 << 10)),
        disk_size: Some(Bytes(10_485_760 << 10)),
        load: Some(LoadAverage {
            averages: [0.04, 0.09, 0.05],
            processes: None,
        }),
        memory_available: Some(Bytes(536_870_912 - 25_390 * 4096)),
        swap_total: Some(Bytes(67_108_864)),
        swap_free: Some(Bytes(67_108_864 - 1204 * 4096)),
        beancounters: vec![
            counter("nproc", 34, 320),
            counter("kmemsize", 9_120_448, 268_435_456),
            counter("privvmpages", 80_231 * 4096, 524_288 * 4096),
            counter("oomguarpages", 25_390 * 4096, 131_072 * 4096),
            counter("numtcpsock", 29, 3010),
            counter("numfile", 471, 20_480),
            counter("swappages", 1204 * 4096, 16_384 * 4096),
            counter("physpages", 24_186 * 4096, 131_072 * 4096),
        ],
        inodes_used: Some(68_912),
        inodes_limit: Some(10_240_000),
    };
    assert_eq!(live("live_ovz.json"), (ovz(), running));
    let stopped = LiveInfo {
        status: Some(Status::Stopped),
        cpu_throttled: Some(false),
        ..LiveInfo::default()
    };
    assert_eq!(live("live_ovz_stopped.json"), (ovz(), stopped));
}

#[test]
fn points() {
    for (name, remaining) in [
        ("rate_limit_status.json", (991, 19_871)),
        ("rate_limit_status_low.json", (0, 4120)),
    ] {
        let expected = RateLimitStatus {
            remaining_15m: Some(remaining.0),
            remaining_24h: Some(remaining.1),
        };
        let decoded = decoded(Call::RateLimitStatus, name);
        assert_eq!(
            (decoded.payload, decoded.problems),
            (Payload::RateLimit(expected), vec![])
        );
    }
}

#[test]
fn no_sample_panics_with_any_call() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("samples exist") {
        let body = std::fs::read(entry.expect("listable").path()).expect("readable");
        for call in Call::ALL {
            let _ = read(call, &body);
        }
        count += 1;
    }
    assert!(count > 50);
}

/// JSON values of any type.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,12}".prop_map(Into::into),
        "[0-9.eE/ +-]{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::hash_map("[a-z_]{0,9}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn random_bytes_do_not_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for call in Call::ALL {
            let _ = read(call, &body);
        }
    }

    #[test]
    fn truncated_and_corrupted_samples_do_not_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        for name in ["live_ovz.json", "live_kvm_running.wire.json", "raw_usage_stats_odd_rows.json"] {
            let mut body = sample(name);
            let at = at.index(body.len());
            if cut { body.truncate(at) } else { body[at] = byte }
            for call in Call::ALL {
                let _ = read(call, &body);
            }
        }
    }
}
