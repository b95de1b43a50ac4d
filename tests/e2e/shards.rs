//! Several exporters that share the VPSes of one configuration.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::budget::{configuration, left};
use crate::exporter::{Exporter, config, get, run};
use crate::page::Page;
use crate::simulator::simulator;

/// The VPSes on a page, as series.
fn polled(page: &Page) -> BTreeSet<String> {
    page.series("kiwivm_expected_running", &[])
        .map(|(series, _)| series.to_owned())
        .collect()
}

#[test]
fn every_vps_belongs_to_exactly_one_of_up_to_sixteen_shards() {
    let mut yaml = "vps:\n".to_owned();
    for veid in 1_200_000..1_200_040 {
        let _ = writeln!(yaml, "- {{veid: {veid}, api_key: private_test}}");
    }
    let (_folder, flag) = config(&yaml);
    let vpses = |arguments: &[&str]| -> Vec<String> {
        let output = run(&[&[flag.as_str(), "--config.check"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let summary = String::from_utf8_lossy(&output.stdout).into_owned();
        let name = |line: &str| Some(line.strip_prefix("  ")?.split(' ').next()?.to_owned());
        summary.lines().filter_map(name).collect()
    };
    let all = vpses(&[]);
    assert_eq!(all.len(), 40);
    for total in 1..=16 {
        let total_shards = format!("--total-shards={total}");
        let mut union: Vec<String> = (0..total)
            .flat_map(|shard| vpses(&[&format!("--shard={shard}"), &total_shards]))
            .collect();
        union.sort_unstable();
        assert_eq!(union, all, "{total} shards");
    }
}

/// Calls cost 20 points, and all VPSes share one quota that only the account can see.
///
/// With a fast clock a shard often measures points that others spent, so it may overestimate the cost of its calls.
/// Only an underestimate would endanger the quota.
#[tokio::test]
async fn shards_share_the_budget_and_show_every_vps_once() {
    let simulator = simulator(&[
        "--vps=12",
        "--live.latency=0.01",
        "--time-scale=100",
        "--points.cost=getLiveServiceInfo=20",
        "--points.scope=account",
    ]);
    let (_folder, flag) = config(&configuration(&simulator, "").await);
    let shards: Vec<Exporter> = (0..3)
        .map(|shard| {
            Exporter::start(&[
                "--simulator.time-scale=100",
                &flag,
                // The name of a pod, as Kubernetes sets it.
                &format!("--shard=kiwivm-exporter-{shard}"),
                "--total-shards=3",
            ])
        })
        .collect();
    let mut pages = Vec::new();
    for (ordinal, shard) in shards.iter().enumerate() {
        let page = shard
            .wait_for("the cost is learned", |page| {
                page.one("kiwivm_api_call_points", &[("call", "getLiveServiceInfo")])
                    .is_some_and(|points| points > 18.5)
            })
            .await;
        let number = |name| page.one(name, &[]).map(|number| number.to_string());
        assert_eq!(
            number("kiwivm_exporter_shard_ordinal"),
            Some(ordinal.to_string())
        );
        assert_eq!(number("kiwivm_exporter_total_shards"), Some("3".to_owned()));
        pages.push(page);
    }
    let sizes: Vec<usize> = pages.iter().map(|page| polled(page).len()).collect();
    let union: BTreeSet<String> = pages.iter().flat_map(polled).collect();
    assert!(sizes.iter().all(|size| *size > 0), "{sizes:?}");
    assert_eq!((union.len(), sizes.iter().sum::<usize>()), (12, 12));

    // Half an hour of the account's time, and until every shard got another response.
    let successes = |page: &Page| -> f64 {
        let live = [("call", "getLiveServiceInfo"), ("outcome", "success")];
        let counts = page.series("kiwivm_polls_total", &live);
        counts.map(|(_, count)| count).sum()
    };
    let started = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let mut waits_for: Vec<_> = shards.iter().zip(&pages).collect();
    while !waits_for.is_empty() || started.elapsed() < Duration::from_secs(18) {
        tick.tick().await;
        let [quarter, day] = left(&simulator).await;
        assert!(
            quarter >= 500.0 && day >= 10_000.0,
            "{quarter} and {day} points are left"
        );
        if let Some((shard, before)) = waits_for.last() {
            assert!(
                started.elapsed() < Duration::from_secs(120),
                "{}",
                shard.log()
            );
            if successes(&shard.scrape().await) > successes(before) {
                waits_for.pop();
            }
        }
    }
}

#[tokio::test]
async fn a_shard_without_a_vps_reports_it_and_is_ready() {
    let (_folder, flag) = config(
        "api: {endpoint: \"http://127.0.0.1:9/v1\"}\nvps: [{veid: 1200000, api_key: private_test}]\n",
    );
    let mut empty = 0;
    for shard in ["--shard=0", "--shard=1"] {
        let exporter = Exporter::start(&[&flag, shard, "--total-shards=2"]);
        let page = exporter.scrape().await;
        if !polled(&page).is_empty() {
            continue;
        }
        empty += 1;
        let message = "None of the 1 VPSes belong to shard";
        assert!(exporter.log().contains(message), "{}", exporter.log());
        assert_eq!(page.one("kiwivm_exporter_vps_configured", &[]), Some(0.0));
        get(&format!("{}/-/ready", exporter.url)).await;
        let status = get(&exporter.url).await;
        assert!(status.contains("This page shows shard"), "{status}");
    }
    assert_eq!(empty, 1);
}
