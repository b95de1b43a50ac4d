//! A simulated account: quotas with two windows, other spenders, readings that may be wrong, and faults.

use std::collections::VecDeque;

use crate::kiwivm::{Call, PerCall, Reason, mix};

/// Points left, by window.
pub type Left = [f64; 2];

pub const LENGTHS: [f64; 2] = [900.0, 86_400.0];

/// Kinds of numbers in `getRateLimitStatus` responses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Readings {
    Truth,
    /// No usable number: null, negative or text, which the decoder drops.
    None,
    Constant(Left),
    /// Only the first reading is wrong.
    First(Left),
    /// Readings lag by this number of seconds.
    Late(f64),
    /// Readings are off by up to this number of points.
    Noisy(f64),
    /// Random numbers up to the size.
    Jumping,
    /// Every other reading is unusable.
    EverySecond,
}

/// A fault of a single VPS.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// All calls fail.
    Fails(Reason),
    /// Only readings fail.
    ReadingsFail,
    /// Each response takes this number of seconds. The client stops waiting after the time-out of the call.
    Slow(f64),
    /// Each usage response takes this number of seconds.
    SlowUsage(f64),
}

/// Other clients: they spend `points` from each quota every `every` seconds.
#[derive(Clone, Copy, Debug)]
pub struct Others {
    pub every: f64,
    pub points: f64,
}

/// An account and its faults.
#[derive(Clone, Debug)]
pub struct Setup {
    /// VPS `n` has quota `n % quotas`.
    pub quotas: usize,
    pub sizes: Left,
    pub sliding: bool,
    pub prices: PerCall<f64>,
    pub others: Option<Others>,
    pub readings: Readings,
    pub faults: Vec<(usize, Fault)>,
    /// Start, end and reason of an outage in which every call fails.
    pub outage: Option<(f64, f64, Reason)>,
    /// Maximum duration of a live call in seconds. Other calls take a fifth of it.
    pub latency: f64,
}

impl Setup {
    /// A usual account with one quota, without faults, and with a price of 1 point for each call.
    pub fn new() -> Self {
        Self {
            quotas: 1,
            sizes: [1000.0, 20_000.0],
            sliding: true,
            prices: PerCall::all(1.0),
            others: None,
            readings: Readings::Truth,
            faults: Vec::new(),
            outage: None,
            latency: 4.0,
        }
    }

    pub fn with_live(mut self, points: f64) -> Self {
        self.prices[Call::LiveServiceInfo] = points;
        self
    }

    pub fn fault(&self, vps: usize) -> Option<Fault> {
        let found = self.faults.iter().find(|(of, _)| *of == vps);
        found.map(|(_, fault)| *fault)
    }

    /// Returns true if live calls to the VPS succeed.
    pub fn works(&self, vps: usize) -> bool {
        match self.fault(vps) {
            Some(Fault::Fails(_)) => false,
            Some(Fault::Slow(takes)) => takes < timeout(Call::LiveServiceInfo),
            Some(Fault::ReadingsFail | Fault::SlowUsage(_)) | None => true,
        }
    }

    /// Returns true if live calls and service info, which may replace them, succeed.
    pub fn always_has_data(&self, vps: usize) -> bool {
        let slow = |takes| takes >= timeout(Call::ServiceInfo);
        self.works(vps) && !matches!(self.fault(vps), Some(Fault::Slow(takes)) if slow(takes))
    }

    /// Returns true if calls to the VPS succeed, including readings.
    pub fn is_readable(&self, vps: usize) -> bool {
        match self.fault(vps) {
            Some(Fault::Fails(_) | Fault::ReadingsFail) => false,
            Some(Fault::Slow(takes)) => takes < timeout(Call::RateLimitStatus),
            Some(Fault::SlowUsage(_)) | None => true,
        }
    }

    pub fn longest_latency(&self) -> f64 {
        let slow = |(_, fault): &(usize, Fault)| match fault {
            Fault::Slow(takes) => *takes,
            _ => 0.0,
        };
        self.faults.iter().map(slow).fold(self.latency, f64::max)
    }
}

/// Returns the time-out of a call in seconds, as the client has it.
const fn timeout(call: Call) -> f64 {
    match call {
        Call::LiveServiceInfo => 30.0,
        Call::RawUsageStats => 180.0,
        _ => 15.0,
    }
}

/// One window of one quota.
#[derive(Clone, Debug, Default)]
struct Meter {
    spent: VecDeque<(f64, f64)>,
    sum: f64,
}

impl Meter {
    fn expire(&mut self, length: f64, sliding: bool, now: f64) {
        let from = if sliding {
            now - length
        } else {
            (now / length).floor() * length
        };
        while let Some((at, points)) = self.spent.front().copied()
            && at < from
        {
            self.spent.pop_front();
            self.sum -= points;
        }
    }

    fn sum_until(&self, until: f64) -> f64 {
        let unseen = self.spent.iter().rev().take_while(|(at, _)| *at > until);
        self.sum - unseen.map(|(_, points)| points).sum::<f64>()
    }
}

