//! Moves a VPS some days into the past, so that these days lead to its state at the start.

use super::audit::AuditTrail;
use super::cases::Cases;
use super::disk_copies::DiskSnapshot;
use super::noise::{scaled, to_float};
use super::story::Story;
use super::usage::{MEAN_RHYTHM, USUAL_WRITTEN, rows_in};
use super::vps::{Character, DAY, MONTH, SUSPENDED_SINCE, SimulatedVps, WARNED_SINCE};

/// Most days of a past; more would contain more than one reset.
pub const MOST_DAYS: u32 = 30;
/// Time since the locked VPS got its first task: at the start the sixth is half done.
const LOCKED_SINCE: f64 = 5.5 * 3600.0;
/// Largest part of the allowance used in the previous period, for a VPS that uses more in the current one.
const MOST_OF_A_MONTH: f64 = 0.7;
/// Bytes written for each byte by which a growing disk becomes fuller.
const GROWING: u64 = 40;

/// A planned event of a VPS.
#[derive(Clone, Debug)]
pub enum PlannedEvent {
    /// The owner shuts it down.
    Stop,
    /// A policy case is opened.
    Warn,
    /// A snapshot like this one is made.
    Snapshot(Box<DiskSnapshot>),
}

impl SimulatedVps {
    /// Moves a VPS that is in its initial state back by `days`.
    pub fn take_back(&mut self, story: &Story, days: u32) {
        let begins = -f64::from(days) * DAY;
        self.usage.begin_earlier(rows_in(-begins));
        self.audit = AuditTrail::new(self.seed, self.veid, story, begins);
        // A day is a whole number of cycles of busy and throttled.
        self.throttled_until += begins;
        if self.character == Character::Locked {
            self.locked_from = -LOCKED_SINCE;
        }
        self.take_back_traffic(begins);
        self.take_back_disk(begins);
        // No backups are made while the VPS is suspended.
        let backups = match (self.character, self.used_up) {
            (Character::UsedUp, true) => 0.0,
            (Character::UsedUp, false) => begins + SUSPENDED_SINCE,
            _ => begins,
        };
        let snapshots = self.disk_copies.take_back(begins, backups);
        let snapshots = snapshots
            .into_iter()
            .map(|(at, snapshot)| (at, PlannedEvent::Snapshot(Box::new(snapshot))));
        self.planned.extend(snapshots);
        if self.character == Character::NearAllowance {
            self.cases = Cases::new(self.veid);
            self.planned.push((-WARNED_SINCE, PlannedEvent::Warn));
        }
        self.planned.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    }

    fn take_back_traffic(&mut self, begins: f64) {
        let off = self.character.off_since();
        let since_reset = MONTH - self.next_reset;
        let mean = self.usage.rate * MEAN_RHYTHM;
        let used = if begins < -since_reset {
            self.next_reset = -since_reset;
            let month = (mean * MONTH).min(MOST_OF_A_MONTH * to_float(self.monthly_data));
            (month - mean * (-since_reset - begins)).max(0.0)
        } else {
            mean * (begins.min(-off) + since_reset)
        };
        self.data_counter = scaled(1, used);
        if begins >= -off {
            return;
        }
        match self.character {
            Character::Stopped => self.planned.push((-off, PlannedEvent::Stop)),
            Character::UsedUp => (self.used_up, self.suspensions) = (false, 0),
            _ => {}
        }
        self.running = true;
    }

    fn take_back_disk(&mut self, begins: f64) {
        if self.openvz() {
            let grown = -begins * USUAL_WRITTEN / to_float(GROWING);
            self.disk_used = self.disk_used.saturating_sub(scaled(1, grown)) / 1024 * 1024;
            self.written_for_one = GROWING;
        }
    }

