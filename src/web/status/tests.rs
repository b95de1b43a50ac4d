use std::time::Duration;

use super::*;
use crate::clock::{BEFORE_START, Moment};
use crate::config::{Expect, Multiplier};
use crate::exposition::Reloads;
use crate::fleet::{Fleet, Identity, Planned};
use crate::kiwivm::model::{self, Hypervisor, LiveInfo, Payload, Points, ServiceInfo, UsageRow};
use crate::kiwivm::{Call, CallError, Decoded, PerCall, Reason, Veid};

/// 2026-10-11 00:00, eleven days into a period of 31.
const TODAY: i64 = 1_791_676_800;
/// 2026-10-31 00:00.
const RESET: i64 = 1_793_404_800;
const DAY: i64 = 86_400;

#[expect(clippy::cast_precision_loss, reason = "dates")]
fn at(unix: i64) -> Moment {
    let elapsed = BEFORE_START + Duration::from_secs((unix - TODAY + 40 * DAY).unsigned_abs());
    Moment {
        elapsed,
        unix: unix as f64,
    }
}

fn now() -> Moment {
    at(TODAY)
}

fn fleet(names: &[&str]) -> Fleet {
    let identity = |(name, veid): (&&str, u64)| Identity {
        veid: Veid(veid),
        name: (*name).to_owned(),
        labels: Vec::new(),
        expect: Expect::Running,
        multiplier: Multiplier::Both,
        thresholds: std::sync::Arc::default(),
    };
    let identities = names.iter().zip(1..).map(identity).collect();
    let mut fleet = Fleet::new(identities, 3.0);
    let planned = Planned {
        points_exhausted: Some(false),
        intervals: PerCall::all(Some(Duration::from_secs(120))),
        allowed: Some([500.0, 10_000.0]),
        allowance: Some(7),
        next_poll: Some(now().elapsed + Duration::from_secs(30)),
    };
    for (_, veid) in names.iter().zip(1..) {
        fleet.show_plan(Veid(veid), planned, now());
    }
    fleet
}

fn service() -> ServiceInfo {
    ServiceInfo {
        hypervisor: Some(Hypervisor::Kvm),
        data_counter: Some(100 << 30),
        monthly_data: Some(1000 << 30),
        data_multiplier: Some(0.5),
        data_next_reset: Some(RESET),
        plan_ram: Some(1 << 30),
        suspended: Some(false),
        ..ServiceInfo::default()
    }
}

fn live() -> LiveInfo {
    LiveInfo {
        status: Some(model::Status::Running),
        cpu_throttled: Some(false),
        memory_available: Some(512 << 20),
        ..LiveInfo::default()
    }
}

fn answer(fleet: &mut Fleet, veid: u64, call: Call, payload: Payload, now: Moment) {
    let decoded = Decoded {
        payload,
        problems: Vec::new(),
    };
    fleet.apply(Veid(veid), call, &Ok(decoded), now);
}

fn tell(fleet: &mut Fleet, veid: u64, service: ServiceInfo, live: LiveInfo) {
    let told = Payload::Live(Box::new(service), Box::new(live));
    answer(fleet, veid, Call::LiveServiceInfo, told, now());
}

fn fail(fleet: &mut Fleet, veid: u64, reason: Reason, detail: &str, now: Moment) {
    let call = Call::LiveServiceInfo;
    let lock = (reason == Reason::Locked).then(|| model::Lock {
        task: Some(detail.to_owned()),
        progress: Some(0.4),
    });
    let error = CallError {
        lock,
        ..CallError::new(Veid(veid), call, reason, detail)
    };
    fleet.apply(Veid(veid), call, &Err(error), now);
}

/// The status after an hour in which nothing changed.
fn status(fleet: &mut Fleet, now: Moment) -> Status {
    let hour = Duration::from_secs(3600);
    let before = Moment {
        elapsed: now.elapsed.saturating_sub(hour),
        unix: now.unix - 3600.0,
    };
    fleet.watch(true, before);
    status_now(fleet, now)
}

fn status_now(fleet: &mut Fleet, now: Moment) -> Status {
    fleet.watch(true, now);
    let reloads = Reloads {
        successful: true,
        last_success: now.unix - 600.0,
    };
    Status::new(fleet, reloads, "/metrics", now)
}

