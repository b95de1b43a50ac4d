//! Validation of responses and classification of errors.

use super::*;

#[test]
fn classifies_errors() {
    for (name, reason, words) in [
        (
            "error_auth.json",
            Reason::Auth,
            "700005: Authentication failure",
        ),
        ("error_string_code.json", Reason::Auth, "700005"),
        ("error_locked.json", Reason::Locked, "788888"),
        ("error_locked_bare.json", Reason::Locked, "788888"),
        ("error_missing_param.json", Reason::MissingParam, "700001"),
        (
            "error_not_running.json",
            Reason::ApiOther,
            "VPS is not running",
        ),
        (
            "error_rate_limited.json",
            Reason::RateLimited,
            "Too many requests",
        ),
        (
            "error_with_code_and_info.json",
            Reason::ApiOther,
            "Operation failed",
        ),
        (
            "error_not_an_object.json",
            Reason::BadShape,
            "not an object",
        ),
        ("error_html.html", Reason::NotJson, "not JSON (at byte 0)"),
        ("error_empty_body.txt", Reason::NotJson, "empty"),
        ("error_truncated.json.txt", Reason::NotJson, "cut off"),
    ] {
        let error = error(name);
        assert_eq!(error.reason, reason, "{name}");
        assert!(error.detail.contains(words), "{name}: {}", error.detail);
    }
}

#[test]
fn a_lock_has_its_task_and_progress() {
    let lock = Lock {
        task: text("Snapshot: before-upgrade"),
        progress: Some(0.45),
    };
    assert_eq!(error("error_locked.json").lock, Some(lock));
    assert_eq!(error("error_locked_bare.json").lock, Some(Lock::default()));
    assert_eq!(error("error_auth.json").lock, None);
}

#[test]
fn a_missing_error_field_is_success_with_a_problem() {
    let decoded = decoded(Call::ServiceInfo, "error_missing_error_field.json");
    assert_eq!(decoded.problems, ["error"]);
    assert!(
        matches!(&decoded.payload, Payload::Service(info) if info.hostname == text("vps1.example.com"))
    );
}

#[test]
fn skips_a_byte_order_mark() {
    let mut body = b"\xEF\xBB\xBF".to_vec();
    body.extend(sample("service_info_kvm.json"));
    assert!(read(Call::ServiceInfo, &body).is_ok());
}

#[test]
fn rejects_unclosed_nesting() {
    let body = format!("{{\"ptr\":{}", "[".repeat(100_000));
    let error = read(Call::ServiceInfo, body.as_bytes()).expect_err("never closed");
    assert_eq!(error.reason, Reason::NotJson);
}

#[test]
fn error_messages_fit_on_a_line() {
    let message = "x\ny\u{1b}[31m".repeat(1000);
    let body = serde_json::json!({"error": 5, "message": message}).to_string();
    let error = read(Call::ServiceInfo, body.as_bytes()).expect_err("API error");
    assert!(
        error.detail.len() < 400 && !error.detail.contains(char::is_control),
        "{}",
        error.detail
    );
}

/// The fields of a sample without `error`.
fn fields_of(name: &str) -> serde_json::Map<String, serde_json::Value> {
    let document: serde_json::Value = serde_json::from_slice(&sample(name)).expect("valid JSON");
    let mut fields = document.as_object().expect("an object").clone();
    fields.remove("error");
    fields
}

const GOOD: [(Call, &str); 10] = [
    (Call::LiveServiceInfo, "live_kvm_running.json"),
    (Call::RateLimitStatus, "rate_limit_status.json"),
    (Call::RawUsageStats, "raw_usage_stats_kvm.json"),
    (Call::ServiceInfo, "service_info_kvm.json"),
    (Call::PolicyViolations, "policy_violations_none.json"),
    (Call::SuspensionDetails, "suspension_details_none.json"),
    (Call::BackupList, "backup_list_empty.json"),
    (Call::SnapshotList, "snapshot_list_empty.json"),
    (Call::AuditLog, "audit_log.json"),
    (Call::MigrateLocations, "migrate_locations_none.json"),
];

