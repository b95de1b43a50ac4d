//! A failure delays nothing else: no other VPS, no other call, and no poll after an outage.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::account::{
    Account, Arrival, Behaviour, LIVE, READING, SERVICE, USAGE, reading, summary,
};
use crate::account_run::{
    FIRST_LIVE, Fault, Run, SLACK, assert_all_ok, backs_off, check, faulty, longest_silence,
};
use crate::mock::{Reply, sample};

/// Ten minutes take 15 seconds. Every VPS must get live or service info within them.
const TIME_SCALE: f64 = 40.0;
const TEN_MINUTES: u64 = 600;

fn first_vps(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Fault {
    Box::new(move |arrival| (arrival.veid == 1).then(&reply))
}

#[test]
fn a_failing_vps_does_not_delay_others() {
    let nothing: Fault = Box::new(|_| None);
    let all_but_one: Fault =
        Box::new(|arrival| (arrival.veid != 2).then_some(Reply::Status(500, "")));
    let runs: Vec<_> = [
        ("none", 5, nothing),
        ("locked", 5, first_vps(|| sample("error_locked.json"))),
        ("HTTP 500", 5, first_vps(|| Reply::Status(500, ""))),
        ("hanging", 5, first_vps(|| Reply::Hang)),
        ("dropped", 5, first_vps(|| Reply::Drop)),
        (
            "locked of 20",
            20,
            first_vps(|| sample("error_locked.json")),
        ),
        ("all but one", 2, all_but_one),
    ]
    .into_iter()
    .map(|(what, vps, fault)| Run::start(what, vps, faulty(TIME_SCALE, fault)))
    .collect();
    assert_all_ok(runs.iter().map(|run| {
        // Half the points cover live data every two minutes for five VPSes, but not for twenty.
        let times = if run.account.vps > 5 { 2 } else { 3 };
        let others = 2..=run.account.vps;
        run.state(&others, times, run.scaled(TEN_MINUTES) + SLACK)
    }));
}

#[test]
fn a_vps_with_failing_readings_does_not_delay_others() {
    let since = Duration::from_secs(22).div_f64(TIME_SCALE);
    let runs: Vec<_> = [
        ("HTTP 500", Reply::Status(500, "")),
        ("null", reading("null", "null")),
        ("hanging", Reply::Hang),
    ]
    .into_iter()
    .map(|(what, reply)| {
        let fault: Fault = Box::new(move |arrival| {
            let fails = arrival.veid == 1 && arrival.call == READING && arrival.since >= since;
            fails.then(|| reply.clone())
        });
        Run::start(what, 5, faulty(TIME_SCALE, fault))
    })
    .collect();
    assert_all_ok(runs.iter().map(|run| {
        // A VPS has at most one call in flight, so a hanging reading delays its own live data.
        let others = 2..=run.account.vps;
        run.state(&others, 3, run.scaled(TEN_MINUTES) + SLACK)?;
        let made = run.account.made();
        let failed = made.iter().filter(|made| {
            made.veid == 1 && made.call == READING && made.at >= run.started + since
        });
        let failed: Vec<_> = failed.map(|made| made.at).collect();
        check(
            (&run.what, "no backoff", summary(&made)),
            backs_off(&failed, TIME_SCALE),
        )
    }));
}

#[test]
fn slow_usage_calls_do_not_delay_other_calls() {
    let time_scale = 20.0;
    let slow = |arrival: &Arrival| match arrival.call.as_str() {
        USAGE => Duration::from_secs(120).div_f64(20.0),
        _ => Duration::from_millis(20),
    };
    let behaviour = Behaviour {
        time_scale,
        latency: Box::new(slow),
        ..Behaviour::default()
    };
    let run = Run::start("usage", 5, behaviour);
    let deadline = run.started + FIRST_LIVE + SLACK;
    let usage = run.account.wait_for("usage data twice", deadline, |made| {
        let usage = made.iter().filter(|made| made.call == USAGE);
        usage.filter(|made| made.succeeded.is_some()).count() >= 2
    });
    assert_all_ok([run.named(usage)]);
    let made = run.account.made();
    let longest = longest_silence(&made, run.started);
    // Five VPSes every two minutes are one call every 24 s, and fewer until prices are known.
    assert!(
        longest <= run.scaled(70) + SLACK / 4,
        "{longest:?} without a call; {}",
        summary(&made)
    );
}

#[tokio::test]
async fn an_api_unreachable_at_startup_is_polled_within_seconds() {
    let mut run = Run::before("refused", Account::closed(3), 1.0);
    let refused = run.exporter.wait_for("a call fails", |page| {
        let refused = [("reason", "connect")];
        page.series("kiwivm_poll_errors_total", &refused)
            .any(|(_, errors)| errors > 0.0)
    });
    refused.await;
    let reached = Instant::now();
    run.account.listen(Behaviour::default(), HashMap::new());
    let deadline = reached + FIRST_LIVE + SLACK;
    let state = run.account.wait_for_state(&run.all(), 1, deadline);
    assert_all_ok([run.named(state)]);
}

#[test]
fn dropped_connections_are_retried_with_backoff() {
    let run = Run::start("dropped", 3, faulty(1.0, Box::new(|_| Some(Reply::Drop))));
    // With a doubling backoff of a few seconds there is a call after this, but not if it waits for the next interval.
    let later = run.started + Duration::from_secs(5);
    let deadline = run.started + FIRST_LIVE + SLACK;
    let again = run.account.wait_for("a later call", deadline, |made| {
        let state = |call: &str| [LIVE, SERVICE].contains(&call);
        made.iter()
            .any(|made| state(&made.call) && made.at >= later)
    });
    assert_all_ok([run.named(again)]);
    let made = run.account.made();
    // Without backoff there would be thousands, because each call fails at once. A round of three VPSes is 24 at most.
    assert!(made.len() <= 4 * 24, "no backoff; {}", summary(&made));
}
