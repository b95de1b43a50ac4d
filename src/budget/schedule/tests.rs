mod plans;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::config::Collect;

const PACE: Pace = Pace {
    live: Duration::from_secs(120),
    points: Duration::from_secs(600),
    usage: Duration::from_secs(600),
    inventory: Duration::from_secs(3600),
    collect: Collect::NOTHING,
};

/// A schedule without a budget: what is due and has a place is sent.
struct Unlimited(Schedule);

impl Unlimited {
    fn new(fleet: &[(Veid, Pace)], places: Places) -> Self {
        let mut schedule = Schedule::new(places);
        schedule.reconfigure(fleet, places, Duration::ZERO);
        Self(schedule)
    }

    fn take_due(&mut self, now: Duration) -> Vec<Due> {
        let mut taken = Vec::new();
        for (call, _, veid) in self.0.waiting(now) {
            if self.0.has_place(veid, call) {
                self.0.start(veid, call, now);
                taken.push(Due { veid, call });
            }
        }
        taken
    }

    fn finish(&mut self, Due { veid, call }: Due, outcome: Outcome, now: Duration) {
        let due = Due { veid, call };
        self.0.finish(due, outcome, None, now, 0.5);
    }
}

fn schedule(vps: u64, places: usize) -> Unlimited {
    let fleet: Vec<_> = (1..=vps).map(|veid| (Veid(veid), PACE)).collect();
    Unlimited::new(&fleet, Places::fixed(places))
}

/// Runs a schedule up to `until`, each call taking `takes` and ending as `outcome` says; returns when each started.
fn run(
    schedule: &mut Unlimited,
    until: Duration,
    takes: impl Fn(Due) -> Duration,
    outcome: impl Fn(Due, Duration) -> Outcome,
) -> Vec<(Duration, Due)> {
    let mut started = Vec::new();
    let mut in_flight: BTreeMap<(Duration, Veid, Call), Due> = BTreeMap::new();
    let mut now = Duration::ZERO;
    while now <= until {
        for due in schedule.take_due(now) {
            started.push((now, due));
            in_flight.insert((now + takes(due), due.veid, due.call), due);
        }
        let ends = in_flight.keys().next().map(|(ends, ..)| *ends);
        let next = ends.into_iter().chain(schedule.0.next_due(now)).min();
        now = next.expect("a schedule never runs dry").max(now);
        while let Some(entry) = in_flight.first_entry().filter(|entry| entry.key().0 <= now) {
            let due = entry.remove();
            schedule.finish(due, outcome(due, now), now);
        }
    }
    started
}

