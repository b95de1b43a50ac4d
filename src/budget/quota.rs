//! One quota of API points and the VPSes that draw on it: its size, the points left, and the pace that follows.

mod readings;

use std::time::Duration;

use super::brake::Brake;
use super::plan::Shed;
use super::window::{Ledger, Window};
use crate::kiwivm::Veid;
pub use readings::{Reading, Readings, Remaining, Sizes, USUAL_SIZES};

/// The part of the share that calls may fill. The rest covers calls that the API counts a little late.
const FILLED: f64 = 0.985;
/// The part of the share that the pace fills: readings out of turn and price samples come on top.
pub const PACED: f64 = 0.95;
/// From this part on the pace falls step by step until nothing is left to fill, instead of stopping between two amounts
/// that leave the window.
const SOFT: f64 = 0.93;
/// The part of the share of 15 minutes that history and inventory leave to live data and readings: half of it where the
/// day is the tighter window, as a first round would take it otherwise, and less where 15 minutes are as tight.
const LEFT_TO_LIVE: [f64; 2] = [0.07, 0.5];
/// A steady pace and this part of the share of 15 minutes are not left.
const USED: f64 = 0.9;
/// A price sample takes three readings: so many stay possible when no other call is.
const READINGS_IN_RESERVE: f64 = 3.0;
/// The pace, and the calls of a quota that readings show to have points, go on at this part of the full pace whatever
/// is booked. Amounts leave a window faster, so that it fills no further where the books are right.
const SLOWEST: f64 = 0.5;
/// Without saved state the first reading lacks what an earlier process spent, so it is taken as too small by up to
/// this factor for the pace of the first hour. The share still bounds the spending.
const SIZE_AT_START: f64 = 1.3;
const START: Duration = Duration::from_secs(3600);
/// A call tries whether points are left although readings say otherwise: this long after a refusal, and twice as soon
/// after each success. Even the shortest wait takes fewer points than a quarter of a usual share.
const LONGEST_TRY: Duration = Duration::from_secs(300);
const SHORTEST_TRY: Duration = Duration::from_secs(30);

/// Without any call but readings for this long, a quota that has points left makes one.
pub const QUIET: Duration = Duration::from_secs(20);

/// Spending of this many points is enough to compare it with the fall of readings.
pub const TELLING_SPAN: f64 = 100.0;

/// The part of a quota that may be spent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// By all shards of the fleet: above 0, up to 1.
    pub fleet: f64,
    /// By this shard.
    pub own: f64,
}

/// The time between the tries of a quota that readings call empty.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Try {
    next: Duration,
    wait: Duration,
}

/// The last plan of a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Planned {
    /// The calls that it drops.
    pub shed: Shed,
    /// Whether it stretches a wanted interval.
    pub stretched: bool,
    /// Live calls a second.
    pub live_rate: f64,
    /// When the next plan is due.
    pub until: Duration,
}

/// The importance of a call when points are short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// `getRateLimitStatus`: the reading that shows whether points are left.
    Reading,
    /// Live data.
    Live,
    /// Service info, in place of live data or beside it.
    StandIn,
    /// History and inventory.
    Rest,
}

/// One quota.
#[derive(Clone, Debug)]
pub struct Quota {
    /// The VPSes that draw on it, in the order of the configuration.
    pub members: Vec<Veid>,
    /// Whether the configuration says who draws on it.
    pub certain: bool,
    /// The exporter's own spending.
    pub ledger: Ledger,
    /// The size.
    pub sizes: Sizes,
    /// The readings.
    pub readings: Readings,
    /// All points ever spent from it.
    pub spent: f64,
    /// Calls in flight.
    pub in_flight: u32,
    /// The slowing by refusals.
    pub brake: Brake,
    /// The last plan.
    pub planned: Planned,
    /// The start of the process, if it began without saved state.
    pub started: Option<Duration>,
    /// When the last live call was sent.
    last_live: Duration,
    trying: Try,
}

impl Quota {
    /// A quota about which nothing is known.
    #[must_use]
    pub fn new(members: Vec<Veid>, certain: bool) -> Self {
        Self {
            certain: certain || members.len() < 2,
            members,
            ledger: Ledger::default(),
            sizes: Sizes::default(),
            readings: Readings::default(),
            spent: 0.0,
            in_flight: 0,
            brake: Brake::default(),
            planned: Planned::default(),
            started: None,
            last_live: Duration::ZERO,
            trying: Try::default(),
        }
    }

