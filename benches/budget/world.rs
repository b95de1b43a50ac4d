//! The simulated API with points, faults and wrong readings.

use std::ops::Range;

use kiwivm_exporter::kiwivm::{Call, Reason};
use kiwivm_exporter::simulator::{PointsAccount, PointsOptions, PointsScope};

use crate::actors::Dice;
use crate::measures::{Figures, Measures};
use crate::misreading::Misreading;
use crate::trail::Trail;

pub const DAY: f64 = 86_400.0;
pub const WINDOWS: [f64; 2] = [900.0, DAY];
pub const SHARE: f64 = 0.5;

/// Silence counts only while more than this fraction of both windows is left.
const PLENTY: f64 = 0.6;
/// Seconds between two checks of the points left for the measurement of silence.
const LOOK: f64 = 5.0;

/// The sender of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// The measured exporter.
    Measured,
    /// The owner, or another exporter.
    Other,
}

/// A response or failure, and its duration in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Response {
    /// The numbers of `getRateLimitStatus`, if any, or the reason of the failure.
    pub result: Result<Option<[f64; 2]>, Reason>,
    pub takes: f64,
}

/// Faults of the API.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Start and end of an outage.
    pub outage: Option<(f64, f64)>,
    /// Reason with which every call of the first VPS fails.
    pub first_vps: Option<Reason>,
    /// VPSes whose `getRateLimitStatus` fails with HTTP 500 from this second on.
    pub readings: Option<(Range<usize>, f64)>,
    /// A call whose responses all take this number of seconds.
    pub takes: Option<(Call, f64)>,
}

impl Faults {
    fn is_reachable(&self, now: f64) -> bool {
        !self
            .outage
            .as_ref()
            .is_some_and(|(from, until)| (*from..*until).contains(&now))
    }

    fn failure(&self, vps: usize, call: Call, now: f64) -> Option<Reason> {
        if !self.is_reachable(now) {
            return Some(Reason::Connect);
        }
        if vps == 0 && self.first_vps.is_some() {
            return self.first_vps;
        }
        let (failing, from) = self.readings.as_ref()?;
        let fails = call == Call::RateLimitStatus && failing.contains(&vps) && now >= *from;
        fails.then_some(Reason::HttpStatus)
    }
}

pub struct World {
    points: PointsAccount,
    /// The same account without the measured exporter, to count only refusals that the exporter causes.
    without: PointsAccount,
    options: PointsOptions,
    faults: Faults,
    misreading: Misreading,
    readings: u64,
    dice: Dice,
    /// Points spent by the measured exporter, by quota and window.
    own: Vec<[Trail; 2]>,
    others: Vec<[Trail; 2]>,
    measures: Measures,
    /// Time of the last check for silence.
    looked: f64,
}

impl World {
    /// Creates a world that measures ages within the given range of time.
    pub fn new(
        options: PointsOptions,
        vps: usize,
        faults: Faults,
        misreading: Misreading,
        ages: Range<f64>,
        seed: u64,
    ) -> Self {
        let quotas = match options.scope {
            PointsScope::Account => 1,
            PointsScope::Groups(groups) => usize::try_from(groups).unwrap_or(1),
            PointsScope::Vps => vps,
        };
        // A VPS whose calls always fail has no data.
        let counted = usize::from(faults.first_vps.is_some())..vps;
        Self {
            points: PointsAccount::new(options.clone()),
            without: PointsAccount::new(options.clone()),
            options,
            faults,
            misreading,
            readings: 0,
            dice: Dice(seed),
            own: vec![Default::default(); quotas],
            others: vec![Default::default(); quotas],
            measures: Measures::new(vps, counted, ages),
            looked: 0.0,
        }
    }

    pub fn quotas(&self) -> usize {
        self.own.len()
    }

    pub fn quota(&self, vps: usize) -> usize {
        vps % self.own.len()
    }

    pub const fn size(&self, window: usize) -> f64 {
        self.options.sizes[window]
    }

    /// Returns the mean price of a call at a time.
    pub fn true_cost(&self, call: Call, now: f64) -> f64 {
        self.options
            .costs
            .get(call.name())
            .map_or(1.0, |cost| match (cost.then, cost.sometimes) {
                (Some((from, points)), _) if now >= from => points,
                (_, Some((one_in, points))) => cost.points + (points - cost.points) / one_in as f64,
                _ => cost.points,
            })
    }

    /// Returns the points that the measured exporter spent in the trailing window.
    pub fn own(&mut self, quota: usize, window: usize, now: f64) -> f64 {
        self.own[quota][window].sum(WINDOWS[window], now)
    }