fn times(started: &[(Duration, Due)], veid: u64, call: Call) -> Vec<Duration> {
    started
        .iter()
        .filter(|(_, due)| due.veid == Veid(veid) && due.call == call)
        .map(|(at, _)| *at)
        .collect()
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn calls_that_succeed_keep_their_interval_and_their_phase() {
    let mut schedule = schedule(1, 4);
    let started = run(
        &mut schedule,
        seconds(7200),
        |_| seconds(15),
        |_, _| Outcome::Success,
    );
    for (call, interval) in [
        (Call::LiveServiceInfo, PACE.live),
        (Call::RateLimitStatus, PACE.points),
        (Call::RawUsageStats, PACE.usage),
    ] {
        let times = times(&started, 1, call);
        assert!(times.len() > 9, "{call:?}: {times:?}");
        // A call may wait for the one before it: one a VPS is in flight.
        for pair in times[1..].windows(2) {
            let gap = pair[1].checked_sub(pair[0]).unwrap();
            assert!(gap.abs_diff(interval) <= seconds(30), "{call:?}: {gap:?}");
        }
    }
    assert!(
        times(&started, 1, Call::ServiceInfo).is_empty(),
        "live stands in for it"
    );
}

#[test]
fn the_first_round_of_fifty_is_over_in_a_minute_when_every_call_takes_fifteen_seconds() {
    let fleet: Vec<_> = (1..=50).map(|veid| (Veid(veid), PACE)).collect();
    let mut schedule = Unlimited::new(&fleet, Places::for_fleet(50, PACE.live));
    let started = run(
        &mut schedule,
        seconds(60),
        |_| seconds(15),
        |_, _| Outcome::Success,
    );
    for veid in 1..=50 {
        let first = times(&started, veid, Call::LiveServiceInfo)[0];
        assert!(
            first <= seconds(45),
            "VPS {veid} is first asked after {first:?}"
        );
    }
}

#[test]
fn phases_are_spread() {
    let mut schedule = schedule(60, 60);
    let started = run(
        &mut schedule,
        seconds(1200),
        |_| Duration::ZERO,
        |_, _| Outcome::Success,
    );
    let mut in_ten_seconds = BTreeMap::<u64, usize>::new();
    for (at, due) in &started {
        if due.call == Call::LiveServiceInfo && *at > seconds(600) {
            *in_ten_seconds.entry(at.as_secs() / 10).or_default() += 1;
        }
    }
    // 60 VPSes every 120 s are 5 in 10 s.
    assert!(
        in_ten_seconds.values().all(|calls| *calls <= 15),
        "{in_ten_seconds:?}"
    );
}

#[test]
fn when_live_fails_service_info_is_asked_at_once_and_at_the_live_interval() {
    let mut schedule = schedule(1, 4);
    let started = run(
        &mut schedule,
        seconds(7200),
        |due| {
            if due.call == Call::LiveServiceInfo {
                seconds(30)
            } else {
                seconds(1)
            }
        },
        |due, at| {
            if due.call == Call::LiveServiceInfo && at < seconds(3000) {
                Outcome::Failure(Reason::Timeout)
            } else {
                Outcome::Success
            }
        },
    );
    let service = times(&started, 1, Call::ServiceInfo);
    assert!(service[0] <= seconds(32), "{service:?}");
    let during: Vec<_> = service.iter().filter(|at| **at < seconds(3000)).collect();
    assert!((23..=27).contains(&during.len()), "{during:?}");
    let live = times(&started, 1, Call::LiveServiceInfo);
    let back = live
        .iter()
        .find(|at| **at >= seconds(2970))
        .expect("live comes back");
    assert!(
        service.iter().all(|at| *at <= *back + seconds(31)),
        "live stands in again"
    );
}

#[test]
fn failures_back_off_and_recovery_restores_the_pace() {
    let mut schedule = schedule(1, 4);
    let started = run(
        &mut schedule,
        seconds(7200),
        |_| seconds(1),
        |_, at| {
            if at < seconds(3600) {
                Outcome::Failure(Reason::Connect)
            } else {
                Outcome::Success
            }
        },
    );
    let live = times(&started, 1, Call::LiveServiceInfo);
    let failing = live.iter().filter(|at| **at < seconds(3600)).count();
    assert!(
        (175..=220).contains(&failing),
        "an hour of failures costs {failing} calls"
    );
    let well = live.iter().filter(|at| **at >= seconds(5000)).count();
    assert!((17..=20).contains(&well), "{well} calls in the last 2200 s");
}

#[test]
fn a_refused_key_stops_everything_but_a_rare_probe() {
    let mut schedule = schedule(1, 4);
    let started = run(
        &mut schedule,
        seconds(86_400),
        |_| seconds(1),
        |_, _| Outcome::Failure(Reason::Auth),
    );
    assert!(
        (23..=31).contains(&started.len()),
        "{} calls in a day",
        started.len()
    );
    assert!(
        started
            .iter()
            .filter(|(at, _)| *at > seconds(1))
            .all(|(_, due)| due.call == Call::ServiceInfo)
    );
}

#[test]
fn an_accepted_key_brings_everything_back() {
    let mut schedule = schedule(1, 4);
    let started = run(
        &mut schedule,
        seconds(9000),
        |_| seconds(1),
        |_, at| {
            if at < seconds(3000) {
                Outcome::Failure(Reason::Auth)
            } else {
                Outcome::Success
            }
        },
    );
    let probe = times(&started, 1, Call::ServiceInfo)[0];
    for call in [
        Call::LiveServiceInfo,
        Call::RateLimitStatus,
        Call::RawUsageStats,
    ] {
        let back = times(&started, 1, call).into_iter().find(|at| *at > probe);
        assert!(back.is_some_and(|at| at <= probe + seconds(5)), "{call:?}");
    }
}

#[test]
fn another_key_is_tried_at_once() {
    let mut schedule = schedule(1, 4);
    let due = schedule.take_due(Duration::ZERO)[0];
    schedule.finish(due, Outcome::Failure(Reason::Auth), seconds(1));
    assert_eq!(schedule.take_due(seconds(60)), []);
    schedule.0.resume(Veid(1), seconds(61));
    let taken = schedule.take_due(seconds(61));
    let calls: Vec<Call> = taken.iter().map(|due| due.call).collect();
    assert_eq!(calls, [Call::RateLimitStatus, Call::LiveServiceInfo]);
}

#[test]
fn vpses_that_time_out_share_a_quarter_of_the_places() {
    let mut schedule = schedule(20, 8);
    let hangs = |due: Due| due.veid.0 <= 9;
    let started = run(
        &mut schedule,
        seconds(3600),
        |due| if hangs(due) { seconds(30) } else { seconds(1) },
        |due, _| {
            if hangs(due) {
                Outcome::Failure(Reason::Timeout)
            } else {
                Outcome::Success
            }
        },
    );
    for veid in 10..=20 {
        let live = times(&started, veid, Call::LiveServiceInfo);
        let late = live
            .windows(2)
            .map(|pair| pair[1].checked_sub(pair[0]).unwrap())
            .max();
        assert!(late <= Some(seconds(185)), "VPS {veid} waited {late:?}");
        assert!(live.len() >= 29, "VPS {veid}: {} calls", live.len());
    }
}

#[test]
fn a_new_configuration_ends_pauses_and_keeps_calls_in_flight() {
    let mut schedule = schedule(2, 4);
    let first = schedule.take_due(Duration::ZERO)[0];
    schedule.finish(first, Outcome::Failure(Reason::Auth), seconds(1));
    let second = schedule.take_due(seconds(2))[0];
    let fleet = [(first.veid, PACE), (Veid(7), PACE)];
    schedule.0.reconfigure(&fleet, Places::fixed(4), seconds(3));
    let asked: Vec<_> = schedule
        .take_due(seconds(5))
        .iter()
        .map(|due| due.veid)
        .collect();
    assert_eq!(asked[..2], [first.veid, Veid(7)]);
    schedule.finish(second, Outcome::Success, seconds(6));
    let of_others = [first.veid, Veid(7)];
    let late = schedule.take_due(seconds(7200));
    assert!(
        late.iter().all(|due| of_others.contains(&due.veid)),
        "{late:?}"
    );
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Success),
        Just(Outcome::Failure(Reason::Timeout)),
        Just(Outcome::Failure(Reason::Auth)),
        Just(Outcome::Failure(Reason::Locked)),
        Just(Outcome::Failure(Reason::HttpStatus)),
    ]
}

