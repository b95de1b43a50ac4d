//! Usage rows over HTTP: weeks of history, totals that match the rows, and faults of rows.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::owner::Owner;

const FIELDS: [(&str, &str); 4] = [
    ("network_in_bytes", "in"),
    ("network_out_bytes", "out"),
    ("disk_read_bytes", "read"),
    ("disk_write_bytes", "written"),
];

async fn rows(owner: &Owner) -> Vec<Value> {
    let response = owner.call("getRawUsageStats", "").await;
    response["data"].as_array().expect("it is a list").clone()
}

fn timestamps(rows: &[Value]) -> Vec<i64> {
    let timestamps = rows.iter().map(|row| row["timestamp"].as_i64());
    timestamps.collect::<Option<_>>().expect("they are numbers")
}

/// A VPS of a halted account, so that two responses can be compared.
async fn halted(arguments: &[&str]) -> Owner {
    let owner = Owner::of(1_000_001, arguments).await;
    owner.control("halt", "true".to_owned()).await;
    owner
}

#[tokio::test]
async fn two_weeks_of_rows_exist_at_startup_and_match_the_totals() {
    let owner = halted(&["--time-scale=60"]).await;
    let (rows, truth) = (rows(&owner).await, owner.truth().await);
    let times = timestamps(&rows);
    assert!(times.is_sorted());
    let seconds = times[times.len() - 1] - times[0];
    assert!((13 * 86_400..15 * 86_400).contains(&seconds), "{seconds}");
    let totals = &truth["usage_totals"];
    assert_eq!(totals["rows"], rows.len());
    for (field, total) in FIELDS {
        let sum: u64 = rows.iter().filter_map(|row| row[field].as_u64()).sum();
        assert_eq!(totals[total], sum, "{field}");
    }
    let day = truth["usage_rows"].as_array().expect("it is a list");
    assert!((287..400).contains(&day.len()), "{}", day.len());
    for (expected, row) in day.iter().rev().zip(rows.iter().rev()) {
        let fields = ["timestamp"]
            .into_iter()
            .chain(FIELDS.map(|(field, _)| field));
        let row: Vec<_> = fields.map(|field| row[field].clone()).collect();
        assert_eq!(expected, &json!(row));
    }
}

#[tokio::test]
async fn the_history_has_the_requested_length_and_continues() {
    let owner = Owner::of(1_000_001, &["--time-scale=3000", "--history=0.5"]).await;
    let deadline = std::time::Instant::now() + crate::exporter::TIMEOUT;
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(20));
    loop {
        tick.tick().await;
        let times = timestamps(&rows(&owner).await);
        if times.len() >= 146 {
            assert!(times[143] - times[0] <= 43_200);
            assert!((1..=3).contains(&(times[145] - times[144])), "{times:?}");
            break;
        }
        assert!(times.len() >= 144 && std::time::Instant::now() < deadline);
    }
    let none = halted(&["--history=0"]).await;
    assert_eq!(rows(&none).await, [Value::Null; 0]);
}

#[tokio::test]
async fn rows_are_shuffled_or_late_on_demand() {
    let owner = halted(&[]).await;
    let honest = timestamps(&rows(&owner).await);
    owner
        .control("faults", "[{\"kind\":\"shuffled_rows\"}]".to_owned())
        .await;
    let shuffled = timestamps(&rows(&owner).await);
    assert!(!shuffled.is_sorted() && shuffled.len() > honest.len());
    let set = |times: &[i64]| times.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(set(&shuffled), set(&honest));

    owner
        .control(
            "faults",
            "[{\"call\":\"getRawUsageStats\",\"kind\":\"late_rows\"}]".to_owned(),
        )
        .await;
    let some = timestamps(&rows(&owner).await);
    let late: Vec<i64> = set(&honest).difference(&set(&some)).copied().collect();
    assert!((7..=8).contains(&late.len()), "{late:?}");
    let newest = honest[honest.len() - 1];
    assert!(late.iter().all(|time| *time > newest - 7500), "{late:?}");
    assert_eq!(owner.truth().await["usage_totals"]["rows"], honest.len());
    owner.control("faults", "[]".to_owned()).await;
    assert_eq!(timestamps(&rows(&owner).await), honest);
}
