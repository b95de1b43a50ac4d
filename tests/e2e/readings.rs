//! While the API responds and points are left, every VPS gets live data, even if the readings of the points are wrong.
//! Each test runs exporters for several accounts at the same time, each account with one kind of bad reading.

use std::time::Duration;

use tempfile::TempDir;

use crate::account::{Account, Arrival, Behaviour, READING, RecordedCall, reading, summary, times};
use crate::account_run::{
    FIRST_LIVE, Fault, Run, SLACK, assert_all_ok, backs_off, check, faulty, longest_silence,
};
use crate::exporter::{Exporter, config};
use crate::mock::{Mock, Reply, sample};
use crate::page::Page;

fn readings(fault: impl Fn(&Arrival) -> Reply + Send + Sync + 'static) -> Fault {
    Box::new(move |arrival| (arrival.call == READING).then(|| fault(arrival)))
}

/// Pseudorandom numbers.
fn scattered(arrival: &Arrival, most: u64) -> u64 {
    let number = arrival.number * 64 + arrival.veid;
    (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) % (most + 1)
}

/// Readings off by up to 15 points.
fn noisy(arrival: &Arrival) -> Reply {
    let off = scattered(arrival, 30);
    let [quarter, day] = arrival.left.map(|left| (left + off).saturating_sub(15));
    reading(quarter, day)
}

/// Random readings.
fn jumping(arrival: &Arrival) -> Reply {
    reading(scattered(arrival, 1000), scattered(arrival, 20_000))
}

/// Well-formed readings, correct or not, and failing ones.
fn misleading() -> Vec<(&'static str, Fault)> {
    vec![
        ("true readings", Box::new(|_: &Arrival| None)),
        ("never falling", readings(|_| reading(1000, 20_000))),
        ("noise of 15", readings(noisy)),
        ("random jumps", readings(jumping)),
        ("HTTP 500", readings(|_| Reply::Status(500, ""))),
        ("dropped", readings(|_| Reply::Drop)),
    ]
}

/// Readings with `error: 0` but without usable points.
fn unreadable() -> Vec<(&'static str, Fault)> {
    let empty = || Reply::Body("{\"error\":0}".to_owned());
    vec![
        ("null", readings(|_| reading("null", "null"))),
        ("text", readings(|_| reading("\"plenty\"", "\"plenty\""))),
        ("negative", readings(|_| reading(-1, -1))),
        ("fractions", readings(|_| reading(996.5, 19_996.5))),
        ("missing", readings(move |_| empty())),
    ]
}

#[tokio::test]
async fn fifty_vpses_have_live_data_within_20_seconds_with_any_readings() {
    let late = Behaviour {
        lag: Duration::from_secs(10),
        ..Behaviour::default()
    };
    let mut runs: Vec<_> = misleading()
        .into_iter()
        .chain(unreadable())
        .chain([("hanging", readings(|_| Reply::Hang))])
        .map(|(what, fault)| Run::start(what, 50, faulty(1.0, fault)))
        .collect();
    runs.push(Run::start("10 s late", 50, late));
    let never_falling = faulty(1.0, readings(|_| reading(1000, 20_000)));
    runs.push(Run::start("never falling, 10 VPSes", 10, never_falling));
    assert_all_ok(
        runs.iter()
            .map(|run| run.state(&run.all(), 1, FIRST_LIVE + SLACK)),
    );
    for run in runs {
        let served = run.exporter.wait_for("all are up", |page| {
            let up = page.series("kiwivm_up", &[]).filter(|(_, up)| *up > 0.0);
            up.count() as u64 == run.account.vps
        });
        served.await;
    }
}

#[test]
fn polling_continues_with_any_readings() {
    // A second is a minute here: live data are wanted every two minutes, and needed every ten.
    let runs: Vec<_> = misleading()
        .into_iter()
        .chain(unreadable())
        .map(|(what, fault)| Run::start(what, 3, faulty(60.0, fault)))
        .collect();
    assert_all_ok(runs.iter().map(|run| {
        // Random readings report few points as often as many.
        let times = if run.what == "random jumps" { 2 } else { 3 };
        run.state(&run.all(), times, run.scaled(16 * 60) + SLACK)?;
        let longest = longest_silence(&run.account.made(), run.started);
        check(
            (&run.what, "longest silence", longest),
            longest <= run.scaled(10 * 60) + SLACK,
        )
    }));
}