/// One VPS that told this.
fn one(service: ServiceInfo, live: LiveInfo) -> Vps {
    let mut fleet = fleet(&["one"]);
    tell(&mut fleet, 1, service, live);
    status(&mut fleet, now()).vps.remove(0)
}

fn alerts(vps: &Vps) -> Vec<(Severity, &str)> {
    vps.concerns
        .iter()
        .map(|concern| (concern.level, concern.alert))
        .collect()
}

/// Bandwidth of a VPS of which so many GiB of 1000 are used, at a time.
fn bandwidth(used: u64, unix: i64) -> Bandwidth {
    let mut fleet = fleet(&["one"]);
    let info = ServiceInfo {
        data_counter: Some(used << 30),
        ..service()
    };
    let told = Payload::Service(Box::new(info));
    answer(&mut fleet, 1, Call::ServiceInfo, told, at(unix));
    status(&mut fleet, at(unix)).vps.remove(0).bandwidth
}

fn near(a: Option<f64>, b: f64) -> bool {
    a.is_some_and(|a| (a - b).abs() < 1e-9)
}

#[test]
fn bytes_are_multiplied_and_the_share_is_that_of_both() {
    let told = one(service(), live()).bandwidth;
    assert_eq!(told.used_bytes, Some(50 << 30));
    assert_eq!(told.allowance_bytes, Some(500 << 30));
    assert_eq!(told.multiplier, Some(0.5));
    assert!(near(told.used_ratio, 0.1));
}

#[test]
fn an_even_pace_is_known_within_a_period() {
    // 2026-10-31 minus a month is 2026-09-30: a period of 31 days, of which 11 are over.
    let told = bandwidth(100, TODAY);
    let start = RESET - 31 * DAY;
    assert_eq!(told.period_start_timestamp_seconds, Some(start));
    assert!(near(told.even_pace_ratio, 11.0 / 31.0));
    for (unix, even) in [
        (start - 1, false),
        (start, true),
        (RESET - 1, true),
        (RESET, false),
    ] {
        let told = bandwidth(100, unix);
        assert_eq!(told.even_pace_ratio.is_some(), even, "{unix}");
    }
}

#[test]
fn nothing_is_made_of_nothing() {
    let told = one(
        ServiceInfo {
            monthly_data: Some(0),
            data_next_reset: Some(i64::MAX),
            ..service()
        },
        LiveInfo::default(),
    );
    assert_eq!(told.bandwidth.used_ratio, None);
    assert_eq!(told.bandwidth.forecast_ratio, None);
    assert_eq!(told.state, State::Unknown);
    assert_eq!(told.load, None);
    let page = status(&mut fleet(&["silent"]), now());
    assert_eq!(page.vps[0].state, State::NotAskedYet);
    assert_eq!(page.vps[0].bandwidth, Bandwidth::default());
    assert_eq!(page.summary.unknown, 1);
    assert!(page.html(".").contains("<b>Bandwidth</b> unknown"));
    assert!(!page.html(".").contains("<svg"));
}

#[test]
fn the_allowance_is_a_concern_when_much_of_it_is_used_or_will_be() {
    // Five weeks in which as much was used each day as since the last reset.
    let gib = |used: u64| {
        let mut fleet = fleet(&["one"]);
        let info = ServiceInfo {
            data_counter: Some(used << 30),
            ..service()
        };
        tell(&mut fleet, 1, info, live());
        let mut usage = fleet.read_usage(Veid(1), now());
        for hour in 0..35 * 24 {
            usage.take(UsageRow {
                timestamp: TODAY - hour * 3600,
                cpu_percent: None,
                network_in: Some((used << 30) / 11 / 24),
                network_out: None,
                disk_read: None,
                disk_written: None,
            });
        }
        fleet.take_usage(Veid(1), usage);
        status(&mut fleet, now()).vps.remove(0)
    };
    assert_eq!(alerts(&gib(100)), []);
    assert!(
        gib(100)
            .bandwidth
            .forecast_ratio
            .is_some_and(|ratio| (ratio - 0.1 * 31.0 / 11.0).abs() < 0.01)
    );
    let runs_out = (Severity::Warning, "KiwiVMBandwidthWillRunOut");
    assert_eq!(alerts(&gib(400)), [runs_out]);
    assert_eq!(alerts(&gib(800)), [runs_out]);
    let soon = (Severity::Critical, "KiwiVMBandwidthWillRunOut");
    assert_eq!(alerts(&gib(985)), [soon]);
    assert_eq!(
        gib(400).concerns[0].text,
        "It has used 200 of 500 GiB; at this pace it runs out on 27 Oct 11:37 UTC, 3 days before the reset. Then it is \
         suspended."
    );
    let mut fleet = fleet(&["one"]);
    let much = ServiceInfo {
        data_counter: Some(960 << 30),
        ..service()
    };
    tell(&mut fleet, 1, much, live());
    let nearly = status(&mut fleet, now()).vps.remove(0);
    assert_eq!(
        alerts(&nearly),
        [(Severity::Critical, "KiwiVMBandwidthNearlyUsed")]
    );
}

