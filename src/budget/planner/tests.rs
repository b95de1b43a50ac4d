use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::config::Collect;
use crate::simulator::{Cost, Points, PointsOptions, PointsScope};

mod bursts;
mod shards;

const PACE: Pace = Pace {
    live: Duration::from_secs(120),
    points: Duration::from_secs(600),
    usage: Duration::from_secs(600),
    inventory: Duration::from_secs(3600),
    collect: Collect::NOTHING,
};
/// The planner's clock when the story begins: later than anything remembered is old.
const BEGIN: Duration = Duration::from_secs(10 * 86_400);
const WINDOWS: [f64; 2] = [900.0, 86_400.0];
const HOUR: f64 = 3600.0;

fn costs(live: f64, usage: f64) -> BTreeMap<String, Cost> {
    [(Call::LiveServiceInfo, live), (Call::RawUsageStats, usage)]
        .map(|(call, points)| (call.name().to_owned(), points.into()))
        .into()
}

/// A planner before an account, with the true spending kept beside.
struct Rig {
    planner: Planner,
    points: Points,
    options: PointsOptions,
    limits: Limits,
    vps: u64,
    collected: Collect,
    now: f64,
    in_flight: Vec<(f64, Veid, Finished)>,
    /// What was truly spent: when, from which allowance, how much.
    spent: VecDeque<(f64, u64, f64)>,
    calls: Vec<(f64, Due)>,
    /// Every so manieth reading is lost.
    lost_readings: u64,
    draws: u64,
    /// Seconds a live call takes.
    live_takes: f64,
}

impl Rig {
    fn new(vps: u64, options: PointsOptions, share: f64) -> Self {
        let places = Places::for_fleet(usize::try_from(vps).unwrap(), PACE.live);
        let limits = Limits {
            share,
            siblings: 0.0,
            scope: Scope::Auto,
            download: u64::MAX,
            places,
            learn: true,
        };
        Self {
            planner: Planner::new(&fleet(vps, Collect::NOTHING), limits, 1, BEGIN),
            points: Points::new(options.clone()),
            options,
            limits,
            vps,
            collected: Collect::NOTHING,
            now: 0.0,
            in_flight: Vec::new(),
            spent: VecDeque::new(),
            calls: Vec::new(),
            lost_readings: u64::MAX,
            draws: 0,
            live_takes: 3.0,
        }
    }

    fn at(&self) -> Duration {
        BEGIN + Duration::from_secs_f64(self.now)
    }

    fn allowance(&self, veid: Veid) -> u64 {
        match self.options.scope {
            PointsScope::Vps => veid.0,
            PointsScope::Account => 0,
            PointsScope::Groups(groups) => veid.0 % groups,
        }
    }

    /// Runs until a time of the story; others spend at the times given. Returns the largest excess over the share.
    fn run(&mut self, until: f64, others: &mut VecDeque<(f64, Veid, f64)>) -> f64 {
        let mut excess = f64::MIN;
        while self.now < until {
            while let Some((at, veid, points)) =
                others.front().copied().filter(|(at, ..)| *at <= self.now)
            {
                let _ = self.points.spend_points(veid.0, points, at);
                others.pop_front();
            }
            let next = others.front().map_or(f64::MAX, |(at, ..)| *at);
            excess = excess.max(self.step(next));
        }
        excess
    }

    /// Does what is to be done now, and goes on to the next time at which there may be something, at the latest to
    /// `until`. Returns the largest excess over the share.
    fn step(&mut self, until: f64) -> f64 {
        let mut excess = f64::MIN;
        self.in_flight.sort_by(|a, b| a.0.total_cmp(&b.0));
        while self
            .in_flight
            .first()
            .is_some_and(|(ends, ..)| *ends <= self.now)
        {
            let (_, veid, finished) = self.in_flight.remove(0);
            self.planner.finish(veid, finished, self.at());
        }
        for due in self.planner.take_due(self.at()) {
            excess = excess.max(self.send(due));
        }
        let wake = self
            .planner
            .next_wake(self.at())
            .saturating_sub(BEGIN)
            .as_secs_f64();
        let ends = self
            .in_flight
            .iter()
            .map(|(ends, ..)| *ends)
            .fold(f64::MAX, f64::min);
        self.now = wake.min(ends).min(until).max(self.now + 0.001);
        excess
    }

