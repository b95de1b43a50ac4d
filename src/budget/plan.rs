//! Stretches wanted intervals until a quota can pay for them.
//!
//! Classes stretch up to their longest useful interval, the least important first: inventory, usage, readings, live.
//! If that is not enough, the planner sheds inventory, then usage. Then it stretches live further, evenly over the
//! VPSes, and adds service info as a fallback where that is cheaper. All of this is linear in the number of VPSes.

use std::time::Duration;

use super::pace::{Pace, PlannedIntervals};
use crate::fleet::{LIVE_LIMIT, SERVICE_LIMIT};
use crate::kiwivm::{Call, PerCall};
use crate::units::{Points, PointsPerSecond};

/// Longest useful interval of live. The data would become stale between two calls at a slightly longer one.
pub const LONGEST_LIVE: Duration = Duration::from_secs(LIVE_LIMIT.as_secs() * 14 / 15);
/// Longest useful interval of usage. Rows are not lost at a longer one, but graphs become too coarse.
pub const LONGEST_USAGE: Duration = Duration::from_secs(2 * 3600);
/// Longest useful interval of inventory, half the age at which its data are dropped.
pub const LONGEST_INVENTORY: Duration = Duration::from_secs(SERVICE_LIMIT.as_secs() / 2);
/// Bounds of the longest interval between two readings of a quota. In between, readings take
/// [`READING_FRACTION`] of the pace. Even cheap ones are not needed more often than every 5 minutes, which shows a
/// change of prices before the points of 15 minutes are spent.
const SHORTEST_POINTS: Duration = Duration::from_secs(5 * 60);
const LONGEST_POINTS: Duration = Duration::from_secs(30 * 60);
const READING_FRACTION: f64 = 0.03;

/// Upper bound of planned intervals.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Fraction of the pace of live that service info may take, when live exceeds its longest useful interval.
const SERVICE_FRACTION: f64 = 0.5;
/// A shed class returns if the pace exceeds the demand by this factor.
const HEADROOM: f64 = 1.15;

/// The planned intervals of a quota.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// In the order of the VPSes.
    pub intervals: Vec<PlannedIntervals>,
    /// The points that the calls take.
    pub demand: PointsPerSecond,
    /// True if a wanted interval is stretched.
    pub stretched: bool,
    /// The shed classes.
    pub shed: Shed,
}

/// The classes that are not called at all, for lack of points.
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

/// Plans the intervals of the VPSes of one quota. `rate` is the pace. Classes that the last plan shed (`shed_before`)
/// return only with some headroom.
#[must_use]
pub fn plan(
    wanted: &[Pace],
    prices: PerCall<Points>,
    rate: PointsPerSecond,
    shed_before: Shed,
) -> Plan {
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
            // The least important class first.
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
    prices: PerCall<Points>,
    rate: PointsPerSecond,
    shed: Shed,
    stretch: [f64; 4],
}

impl Classes<'_> {
    /// Returns the stretched interval of a class in seconds, at most its longest useful interval.
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

    /// Returns the longest interval of readings for each VPS. The VPSes of a quota take turns.
    fn longest_points(&self) -> Duration {
        let reading = self.prices[Call::RateLimitStatus];
        let each = reading / (self.rate * READING_FRACTION);
        let vps = u32::try_from(self.wanted.len()).unwrap_or(u32::MAX);
        each.clamp(SHORTEST_POINTS, LONGEST_POINTS)
            .saturating_mul(vps)
            .min(LONGEST)
    }

    /// Returns the points of one round of a class for one VPS.
    fn price(&self, class: Class, wanted: &Pace) -> Points {
        match class {
            Class::Live => self.prices[Call::LiveServiceInfo],
            Class::Points => self.prices[Call::RateLimitStatus],
            Class::Usage if self.shed < Shed::InventoryAndUsage => self.prices[Call::RawUsageStats],
            Class::Inventory if self.shed < Shed::Inventory => {
                wanted.inventory_calls().map(|call| self.prices[call]).sum()
            }
            Class::Usage | Class::Inventory => Points::ZERO,
        }
    }

    fn demand_of(&self, class: Class) -> PointsPerSecond {
        self.wanted
            .iter()
            .map(|wanted| {
                PointsPerSecond(self.price(class, wanted).0 / self.interval(class, wanted))
            })
            .sum()
    }

    fn demand(&self) -> PointsPerSecond {
        Class::ALL
            .into_iter()
            .map(|class| self.demand_of(class))
            .sum()
    }

    fn demand_at_longest(&self) -> PointsPerSecond {
        Classes {
            stretch: [f64::INFINITY; 4],
            ..*self
        }
        .demand()
    }

    /// Stretches a class as little as needed. Returns false if even its longest useful interval does not fit.
    fn stretch_until_it_fits(&mut self, class: Class, rate: PointsPerSecond) -> bool {
        self.stretch[class as usize] = f64::INFINITY;
        if self.demand() > rate {
            return false;
        }
        let others = self.demand() - self.demand_of(class);
        let (mut low, mut high) = (1.0_f64, 1e5_f64);
        for _ in 0..40 {
            let middle = (low * high).sqrt();
            self.stretch[class as usize] = middle;
            if others + self.demand_of(class) > rate {
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

    fn intervals(&self, wanted: &Pace) -> PlannedIntervals {
        let interval = |class| Some(seconds(self.interval(class, wanted)));
        let mut intervals = PlannedIntervals::default();
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

    /// Plans without usage and inventory: readings at their longest interval, the rest of the pace for live and service
    /// info.
    fn without_usage(mut self, rate: PointsPerSecond) -> Plan {
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
            let calls = service_price * as_f64(self.wanted.len());
            let interval = (calls / (left * SERVICE_FRACTION)).max(LONGEST_LIVE);
            live_rate = left - calls / interval;
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
                // No fallback is needed if live comes often enough.
                let fallback = service.filter(|service| service.as_secs_f64() < live);
                intervals[Call::ServiceInfo] = fallback.map(|interval| interval.min(LONGEST));
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

    /// Returns the interval of live without its upper bound, stretched by the same factor for all VPSes.
    fn interval_beyond(&self, wanted: &Pace) -> f64 {
        wanted.live.as_secs_f64() * self.stretch[Class::Live as usize]
    }

    fn stretch_live(&mut self, rate: PointsPerSecond) {
        let calls: f64 = self
            .wanted
            .iter()
            .map(|wanted| 1.0 / wanted.live.as_secs_f64())
            .sum();
        let stretch = PointsPerSecond(calls * self.prices[Call::LiveServiceInfo].0) / rate;
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