#[test]
fn polling_resumes_after_a_first_minute_without_points() {
    let time_scale = 20.0;
    let runs: Vec<_> = [[0, 20_000], [1000, 0], [0, 0], [1, 20_000], [1000, 2]]
        .into_iter()
        .map(|[quarter, day]| {
            let empty: Fault = Box::new(move |arrival| {
                let first_minute = arrival.since < Duration::from_secs(60).div_f64(time_scale);
                (arrival.call == READING && first_minute).then(|| reading(quarter, day))
            });
            let what = format!("{quarter} and {day} points");
            Run::start(what, 3, faulty(time_scale, empty))
        })
        .collect();
    assert_all_ok(
        runs.iter()
            .map(|run| run.state(&run.all(), 1, run.scaled(5 * 60) + SLACK)),
    );
}

#[test]
fn a_small_quota_is_used_at_full_speed() {
    let runs: Vec<_> = [([1000, 9000], 3), ([1000, 5000], 2), ([1000, 20_000], 3)]
        .into_iter()
        .map(|(sizes, vps)| {
            let behaviour = Behaviour {
                sizes,
                time_scale: 60.0,
                ..Behaviour::default()
            };
            Run::start(format!("{sizes:?}"), vps, behaviour)
        })
        .collect();
    // Half of each day's quota covers live data every two minutes: five rounds after the first, and half as many again.
    assert_all_ok(
        runs.iter()
            .map(|run| run.state(&run.all(), 6, run.scaled(15 * 60) + SLACK)),
    );
}

#[test]
fn unusable_readings_are_retried_with_backoff() {
    let time_scale = 10.0;
    let runs: Vec<_> = unreadable()
        .into_iter()
        .chain([("HTTP 500", readings(|_| Reply::Status(500, "")))])
        .map(|(what, fault)| Run::start(what, 1, faulty(time_scale, fault)))
        .collect();
    let of_one = |made: &[RecordedCall]| times(made, 1, READING);
    let third = |account: &Account, run: &Run| {
        // The waits are 30 s and 60 s, plus jitter of up to a half.
        let deadline = run.started + run.scaled(135) + SLACK;
        account.wait_for("a third reading", deadline, |made| of_one(made).len() >= 3)
    };
    assert_all_ok(runs.iter().map(|run| {
        run.named(third(&run.account, run))?;
        let made = run.account.made();
        let backs_off = backs_off(&of_one(&made), time_scale);
        check((&run.what, "no backoff", summary(&made)), backs_off)
    }));
}

const ASSUMED: &str = "assuming 1000 in 15 minutes and 20000 in 24 hours";

fn two_vpses(mock: &Mock) -> (TempDir, String) {
    config(&format!(
        "api: {{endpoint: \"{}\"}}\nbudget: {{scope: vps}}\nintervals: {{live: 1m, points: 1m}}\nvps:\n- {{name: one, veid: 1, api_key: private_x}}\n- {{name: two, veid: 2, api_key: private_x}}\n",
        mock.endpoint
    ))
}

#[tokio::test]
async fn only_unusable_readings_are_reported_as_such() {
    let mock = Mock::start([1, 2]).await;
    mock.reply_to_everything(1, sample("error_locked.json"));
    let (_folder, flag) = two_vpses(&mock);
    let exporter = Exporter::start(&[&flag, "--simulator.time-scale=300"]);
    let failures = |page: &Page, vps: &str| {
        let labels = [("vps", vps), ("call", READING), ("outcome", "failure")];
        page.one("kiwivm_polls_total", &labels).unwrap_or_default()
    };
    exporter
        .wait_for("readings fail", |page| failures(page, "one") >= 8.0)
        .await;
    assert!(!exporter.log().contains(ASSUMED), "{}", exporter.log());
    mock.recover(1);
    mock.reply(1, READING, Reply::Status(500, ""));
    exporter
        .wait_for("it is reported", |_| exporter.log().contains(ASSUMED))
        .await;
    let log = exporter.log();
    let line = log.lines().find(|line| line.contains(ASSUMED));
    let line = line.expect("it is logged");
    assert!(
        line.contains("\"vps\":\"one\"")
            && line.contains("getRateLimitStatus fails although other calls succeed"),
        "{line}"
    );
    mock.recover(1);
    let again = "getRateLimitStatus returns usable numbers again";
    exporter
        .wait_for("it is usable", |_| exporter.log().contains(again))
        .await;
    // A VPS that is locked meanwhile does not hide it.
    mock.reply_to_everything(1, sample("error_locked.json"));
    let failed = failures(&exporter.scrape().await, "one");
    exporter
        .wait_for("readings fail", |page| {
            failures(page, "one") >= failed + 8.0
        })
        .await;
    mock.reply(2, READING, reading("\"plenty\"", "\"plenty\""));
    let unusable = "getRateLimitStatus returns no usable number of API points";
    exporter
        .wait_for("it is reported", |_| exporter.log().contains(unusable))
        .await;
}
