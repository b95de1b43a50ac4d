mod plans;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::config::Collect;
use crate::units::AccountTime;

const PACE: Pace = Pace {
    live: Duration::from_secs(120),
    points: Duration::from_secs(600),
    usage: Duration::from_secs(600),
    inventory: Duration::from_secs(3600),
    collect: Collect::NOTHING,
};

/// A schedule without a budget, which sends every due call with a free slot.
struct Unlimited(Schedule);

impl Unlimited {
    fn new(fleet: &[(Veid, Pace)], slots: Slots) -> Self {
        let mut schedule = Schedule::new(slots);
        schedule.reconfigure(fleet, slots, AccountTime::ZERO);
        Self(schedule)
    }

    fn take_due(&mut self, now: AccountTime) -> Vec<Due> {
        let mut taken = Vec::new();
        for (call, _, veid) in self.0.waiting(now) {
            if self.0.has_slot(veid, call) {
                self.0.start(veid, call, now);
                taken.push(Due { veid, call });
            }
        }
        taken
    }

    fn finish(&mut self, Due { veid, call }: Due, outcome: Outcome, now: AccountTime) {
        let due = Due { veid, call };
        self.0.finish(due, outcome, None, now, 0.5);
    }
}

fn schedule(vps: u64, slots: usize) -> Unlimited {
    let fleet: Vec<_> = (1..=vps).map(|veid| (Veid(veid), PACE)).collect();
    Unlimited::new(&fleet, Slots::fixed(slots))
}

/// Runs a schedule until `until`. Calls take `takes` and end with `outcome`. Returns the start of each call.
fn run(
    schedule: &mut Unlimited,
    until: AccountTime,
    takes: impl Fn(Due) -> Duration,
    outcome: impl Fn(Due, AccountTime) -> Outcome,
) -> Vec<(AccountTime, Due)> {
    let mut started = Vec::new();
    let mut in_flight: BTreeMap<(AccountTime, Veid, Call), Due> = BTreeMap::new();
    let mut now = AccountTime::ZERO;
    while now <= until {
        for due in schedule.take_due(now) {
            started.push((now, due));
            in_flight.insert((now + takes(due), due.veid, due.call), due);
        }
        let ends = in_flight.keys().next().map(|(ends, ..)| *ends);
        let next = ends.into_iter().chain(schedule.0.next_due(now)).min();
        now = next.expect("a schedule never ends").max(now);
        while let Some(entry) = in_flight.first_entry().filter(|entry| entry.key().0 <= now) {
            let due = entry.remove();
            schedule.finish(due, outcome(due, now), now);
        }
    }
    started
}

