//! One allowance of points and the VPSes that draw on it: what is left, what was spent, by whom, and what may be.

use std::time::Duration;

use super::bracket::fall_between;
use super::plan::LONGEST_POINTS;
use super::refusals::Brake;
use super::window::{Ledger, WINDOW_LENGTHS, Window};
use crate::kiwivm::{Call, Veid};

/// What the API is believed to allow before a reading says otherwise.
pub const USUAL_SIZES: [f64; 2] = [1000.0, 20_000.0];
/// Of what is allowed, left unplanned: buckets and calls in flight count a little early or late.
const MARGIN: f64 = 0.98;
/// Of the share, what may be spent: costs are known to a few in a thousand.
const CAUTION: f64 = 0.995;
/// Readings that are kept possible when everything else must wait.
const READINGS_IN_RESERVE: f64 = 3.0;
/// The least that must have been spent between two readings for them to tell how the day moves.
const TELLING_KIND: f64 = 10.0;
const KIND_VOTES: i32 = 6;
/// What could not be looked into for so long is taken for the spending of others.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);
/// A remaining below this part of the allowance is worth closer watching.
const LOW: f64 = 0.35;

/// Remaining points, by [`Window`].
pub type Remaining = [f64; 2];

/// A reading of the remaining points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// What it said.
    pub remaining: Remaining,
    /// What was true when it was asked for.
    pub sent: Sent,
}

/// What had been sent to an allowance when a call was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sent {
    /// When.
    pub at: Duration,
    /// Points spent before.
    pub spent: f64,
    /// Calls before, by [`Call::index`].
    pub calls: [u32; Call::ALL.len()],
    /// Points in flight, which a reading may or may not hold.
    pub in_flight: f64,
    /// Points that had left the trailing day.
    pub expired: f64,
}

/// A drop that what was sent does not explain: counted as ours until a bracket shows that the costs are as before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Suspicion {
    /// Points unexplained.
    pub surplus: f64,
    /// When the last of them were found.
    pub at: Duration,
    /// Calls of each kind that may have cost more, by [`Call::index`]; 0 once cleared.
    pub sent: [u32; Call::ALL.len()],
    /// Brackets that showed costs as before.
    pub looks: u32,
}

impl Suspicion {
    /// Points that are counted as ours for now. Live is the call that may have spent much; what other calls may have
    /// spent is left to the price at which they are admitted. What can not be looked into is not held for longer
    /// than the short window.
    fn held(&self, now: Duration) -> f64 {
        let open = self.sent[Call::LiveServiceInfo.index()] > 0
            && now.saturating_sub(self.at) < WINDOW_LENGTHS[0];
        if open { self.surplus } else { 0.0 }
    }
}

/// One allowance.
#[derive(Clone, Debug)]
pub struct Allowance {
    /// Who draws on it, in the order of the configuration.
    pub members: Vec<Veid>,
    /// What this exporter spent.
    pub ledger: Ledger,
    /// The largest remaining points ever read: the size is never assumed larger.
    pub largest: Remaining,
    /// The last reading.
    pub reading: Option<Reading>,
    /// All points ever spent from it.
    pub spent: f64,
    /// All calls ever sent, by [`Call::index`].
    pub calls: [u32; Call::ALL.len()],
    /// Calls in flight.
    pub calls_in_flight: u32,
    /// Points of these.
    points_in_flight: f64,
    /// What may have been ours before a start without memory, and when that was.
    pub assumed: Option<(Duration, Remaining)>,
    /// What others spent in each window, by the last reading.
    pub others: Remaining,
    /// When a fixed window began anew, if that was seen.
    resets: [Option<Duration>; 2],
    /// Above 0 when the day is known to slide, below when it is known to begin anew all at once.
    pub sliding: i32,
    /// An unexplained drop. There is none, most of the time.
    pub suspicion: Option<Box<Suspicion>>,
    /// How refusals slow the calls.
    pub brake: Brake,
    /// True when no reading could be had: the usual sizes are assumed.
    pub blind: bool,
    /// The part of it that other shards of the same fleet may spend.
    siblings: f64,
    /// What they may have spent of that lately, and when that was reckoned.
    spent_by_siblings: (f64, Duration),
}

