//! A quota of API points: its VPSes, its size, the points left and the resulting pace.

mod readings;

use std::time::Duration;

use super::brake::Brake;
use super::plan::Shed;
use super::window::{Ledger, Window};
use crate::kiwivm::Veid;
use crate::units::{AccountTime, Points, PointsPerSecond};
pub use readings::{Reading, Readings, Remaining, Sizes, USUAL_SIZES};

/// Fraction of the share that calls may use. The rest covers calls that the API counts late.
const MAX_FILL: f64 = 0.985;
/// Fraction of the share at which the pace aims. Extra readings and price samples come on top.
pub const PACED_FRACTION: f64 = 0.95;
/// Above this fraction of the share the pace falls gradually, instead of stopping until the next amount leaves the
/// window.
const SOFT_FILL: f64 = 0.93;
/// Range of the fraction of the 15-minute share that history and inventory leave to live data and readings: half where
/// the day is the tighter window, because a first round would use it up otherwise. Less where 15 minutes are as tight.
const LEFT_TO_LIVE: [f64; 2] = [0.07, 0.5];
/// Fraction of the 15-minute share from which the steady pace is subtracted to get [`LEFT_TO_LIVE`].
const USED: f64 = 0.9;
/// Points reserved for readings when no other call is possible: up to three readings of a price sample.
const RESERVED_FOR_READINGS: Points = Points(3.0);
/// Minimum pace, as a fraction of the full one, while readings show points left, whatever the ledger says. Spending
/// leaves a window faster than this pace adds to it, so a correct ledger fills no further.
const MIN_PACE: f64 = 0.75;
/// Wait before a probe, a call although readings show no points left: the maximum after a refusal, halved after each
/// success. Even at the minimum wait, the probes of 15 minutes take less than a quarter of a usual share.
const MAX_PROBE_WAIT: Duration = Duration::from_secs(180);
const MIN_PROBE_WAIT: Duration = Duration::from_secs(30);

/// Minimum time between two plans of a quota, for each of its VPSes. To plan and publish one takes some microseconds. A
/// fleet of thousands has several readings a second, each of which asks for a new plan.
const PLAN_PAUSE: Duration = Duration::from_micros(500);
/// Lower bound of a divisor that may be zero.
const NEXT_TO_NOTHING: Points = Points(1e-9);

/// Maximum time without any call but readings while points are left.
pub const QUIET: Duration = Duration::from_secs(20);

/// Minimum spending for a comparison with the fall of readings.
pub const MIN_SPAN: Points = Points(100.0);

/// The fraction of a quota that may be spent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// By all shards of the fleet together, above 0 and at most 1.
    pub fleet: f64,
    /// By this shard.
    pub own: f64,
}

/// Times of the probes of a quota without points left.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Probe {
    next: AccountTime,
    wait: Duration,
}

/// The last plan of a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LastPlan {
    /// The dropped calls.
    pub shed: Shed,
    /// True if a wanted interval is stretched.
    pub stretched: bool,
    /// Planned calls of live and service info to working VPSes per second.
    pub data_rate: f64,
    /// Time of the plan.
    pub at: AccountTime,
    /// Time of the next plan.
    pub until: AccountTime,
}

impl LastPlan {
    /// Makes the next plan due now, or after [`PLAN_PAUSE`] for each of so many VPSes since the last one.
    fn expire(&mut self, vps: usize, now: AccountTime) {
        let pause = PLAN_PAUSE * u32::try_from(vps).unwrap_or(u32::MAX);
        self.until = self.until.min(now.max(self.at + pause));
    }
}

/// The priority of a call when points are short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// `getRateLimitStatus`, the reading of the remaining points.
    Reading,
    /// `getLiveServiceInfo`.
    Live,
    /// `getServiceInfo`, the fallback for live data.
    Fallback,
    /// History and inventory.
    Background,
}

/// One quota.
#[derive(Clone, Debug)]
pub struct Quota {
    /// The VPSes that share it, in the order of the configuration.
    pub members: Vec<Veid>,
    /// True if the configuration specifies the members.
    pub certain: bool,
    /// The exporter's own spending.
    pub ledger: Ledger,
    /// The size, from readings.
    pub sizes: Sizes,
    /// The readings.
    pub readings: Readings,
    /// Total points spent by the exporter.
    pub spent: Points,
    /// The slowdown after refusals.
    pub brake: Brake,
    /// The last plan.
    pub planned: LastPlan,
    /// Time of the last live call.
    pub(super) last_live: AccountTime,
    /// Time of the last call of live or service info.
    last_data: AccountTime,
    probe: Probe,
}

