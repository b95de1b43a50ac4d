//! A bracket: a reading, one call, a reading, while nothing else is sent to the same allowance.

use std::time::Duration;

use super::allowance::Remaining;
use super::lag::{Lag, Look, SILENCE};
use crate::kiwivm::{Call, Veid};

/// About as long as a live call takes.
const CONTROL: Duration = Duration::from_secs(3);
/// No call that is measured takes longer, usually; so the silences after calls and controls are of one length, and what
/// a sliding window gives back meanwhile is the same on average.
const USUAL_CALL: Duration = Duration::from_secs(5);
/// What a sliding window gives back during a bracket is at most this much more than expected.
const HIGHEST_RISE: f64 = -3.0;
/// And during a silence.
const HIGHEST_RISE_IN_SILENCE: f64 = -12.0;
/// A bracket that takes longer is given up.
const LONGEST: Duration = Duration::from_secs(150);
/// A silence in which the points fell by less than this beyond a reading was one.
const QUIET: f64 = 4.0;
/// A call and a reading that show less than this at once are not counted yet.
const SEEN: f64 = 1.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Before,
    Control,
    Call,
    After,
    /// A second control, when others may be at work.
    LastControl,
    /// Two silences, when a call seems to cost nothing: a lagging counter falls in the first of them only, another
    /// client in both.
    FirstSilence,
    SecondSilence,
}

/// What a bracket showed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lesson {
    /// Drops over the call, a reading included unless there were silences, and over the control.
    pub drops: Vec<(Call, f64)>,
    /// Whether the counter lags, if that was tried.
    pub look: Option<Look>,
    /// The larger drop of the controls.
    pub control: Option<f64>,
}

/// How carefully a bracket measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// The call alone.
    Call,
    /// A control before it.
    Control,
    /// As long a control before it and after it as the call takes: others may be at work.
    Guarded,
    /// No measure, but a look at whether the counter lags as is believed: a reading as soon as the call is over.
    Glance,
}

/// A bracket under way.
#[derive(Clone, Debug)]
pub struct Bracket {
    /// On which VPS.
    pub veid: Veid,
    /// Which call it measures.
    pub call: Call,
    stage: Stage,
    care: Care,
    lag: Lag,
    /// What a reading is known to cost.
    reading: f64,
    last: Option<Remaining>,
    last_at: Duration,
    not_before: Duration,
    until: Duration,
    lesson: Lesson,
    first_silence: f64,
    /// True while one of its calls is in flight.
    pub in_flight: bool,
}

impl Bracket {
    /// A bracket around `call`, `last_sent` being when anything was last sent to the allowance.
    #[must_use]
    pub fn new(
        (veid, call): (Veid, Call),
        care: Care,
        (lag, reading): (Lag, f64),
        last_sent: Option<Duration>,
        now: Duration,
    ) -> Self {
        Self {
            veid,
            call,
            stage: Stage::Before,
            care,
            lag,
            reading,
            last: None,
            last_at: now,
            not_before: last_sent.map_or(now, |sent| sent + lag.silence()),
            until: now + LONGEST,
            lesson: Lesson::default(),
            first_silence: 0.0,
            in_flight: false,
        }
    }

    /// The next call and the time before which it must not be sent.
    #[must_use]
    pub fn next(&self) -> (Call, Duration) {
        let call = if self.stage == Stage::Call {
            self.call
        } else {
            Call::RateLimitStatus
        };
        (call, self.not_before)
    }

    /// True when it has taken too long.
    #[must_use]
    pub fn expired(&self, now: Duration) -> bool {
        !self.in_flight && now >= self.until
    }