#[test]
fn a_state_in_one_word_is_the_one_that_matters_most() {
    let suspended = ServiceInfo {
        suspended: Some(true),
        data_counter: Some(1001 << 30),
        ..service()
    };
    let stopped = LiveInfo {
        status: Some(model::Status::Stopped),
        ..LiveInfo::default()
    };
    let vps = one(suspended, stopped.clone());
    assert_eq!(vps.state, State::Suspended);
    assert_eq!(alerts(&vps), [(Severity::Critical, "KiwiVMSuspended")]);
    assert!(vps.concerns[0].text.contains("used up"));
    let vps = one(service(), stopped);
    assert_eq!(alerts(&vps), [(Severity::Critical, "KiwiVMNotAsExpected")]);

    let mut fleet = fleet(&["refused", "locked"]);
    fail(&mut fleet, 1, Reason::Auth, "no", now());
    tell(&mut fleet, 2, service(), live());
    fail(&mut fleet, 2, Reason::Locked, "Snapshot", now());
    let told = status(&mut fleet, now());
    assert_eq!(told.vps[0].state, State::KeyRefused);
    assert_eq!(told.vps[1].state, State::Locked);
    assert_eq!((told.summary.warning, told.summary.locked), (1, 1));
    let html = told.html(".");
    assert!(
        html.contains("locked: <bdi>Snapshot</bdi>, 40 % done"),
        "{html}"
    );
    assert!(html.contains("Last error 0 s ago: "), "{html}");
}

#[test]
fn worst_first_then_in_the_order_of_the_configuration() {
    let mut fleet = fleet(&["a", "b", "c", "d", "e", "f"]);
    let throttled = LiveInfo {
        cpu_throttled: Some(true),
        ..live()
    };
    let stopped = LiveInfo {
        status: Some(model::Status::Stopped),
        ..LiveInfo::default()
    };
    for (veid, live) in [
        (1, live()),
        (2, throttled.clone()),
        (3, stopped.clone()),
        (4, throttled),
        (5, stopped),
        (6, live()),
    ] {
        tell(&mut fleet, veid, service(), live);
    }
    let told = status(&mut fleet, now());
    let names: Vec<_> = told.vps.iter().map(|vps| vps.name.as_str()).collect();
    assert_eq!(names, ["c", "e", "b", "d", "a", "f"]);
    let Summary {
        vps,
        critical,
        warning,
        well,
        ..
    } = told.summary;
    assert_eq!((vps, critical, warning, well), (6, 2, 2, 2));
    assert!(
        told.html(".")
            .contains("<h1>4 of 6 VPSes need attention</h1>")
    );
}

#[test]
fn what_is_stale_is_unknown_and_says_since_when() {
    let mut fleet = fleet(&["one", "two"]);
    tell(&mut fleet, 1, service(), live());
    tell(&mut fleet, 2, service(), live());
    let later = at(TODAY + 361);
    answer(
        &mut fleet,
        1,
        Call::ServiceInfo,
        Payload::Service(Box::new(service())),
        later,
    );
    let told = status_now(&mut fleet, later);
    assert_eq!(told.summary.pending, 2);
    assert!(
        told.html(".")
            .contains("<b>Warning in 15 min if it lasts</b> Calls bring no data")
    );
    let quarter = at(TODAY + 361 + 900);
    answer(
        &mut fleet,
        1,
        Call::ServiceInfo,
        Payload::Service(Box::new(service())),
        quarter,
    );
    let told = status_now(&mut fleet, quarter);
    let [half, silent] = &told.vps[..] else {
        panic!("{told:?}")
    };
    for vps in [half, silent] {
        assert_eq!(vps.state, State::Unknown);
        assert_eq!(vps.memory.available_bytes, None);
        assert_eq!(alerts(vps), [(Severity::Warning, "KiwiVMDataStale")]);
        assert!(vps.concerns[0].text.contains("getLiveServiceInfo"));
    }
    assert!(half.up && half.bandwidth.used_bytes.is_some());
    assert!(!silent.up && silent.bandwidth.used_bytes.is_none());
    assert!(silent.concerns[0].text.ends_with("Last data 21 min ago."));
    // Two of them cannot tell a failing API from failing VPSes.
    assert_eq!(told.concerns, []);
}

