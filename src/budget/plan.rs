//! From wanted intervals to those that an allowance can pay.
//!
//! The least important class stretches first, up to its longest useful interval: usage, readings of the points, live.
//! Only when all of them are there is usage shed; then live stretches on, evenly, and service info stands in for it
//! where that is cheaper. Everything is linear in the number of VPSes.

use std::time::Duration;

use super::schedule::Pace;
use crate::fleet::LIVE_LIMIT;
use crate::kiwivm::Call;

/// The longest useful interval of live: a little more, and what it tells goes stale before it comes again.
pub const LONGEST_LIVE: Duration = Duration::from_secs(LIVE_LIMIT.as_secs() * 14 / 15);
/// The longest useful interval of usage: the rows are not lost, but a graph with larger steps tells little.
pub const LONGEST_USAGE: Duration = Duration::from_secs(2 * 3600);
/// The longest useful interval between readings of one allowance, whoever is asked.
pub const LONGEST_POINTS: Duration = Duration::from_secs(30 * 60);

/// No interval is planned longer than this.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Of what is left for live when it can not be kept useful, the part that service info may take.
const SERVICE_PART: f64 = 0.5;
/// What was shed comes back when there is so much more than it needs.
const HEADROOM: f64 = 1.15;

/// What is wanted of one VPS.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    /// Its intervals, no shorter than its downloads allow.
    pub pace: Pace,
    /// How refusals slow it, above 0, at most 1.
    pub slowed: f64,
}

/// The intervals of one VPS, by [`Call::index`]; `None` when a call is not planned.
pub type Intervals = [Option<Duration>; Call::ALL.len()];

/// What came of planning.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// In the order of the VPSes.
    pub intervals: Vec<Intervals>,
    /// Points a second that this costs.
    pub demand: f64,
    /// True when a wanted interval is not kept because of the points.
    pub stretched: bool,
    /// True when usage is shed.
    pub usage_shed: bool,
}

/// Plans for the VPSes of one allowance: `prices` by [`Call::index`], `rate` in points a second.
#[must_use]
pub fn plan(
    wanted: &[Wanted],
    prices: [f64; Call::ALL.len()],
    rate: f64,
    usage_was_shed: bool,
) -> Plan {
    let mut planner = Classes {
        wanted,
        prices,
        stretch: [1.0; 3],
    };
    let mut usage_shed = false;
    let mut stretched = false;
    if planner.demand() > rate {
        stretched = true;
        // By importance, the least first.
        let fits = [Class::Usage, Class::Points, Class::Live]
            .into_iter()
            .any(|class| planner.stretch_until_it_fits(class, rate));
        usage_shed = !fits || (usage_was_shed && planner.demand_at_longest() * HEADROOM > rate);
        if usage_shed {
            return planner.without_usage(rate);
        }
    }
    let intervals = (0..wanted.len())
        .map(|vps| planner.intervals(vps))
        .collect();
    Plan {
        intervals,
        demand: planner.demand(),
        stretched,
        usage_shed,
    }
}

#[derive(Clone, Copy, Debug)]
enum Class {
    Live,
    Points,
    Usage,
}

struct Classes<'a> {
    wanted: &'a [Wanted],
    prices: [f64; Call::ALL.len()],
    stretch: [f64; 3],
}

