//! Simulated KiwiVM API. As far as the API is known, a client sees no difference.
//!
//! It serves a seeded, deterministic account: traffic with a daily rhythm, CPU bursts that lead to throttling, disks
//! that fill, transfer allowances that run out, snapshots that are purged, cases with deadlines, tasks that lock a VPS,
//! points in two windows. Calls that change a VPS take effect. The model takes the time as an argument; only [`serve`]
//! reads the clock and the network. The client shares no code with it.

mod audit;
mod cases;
mod commands;
mod control;
mod disk_copies;
mod fault;
mod form;
mod http;
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

pub use fault::{Fault, FaultKind, FaultsError, parse_faults};
pub use http::serve;
pub use points::{Cost, PointsAccount, PointsOptions, PointsRefusal, PointsScope};

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use fault::Faults;
use http::Reply;
use story::Story;
use vps::{Character, SimulatedVps};

/// Options of a simulated account.
#[derive(Clone, Debug)]
pub struct SimulatorOptions {
    /// The same seed makes the same account.
    pub seed: u64,
    /// Speed of simulated time relative to real time. Timestamps stay on the wall clock.
    pub time_scale: f64,
    /// Latency of `getLiveServiceInfo`; the other calls take a tenth of it.
    pub live_latency: Duration,
    /// Options of the API points.
    pub points: PointsOptions,
    /// Length of the usage history at the start. It takes no memory.
    pub history: Duration,
    /// Days before the start that [`Simulator::respond`] can simulate, at most 30. They end in the same state that an
    /// account without a past starts with.
    pub past_days: u32,
    /// Transfer and its resets keep the pace of the wall clock at any `time_scale`, so that forecasts over days make
    /// sense.
    pub real_time_transfer: bool,
    /// Faults injected from the start.
    pub faults: Vec<Fault>,
}

/// VEID of the first VPS; the others follow.
const FIRST_VEID: u64 = 1_000_001;

/// The seventh VPS of the demo.
const OPENVZ_OF_DEMO: u64 = FIRST_VEID + 6;

/// Default of [`SimulatorOptions::history`].
pub const DEFAULT_HISTORY: Duration = Duration::from_secs(14 * 86_400);

impl Default for SimulatorOptions {
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

/// Name and credentials of a VPS, as the owner has them.
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
    state: Mutex<SimulatorState>,
}

struct SimulatorState {
    story: Story,
    vps: Vec<SimulatedVps>,
    points: PointsAccount,
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
    /// The account of the demo: eight VPSes, each with a character of its own. `now` is Unix seconds.
    #[must_use]
    pub fn demo(options: SimulatorOptions, now: f64) -> Self {
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

    /// A fault for the demo: its OpenVZ VPS returns one field in a form that clients cannot decode.
    #[must_use]
    pub fn odd_field_of_demo() -> Fault {
        Fault {
            veid: Some(OPENVZ_OF_DEMO),
            ..Fault::new(FaultKind::OddField)
        }
    }

    /// An account of `count` VPSes, most of them healthy.
    #[must_use]
    pub fn fleet(options: SimulatorOptions, now: f64, count: u32) -> Self {
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
        options: SimulatorOptions,
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
                let mut vps =
                    SimulatedVps::new(name, veid, character, options.seed, &story, past_rows);
                if past_days > 0 {
                    vps.take_back(&story, past_days);
                }
                vps
            })
            .collect();
        Self {
            live_latency: options.live_latency,
            state: Mutex::new(SimulatorState {
                story,
                vps,
                points: PointsAccount::new(options.points),
                faults: Faults::new(options.faults),
                calls: Vec::new(),
            }),
        }
    }

    /// The response to a read call at `now`, Unix seconds, which must not go backwards between calls. `None` if there is
    /// no complete response.
    #[must_use]
    pub fn respond(&self, veid: u64, api_key: &str, call: &str, now: f64) -> Option<String> {
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

    /// Latency of a call.
    #[must_use]
    pub fn latency(&self, call: &str) -> Duration {
        match call {
            "getLiveServiceInfo" => self.live_latency,
            _ => self.live_latency / 10,
        }
    }

    /// The credentials of all VPSes, as their owner has them.
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
