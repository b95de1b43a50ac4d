use std::collections::HashSet;
use std::path::Path;

use super::*;
use crate::config::{Expect, Multiplier, is_reserved_label};
use crate::fleet::Identity;
use crate::kiwivm::{ApiKey, Call, CallError, Reason, decode};

pub(super) const NOW: Moment = Moment {
    elapsed: Duration::from_secs(48 * 3600 + 1000),
    unix: UnixSeconds(1_790_820_400.0),
};

pub(super) fn sample(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/samples")
        .join(name);
    std::fs::read(path).expect("the sample exists")
}

pub(super) fn key() -> ApiKey {
    ApiKey::new("private_x").expect("a valid key")
}

pub(super) fn identity(veid: u64, name: &str) -> Identity {
    Identity {
        veid: Veid(veid),
        name: name.to_owned(),
        labels: vec![("env".to_owned(), "prod".to_owned())],
        expect: Expect::Running,
        multiplier: Multiplier::Both,
        thresholds: std::sync::Arc::default(),
    }
}

/// Applies a sample as if the API had just returned it. The sample may be an error.
pub(super) fn apply(fleet: &mut Fleet, veid: u64, call: Call, name: &str) {
    let mut usage = fleet.start_usage(Veid(veid), NOW);
    let mut row = |row| usage.take(row);
    let result = decode(call, &key(), &sample(name), &mut row)
        .map_err(|error| CallError::from_decode_error(Veid(veid), call, error));
    fleet.apply(Veid(veid), call, &result, NOW);
    if call == Call::RawUsageStats && result.is_ok() {
        fleet.apply_usage(Veid(veid), usage);
        fleet.publish_usage();
    }
}

pub(super) fn fleet(identities: Vec<Identity>) -> Fleet {
    let veids: Vec<_> = identities.iter().map(|identity| identity.veid).collect();
    let mut fleet = Fleet::new(identities, 3.0);
    for veid in veids {
        for call in Call::ALL {
            fleet.set_interval(veid, call, Some(Duration::from_secs(120)), NOW);
        }
    }
    fleet
}

fn exposition(fleet: Fleet) -> Exposition {
    let exposition = Exposition::new(Arc::new(Mutex::new(fleet)), Clock::start(), Vec::new());
    exposition.reloads.lock().unwrap().last_success = UnixSeconds(1_790_820_000.5);
    exposition
}

fn openmetrics(exposition: &Exposition, now: Moment) -> String {
    exposition.page(Format::OpenMetrics1, now).text()
}

/// One VPS each: KVM, OpenVZ, locked, with a refused key, never polled.
fn mixed_exposition() -> Exposition {
    let mut fleet = fleet(vec![
        identity(1_000_001, "kvm"),
        identity(1_000_002, "ovz"),
        identity(1_000_003, "locked"),
        identity(1_000_004, "refused"),
        identity(1_000_005, "silent"),
    ]);
    apply(
        &mut fleet,
        1_000_001,
        Call::LiveServiceInfo,
        "live_kvm_running.json",
    );
    apply(
        &mut fleet,
        1_000_001,
        Call::RateLimitStatus,
        "rate_limit_status.json",
    );
    apply(
        &mut fleet,
        1_000_001,
        Call::RawUsageStats,
        "raw_usage_stats_ovz.json",
    );
    // Usage is counted from the newest row of the first response on.
    apply(
        &mut fleet,
        1_000_001,
        Call::RawUsageStats,
        "raw_usage_stats_kvm.json",
    );
    for (call, name) in [
        (Call::SnapshotList, "snapshot_list.json"),
        (Call::BackupList, "backup_list.json"),
        (Call::PolicyViolations, "policy_violations.json"),
        (Call::SuspensionDetails, "suspension_details.json"),
        (Call::AuditLog, "audit_log.json"),
        (Call::MigrateLocations, "migrate_locations_fractional.json"),
    ] {
        apply(&mut fleet, 1_000_001, call, name);
    }
    apply(
        &mut fleet,
        1_000_002,
        Call::LiveServiceInfo,
        "live_ovz.json",
    );
    apply(
        &mut fleet,
        1_000_003,
        Call::LiveServiceInfo,
        "error_locked.json",
    );
    apply(
        &mut fleet,
        1_000_003,
        Call::ServiceInfo,
        "service_info_multiplier.json",
    );
    apply(
        &mut fleet,
        1_000_004,
        Call::LiveServiceInfo,
        "error_auth.json",
    );
    fleet
        .totals_mut()
        .state_written(true, UnixSeconds(1_790_819_990.25));
    fleet
        .totals_mut()
        .state_written(false, UnixSeconds(1_790_819_999.0));
    exposition(fleet)
}

/// Blanks the labels that differ from build to build.
fn without_build(page: &str) -> String {
    page.lines()
        .map(|line| match line.split_once("build_info{") {
            Some((name, _)) if !line.starts_with('#') => {
                format!("{name}build_info{{version=\"\",revision=\"\",rustc=\"\"}} 1\n")
            }
            _ => format!("{line}\n"),
        })
        .collect()
}

