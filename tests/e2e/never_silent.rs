//! While the API responds and points are left, every VPS gets live data, whatever readings of the points say. Each
//! test runs the program before accounts that misbehave in one way each, all at the same time.

use std::time::Duration;

use crate::account::{Account, Arrival, Made, READING, Terms, reading, summary, times};
use crate::account_run::{
    FIRST_LIVE, Fault, Run, SLACK, all_well, backs_off, check, faulty, longest_silence,
};
use crate::mock::Reply;

fn readings(fault: impl Fn(&Arrival) -> Reply + Send + Sync + 'static) -> Fault {
    Box::new(move |arrival| (arrival.call == READING).then(|| fault(arrival)))
}

/// Numbers without a pattern.
fn scattered(arrival: &Arrival, most: u64) -> u64 {
    let number = arrival.number * 64 + arrival.veid;
    (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) % (most + 1)
}

/// Off by up to 15 points.
fn noisy(arrival: &Arrival) -> Reply {
    let off = scattered(arrival, 30);
    let [quarter, day] = arrival.left.map(|left| (left + off).saturating_sub(15));
    reading(quarter, day)
}

/// Any numbers at all.
fn jumping(arrival: &Arrival) -> Reply {
    reading(scattered(arrival, 1000), scattered(arrival, 20_000))
}

/// Readings that are well-formed, true ones and others, and readings that fail.
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

/// Readings with `error: 0` from which no points can be read.
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
async fn fifty_vpses_have_live_data_within_20_seconds_whatever_readings_say() {
    let late = Terms {
        lag: Duration::from_secs(10),
        ..Terms::default()
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
    all_well(
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
fn polling_goes_on_whatever_readings_say() {
    // A minute a second: live data are wanted every two minutes, and needed every ten.
    let runs: Vec<_> = misleading()
        .into_iter()
        .chain(unreadable())
        .map(|(what, fault)| Run::start(what, 3, faulty(60.0, fault)))
        .collect();
    all_well(runs.iter().map(|run| {
        // Random readings say that nothing is left as often as they say that all is.
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
    all_well(
        runs.iter()
            .map(|run| run.state(&run.all(), 1, run.scaled(5 * 60) + SLACK)),
    );
}

#[test]
fn a_small_quota_is_used_at_full_speed() {
    let runs: Vec<_> = [([1000, 9000], 3), ([1000, 5000], 2), ([1000, 20_000], 3)]
        .into_iter()
        .map(|(sizes, vps)| {
            let terms = Terms {
                sizes,
                time_scale: 60.0,
                ..Terms::default()
            };
            Run::start(format!("{sizes:?}"), vps, terms)
        })
        .collect();
    // Half of each day's quota covers live data every two minutes: five rounds after the first, and half as many again.
    all_well(
        runs.iter()
            .map(|run| run.state(&run.all(), 6, run.scaled(15 * 60) + SLACK)),
    );
}

#[test]
fn a_reading_that_brings_nothing_is_repeated_with_backoff() {
    let time_scale = 10.0;
    let runs: Vec<_> = unreadable()
        .into_iter()
        .chain([("HTTP 500", readings(|_| Reply::Status(500, "")))])
        .map(|(what, fault)| Run::start(what, 1, faulty(time_scale, fault)))
        .collect();
    let of_one = |made: &[Made]| times(made, 1, READING);
    let third = |account: &Account, run: &Run| {
        // 30 s after the first, 60 s after the second, and a half more.
        let deadline = run.started + run.scaled(135) + SLACK;
        account.wait_for("a third reading", deadline, |made| of_one(made).len() >= 3)
    };
    all_well(runs.iter().map(|run| {
        run.named(third(&run.account, run))?;
        let made = run.account.made();
        let backs_off = backs_off(&of_one(&made), time_scale);
        check((&run.what, "no backoff", summary(&made)), backs_off)
    }));
}