    fn send(&mut self, due: Due) -> f64 {
        self.draws += 1;
        self.calls.push((self.now, due));
        let (mut outcome, mut remaining) = (Outcome::Success, None);
        let mut excess = f64::MIN;
        match self.points.spend(due.veid.0, due.call.name(), self.now) {
            Err(_) => outcome = Outcome::Failure(Reason::RateLimited),
            Ok(points) => {
                self.spent
                    .push_back((self.now, self.allowance(due.veid), points));
                excess = self.excess(due.veid);
                if due.call == Call::RateLimitStatus {
                    #[expect(clippy::cast_precision_loss, reason = "points")]
                    let read = self
                        .points
                        .remaining(due.veid.0, self.now)
                        .map(|points| points as f64);
                    remaining = Some(read);
                    if self.draws.is_multiple_of(self.lost_readings) {
                        (outcome, remaining) = (Outcome::Failure(Reason::Timeout), None);
                    }
                }
            }
        }
        let takes = if due.call == Call::LiveServiceInfo {
            self.live_takes
        } else {
            0.5
        };
        self.in_flight.push((
            self.now + takes,
            due.veid,
            Finished {
                outcome,
                remaining,
                bytes: 100,
            },
        ));
        excess
    }

    fn own(&self, allowance: u64, window: usize) -> f64 {
        let from = self.now - WINDOWS[window];
        self.spent
            .iter()
            .rev()
            .take_while(|(at, ..)| *at > from)
            .filter(|(_, of, _)| *of == allowance)
            .map(|(.., p)| p)
            .sum()
    }

    fn excess(&self, veid: Veid) -> f64 {
        let allowance = self.allowance(veid);
        (0..2)
            .map(|window| {
                self.own(allowance, window) - self.limits.share * self.options.sizes[window]
            })
            .fold(f64::MIN, f64::max)
    }

    /// The process ends, and another begins at once.
    fn restart(&mut self, keeps_state: bool) {
        self.restart_after(0.0, keeps_state);
    }

    fn restart_after(&mut self, downtime: f64, keeps_state: bool) {
        let now = self.at();
        let memory = self.planner.remember(Duration::ZERO, now);
        // What is written can be read.
        let memory: Memory = serde_json::from_slice(&serde_json::to_vec(&memory).unwrap()).unwrap();
        self.now += downtime;
        let now = self.at();
        self.planner = Planner::new(
            &fleet(self.vps, self.collected),
            self.limits,
            self.draws,
            now,
        );
        if keeps_state {
            let elapsed = Duration::from_secs_f64(downtime);
            self.planner.recall(&memory, elapsed, now);
        }
        self.in_flight.clear();
    }

    fn collect(&mut self, collected: Collect) {
        self.collected = collected;
        let now = self.at();
        self.planner
            .reconfigure(&fleet(self.vps, collected), self.limits, now);
    }

    fn spent_in_all(&self) -> f64 {
        self.spent.iter().map(|(.., points)| points).sum()
    }
}

fn fleet(vps: u64, collect: Collect) -> Vec<(Veid, Pace)> {
    let pace = Pace { collect, ..PACE };
    (0..vps).map(|veid| (Veid(veid), pace)).collect()
}

fn nobody() -> VecDeque<(f64, Veid, f64)> {
    VecDeque::new()
}

fn account(live: f64, usage: f64, scope: PointsScope) -> PointsOptions {
    PointsOptions {
        costs: costs(live, usage),
        scope,
        ..PointsOptions::default()
    }
}

#[test]
fn the_first_call_of_all_is_one_reading() {
    let mut rig = Rig::new(20, account(1.0, 1.0, PointsScope::Account), 0.5);
    let first = rig.planner.take_due(BEGIN);
    assert_eq!(
        first,
        [Due {
            veid: Veid(0),
            call: Call::RateLimitStatus
        }]
    );
}

