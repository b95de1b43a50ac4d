//! A stand-in for the KiwiVM API that a client cannot tell from it by what is known of the API.
//!
//! Behind it is a seeded, deterministic account: traffic with a daily rhythm, CPU bursts that lead to throttling, disks
//! that fill, transfer allowances that run out, snapshots that are purged, cases with deadlines, tasks that lock a VPS,
//! points in two windows. Calls that change something change it. The model takes the time as an argument; [`serve`] is
//! the edge. Nothing here is shared with the client.

mod audit;
mod cases;
mod commands;
mod control;
mod fault;
mod form;
mod http;
mod inventory;
mod json;
mod listings;
mod locations;
mod network;
mod noise;
mod past;
mod points;
mod readings;
mod reads;
mod settings;
mod story;
mod task;
mod truth;
mod usage;
mod vps;

pub use fault::{Fault, FaultKind, parse_faults};
pub use http::serve;
pub use points::{Cost, Points, PointsOptions, PointsScope, Refusal};

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use fault::Faults;
use http::Reply;
use story::Story;
use vps::{Character, Vps};

/// What to simulate.
#[derive(Clone, Debug)]
pub struct Options {
    /// The same seed makes the same account.
    pub seed: u64,
    /// How much faster than real time the story goes. Timestamps stay on the wall clock.
    pub time_scale: f64,
    /// How long `getLiveServiceInfo` takes; the other calls take a tenth of it.
    pub live_latency: Duration,
    /// How points are counted.
    pub points: PointsOptions,
    /// How far back usage rows go at the start. They cost no memory.
    pub history: Duration,
    /// Days before the start that can be asked for with [`Simulator::answer`], 30 at most: what happened in them has led
    /// to what is there at the start.
    pub past_days: u32,
    /// Transfer and its resets keep the pace of the wall clock, however much faster the rest goes: a forecast of what is
    /// used days from now makes sense.
    pub real_time_transfer: bool,
    /// What goes wrong from the start.
    pub faults: Vec<Fault>,
}

/// Of the first VPS; the others follow.
const FIRST_VEID: u64 = 1_000_001;

/// The seventh VPS of the demo.
const OPENVZ_OF_DEMO: u64 = FIRST_VEID + 6;

/// How far back usage rows go unless told otherwise.
pub const DEFAULT_HISTORY: Duration = Duration::from_secs(14 * 86_400);

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            time_scale: 1.0,
            live_latency: Duration::from_millis(300),
            points: PointsOptions::default(),
            history: DEFAULT_HISTORY,
            past_days: 0,
            real_time_transfer: false,
            faults: Vec::new(),
        }
    }
}

/// What an owner needs to ask about a VPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// A name for the configuration.
    pub name: String,
    /// The VEID.
    pub veid: u64,
    /// The key, in the shape of real ones.
    pub api_key: String,
}

/// A simulated account.
pub struct Simulator {
    live_latency: Duration,
    state: Mutex<State>,
}

struct State {
    story: Story,
    vps: Vec<Vps>,
    points: Points,
    faults: Faults,
    calls: Vec<ReceivedCall>,
}

/// A call as it arrived; the key is not kept.
#[derive(Clone, Debug)]
struct ReceivedCall {
    veid: u64,
    call: String,
    method: String,
    key_in_url: bool,
}

impl Simulator {
    /// The account of the demo: eight VPSes, each with a story of its own. `now` is Unix seconds.
    #[must_use]
    pub fn demo(options: Options, now: f64) -> Self {
        let cast = [
            ("healthy", Character::Healthy),
            ("nearly-used-up", Character::NearAllowance),
            ("throttled", Character::Throttled),
            ("stopped", Character::Stopped),
            ("suspended", Character::UsedUp),
            ("locked", Character::Locked),
            ("openvz", Character::OpenVz),
            ("wrong-key", Character::WrongKey),
        ];
        Self::new(
            options,
            now,
            cast.map(|(name, character)| (name.to_owned(), character)),
        )
    }