    /// Returns the points that all other clients spent in the trailing window.
    pub fn by_others(&mut self, quota: usize, window: usize, now: f64) -> f64 {
        self.others[quota][window].sum(WINDOWS[window], now)
    }

    /// Returns true if the API is reachable and both windows of any quota have more than [`PLENTY`] left.
    pub fn has_plenty(&mut self, now: f64) -> bool {
        let sizes = self.options.sizes;
        self.faults.is_reachable(now)
            && (0..self.own.len() as u64).any(|quota| {
                let left = self.points.remaining(quota, now);
                (0..2).all(|window| left[window] as f64 > PLENTY * sizes[window])
            })
    }

    /// Updates the measurement of silence.
    fn look(&mut self, now: f64) {
        while self.looked < now {
            self.looked = (self.looked + LOOK).min(now);
            let plenty = self.has_plenty(self.looked);
            self.measures.look(self.looked, plenty);
        }
    }

    pub fn call(&mut self, client: Client, vps: usize, call: Call, now: f64) -> Response {
        self.look(now);
        let takes = match (call, self.faults.takes) {
            (_, Some((other, takes))) if other == call => takes,
            (Call::LiveServiceInfo, _) => 1.0 + 4.0 * self.dice.roll(),
            _ => 0.3 + 0.4 * self.dice.roll(),
        };
        let result = self.respond(client, vps, call, now);
        if client == Client::Measured {
            let success = result.is_ok();
            self.measures.called(vps, call, success, now, now + takes);
        }
        Response { result, takes }
    }

    fn respond(
        &mut self,
        client: Client,
        vps: usize,
        call: Call,
        now: f64,
    ) -> Result<Option<[f64; 2]>, Reason> {
        let failure = self.faults.failure(vps, call, now);
        // Errors of a proxy or the network cost no points. Only the one of a lock comes from the API.
        if let Some(reason) = failure.filter(|reason| *reason != Reason::Locked) {
            return Err(reason);
        }
        let veid = vps as u64;
        let Ok(points) = self.points.spend(veid, call.name(), now) else {
            self.refuse(client, veid, call, now);
            return Err(Reason::RateLimited);
        };
        self.note(client, vps, points, now);
        if client == Client::Other {
            let _ = self.without.spend(veid, call.name(), now);
        }
        if let Some(reason) = failure {
            return Err(reason);
        }
        if call != Call::RateLimitStatus {
            return Ok(None);
        }
        let left = self.points.remaining(veid, now).map(|left| left as f64);
        self.readings += 1;
        let sizes = self.options.sizes;
        Ok(self
            .misreading
            .read(left, sizes, self.readings, now, &mut self.dice))
    }

    /// The owner spends `points` at once.
    pub fn owner_spends(&mut self, vps: usize, points: f64, now: f64) {
        self.look(now);
        let veid = vps as u64;
        let without = self.without.spend_points(veid, points, now).is_ok();
        if self.points.spend_points(veid, points, now).is_ok() {
            self.note(Client::Other, vps, points, now);
        } else if without {
            self.measures.figures.refusals_of_others += 1;
        }
    }

    fn refuse(&mut self, client: Client, veid: u64, call: Call, now: f64) {
        if client == Client::Measured {
            self.measures.figures.refused += 1;
        } else if self.without.spend(veid, call.name(), now).is_ok() {
            self.measures.figures.refusals_of_others += 1;
        }
    }

    fn note(&mut self, client: Client, vps: usize, points: f64, now: f64) {
        let quota = self.quota(vps);
        let spent = match client {
            Client::Measured => &mut self.own[quota],
            Client::Other => &mut self.others[quota],
        };
        for trail in spent {
            trail.add(points, now);
        }
        for window in 0..2 {
            let size = self.options.sizes[window];
            let own = self.own(quota, window, now);
            let left = size - own - self.by_others(quota, window, now);
            self.measures.left(left.max(0.0) / size);
            if client == Client::Measured {
                let number = (now / WINDOWS[window]) as u64;
                self.measures
                    .over_share(own - SHARE * size, quota, window, number);
            }
        }
    }

    /// Records the mean planned time between two live calls of the fleet.
    pub fn planned_live_gap(&mut self, gap: f64, now: f64) {
        if self.has_plenty(now) {
            let longest = &mut self.measures.figures.planned_live_gap;
            *longest = longest.max(gap);
        }
    }

    /// Records that the planner made too many calls or wakes within one second.
    pub fn capped(&mut self) {
        self.measures.figures.capped += 1;
    }

    pub fn finish(mut self, until: f64) -> Figures {
        self.look(until);
        let online = self
            .faults
            .outage
            .map_or(0.0, |(from, end)| if from <= 0.0 { end } else { 0.0 });
        self.measures.finish(online)
    }
}