impl Allowance {
    /// An allowance about which nothing is known, but what part of it other shards may spend.
    #[must_use]
    pub fn new(members: Vec<Veid>, siblings: f64) -> Self {
        Self {
            members,
            siblings,
            spent_by_siblings: (0.0, Duration::ZERO),
            ledger: Ledger::new(WINDOW_LENGTHS),
            largest: [0.0; 2],
            reading: None,
            spent: 0.0,
            calls: [0; Call::ALL.len()],
            calls_in_flight: 0,
            points_in_flight: 0.0,
            assumed: None,
            others: [0.0; 2],
            resets: [None; 2],
            sliding: 0,
            suspicion: None,
            brake: Brake::default(),
            blind: false,
        }
    }

    /// The points of each window, as far as is known.
    #[must_use]
    pub fn size(&self, window: Window) -> f64 {
        let size = self.largest[window as usize];
        if size > 0.0 || !self.blind {
            size
        } else {
            USUAL_SIZES[window as usize]
        }
    }

    /// Counts a call that is being sent, and tells what had been sent before.
    pub fn send(&mut self, call: Call, points: f64, now: Duration) -> Sent {
        self.ledger.expire(now);
        let before = self.sent(now);
        self.ledger.add(now, points);
        self.calls[call.index()] += 1;
        self.spent += points;
        self.now_in_flight(points);
        before
    }

    /// What has been sent by now. The ledger must not hold what has expired.
    #[must_use]
    pub fn sent(&self, now: Duration) -> Sent {
        Sent {
            at: now,
            spent: self.spent,
            calls: self.calls,
            in_flight: self.points_in_flight,
            expired: self.ledger.window(Window::Day).expired(now),
        }
    }

    /// A call sent at `sent` has ended.
    pub fn end(&mut self, points: f64, sent: Duration, now: Duration) {
        self.ledger.postpone(sent, now, points);
        self.calls_in_flight = self.calls_in_flight.saturating_sub(1);
        // Sums of fractions leave a rest.
        self.points_in_flight = if self.calls_in_flight == 0 {
            0.0
        } else {
            (self.points_in_flight - points).max(0.0)
        };
    }

    /// A call of so many points is in flight.
    pub fn now_in_flight(&mut self, points: f64) {
        self.calls_in_flight += 1;
        self.points_in_flight += points;
    }

    /// Points sent since the last reading was asked for, that one included.
    #[must_use]
    pub fn sent_since_reading(&self) -> f64 {
        self.reading.map_or(self.spent, |reading| {
            (self.spent - reading.sent.spent).max(0.0)
        })
    }

    /// Takes in a reading. One that falls by more than what was sent explains makes a suspicion.
    pub fn read(&mut self, remaining: Remaining, sent: Sent, now: Duration) {
        self.ledger.expire(now);
        self.blind = false;
        let first = self.reading.is_none() && self.largest.iter().all(|points| *points <= 0.0);
        for (largest, remaining) in self.largest.iter_mut().zip(remaining) {
            *largest = largest.max(remaining);
        }
        if first {
            self.assume_what_is_missing(remaining, now);
        }
        if let Some(before) = self.reading {
            self.note_resets(before, remaining);
            self.tell_window_kind(before, remaining, sent);
            self.explain(before, remaining, sent);
        }
        self.reading = Some(Reading { remaining, sent });
        self.reckon_others(remaining, now);
    }

    /// Without memory, what is missing from the usual sizes may have been spent by this exporter before it was
    /// restarted.
    pub fn assume_what_is_missing(&mut self, remaining: Remaining, now: Duration) {
        let missing = Window::ALL.map(|window| {
            let size = USUAL_SIZES[window as usize].max(self.largest[window as usize]);
            (size - remaining[window as usize] - self.ledger.window(window).sum()).max(0.0)
        });
        self.assumed = Some((now, missing));
    }

    /// A window that jumps up to nearly its size has begun anew.
    fn note_resets(&mut self, before: Reading, remaining: Remaining) {
        for (index, left) in remaining.into_iter().enumerate() {
            let size = self.largest[index];
            let rise = left - before.remaining[index];
            if rise > 0.1 * size && left > 0.95 * size {
                self.resets[index] = Some(before.sent.at);
            }
        }
    }