proptest! {
    /// Whatever happens: one call a VPS in flight and history beside it, never more calls than places, nothing is
    /// forgotten.
    #[test]
    fn places_are_kept_and_no_vps_is_forgotten(
        vps in 1..12_u64,
        places in 1..6_usize,
        steps in prop::collection::vec((0..400_u64, any_outcome(), any::<prop::sample::Index>()), 1..200),
    ) {
        let mut schedule = schedule(vps, places);
        let mut in_flight: Vec<Due> = Vec::new();
        let mut now = Duration::ZERO;
        for (pause, outcome, index) in steps {
            now += seconds(pause);
            in_flight.extend(schedule.take_due(now));
            prop_assert!(in_flight.len() <= places);
            let mut busy: Vec<_> = in_flight
                .iter()
                .map(|due| {
                    let beside = [Call::RawUsageStats, Call::RateLimitStatus];
                    (due.veid, beside.contains(&due.call))
                })
                .collect();
            busy.sort_unstable();
            busy.dedup();
            prop_assert_eq!(busy.len(), in_flight.len());
            if !in_flight.is_empty() {
                let due = in_flight.swap_remove(index.index(in_flight.len()));
                schedule.finish(due, outcome, now);
            }
        }
        for due in in_flight.drain(..) {
            schedule.finish(due, Outcome::Success, now);
        }
        // The longest wait is the pause after a refused key, and a fifth of it.
        let mut asked = std::collections::BTreeSet::new();
        let end = now + seconds(4400);
        while now <= end {
            let taken = schedule.take_due(now);
            if taken.is_empty() {
                let Some(next) = schedule.0.next_due(now) else { break };
                now = next;
            }
            for due in taken {
                asked.insert(due.veid);
                schedule.finish(due, Outcome::Success, now);
            }
        }
        prop_assert_eq!(asked.len() as u64, vps);
    }
}
