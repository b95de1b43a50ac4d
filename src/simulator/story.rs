//! Time in the simulated account, called the story.
//!
//! The story runs `scale` times as fast as the wall clock and in steps of one usage row. Step 0 ends the first row after
//! the start; steps before it are history, in which both clocks run at the same speed. A story with a past can be
//! simulated from some days before its start.

/// Seconds of the story that a usage row covers, at least.
pub const ROW_SECONDS: f64 = 300.0;

/// The two clocks of an account.
#[derive(Clone, Debug)]
pub struct Story {
    start: f64,
    scale: f64,
    /// Speed of everything else relative to transfer and its resets.
    lag: f64,
    /// Seconds before the start that are part of the story.
    past: f64,
    /// Wall time that does not count, because the story was halted.
    halted: f64,
    halted_since: Option<f64>,
}

impl Story {
    /// A story that starts at `now`, Unix seconds.
    pub fn new(now: f64, scale: f64) -> Self {
        Self {
            start: now.floor(),
            scale,
            lag: 1.0,
            past: 0.0,
            halted: 0.0,
            halted_since: None,
        }
    }

    /// Adds `past` seconds before the start.
    pub fn with_past(self, past: f64) -> Self {
        Self { past, ..self }
    }

    /// Makes transfer and its resets keep the pace of the wall clock.
    pub fn with_real_time_transfer(self) -> Self {
        Self {
            lag: self.scale,
            ..self
        }
    }

    /// The moment of transfer, in seconds since the start, at a moment of the story. In the past both are the same.
    pub fn transfer(&self, story_seconds: f64) -> f64 {
        if story_seconds < 0.0 {
            story_seconds
        } else {
            story_seconds / self.lag
        }
    }

    /// Seconds of transfer in a step.
    pub fn transfer_seconds_of(&self, step: i64) -> f64 {
        self.transfer(self.end_of(step)) - self.transfer(self.end_of(step - 1))
    }

    /// The wall time of a moment of transfer, in whole seconds.
    pub fn transfer_wall(&self, transfer_seconds: f64) -> i64 {
        let lag = if transfer_seconds < 0.0 {
            1.0
        } else {
            self.lag
        };
        self.wall(transfer_seconds * lag)
    }

    /// Seconds of the story since its start, negative in its past.
    pub fn elapsed(&self, now: f64) -> f64 {
        let now = self.halted_since.unwrap_or(now);
        let since_start = now - self.start - self.halted;
        if since_start < 0.0 {
            since_start.max(-self.past)
        } else {
            since_start * self.scale
        }
    }

    /// Seconds of the story since the beginning of its past.
    pub fn age(&self, now: f64) -> f64 {
        self.elapsed(now) + self.past
    }

    /// Halts the story, so that a test compares values that do not change, or resumes it.
    pub fn halt(&mut self, halt: bool, now: f64) {
        match (halt, self.halted_since) {
            (true, None) => self.halted_since = Some(now),
            (false, Some(since)) => {
                self.halted += now - since;
                self.halted_since = None;
            }
            _ => {}
        }
    }

    /// Seconds of the story in a step from the start on: rows are at least a second apart on the wall clock.
    pub fn step_seconds(&self) -> f64 {
        ROW_SECONDS.max(self.scale)
    }

    /// Seconds of the story in any step.
    pub fn seconds_of(&self, step: i64) -> f64 {
        if step < 0 {
            ROW_SECONDS
        } else {
            self.step_seconds()
        }
    }

    /// The moment of the story at which a step ends.
    #[expect(clippy::cast_precision_loss, reason = "steps are few")]
    pub fn end_of(&self, step: i64) -> f64 {
        (step + 1) as f64 * self.seconds_of(step)
    }

    /// The last step that is over.
    #[expect(clippy::cast_possible_truncation, reason = "whole steps are meant")]
    pub fn last_step(&self, now: f64) -> i64 {
        let elapsed = self.elapsed(now);
        let step = if elapsed < 0.0 {
            ROW_SECONDS
        } else {
            self.step_seconds()
        };
        (elapsed / step).floor() as i64 - 1
    }

    /// The wall time of a moment of the story, in whole seconds.
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds are meant")]
    pub fn wall(&self, story_seconds: f64) -> i64 {
        let since_start = if story_seconds <= 0.0 {
            story_seconds
        } else {
            self.halted + story_seconds / self.scale
        };
        (self.start + since_start).round() as i64
    }

    /// Converts seconds of the wall clock to seconds of the story.
    pub fn story_seconds(&self, wall_seconds: f64) -> f64 {
        wall_seconds * self.scale
    }

    /// The wall time of a step's row. Rows of the past are a second early, so that none has the time of the start.
    pub fn row_time(&self, step: i64) -> i64 {
        self.wall(self.end_of(step)) - i64::from(step < 0)
    }

    /// The hour of the day of transfer at a step, 0 to 24.
    pub fn hour(&self, step: i64) -> f64 {
        (self.transfer(self.end_of(step - 1)) / 3600.0).rem_euclid(24.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_scale_compresses_the_story_but_not_timestamps() {
        let story = Story::new(1_790_000_000.0, 60.0);
        assert_eq!(story.last_step(1_790_000_004.9), -1);
        assert_eq!(story.last_step(1_790_000_005.0), 0);
        assert_eq!(story.row_time(0), 1_790_000_005);
        assert_eq!(story.row_time(-1), 1_789_999_999);
        assert_eq!(story.row_time(-2), 1_789_999_699);
    }

    #[test]
    fn real_time_transfer_ignores_the_time_scale() {
        let story = Story::new(1_790_000_000.0, 60.0).with_real_time_transfer();
        assert!((story.transfer_seconds_of(5) - 5.0).abs() < 1e-9);
        assert!((story.transfer_seconds_of(-5) - 300.0).abs() < 1e-9);
        assert!((story.transfer(7200.0) - 120.0).abs() < 1e-9);
        assert_eq!(story.transfer_wall(86_400.0), 1_790_086_400);
        assert_eq!(story.transfer_wall(-86_400.0), 1_789_913_600);
        let accelerated = Story::new(1_790_000_000.0, 60.0);
        assert_eq!(accelerated.transfer_wall(86_400.0), 1_790_001_440);
    }

    #[test]
    fn a_halted_story_resumes_without_losing_steps() {
        let mut story = Story::new(1000.0, 2.0);
        story.halt(true, 1010.0);
        assert!((story.elapsed(2000.0) - 20.0).abs() < 1e-9);
        story.halt(false, 2000.0);
        assert!((story.elapsed(2001.0) - 22.0).abs() < 1e-9);
        assert_eq!(story.row_time(-1), 999, "the past does not move");
    }

    #[test]
    fn the_past_runs_in_real_time_and_the_story_at_its_scale() {
        let story = Story::new(1_790_000_000.0, 60.0).with_past(86_400.0);
        let at = |now| (story.elapsed(now), story.age(now), story.last_step(now));
        assert_eq!(at(1_789_900_000.0), (-86_400.0, 0.0, -289));
        assert_eq!(at(1_789_999_400.0), (-600.0, 85_800.0, -3));
        assert_eq!(at(1_789_999_999.0), (-1.0, 86_399.0, -2));
        assert_eq!(at(1_790_000_000.0), (0.0, 86_400.0, -1));
        assert_eq!(at(1_790_000_010.0), (600.0, 87_000.0, 1));
    }
}
