//! One simulated VPS: its state and the values that the API reports.

mod events;

use super::audit::{AuditKind, AuditTrail};
use super::cases::Cases;
use super::disk_copies::{DiskCopies, DiskImage};
use super::locations::{LOCATIONS, Location};
use super::network::Network;
use super::noise::{noise, scaled, to_float};
use super::past::PlannedEvent;
use super::settings::Settings;
use super::story::Story;
use super::task::{Task, TaskLock, Work};
use super::usage::{MEAN_RHYTHM, Usage};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
pub const DAY: f64 = 86_400.0;
/// Seconds between resets of the data counter.
pub const MONTH: f64 = 30.0 * DAY;
/// Time since the shutdown of a VPS that starts stopped.
const STOPPED_SINCE: f64 = 6.0 * DAY;
/// Time since the suspension of a VPS that starts suspended.
pub const SUSPENDED_SINCE: f64 = 3.0 * DAY;
/// Age of the policy case that is open at the start.
pub const WARNED_SINCE: f64 = 5.0 * 3600.0;
/// Deadline of this case, after the start.
const WARNED_UNTIL: f64 = 3.0 * DAY;
/// End of the throttling that a busy hour before the start led to.
const THROTTLED_AT_FIRST: f64 = 1.5 * 3600.0;
const GOLDEN_RATIO: f64 = 1.618_033_988_749_895;
const BOOT_SECONDS: f64 = 20.0;

/// Typical behaviour of a VPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Character {
    /// A KVM VPS without problems.
    Healthy,
    /// Its allowance will be used up in less than two days, and a policy case is open.
    NearAllowance,
    /// A busy CPU that is throttled again and again.
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

impl Character {
    /// Seconds for which a VPS has been off at the start.
    pub const fn off_since(self) -> f64 {
        match self {
            Self::Stopped => STOPPED_SINCE,
            Self::UsedUp => SUSPENDED_SINCE,
            _ => 0.0,
        }
    }
}

/// Transfer at the start.
struct Transfer {
    /// The share of the allowance that is used.
    used: f64,
    since_reset: f64,
}

impl Transfer {
    fn at_start(character: Character, seed: u64, veid: u64) -> Self {
        // Multiples of the golden ratio spread any number of resets evenly over the month.
        let spread = (to_float(veid) * GOLDEN_RATIO).fract();
        match character {
            // The rest lasts for less than two days, and the reset is at least five days away.
            Character::NearAllowance => Self {
                used: 0.93,
                since_reset: (20.0 + 5.0 * spread) * DAY,
            },
            Character::UsedUp => Self {
                used: 1.002,
                since_reset: (18.0 + 8.0 * spread) * DAY,
            },
            _ => {
                let off = character.off_since();
                let since_reset = off + DAY + (MONTH - off - 2.0 * DAY) * spread;
                let of_a_month = 0.15 + 0.5 * noise(seed, veid, 0, 1);
                Self {
                    used: of_a_month * (since_reset - off) / MONTH,
                    since_reset,
                }
            }
        }
    }
}

/// A VPS and its state.
#[derive(Clone, Debug)]
pub struct SimulatedVps {
    pub name: String,
    pub veid: u64,
    pub key: String,
    pub key_handed_out: String,
    pub character: Character,
    pub location: &'static Location,
    pub monthly_data: u64,
    pub data_counter: u64,
    /// Seconds of transfer, see [`Story::transfer`].
    pub next_reset: f64,
    pub ram: u64,
    pub swap: u64,
    pub disk: u64,
    pub disk_used: u64,
    pub running: bool,
    /// Story seconds at which the running start is complete.
    pub starting_until: Option<f64>,
    /// Suspended because the allowance is used up, without a case.
    pub used_up: bool,
    /// Story seconds until which the CPU is throttled.
    pub throttled_until: f64,
    /// Suspensions of this year.
    pub suspensions: u64,
    pub usage: Usage,
    pub settings: Settings,
    pub network: Network,
    pub disk_copies: DiskCopies,
    pub cases: Cases,
    pub audit: AuditTrail,
    pub task: Option<Task>,
    pub seed: u64,
    /// Planned events with their times in story seconds, latest first.
    pub planned: Vec<(f64, PlannedEvent)>,
    /// Story seconds from which tasks hold a VPS that is locked by character.
    pub locked_from: f64,
    /// Bytes written for each byte by which the disk becomes fuller.
    pub written_for_one: u64,
    hot_rows: u32,
}