    /// A day that slides gives back what was spent a day ago; one that begins anew gives back nothing until then.
    fn tell_window_kind(&mut self, before: Reading, remaining: Remaining, sent: Sent) {
        let day = Window::Day as usize;
        let (fall, gone) = (
            before.remaining[day] - remaining[day],
            self.largest[day] - before.remaining[day],
        );
        let own = sent.spent - before.sent.spent;
        let expired = sent.expired - before.sent.expired;
        // Had the day begun anew in between, the points would have risen.
        if own < TELLING_KIND || expired < 0.7 * own || gone < 1.5 * own || fall < -0.5 * expired {
            return;
        }
        let slides = fall < 0.5 * own;
        self.sliding = (self.sliding + if slides { 1 } else { -1 }).clamp(-KIND_VOTES, KIND_VOTES);
    }

    /// A reading from which drops can be told: without what the day gave back of our own, if it is known to slide.
    #[must_use]
    pub fn comparable(&self, remaining: Remaining, sent: Sent) -> Remaining {
        if self.sliding > 0 {
            [remaining[Window::Day as usize] - sent.expired; 2]
        } else {
            remaining
        }
    }

    /// Compares the drop since the last reading with what was sent in between.
    fn explain(&mut self, before: Reading, remaining: Remaining, sent: Sent) {
        let fall = fall_between(before.remaining, remaining);
        let own = (sent.spent - before.sent.spent).max(0.0);
        let surplus = self.beyond_siblings(fall - own, sent.at);
        if surplus - before.sent.in_flight - sent.in_flight <= 3.0 + 0.25 * own {
            return;
        }
        if self
            .suspicion
            .as_ref()
            .is_some_and(|suspicion| sent.at.saturating_sub(suspicion.at) > FORGOTTEN_AFTER)
        {
            self.suspicion = None;
        }
        let suspicion = self.suspicion.get_or_insert_default();
        suspicion.surplus += surplus;
        suspicion.at = sent.at;
        for (suspected, (now, then)) in suspicion
            .sent
            .iter_mut()
            .zip(sent.calls.iter().zip(before.sent.calls))
        {
            *suspected += now.saturating_sub(then);
        }
        // Readings are measured with every bracket.
        suspicion.sent[Call::RateLimitStatus.index()] = 0;
        if suspicion.sent.iter().all(|calls| *calls == 0) {
            self.suspicion = None;
        }
    }

    /// What is left of an unexplained drop when the other shards spent what they may.
    fn beyond_siblings(&mut self, surplus: f64, now: Duration) -> f64 {
        let most = self.siblings * self.size(Window::Quarter);
        let (before, at) = self.spent_by_siblings;
        let expired = now.saturating_sub(at).as_secs_f64() / WINDOW_LENGTHS[0].as_secs_f64() * most;
        let spent = (before - expired).max(0.0) + surplus.max(0.0);
        self.spent_by_siblings = (spent.min(most), now);
        surplus.min((spent - most).max(0.0))
    }

    fn reckon_others(&mut self, remaining: Remaining, now: Duration) {
        let assumed = self.assumed(now);
        for (window, left) in Window::ALL.into_iter().zip(remaining) {
            let index = window as usize;
            let gone = self.largest[index] - left;
            let trailing = self.ledger.window(window);
            let own = match self.resets[index] {
                Some(reset) if now.saturating_sub(reset) < WINDOW_LENGTHS[index] => {
                    trailing.since(reset)
                }
                _ => trailing.sum() + assumed[index],
            };
            self.others[index] = (gone - (own - self.sent_since_reading()).max(0.0)).max(0.0);
        }
        // What was taken for ours can not be more than what is missing now.
        if let Some((_, points)) = &mut self.assumed {
            for window in Window::ALL {
                let index = window as usize;
                let missing = USUAL_SIZES[index].max(self.largest[index]) - remaining[index];
                points[index] = points[index].min(missing.max(0.0));
            }
        }
        self.doubt_the_usual_sizes(now);
    }

    /// The usual sizes go together: when a quarter of an hour has passed and the small one was not met, neither is
    /// believed any longer.
    fn doubt_the_usual_sizes(&mut self, now: Duration) {
        if let Some((since, points)) = &mut self.assumed
            && now.saturating_sub(*since) > WINDOW_LENGTHS[0]
            && self.largest[0] < 0.9 * USUAL_SIZES[0]
        {
            *points = [0.0; 2];
        }
    }