impl Classes<'_> {
    /// The interval of a class of one VPS in seconds, with its stretch and within its longest useful interval.
    fn interval(&self, class: Class, wanted: &Wanted) -> f64 {
        let (wanted, longest) = match class {
            Class::Live => (wanted.pace.live, LONGEST_LIVE),
            Class::Points => (wanted.pace.points, self.longest_points()),
            Class::Usage => (wanted.pace.usage, LONGEST_USAGE),
        };
        let wanted = wanted.as_secs_f64();
        (wanted * self.stretch[class as usize]).min(longest.as_secs_f64().max(wanted))
    }

    /// The VPSes take turns in reading their allowance.
    fn longest_points(&self) -> Duration {
        let vps = u32::try_from(self.wanted.len()).unwrap_or(u32::MAX);
        LONGEST_POINTS.saturating_mul(vps).min(LONGEST)
    }

    fn price(&self, class: Class) -> f64 {
        self.prices[match class {
            Class::Live => Call::LiveServiceInfo,
            Class::Points => Call::RateLimitStatus,
            Class::Usage => Call::RawUsageStats,
        }
        .index()]
    }

    fn demand_of(&self, class: Class) -> f64 {
        let calls: f64 = self
            .wanted
            .iter()
            .map(|wanted| wanted.slowed / self.interval(class, wanted))
            .sum();
        calls * self.price(class)
    }

    fn demand(&self) -> f64 {
        [Class::Live, Class::Points, Class::Usage]
            .into_iter()
            .map(|class| self.demand_of(class))
            .sum()
    }

    fn demand_at_longest(&self) -> f64 {
        Classes {
            wanted: self.wanted,
            prices: self.prices,
            stretch: [f64::INFINITY; 3],
        }
        .demand()
    }

    /// Stretches a class as little as is needed; false when even its longest useful interval is not enough.
    fn stretch_until_it_fits(&mut self, class: Class, rate: f64) -> bool {
        self.stretch[class as usize] = f64::INFINITY;
        if self.demand() > rate {
            return false;
        }
        let rest = self.demand() - self.demand_of(class);
        let (mut low, mut high) = (1.0_f64, 1e5_f64);
        for _ in 0..40 {
            let middle = (low * high).sqrt();
            self.stretch[class as usize] = middle;
            if rest + self.demand_of(class) > rate {
                low = middle;
            } else {
                high = middle;
            }
        }
        self.stretch[class as usize] = high;
        true
    }

    fn intervals(&self, vps: usize) -> Intervals {
        let wanted = &self.wanted[vps];
        let interval = |class| Some(seconds(self.interval(class, wanted) / wanted.slowed));
        let mut intervals = Intervals::default();
        intervals[Call::LiveServiceInfo.index()] = interval(Class::Live);
        intervals[Call::RateLimitStatus.index()] = interval(Class::Points);
        intervals[Call::RawUsageStats.index()] = interval(Class::Usage);
        intervals
    }

    /// Everything at its longest, usage not at all, and what is left to live and to what stands in for it.
    fn without_usage(mut self, rate: f64) -> Plan {
        self.stretch = [1.0, f64::INFINITY, f64::INFINITY];
        let readings = self.demand_of(Class::Points);
        let left = (rate - readings).max(rate * 0.1);
        let mut live_rate = left;
        let mut service = None;
        self.stretch_live(left);
        let live_price = self.price(Class::Live);
        let service_price = self.prices[Call::ServiceInfo.index()];
        let too_long = self
            .wanted
            .iter()
            .any(|wanted| self.interval_beyond(wanted) > LONGEST_LIVE.as_secs_f64());
        if too_long && service_price < live_price {
            let calls: f64 = self.wanted.iter().map(|wanted| wanted.slowed).sum();
            let interval =
                (calls * service_price / (SERVICE_PART * left)).max(LONGEST_LIVE.as_secs_f64());
            live_rate = left - calls * service_price / interval;
            service = Some(interval);
            self.stretch_live(live_rate);
        }
        let mut demand = readings + live_rate;
        let intervals = self
            .wanted
            .iter()
            .enumerate()
            .map(|(vps, wanted)| {
                let mut intervals = self.intervals(vps);
                let live = self.interval_beyond(wanted);
                intervals[Call::LiveServiceInfo.index()] = Some(seconds(live / wanted.slowed));
                intervals[Call::RawUsageStats.index()] = None;
                // Where live comes often enough, nothing has to stand in for it.
                intervals[Call::ServiceInfo.index()] = service
                    .filter(|service| *service < live)
                    .map(|service| seconds(service / wanted.slowed));
                intervals
            })
            .collect();
        demand = demand.min(rate);
        Plan {
            intervals,
            demand,
            stretched: true,
            usage_shed: true,
        }
    }

    /// Live beyond its longest useful interval: stretched by the same factor for all.
    fn interval_beyond(&self, wanted: &Wanted) -> f64 {
        wanted.pace.live.as_secs_f64() * self.stretch[Class::Live as usize]
    }

    fn stretch_live(&mut self, rate: f64) {
        let calls: f64 = self
            .wanted
            .iter()
            .map(|wanted| wanted.slowed / wanted.pace.live.as_secs_f64())
            .sum();
        let stretch = calls * self.price(Class::Live) / rate.max(1e-9);
        self.stretch[Class::Live as usize] = stretch.max(1.0);
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds)
        .unwrap_or(LONGEST)
        .min(LONGEST)
}

#[cfg(test)]
mod tests;
