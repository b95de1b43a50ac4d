//! Odd responses: every metric is correct or absent, and no problem disappears without a valid response.

use serde_json::{Value, json};

use crate::exporter::{Exporter, config, unix_now};
use crate::mock::{Mock, Reply, sample};
use crate::page::Page;
use crate::polled_vps::{successes, yaml};

const LIVE: &str = "getLiveServiceInfo";
const VIOLATIONS: &str = "getPolicyViolations";
const REFUSED: &str = r#"{"error":700005,"message":"no"}"#;
/// Short intervals, made shorter still by the fast clock.
const OFTEN: &str = "intervals: {live: 60s, usage: 5m, points: 60s, inventory: 10m}\n";
const FAST: &str = "--simulator.time-scale=300";

async fn start(mock: &Mock) -> Exporter {
    let (folder, flag) = config(&yaml(&mock.endpoint, 1, OFTEN));
    let exporter = Exporter::start(&[FAST, "--log.level=debug", &flag]);
    exporter
        .wait_for("it is polled", |page| page.of("one", "kiwivm_up").is_some())
        .await;
    drop(folder);
    exporter
}

fn errors(page: &Page, call: &str, reason: &str) -> f64 {
    let labels = [("call", call), ("reason", reason)];
    page.one("kiwivm_poll_errors_total", &labels)
        .unwrap_or_default()
}

fn problems(page: &Page, call: &str, field: &str) -> Option<f64> {
    let labels = [("call", call), ("field", field)];
    page.one("kiwivm_decode_problems_total", &labels)
}

async fn status(exporter: &Exporter) -> Value {
    let status = exporter.get("/status.json").await;
    serde_json::from_str(&status).expect("it is JSON")
}

fn changed(name: &str, changes: &[(&str, Value)]) -> Value {
    let Reply::Body(body) = sample(name) else {
        unreachable!("samples are bodies")
    };
    let mut body: Value = serde_json::from_str(&body).expect("it is JSON");
    for (field, value) in changes {
        body[*field] = value.clone();
    }
    body
}

#[tokio::test]
async fn an_invalid_response_ends_no_case_or_suspension() {
    let mock = Mock::start([1]).await;
    mock.plenty_of_points(1);
    let trouble = [
        ("suspended", json!(true)),
        ("is_cpu_throttled", json!("1")),
        ("policy_violation", json!(true)),
    ];
    let live = changed("live_kvm_running.json", &trouble);
    mock.reply(1, LIVE, Reply::Body(live.to_string()));
    let service = changed("service_info_kvm.json", &trouble);
    mock.reply(1, "getServiceInfo", Reply::Body(service.to_string()));
    let case = json!({"error": 0, "policy_violations": [{"record_id": 1, "suspend_at": unix_now() + 6 * 3600}]});
    mock.reply(1, VIOLATIONS, Reply::Body(case.to_string()));
    let exporter = start(&mock).await;
    let gauges = [
        ("kiwivm_policy_violations_open", 1.0),
        ("kiwivm_suspended", 1.0),
        ("kiwivm_cpu_throttled", 1.0),
        ("kiwivm_policy_violation", 1.0),
    ];
    let known = |page: &Page| {
        let holds = |(metric, value): &(&str, f64)| page.of("one", metric) == Some(*value);
        gauges.iter().all(holds)
    };
    exporter.wait_for("the problems are reported", known).await;
    assert_eq!(status(&exporter).await["summary"]["critical"], 1);
    for body in [
        r#"{"status":"maintenance"}"#,
        r#"{"success":false}"#,
        r#"{"message":"Authentication failure"}"#,
        r#"{"Error":700005}"#,
        r#"{"error":null}"#,
        r#"{"error":""}"#,
        r#"{"error":0,"violations":[]}"#,
    ] {
        let before = exporter.scrape().await;
        mock.reply_to_everything(1, Reply::Body(body.to_owned()));
        // One call may be in flight with the previous response.
        let failed = |page: &Page| {
            let more =
                |call| errors(page, call, "bad_shape") >= errors(&before, call, "bad_shape") + 1.0;
            more(LIVE) && more("getServiceInfo")
        };
        let page = exporter.wait_for("the response is rejected", failed).await;
        // By now the live call is older than the odd responses, and nothing contradicts it.
        for (metric, value) in gauges {
            let now = page.of("one", metric);
            assert!(
                now.is_none() || now == Some(value),
                "{body}: {metric} is {now:?}"
            );
        }
        assert_eq!(
            page.of("one", "kiwivm_authentication_failed"),
            Some(0.0),
            "{body}"
        );
        let status = status(&exporter).await;
        assert_eq!(status["summary"]["well"], 0, "{body}: {status}");
        let reason = status["vps"][0]["last_error"]["text"].as_str();
        assert!(
            reason.is_some_and(|reason| reason.contains("response")),
            "{body}: {status}"
        );
        mock.recover(1);
        mock.plenty_of_points(1);
        mock.reply(1, LIVE, Reply::Body(live.to_string()));
        mock.reply(1, "getServiceInfo", Reply::Body(service.to_string()));
        mock.reply(1, VIOLATIONS, Reply::Body(case.to_string()));
        exporter.wait_for("the VPS recovers", known).await;
    }
    assert!(exporter.log().contains("bad_shape"));
}

