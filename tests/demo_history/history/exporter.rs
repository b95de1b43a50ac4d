//! An exporter and the API in simulated time, without sockets or waiting.

use std::collections::HashMap;
use std::time::Duration;

use kiwivm_exporter::budget::{Due, Planner};
use kiwivm_exporter::clock::{BEFORE_START, Clock, Moment};
use kiwivm_exporter::config::{Config, DEFAULT_INTERVALS, DEFAULT_STALENESS, Intervals};
use kiwivm_exporter::exposition::{Reloads, process_metrics, render};
use kiwivm_exporter::kiwivm::{ApiKey, Call, Response, Veid};
use kiwivm_exporter::poller::{
    FinishedCall, SharedFleet, fleet_of, limits, lock, members, publish_plan,
};
use kiwivm_exporter::simulator::{Credential, Simulator};
use kiwivm_exporter::units::{AccountTime, UnixSeconds};
use reqwest::Url;

/// Seed of the planner's random numbers.
const SEED: u64 = 1;
/// Minimum time until the next look at the planner.
const TICK: Duration = Duration::from_millis(1);

/// An exporter in simulated time.
pub struct Exporter<'a> {
    simulator: &'a Simulator,
    credentials: HashMap<Veid, (Credential, ApiKey)>,
    fleet: SharedFleet,
    planner: Planner,
    started: f64,
    elapsed: Duration,
    wake: Duration,
    flights: Vec<Flight>,
}

/// A call in flight.
struct Flight {
    due: Due,
    began: Duration,
    ends: Duration,
}

impl<'a> Exporter<'a> {
    /// Creates an exporter that starts at `now`, in Unix seconds. It polls `slower` times as slowly as the default.
    pub fn new(simulator: &'a Simulator, slower: u32, now: f64) -> Self {
        let credential = |of: Credential| {
            let key = ApiKey::new(of.api_key.as_str()).expect("the simulator's keys are valid");
            (Veid(of.veid), (of, key))
        };
        let credentials: Vec<_> = simulator
            .credentials()
            .into_iter()
            .map(credential)
            .collect();
        let endpoint = Url::parse("http://127.0.0.1/v1").expect("it is a URL");
        let vps = credentials
            .iter()
            .map(|(veid, (of, key))| (of.name.clone(), *veid, key.clone()));
        let intervals = Intervals {
            live: DEFAULT_INTERVALS.live * slower,
            usage: DEFAULT_INTERVALS.usage * slower,
            points: DEFAULT_INTERVALS.points * slower,
            inventory: DEFAULT_INTERVALS.inventory * slower,
        };
        let config = Config::for_simulator(endpoint, intervals, DEFAULT_STALENESS, vps);
        Self {
            simulator,
            credentials: credentials.into_iter().collect(),
            fleet: fleet_of(&config),
            planner: Planner::new(
                &members(&config),
                limits(&config, Clock::start()),
                SEED,
                AccountTime::new(BEFORE_START),
            ),
            started: now,
            elapsed: BEFORE_START,
            wake: BEFORE_START,
            flights: Vec::new(),
        }
    }

    /// Advances to `now`, in Unix seconds.
    pub fn run_until(&mut self, now: f64) {
        let until = BEFORE_START + Duration::from_secs_f64(now - self.started);
        loop {
            let ends = self.flights.iter().map(|flight| flight.ends);
            let next = ends.chain([self.wake]).min().unwrap_or(until);
            if next > until {
                break;
            }
            self.elapsed = next;
            self.act();
        }
        self.elapsed = until;
        // Once at the end is enough, because there are no scrapes in between.
        let now = self.at(until);
        publish_plan(
            &mut self.planner,
            &mut lock(&self.fleet),
            Clock::start(),
            now,
        );
    }

    /// The metrics page of a scrape now, without the end marker.
    pub fn page(&self) -> String {
        let reloads = Reloads {
            successful: true,
            last_success: UnixSeconds(self.started),
        };
        render(&self.fleet, reloads, Vec::new(), self.now())
    }

    /// The process metrics of this process, with the start time replaced by the simulated one.
    pub fn process(&self) -> String {
        let line = |line: &str| match line.strip_prefix("process_start_time_seconds ") {
            Some(_) => format!("process_start_time_seconds {}\n", self.started),
            None => format!("{line}\n"),
        };
        process_metrics().lines().map(line).collect()
    }

    fn now(&self) -> Moment {
        self.at(self.elapsed)
    }

    fn at(&self, elapsed: Duration) -> Moment {
        Moment {
            elapsed,
            unix: UnixSeconds(self.started) + elapsed.saturating_sub(BEFORE_START).as_secs_f64(),
        }
    }

    fn act(&mut self) {
        let elapsed = self.elapsed;
        let ended: Vec<Flight> = self
            .flights
            .extract_if(.., |flight| flight.ends <= elapsed)
            .collect();
        for flight in ended {
            self.finish(&flight);
        }
        for due in self.planner.take_due(AccountTime::new(elapsed)) {
            self.flights.push(Flight {
                due,
                began: elapsed,
                ends: elapsed + self.simulator.latency(due.call.name()),
            });
        }
        let wake = self.planner.next_wake(AccountTime::new(elapsed));
        self.wake = wake.since_zero().max(elapsed + TICK);
    }

    fn finish(&mut self, flight: &Flight) {
        let Due { veid, call } = flight.due;
        let now = self.now();
        let (of, key) = &self.credentials[&veid];
        let body = self
            .simulator
            .respond(of.veid, &of.api_key, call.name(), now.unix.0)
            .expect("the exporter never spends all points");
        let fleet = &mut lock(&self.fleet);
        let mut usage =
            (call == Call::RawUsageStats).then(|| fleet.start_usage(veid, self.at(flight.began)));
        let mut row = |row| {
            if let Some(usage) = &mut usage {
                usage.take(row);
            }
        };
        let response = Response::of_body(veid, key, call, body.as_bytes(), &mut row);
        let mut finished = FinishedCall {
            due: flight.due,
            response,
            usage,
            took: now.elapsed.saturating_sub(flight.began),
        };
        let noted = finished.note(&mut self.planner, fleet, AccountTime::new(now.elapsed), now);
        if noted.usage_counted {
            fleet.publish_usage();
        }
    }
}