    /// Carries out the next planned event.
    pub fn carry_out_plan(&mut self, story: &Story, at: f64) {
        match self.planned.pop() {
            Some((_, PlannedEvent::Stop)) => self.stop(story, at),
            Some((_, PlannedEvent::Warn)) => self.warn(story, at),
            Some((_, PlannedEvent::Snapshot(of))) => {
                let disk = self.copied();
                self.disk_copies.add(story, at, disk, &of.description);
                if let Some(made) = self.disk_copies.snapshots.last_mut() {
                    made.sticky = of.sticky;
                }
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: f64 = 1_790_000_000.0;
    const CAST: [Character; 8] = [
        Character::Healthy,
        Character::NearAllowance,
        Character::Throttled,
        Character::Stopped,
        Character::UsedUp,
        Character::Locked,
        Character::OpenVz,
        Character::WrongKey,
    ];

    /// A VPS in its initial state, and the same VPS at the beginning of its past.
    fn twins(character: Character, seed: u64, days: u32) -> (SimulatedVps, SimulatedVps, Story) {
        let story = Story::new(START, 60.0).with_past(f64::from(days) * DAY);
        let new = || {
            SimulatedVps::new(
                "x".to_owned(),
                1_000_001 + seed,
                character,
                seed,
                &story,
                72,
            )
        };
        let mut earlier = new();
        earlier.take_back(&story, days);
        (new(), earlier, story)
    }

    fn share(vps: &SimulatedVps) -> f64 {
        to_float(vps.data_counter) / to_float(vps.monthly_data)
    }

    #[test]
    fn the_past_ends_in_the_initial_state() {
        for (seed, days) in (1..=8).zip([30, 30, 30, 20, 7, 4, 2, 1]) {
            for character in CAST {
                let case = format!("{character:?}, seed {seed}, {days} days");
                let (start, mut vps, story) = twins(character, seed, days);
                vps.advance(&story, START);
                assert!(
                    (share(&vps) - share(&start)).abs() < 0.02,
                    "{case}: {}",
                    share(&vps)
                );
                assert!(
                    (to_float(vps.disk_used) / to_float(start.disk_used) - 1.0).abs() < 0.03,
                    "{case}"
                );
                assert_eq!(
                    (
                        vps.status(),
                        vps.used_up,
                        vps.suspensions,
                        vps.throttled(0.0),
                        vps.lock(0.0).is_some()
                    ),
                    (
                        start.status(),
                        start.used_up,
                        start.suspensions,
                        start.throttled(0.0),
                        start.lock(0.0).is_some()
                    ),
                    "{case}"
                );
                assert_eq!(
                    format!("{:?}", vps.cases),
                    format!("{:?}", start.cases),
                    "{case}"
                );
                let kept = |vps: &SimulatedVps| {
                    let snapshots = vps.disk_copies.snapshots.iter();
                    let snapshots: Vec<_> = snapshots.map(|of| (of.created, of.sticky)).collect();
                    let backups: Vec<_> = vps
                        .disk_copies
                        .backups
                        .iter()
                        .map(|of| of.timestamp)
                        .collect();
                    (snapshots, backups)
                };
                assert_eq!(kept(&vps), kept(&start), "{case}");
                assert_eq!(
                    (vps.usage.next_step(), vps.usage.rows(&story).len()),
                    (0, 72)
                );
                assert!(vps.planned.is_empty() && vps.next_reset > 0.0, "{case}");
            }
        }
    }

    #[test]
    fn a_month_has_one_reset_and_suspends_only_the_used_up_vps() {
        for seed in 1..=8 {
            for character in CAST {
                let case = format!("{character:?}, seed {seed}");
                let (_, mut vps, story) = twins(character, seed, 30);
                let (mut resets, mut suspensions, mut before) = (0, 0, vps.clone());
                for hours in (0..30 * 24).rev() {
                    vps.advance(&story, START - f64::from(hours) * 3600.0);
                    resets += u32::from(vps.data_counter < before.data_counter);
                    suspensions += u32::from(vps.suspended() && !before.suspended());
                    before = vps.clone();
                }
                assert_eq!(resets, 1, "{case}");
                assert_eq!(
                    suspensions,
                    u32::from(character == Character::UsedUp),
                    "{case}"
                );
            }
        }
    }

    #[test]
    fn rows_since_the_reset_add_up_to_the_data_counter() {
        let (_, mut vps, story) = twins(Character::Healthy, 3, 30);
        let mut sum = 0;
        for step in -30 * 288..0_i64 {
            vps.advance(
                &story,
                START + to_float(step.unsigned_abs()) * -300.0 + 300.0,
            );
            let row = vps.usage.newest(&story, 1).next().expect("there is one");
            let traffic = row.network_in + row.network_out;
            sum = if vps.data_counter == traffic {
                traffic
            } else {
                sum + traffic
            };
        }
        assert_eq!(vps.data_counter, sum);
    }
}
