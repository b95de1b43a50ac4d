//! One simulated VPS: what it is, and what happens to it step by step.

use super::story::{HISTORY, Story, noise};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
const DAY: f64 = 86_400.0;
/// The vendor lifts a CPU throttle after two hours.
const THROTTLE_SECONDS: f64 = 2.0 * 3600.0;
/// Rows in a row with a busy CPU that lead to throttling.
const HOT_ROWS: u32 = 6;
/// Most rows kept: two months at one in five minutes.
const MOST_ROWS: usize = 17_280;

/// What kind of life a VPS has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Character {
    /// A KVM without trouble.
    Healthy,
    /// Its allowance will be used up in about two days.
    NearAllowance,
    /// A busy CPU: throttled, well for a while, throttled again.
    Throttled,
    /// Off.
    Stopped,
    /// Suspended because its allowance is used up.
    UsedUp,
    /// One long task after the other.
    Locked,
    /// An OpenVZ container.
    OpenVz,
    /// Its owner has a wrong key.
    WrongKey,
}

/// One usage row.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub timestamp: i64,
    pub cpu_percent: u64,
    pub network_in: u64,
    pub network_out: u64,
    pub disk_read: u64,
    pub disk_written: u64,
}

/// A snapshot of a disk.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub created: i64,
    pub size: u64,
    pub uncompressed: u64,
    pub sticky: bool,
    pub description: String,
}

/// A VPS and its state.
#[derive(Clone, Debug)]
pub struct Vps {
    pub name: String,
    pub veid: u64,
    pub key: String,
    pub key_handed_out: String,
    pub character: Character,
    pub monthly_data: u64,
    pub multiplier: f64,
    pub data_counter: u64,
    /// Story seconds.
    pub next_reset: f64,
    pub ram: u64,
    pub swap: u64,
    pub disk: u64,
    pub disk_used: u64,
    pub running: bool,
    /// Story seconds until which a start takes.
    pub starting_until: f64,
    pub suspended: bool,
    /// Story seconds until which the CPU is throttled.
    pub throttled_until: f64,
    pub suspensions: u64,
    pub snapshots: Vec<Snapshot>,
    pub rows: Vec<Row>,
    seed: u64,
    next_step: i64,
    hot_rows: u32,
}

impl Vps {
    /// A VPS with two days of history.
    pub fn new(
        name: String,
        veid: u64,
        character: Character,
        seed: u64,
        story: &Story,
        now: f64,
    ) -> Self {
        let openvz = character == Character::OpenVz;
        let disk = if openvz { 10 * GIB } else { 20 * GIB };
        let key = key_of(seed, veid);
        let monthly_data = 1000 * GIB;
        let share = match character {
            Character::NearAllowance => 0.93,
            Character::UsedUp => 1.002,
            _ => 0.1 + 0.4 * noise(seed, veid, 0, 1),
        };
        let mut vps = Self {
            name,
            veid,
            key_handed_out: if character == Character::WrongKey {
                key_of(seed, veid ^ 0xFFFF)
            } else {
                key.clone()
            },
            key,
            character,
            monthly_data,
            // One of the demo is in a place where traffic counts half.
            multiplier: if veid % 8 == 2 { 0.5 } else { 1.0 },
            data_counter: scaled(monthly_data, share),
            next_reset: (5.0 + 20.0 * noise(seed, veid, 0, 2)) * DAY,
            ram: if openvz { 512 * MIB } else { 1024 * MIB },
            swap: if openvz { 64 * MIB } else { 256 * MIB },
            disk,
            disk_used: scaled(disk, 0.2 + 0.5 * noise(seed, veid, 0, 3)) / 1024 * 1024,
            running: !matches!(character, Character::Stopped | Character::UsedUp),
            starting_until: f64::MIN,
            suspended: character == Character::UsedUp,
            throttled_until: f64::MIN,
            suspensions: u64::from(character == Character::UsedUp),
            snapshots: Vec::new(),
            rows: Vec::new(),
            seed,
            next_step: -HISTORY,
            hot_rows: 0,
        };
        let (counter, used) = (vps.data_counter, vps.disk_used);
        vps.advance(story, now);
        // History has moved both; the story begins with what was chosen.
        (vps.data_counter, vps.disk_used) = (counter, used);
        vps.snapshots.push(Snapshot {
            created: story.wall(0.0) - 7 * 86_400,
            size: vps.disk_used / 4,
            uncompressed: vps.disk_used,
            sticky: true,
            description: "before-upgrade".to_owned(),
        });
        vps
    }

