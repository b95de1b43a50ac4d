//! The page and its JSON.

use super::*;

#[test]
fn the_title_says_that_there_are_no_data_at_first() {
    let status = status_now(&mut fleet(&["one", "two"]), now());
    assert!(status.html(".").contains("<h1>No data yet</h1>"));
}

#[test]
fn a_shared_quota_is_shown_once_with_its_newest_reading() {
    let mut fleet = fleet(&["one", "two"]);
    for (veid, left, unix) in [(1, 900, TODAY), (2, 950, TODAY - 60)] {
        let points = RateLimitStatus {
            remaining_15m: Some(left),
            remaining_24h: Some(20 * left),
        };
        let payload = Payload::RateLimit(points);
        respond(&mut fleet, veid, Call::RateLimitStatus, payload, at(unix));
    }
    let status = status(&mut fleet, now());
    assert_eq!(
        status.api_points.quotas,
        [QuotaFacts {
            vps: 2,
            read_timestamp_seconds: Some(UnixSeconds(TODAY)),
            remaining_15m: Some(900),
            remaining_24h: Some(18_000),
            allowed_15m: Some(500.0),
            allowed_24h: Some(10_000.0),
        }]
    );
    assert!(status.vps.iter().all(|vps| vps.quota == Some(0)));
    let html = status.html(".");
    assert!(html.contains("shared by 2 VPSes"));
    assert_eq!(html.matches("18000").count(), 1);
    let live = &status.api_points.calls["getLiveServiceInfo"];
    assert!((live.longest_interval_seconds - 120.0).abs() < 1e-9);
}

#[test]
fn the_next_poll_is_shown() {
    let mut fleet = fleet(&["one"]);
    respond_live(&mut fleet, 1, service(), live());
    let first = status(&mut fleet, now());
    assert_eq!(
        first.vps[0].next_poll_timestamp_seconds,
        Some(UnixSeconds(TODAY + 30))
    );
    assert!(
        first
            .html(".")
            .contains("<dt>Next poll</dt><dd>in 30 s</dd>")
    );
    let next = now().elapsed + Duration::from_secs(90);
    fleet.set_next_poll(Veid(1), Some(next));
    let vps = status(&mut fleet, now()).vps.remove(0);
    assert_eq!(
        vps.next_poll_timestamp_seconds,
        Some(UnixSeconds(TODAY + 90))
    );
}

#[test]
fn hostile_text_is_escaped() {
    let hostile = "<script>alert(\"1\")</script>&'\u{202e}\u{2069}".to_owned();
    let mut fleet = fleet(&[&hostile]);
    let info = ServiceInfo {
        hostname: Some("\"><img src=x onerror=alert(1)>".to_owned()),
        plan: Some("</style></title>".to_owned()),
        location: Some("x".repeat(10_000)),
        ..service()
    };
    respond_live(&mut fleet, 1, info, live());
    fail(&mut fleet, 1, Reason::ApiOther, &hostile, now());
    fail(&mut fleet, 1, Reason::Locked, &hostile, now());
    let status = status(&mut fleet, now());
    let html = status.html(".");
    for raw in ["<script", "<img", "\u{202e}", "\u{2069}"] {
        assert!(!html.contains(raw), "{html}");
    }
    assert_eq!(html.matches("</style>").count(), 1);
    assert!(!html.contains(&"x".repeat(500)));
    let json: serde_json::Value = serde_json::from_str(&status.json()).unwrap();
    assert_eq!(json["vps"][0]["name"], hostile);
}

#[test]
fn the_policy_allows_only_the_style_of_the_page() {
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

/// Asserts that every key of an example exists in the real JSON.
fn assert_names(example: &serde_json::Value, real: &serde_json::Value) {
    use serde_json::Value;
    match (example, real) {
        (Value::Object(example), Value::Object(real)) => {
            for (name, value) in example {
                let real = real
                    .get(name)
                    .unwrap_or_else(|| panic!("the JSON has no {name}"));
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
fn the_documented_keys_exist() {
    let document = include_str!("../../../../docs/http-api.md");
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
        data_counter: Some(Bytes(800 << 30)),
        ..service()
    };
    respond_live(&mut fleet, 1, much, live());
    let real = serde_json::from_str(&status(&mut fleet, now()).json()).unwrap();
    assert_names(&example, &real);
}