#[tokio::test]
async fn odd_list_items_are_still_counted() {
    let mock = Mock::start([1]).await;
    mock.plenty_of_points(1);
    let exporter = start(&mock).await;
    let open = |page: &Page| page.of("one", "kiwivm_policy_violations_open");
    for (list, expected) in [
        (r#"["spam"]"#, Some(1.0)),
        ("[17,null]", Some(2.0)),
        ("[[]]", Some(1.0)),
        (
            r#"{"record_id":31,"flag":"spam","suspend_at":1790872800}"#,
            Some(1.0),
        ),
        ("[]", Some(0.0)),
        (r#""spam""#, None),
        (r#"[{"suspend_at":NaN},{"suspend_at":1e999}]"#, Some(2.0)),
    ] {
        let body = format!(r#"{{"error":0,"policy_violations":{list}}}"#);
        mock.reply(1, VIOLATIONS, Reply::Body(body));
        let wanted = successes(&exporter.scrape().await, VIOLATIONS) + 2.0;
        let page = exporter
            .wait_for("the list is polled", |page| {
                successes(page, VIOLATIONS) >= wanted
            })
            .await;
        assert_eq!(open(&page), expected, "{list}");
    }
    let page = exporter.scrape().await;
    assert!(problems(&page, VIOLATIONS, "policy_violations") >= Some(4.0));
    assert!(problems(&page, VIOLATIONS, "suspend_at") >= Some(1.0));
}

/// A field, its value in the sample, an impossible value, and the metrics that are dropped for it.
const IMPOSSIBLE: [(&str, &str, &str, &[&str]); 6] = [
    (
        "data_counter",
        "318203948576",
        "1e999",
        &["kiwivm_bandwidth_used_bytes"],
    ),
    ("monthly_data_multiplier", "1", "\"0,33\"", BANDWIDTH),
    ("monthly_data_multiplier", "1", "null", BANDWIDTH),
    (
        "data_next_reset",
        "1792540800",
        "1792540800000",
        &[
            "kiwivm_bandwidth_reset_timestamp_seconds",
            "kiwivm_bandwidth_period_start_timestamp_seconds",
        ],
    ),
    (
        "mem_available_kb",
        "612340",
        "NaN",
        &["kiwivm_memory_available_bytes"],
    ),
    (
        "ve_status",
        "\"running\"",
        "[]",
        &[
            "kiwivm_running",
            "kiwivm_load1",
            "kiwivm_memory_available_bytes",
            "kiwivm_swap_total_bytes",
        ],
    ),
];
const BANDWIDTH: &[&str] = &[
    "kiwivm_bandwidth_used_bytes",
    "kiwivm_bandwidth_allowance_bytes",
    "kiwivm_bandwidth_multiplier",
];

#[tokio::test]
async fn an_impossible_value_only_drops_its_own_metrics() {
    let mock = Mock::start([1]).await;
    mock.plenty_of_points(1);
    let exporter = start(&mock).await;
    let Reply::Body(good) = sample("live_kvm_running.wire.json") else {
        unreachable!("samples are bodies")
    };
    let gone = |page: &Page, metrics: &[&str]| {
        metrics
            .iter()
            .all(|metric| page.of("one", metric).is_none())
    };
    for (field, from, to, metrics) in IMPOSSIBLE {
        let (from, to) = (format!("\"{field}\":{from}"), format!("\"{field}\":{to}"));
        let odd = good.replace(&from, &to);
        assert_ne!(odd, good, "{from} is in the sample");
        mock.reply(1, LIVE, Reply::Body(odd));
        let before = problems(&exporter.scrape().await, LIVE, field).unwrap_or_default();
        let page = exporter
            .wait_for("the problem is counted", |page| {
                problems(page, LIVE, field) > Some(before)
            })
            .await;
        assert!(gone(&page, metrics), "{to}");
        for metric in [
            "kiwivm_up",
            "kiwivm_vps_info",
            "kiwivm_disk_used_bytes",
            "kiwivm_suspended",
        ] {
            assert!(page.of("one", metric).is_some(), "{to}: {metric}");
        }
        mock.reply(1, LIVE, Reply::Body(good.clone()));
        exporter
            .wait_for("the metrics come back", |page| {
                metrics
                    .iter()
                    .all(|metric| page.of("one", metric).is_some())
            })
            .await;
    }
    let surrogate = good.replace(r#""hostname":"vps1.example.com""#, r#""hostname":"\ud800""#);
    assert_ne!(surrogate, good);
    mock.reply(1, LIVE, Reply::Body(surrogate));
    let page = exporter
        .wait_for("the host name is empty", |page| {
            page.one("kiwivm_vps_info", &[("vps", "one"), ("hostname", "")])
                .is_some()
        })
        .await;
    assert!(problems(&page, LIVE, "hostname").is_some());
}

#[tokio::test]
async fn a_missing_multiplier_counts_as_one_and_is_logged_once() {
    let mock = Mock::start([1]).await;
    mock.plenty_of_points(1);
    let mut live = changed("live_kvm_running.json", &[]);
    live.as_object_mut()
        .expect("it is an object")
        .remove("monthly_data_multiplier");
    mock.reply(1, LIVE, Reply::Body(live.to_string()));
    let exporter = start(&mock).await;
    let page = exporter
        .wait_for("it was polled several times", |page| {
            successes(page, LIVE) >= 4.0
        })
        .await;
    assert_eq!(
        page.of("one", "kiwivm_bandwidth_used_bytes"),
        live["data_counter"].as_f64()
    );
    assert_eq!(page.of("one", "kiwivm_bandwidth_multiplier"), None);
    assert_eq!(exporter.log().matches("monthly_data_multiplier").count(), 1);
}

#[tokio::test]
async fn a_rate_limit_is_not_an_auth_failure_and_the_last_error_stays() {
    let mock = Mock::start([1]).await;
    mock.plenty_of_points(1);
    mock.reply(1, LIVE, Reply::Status(429, REFUSED));
    mock.reply(1, "getServiceInfo", Reply::Status(503, REFUSED));
    let exporter = start(&mock).await;
    let points = "getRateLimitStatus";
    let page = exporter
        .wait_for("both calls fail, and others do not", |page| {
            errors(page, LIVE, "rate_limited") >= 1.0
                && errors(page, "getServiceInfo", "http_status") >= 1.0
                && successes(page, points) >= 1.0
        })
        .await;
    assert_ne!(page.of("one", "kiwivm_authentication_failed"), Some(1.0));
    let wanted = successes(&page, points) + 1.0;
    exporter
        .wait_for("another call succeeds", |page| {
            successes(page, points) >= wanted
        })
        .await;
    let status = status(&exporter).await;
    let error = &status["vps"][0]["last_error"];
    assert_eq!(error["call"], LIVE, "{status}");
    let text = error["text"].as_str().unwrap_or_default();
    assert!(text.contains("HTTP status 429"), "{status}");
    assert!(exporter.get("/").await.contains("HTTP status 429"));
    mock.recover(1);
    mock.plenty_of_points(1);
    exporter
        .wait_for("the VPS recovers", |page| successes(page, LIVE) >= 1.0)
        .await;
    let status = self::status(&exporter).await;
    assert_eq!(status["vps"][0]["last_error"], Value::Null, "{status}");
}
