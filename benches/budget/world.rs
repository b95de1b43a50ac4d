//! The API as a simulation sees it, and what is measured about the one exporter that counts.

use std::collections::VecDeque;

use kiwivm_exporter::kiwivm::Call;
use kiwivm_exporter::simulator::{Points, PointsOptions, PointsScope};

pub const DAY: f64 = 86_400.0;
pub const WINDOWS: [f64; 2] = [900.0, DAY];
pub const SHARE: f64 = 0.5;

/// Who sends a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The exporter that is measured.
    Measured,
    /// The owner, or another exporter.
    Other,
}

/// What a call came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    Fine(Option<[f64; 2]>),
    Refused,
    Down,
}

pub struct World {
    points: Points,
    /// The same account without the measured exporter: what is refused there would have been refused anyway.
    without: Points,
    options: PointsOptions,
    outage: Option<(f64, f64)>,
    spent: Vec<[VecDeque<(f64, f64)>; 2]>,
    sums: Vec<[f64; 2]>,
    others: Vec<[VecDeque<(f64, f64)>; 2]>,
    other_sums: Vec<[f64; 2]>,
    pub found: Found,
    last_live: Vec<f64>,
    gaps: Vec<f64>,
}

/// What was found out about the measured exporter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    pub windows_exceeded: u32,
    pub excess: f64,
    last_exceeded: Option<(usize, u64)>,
    exceeding: bool,
    pub refusals_while_exceeding: u32,
    pub refusals_of_others: u32,
    pub refused: u32,
    pub least_left: f64,
    pub calls: u64,
    pub mean_age: f64,
    pub age_99: f64,
}

impl World {
    pub fn new(options: PointsOptions, vps: usize, outage: Option<(f64, f64)>) -> Self {
        let allowances = match options.scope {
            PointsScope::Account => 1,
            PointsScope::Groups(groups) => usize::try_from(groups).unwrap_or(1),
            PointsScope::Vps => vps,
        };
        Self {
            points: Points::new(options.clone()),
            without: Points::new(options.clone()),
            options,
            outage,
            spent: vec![Default::default(); allowances],
            sums: vec![[0.0; 2]; allowances],
            others: vec![Default::default(); allowances],
            other_sums: vec![[0.0; 2]; allowances],
            found: Found {
                least_left: f64::MAX,
                ..Found::default()
            },
            last_live: vec![f64::NAN; vps],
            gaps: Vec::new(),
        }
    }

    pub fn allowance(&self, vps: usize) -> usize {
        vps % self.spent.len()
    }

    pub const fn size(&self, window: usize) -> f64 {
        self.options.sizes[window]
    }

    /// What a call costs on average at a time.
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

    /// What the measured exporter spent in the trailing window.
    pub fn own(&mut self, allowance: usize, window: usize, now: f64) -> f64 {
        trail(
            &mut self.spent[allowance][window],
            &mut self.sums[allowance][window],
            WINDOWS[window],
            now,
        );
        self.sums[allowance][window]
    }

    /// What everybody else spent in the trailing window.
    pub fn by_others(&mut self, allowance: usize, window: usize, now: f64) -> f64 {
        let (spent, sum) = (
            &mut self.others[allowance][window],
            &mut self.other_sums[allowance][window],
        );
        trail(spent, sum, WINDOWS[window], now);
        *sum
    }

    pub fn call(&mut self, who: Who, vps: usize, call: Call, now: f64) -> Answer {
        if self
            .outage
            .is_some_and(|(from, until)| (from..until).contains(&now))
        {
            return Answer::Down;
        }
        let veid = vps as u64;
        let Ok(points) = self.points.spend(veid, call.name(), now) else {
            self.refuse(who, veid, call, now);
            return Answer::Refused;
        };
        self.note(who, vps, points, now);
        if who == Who::Other {
            let _ = self.without.spend(veid, call.name(), now);
        } else {
            self.found.calls += 1;
            if call == Call::LiveServiceInfo {
                let last = std::mem::replace(&mut self.last_live[vps], now);
                if last > DAY {
                    self.gaps.push(now - last);
                }
            }
        }
        Answer::Fine(
            (call == Call::RateLimitStatus)
                .then(|| self.points.remaining(veid, now).map(|left| left as f64)),
        )
    }

    /// The owner spends so many points at once.
    pub fn owner_spends(&mut self, vps: usize, points: f64, now: f64) {
        let veid = vps as u64;
        let without = self.without.spend_points(veid, points, now).is_ok();
        if self.points.spend_points(veid, points, now).is_ok() {
            self.note(Who::Other, vps, points, now);
        } else if without {
            self.found.refusals_of_others += 1;
            self.found.refusals_while_exceeding += u32::from(self.found.exceeding);
        }
    }

    fn refuse(&mut self, who: Who, veid: u64, call: Call, now: f64) {
        if who == Who::Measured {
            self.found.refused += 1;
        } else if self.without.spend(veid, call.name(), now).is_ok() {
            self.found.refusals_of_others += 1;
        }
        self.found.refusals_while_exceeding += u32::from(self.found.exceeding);
    }

    fn note(&mut self, who: Who, vps: usize, points: f64, now: f64) {
        let allowance = self.allowance(vps);
        let (spent, sums) = match who {
            Who::Measured => (&mut self.spent[allowance], &mut self.sums[allowance]),
            Who::Other => (&mut self.others[allowance], &mut self.other_sums[allowance]),
        };
        for window in 0..2 {
            spent[window].push_back((now, points));
            sums[window] += points;
        }
        self.found.exceeding = false;
        for window in 0..2 {
            let own = self.own(allowance, window, now);
            let excess = own - SHARE * self.options.sizes[window];
            let left = self.options.sizes[window] - own - self.by_others(allowance, window, now);
            self.found.least_left = self.found.least_left.min(left.max(0.0));
            if excess > 1e-6 {
                self.found.exceeding = true;
                self.found.excess = self.found.excess.max(excess);
                let slot = (window, (now / WINDOWS[window]) as u64);
                if who == Who::Measured && self.found.last_exceeded != Some(slot) {
                    self.found.last_exceeded = Some(slot);
                    self.found.windows_exceeded += 1;
                }
            }
        }
    }

    /// Closes the books: mean and 99th percentile of the age of live data from the second day on.
    pub fn finish(mut self, until: f64) -> Found {
        self.gaps.extend(self.last_live.iter().map(|last| {
            if last.is_nan() {
                until
            } else {
                until - last.max(DAY)
            }
        }));
        self.gaps.sort_by(f64::total_cmp);
        let time: f64 = self.gaps.iter().sum();
        self.found.mean_age = self.gaps.iter().map(|gap| gap * gap / 2.0).sum::<f64>() / time;
        // Data are older than `age` for `gap - age` of every longer gap.
        let older = |age: f64| {
            self.gaps
                .iter()
                .map(|gap| (gap - age).max(0.0))
                .sum::<f64>()
                / time
        };
        let (mut low, mut high) = (0.0, until);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if older(middle) > 0.01 {
                low = middle;
            } else {
                high = middle;
            }
        }
        self.found.age_99 = high;
        self.found
    }
}

fn trail(spent: &mut VecDeque<(f64, f64)>, sum: &mut f64, length: f64, now: f64) {
    while let Some((at, points)) = spent.front().copied() {
        if at > now - length {
            break;
        }
        spent.pop_front();
        *sum -= points;
    }
}