#[test]
fn a_condition_is_pending_until_it_has_lasted() {
    let mut fleet = fleet(&["one"]);
    let stopped = LiveInfo {
        status: Some(model::Status::Stopped),
        ..LiveInfo::default()
    };
    tell(&mut fleet, 1, service(), stopped);
    let told = status_now(&mut fleet, now());
    let vps = &told.vps[0];
    assert_eq!((alerts(vps), vps.attention), (vec![], None));
    assert_eq!(vps.pending[0].fires_timestamp_seconds, TODAY + 600);
    let html = told.html(".");
    assert!(html.contains("<h1>No VPS needs attention yet</h1>"));
    assert!(html.contains("<b>Critical in 10 min if it lasts</b> It does not run"));
    let told = status_now(&mut fleet, at(TODAY + 600));
    let firing = [(Severity::Critical, "KiwiVMNotAsExpected")];
    assert_eq!(alerts(&told.vps[0])[..1], firing);
    assert_eq!(told.vps[0].concerns[0].since_timestamp_seconds, TODAY);
}

/// A restart does not begin the times anew.
#[test]
fn conditions_survive_a_restart() {
    let mut before = fleet(&["one"]);
    let stopped = LiveInfo {
        status: Some(model::Status::Stopped),
        ..LiveInfo::default()
    };
    tell(&mut before, 1, service(), stopped);
    status_now(&mut before, now());
    let saved = serde_json::to_string(&before.remember(at(TODAY + 300))).unwrap();
    let mut after = fleet(&["one"]);
    let values = serde_json::from_str(&saved).unwrap();
    after.recall(values, Duration::from_secs(60), at(TODAY + 360));
    let told = status_now(&mut after, at(TODAY + 600));
    let firing = [(Severity::Critical, "KiwiVMNotAsExpected")];
    assert_eq!(alerts(&told.vps[0])[..1], firing);
}

#[test]
fn nothing_is_known_in_the_first_seconds() {
    let told = status_now(&mut fleet(&["one", "two"]), now());
    assert!(told.html(".").contains("<h1>Nothing is known yet</h1>"));
}

#[test]
fn what_is_not_known_is_not_well() {
    let mut fleet = fleet(&["new", "failing"]);
    let told = Payload::Service(Box::new(service()));
    answer(&mut fleet, 1, Call::ServiceInfo, told, now());
    let error = CallError::new(Veid(2), Call::ServiceInfo, Reason::Timeout, "no answer");
    fleet.apply(Veid(2), Call::ServiceInfo, &Err(error), now());
    let told = status(&mut fleet, now());
    assert_eq!((told.summary.well, told.summary.unknown), (0, 2));
    assert!(told.html(".").contains("<h1>No VPS needs attention</h1>"));
    // Three intervals and the time of the alert later.
    status_now(&mut fleet, at(TODAY + 361));
    let told = status_now(&mut fleet, at(TODAY + 361 + 900));
    assert_eq!(told.summary.warning, 2);
    let failing = told.vps.iter().find(|vps| vps.name == "failing").unwrap();
    assert!(failing.concerns[0].text.ends_with("There were never any."));
}