    /// Takes in what came of the call: a reading for the stages that read. The lesson, when that was the last.
    /// None of it is of use after a failure, which the caller sees to.
    pub fn advance(&mut self, reading: Option<Remaining>, now: Duration) -> Option<Lesson> {
        self.in_flight = false;
        self.not_before = now;
        let fall = match (self.last, reading) {
            (Some(before), Some(after)) => Some(fall_between(before, after)),
            _ => None,
        };
        if reading.is_some() {
            self.last = reading;
            self.last_at = now;
        }
        match self.stage {
            Stage::Before if matches!(self.care, Care::Control | Care::Guarded) => {
                self.stage = Stage::Control;
                self.wait_for_control(now);
            }
            Stage::Before => self.stage = Stage::Call,
            Stage::Control => {
                self.note_control(fall);
                self.stage = Stage::Call;
            }
            Stage::Call => {
                self.stage = Stage::After;
                if self.lag.known() && self.care != Care::Glance {
                    self.not_before = (now + SILENCE).max(self.last_at + SILENCE + USUAL_CALL);
                }
            }
            Stage::After if self.care == Care::Glance => {
                self.lesson.look = fall.map(|fall| {
                    if fall < SEEN {
                        Look::Lags
                    } else {
                        Look::IsPrompt
                    }
                });
                return Some(std::mem::take(&mut self.lesson));
            }
            Stage::After => {
                self.note_call(fall);
                let nothing = fall.is_some_and(|fall| fall >= 0.0 && fall - self.reading < 0.5);
                if nothing && self.lag.undecided() {
                    self.stage = Stage::FirstSilence;
                    self.not_before = now + SILENCE;
                } else if self.care == Care::Guarded {
                    self.stage = Stage::LastControl;
                    self.wait_for_control(now);
                } else {
                    return Some(std::mem::take(&mut self.lesson));
                }
            }
            Stage::LastControl => {
                self.note_control(fall);
                return Some(std::mem::take(&mut self.lesson));
            }
            Stage::FirstSilence => {
                self.first_silence = fall.unwrap_or(0.0);
                self.stage = Stage::SecondSilence;
                self.not_before = now + SILENCE;
            }
            Stage::SecondSilence => {
                let second = fall.unwrap_or(self.first_silence);
                let lags = self.first_silence - second >= 0.5 && second >= 0.0;
                self.lesson.look = Some(if lags {
                    Look::Lags
                } else if second < self.reading + QUIET {
                    Look::IsPrompt
                } else {
                    Look::WasDisturbed
                });
                return Some(std::mem::take(&mut self.lesson));
            }
        }
        None
    }

    /// A window that began anew in between makes a higher rise; such a drop tells nothing.
    const fn highest_rise(&self) -> f64 {
        if self.lag.known() {
            HIGHEST_RISE_IN_SILENCE
        } else {
            HIGHEST_RISE
        }
    }

    /// Over a silence, yesterday's own spending gives back more than a call costs, and reckoned at yesterday's prices
    /// it would confirm them: there, the call is what it fell by more than a control as long.
    fn note_call(&mut self, fall: Option<f64>) {
        let control = if self.lag.known() {
            self.lesson.control
        } else {
            Some(0.0)
        };
        let more = fall
            .zip(control)
            .map(|(fall, control)| fall - control)
            .filter(|_| fall.is_some_and(|fall| fall >= self.highest_rise()));
        self.lesson.drops.extend(more.map(|more| (self.call, more)));
    }

    fn note_control(&mut self, fall: Option<f64>) {
        let Some(fall) = fall.filter(|fall| *fall >= self.highest_rise()) else {
            return;
        };
        self.lesson.control = Some(self.lesson.control.map_or(fall, |before| before.max(fall)));
        self.lesson.drops.push((Call::RateLimitStatus, fall));
    }

    fn wait_for_control(&mut self, now: Duration) {
        if self.lag.known() {
            self.not_before = now + SILENCE + USUAL_CALL;
        } else if self.care == Care::Guarded {
            self.not_before = now + CONTROL;
        }
    }
}

