//! Tests of the streaming decoder for usage rows.

use super::*;

fn usage(body: &[u8]) -> (Vec<UsageRow>, Vec<&'static str>) {
    let mut rows = Vec::new();
    let decoded = decode(Call::RawUsageStats, &key(), body, &mut |row| rows.push(row));
    let decoded = decoded.expect("valid response");
    assert_eq!(decoded.payload, Payload::Usage);
    (rows, decoded.problems)
}

#[test]
fn usage_rows_with_integers_or_text() {
    let (rows, problems) = usage(&sample("raw_usage_stats_kvm.json"));
    assert_eq!((rows.len(), problems), (24, vec![]));
    let first = UsageRow {
        timestamp: UnixSeconds(1_790_812_801),
        cpu_percent: Some(10.0),
        network_in: Some(Bytes(1_423_663)),
        network_out: Some(Bytes(3_443_330)),
        disk_read: Some(Bytes(327_680)),
        disk_written: Some(Bytes(7_593_984)),
    };
    assert_eq!(rows[0], first);
    let (rows, problems) = usage(&sample("raw_usage_stats_ovz.json"));
    assert_eq!((rows.len(), problems), (12, vec![]));
    assert_eq!(rows[11].timestamp, UnixSeconds(1_790_816_101));
    assert_eq!(rows[11].disk_written, Some(Bytes(614_400)));
    assert_eq!(
        usage(&sample("raw_usage_stats_empty.json")),
        (vec![], vec![])
    );
}

#[test]
fn invalid_fields_are_dropped_from_usage_rows() {
    let (rows, problems) = usage(&sample("raw_usage_stats_odd_rows.json"));
    assert_eq!(
        (rows.len(), problems),
        (6, vec![]),
        "null, empty and missing fields are not problems"
    );
    assert_eq!(rows[4].cpu_percent, None);
    assert_eq!(
        (rows[4].network_in, rows[4].disk_written),
        (Some(Bytes(1_834_001)), None)
    );
    assert_eq!((rows[5].cpu_percent, rows[5].disk_read), (Some(4.5), None));
    let body = br#"{"data":{"0":{"timestamp":1790000005,"network_in_bytes":-1},"7":3,"8":{"cpu_usage":1}},"error":0}"#;
    let (rows, problems) = usage(body);
    assert_eq!((rows.len(), rows[0].network_in), (1, None));
    assert_eq!(problems, ["network_in_bytes", "data", "timestamp"]);
    let body = br#"{"data":[{"timestamp":1790000005000},{"timestamp":NaN},NaN,
        {"timestamp":1790000005,"cpu_usage":-1,"disk_read_bytes":1e999,"disk_write_bytes":"7 MB"}],"error":0}"#;
    let (rows, problems) = usage(body);
    let row = UsageRow {
        timestamp: UnixSeconds(1_790_000_005),
        cpu_percent: None,
        network_in: None,
        network_out: None,
        disk_read: None,
        disk_written: None,
    };
    assert_eq!(rows, [row]);
    let expected = [
        "timestamp",
        "data",
        "cpu_usage",
        "disk_read_bytes",
        "disk_write_bytes",
    ];
    assert_eq!(problems, expected);
}

