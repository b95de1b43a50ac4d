use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::encoding::text::encode_registry;
use prometheus_client::registry::Registry;

use super::*;
use crate::clock::{Clock, Moment};
use crate::exposition::Exposition;
use crate::exposition::catalogue::{EXPORTER_METRICS, vps_metrics};
use crate::exposition::format::Format;
use crate::exposition::tests::{NOW, apply, assert_golden, fleet, identity, key, sample};
use crate::fleet::Fleet;
use crate::kiwivm::{Call, Veid, decode};

/// Applies a `getServiceInfo` response with some fields changed.
fn apply_changed(fleet: &mut Fleet, veid: u64, name: &str, changes: &serde_json::Value) {
    let mut body: serde_json::Value = serde_json::from_slice(&sample(name)).expect("valid JSON");
    for (field, value) in changes.as_object().expect("a JSON object") {
        body[field] = value.clone();
    }
    let decoded = decode(
        Call::ServiceInfo,
        &key(),
        body.to_string().as_bytes(),
        &mut |_| {},
    );
    fleet.apply(
        Veid(veid),
        Call::ServiceInfo,
        &Ok(decoded.expect("a valid response")),
        NOW,
    );
}

/// Renders the foreign metrics of a page, without `# EOF`.
fn page_in(format: Format, fleet: Fleet, now: Moment, only: Option<u64>) -> String {
    let shown = Shown {
        fleet: Arc::new(Mutex::new(fleet)),
        now,
        only: only.map(|veid| [Veid(veid)].into()),
        format,
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ForeignCollector {
        shown,
        exporters: Compatibility::ALL.to_vec(),
    }));
    let mut page = String::new();
    encode_registry(&mut page, &registry).expect("writing to memory succeeds");
    page
}

/// Renders the foreign metrics of a page as OpenMetrics.
fn page(fleet: Fleet, now: Moment, only: Option<u64>) -> String {
    page_in(Format::OpenMetrics1, fleet, now, only)
}

fn samples(page: &str) -> Vec<&str> {
    page.lines().filter(|line| !line.starts_with('#')).collect()
}

/// The samples of one metric.
fn samples_of<'a>(page: &'a str, metric: &str) -> Vec<&'a str> {
    let start = format!("{metric}{{");
    let all = samples(page).into_iter();
    all.filter(|line| line.starts_with(&start)).collect()
}

/// One VPS each: KVM, OpenVZ, with a multiplier, suspended for bandwidth, never polled, with a refused key.
fn mixed_fleet() -> Fleet {
    let names = ["kvm", "ovz", "far", "over", "silent", "refused"];
    let identities = (1_000_001..)
        .zip(names)
        .map(|(veid, name)| identity(veid, name));
    let mut fleet = fleet(identities.collect());
    let live = Call::LiveServiceInfo;
    apply(&mut fleet, 1_000_001, live, "live_kvm_running.json");
    let points = Call::RateLimitStatus;
    apply(&mut fleet, 1_000_001, points, "rate_limit_status.json");
    apply(&mut fleet, 1_000_002, live, "live_ovz.json");
    apply_changed(
        &mut fleet,
        1_000_003,
        "service_info_multiplier.json",
        &serde_json::json!({"hostname": "vps3.example.com"}),
    );
    apply_changed(
        &mut fleet,
        1_000_004,
        "service_info_suspended.json",
        &serde_json::json!({"hostname": "vps4.example.com", "data_counter": 1_075_762_174_650_u64}),
    );
    apply(&mut fleet, 1_000_006, live, "error_auth.json");
    fleet
}

#[test]
fn pages_match_the_golden_files() {
    let openmetrics = page(mixed_fleet(), NOW, None);
    assert_golden(
        "compatibility.openmetrics.txt",
        &format!("{openmetrics}# EOF\n"),
    );
    let text = page_in(Format::Text004, mixed_fleet(), NOW, None);
    assert_golden("compatibility.txt", &text);
}

#[test]
fn metric_names_are_unique_and_well_formed() {
    let theirs = Compatibility::ALL.into_iter().flat_map(metrics_of);
    let own = vps_metrics().map(|vps| &vps.metric);
    let own = own.chain(EXPORTER_METRICS).map(|metric| metric.name);
    let mut names: HashSet<_> = own.collect();
    for ForeignMetric { metric, .. } in theirs {
        let name = metric.name;
        assert!(names.insert(name), "{name} twice");
        assert_eq!(
            name.ends_with("_total"),
            metric.kind == Kind::Counter,
            "{name}"
        );
        assert!(!metric.help.contains(['"', '\\', '\n']), "{name}");
        assert!(metric.help.ends_with('.'), "{name}");
    }
}

#[test]
fn samples_have_the_declared_labels() {
    let page = page(mixed_fleet(), NOW, None);
    for ForeignMetric { metric, .. } in Compatibility::ALL.into_iter().flat_map(metrics_of) {
        let samples = samples_of(&page, metric.name);
        assert!(!samples.is_empty(), "{}", metric.name);
        for sample in samples {
            let labels = sample.match_indices("=\"").map(|(end, _)| {
                let start = sample[..end]
                    .rfind(['{', ','])
                    .expect("a label has a start");
                &sample[start + 1..end]
            });
            assert_eq!(labels.collect::<Vec<_>>(), metric.labels, "{sample}");
        }
    }
}

