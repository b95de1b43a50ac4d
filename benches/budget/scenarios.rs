//! The simulated accounts.

use std::ops::Range;

use kiwivm_exporter::kiwivm::{Call, Reason};
use kiwivm_exporter::simulator::{Cost, PointsScope};

use crate::misreading::Misreading;
use crate::world::{DAY, Faults};

/// Seeds of most scenarios: one with fixed and one with sliding windows.
const FEW: u64 = 2;
/// Seeds of scenarios with large random variations.
const MANY: u64 = 12;
/// Number of different times of day, with a seed each.
pub const MOMENTS: u64 = 100;
/// Duration of first-hour scenarios in seconds. It exceeds an hour because usage data may take longer.
const FIRST_HOURS: f64 = 6.0 * 3600.0;

/// Spending of the owner.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Never,
    Often,
    /// Once, on the second day, at a time that depends on the seed.
    Once,
}

/// A group of scenarios, for the table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Likely accounts, for which all rivals are measured too.
    Account,
    FirstHour,
    Size,
    Misreading,
    Failure,
}

#[derive(Clone)]
pub struct Scenario {
    pub name: &'static str,
    pub kind: Kind,
    pub seeds: u64,
    pub vps: usize,
    pub scope: PointsScope,
    pub sizes: [f64; 2],
    pub live: Cost,
    pub lag: f64,
    pub owner: Owner,
    /// A second exporter polls the same account.
    pub twin: bool,
    /// The exporter is restarted now and then; true if it keeps its state.
    pub restarts: Option<bool>,
    pub faults: Faults,
    pub misreading: Misreading,
}

impl Scenario {
    /// Returns the end of the simulation and the range of time in which ages are measured.
    pub fn times(&self, seed: u64, days: f64) -> (f64, Range<f64>) {
        if self.kind == Kind::FirstHour {
            return (FIRST_HOURS, 0.0..3600.0);
        }
        if self.owner == Owner::Once {
            let burst = Self::moment(seed);
            return (burst + DAY, burst..burst + DAY);
        }
        let until = days * DAY;
        // The first day differs from later ones, so it is not measured.
        (until, DAY.min(until / 2.0)..until)
    }

    /// Returns the start of the single burst of the owner.
    pub fn moment(seed: u64) -> f64 {
        DAY * (1.0 + (seed - 1) as f64 / MOMENTS as f64)
    }

    pub fn has_constant_prices(&self) -> bool {
        self.live.sometimes.is_none() && self.live.then.is_none()
    }

    pub fn has_true_readings(&self) -> bool {
        self.misreading == Misreading::Truth && self.lag <= 0.0
    }

    /// Returns true if half of the 15-minute share pays for live calls to all VPSes.
    pub fn affords_first_round(&self, share: f64) -> bool {
        let sharing = match self.scope {
            PointsScope::Vps => 1.0,
            PointsScope::Account => self.vps as f64,
            PointsScope::Groups(groups) => (self.vps as f64 / groups as f64).ceil(),
        };
        sharing * self.live.points <= share * self.sizes[0] / 2.0
    }
}

pub fn all() -> Vec<Scenario> {
    let shared = Scenario {
        name: "",
        kind: Kind::Account,
        seeds: FEW,
        vps: 20,
        scope: PointsScope::Account,
        sizes: [1000.0, 20_000.0],
        live: 1.0.into(),
        lag: 0.0,
        owner: Owner::Never,
        twin: false,
        restarts: None,
        faults: Faults::default(),
        misreading: Misreading::Truth,
    };
    [
        accounts(&shared),
        first_hours(&shared),
        sizes(&shared),
        misreadings(&shared),
        failures(&shared),
    ]
    .concat()
}

fn accounts(shared: &Scenario) -> Vec<Scenario> {
    let account = |name, vps, scope, live: f64| Scenario {
        name,
        vps,
        scope,
        live: live.into(),
        ..shared.clone()
    };
    let usual = |name| Scenario {
        name,
        ..shared.clone()
    };
    let cost = Cost::from(1.0);
    let outage = Faults {
        outage: Some((2.4 * DAY, 2.65 * DAY)),
        ..Faults::default()
    };
    vec![
        account("rich, 1 VPS", 1, PointsScope::Vps, 1.0),
        account("rich, 20 VPSes", 20, PointsScope::Vps, 1.0),
        account("rich, 50 VPSes", 50, PointsScope::Vps, 1.0),
        account("expensive calls, 20 VPSes", 20, PointsScope::Vps, 20.0),
        account("shared, 50 VPSes, live 1", 50, PointsScope::Account, 1.0),
        account("shared, 50 VPSes, live 20", 50, PointsScope::Account, 20.0),
        account(
            "two groups, 12 VPSes, live 5",
            12,
            PointsScope::Groups(2),
            5.0,
        ),
        Scenario {
            owner: Owner::Often,
            seeds: MANY,
            ..usual("bursts of the owner")
        },
        Scenario {
            owner: Owner::Once,
            seeds: MOMENTS,
            ..usual("one burst, 100 seeds")
        },
        Scenario {
            faults: outage,
            ..usual("outage of 6 hours")
        },
        Scenario {
            twin: true,
            seeds: MANY,
            ..usual("second exporter")
        },
        Scenario {
            restarts: Some(true),
            seeds: MANY,
            ..usual("restarts, state kept")
        },
        Scenario {
            restarts: Some(false),
            seeds: MANY,
            ..usual("restarts, state lost")
        },
        Scenario {
            live: Cost {
                then: Some((2.0 * DAY + 4321.0, 20.0)),
                ..cost
            },
            seeds: MANY,
            ..usual("live steps from 1 to 20")
        },
        Scenario {
            live: Cost {
                sometimes: Some((10, 9.0)),
                ..cost
            },
            seeds: MANY,
            ..usual("live 1, one in ten 9")
        },
        Scenario {
            lag: 10.0,
            ..usual("readings lag 10 s, live 1")
        },
        Scenario {
            lag: 10.0,
            live: 5.0.into(),
            ..usual("readings lag 10 s, live 5")
        },
    ]
}