#[test]
fn a_vps_that_does_not_tell_the_points_does_not_hold_up_the_others() {
    let mut rig = Rig::new(3, account(1.0, 1.0, PointsScope::Account), 0.5);
    let asked = rig.planner.take_due(rig.at())[0];
    rig.now = 3.5;
    let other = rig.planner.take_due(rig.at())[0];
    assert_eq!(
        (asked.call, other.call),
        (Call::RateLimitStatus, Call::RateLimitStatus)
    );
    assert_ne!(asked.veid, other.veid);
}

#[test]
fn without_any_reading_calls_are_made_at_prudent_costs() {
    let mut planner = Planner::new(
        &fleet(1, Collect::NOTHING),
        Rig::new(1, PointsOptions::default(), 0.5).limits,
        1,
        BEGIN,
    );
    let reading = planner.take_due(BEGIN)[0];
    let failed = Finished {
        outcome: Outcome::Failure(Reason::HttpStatus),
        remaining: None,
        bytes: 0,
    };
    planner.finish(reading.veid, failed, BEGIN + Duration::from_secs(1));
    let mut now = BEGIN + Duration::from_secs(1);
    let mut live = 0;
    while now < BEGIN + Duration::from_secs(3600) {
        for due in planner.take_due(now) {
            live += u32::from(due.call == Call::LiveServiceInfo);
            let outcome = match due.call {
                Call::RateLimitStatus => failed,
                _ => Finished {
                    outcome: Outcome::Success,
                    ..failed
                },
            };
            planner.finish(due.veid, outcome, now);
        }
        now = planner.next_wake(now).max(now + Duration::from_millis(1));
    }
    // 10,000 points a day at 20 a call are 21 calls an hour; the wanted interval would be 30.
    assert!((15..=22).contains(&live), "{live} calls");
}

#[test]
fn costs_are_learned() {
    for (live, usage) in [(1.0, 1.0), (20.0, 3.0), (0.5, 0.0), (7.0, 2.5)] {
        for sliding in [false, true] {
            let options = PointsOptions {
                sliding,
                ..account(live, usage, PointsScope::Account)
            };
            let mut rig = Rig::new(5, options, 0.5);
            rig.run(6.0 * HOUR, &mut nobody());
            let learned = |call| rig.planner.learned_cost(call).expect("it was measured");
            // Readings are integers: a fraction may be taken for the next whole number, never for less than it is.
            let near = |learned: f64, true_cost: f64| {
                (-0.1..=if true_cost.fract() > 0.0 { 0.6 } else { 0.3 })
                    .contains(&(learned - true_cost))
            };
            let (of_live, of_usage) =
                (learned(Call::LiveServiceInfo), learned(Call::RawUsageStats));
            assert!(near(of_live, live), "live {live}: {of_live}");
            assert!(near(of_usage, usage), "usage {usage}: {of_usage}");
            assert!((learned(Call::RateLimitStatus) - 1.0).abs() <= 0.1);
        }
    }
}

#[test]
fn a_cost_that_lags_is_not_taken_for_free() {
    let options = PointsOptions {
        lag: 10.0,
        ..account(4.0, 1.0, PointsScope::Account)
    };
    let mut rig = Rig::new(4, options, 0.5);
    rig.run(2.0 * HOUR, &mut nobody());
    let learned = rig.planner.learned_cost(Call::LiveServiceInfo);
    assert!(
        learned.is_some_and(|points| (3.5..=5.5).contains(&points)),
        "{learned:?}"
    );
}

#[test]
fn allowances_of_their_own_are_found_out_and_shared_ones_stay_shared() {
    for (vps, scope, shared) in [
        (2, PointsScope::Vps, false),
        (20, PointsScope::Vps, false),
        (20, PointsScope::Account, true),
        (12, PointsScope::Groups(2), true),
    ] {
        let mut rig = Rig::new(vps, account(1.0, 1.0, scope.clone()), 0.5);
        rig.run(4.0 * HOUR, &mut nobody());
        assert_eq!(rig.planner.shared(), shared, "{vps} {scope:?}");
        if scope == PointsScope::Vps {
            let interval = rig.planner.interval(Veid(1), Call::LiveServiceInfo);
            assert_eq!(
                interval,
                Some(PACE.live),
                "there is plenty for each of {vps}"
            );
        }
    }
}

