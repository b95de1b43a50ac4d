//! Snapshots and backups of a disk.

use time::OffsetDateTime;

use super::noise::{hex, noise};
use super::story::Story;
use super::vps::{Character, DAY, SUSPENDED_SINCE};

/// A snapshot that is not sticky is kept this long.
const SNAPSHOT_SECONDS: f64 = 30.0 * DAY;
const BACKUPS_KEPT: usize = 3;

/// The disk that is copied.
#[derive(Clone, Copy, Debug)]
pub struct DiskImage {
    pub used: u64,
    pub os: &'static str,
}

/// A snapshot of a disk.
#[derive(Clone, Debug, PartialEq)]
pub struct DiskSnapshot {
    pub file_name: String,
    /// Unix seconds.
    pub created: i64,
    pub size: u64,
    pub uncompressed: u64,
    pub os: &'static str,
    pub md5: String,
    pub description: String,
    pub sticky: bool,
    /// Story seconds; unused while the snapshot is sticky.
    purge_at: f64,
    /// Lets another VPS import it.
    pub token: Option<String>,
}

impl DiskSnapshot {
    /// The time of its purge, in story seconds; `None` if it is sticky.
    pub fn purge_at(&self) -> Option<f64> {
        (!self.sticky).then_some(self.purge_at)
    }
}

/// A backup that the vendor made.
#[derive(Clone, Debug, PartialEq)]
pub struct Backup {
    pub token: String,
    pub size: u64,
    pub uncompressed: u64,
    pub os: &'static str,
    pub md5: String,
    /// Unix seconds.
    pub timestamp: i64,
}

/// Snapshots and backups of one VPS.
#[derive(Clone, Debug)]
pub struct DiskCopies {
    seed: u64,
    veid: u64,
    /// Oldest first.
    pub snapshots: Vec<DiskSnapshot>,
    /// Oldest first.
    pub backups: Vec<Backup>,
    /// Story seconds; `None` if the plan has no backups.
    next_backup: Option<f64>,
    made: i64,
}

impl DiskCopies {
    /// The snapshots and backups of a VPS at the start. Some VPSes have sticky snapshots, some have others, some have
    /// backups.
    pub fn new(seed: u64, veid: u64, character: Character, disk: DiskImage, story: &Story) -> Self {
        let mut disk_copies = Self {
            seed,
            veid,
            snapshots: Vec::new(),
            backups: Vec::new(),
            next_backup: None,
            made: 0,
        };
        if character == Character::OpenVz {
            return disk_copies;
        }
        let chance = |purpose| noise(seed, veid, 0, purpose);
        if !veid.is_multiple_of(3) {
            let created = -DAY * (40.0 + 100.0 * chance(17));
            disk_copies.add(story, created, disk, "before-upgrade");
            disk_copies.snapshots[0].sticky = true;
        }
        if !veid.is_multiple_of(2) {
            let created = -DAY * (1.0 + 27.0 * chance(18));
            disk_copies.add(story, created, disk, "");
        }
        if !veid.is_multiple_of(5) && character != Character::Stopped {
            let hour = chance(19);
            let until = match character {
                Character::UsedUp => SUSPENDED_SINCE,
                _ => 0.0,
            };
            for days in [3.0, 2.0, 1.0] {
                disk_copies.back_up(story, -DAY * (days - hour) - until, disk);
            }
            disk_copies.next_backup = Some(DAY * hour);
        }
        disk_copies
    }

    /// Moves them back to the time `begins`, and the backups by the seconds in `backups`. Removes the
    /// snapshots that are made after `begins` and returns them with their times.
    pub fn take_back(&mut self, begins: f64, backups: f64) -> Vec<(f64, DiskSnapshot)> {
        let made = |snapshot: &DiskSnapshot| snapshot.purge_at - SNAPSHOT_SECONDS;
        let later = self
            .snapshots
            .extract_if(.., |snapshot| made(snapshot) > begins);
        let later = later.map(|snapshot| (made(&snapshot), snapshot)).collect();
        for backup in &mut self.backups {
            #[expect(clippy::cast_possible_truncation, reason = "whole days are meant")]
            let earlier = backups as i64;
            backup.timestamp += earlier;
        }
        self.next_backup = self.next_backup.map(|at| at + begins);
        later
    }