#[test]
fn accepts_error_0_with_a_field_of_the_call() {
    for (call, name) in GOOD {
        for (error, valid) in [
            (Some("0"), true),
            (Some("\"0\""), true),
            (Some("\" 0 \""), true),
            (Some("0.0"), true),
            (None, true),
            (Some("null"), false),
            (Some("\"\""), false),
            (Some("\"-\""), false),
            (Some("false"), false),
            (Some("true"), false),
            (Some("\"none\""), false),
            (Some("0.5"), false),
            (Some("NaN"), false),
            (Some("[]"), false),
            (Some("{\"code\":0}"), false),
        ] {
            let fields = serde_json::to_string(&fields_of(name)).expect("serialises");
            let error_field = error.map_or_else(String::new, |error| format!("\"error\":{error},"));
            let body = format!("{{{error_field}{}", &fields[1..]);
            match read(call, body.as_bytes()) {
                Ok(decoded) => {
                    assert!(valid, "{body}");
                    assert_eq!(
                        decoded.problems.contains(&"error"),
                        error.is_none(),
                        "{body}"
                    );
                }
                Err(error) => {
                    assert!(!valid, "{body}: {error:?}");
                    assert_eq!(error.reason, Reason::BadShape, "{body}");
                }
            }
        }
    }
}

#[test]
fn rejects_responses_without_a_field_of_the_call() {
    for call in Call::ALL {
        for body in [
            r#"{"status":"maintenance"}"#,
            r#"{"status":"maintenance","error":0}"#,
            r#"{"success":false}"#,
            r#"{"success":true,"error":"0"}"#,
            r#"{"message":"Authentication failure"}"#,
            r#"{"Error":700005}"#,
            r#"{"ERROR":0}"#,
            r#"{"error":0}"#,
            r#"{"error":null}"#,
            r#"{"error":""}"#,
            r#"{"violations":[{"record_id":1}],"error":0}"#,
            r#"{"code":500,"errors":[]}"#,
            "{}",
        ] {
            let error = read(call, body.as_bytes()).expect_err("invalid response");
            assert_eq!(error.reason, Reason::BadShape, "{} {body}", call.name());
        }
    }
    for call in [
        Call::LiveServiceInfo,
        Call::ServiceInfo,
        Call::RawUsageStats,
    ] {
        let body = br#"{"error":0,"hostname":null,"plan":"","ve_status":"-","data":null}"#;
        let error = read(call, body).expect_err("only blank fields");
        assert_eq!(error.reason, Reason::BadShape, "{}", call.name());
    }
    let error = read(
        Call::ServiceInfo,
        br#"{"message":"Authentication failure"}"#,
    );
    let detail = error.expect_err("invalid response").detail;
    assert!(detail.contains("Authentication failure"), "{detail}");
}

#[test]
fn recognises_rate_limiting_by_code_or_message() {
    for body in [
        r#"{"error":1,"message":"API points exhausted"}"#,
        r#"{"error":429000,"message":"no"}"#,
        r#"{"error":"429"}"#,
        r#"{"error":700010,"additionalErrorInfo":"quota exceeded"}"#,
        r#"{"error":700005,"message":"Too many requests"}"#,
        r#"{"error":"rate limit exceeded"}"#,
        r#"{"error":{"message":"Quota exceeded"}}"#,
        r#"{"message":"rate-limited"}"#,
        r#"["too many requests"]"#,
        "API points exhausted",
        "<html><title>Too Many Requests</title></html>",
    ] {
        for call in [
            Call::ServiceInfo,
            Call::RawUsageStats,
            Call::PolicyViolations,
        ] {
            let error = read(call, body.as_bytes()).expect_err("rate limited");
            assert_eq!(error.reason, Reason::RateLimited, "{body}");
        }
    }
    let task_with_rate_limit_in_its_name =
        br#"{"error":788888,"additionalErrorInfo":"Snapshot: rate limit test"}"#;
    let error = read(Call::ServiceInfo, task_with_rate_limit_in_its_name).expect_err("locked");
    assert_eq!(error.reason, Reason::Locked);
    let hostname = br#"{"error":0,"hostname":"rate-limit.example.com"}"#;
    assert!(read(Call::ServiceInfo, hostname).is_ok());
}