/// The larger drop of the two windows: what expires or begins anew in one of them hides a part there.
#[must_use]
pub fn fall_between(before: Remaining, after: Remaining) -> f64 {
    (before[0] - after[0]).max(before[1] - after[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: Call = Call::LiveServiceInfo;

    /// An account whose counter is read `lag` late.
    struct Account {
        spent: Vec<(f64, f64)>,
        lag: f64,
        /// Points a second that others spend, and since when.
        others: f64,
        others_since: f64,
    }

    impl Account {
        fn remaining(&self, now: f64) -> Remaining {
            let seen: f64 = self
                .spent
                .iter()
                .filter(|(at, _)| at + self.lag <= now)
                .map(|(_, points)| points)
                .sum();
            let others = self.others * (now - self.others_since).max(0.0);
            let left = (1000.0 - seen - others).floor();
            [left, left + 19_000.0]
        }
    }

    fn measure(care: Care, lag: Lag, account: &mut Account, live: f64) -> (Vec<Call>, Lesson) {
        let begin = Duration::from_secs(100);
        let mut bracket = Bracket::new((Veid(1), LIVE), care, (lag, 1.0), Some(begin), begin);
        let (mut now, mut calls) = (begin, Vec::new());
        loop {
            let (call, not_before) = bracket.next();
            now = now.max(not_before) + Duration::from_millis(200);
            let at = now.as_secs_f64();
            calls.push(call);
            let reading = (call == Call::RateLimitStatus).then(|| account.remaining(at));
            account
                .spent
                .push((at, if call == LIVE { live } else { 1.0 }));
            if let Some(lesson) = bracket.advance(reading, now) {
                return (calls, lesson);
            }
        }
    }

    fn quiet(lag: f64) -> Account {
        Account {
            spent: Vec::new(),
            lag,
            others: 0.0,
            others_since: 0.0,
        }
    }

    #[test]
    fn a_reading_the_call_a_reading() {
        let reading = Call::RateLimitStatus;
        let (calls, lesson) = measure(Care::Call, Lag::default(), &mut quiet(0.0), 20.0);
        assert_eq!(calls, [reading, LIVE, reading]);
        assert_eq!(lesson.drops, [(LIVE, 21.0)]);
        assert_eq!((lesson.look, lesson.control), (None, None));
    }

    #[test]
    fn a_control_is_two_readings_in_a_row() {
        let (_, lesson) = measure(Care::Control, Lag::default(), &mut quiet(0.0), 20.0);
        assert_eq!(lesson.drops, [(Call::RateLimitStatus, 1.0), (LIVE, 21.0)]);
    }

    #[test]
    fn guards_show_that_others_are_at_work() {
        let mut account = quiet(0.0);
        account.others = 5.0;
        let (calls, lesson) = measure(Care::Guarded, Lag::denied(), &mut account, 20.0);
        assert_eq!(calls.len(), 5);
        assert!(
            lesson.control.is_some_and(|control| control > 10.0),
            "{lesson:?}"
        );
    }

    #[test]
    fn a_call_that_seems_free_is_looked_at_twice_in_silence() {
        let (calls, lesson) = measure(Care::Call, Lag::default(), &mut quiet(0.0), 0.0);
        assert_eq!((calls.len(), lesson.look), (5, Some(Look::IsPrompt)));
        let (_, lesson) = measure(Care::Call, Lag::default(), &mut quiet(10.0), 20.0);
        assert_eq!(lesson.look, Some(Look::Lags));
    }

    #[test]
    fn another_client_is_not_taken_for_a_lag() {
        let mut account = quiet(0.0);
        account.others = 2.0;
        let (_, lesson) = measure(Care::Call, Lag::default(), &mut account, 0.0);
        assert_ne!(lesson.look, Some(Look::Lags));
    }

    #[test]
    fn others_who_begin_during_a_look_may_hide_a_lag() {
        let mut account = quiet(10.0);
        (account.others, account.others_since) = (4.0, 112.0);
        let (_, lesson) = measure(Care::Call, Lag::default(), &mut account, 20.0);
        assert_eq!(lesson.look, Some(Look::WasDisturbed));
    }

    #[test]
    fn a_counter_known_to_lag_is_read_after_silences() {
        let mut lag = Lag::default();
        lag.vote(Look::Lags);
        lag.vote(Look::Lags);
        let (_, lesson) = measure(Care::Control, lag, &mut quiet(10.0), 20.0);
        assert_eq!(lesson.drops, [(Call::RateLimitStatus, 1.0), (LIVE, 20.0)]);
    }

    #[test]
    fn a_glance_shows_whether_a_counter_known_to_lag_still_does() {
        let mut lag = Lag::default();
        lag.vote(Look::Lags);
        lag.vote(Look::Lags);
        let (calls, lesson) = measure(Care::Glance, lag, &mut quiet(10.0), 20.0);
        assert_eq!((calls.len(), lesson.look), (3, Some(Look::Lags)));
        let (_, lesson) = measure(Care::Glance, lag, &mut quiet(0.0), 20.0);
        assert_eq!(lesson.look, Some(Look::IsPrompt));
    }

    #[test]
    fn a_window_that_begins_anew_in_between_tells_nothing() {
        let begin = Duration::from_secs(100);
        let lag = Lag::denied();
        let mut bracket = Bracket::new((Veid(1), LIVE), Care::Call, (lag, 1.0), None, begin);
        assert_eq!(bracket.advance(Some([400.0, 9000.0]), begin), None);
        assert_eq!(bracket.advance(None, begin), None);
        let lesson = bracket.advance(Some([999.0, 19_999.0]), begin);
        assert_eq!(lesson.map(|lesson| lesson.drops), Some(Vec::new()));
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "whole numbers")]
    fn the_larger_drop_counts() {
        // The quarter began anew, the day did not.
        assert_eq!(fall_between([400.0, 9000.0], [999.0, 8979.0]), 21.0);
    }
}