pub(super) fn assert_golden(name: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    let page = without_build(page);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &page).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    for (number, (actual, expected)) in page.lines().zip(golden.lines()).enumerate() {
        assert_eq!(
            actual,
            expected,
            "{name}:{}; set UPDATE_GOLDEN=1 to update it",
            number + 1
        );
    }
    assert_eq!(page.lines().count(), golden.lines().count(), "{name}");
}

#[test]
fn pages_match_the_golden_files() {
    let exposition = mixed_exposition();
    let page = |format| exposition.page(format, NOW).text();
    let openmetrics = page(Format::OpenMetrics1);
    assert_golden(
        "exposition.openmetrics.txt",
        &format!("{openmetrics}# EOF\n"),
    );
    assert_golden("exposition.txt", &page(Format::Text004));
}

/// Dashboards and rules are checked against the catalogue. Names must be valid, and help must not need escaping.
#[test]
fn the_catalogue_is_well_formed() {
    let vps = catalogue::vps_metrics().map(|vps| &vps.metric);
    let own = catalogue::EXPORTER_METRICS.iter();
    let process = process::PROCESS_METRICS.iter().map(|(metric, _)| metric);
    let mut names = HashSet::new();
    for metric in vps.chain(own).chain(process) {
        let name = metric.name;
        assert!(names.insert(name), "{name} twice");
        assert!(
            name.bytes()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_'),
            "{name}"
        );
        assert_eq!(
            name.ends_with("_total"),
            metric.kind == catalogue::Kind::Counter,
            "{name}"
        );
        assert!(!metric.help.contains(['"', '\\', '\n']), "{name}");
        assert!(metric.help.ends_with('.'), "{name}");
        // Configured labels are on every series of a VPS and must not collide with ours.
        for label in metric.labels {
            assert!(is_reserved_label(label), "{name}: {label}");
        }
    }
}