impl SimulatedVps {
    /// A VPS at the start of its story, with `past_rows` usage rows of history.
    pub fn new(
        name: String,
        veid: u64,
        character: Character,
        seed: u64,
        story: &Story,
        past_rows: i64,
    ) -> Self {
        let openvz = character == Character::OpenVz;
        let disk = if openvz { 10 * GIB } else { 20 * GIB };
        let key = key_of(seed, veid);
        let monthly_data = 1000 * GIB;
        let transfer = Transfer::at_start(character, seed, veid);
        let data_counter = scaled(monthly_data, transfer.used);
        let mean_rate = to_float(data_counter) / (transfer.since_reset - character.off_since());
        let disk_used = scaled(disk, 0.2 + 0.5 * noise(seed, veid, 0, 3)) / 1024 * 1024;
        let settings = Settings::new(format!("{name}.example.com"), openvz);
        let copied = DiskImage {
            used: disk_used,
            os: settings.os,
        };
        let mut vps = Self {
            veid,
            key_handed_out: if character == Character::WrongKey {
                key_of(seed, veid ^ 0xFFFF)
            } else {
                key.clone()
            },
            key,
            character,
            // One VPS of the demo is at a location with a multiplier of 0.5.
            location: &LOCATIONS[usize::from(veid % 8 == 2)],
            monthly_data,
            data_counter,
            next_reset: MONTH - transfer.since_reset,
            ram: if openvz { 512 * MIB } else { 1024 * MIB },
            swap: if openvz { 64 * MIB } else { 256 * MIB },
            disk,
            disk_used,
            running: !matches!(character, Character::Stopped | Character::UsedUp),
            starting_until: None,
            used_up: character == Character::UsedUp,
            throttled_until: if character == Character::Throttled {
                THROTTLED_AT_FIRST
            } else {
                f64::MIN
            },
            suspensions: u64::from(character == Character::UsedUp),
            usage: Usage::new(seed, veid, character, mean_rate / MEAN_RHYTHM, past_rows),
            network: Network::new(veid, (!openvz).then(|| settings.hostname.clone())),
            settings,
            disk_copies: DiskCopies::new(seed, veid, character, copied, story),
            cases: Cases::new(veid),
            audit: AuditTrail::new(seed, veid, story, 0.0),
            task: None,
            seed,
            planned: Vec::new(),
            locked_from: 0.0,
            written_for_one: 2000,
            name,
            hot_rows: 0,
        };
        if character == Character::NearAllowance {
            vps.warn(story, -WARNED_SINCE);
        }
        vps
    }

    pub const fn openvz(&self) -> bool {
        matches!(self.character, Character::OpenVz)
    }

    pub fn ssh_port(&self) -> u16 {
        if self.openvz() { 27_022 } else { 22_022 }
    }

    /// True if suspended for any reason.
    pub const fn suspended(&self) -> bool {
        self.used_up || !self.cases.suspensions.is_empty()
    }

    pub fn copied(&self) -> DiskImage {
        DiskImage {
            used: self.disk_used,
            os: self.settings.os,
        }
    }

    /// Begins a task that holds the VPS.
    pub fn begin(&mut self, story: &Story, at: f64, work: Work) {
        let stop = work.needs_stop();
        let resume = stop && (self.running || matches!(work, Work::Reinstall(_)));
        if stop && self.running {
            self.stop(story, at);
        }
        self.task = Some(Task::new(work, at, resume));
    }

    /// Starts or restarts the VPS.
    pub fn start(&mut self, at: f64) {
        self.running = true;
        self.starting_until = Some(at + BOOT_SECONDS);
    }

    pub fn stop(&mut self, story: &Story, at: f64) {
        self.running = false;
        self.starting_until = None;
        self.audit
            .push(story.wall(at), AuditKind::Event, "VM stopped");
    }

    /// Opens the case whose deadline is after the start.
    pub fn warn(&mut self, story: &Story, at: f64) {
        self.cases.warn(story.wall(at), WARNED_UNTIL);
    }

    /// Counts a suspension and stops the VPS.
    pub fn suspend(&mut self, story: &Story, at: f64) {
        self.suspensions += 1;
        if self.running {
            self.stop(story, at);
        }
    }

    fn noise(&self, step: i64, purpose: u64) -> f64 {
        noise(self.seed, self.veid, step, purpose)
    }

    /// The task that holds the VPS. With [`Character::Locked`] a task takes 55 minutes of every hour.
    pub fn lock(&self, story_seconds: f64) -> Option<TaskLock> {
        if let Some(task) = &self.task {
            return Some(task.lock(story_seconds));
        }
        if self.character != Character::Locked || story_seconds < self.locked_from {
            return None;
        }
        let into = (story_seconds - self.locked_from).rem_euclid(3600.0);
        (into < 3300.0).then(|| TaskLock {
            percent: scaled(1, into / 33.0).min(99),
            task: "Snapshot: before-upgrade".to_owned(),
            progress: "Copying disk image",
        })
    }

    /// The power state, as the API names it.
    pub const fn status(&self) -> &'static str {
        match (self.running, self.starting_until) {
            (false, _) => "stopped",
            (true, Some(_)) => "starting",
            (true, None) => "running",
        }
    }

    pub fn throttled(&self, story_seconds: f64) -> bool {
        self.running && story_seconds < self.throttled_until
    }

    /// Load averages of the guest.
    pub fn load(&self, story: &Story) -> [f64; 3] {
        let recent: Vec<u64> = self
            .usage
            .newest(story, 3)
            .map(|row| row.cpu_percent)
            .collect();
        [1, 2, 3].map(|rows| {
            let rows = &recent[..recent.len().min(rows)];
            let sum: u64 = rows.iter().sum();
            // Two decimals, as the kernel prints them.
            let mean = (sum * 4).checked_div(u64::try_from(rows.len()).unwrap_or(1));
            to_float(mean.unwrap_or_default()) / 100.0
        })
    }

    /// Bytes of memory that are free to use.
    pub fn memory_available(&self) -> u64 {
        let step = self.usage.next_step();
        scaled(self.ram, 0.3 + 0.3 * self.noise(step, 9)) / 4096 * 4096
    }

    /// Bytes of swap that are free.
    pub fn swap_free(&self) -> u64 {
        let hour = self.usage.next_step() / 12;
        scaled(self.swap, 0.6 + 0.4 * self.noise(hour, 10)) / 4096 * 4096
    }

    /// Existing and runnable processes.
    pub fn processes(&self) -> (u64, u64) {
        let step = self.usage.next_step();
        (
            140 + scaled(60, self.noise(step, 11)),
            1 + scaled(3, self.noise(step, 12)),
        )
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

#[cfg(test)]
mod tests;