    /// The size of a window: confirmed, or the usual one while no reading is usable.
    #[must_use]
    pub fn size(&self, window: Window) -> f64 {
        self.sizes.confirmed().unwrap_or(USUAL_SIZES)[window as usize]
    }

    /// Whether a reading is usable.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.readings.last[0].is_some() && self.sizes.confirmed().is_some()
    }

    /// The points left in a window: a reading less the spending since. Of the last two readings the larger counts, so
    /// a low one needs a second one to confirm it.
    #[must_use]
    pub fn left(&self, window: Window) -> f64 {
        let left =
            |reading: &Reading| reading.remaining[window as usize] - (self.spent - reading.spent);
        let size = self.size(window);
        if !self.is_known() {
            return size - self.ledger.window(window).sum();
        }
        let readings = self.readings.last.iter().flatten().map(left);
        readings.fold(f64::MIN, f64::max).clamp(0.0, size)
    }

    /// The part of the points outside the share that is left in a window: below 1 when others, or prices that are too
    /// low, take from it.
    fn yielding(&self, window: Window, share: Share) -> f64 {
        let outside = self.size(window) * (1.0 - share.fleet);
        if outside > 0.0 {
            (self.left(window) / outside).clamp(0.0, 1.0)
        } else {
            1.0
        }
    }

    /// Whether the pace is down to less than half by the points that are left.
    #[must_use]
    pub fn yields_half(&self, share: Share) -> bool {
        Window::ALL
            .into_iter()
            .any(|window| self.yielding(window, share) < 0.5)
    }

    /// Whether less than half of the points outside the share is left by the last reading alone.
    #[must_use]
    pub fn is_low(&self, share: Share) -> bool {
        self.readings.last[0].is_some_and(|reading| {
            Window::ALL.into_iter().any(|window| {
                let outside = self.size(window) * (1.0 - share.fleet);
                reading.remaining[window as usize] < outside / 2.0
            })
        })
    }

    /// Own spending in a window. It cannot exceed the points that a reading shows missing, whatever the prices.
    fn own(&self, window: Window) -> f64 {
        let spent = self.ledger.window(window).sum();
        if self.is_known() {
            // The largest reading counts before another confirms it: that one lacks what was spent in between.
            let largest = self.sizes.largest[window as usize][0];
            spent.min((largest - self.left(window)).max(0.0))
        } else {
            spent
        }
    }

    /// The pace in points a second that keeps own spending within `share` and yields to others. Refusals, and not
    /// knowing what is left, leave a live call of `live` points every five minutes.
    pub fn rate(&mut self, share: Share, live: f64, now: Duration) -> f64 {
        self.ledger.expire(now);
        let starts = self
            .started
            .is_some_and(|at| now.saturating_sub(at) < START);
        let full = |window: Window| share.own * self.size(window) / window.seconds();
        // The ledger alone keeps the short window: its amounts leave within minutes.
        let quarter = PACED * full(Window::Quarter) * self.yielding(Window::Quarter, share);
        let day = self.day_rate(full(Window::Day), share, now);
        let day = if starts && self.is_known() {
            SIZE_AT_START * day
        } else {
            day
        };
        if self.is_empty(1.0) {
            return 1.0 / self.trying.wait.max(SHORTEST_TRY).as_secs_f64();
        }
        let least = live / LONGEST_TRY.as_secs_f64();
        let rate = quarter.min(day);
        if self.is_known() {
            (rate * self.brake.factor(now)).max(least.min(rate))
        } else {
            (rate * self.brake.factor(now)).max(least)
        }
    }

    /// The pace that the day allows, of at most `full`.
    fn day_rate(&self, full: f64, share: Share, now: Duration) -> f64 {
        let allowed = share.own * self.size(Window::Day);
        let (booked, own) = (self.ledger.window(Window::Day), self.own(Window::Day));
        let scale = own / booked.sum().max(1e-9);
        let sustainable = if scale > 1e-6 {
            scale * booked.sustainable(PACED * allowed / scale, now)
        } else {
            full
        };
        let filled = own / allowed.max(1e-9);
        let soft = if filled > SOFT {
            full * ((FILLED - filled) / (FILLED - SOFT)).max(SLOWEST)
        } else {
            SLOWEST * full
        };
        sustainable.max(soft).min(PACED * full) * self.yielding(Window::Day, share)
    }

    /// The pace in points a second while the exporter is alone and has spent nothing.
    #[must_use]
    pub fn full_rate(&self, share: Share) -> f64 {
        let rate = |window: Window| share.own * self.size(window) / window.seconds();
        rate(Window::Quarter).min(rate(Window::Day))
    }

    /// Whether readings show too few points for a call of `points`.
    #[must_use]
    pub fn is_empty(&self, points: f64) -> bool {
        Window::ALL
            .into_iter()
            .any(|window| self.left(window) < points + READINGS_IN_RESERVE)
    }

    /// Whether a call of `points` may be sent now.
    #[must_use]
    pub fn admits(&mut self, of: Use, points: f64, share: Share, now: Duration) -> bool {
        if of == Use::Reading {
            return true;
        }
        self.ledger.expire(now);
        if self.brake.stops(now) {
            return false;
        }
        if self.is_empty(points) {
            return of != Use::Rest && now >= self.trying.next;
        }
        let quiet = now.saturating_sub(self.last_live);
        if of == Use::Live && quiet >= self.longest_wait(points, share) {
            return true;
        }
        Window::ALL.into_iter().all(|window| {
            // A quota whose share is smaller than a single call still gets one call after another.
            let reserved = match (of, window) {
                (Use::Rest, Window::Quarter) => {
                    let per_second = |window: Window| self.size(window) / window.seconds();
                    let steady = per_second(Window::Day) / per_second(Window::Quarter).max(1e-9);
                    (USED - steady).clamp(LEFT_TO_LIVE[0], LEFT_TO_LIVE[1])
                }
                _ => 0.0,
            };
            let limit = (FILLED - reserved) * share.own * self.size(window);
            self.own(window) + points <= limit.max(points)
        })
    }

    /// The longest time between two live calls of `points` while readings do not show that none are left.
    fn longest_wait(&self, points: f64, share: Share) -> Duration {
        let slowest = Duration::try_from_secs_f64(points / (SLOWEST * self.full_rate(share)))
            .unwrap_or(Duration::MAX)
            .max(QUIET);
        if self.is_known() {
            slowest
        } else {
            slowest.min(LONGEST_TRY)
        }
    }

    /// Counts a call of `points` that is sent now, and returns the points spent before.
    pub fn send(&mut self, of: Use, points: f64, now: Duration) -> f64 {
        if matches!(of, Use::Live | Use::StandIn) && self.is_empty(points) {
            self.trying.next = now + self.trying.wait.max(SHORTEST_TRY);
        }
        if of == Use::Live {
            self.last_live = now;
        }
        let before = self.spent;
        self.ledger.add(now, points);
        self.spent += points;
        self.in_flight += 1;
        before
    }

    /// Takes in the end of a call of `points`.
    pub fn finish(&mut self, of: Use, success: bool, points: f64, now: Duration) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if of == Use::Reading {
            return;
        }
        if !self.is_empty(points) {
            self.trying = Try::default();
        } else if success {
            self.trying.wait = (self.trying.wait / 2).max(SHORTEST_TRY);
        } else {
            self.trying.wait = LONGEST_TRY;
            self.trying.next = now + LONGEST_TRY;
        }
    }

    /// Takes in a reading that was asked for after `spent` points.
    pub fn read(&mut self, remaining: Remaining, spent: f64, now: Duration) {
        self.sizes.read(remaining);
        let reading = Reading {
            at: now,
            remaining,
            spent,
        };
        self.readings.last = [Some(reading), self.readings.last[0]];
        self.readings.failures = 0;
    }

    /// The points that the exporter allows itself in a window: its share of the points that others leave.
    #[must_use]
    pub fn allowed(&self, window: Window, share: Share) -> f64 {
        let by_others = self.size(window) - self.left(window) - self.own(window);
        share.own * (self.size(window) - by_others.max(0.0)).max(0.0)
    }

    /// Takes in another quota that turned out to be the same.
    pub fn merge(&mut self, other: &Self) {
        self.ledger.merge(&other.ledger);
        self.sizes.merge(&other.sizes);
        self.in_flight += other.in_flight;
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