    /// What may have been spent before a start without memory and still counts.
    fn assumed(&self, now: Duration) -> Remaining {
        self.assumed.map_or([0.0; 2], |(since, points)| {
            std::array::from_fn(|index| {
                if now.saturating_sub(since) <= WINDOW_LENGTHS[index] {
                    points[index]
                } else {
                    0.0
                }
            })
        })
    }

    /// True when a call of `points` fits: the spending of both trailing windows stays within `share`, readings remain
    /// possible, and the allowance is not empty. `urgent` calls (readings, and brackets that clear a suspicion) may
    /// use the reserve and are not held up by the suspicion.
    #[must_use]
    pub fn admits(
        &mut self,
        points: f64,
        share: f64,
        reading: f64,
        urgent: bool,
        now: Duration,
    ) -> bool {
        self.ledger.expire(now);
        // What was taken for ours at a start can only be doubted by another reading.
        let overdue = self
            .reading
            .is_some_and(|last| now.saturating_sub(last.sent.at) >= LONGEST_POINTS);
        let assumed = if urgent && overdue && points <= reading {
            [0.0; 2]
        } else {
            self.assumed(now)
        };
        let suspected = self
            .suspicion
            .as_ref()
            .map_or(0.0, |suspicion| suspicion.held(now));
        let held = if urgent {
            0.0
        } else {
            READINGS_IN_RESERVE * reading + suspected
        };
        Window::ALL.into_iter().all(|window| {
            let spent = self.ledger.window(window).sum() + assumed[window as usize];
            let left = self.reading.map_or(f64::INFINITY, |reading| {
                reading.remaining[window as usize] - self.sent_since_reading()
            });
            let recovered = self.reading.is_none_or(|reading| {
                now.saturating_sub(reading.sent.at) > WINDOW_LENGTHS[window as usize]
            });
            spent + points + held <= CAUTION * share * self.size(window)
                && (recovered || points <= left.max(0.0))
        })
    }

    /// Points a second that may be planned: the share of what others leave, and no more than the trailing windows
    /// bear.
    #[must_use]
    pub fn rate(&mut self, share: f64, reading: f64, now: Duration) -> f64 {
        self.ledger.expire(now);
        let assumed = self.assumed(now);
        let mut rate = f64::INFINITY;
        for window in Window::ALL {
            let index = window as usize;
            let length = WINDOW_LENGTHS[index].as_secs_f64();
            let size = self.size(window);
            let yielded = self.allowed(window, share) / length;
            let limit = share * size - assumed[index] - READINGS_IN_RESERVE * reading;
            let bearable = self.ledger.window(window).sustainable(limit, now);
            // Not nothing: what is left of a window is a matter for `admits`.
            rate = rate.min(yielded.min(bearable.max(0.05 * share * size / length)));
        }
        rate * MARGIN * self.brake.factor(now)
    }

    /// What the exporter allows itself in a window: its share of what others leave.
    #[must_use]
    pub fn allowed(&self, window: Window, share: f64) -> f64 {
        share * (self.size(window) - self.yielded(window)).max(0.0)
    }

    /// Points of a window that are left to others. Other shards are held to their share, and are no others up to that.
    #[must_use]
    pub fn yielded(&self, window: Window) -> f64 {
        (self.others[window as usize] - self.siblings * self.size(window)).max(0.0)
    }

    /// The other shards may spend another part from now on.
    pub fn set_siblings(&mut self, siblings: f64) {
        self.siblings = siblings;
    }

    /// True while readings matter more than usual: little is left, or it falls for reasons not ours.
    #[must_use]
    pub fn needs_watching(&self, now: Duration) -> bool {
        let low = |window: Window| {
            self.reading.is_some_and(|reading| {
                reading.remaining[window as usize] - self.sent_since_reading()
                    < LOW * self.size(window)
            })
        };
        self.suspicion
            .as_ref()
            .is_some_and(|suspicion| suspicion.held(now) > 0.0)
            || Window::ALL.into_iter().any(low)
            || self.yielded(Window::Quarter) > 0.2 * self.size(Window::Quarter)
    }
}
