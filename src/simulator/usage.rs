//! Usage rows. Rows of the past depend only on the seed and are computed on demand, so weeks of them take no memory.
//! Rows since the beginning of the story depend on events and are kept.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::fmt::Write as _;

use super::noise::{mix, noise, scaled};
use super::story::{ROW_SECONDS, Story};
use super::vps::Character;

/// Rows returned at most, unless the history at the start was longer: two months at one in five minutes.
const MOST_ROWS: i64 = 17_280;
/// Mean traffic of a day relative to its busiest time.
pub const MEAN_RHYTHM: f64 = 0.67;
/// Mean bytes a second that a VPS writes to its disk at its usual pace.
pub const USUAL_WRITTEN: f64 = 13.0 * 4000.0 * 0.5;
/// Rows of an hour of the past.
const HOUR: i64 = 12;
/// The step at which a VPS that starts suspended was suspended: three days before the start.
const SUSPENDED_SINCE: i64 = -72 * HOUR;
/// Age below which the fault `late_rows` hides rows, in seconds.
const LATE_SECONDS: f64 = 7200.0;

/// One usage row: totals of the interval that ends at `timestamp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrafficRow {
    pub timestamp: i64,
    pub cpu_percent: u64,
    pub network_in: u64,
    pub network_out: u64,
    pub disk_read: u64,
    pub disk_written: u64,
}

impl TrafficRow {
    fn write(&self, json: &mut String) {
        // Writing to a String does not fail.
        let _ = write!(
            json,
            "{{\"timestamp\":{},\"cpu_usage\":{},\"network_in_bytes\":{},\"network_out_bytes\":{},\"disk_read_bytes\":{},\"disk_write_bytes\":{}}}",
            self.timestamp,
            self.cpu_percent,
            self.network_in,
            self.network_out,
            self.disk_read,
            self.disk_written
        );
    }
}

/// A list of rows as JSON, written directly: there are thousands of them.
pub fn rows_json(rows: &[TrafficRow]) -> String {
    let mut json = String::with_capacity(rows.len() * 150 + 2);
    json.push('[');
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        row.write(&mut json);
    }
    json.push(']');
    json
}

/// Sums over rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficTotals {
    pub rows: u64,
    pub network_in: u64,
    pub network_out: u64,
    pub disk_read: u64,
    pub disk_written: u64,
}

impl TrafficTotals {
    fn add(mut self, row: &TrafficRow) -> Self {
        self.rows += 1;
        self.network_in += row.network_in;
        self.network_out += row.network_out;
        self.disk_read += row.disk_read;
        self.disk_written += row.disk_written;
        self
    }
}

/// Activity of a VPS during a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VpsActivity {
    /// It is off.
    Off,
    /// Its CPU is throttled.
    Throttled,
    /// Its CPU is busy enough to be throttled soon.
    Busy,
    /// The activity of most rows.
    Usual,
}

/// The rows of one VPS.
#[derive(Clone, Debug)]
pub struct Usage {
    seed: u64,
    veid: u64,
    character: Character,
    /// Bytes a second at the busiest time of a day.
    pub rate: f64,
    most: i64,
    /// The oldest step that is still returned.
    first: i64,
    /// The step with which the story begins: 0 unless it has a past.
    began: i64,
    /// The step that comes next.
    next: i64,
    /// The rows of the steps since the beginning that are still returned.
    kept: VecDeque<TrafficRow>,
    /// Totals of the steps before the beginning that are still returned.
    past: OnceCell<TrafficTotals>,
}

impl Usage {
    /// A history of `past_rows` rows that ends at the start.
    pub fn new(seed: u64, veid: u64, character: Character, rate: f64, past_rows: i64) -> Self {
        Self {
            seed,
            veid,
            character,
            rate,
            most: past_rows.max(MOST_ROWS),
            first: -past_rows,
            began: 0,
            next: 0,
            kept: VecDeque::new(),
            past: OnceCell::new(),
        }
    }

    /// Begins `steps` earlier. Until step 0 the number of rows stays that of the start.
    pub fn begin_earlier(&mut self, steps: i64) {
        self.first -= steps;
        self.began -= steps;
        self.next -= steps;
    }

    /// The step that comes next.
    pub const fn next_step(&self) -> i64 {
        self.next
    }

    /// Makes the row of the next step and keeps it.
    pub fn push(&mut self, story: &Story, activity: VpsActivity) -> TrafficRow {
        let row = self.make(story, self.next, activity);
        self.kept.push_back(row);
        self.next += 1;
        if self.next <= 0 || self.next - self.first > self.most {
            if self.first < self.began {
                self.past = OnceCell::new();
            } else {
                self.kept.pop_front();
            }
            self.first += 1;
        }
        row
    }