    /// Lets everything happen that has happened by now.
    pub fn advance(&mut self, story: &Story, now: f64) {
        let last = story.last_step(now);
        while self.next_step <= last {
            self.step(story, self.next_step);
            self.next_step += 1;
        }
        let excess = self.rows.len().saturating_sub(MOST_ROWS);
        self.rows.drain(..excess);
    }

    #[expect(clippy::cast_precision_loss, reason = "steps are few")]
    fn step(&mut self, story: &Story, step: i64) {
        let ends = (step + 1) as f64 * story.step_seconds();
        if ends >= self.next_reset {
            self.next_reset += 30.0 * DAY;
            self.data_counter = 0;
            if self.suspended {
                self.suspended = false;
                self.running = true;
            }
        }
        let hot = self.running
            && self.character == Character::Throttled
            && (step as f64 * story.step_seconds() / 3600.0).rem_euclid(4.0) >= 3.0;
        let throttled = ends <= self.throttled_until;
        let cpu = match (self.running, throttled) {
            (false, _) => 0.0,
            (true, true) => 15.0 + 10.0 * self.noise(step, 4),
            (true, false) if hot => 92.0 + 8.0 * self.noise(step, 4),
            (true, false) => 3.0 + 20.0 * self.noise(step, 4),
        };
        self.hot_rows = if cpu > 90.0 { self.hot_rows + 1 } else { 0 };
        if self.hot_rows >= HOT_ROWS {
            self.throttled_until = ends + THROTTLE_SECONDS;
            self.hot_rows = 0;
        }
        // Most traffic in the evening, a third of it at dawn.
        let rhythm = 0.67 + 0.33 * ((story.hour(step) - 20.0) / 24.0 * std::f64::consts::TAU).cos();
        let rate = match self.character {
            Character::NearAllowance => 700_000.0,
            _ => 150_000.0,
        };
        let seconds = if step < 0 {
            300.0
        } else {
            story.step_seconds()
        };
        let traffic = if self.running {
            rate * rhythm * seconds
        } else {
            0.0
        };
        let row = Row {
            timestamp: story.row_time(step),
            cpu_percent: scaled(1, cpu),
            network_in: scaled(1, traffic * 0.4 * (0.5 + self.noise(step, 5))),
            network_out: scaled(1, traffic * 0.6 * (0.5 + self.noise(step, 6))),
            disk_read: scaled(1, seconds * cpu * 2000.0 * self.noise(step, 7)),
            disk_written: scaled(1, seconds * cpu * 4000.0 * self.noise(step, 8)),
        };
        self.data_counter += row.network_in + row.network_out;
        self.disk_used = (self.disk_used + row.disk_written / 2_048_000 * 1024).min(self.disk);
        self.rows.push(row);
        if !self.suspended && self.data_counter >= self.monthly_data && step >= 0 {
            self.suspended = true;
            self.suspensions += 1;
            self.running = false;
        }
    }

    fn noise(&self, step: i64, what: u64) -> f64 {
        noise(self.seed, self.veid, step, what)
    }

    /// How far the running task is, while one holds the VPS. Tasks take 55 minutes of every hour.
    pub fn lock_progress(&self, story_seconds: f64) -> Option<u64> {
        if self.character != Character::Locked {
            return None;
        }
        let into = story_seconds.rem_euclid(3600.0);
        (into < 3300.0).then(|| scaled(1, into / 33.0).min(99))
    }

    /// The word for the power state.
    pub fn status(&self, story_seconds: f64) -> &'static str {
        match (self.running, story_seconds < self.starting_until) {
            (false, _) => "stopped",
            (true, true) => "starting",
            (true, false) => "running",
        }
    }

    pub fn throttled(&self, story_seconds: f64) -> bool {
        self.running && story_seconds < self.throttled_until
    }

    /// Load averages of the guest.
    pub fn load(&self) -> [f64; 3] {
        let cpu = |rows: usize| {
            let recent = self.rows.iter().rev().take(rows);
            let (sum, count) = recent.fold((0, 0), |(sum, count), row| {
                (sum + row.cpu_percent, count + 1)
            });
            // Two decimals, as the kernel prints them.
            to_float((sum * 4).checked_div(count).unwrap_or_default()) / 100.0
        };
        [cpu(1), cpu(2), cpu(3)]
    }

    /// Bytes of memory that are free to use.
    pub fn memory_available(&self) -> u64 {
        scaled(self.ram, 0.3 + 0.3 * self.noise(self.next_step, 9)) / 4096 * 4096
    }

    /// Bytes of swap that are free.
    pub fn swap_free(&self) -> u64 {
        scaled(self.swap, 0.6 + 0.4 * self.noise(self.next_step / 12, 10)) / 4096 * 4096
    }

    /// Existing and runnable processes.
    pub fn processes(&self) -> (u64, u64) {
        (
            140 + scaled(60, self.noise(self.next_step, 11)),
            1 + scaled(3, self.noise(self.next_step, 12)),
        )
    }

    pub fn address(&self) -> String {
        format!("198.51.100.{}", self.veid % 254 + 1)
    }
}