    /// A fault that shows what becomes of a field in a form that no client knows, in the responses of the demo's OpenVZ.
    #[must_use]
    pub fn odd_field_of_demo() -> Fault {
        Fault {
            veid: Some(OPENVZ_OF_DEMO),
            ..Fault::new(FaultKind::OddField)
        }
    }

    /// An account of `count` VPSes, most of them healthy.
    #[must_use]
    pub fn fleet(options: Options, now: f64, count: u32) -> Self {
        let cast = (0..count).map(|index| {
            let character = match index % 20 {
                3 => Character::NearAllowance,
                7 => Character::Throttled,
                11 => Character::OpenVz,
                17 => Character::Stopped,
                _ => Character::Healthy,
            };
            (format!("vps-{:04}", index + 1), character)
        });
        Self::new(options, now, cast)
    }

    fn new(
        options: Options,
        now: f64,
        cast: impl IntoIterator<Item = (String, Character)>,
    ) -> Self {
        let past_days = options.past_days.min(past::MOST_DAYS);
        let mut story =
            Story::new(now, options.time_scale).with_past(f64::from(past_days) * vps::DAY);
        if options.real_time_transfer {
            story = story.with_real_time_transfer();
        }
        let past_rows = usage::rows_in(options.history.as_secs_f64());
        let vps = cast
            .into_iter()
            .zip(FIRST_VEID..)
            .map(|((name, character), veid)| {
                let mut vps = Vps::new(name, veid, character, options.seed, &story, past_rows);
                if past_days > 0 {
                    vps.take_back(&story, past_days);
                }
                vps
            })
            .collect();
        Self {
            live_latency: options.live_latency,
            state: Mutex::new(State {
                story,
                vps,
                points: Points::new(options.points),
                faults: Faults::new(options.faults),
                calls: Vec::new(),
            }),
        }
    }

    /// The answer to a read call at a time, Unix seconds, that is not before that of an earlier question; nothing when
    /// there is no whole answer.
    #[must_use]
    pub fn answer(&self, veid: u64, api_key: &str, call: &str, now: f64) -> Option<String> {
        let received = ReceivedCall {
            veid,
            call: call.to_owned(),
            method: "POST".to_owned(),
            key_in_url: false,
        };
        let parameters = HashMap::from([
            ("veid".to_owned(), veid.to_string()),
            ("api_key".to_owned(), api_key.to_owned()),
        ]);
        let fault = self.fault(&received, now);
        match self.reply(&received, &parameters, fault.as_ref(), now) {
            Reply::Json(json) => Some(json),
            _ => None,
        }
    }

    /// How long a call takes.
    #[must_use]
    pub fn latency(&self, call: &str) -> Duration {
        match call {
            "getLiveServiceInfo" => self.live_latency,
            _ => self.live_latency / 10,
        }
    }

    /// The credentials of every VPS, as its owner has them.
    #[must_use]
    pub fn credentials(&self) -> Vec<Credential> {
        let state = self
            .state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        state
            .vps
            .iter()
            .map(|vps| Credential {
                name: vps.name.clone(),
                veid: vps.veid,
                api_key: vps.key_handed_out.clone(),
            })
            .collect()
    }

    /// A configuration of the exporter for this account.
    #[must_use]
    pub fn example_configuration(&self, endpoint: &str) -> String {
        let mut yaml = format!(
            "api:\n  endpoint: {endpoint}\nintervals: {{live: 30s, usage: 30s, points: 30s}}\nvps:\n"
        );
        for Credential {
            name,
            veid,
            api_key,
        } in self.credentials()
        {
            // Writing to a String does not fail.
            let _ = writeln!(
                yaml,
                "  - {{name: {name}, veid: {veid}, api_key: {api_key}}}"
            );
        }
        yaml
    }
}