/// A new VPS has an empty list. Any other value without rows is no usage history.
#[test]
fn only_a_list_of_rows_is_a_success() {
    for data in ["[]", "{}", "[{}]", r#"{"7":{},"8":3}"#, " [ ] "] {
        let (rows, _) = usage(format!(r#"{{"data":{data},"error":0}}"#).as_bytes());
        assert_eq!(rows, [], "{data}");
    }
    for data in [
        "null",
        "\"\"",
        "\"maintenance\"",
        "7",
        "true",
        "false",
        "NaN",
        "[null]",
        "[[]]",
        "[\"maintenance\",17]",
        r#"{"message":"maintenance"}"#,
        r#"{"timestamp":1790000005,"network_in_bytes":7}"#,
        r#"[{"timestamp":1790000005}],"data":null"#,
        r#"[{"timestamp":1790000005}],"data":[{"timestamp":1790000006}]"#,
        r#"[],"d\u0061ta":[]"#,
    ] {
        let body = format!(r#"{{"error":0,"data":{data},"vm_type":"kvm"}}"#);
        for piece in [1, body.len()] {
            let error = streamed(body.as_bytes(), piece).expect_err("no usage history");
            assert_eq!(error.reason, Reason::BadShape, "{body}");
        }
    }
    let refused = br#"{"error":0,"data":"API points exhausted"}"#;
    let error = streamed(refused, 9).expect_err("no usage history");
    assert_eq!(error.reason, Reason::RateLimited);
}

#[test]
fn escaped_names_are_read() {
    let body =
        br#"{"err\u006fr":0,"d\u0061ta":[{"t\u0069mestamp":1790000005,"network_in_bytes":7}]}"#;
    let (rows, problems) = usage(body);
    assert_eq!((rows.len(), rows[0].network_in), (1, Some(Bytes(7))));
    assert_eq!(problems, [""; 0]);
}

/// Decodes a body in chunks of a size.
fn streamed(body: &[u8], piece: usize) -> Result<(Vec<UsageRow>, Decoded), DecodeError> {
    let mut rows = Vec::new();
    let mut stream = UsageStream::default();
    for bytes in body.chunks(piece) {
        stream.push(bytes, &mut |row| rows.push(row))?;
    }
    Ok((rows, stream.finish(&key())?))
}

#[test]
fn the_chunk_size_does_not_matter() {
    for name in [
        "raw_usage_stats_kvm.json",
        "raw_usage_stats_odd_rows.json",
        "raw_usage_stats_empty.json",
        "raw_usage_stats_ovz.json",
    ] {
        let body = sample(name);
        for piece in [1, 2, 7, 150, body.len()] {
            let (rows, decoded) = streamed(&body, piece).expect("valid response");
            assert_eq!((rows, decoded.problems), usage(&body), "{name} by {piece}");
        }
    }
}

#[test]
fn classifies_invalid_responses() {
    for (body, reason) in [
        (
            &br#"{"data":[{"timestamp":1790000005},"#[..],
            Reason::NotJson,
        ),
        (
            br#"{"data":[{"timestamp":1790000005},,{"timestamp":1790000006}],"error":0}"#,
            Reason::NotJson,
        ),
        (
            br#"{"data":[{"timestamp":1790000005},],"error":0}"#,
            Reason::NotJson,
        ),
        (
            br#"{"data":[{"timestamp":1790000005}},"error":0}"#,
            Reason::NotJson,
        ),
        (br#"{"data":{"timestamp"},"error":0}"#, Reason::NotJson),
        (br#"{"data":{7:{}},"error":0}"#, Reason::NotJson),
        (
            br#"{"data":[{"timestamp":1790000005}],"error":0"#,
            Reason::NotJson,
        ),
        (b"<html>[1,2]</html>", Reason::NotJson),
        (b"", Reason::NotJson),
        (b"[1,2,3]", Reason::BadShape),
        (br#"{"error":700005,"message":"no"}"#, Reason::Auth),
        (
            br#"{"data":[{"timestamp":1790000005}],"error":788888,"message":"no"}"#,
            Reason::Locked,
        ),
    ] {
        let error = streamed(body, 5).expect_err("invalid response");
        assert_eq!(error.reason, reason, "{}", String::from_utf8_lossy(body));
    }
    let row = format!(
        r#"{{"data":[{{"x":"{}"}}],"error":0}}"#,
        "y".repeat(100_000)
    );
    assert_eq!(
        streamed(row.as_bytes(), 999).unwrap_err().reason,
        Reason::BadShape
    );
    let rest = format!(r#"{{"x":"{}","error":0}}"#, "y".repeat(2_000_000));
    assert_eq!(
        streamed(rest.as_bytes(), 999).unwrap_err().reason,
        Reason::BadShape
    );
}

#[test]
fn only_the_top_level_data_field_has_rows() {
    let body = br#"{"a":{"data":[{"timestamp":1790000001}]},"b":"\"data\":[","data":[{"timestamp":1790000002,"x":"],[{\""}],"error":0}"#;
    let (rows, problems) = usage(body);
    let times: Vec<_> = rows.iter().map(|row| row.timestamp).collect();
    assert_eq!(
        (times, problems),
        (vec![UnixSeconds(1_790_000_002)], vec![])
    );
}

/// A row or any other JSON value.
fn any_row() -> impl Strategy<Value = serde_json::Value> {
    let row = (999_999_990..1_000_000_050_i64, ".{0,8}")
        .prop_map(|(timestamp, text)| serde_json::json!({"timestamp": timestamp, "x]": text}));
    prop_oneof![any_json(), row]
}

proptest! {
    #[test]
    fn finds_the_same_rows_as_serde_json(rows in prop::collection::vec(any_row(), 0..6), as_map in any::<bool>(), piece in 1..40_usize) {
        let data = if as_map {
            serde_json::Value::Object(rows.iter().enumerate().map(|(at, row)| (format!("\"{at}]"), row.clone())).collect())
        } else {
            rows.clone().into()
        };
        let body = serde_json::json!({"vm_type": "kvm", "data": data, "error": 0}).to_string();
        let result = streamed(body.as_bytes(), piece);
        if !rows.is_empty() && !rows.iter().any(serde_json::Value::is_object) {
            prop_assert_eq!(result.map_err(|error| error.reason), Err(Reason::BadShape));
            return Ok(());
        }
        let (found, decoded) = result.expect("valid response");
        let time = |row: &serde_json::Value| Loose::parse(row.get("timestamp")?.to_string().as_bytes()).ok()?.timestamp().ok()?;
        prop_assert_eq!(found.len(), rows.iter().filter(|row| time(row).is_some()).count());
        prop_assert_eq!(decoded.problems.contains(&"data"), rows.iter().any(|row| !row.is_object()));
    }

    #[test]
    fn an_invalid_row_affects_no_other_row(invalid in any_json(), at in 0..24_usize) {
        let mut document: serde_json::Value = serde_json::from_slice(&sample("raw_usage_stats_kvm.json")).expect("valid JSON");
        document["data"][at] = invalid;
        let (rows, _) = usage(document.to_string().as_bytes());
        prop_assert!(rows.len() >= 23);
    }
}