#[test]
fn nothing_that_fits_is_delayed_once_costs_are_known() {
    let mut rig = Rig::new(5, account(1.0, 1.0, PointsScope::Account), 0.5);
    rig.run(HOUR, &mut nobody());
    rig.calls.clear();
    rig.planner.take_deferrals();
    rig.run(5.0 * HOUR, &mut nobody());
    for veid in 0..5 {
        let live: Vec<f64> = rig
            .calls
            .iter()
            .filter(|(_, due)| {
                *due == Due {
                    veid: Veid(veid),
                    call: Call::LiveServiceInfo,
                }
            })
            .map(|(at, _)| *at)
            .collect();
        assert!(live.len() >= 118, "{} calls in four hours", live.len());
        // A bracket elsewhere may take a few seconds.
        assert!(live.windows(2).all(|pair| pair[1] - pair[0] < 145.0));
    }
    let deferred = rig.planner.take_deferrals();
    assert!(
        deferred
            .iter()
            .all(|(_, reason)| *reason != Deferral::Budget),
        "{deferred:?}"
    );
    assert!(!rig.planner.stretched());
}

#[test]
fn dear_calls_stretch_and_the_share_is_kept_and_used() {
    let mut rig = Rig::new(4, account(20.0, 1.0, PointsScope::Account), 0.5);
    let excess = rig.run(30.0 * HOUR, &mut nobody());
    assert!(excess <= 0.0, "{excess} points too many");
    assert!(rig.planner.stretched());
    assert!(
        rig.own(0, 1) > 0.9 * 10_000.0,
        "{} points in a day",
        rig.own(0, 1)
    );
}

#[test]
fn the_pace_is_the_share_of_what_others_leave() {
    let options = PointsOptions {
        sliding: true,
        ..account(1.0, 1.0, PointsScope::Account)
    };
    let mut rig = Rig::new(20, options, 0.5);
    let minutes = 3 * 24 * 60;
    // 5000 of 20000 points a day.
    let mut others = (0..minutes)
        .map(|minute| (60.0 * f64::from(minute), Veid(3), 5000.0 / 1440.0))
        .collect();
    rig.run(60.0 * f64::from(minutes), &mut others);
    let own = rig.own(0, 1);
    assert!((6500.0..=7500.0).contains(&own), "{own} points in a day");
}

#[test]
fn every_vps_is_known_daily_as_long_as_any_points_are_ours() {
    let options = PointsOptions {
        sizes: [50.0, 400.0],
        ..account(20.0, 10.0, PointsScope::Account)
    };
    let mut rig = Rig::new(12, options, 0.5);
    let days = 4.0;
    rig.run(days * 24.0 * HOUR, &mut nobody());
    for veid in 0..12 {
        let mut known: Vec<f64> = rig
            .calls
            .iter()
            .filter(|(_, due)| {
                due.veid == Veid(veid)
                    && matches!(due.call, Call::LiveServiceInfo | Call::ServiceInfo)
            })
            .map(|(at, _)| *at)
            .collect();
        known.push(days * 24.0 * HOUR);
        let longest = known.windows(2).map(|pair| pair[1] - pair[0]);
        let longest = longest.fold(known[0], f64::max);
        assert!(longest <= 24.5 * HOUR, "{veid}: {} h", longest / HOUR);
    }
}