    /// All rows, oldest first.
    pub fn rows(&self, story: &Story) -> Vec<TrafficRow> {
        (self.first..self.next)
            .filter_map(|step| self.row(story, step))
            .collect()
    }

    /// All rows in random order, one in ten of them twice.
    pub fn shuffled_rows(&self, story: &Story) -> Vec<TrafficRow> {
        let chance = |step: i64, purpose| mix(self.seed, self.veid, step, purpose);
        let mut rows: Vec<_> = (self.first..self.next)
            .filter_map(|step| Some((step, self.row(story, step)?)))
            .flat_map(|(step, row)| {
                let twice = chance(step, 22).is_multiple_of(10);
                let again = twice.then(|| (chance(step, 23), row));
                std::iter::once((chance(step, 24), row)).chain(again)
            })
            .collect();
        rows.sort_unstable_by_key(|(position, _)| *position);
        rows.into_iter().map(|(_, row)| row).collect()
    }

    /// All rows except every third of the last two hours. The same rows are missing in every call.
    pub fn rows_without_late_ones(&self, story: &Story, now: f64) -> Vec<TrafficRow> {
        let late_from = unix_seconds(now - LATE_SECONDS);
        (self.first..self.next)
            .filter_map(|step| Some((step, self.row(story, step)?)))
            .filter(|(step, row)| row.timestamp <= late_from || step.rem_euclid(3) != 0)
            .map(|(_, row)| row)
            .collect()
    }

    /// The last `count` rows, newest first.
    pub fn newest<'a>(
        &'a self,
        story: &'a Story,
        count: usize,
    ) -> impl Iterator<Item = TrafficRow> + 'a {
        (self.first..self.next)
            .rev()
            .filter_map(|step| self.row(story, step))
            .take(count)
    }

    /// The rows of the last `seconds`, oldest first.
    pub fn last(&self, story: &Story, now: f64, seconds: f64) -> Vec<TrafficRow> {
        let from = unix_seconds(now - seconds);
        let mut rows: Vec<_> = self
            .newest(story, usize::MAX)
            .take_while(|row| row.timestamp > from)
            .collect();
        rows.reverse();
        rows
    }

    /// The sums over all rows.
    pub fn totals(&self, story: &Story) -> TrafficTotals {
        let past = self.past.get_or_init(|| {
            (self.first..self.began)
                .map(|step| self.past_row(story, step))
                .fold(TrafficTotals::default(), |totals, row| totals.add(&row))
        });
        self.kept.iter().fold(*past, TrafficTotals::add)
    }

    fn row(&self, story: &Story, step: i64) -> Option<TrafficRow> {
        if step < self.began {
            return Some(self.past_row(story, step));
        }
        let index = usize::try_from(step - self.first.max(self.began)).ok()?;
        self.kept.get(index).copied()
    }

    fn past_row(&self, story: &Story, step: i64) -> TrafficRow {
        let activity = match self.character {
            Character::Stopped => VpsActivity::Off,
            Character::UsedUp if step >= SUSPENDED_SINCE => VpsActivity::Off,
            // The same as in [`super::vps`] for a CPU that is busy in the fourth hour of every four.
            Character::Throttled => match step.rem_euclid(4 * HOUR) {
                36..42 => VpsActivity::Busy,
                0..18 | 42.. => VpsActivity::Throttled,
                _ => VpsActivity::Usual,
            },
            _ => VpsActivity::Usual,
        };
        self.make(story, step, activity)
    }

    fn make(&self, story: &Story, step: i64, activity: VpsActivity) -> TrafficRow {
        let chance = |purpose| noise(self.seed, self.veid, step, purpose);
        let cpu = match activity {
            VpsActivity::Off => 0.0,
            VpsActivity::Throttled => 15.0 + 10.0 * chance(4),
            VpsActivity::Busy => 92.0 + 8.0 * chance(4),
            VpsActivity::Usual => 3.0 + 20.0 * chance(4),
        };
        // Most traffic in the evening, a third of it at dawn.
        let rhythm = MEAN_RHYTHM + 0.33 * cosine((story.hour(step) - 20.0) / 24.0);
        let rate = match activity {
            VpsActivity::Off => 0.0,
            _ => self.rate,
        };
        let seconds = story.seconds_of(step);
        let traffic = rate * rhythm * story.transfer_seconds_of(step);
        // Some rows in recordings are a second off.
        let jitter = i64::from(step < 0 && mix(self.seed, self.veid, step, 14).is_multiple_of(4));
        TrafficRow {
            timestamp: story.row_time(step) - jitter,
            cpu_percent: scaled(1, cpu),
            network_in: scaled(1, traffic * 0.4 * (0.5 + chance(5))),
            network_out: scaled(1, traffic * 0.6 * (0.5 + chance(6))),
            disk_read: scaled(1, seconds * cpu * 2000.0 * chance(7)),
            disk_written: scaled(1, seconds * cpu * 4000.0 * chance(8)),
        }
    }
}