    /// Adds a snapshot of a disk.
    pub fn add(&mut self, story: &Story, at: f64, disk: DiskImage, description: &str) {
        self.keep(story, at, (disk.used / 4, disk.used), disk.os, description);
    }

    /// Adds a copy of a snapshot of another VPS.
    pub fn import(&mut self, story: &Story, at: f64, of: &DiskSnapshot) {
        let sizes = (of.size, of.uncompressed);
        self.keep(story, at, sizes, of.os, &of.description);
    }

    /// Adds a copy of a backup as a snapshot.
    pub fn copy_backup(&mut self, story: &Story, at: f64, of: &Backup) {
        let sizes = (of.size, of.uncompressed);
        self.keep(story, at, sizes, of.os, "copied from a backup");
    }

    fn keep(
        &mut self,
        story: &Story,
        at: f64,
        (size, uncompressed): (u64, u64),
        os: &'static str,
        description: &str,
    ) {
        self.made += 1;
        let created = story.wall(at);
        let file_name = format!(
            "snapshot-{}-{created}-{}-{}.tar.gz",
            self.veid,
            date(created),
            hex(self.seed, self.veid, self.made, 20, 40)
        );
        self.snapshots.push(DiskSnapshot {
            file_name,
            created,
            size,
            uncompressed,
            os,
            md5: hex(self.seed, self.veid, self.made, 21, 32),
            description: description.to_owned(),
            sticky: false,
            purge_at: at + SNAPSHOT_SECONDS,
            token: None,
        });
    }

    fn back_up(&mut self, story: &Story, at: f64, disk: DiskImage) {
        self.made += 1;
        self.backups.push(Backup {
            token: hex(self.seed, self.veid, self.made, 25, 40),
            size: disk.used / 5,
            uncompressed: disk.used,
            os: disk.os,
            md5: hex(self.seed, self.veid, self.made, 26, 32),
            timestamp: story.wall(at),
        });
        if self.backups.len() > BACKUPS_KEPT {
            self.backups.remove(0);
        }
    }

    pub fn snapshot(&mut self, file_name: &str) -> Option<&mut DiskSnapshot> {
        self.snapshots
            .iter_mut()
            .find(|snapshot| snapshot.file_name == file_name)
    }

    /// The snapshot that was exported with this token.
    pub fn exported(&self, token: &str) -> Option<&DiskSnapshot> {
        self.snapshots
            .iter()
            .find(|snapshot| snapshot.token.as_deref() == Some(token))
    }

    /// Deletes a snapshot; false if there is none of this name.
    pub fn delete(&mut self, file_name: &str) -> bool {
        let before = self.snapshots.len();
        self.snapshots
            .retain(|snapshot| snapshot.file_name != file_name);
        self.snapshots.len() < before
    }

    /// Makes a snapshot sticky or not. One that is no longer sticky is kept for the full time again. False if there is
    /// no snapshot of this name.
    pub fn set_sticky(&mut self, file_name: &str, sticky: bool, at: f64) -> bool {
        let Some(snapshot) = self.snapshot(file_name) else {
            return false;
        };
        if snapshot.sticky && !sticky {
            snapshot.purge_at = at + SNAPSHOT_SECONDS;
        }
        snapshot.sticky = sticky;
        true
    }

    /// Returns the token of a snapshot; the same each time.
    pub fn export(&mut self, file_name: &str) -> Option<String> {
        let (seed, veid) = (self.seed, self.veid);
        let snapshot = self.snapshot(file_name)?;
        let token = hex(seed, veid, snapshot.created, 27, 40);
        snapshot.token = Some(token.clone());
        Some(token)
    }