fn first_hours(shared: &Scenario) -> Vec<Scenario> {
    let first_hour = |name, vps, scope| Scenario {
        name,
        kind: Kind::FirstHour,
        vps,
        scope,
        ..shared.clone()
    };
    vec![
        first_hour("first hour, 50 sharing", 50, PointsScope::Account),
        first_hour("first hour, 60 sharing", 60, PointsScope::Account),
        first_hour("first hour, 20 separate", 20, PointsScope::Vps),
    ]
}

fn sizes(shared: &Scenario) -> Vec<Scenario> {
    let of = |name, sizes| Scenario {
        name,
        kind: Kind::Size,
        sizes,
        ..shared.clone()
    };
    vec![
        of("sizes 60 and 5000", [60.0, 5000.0]),
        of("sizes 100 and 1000", [100.0, 1000.0]),
        of("sizes 1000 and 9000", [1000.0, 9000.0]),
        of("sizes 1000 and 20000", [1000.0, 20_000.0]),
    ]
}

fn misreadings(shared: &Scenario) -> Vec<Scenario> {
    use Misreading::{Constant, First, Fractional, Negative, Noise, Null, Random, Truth, Until};
    let of = |name, misreading| Scenario {
        name,
        kind: Kind::Misreading,
        misreading,
        ..shared.clone()
    };
    let errors = Faults {
        readings: Some((0..usize::MAX, 0.0)),
        ..Faults::default()
    };
    let at_once = Faults {
        takes: Some((Call::RateLimitStatus, 0.0)),
        ..Faults::default()
    };
    vec![
        of("first reading 0", First([0.0, 0.0])),
        of("first reading 0 of 15 min", First([0.0, 20_000.0])),
        of("first reading 0 of the day", First([1000.0, 0.0])),
        of("first reading 1", First([1.0, 1.0])),
        of("first reading 2", First([2.0, 2.0])),
        of("readings 0 for a minute", Until(60.0, [0.0, 0.0])),
        of("first reading 999, 4999", First([999.0, 4999.0])),
        of("readings null", Null),
        Scenario {
            live: 20.0.into(),
            ..of("readings null, live 20", Null)
        },
        Scenario {
            faults: at_once,
            ..of("readings null, at once", Null)
        },
        of("readings negative", Negative),
        of("readings fractional", Fractional),
        of("readings never fall", Constant),
        Scenario {
            vps: 50,
            ..of("readings never fall, 50", Constant)
        },
        Scenario {
            live: 20.0.into(),
            ..of("readings never fall, live 20", Constant)
        },
        of("noise of 15", Noise(15.0)),
        of("readings random", Random),
        Scenario {
            faults: errors,
            ..of("readings fail", Truth)
        },
    ]
}

fn failures(shared: &Scenario) -> Vec<Scenario> {
    let of = |name, vps, faults| Scenario {
        name,
        kind: Kind::Failure,
        vps,
        faults,
        ..shared.clone()
    };
    let first = |reason| Faults {
        first_vps: Some(reason),
        ..Faults::default()
    };
    let locked = |name, vps| of(name, vps, first(Reason::Locked));
    let error = |name, vps| of(name, vps, first(Reason::HttpStatus));
    vec![
        locked("first of 5 locked", 5),
        locked("first of 12 locked", 12),
        locked("first of 20 locked", 20),
        locked("first of 35 locked", 35),
        error("first of 5 HTTP 500", 5),
        error("first of 12 HTTP 500", 12),
        error("first of 20 HTTP 500", 20),
        error("first of 35 HTTP 500", 35),
        of(
            "readings of 1 of 5 fail",
            5,
            Faults {
                readings: Some((0..1, 22.0)),
                ..Faults::default()
            },
        ),
        of(
            "usage takes 120 s, 5 VPSes",
            5,
            Faults {
                takes: Some((Call::RawUsageStats, 120.0)),
                ..Faults::default()
            },
        ),
        of(
            "unreachable for 3 minutes",
            20,
            Faults {
                outage: Some((0.0, 180.0)),
                ..Faults::default()
            },
        ),
    ]
}