#[test]
fn after_a_cost_rises_no_more_than_the_calls_since_the_last_reading_are_too_dear() {
    let step = 30.0 * HOUR;
    let mut options = account(1.0, 1.0, PointsScope::Account);
    let cost = Cost {
        points: 1.0,
        sometimes: None,
        then: Some((step, 20.0)),
    };
    options
        .costs
        .insert(Call::LiveServiceInfo.name().to_owned(), cost);
    let mut rig = Rig::new(20, options, 0.5);
    assert!(rig.run(step, &mut nobody()) <= 0.0);
    let excess = rig.run(step + 24.0 * HOUR, &mut nobody());
    let readings: Vec<f64> = rig
        .calls
        .iter()
        .filter(|(_, due)| due.call == Call::RateLimitStatus)
        .map(|(at, _)| *at)
        .collect();
    let next = readings.iter().find(|at| **at > step).copied().unwrap();
    let until_bracketed = next + 120.0;
    let dear = rig.calls.iter().filter(|(at, due)| {
        (step..until_bracketed).contains(at) && due.call == Call::LiveServiceInfo
    });
    let bound = 20.0 * f64::from(u32::try_from(dear.count()).unwrap());
    assert!(
        excess <= bound,
        "{excess} points too many, {bound} were to be expected"
    );
    let learned = rig.planner.learned_cost(Call::LiveServiceInfo);
    assert!(learned.is_some_and(|points| points > 18.0), "{learned:?}");
}

/// What was due in a stretched interval is not stretched once more at every restart.
#[test]
fn restarts_do_not_put_off_what_is_due() {
    let options = PointsOptions {
        costs: costs(4.0, 1.0),
        scope: PointsScope::Account,
        ..PointsOptions::default()
    };
    let mut rig = Rig::new(20, options, 0.5);
    rig.run(2.0 * HOUR, &mut nobody());
    let live = rig.planner.interval(Veid(0), Call::LiveServiceInfo);
    let live = live.expect("live is never shed").as_secs_f64();
    assert!(live > 4.0 * 120.0, "{live} s");
    let begin = rig.calls.len();
    for restart in 0..20 {
        rig.restart(true);
        rig.run(
            2.0 * HOUR + live * 0.4 * f64::from(restart + 1),
            &mut nobody(),
        );
    }
    for veid in 0..20 {
        let calls = rig.calls[begin..]
            .iter()
            .filter(|(_, due)| due.veid == Veid(veid) && due.call == Call::LiveServiceInfo)
            .count();
        assert!(
            (6..=10).contains(&calls),
            "{calls} calls of VPS {veid} in 8 intervals"
        );
    }
}

/// What became due while nobody was there is made up for at once, and does not walk in step from then on.
#[test]
fn phases_are_spread_again_after_a_long_stop() {
    let mut rig = Rig::new(40, account(1.0, 1.0, PointsScope::Account), 0.5);
    rig.run(2.0 * HOUR, &mut nobody());
    rig.restart_after(2.0 * HOUR, true);
    rig.run(5.0 * HOUR, &mut nobody());
    let slices = |begin: f64| {
        let live = rig.planner.interval(Veid(0), Call::LiveServiceInfo);
        let slice = live.expect("never shed").as_secs_f64() / 10.0;
        let mut counts = [0; 10];
        for (at, due) in &rig.calls {
            if due.call == Call::LiveServiceInfo && (begin..begin + 10.0 * slice).contains(at) {
                counts[slot((at - begin) / slice)] += 1;
            }
        }
        counts
    };
    let counts = slices(4.5 * HOUR);
    assert!(counts.iter().all(|count| *count <= 12), "{counts:?}");
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "one of ten"
)]
fn slot(part: f64) -> usize {
    (part as usize).min(9)
}

#[test]
fn twenty_restarts_in_ten_minutes_cost_a_reading_each() {
    let steady = {
        let mut rig = Rig::new(10, account(1.0, 1.0, PointsScope::Account), 0.5);
        rig.run(2.0 * HOUR, &mut nobody());
        let before = rig.spent_in_all();
        rig.run(2.0 * HOUR + 600.0, &mut nobody());
        rig.spent_in_all() - before
    };
    let mut rig = Rig::new(10, account(1.0, 1.0, PointsScope::Account), 0.5);
    rig.run(2.0 * HOUR, &mut nobody());
    let before = rig.spent_in_all();
    for restart in 0..20 {
        rig.restart(true);
        rig.run(2.0 * HOUR + 30.0 * f64::from(restart + 1), &mut nobody());
    }
    let restarted = rig.spent_in_all() - before;
    // A bracket more or less may fall into these ten minutes.
    assert!(
        restarted <= steady + 20.0 + 5.0,
        "{restarted} points instead of {steady}"
    );
}