fn times(started: &[(AccountTime, Due)], veid: u64, call: Call) -> Vec<AccountTime> {
    started
        .iter()
        .filter(|(_, due)| due.veid == Veid(veid) && due.call == call)
        .map(|(at, _)| *at)
        .collect()
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn time(seconds: u64) -> AccountTime {
    AccountTime::from_secs(seconds)
}

#[test]
fn successful_calls_keep_their_interval_and_phase() {
    let mut schedule = schedule(1, 4);
    let started = run(
        &mut schedule,
        time(7200),
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
        // A call may wait for another one of its lane.
        for pair in times[1..].windows(2) {
            let gap = pair[1].since(pair[0]);
            assert!(gap.abs_diff(interval) <= seconds(30), "{call:?}: {gap:?}");
        }
    }
    assert!(
        times(&started, 1, Call::ServiceInfo).is_empty(),
        "live includes service info"
    );
}

#[test]
fn first_round_of_50_takes_less_than_a_minute_with_calls_of_15_seconds() {
    let fleet: Vec<_> = (1..=50).map(|veid| (Veid(veid), PACE)).collect();
    let mut schedule = Unlimited::new(&fleet, Slots::for_fleet(50, PACE.live));
    let started = run(
        &mut schedule,
        time(60),
        |_| seconds(15),
        |_, _| Outcome::Success,
    );
    for veid in 1..=50 {
        let first = times(&started, veid, Call::LiveServiceInfo)[0];
        assert!(
            first <= time(45),
            "the first call of VPS {veid} is at {first:?}"
        );
    }
}

#[test]
fn phases_are_spread() {
    let mut schedule = schedule(60, 60);
    let started = run(
        &mut schedule,
        time(1200),
        |_| Duration::ZERO,
        |_, _| Outcome::Success,
    );
    let mut in_ten_seconds = BTreeMap::<u64, usize>::new();
    for (at, due) in &started {
        if due.call == Call::LiveServiceInfo && *at > time(600) {
            *in_ten_seconds
                .entry(at.since_zero().as_secs() / 10)
                .or_default() += 1;
        }
    }
    // 60 VPSes every 120 s make 5 calls in 10 s.
    assert!(
        in_ten_seconds.values().all(|calls| *calls <= 15),
        "{in_ten_seconds:?}"
    );
}

#[test]
fn service_info_replaces_failing_live_calls_at_once_and_at_their_interval() {
    let mut schedule = schedule(1, 4);
    let started = run(
        &mut schedule,
        time(7200),
        |due| {
            if due.call == Call::LiveServiceInfo {
                seconds(30)
            } else {
                seconds(1)
            }
        },
        |due, at| {
            if due.call == Call::LiveServiceInfo && at < time(3000) {
                Outcome::Failure(Reason::Timeout)
            } else {
                Outcome::Success
            }
        },
    );
    let service = times(&started, 1, Call::ServiceInfo);
    assert!(service[0] <= time(32), "{service:?}");
    let during: Vec<_> = service.iter().filter(|at| **at < time(3000)).collect();
    assert!((23..=27).contains(&during.len()), "{during:?}");
    let live = times(&started, 1, Call::LiveServiceInfo);
    let back = live
        .iter()
        .find(|at| **at >= time(2970))
        .expect("live works again");
    assert!(
        service.iter().all(|at| *at <= *back + seconds(31)),
        "no service info after that"
    );
}

#[test]
fn failures_back_off_and_successes_restore_the_interval() {
    let mut schedule = schedule(1, 4);
    let started = run(
        &mut schedule,
        time(7200),
        |_| seconds(1),
        |_, at| {
            if at < time(3600) {
                Outcome::Failure(Reason::Connect)
            } else {
                Outcome::Success
            }
        },
    );
    let live = times(&started, 1, Call::LiveServiceInfo);
    let failing = live.iter().filter(|at| **at < time(3600)).count();
    assert!(
        (175..=220).contains(&failing),
        "an hour of failures costs {failing} calls"
    );
    let recovered = live.iter().filter(|at| **at >= time(5000)).count();
    assert!(
        (17..=20).contains(&recovered),
        "{recovered} calls in the last 2200 s"
    );
}

#[test]
fn refused_key_stops_everything_but_a_rare_probe() {
    let mut schedule = schedule(1, 4);
    let started = run(
        &mut schedule,
        time(86_400),
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
            .filter(|(at, _)| *at > time(1))
            .all(|(_, due)| due.call == Call::ServiceInfo)
    );
}

#[test]
fn accepted_key_resumes_all_calls() {
    let mut schedule = schedule(1, 4);
    let started = run(
        &mut schedule,
        time(9000),
        |_| seconds(1),
        |_, at| {
            if at < time(3000) {
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

/// A VPS has two lanes, so a call may be in flight while another refuses the key.
#[test]
fn a_refused_key_stops_no_call_for_good_while_another_is_in_flight() {
    for in_flight in [Outcome::Success, Outcome::Failure(Reason::HttpStatus)] {
        let mut schedule = schedule(1, 4);
        let started = run(
            &mut schedule,
            time(9000),
            |due| match due.call {
                Call::LiveServiceInfo => seconds(10),
                _ => seconds(1),
            },
            |due, at| match due.call {
                Call::RateLimitStatus if at < time(5) => Outcome::Failure(Reason::Auth),
                Call::LiveServiceInfo if at < time(15) => in_flight,
                _ => Outcome::Success,
            },
        );
        for call in [
            Call::LiveServiceInfo,
            Call::RateLimitStatus,
            Call::RawUsageStats,
        ] {
            let later = times(&started, 1, call);
            let later = later.iter().filter(|at| **at > time(4200));
            assert!(later.count() >= 7, "{call:?} after {in_flight:?}");
        }
        let refused = started.iter().filter(|(at, _)| *at < time(60));
        assert!(refused.count() <= 4, "the key is not tried again and again");
    }
}

#[test]
fn slow_failures_do_not_take_the_lane_of_calls_that_work() {
    let pace = Pace {
        collect: Collect::EVERYTHING,
        ..PACE
    };
    // The least important call. All other inventory calls and service info break off after half a minute.
    let works = Call::MigrateLocations;
    let mut schedule = Unlimited::new(&[(Veid(1), pace)], Slots::fixed(4));
    let started = run(
        &mut schedule,
        time(7200),
        |_| seconds(30),
        |due, _| match due.call {
            call if Call::INVENTORY.contains(&call) && call != works => {
                Outcome::Failure(Reason::Connect)
            }
            Call::ServiceInfo => Outcome::Failure(Reason::Connect),
            _ => Outcome::Success,
        },
    );
    let first = times(&started, 1, works).first().copied();
    assert!(first.is_some_and(|at| at < time(900)), "{first:?}");
    for call in Call::INVENTORY {
        let calls = times(&started, 1, call).len();
        assert!(calls > 1, "{call:?} was made {calls} times");
    }
}

#[test]
fn new_key_is_tried_at_once() {
    let mut schedule = schedule(1, 4);
    let due = schedule.take_due(AccountTime::ZERO)[0];
    schedule.finish(due, Outcome::Failure(Reason::Auth), time(1));
    assert_eq!(schedule.take_due(time(60)), []);
    schedule.0.resume(Veid(1), time(61));
    let taken = schedule.take_due(time(61));
    let calls: Vec<Call> = taken.iter().map(|due| due.call).collect();
    assert_eq!(calls, [Call::RateLimitStatus, Call::LiveServiceInfo]);
}

#[test]
fn vpses_that_time_out_share_a_quarter_of_the_slots() {
    let mut schedule = schedule(20, 8);
    let hangs = |due: Due| due.veid.0 <= 9;
    let started = run(
        &mut schedule,
        time(3600),
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
        let late = live.windows(2).map(|pair| pair[1].since(pair[0])).max();
        assert!(late <= Some(seconds(185)), "VPS {veid} waited {late:?}");
        assert!(live.len() >= 29, "VPS {veid}: {} calls", live.len());
    }
}

#[test]
fn new_configuration_ends_pauses_and_keeps_calls_in_flight() {
    let mut schedule = schedule(2, 4);
    let first = schedule.take_due(AccountTime::ZERO)[0];
    schedule.finish(first, Outcome::Failure(Reason::Auth), time(1));
    let second = schedule.take_due(time(2))[0];
    let fleet = [(first.veid, PACE), (Veid(7), PACE)];
    schedule.0.reconfigure(&fleet, Slots::fixed(4), time(3));
    let polled: Vec<_> = schedule
        .take_due(time(5))
        .iter()
        .map(|due| due.veid)
        .collect();
    assert_eq!(polled[..2], [first.veid, Veid(7)]);
    schedule.finish(second, Outcome::Success, time(6));
    let configured = [first.veid, Veid(7)];
    let late = schedule.take_due(time(7200));
    assert!(
        late.iter().all(|due| configured.contains(&due.veid)),
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
    /// For any sequence of outcomes: one call per lane, no more calls than slots, and every VPS is polled again.
    #[test]
    fn slots_are_respected_and_no_vps_is_lost(
        vps in 1..12_u64,
        slots in 1..6_usize,
        steps in prop::collection::vec((0..400_u64, any_outcome(), any::<prop::sample::Index>()), 1..200),
    ) {
        let mut schedule = schedule(vps, slots);
        let mut in_flight: Vec<Due> = Vec::new();
        let mut now = AccountTime::ZERO;
        for (pause, outcome, index) in steps {
            now += seconds(pause);
            in_flight.extend(schedule.take_due(now));
            prop_assert!(in_flight.len() <= slots);
            let mut busy: Vec<_> = in_flight
                .iter()
                .map(|due| {
                    let second_lane = [Call::RawUsageStats, Call::RateLimitStatus];
                    (due.veid, second_lane.contains(&due.call))
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
        // Longer than the longest wait, the pause after a refused key.
        let mut polled = std::collections::BTreeSet::new();
        let end = now + seconds(4400);
        while now <= end {
            let taken = schedule.take_due(now);
            if taken.is_empty() {
                let Some(next) = schedule.0.next_due(now) else { break };
                now = next;
            }
            for due in taken {
                polled.insert(due.veid);
                schedule.finish(due, Outcome::Success, now);
            }
        }
        prop_assert_eq!(polled.len() as u64, vps);
    }
}