impl Quota {
    /// Creates a quota without readings.
    #[must_use]
    pub fn new(members: Vec<Veid>, certain: bool) -> Self {
        Self {
            certain: certain || members.len() < 2,
            members,
            ledger: Ledger::default(),
            sizes: Sizes::default(),
            readings: Readings::default(),
            spent: Points::ZERO,
            brake: Brake::default(),
            planned: LastPlan::default(),
            last_live: AccountTime::ZERO,
            last_data: AccountTime::ZERO,
            probe: Probe::default(),
        }
    }

    /// Makes the next plan due, because its basis has changed.
    pub fn expire_plan(&mut self, now: AccountTime) {
        self.planned.expire(self.members.len(), now);
    }

    /// Returns the size of a window: the confirmed one, or the usual one while no reading is usable.
    #[must_use]
    pub fn size(&self, window: Window) -> Points {
        self.sizes.confirmed().unwrap_or(USUAL_SIZES)[window as usize]
    }

    /// Returns true if the size is confirmed and the points left are known.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.readings.last[0].is_some() && self.sizes.confirmed().is_some()
    }

    /// Returns the points left in a window: a reading less the spending since. The largest of the last readings
    /// counts, so a low reading needs confirmation by two more.
    #[must_use]
    pub fn left(&self, window: Window) -> Points {
        let left =
            |reading: &Reading| reading.remaining[window as usize] - (self.spent - reading.spent);
        let size = self.size(window);
        if !self.is_known() {
            return size - self.ledger.spent(window);
        }
        let readings = self.readings.last.iter().flatten().map(left);
        readings.fold(Points::ZERO, Points::max).min(size)
    }

    /// Returns the left fraction of the points outside the share. It falls below 1 if other clients spend from a
    /// window, or if assumed prices are too low.
    fn yield_factor(&self, window: Window, share: Share) -> f64 {
        let outside = self.size(window) * (1.0 - share.fleet);
        if outside > Points::ZERO {
            (self.left(window) / outside).clamp(0.0, 1.0)
        } else {
            1.0
        }
    }

    /// Returns true if the points left reduce the pace to less than half.
    #[must_use]
    pub fn yields_half(&self, share: Share) -> bool {
        Window::ALL
            .into_iter()
            .any(|window| self.yield_factor(window, share) < 0.5)
    }

    /// Returns true if, by the last reading alone, less than half of the points outside the share is left.
    #[must_use]
    pub fn is_low(&self, share: Share) -> bool {
        self.readings.last[0].is_some_and(|reading| {
            Window::ALL.into_iter().any(|window| {
                let outside = self.size(window) * (1.0 - share.fleet);
                reading.remaining[window as usize] < outside / 2.0
            })
        })
    }

    /// Returns the exporter's own spending in a window, at most the points that a reading shows missing.
    fn own_spending(&self, window: Window) -> Points {
        let spent = self.ledger.spent(window);
        if self.is_known() {
            // Use the largest reading even unconfirmed: a confirming one lacks the points spent in between.
            let largest = self.sizes.largest[window as usize][0];
            spent.min((largest - self.left(window)).max(Points::ZERO))
        } else {
            spent
        }
    }

    /// Returns the pace that keeps own spending within `share` and yields to other clients. After refusals and without
    /// usable readings it still pays for a live call of `live` points every three minutes.
    pub fn rate(&mut self, share: Share, live: Points, now: AccountTime) -> PointsPerSecond {
        self.ledger.expire(now);
        let full = |window: Window| self.size(window) * share.own / window.length();
        // The short window needs no soft limit: `admits` enforces its share, and amounts leave it within minutes.
        let quarter =
            full(Window::Quarter) * PACED_FRACTION * self.yield_factor(Window::Quarter, share);
        let day = self.day_rate(full(Window::Day), share, now);
        if self.is_empty(Points(1.0)) {
            return live / self.probe.wait.max(MIN_PROBE_WAIT);
        }
        let least = live / MAX_PROBE_WAIT;
        let rate = quarter.min(day);
        if self.is_known() {
            (rate * self.brake.factor(now)).max(least.min(rate))
        } else {
            (rate * self.brake.factor(now)).max(least)
        }
    }

    /// Returns the pace that the day allows, at most `full`.
    fn day_rate(&self, full: PointsPerSecond, share: Share, now: AccountTime) -> PointsPerSecond {
        let allowed = self.size(Window::Day) * share.own;
        let own = self.own_spending(Window::Day);
        let scale = own / self.ledger.spent(Window::Day).max(NEXT_TO_NOTHING);
        let sustainable = if scale > 1e-6 {
            let limit = allowed * PACED_FRACTION / scale;
            self.ledger.sustainable(Window::Day, limit, now) * scale
        } else {
            full
        };
        let filled = own / allowed.max(NEXT_TO_NOTHING);
        let soft = if filled > SOFT_FILL {
            full * ((MAX_FILL - filled) / (MAX_FILL - SOFT_FILL)).max(MIN_PACE)
        } else {
            full * MIN_PACE
        };
        sustainable.max(soft).min(full * PACED_FRACTION) * self.yield_factor(Window::Day, share)
    }

    /// Returns the pace of an exporter without other clients and without past spending.
    #[must_use]
    pub fn full_rate(&self, share: Share) -> PointsPerSecond {
        let rate = |window: Window| self.size(window) * share.own / window.length();
        rate(Window::Quarter).min(rate(Window::Day))
    }

    /// Returns true if readings show too few points for a call of `points`.
    #[must_use]
    pub fn is_empty(&self, points: Points) -> bool {
        self.is_known()
            && Window::ALL
                .into_iter()
                .any(|window| self.left(window) < points + RESERVED_FOR_READINGS)
    }

    /// Returns true if a call of `points` may be sent now.
    #[must_use]
    pub fn admits(
        &mut self,
        priority: Priority,
        points: Points,
        share: Share,
        now: AccountTime,
    ) -> bool {
        if priority == Priority::Reading {
            return true;
        }
        self.ledger.expire(now);
        if self.brake.is_stopped(now) {
            return false;
        }
        if self.is_empty(points) {
            return priority != Priority::Background && now >= self.probe.next;
        }
        let last = match priority {
            Priority::Live => self.last_live,
            Priority::Fallback => self.last_data,
            _ => now,
        };
        if now.since(last) >= self.longest_wait(points, share) {
            return true;
        }
        Window::ALL.into_iter().all(|window| {
            let reserved = match (priority, window) {
                (Priority::Background, Window::Quarter) => {
                    let per_second = |window: Window| self.size(window) / window.length();
                    let steady = per_second(Window::Day) / per_second(Window::Quarter);
                    (USED - steady).clamp(LEFT_TO_LIVE[0], LEFT_TO_LIVE[1])
                }
                _ => 0.0,
            };
            let limit = self.size(window) * share.own * (MAX_FILL - reserved);
            // If a single call exceeds the share, allow one call at a time.
            self.own_spending(window) + points <= limit.max(points)
        })
    }

    /// Returns the maximum time between two calls of `points` for data of any VPS, unless readings show no points left.
    fn longest_wait(&self, points: Points, share: Share) -> Duration {
        let slowest = (points / (self.full_rate(share) * MIN_PACE)).max(QUIET);
        if self.is_known() {
            slowest
        } else {
            slowest.min(MAX_PROBE_WAIT)
        }
    }

    /// Records a call of `points` that is sent now, and returns the total points spent before it.
    pub fn send(&mut self, priority: Priority, points: Points, now: AccountTime) -> Points {
        if matches!(priority, Priority::Live | Priority::Fallback) {
            if self.is_empty(points) {
                self.probe.next = now + self.probe.wait.max(MIN_PROBE_WAIT);
            }
            self.last_data = now;
        }
        if priority == Priority::Live {
            self.last_live = now;
        }
        let before = self.spent;
        self.ledger.add(now, points);
        self.spent += points;
        before
    }

    /// Records the end of a call of `points`.
    pub fn finish(&mut self, priority: Priority, success: bool, points: Points, now: AccountTime) {
        if priority == Priority::Reading {
            return;
        }
        if !self.is_empty(points) {
            self.probe = Probe::default();
        } else if success {
            self.probe.wait = (self.probe.wait / 2).max(MIN_PROBE_WAIT);
        } else {
            self.probe.wait = MAX_PROBE_WAIT;
            self.probe.next = now + MAX_PROBE_WAIT;
        }
    }

    /// Records a reading. `spent` is the total of points spent when it was requested.
    pub fn read(&mut self, remaining: Remaining, spent: Points, now: AccountTime) {
        self.sizes.read(remaining);
        let reading = Reading {
            at: now,
            remaining,
            spent,
        };
        let [newer, older, _] = self.readings.last;
        self.readings.last = [Some(reading), newer, older];
        self.readings.failures = 0;
    }

    /// Returns the points that the exporter may spend in a window: its share of the points that other clients leave.
    #[must_use]
    pub fn allowed(&self, window: Window, share: Share) -> Points {
        let by_others = self.size(window) - self.left(window) - self.own_spending(window);
        (self.size(window) - by_others.max(Points::ZERO)).max(Points::ZERO) * share.own
    }

    /// Merges another quota that turned out to be the same.
    pub fn merge(&mut self, other: &Self) {
        self.ledger.merge(&other.ledger);
        self.sizes.merge(&other.sizes);
        let newer = |reading: &Option<Reading>| reading.map(|reading| reading.at);
        if newer(&other.readings.last[0]) > newer(&self.readings.last[0]) {
            let spent = self.spent;
            self.readings.last = other.readings.last.map(|reading| {
                reading.map(|reading| Reading {
                    spent: spent - (other.spent - reading.spent),
                    ..reading
                })
            });
        }
    }
}

#[cfg(test)]
mod tests;