#[test]
fn a_shared_allowance_is_told_once_with_its_newest_reading() {
    let mut fleet = fleet(&["one", "two"]);
    for (veid, left, unix) in [(1, 900, TODAY), (2, 950, TODAY - 60)] {
        let points = Points {
            remaining_15m: Some(left),
            remaining_24h: Some(20 * left),
        };
        let told = Payload::Points(points);
        answer(&mut fleet, veid, Call::RateLimitStatus, told, at(unix));
    }
    let told = status(&mut fleet, now());
    assert_eq!(
        told.api_points.allowances,
        [Allowance {
            vps: 2,
            read_timestamp_seconds: Some(TODAY),
            remaining_15m: Some(900),
            remaining_24h: Some(18_000),
            allowed_15m: Some(500.0),
            allowed_24h: Some(10_000.0),
        }]
    );
    assert!(told.vps.iter().all(|vps| vps.allowance == Some(0)));
    let html = told.html(".");
    assert!(html.contains("Shared by 2 VPSes"));
    assert_eq!(html.matches("18000").count(), 1);
    let live = &told.api_points.calls["getLiveServiceInfo"];
    assert!((live.longest_interval_seconds - 120.0).abs() < 1e-9);
}

#[test]
fn the_next_poll_is_told() {
    let mut fleet = fleet(&["one"]);
    tell(&mut fleet, 1, service(), live());
    let told = status(&mut fleet, now());
    assert_eq!(told.vps[0].next_poll_timestamp_seconds, Some(TODAY + 30));
    assert!(
        told.html(".")
            .contains("<dt>Next poll</dt><dd>in 30 s</dd>")
    );
    let next = now().elapsed + Duration::from_secs(90);
    fleet.show_next_poll(Veid(1), Some(next));
    let told = status(&mut fleet, now());
    assert_eq!(told.vps[0].next_poll_timestamp_seconds, Some(TODAY + 90));
}

#[test]
fn hostile_text_stays_text() {
    let hostile = "<script>alert(\"1\")</script>&'\u{202e}\u{2069}".to_owned();
    let mut fleet = fleet(&[&hostile]);
    let info = ServiceInfo {
        hostname: Some("\"><img src=x onerror=alert(1)>".to_owned()),
        plan: Some("</style></title>".to_owned()),
        location: Some("x".repeat(10_000)),
        ..service()
    };
    tell(&mut fleet, 1, info, live());
    fail(&mut fleet, 1, Reason::ApiOther, &hostile, now());
    fail(&mut fleet, 1, Reason::Locked, &hostile, now());
    let told = status(&mut fleet, now());
    let html = told.html(".");
    for raw in ["<script", "<img", "\u{202e}", "\u{2069}"] {
        assert!(!html.contains(raw), "{html}");
    }
    assert_eq!(html.matches("</style>").count(), 1);
    assert!(!html.contains(&"x".repeat(500)));
    let json: serde_json::Value = serde_json::from_str(&told.json()).unwrap();
    assert_eq!(json["vps"][0]["name"], hostile);
}

#[test]
fn the_policy_allows_the_style_that_is_in_the_page_and_no_other() {
    let html = status(&mut fleet(&["one"]), now()).html(".");
    let style = html
        .split_once("<style>")
        .unwrap()
        .1
        .split_once("</style>")
        .unwrap()
        .0;
    assert_eq!(style, STYLE);
    assert!(!html.contains("style=") && !html.contains("<script"));
    assert!(CONTENT_SECURITY_POLICY.contains("style-src 'sha256-"));
    assert!(!CONTENT_SECURITY_POLICY.contains("unsafe"));
}

/// Every name in an example is one of the real thing.
fn assert_names(example: &serde_json::Value, real: &serde_json::Value) {
    use serde_json::Value;
    match (example, real) {
        (Value::Object(example), Value::Object(real)) => {
            for (name, value) in example {
                let real = real
                    .get(name)
                    .unwrap_or_else(|| panic!("there is no {name}"));
                assert_names(value, real);
            }
        }
        (Value::Array(example), Value::Array(real)) => {
            for (example, real) in example.iter().zip(real) {
                assert_names(example, real);
            }
        }
        _ => {}
    }
}

#[test]
fn the_documentation_has_the_names_of_the_json() {
    let document = include_str!("../../../docs/http-api.md");
    let example = document
        .split("```json\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let example = serde_json::from_str(example).unwrap();
    let mut fleet = fleet(&["one"]);
    let much = ServiceInfo {
        data_counter: Some(800 << 30),
        ..service()
    };
    tell(&mut fleet, 1, much, live());
    let real = serde_json::from_str(&status(&mut fleet, now()).json()).unwrap();
    assert_names(&example, &real);
}
