//! Mutated state files: the state is either usable, shown and saved again, or rejected as a whole.

use std::time::Duration;

use kiwivm_exporter::budget::{Due, Finished, Outcome, Planner};
use kiwivm_exporter::clock::{Clock, Moment};
use kiwivm_exporter::config::{Config, Intervals};
use kiwivm_exporter::exposition::{Reloads, render};
use kiwivm_exporter::kiwivm::{ApiKey, Call, Response, Veid};
use kiwivm_exporter::poller::{
    FinishedCall, SharedFleet, State, StateFile, fleet_of, limits, lock, members,
};
use kiwivm_exporter::units::{AccountTime, Bytes, Points, UnixSeconds};
use reqwest::Url;
use serde_json::Value;
use tempfile::TempDir;

use crate::decode::samples;
use crate::keys::Key;
use crate::page;
use crate::run;
use crate::tree::Tree;

const VPS: u64 = 3;
const WRITTEN: UnixSeconds = UnixSeconds(1_790_820_400.0);

pub fn configuration() -> Config {
    let endpoint = Url::parse("http://127.0.0.1:1/v1").expect("it is a URL");
    let intervals = Intervals {
        live: Duration::from_secs(120),
        usage: Duration::from_secs(600),
        points: Duration::from_secs(600),
        inventory: Duration::from_secs(3600),
    };
    let key = || ApiKey::new("private_x").expect("it is a key");
    let vps = (1..=VPS).map(|veid| (veid.to_string(), Veid(veid), key()));
    Config::for_simulator(endpoint, intervals, 3.0, vps)
}

pub const fn moment(elapsed: u64) -> Moment {
    Moment {
        elapsed: Duration::from_secs(elapsed),
        #[expect(clippy::cast_precision_loss, reason = "seconds of a test")]
        unix: UnixSeconds(WRITTEN.0 + elapsed as f64),
    }
}

pub fn reloads() -> Reloads {
    Reloads {
        successful: true,
        last_success: WRITTEN,
    }
}

/// A state after every call of every VPS has succeeded.
fn saved(config: &Config) -> Value {
    let fleet = fleet_of(config);
    let mut planner = Planner::new(
        &members(config),
        limits(config, Clock::start()),
        1,
        AccountTime::ZERO,
    );
    let key = ApiKey::new("private_x").expect("it is a key");
    for veid in (1..=VPS).map(Veid) {
        for call in Call::ALL {
            let sample = samples(call)[0];
            let path = format!("{}/tests/samples/{sample}", env!("CARGO_MANIFEST_DIR"));
            let body = std::fs::read(path).expect("the sample exists");
            let mut reading = lock(&fleet).start_usage(veid, moment(0));
            let response = Response::of_body(veid, &key, call, &body, &mut |row| reading.take(row));
            let mut answered = FinishedCall {
                due: Due { veid, call },
                response,
                usage: (call == Call::RawUsageStats).then_some(reading),
                took: Duration::from_secs(1),
            };
            answered.note(
                &mut planner,
                &mut lock(&fleet),
                AccountTime::ZERO,
                moment(0),
            );
        }
    }
    for second in 0..600 {
        let now = AccountTime::from_secs(second);
        for due in planner.take_due(now) {
            let finished = Finished {
                outcome: Outcome::Success,
                remaining: Some([Points(900.0), Points(19_000.0)]),
                bytes: Bytes(1000),
                retry_after: None,
            };
            planner.finish(due, finished, now);
        }
    }
    let budget = planner.save_state(AccountTime::from_secs(600));
    lock(&fleet).publish_usage();
    let values = lock(&fleet).save_state(moment(0));
    serde_json::to_value(State::new(WRITTEN, budget, values)).expect("it can be saved")
}

/// Continues from a state like the poller. Returns the state that it would save.
fn resume(config: &Config, state: State) -> (State, SharedFleet) {
    let fleet = fleet_of(config);
    let mut planner = Planner::new(
        &members(config),
        limits(config, Clock::start()),
        1,
        AccountTime::ZERO,
    );
    let now = moment(100);
    let elapsed = Duration::try_from_secs_f64(now.unix - state.written).unwrap_or_default();
    planner.restore_state(&state.budget, elapsed, AccountTime::new(now.elapsed));
    lock(&fleet).restore_state(state.vps, elapsed, now);
    for second in 100..160 {
        let now = AccountTime::from_secs(second);
        let due = planner.take_due(now);
        assert!(due.len() < 100, "{due:?}");
        assert!(planner.next_wake(now) > now);
    }
    let budget = planner.save_state(AccountTime::from_secs(160));
    let values = lock(&fleet).save_state(moment(160));
    (State::new(now.unix, budget, values), fleet)
}

#[test]
fn state() {
    let config = configuration();
    let saved = saved(&config);
    let folder = TempDir::new().expect("disk is writable");
    let path = folder.path().join("state.json");
    let (file, _) = StateFile::open(&path, WRITTEN).expect("it can be written");
    let mut usable = std::cell::Cell::new(0);
    run("state", |dice| {
        let mut tree = Tree::of(&saved);
        let key = Key::any(dice);
        tree.mutate(dice, &key);
        let mut text = String::new();
        tree.write(dice, &mut text);
        let mut text = text.into_bytes();
        if dice.chance(10) {
            dice.damage(&mut text);
        }
        std::fs::write(&path, &text).expect("it can be written");
        let Some(state) = StateFile::read_unlocked(&path) else {
            return;
        };
        usable.set(usable.get() + 1);
        let (state, fleet) = resume(&config, state);
        let shown = render(&fleet, reloads(), Vec::new(), moment(160));
        page::check_values(&shown);
        file.write(&state).expect("it can be written");
        assert!(
            StateFile::read_unlocked(&path).is_some(),
            "{}",
            String::from_utf8_lossy(&text)
        );
    });
    assert!(*usable.get_mut() > 0, "every state was refused");
}

#[test]
fn the_unmutated_state_is_usable() {
    let config = configuration();
    let saved = saved(&config);
    let state: State = serde_json::from_value(saved).expect("it can be read");
    let (_, fleet) = resume(&config, state);
    let shown = render(&fleet, reloads(), Vec::new(), moment(160));
    assert!(
        shown.contains("kiwivm_network_receive_bytes_total{"),
        "{shown}"
    );
}