#[test]
fn serves_only_the_enabled_exporters_after_each_reload() {
    let [bandwagon, cloud] = Compatibility::ALL;
    let shared = Arc::new(Mutex::new(mixed_fleet()));
    let exposition = Exposition::new(shared, Clock::start(), Vec::new());
    let served = || {
        let page = exposition.scrape(Format::Text004, false, &[]).unwrap();
        let page = String::from_utf8(page.to_vec()).unwrap();
        let families = |exporter| {
            let named = |foreign: &&ForeignMetric| {
                let line = format!("# TYPE {} ", foreign.metric.name);
                page.matches(&line).count() == 1
            };
            metrics_of(exporter).iter().filter(named).count()
        };
        (families(bandwagon), families(cloud))
    };
    assert_eq!(served(), (0, 0));
    for (enabled, expected) in [
        (vec![bandwagon], (7, 0)),
        (vec![cloud], (0, 8)),
        (vec![cloud, bandwagon, cloud], (7, 8)),
        (vec![], (0, 0)),
    ] {
        exposition.reloaded(Some(enabled));
        assert_eq!(served(), expected);
        exposition.reloaded(None);
        assert_eq!(
            served(),
            expected,
            "the previous configuration stays active"
        );
    }
}

#[test]
fn drops_stale_samples_but_keeps_counters() {
    let later = Moment {
        elapsed: NOW.elapsed + Duration::from_secs(361),
        unix: NOW.unix + 361.0,
    };
    let page = page(mixed_fleet(), later, None);
    assert_eq!(
        samples(&page),
        samples_of(&page, "bandwagon_api_request_total")
    );
    assert!(page.contains(r#"bandwagon_api_request_total{veid="1000001"} 2"#));
    assert!(page.contains(r#"bandwagon_api_request_total{veid="1000006"} 0"#));
}

#[test]
fn shows_the_first_of_vpses_with_equal_name_and_address() {
    let fleet = || {
        let mut fleet = fleet(vec![identity(1, "one"), identity(2, "two")]);
        apply_changed(
            &mut fleet,
            1,
            "service_info_kvm.json",
            &serde_json::json!({"os": "first", "data_counter": 1}),
        );
        apply_changed(
            &mut fleet,
            2,
            "service_info_kvm.json",
            &serde_json::json!({"os": "second", "data_counter": 2}),
        );
        fleet
    };
    let both = page(fleet(), NOW, None);
    let counters = samples_of(&both, "data_counter");
    assert_eq!(
        counters,
        [r#"data_counter{hostname="vps1.example.com",ip_address="192.0.2.10"} 1"#]
    );
    assert!(!both.contains("second"));
    assert_eq!(samples_of(&both, "bandwagon_api_request_total").len(), 2);

    let second = page(fleet(), NOW, Some(2));
    assert!(second.contains("second") && !second.contains("first"));
    assert_eq!(
        samples_of(&second, "bandwagon_api_request_total"),
        [r#"bandwagon_api_request_total{veid="2"} 1"#]
    );
}

#[test]
fn missing_fields_are_absent_or_empty_labels() {
    let mut fleet = fleet(vec![identity(1, "one")]);
    let decoded = decode(
        Call::ServiceInfo,
        &key(),
        br#"{"error": 0, "plan": "p"}"#,
        &mut |_| {},
    );
    fleet.apply(Veid(1), Call::ServiceInfo, &Ok(decoded.unwrap()), NOW);
    assert_eq!(
        samples(&page(fleet, NOW, None)),
        [
            r#"bandwagon_node_info{hostname="",ip_address="",os="",suspended="",location="",vm_type="",plan="p",disk="",ram="",swap=""} 1"#,
            r#"bandwagon_api_request_total{veid="1"} 1"#,
        ]
    );
}

#[test]
fn gigabytes_are_gibibytes_with_two_decimals() {
    for (bytes, expected) in [
        (0.0, 0.0),
        (1_073_741_824_000.0, 1000.0),
        (646_237_875_340.0, 601.86),
        (1_075_762_174_650.0, 1001.88),
        (1_073_741_824_000.0 - 1_075_762_174_650.0, -1.88),
        // 0.125 GiB is a tie, which rounds to the even digit.
        (134_217_728.0, 0.12),
    ] {
        let Some(Value::Real(gib)) = gib(Bytes(bytes)) else {
            panic!("{bytes} is a number")
        };
        assert!((gib - expected).abs() < 1e-9, "{bytes}: {gib}");
    }
}

/// The README's table also maps these names to our own, which no code does.
#[test]
fn the_guide_names_every_metric() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/migration.md");
    let guide = std::fs::read_to_string(path).expect("there is a guide");
    for ForeignMetric { metric, .. } in Compatibility::ALL.into_iter().flat_map(metrics_of) {
        let labels: Vec<_> = metric
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let row = format!("| `{}` | {} | ", metric.name, labels.join(", "));
        assert!(guide.contains(&row), "{row}");
    }
}
