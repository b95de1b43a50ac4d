//! What fails delays nothing else: neither another VPS, nor another call, nor the time after an outage.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::account::{Account, Arrival, LIVE, READING, SERVICE, Terms, USAGE, reading, summary};
use crate::account_run::{
    FIRST_LIVE, Fault, Run, SLACK, all_well, backs_off, check, faulty, longest_silence,
};
use crate::mock::{Reply, sample};

/// Fifteen seconds are ten minutes, in which every VPS gets live or service info.
const TIME_SCALE: f64 = 40.0;
const TEN_MINUTES: u64 = 600;

fn first_vps(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Fault {
    Box::new(move |arrival| (arrival.veid == 1).then(&reply))
}

#[test]
fn a_vps_that_fails_does_not_delay_another() {
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
    all_well(runs.iter().map(|run| {
        // Half the points are enough for live data of five VPSes every two minutes, but not of twenty.
        let times = if run.account.vps > 5 { 2 } else { 3 };
        let others = 2..=run.account.vps;
        run.state(&others, times, run.scaled(TEN_MINUTES) + SLACK)
    }));
}

#[test]
fn a_vps_whose_readings_begin_to_fail_does_not_delay_another() {
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
    all_well(runs.iter().map(|run| {
        // A VPS has one call in flight at most: a reading that hangs holds up its own live data.
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
fn slow_usage_data_hold_up_no_other_call() {
    let time_scale = 20.0;
    let slow = |arrival: &Arrival| match arrival.call.as_str() {
        USAGE => Duration::from_secs(120).div_f64(20.0),
        _ => Duration::from_millis(20),
    };
    let terms = Terms {
        time_scale,
        latency: Box::new(slow),
        ..Terms::default()
    };
    let run = Run::start("usage", 5, terms);
    let deadline = run.started + FIRST_LIVE + SLACK;
    let usage = run.account.wait_for("usage data twice", deadline, |made| {
        let usage = made.iter().filter(|made| made.call == USAGE);
        usage.filter(|made| made.succeeded.is_some()).count() >= 2
    });
    all_well([run.named(usage)]);
    let made = run.account.made();
    let longest = longest_silence(&made, run.started);
    // Live data of five VPSes every two minutes are a call every 24 s, and less often until prices are known.
    assert!(
        longest <= run.scaled(70) + SLACK / 4,
        "{longest:?} without a call; {}",
        summary(&made)
    );
}

#[tokio::test]
async fn an_api_that_was_unreachable_at_the_start_is_polled_within_seconds() {
    let mut run = Run::before("refused", Account::closed(3), 1.0);
    let refused = run.exporter.wait_for("a call fails", |page| {
        let refused = [("reason", "connect")];
        page.series("kiwivm_poll_errors_total", &refused)
            .any(|(_, errors)| errors > 0.0)
    });
    refused.await;
    let reached = Instant::now();
    run.account.listen(Terms::default(), HashMap::new());
    let deadline = reached + FIRST_LIVE + SLACK;
    let state = run.account.wait_for_state(&run.all(), 1, deadline);
    all_well([run.named(state)]);
}

#[test]
fn an_api_that_drops_connections_is_tried_again_with_backoff() {
    let run = Run::start("dropped", 3, faulty(1.0, Box::new(|_| Some(Reply::Drop))));
    // Waits of a few seconds that double bring a call after this; a wait for the next interval does not.
    let later = run.started + Duration::from_secs(5);
    let deadline = run.started + FIRST_LIVE + SLACK;
    let again = run.account.wait_for("a later call", deadline, |made| {
        let state = |call: &str| [LIVE, SERVICE].contains(&call);
        made.iter()
            .any(|made| state(&made.call) && made.at >= later)
    });
    all_well([run.named(again)]);
    let made = run.account.made();
    // A storm would be thousands, because each call fails at once. A round of three VPSes is 24 at most.
    assert!(made.len() <= 4 * 24, "no backoff; {}", summary(&made));
}