/// A response: the reading or the reason of a failure, its price in points, and its duration in seconds.
pub struct Response {
    pub result: Result<Option<Left>, Reason>,
    pub points: f64,
    pub takes: f64,
}

pub struct Account {
    pub setup: Setup,
    quotas: Vec<[Meter; 2]>,
    others_at: f64,
    readings: u64,
    seed: u64,
}

impl Account {
    pub fn new(setup: Setup, seed: u64) -> Self {
        Self {
            quotas: vec![Default::default(); setup.quotas],
            others_at: 0.0,
            readings: 0,
            seed,
            setup,
        }
    }

    pub fn roll(&mut self) -> f64 {
        self.seed = mix(self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15));
        #[expect(clippy::cast_precision_loss, reason = "dice need no 64 bits")]
        let roll = self.seed as f64 / u64::MAX as f64;
        roll
    }

    /// Advances to `now`: other clients spend, and points return.
    pub fn advance(&mut self, now: f64) {
        while let Some(others) = self.setup.others
            && self.others_at <= now
        {
            let at = self.others_at;
            for quota in 0..self.quotas.len() {
                self.spend(quota, others.points, at);
            }
            self.others_at += others.every;
        }
        let sliding = self.setup.sliding;
        for meter in &mut self.quotas {
            for (window, meter) in meter.iter_mut().enumerate() {
                meter.expire(LENGTHS[window], sliding, now);
            }
        }
    }

    fn spend(&mut self, quota: usize, points: f64, now: f64) -> bool {
        let sliding = self.setup.sliding;
        for (window, meter) in self.quotas[quota].iter_mut().enumerate() {
            meter.expire(LENGTHS[window], sliding, now);
        }
        let left = self.left(quota);
        let enough = left.iter().all(|left| *left >= points);
        if enough {
            for meter in &mut self.quotas[quota] {
                meter.spent.push_back((now, points));
                meter.sum += points;
            }
        }
        enough
    }

    pub fn left(&self, quota: usize) -> Left {
        [0, 1].map(|window| self.setup.sizes[window] - self.quotas[quota][window].sum)
    }

    /// Returns true unless there is an outage.
    pub fn is_reachable(&self, now: f64) -> bool {
        !self
            .setup
            .outage
            .is_some_and(|(from, until, _)| (from..until).contains(&now))
    }

    pub fn call(&mut self, vps: usize, call: Call, now: f64) -> Response {
        self.advance(now);
        let fault = self.setup.fault(vps);
        let part = if call == Call::LiveServiceInfo {
            1.0
        } else {
            0.2
        };
        let takes = match fault {
            Some(Fault::Slow(takes)) => takes.min(timeout(call)),
            Some(Fault::SlowUsage(takes)) if call == Call::RawUsageStats => takes,
            _ => self.setup.latency * part * (0.2 + 0.8 * self.roll()),
        };
        let failed = |reason| Response {
            result: Err(reason),
            points: 0.0,
            takes,
        };
        if let Some((_, _, reason)) = self.setup.outage.filter(|_| !self.is_reachable(now)) {
            return failed(reason);
        }
        let points = self.setup.prices[call];
        let quota = vps % self.setup.quotas;
        // Errors of a proxy cost no points, those of the API do.
        match fault {
            None
            | Some(
                Fault::Fails(Reason::Locked | Reason::ApiOther)
                | Fault::Slow(_)
                | Fault::SlowUsage(_),
            ) => {}
            Some(Fault::Fails(reason)) => return failed(reason),
            Some(Fault::ReadingsFail) if call == Call::RateLimitStatus => {
                return failed(Reason::HttpStatus);
            }
            Some(Fault::ReadingsFail) => {}
        }
        if !self.spend(quota, points, now) {
            return failed(Reason::RateLimited);
        }
        let result = match fault {
            Some(Fault::Fails(reason)) => Err(reason),
            Some(Fault::Slow(takes)) if takes > timeout(call) => Err(Reason::Timeout),
            _ if call == Call::RateLimitStatus => Ok(self.reading(quota, now)),
            _ => Ok(None),
        };
        Response {
            result,
            points,
            takes,
        }
    }

    fn reading(&mut self, quota: usize, now: f64) -> Option<Left> {
        self.readings += 1;
        let truth = self.left(quota);
        let sizes = self.setup.sizes;
        let rolls = [self.roll(), self.roll()];
        let both = |of: &dyn Fn(usize) -> f64| Some([0, 1].map(|window| of(window).floor()));
        match self.setup.readings {
            Readings::None => None,
            Readings::EverySecond if self.readings.is_multiple_of(2) => None,
            Readings::Constant(reading) => Some(reading),
            Readings::First(reading) if self.readings == 1 => Some(reading),
            Readings::Late(lag) => {
                let meters = &self.quotas[quota];
                both(&|window| sizes[window] - meters[window].sum_until(now - lag))
            }
            Readings::Noisy(most) => {
                both(&|window| (truth[window] + most * (2.0 * rolls[window] - 1.0)).max(0.0))
            }
            Readings::Jumping => both(&|window| sizes[window] * rolls[window]),
            Readings::Truth | Readings::First(_) | Readings::EverySecond => {
                both(&|window| truth[window])
            }
        }
    }
}