#[test]
fn without_memory_a_start_costs_no_more_than_a_round_and_the_share_is_kept() {
    let mut rig = Rig::new(10, account(1.0, 1.0, PointsScope::Account), 0.5);
    let mut excess = f64::MIN;
    for start in 0..40 {
        rig.restart(false);
        let before = rig.spent_in_all();
        excess = excess.max(rig.run(45.0 * f64::from(start + 1), &mut nobody()));
        let spent = rig.spent_in_all() - before;
        // A round is three calls a VPS; brackets and the survey that begins add readings.
        assert!(spent <= 30.0 + 60.0, "a start cost {spent} points");
    }
    assert!(excess <= 0.0, "{excess} points too many");
}

#[test]
fn refusals_halve_the_pace_once_in_half_a_minute_and_it_recovers() {
    let mut brake = Brake::default();
    let at = |seconds| BEGIN + Duration::from_secs(seconds);
    for second in 0..29 {
        brake.refused(at(second));
    }
    assert!((brake.factor(at(29)) - 0.5).abs() < 0.05);
    brake.refused(at(31));
    assert!((brake.factor(at(31)) - 0.25).abs() < 0.02);
    assert!((brake.factor(at(31 + 600)) - 0.5).abs() < 0.05);
    assert!((brake.factor(at(31 + 3600)) - 1.0).abs() < 1e-9);
    // Connections that are dropped while others are answered are refusals too; without any answer it is an outage.
    let mut brake = Brake::default();
    (0..40).for_each(|second| brake.dropped(at(second)));
    assert!((brake.factor(at(40)) - 1.0).abs() < 1e-9);
    brake.answered(at(41));
    (41..45).for_each(|second| brake.dropped(at(second)));
    assert!(brake.factor(at(45)) < 0.6);
}

#[test]
fn downloads_stay_within_their_bytes() {
    let mut limits = Rig::new(1, PointsOptions::default(), 0.5).limits;
    limits.download = 20 << 20;
    let mut planner = Planner::new(&fleet(1, Collect::NOTHING), limits, 1, BEGIN);
    let (mut now, mut bytes) = (BEGIN, 0);
    while now < BEGIN + Duration::from_secs(86_400) {
        for due in planner.take_due(now) {
            let size = if due.call == Call::RawUsageStats {
                2 << 20
            } else {
                1000
            };
            bytes += size;
            let remaining = (due.call == Call::RateLimitStatus).then_some([990.0, 19_900.0]);
            planner.finish(
                due.veid,
                Finished {
                    outcome: Outcome::Success,
                    remaining,
                    bytes: size,
                },
                now,
            );
        }
        now = planner.next_wake(now).max(now + Duration::from_millis(1));
    }
    assert!((18 << 20..=20 << 20).contains(&bytes), "{bytes} bytes");
    assert_eq!(
        planner.interval(Veid(0), Call::LiveServiceInfo),
        Some(PACE.live),
        "usage stretches first"
    );
}

/// As many as asked for with `PROPTEST_CASES`; each is ten hours of an account.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(32)
}