/// A key in the shape of real ones.
fn key_of(seed: u64, veid: u64) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let letter = |position: i64| {
        let index =
            usize::try_from(scaled(1, noise(seed, veid, position, 13) * 61.99)).unwrap_or_default();
        char::from(LETTERS[index % LETTERS.len()])
    };
    let letters: String = (0..24).map(letter).collect();
    format!("private_{letters}")
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "factors are positive and results far below 2^53"
)]
fn scaled(value: u64, factor: f64) -> u64 {
    (to_float(value) * factor) as u64
}

#[expect(clippy::cast_precision_loss, reason = "values are far below 2^53")]
fn to_float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: f64 = 1_790_000_000.0;

    fn vps(character: Character) -> (Vps, Story) {
        let story = Story::new(START, 60.0);
        let vps = Vps::new("x".to_owned(), 1_000_001, character, 7, &story, START);
        (vps, story)
    }

    /// `hours` of the story, in wall time.
    fn after(hours: f64) -> f64 {
        START + hours * 60.0
    }

    #[test]
    fn the_same_seed_makes_the_same_vps() {
        let (mut a, story) = vps(Character::Healthy);
        let (mut b, _) = vps(Character::Healthy);
        a.advance(&story, after(10.0));
        for minutes in 1..=600 {
            b.advance(&story, START + f64::from(minutes));
        }
        assert_eq!(format!("{a:?}"), format!("{b:?}"));
        assert_eq!(a.key.len(), 32);
    }

    #[test]
    fn rows_are_history_and_then_go_with_the_story() {
        let (mut vps, story) = vps(Character::Healthy);
        assert_eq!(vps.rows.len(), 576);
        vps.advance(&story, after(1.0));
        assert_eq!(vps.rows.len(), 576 + 12);
        assert!(vps.rows.is_sorted_by_key(|row| row.timestamp));
        assert_eq!(vps.rows[575].timestamp, 1_790_000_000);
        assert_eq!(vps.rows[587].timestamp, 1_790_000_060);
    }

    #[test]
    fn a_busy_cpu_is_throttled_for_two_hours_again_and_again() {
        let (mut vps, story) = vps(Character::Throttled);
        assert!(vps.throttled(0.0), "it starts so");
        let mut changes = Vec::new();
        let mut before = true;
        for minute in 0..(24 * 60) {
            let hours = f64::from(minute) / 60.0;
            vps.advance(&story, after(hours));
            let throttled = vps.throttled(hours * 3600.0);
            if throttled != before {
                changes.push(hours);
                before = throttled;
            }
        }
        assert!(changes.len() >= 8, "{changes:?}");
        for pair in changes[1..].chunks_exact(2) {
            assert!((pair[1] - pair[0] - 2.0).abs() < 0.1, "{changes:?}");
        }
    }

    #[test]
    fn a_used_up_allowance_suspends_until_the_reset() {
        let (mut vps, story) = vps(Character::NearAllowance);
        assert!(!vps.suspended);
        vps.advance(&story, after(4.0 * 24.0));
        assert!(vps.suspended && !vps.running && vps.data_counter >= vps.monthly_data);
        vps.advance(&story, START + vps.next_reset / 60.0 + 10.0);
        assert!(!vps.suspended && vps.running && vps.data_counter < vps.monthly_data / 100);
    }

    #[test]
    fn a_task_proceeds_and_the_next_one_follows() {
        let (vps, _) = vps(Character::Locked);
        assert_eq!(vps.lock_progress(0.0), Some(0));
        assert_eq!(vps.lock_progress(1650.0), Some(50));
        assert_eq!(vps.lock_progress(3400.0), None);
        assert_eq!(vps.lock_progress(3600.0), Some(0));
    }
}
