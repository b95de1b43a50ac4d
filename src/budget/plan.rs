//! From wanted intervals to those that an allowance can pay.
//!
//! The least important class stretches first, up to its longest useful interval: inventory, usage, readings of the
//! points, live. Only when all of them are there is a class shed, inventory before usage; then live stretches on,
//! evenly, and service info stands in for it where that is cheaper. Everything is linear in the number of VPSes.

use std::time::Duration;

use super::pace::{Intervals, Pace};
use crate::fleet::{LIVE_LIMIT, SERVICE_LIMIT};
use crate::kiwivm::{Call, PerCall};

/// The longest useful interval of live: a little more, and what it tells goes stale before it comes again.
pub const LONGEST_LIVE: Duration = Duration::from_secs(LIVE_LIMIT.as_secs() * 14 / 15);
/// The longest useful interval of usage: the rows are not lost, but a graph with larger steps tells little.
pub const LONGEST_USAGE: Duration = Duration::from_secs(2 * 3600);
/// The longest useful interval of inventory: what it tells is dropped after twice that.
pub const LONGEST_INVENTORY: Duration = Duration::from_secs(SERVICE_LIMIT.as_secs() / 2);
/// The interval between two readings of a quota, whichever VPS is asked: they take [`READING_PART`] of the pace, but come
/// no more often than this where calls are cheap, so that a change of prices shows before a quarter's points are gone,
const SHORTEST_POINTS: f64 = 5.0 * 60.0;
/// and no less often than this where they are dear.
const LONGEST_POINTS: f64 = 30.0 * 60.0;
const READING_PART: f64 = 0.03;

/// No interval is planned longer than this.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Of what is left for live when it can not be kept useful, the part that service info may take.
const SERVICE_PART: f64 = 0.5;
/// What was shed comes back when there is so much more than it needs.
const HEADROOM: f64 = 1.15;

/// What came of planning.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// In the order of the VPSes.
    pub intervals: Vec<Intervals>,
    /// Points a second that this costs.
    pub demand: f64,
    /// True when a wanted interval is not kept because of the points.
    pub stretched: bool,
    /// What is not called at all.
    pub shed: Shed,
}

/// The classes that are not called at all because the points do not suffice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shed {
    /// None.
    #[default]
    Nothing,
    /// Inventory.
    Inventory,
    /// Inventory and usage.
    InventoryAndUsage,
}

/// Plans for the VPSes of one allowance: `prices`, `rate` in points a second. `shed_before` is what
/// the last plan shed: it comes back when there is a little more than it needs.
#[must_use]
pub fn plan(wanted: &[Pace], prices: PerCall<f64>, rate: f64, shed_before: Shed) -> Plan {
    let mut classes = Classes {
        wanted,
        prices,
        shed: Shed::Nothing,
        rate,
        stretch: [1.0; 4],
    };
    let stretched = classes.demand() > rate;
    if stretched {
        for shed in [Shed::Nothing, Shed::Inventory] {
            classes.shed = shed;
            let headroom = if shed < shed_before { HEADROOM } else { 1.0 };
            if classes.demand_at_longest() * headroom > rate {
                continue;
            }
            // By importance, the least first.
            for class in [Class::Inventory, Class::Usage, Class::Points, Class::Live] {
                if classes.stretch_until_it_fits(class, rate) {
                    break;
                }
            }
            return classes.into_plan(true);
        }
        classes.shed = Shed::InventoryAndUsage;
        return classes.without_usage(rate);
    }
    classes.into_plan(false)
}

#[derive(Clone, Copy, Debug)]
enum Class {
    Live,
    Points,
    Usage,
    Inventory,
}

impl Class {
    const ALL: [Self; 4] = [Self::Live, Self::Points, Self::Usage, Self::Inventory];
}

struct Classes<'a> {
    wanted: &'a [Pace],
    prices: PerCall<f64>,
    rate: f64,
    shed: Shed,
    stretch: [f64; 4],
}