fn any_scope() -> impl Strategy<Value = PointsScope> {
    prop_oneof![
        Just(PointsScope::Vps),
        Just(PointsScope::Account),
        (2..4_u64).prop_map(PointsScope::Groups),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// Whatever calls cost, whoever shares what, however windows move, whoever else spends, however often readings
    /// are lost and the process restarts: own spending stays within the share.
    #[test]
    fn own_spending_stays_within_the_share(
        vps in 1..12_u64,
        live in prop_oneof![Just(0.0), Just(0.5), Just(1.0), Just(3.0), Just(20.0)],
        usage in prop_oneof![Just(0.0), Just(1.0), Just(5.0)],
        scope in any_scope(),
        sliding in any::<bool>(),
        share in prop_oneof![Just(0.1), Just(0.5), Just(0.9)],
        lost_readings in prop_oneof![Just(u64::MAX), 7..50_u64],
        lag in prop_oneof![3 => Just(0.0), 1 => Just(10.0)],
        inventory in any::<bool>(),
        // When, for how long nobody is there, and whether the state is kept.
        restarts in prop::collection::vec((0.0..10.0 * HOUR, prop_oneof![Just(0.0), 0.0..HOUR], any::<bool>()), 0..3),
        bursts in prop::collection::vec((0.0..10.0 * HOUR, 0..12_u64, 1..800_u32), 0..6),
    ) {
        let options = PointsOptions { sliding, lag, ..account(live, usage, scope) };
        let mut rig = Rig::new(vps, options, share);
        if inventory {
            rig.collect(Collect::EVERYTHING);
        }
        rig.lost_readings = lost_readings;
        let mut others: Vec<(f64, Veid, f64)> = bursts
            .into_iter()
            .flat_map(|(at, veid, points)| {
                (0..points / 4).map(move |n| (at + f64::from(n), Veid(veid % vps), 4.0))
            })
            .collect();
        others.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut others = VecDeque::from(others);
        let mut restarts = restarts;
        restarts.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut excess = f64::MIN;
        // What was spent before a window began anew, or was not counted yet, is known to nobody when the state is lost:
        // a start costs a round then.
        let lost = restarts.iter().filter(|(.., keeps_state)| !keeps_state).count();
        let round = (live + usage + 20.0) * f64::from(u32::try_from(vps * lost as u64).unwrap());
        for (at, downtime, keeps_state) in restarts {
            excess = excess.max(rig.run(at, &mut others));
            rig.restart_after(downtime, keeps_state);
        }
        excess = excess.max(rig.run(10.0 * HOUR, &mut others));
        prop_assert!(excess <= round + 1e-6, "{} points too many", excess);
        // And nobody is forgotten.
        for veid in 0..vps {
            let asked = rig.calls.iter().any(|(_, due)| due.veid == Veid(veid) && due.call != Call::RateLimitStatus);
            prop_assert!(asked, "VPS {} was never asked", veid);
        }
    }
}

#[test]
fn what_has_gathered_during_a_silence_is_not_sent_at_once() {
    let mut rig = Rig::new(500, account(0.5, 0.0, PointsScope::Account), 0.9);
    rig.run(0.5 * HOUR, &mut nobody());
    let at: Vec<f64> = rig.calls.iter().map(|(at, _)| *at).collect();
    let most = at
        .iter()
        .map(|begin| {
            at.iter()
                .filter(|at| (*begin..begin + 5.0).contains(*at))
                .count()
        })
        .max();
    // 500 VPSes make 6 calls a second; a survey reads 64 VPSes in a row.
    assert!(most.is_some_and(|most| most <= 130), "{most:?}");
}

#[test]
fn the_next_poll_is_when_the_state_is_asked_for() {
    let mut rig = Rig::new(3, account(1.0, 1.0, PointsScope::Vps), 0.5);
    rig.run(3.0 * HOUR, &mut nobody());
    let planned = [0, 1, 2].map(|veid| rig.planner.next_poll(Veid(veid)).expect("it is planned"));
    let allowances = [0, 1, 2].map(|veid| rig.planner.allowance(Veid(veid)));
    assert!(allowances[0] != allowances[1] && allowances[1] != allowances[2]);
    rig.calls.clear();
    rig.run(3.0 * HOUR + 300.0, &mut nobody());
    for (veid, planned) in (0..).zip(planned) {
        let asked =
            |(_, due): &&(f64, Due)| due.veid == Veid(veid) && due.call == Call::LiveServiceInfo;
        let (at, _) = rig.calls.iter().find(asked).expect("it was asked");
        let late = at - planned.saturating_sub(BEGIN).as_secs_f64();
        assert!((-0.01..60.0).contains(&late), "{veid}: {late} s late");
    }
    assert_eq!(rig.planner.next_poll(Veid(9)), None);
}