#[test]
fn hostile_names_are_escaped_in_both_formats() {
    let hostile = "a\"b\\c\nd\u{1F95D}{}=,# EOF";
    let mut fleet = fleet(vec![identity(1, hostile)]);
    let long = "x".repeat(10_000);
    for hostname in [hostile, &long] {
        let body = serde_json::json!({"error": 0, "hostname": hostname}).to_string();
        let decoded = decode(Call::ServiceInfo, &key(), body.as_bytes(), &mut |_| {})
            .expect("a valid response");
        fleet.apply(Veid(1), Call::ServiceInfo, &Ok(decoded), NOW);
        let page = openmetrics(&exposition(fleet), NOW);
        assert!(page.contains(r#"vps="a\"b\\c\nd🥝{}=,# EOF""#), "{page}");
        assert!(
            page.lines()
                .all(|line| line.starts_with('#') || line.starts_with("kiwivm_")),
            "{page}"
        );
        assert!(page.lines().all(|line| line.len() < 2000));
        fleet = self::fleet(vec![identity(1, hostile)]);
    }
}

#[test]
fn a_vps_has_one_info_series_when_its_host_name_changes() {
    let mut fleet = fleet(vec![identity(1, "a")]);
    for hostname in ["one", "two", "three"] {
        let body = serde_json::json!({"error": 0, "hostname": hostname}).to_string();
        let decoded = decode(Call::ServiceInfo, &key(), body.as_bytes(), &mut |_| {})
            .expect("a valid response");
        fleet.apply(Veid(1), Call::ServiceInfo, &Ok(decoded), NOW);
    }
    let page = openmetrics(&exposition(fleet), NOW);
    let info: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("kiwivm_vps_info{"))
        .collect();
    assert!(
        info.len() == 1 && info[0].contains("hostname=\"three\""),
        "{info:?}"
    );
}

fn unpacked(body: &[u8]) -> String {
    let mut page = String::new();
    let mut decoder = flate2::read::GzDecoder::new(body);
    std::io::Read::read_to_string(&mut decoder, &mut page).expect("compressed text");
    page
}

#[test]
fn serves_a_body_again_for_a_second_and_the_same_page_compressed() {
    let exposition = mixed_exposition();
    for format in [Format::OpenMetrics1, Format::Text004] {
        let scrape = |gzip| exposition.scrape(format, gzip, &[]).unwrap();
        let same = |a: &Bytes, b: &Bytes| a.as_ptr() == b.as_ptr();
        let begun = exposition.clock.now().elapsed;
        let (plain, compressed) = (scrape(false), scrape(true));
        let again = (scrape(false), scrape(true));
        if exposition.clock.now().elapsed < begun + SERVED_FOR {
            assert!(same(&plain, &again.0) && same(&compressed, &again.1));
        }
        // The values of process_* may differ.
        let fleet = |page: &str| page.split("# HELP process_").next().map(str::to_owned);
        let plain = String::from_utf8(plain.to_vec()).unwrap();
        assert_eq!(fleet(&plain), fleet(&unpacked(&compressed)));
    }
}

#[test]
fn drops_forms_that_are_no_longer_requested() {
    let exposition = mixed_exposition();
    let kept = || exposition.bodies().iter().flatten().count();
    exposition.scrape(Format::Text004, false, &[]).unwrap();
    exposition.scrape(Format::OpenMetrics1, true, &[]).unwrap();
    assert!(kept() >= 1);
    for body in exposition.bodies().iter_mut().flatten() {
        body.served_until = Duration::ZERO;
    }
    exposition.scrape(Format::OpenMetrics1, true, &[]).unwrap();
    assert_eq!(kept(), 1);
}

#[test]
fn renders_an_expired_body_again() {
    let exposition = mixed_exposition();
    let before = exposition.scrape(Format::Text004, true, &[]).unwrap();
    apply(
        &mut lock(&exposition.fleet),
        1_000_005,
        Call::LiveServiceInfo,
        "live_kvm_throttled.json",
    );
    for body in exposition.bodies().iter_mut().flatten() {
        body.served_until = Duration::ZERO;
    }
    let after = exposition.scrape(Format::Text004, true, &[]).unwrap();
    let line = r#"kiwivm_authentication_failed{veid="1000005",vps="silent",env="prod"} 0"#;
    assert!(!unpacked(&before).contains(line));
    assert!(unpacked(&after).contains(line));
}

#[test]
fn shows_a_failed_reload_immediately() {
    let exposition = mixed_exposition();
    let failed = |page: &Bytes| {
        let page = String::from_utf8(page.to_vec()).unwrap();
        page.contains("kiwivm_exporter_config_last_reload_successful 0")
    };
    assert!(!failed(
        &exposition.scrape(Format::Text004, false, &[]).unwrap()
    ));
    exposition.reloaded(None);
    assert!(failed(
        &exposition.scrape(Format::Text004, false, &[]).unwrap()
    ));
}

#[test]
fn drops_stale_data_without_a_new_response() {
    let exposition = mixed_exposition();
    let running = r#"kiwivm_running{veid="1000001",vps="kvm",env="prod"} 1"#;
    assert!(openmetrics(&exposition, NOW).contains(running));
    let later = Moment {
        elapsed: NOW.elapsed + Duration::from_secs(361),
        unix: NOW.unix + 361.0,
    };
    let page = openmetrics(&exposition, later);
    assert!(!page.contains(running));
    assert!(page.contains(r#"kiwivm_up{veid="1000001",vps="kvm",env="prod"} 0"#));
    assert!(page.contains(r#"kiwivm_polls_total{veid="1000001",vps="kvm",env="prod",call="getLiveServiceInfo",outcome="success"} 1"#));
}

#[test]
fn a_selection_shows_only_its_vpses() {
    let exposition = mixed_exposition();
    let names = ["ovz".to_owned()];
    let page = exposition
        .scrape(Format::OpenMetrics1, false, &names)
        .unwrap();
    let page = String::from_utf8(page.to_vec()).unwrap();
    assert!(
        page.lines()
            .all(|line| line.starts_with('#') || line.contains(r#"vps="ovz""#)),
        "{page}"
    );
    assert!(page.contains("kiwivm_openvz_held{"));
    assert!(page.ends_with("# EOF\n"));
    let unknown = exposition.scrape(Format::Text004, false, &["nope".to_owned()]);
    assert_eq!(unknown, Err(UnknownVps("nope".to_owned())));
}

#[test]
fn a_failure_counts_for_its_vps_and_call_only() {
    let mut fleet = fleet(vec![identity(1, "one"), identity(2, "two")]);
    let (call, reason) = (Call::RawUsageStats, Reason::HttpStatus);
    let failed = Err(CallError::new(Veid(1), call, reason, "HTTP status 500"));
    fleet.apply(Veid(1), Call::RawUsageStats, &failed, NOW);
    let page = openmetrics(&exposition(fleet), NOW);
    let errors: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("kiwivm_poll_errors_total{"))
        .collect();
    assert_eq!(
        errors,
        [
            r#"kiwivm_poll_errors_total{veid="1",vps="one",env="prod",call="getRawUsageStats",reason="http_status"} 1"#
        ]
    );
}

#[test]
fn a_call_dropped_before_its_first_poll_keeps_its_counters() {
    let call = Call::BackupList;
    let exposition = exposition(fleet(vec![identity(1, "one")]));
    let counters = |interval: Option<u64>| {
        let interval = interval.map(Duration::from_secs);
        lock(&exposition.fleet).set_interval(Veid(1), call, interval, NOW);
        let page = openmetrics(&exposition, NOW);
        let of_it = |line: &&str| line.contains("_total{") && line.contains("backup/list");
        page.lines()
            .filter(of_it)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let planned = counters(Some(60));
    assert!(
        planned
            .iter()
            .any(|line| line.starts_with("kiwivm_polls_total{")),
        "{planned:?}"
    );
    assert_eq!(counters(None), planned);
}