/// Approximate cosine of an angle in turns. The exact function would link the math library.
fn cosine(turns: f64) -> f64 {
    // Distance from the nearest peak, in turns.
    let distance = (turns - turns.round()).abs();
    let quarter = |turns: f64| (1.0 - 16.0 * turns * turns) / (1.0 + 4.0 * turns * turns);
    if distance <= 0.25 {
        quarter(distance)
    } else {
        -quarter(0.5 - distance)
    }
}

/// Number of rows in a part of the past.
#[expect(clippy::cast_possible_truncation, reason = "whole rows are meant")]
pub fn rows_in(seconds: f64) -> i64 {
    (seconds / ROW_SECONDS).floor() as i64
}

#[expect(clippy::cast_possible_truncation, reason = "whole seconds are meant")]
fn unix_seconds(seconds: f64) -> i64 {
    seconds.floor() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: f64 = 1_790_000_000.0;

    fn usage(character: Character) -> (Usage, Story) {
        let story = Story::new(START, 300.0);
        (Usage::new(7, 1_000_001, character, 150_000.0, 4032), story)
    }

    #[test]
    fn the_approximate_cosine_is_close() {
        for hour in -48_i32..48 {
            let turns = f64::from(hour) / 24.0;
            let exact = (turns * std::f64::consts::TAU).cos();
            assert!((cosine(turns) - exact).abs() < 0.002, "{hour}");
        }
    }

    fn sums(rows: &[TrafficRow]) -> TrafficTotals {
        rows.iter()
            .fold(TrafficTotals::default(), TrafficTotals::add)
    }

    #[test]
    fn two_weeks_of_history_take_no_memory() {
        let (usage, story) = usage(Character::Healthy);
        let rows = usage.rows(&story);
        assert_eq!(rows.len(), 4032);
        assert!(usage.kept.is_empty());
        assert!(rows.last().expect("there are rows").timestamp < 1_790_000_000);
        for pair in rows.windows(2) {
            let seconds = pair[1].timestamp - pair[0].timestamp;
            assert!((299..=301).contains(&seconds), "{seconds}");
        }
        assert_eq!(rows, usage.rows(&story), "the past does not change");
        assert_eq!(usage.last(&story, START, 86_400.0).len(), 288);
    }

    #[test]
    fn totals_match_the_rows_after_the_oldest_are_dropped() {
        let (mut usage, story) = usage(Character::Healthy);
        usage.most = 4040;
        for _ in 0..4100 {
            usage.push(&story, VpsActivity::Usual);
            if usage.next % 50 < 3 {
                let rows = usage.rows(&story);
                assert_eq!(
                    rows.len(),
                    usize::try_from(4032 + usage.next).unwrap().min(4040)
                );
                assert_eq!(usage.totals(&story), sums(&rows));
                assert_eq!(usage.newest(&story, 1).next(), rows.last().copied());
            }
        }
    }

    #[test]
    fn shuffled_rows_are_the_same_rows_with_duplicates() {
        let (usage, story) = usage(Character::Healthy);
        let mut shuffled = usage.shuffled_rows(&story);
        assert!(!shuffled.is_sorted_by_key(|row| row.timestamp));
        assert!((4300..4600).contains(&shuffled.len()), "{}", shuffled.len());
        shuffled.sort_by_key(|row| row.timestamp);
        shuffled.dedup();
        assert_eq!(shuffled, usage.rows(&story));
    }

    #[test]
    fn hides_every_third_row_of_the_last_two_hours() {
        let (usage, story) = usage(Character::Healthy);
        assert_eq!(usage.rows_without_late_ones(&story, START).len(), 4032 - 8);
        assert_eq!(
            usage.rows_without_late_ones(&story, START + 3600.0).len(),
            4032 - 4
        );
        assert_eq!(
            usage.rows_without_late_ones(&story, START + 7200.0).len(),
            4032
        );
    }

    #[test]
    fn the_history_matches_the_character() {
        let (usage, story) = usage(Character::UsedUp);
        let rows = usage.rows(&story);
        let idle = rows.iter().filter(|row| row.network_in == 0).count();
        assert_eq!(idle, 3 * 288);
        let (usage, story) = self::usage(Character::Throttled);
        let busy = |row: &&TrafficRow| row.cpu_percent > 90;
        assert_eq!(usage.rows(&story).iter().filter(busy).count(), 4032 / 8);
    }
}