    /// The time of the next purge, in story seconds.
    pub fn next_purge(&self) -> Option<f64> {
        let purges = self.snapshots.iter().filter_map(DiskSnapshot::purge_at);
        purges.min_by(f64::total_cmp)
    }

    pub fn purge(&mut self, at: f64) {
        self.snapshots
            .retain(|snapshot| snapshot.purge_at().is_none_or(|purge_at| purge_at > at));
    }

    /// The time of the next backup, in story seconds.
    pub const fn next_backup(&self) -> Option<f64> {
        self.next_backup
    }

    /// Makes the daily backup. `disk` is `None` while the VPS is suspended, and no backup is made.
    pub fn daily_backup(&mut self, story: &Story, at: f64, disk: Option<DiskImage>) {
        if let Some(disk) = disk {
            self.back_up(story, at, disk);
        }
        self.next_backup = Some(at + DAY);
    }
}

/// The date of a time as in file names.
fn date(unix_seconds: i64) -> String {
    let date = OffsetDateTime::from_unix_timestamp(unix_seconds)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
        .date();
    format!(
        "{}-{:02}-{:02}",
        date.year(),
        u8::from(date.month()),
        date.day()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: DiskImage = DiskImage {
        used: 8 << 30,
        os: "debian-12-x86_64",
    };

    fn disk_copies(veid: u64, character: Character) -> (DiskCopies, Story) {
        let story = Story::new(1_790_000_000.0, 60.0);
        (DiskCopies::new(7, veid, character, DISK, &story), story)
    }

    #[test]
    fn vpses_start_with_different_disk_copies() {
        let count = |veid, character| {
            let (disk_copies, _) = disk_copies(veid, character);
            (disk_copies.snapshots.len(), disk_copies.backups.len())
        };
        assert_eq!(count(1_000_001, Character::Healthy), (2, 3));
        assert_eq!(count(1_000_002, Character::NearAllowance), (0, 3));
        assert_eq!(count(1_000_004, Character::Stopped), (1, 0));
        assert_eq!(count(1_000_007, Character::OpenVz), (0, 0));
    }

    #[test]
    fn file_names_contain_veid_and_time() {
        let (mut disk_copies, story) = disk_copies(1_000_002, Character::Healthy);
        disk_copies.add(&story, 3600.0, DISK, "x");
        let name = &disk_copies.snapshots[0].file_name;
        assert!(
            name.starts_with("snapshot-1000002-1790000060-2026-09-21-") && name.len() == 86,
            "{name}"
        );
    }

    #[test]
    fn a_snapshot_is_purged_unless_it_is_sticky() {
        let (mut disk_copies, story) = disk_copies(1_000_002, Character::Healthy);
        disk_copies.add(&story, 0.0, DISK, "a");
        disk_copies.add(&story, DAY, DISK, "b");
        let [a, b] = [0, 1].map(|index| disk_copies.snapshots[index].file_name.clone());
        assert!(disk_copies.set_sticky(&a, true, DAY));
        assert_eq!(disk_copies.next_purge(), Some(31.0 * DAY));
        disk_copies.purge(31.0 * DAY);
        assert!(disk_copies.snapshot(&b).is_none() && disk_copies.snapshot(&a).is_some());
        assert!(disk_copies.set_sticky(&a, false, 40.0 * DAY));
        assert_eq!(disk_copies.next_purge(), Some(70.0 * DAY));
        assert!(!disk_copies.set_sticky(&b, true, 0.0));
    }

    #[test]
    fn three_backups_are_kept() {
        let (mut disk_copies, story) = disk_copies(1_000_001, Character::Healthy);
        for _ in 0..5 {
            let at = disk_copies.next_backup().expect("it has backups");
            disk_copies.daily_backup(&story, at, Some(DISK));
        }
        assert_eq!(disk_copies.backups.len(), 3);
        assert!(
            disk_copies
                .backups
                .is_sorted_by_key(|backup| backup.timestamp)
        );
    }
}