impl Classes<'_> {
    /// The interval of a class of one VPS in seconds, with its stretch and within its longest useful interval.
    fn interval(&self, class: Class, wanted: &Pace) -> f64 {
        let (wanted, longest) = match class {
            Class::Live => (wanted.live, LONGEST_LIVE),
            Class::Points => (wanted.points, self.longest_points()),
            Class::Usage => (wanted.usage, LONGEST_USAGE),
            Class::Inventory => (wanted.inventory, LONGEST_INVENTORY),
        };
        let wanted = wanted.as_secs_f64();
        (wanted * self.stretch[class as usize]).min(longest.as_secs_f64().max(wanted))
    }

    /// The VPSes take turns in reading their quota.
    fn longest_points(&self) -> Duration {
        let reading = self.prices[Call::RateLimitStatus];
        let each = reading / (READING_PART * self.rate).max(1e-9);
        seconds(each.clamp(SHORTEST_POINTS, LONGEST_POINTS) * as_f64(self.wanted.len()))
    }

    /// Points of one round of a class of one VPS.
    fn price(&self, class: Class, wanted: &Pace) -> f64 {
        match class {
            Class::Live => self.prices[Call::LiveServiceInfo],
            Class::Points => self.prices[Call::RateLimitStatus],
            Class::Usage if self.shed < Shed::InventoryAndUsage => self.prices[Call::RawUsageStats],
            Class::Inventory if self.shed < Shed::Inventory => {
                wanted.inventory_calls().map(|call| self.prices[call]).sum()
            }
            Class::Usage | Class::Inventory => 0.0,
        }
    }

    fn demand_of(&self, class: Class) -> f64 {
        self.wanted
            .iter()
            .map(|wanted| self.price(class, wanted) / self.interval(class, wanted))
            .sum()
    }

    fn demand(&self) -> f64 {
        Class::ALL
            .into_iter()
            .map(|class| self.demand_of(class))
            .sum()
    }

    fn demand_at_longest(&self) -> f64 {
        Classes {
            stretch: [f64::INFINITY; 4],
            ..*self
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

    fn into_plan(self, stretched: bool) -> Plan {
        Plan {
            intervals: self
                .wanted
                .iter()
                .map(|wanted| self.intervals(wanted))
                .collect(),
            demand: self.demand(),
            stretched,
            shed: self.shed,
        }
    }

    fn intervals(&self, wanted: &Pace) -> Intervals {
        let interval = |class| Some(seconds(self.interval(class, wanted)));
        let mut intervals = Intervals::default();
        intervals[Call::LiveServiceInfo] = interval(Class::Live);
        intervals[Call::RateLimitStatus] = interval(Class::Points);
        if self.shed < Shed::InventoryAndUsage {
            intervals[Call::RawUsageStats] = interval(Class::Usage);
        }
        if self.shed < Shed::Inventory {
            for call in wanted.inventory_calls() {
                intervals[call] = interval(Class::Inventory);
            }
        }
        intervals
    }

    /// Readings at their longest, neither usage nor inventory, and what is left to live and to what stands in for it.
    fn without_usage(mut self, rate: f64) -> Plan {
        self.stretch = [1.0, f64::INFINITY, f64::INFINITY, f64::INFINITY];
        let readings = self.demand_of(Class::Points);
        let left = (rate - readings).max(rate * 0.1);
        let mut live_rate = left;
        let mut service = None;
        self.stretch_live(left);
        let live_price = self.prices[Call::LiveServiceInfo];
        let service_price = self.prices[Call::ServiceInfo];
        let too_long = self
            .wanted
            .iter()
            .any(|wanted| self.interval_beyond(wanted) > LONGEST_LIVE.as_secs_f64());
        if too_long && service_price < live_price {
            let calls = as_f64(self.wanted.len());
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
            .map(|wanted| {
                let mut intervals = self.intervals(wanted);
                let live = self.interval_beyond(wanted);
                intervals[Call::LiveServiceInfo] = Some(seconds(live));
                // Where live comes often enough, nothing has to stand in for it.
                intervals[Call::ServiceInfo] =
                    service.filter(|service| *service < live).map(seconds);
                intervals
            })
            .collect();
        demand = demand.min(rate);
        Plan {
            intervals,
            demand,
            stretched: true,
            shed: self.shed,
        }
    }

    /// Live beyond its longest useful interval: stretched by the same factor for all.
    fn interval_beyond(&self, wanted: &Pace) -> f64 {
        wanted.live.as_secs_f64() * self.stretch[Class::Live as usize]
    }

    fn stretch_live(&mut self, rate: f64) {
        let calls: f64 = self
            .wanted
            .iter()
            .map(|wanted| 1.0 / wanted.live.as_secs_f64())
            .sum();
        let stretch = calls * self.prices[Call::LiveServiceInfo] / rate.max(1e-9);
        self.stretch[Class::Live as usize] = stretch.max(1.0);
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of VPSes")]
const fn as_f64(count: usize) -> f64 {
    count as f64
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds)
        .unwrap_or(LONGEST)
        .min(LONGEST)
}

#[cfg(test)]
mod tests;
