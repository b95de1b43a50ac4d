//! A flag of service info that turns true triggers one early poll of the cases behind it.

use std::time::{Duration, Instant};

use crate::exporter::{Exporter, TIMEOUT, config};
use crate::mock::{Mock, Reply, sample};

const LIVE: &str = "getLiveServiceInfo";
const VIOLATIONS: &str = "getPolicyViolations";
const SUSPENSIONS: &str = "getSuspensionDetails";
const DEADLINE: &str = "kiwivm_policy_violation_deadline_timestamp_seconds";

/// Polls live data every second and inventory every 24 minutes.
const CONFIGURATION: &str = "\
intervals: {live: 1m, usage: 12h, points: 10m, inventory: 1d}
vps:
  - {veid: 1, api_key: private_x}
  - {veid: 2, api_key: private_x}
";
const TIME_SCALE: &str = "--simulator.time-scale=60";

fn live(flags: &str) -> Reply {
    let Reply::Body(body) = sample("live_kvm_running.wire.json") else {
        unreachable!("samples are bodies")
    };
    Reply::Body(body.replace("\"suspended\":false,\"policy_violation\":false", flags))
}

fn count(mock: &Mock, veid: u64, call: &str) -> usize {
    let requests = mock.requests();
    let of = |request: &&crate::mock::Request| request.veid() == veid && request.call() == call;
    requests.iter().filter(of).count()
}

async fn wait_for_calls(mock: &Mock, veid: u64, call: &str, more: usize) {
    let wanted = count(mock, veid, call) + more;
    let deadline = Instant::now() + TIMEOUT;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    while count(mock, veid, call) < wanted {
        tick.tick().await;
        assert!(
            Instant::now() < deadline,
            "{call} was not called {more} times"
        );
    }
}

#[tokio::test]
async fn a_flag_that_turns_true_triggers_one_early_poll() {
    let mock = Mock::start(1..=2).await;
    for veid in 1..=2 {
        mock.plenty_of_points(veid);
    }
    let yaml = format!("api: {{endpoint: \"{}\"}}\n{CONFIGURATION}", mock.endpoint);
    let (_folder, flag) = config(&yaml);
    let exporter = Exporter::start(&[TIME_SCALE, &flag]);
    for veid in 1..=2 {
        for call in [VIOLATIONS, SUSPENSIONS] {
            let polled = |page: &crate::page::Page| {
                let labels = [("vps", veid.to_string()), ("call", call.to_owned())];
                let labels = labels
                    .each_ref()
                    .map(|(name, value)| (*name, value.as_str()));
                page.one("kiwivm_last_success_timestamp_seconds", &labels)
                    .is_some()
            };
            exporter.wait_for("the first round", polled).await;
        }
    }
    assert_eq!(count(&mock, 1, VIOLATIONS), 1);
    mock.reply(1, VIOLATIONS, sample("policy_violations.json"));
    mock.reply(
        1,
        LIVE,
        live("\"suspended\":false,\"policy_violation\":true"),
    );
    let page = exporter
        .wait_for("the deadline is reported", |page| {
            page.of("1", DEADLINE).is_some()
        })
        .await;
    assert_eq!(page.of("2", DEADLINE), None);
    // If the flag stays, is omitted or comes back, no poll is triggered.
    wait_for_calls(&mock, 1, LIVE, 3).await;
    mock.reply(1, LIVE, live("\"suspended\":false"));
    wait_for_calls(&mock, 1, LIVE, 3).await;
    mock.reply(
        1,
        LIVE,
        live("\"suspended\":false,\"policy_violation\":true"),
    );
    wait_for_calls(&mock, 1, LIVE, 3).await;
    assert_eq!(
        (count(&mock, 1, VIOLATIONS), count(&mock, 1, SUSPENSIONS)),
        (2, 1)
    );

    mock.reply(1, SUSPENSIONS, sample("suspension_details.json"));
    mock.reply(
        1,
        LIVE,
        live("\"suspended\":true,\"policy_violation\":true"),
    );
    let cases = |page: &crate::page::Page| {
        let cases = page.series("kiwivm_suspension_cases", &[("vps", "1")]);
        cases.map(|(_, count)| count).sum::<f64>() > 0.0
    };
    exporter.wait_for("the cases are reported", cases).await;
    wait_for_calls(&mock, 1, LIVE, 3).await;
    assert_eq!(
        (count(&mock, 1, VIOLATIONS), count(&mock, 1, SUSPENSIONS)),
        (2, 2)
    );
    assert_eq!(
        (count(&mock, 2, VIOLATIONS), count(&mock, 2, SUSPENSIONS)),
        (1, 1)
    );

    // After it ends, it triggers again.
    mock.reply(
        1,
        LIVE,
        live("\"suspended\":true,\"policy_violation\":false"),
    );
    wait_for_calls(&mock, 1, LIVE, 3).await;
    assert_eq!(count(&mock, 1, VIOLATIONS), 2);
    mock.reply(
        1,
        LIVE,
        live("\"suspended\":true,\"policy_violation\":true"),
    );
    wait_for_calls(&mock, 1, VIOLATIONS, 1).await;
    assert_eq!(count(&mock, 1, SUSPENSIONS), 2);
}
