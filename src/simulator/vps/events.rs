//! The events of a VPS as the story proceeds: usage rows, tasks, resets, throttling and suspension.

use super::{Character, MIB, MONTH, SimulatedVps};
use crate::simulator::audit::AuditKind;
use crate::simulator::story::Story;
use crate::simulator::task::{Task, Work};
use crate::simulator::usage::VpsActivity;

/// The vendor lifts a CPU throttle after two hours.
const THROTTLE_SECONDS: f64 = 2.0 * 3600.0;
/// Consecutive rows with a busy CPU that lead to throttling.
const HOT_ROWS: u32 = 6;
/// Disk usage of a fresh installation.
const INSTALLED: u64 = 1600 * MIB;

/// Events other than usage rows.
enum VpsEvent {
    Booted,
    TaskDone,
    Purge,
    Backup,
    Deadline,
    Login,
    Planned,
}

impl SimulatedVps {
    /// Processes all events that are due by now. Their order does not depend on the number of calls.
    pub fn advance(&mut self, story: &Story, now: f64) {
        let last = story.last_step(now);
        while self.usage.next_step() <= last {
            let ends = story.end_of(self.usage.next_step());
            self.process_events_until(story, ends);
            self.step(story, ends);
        }
        self.process_events_until(story, story.elapsed(now));
    }

    fn process_events_until(&mut self, story: &Story, until: f64) {
        while let Some((at, event)) = self.next_event().filter(|(at, _)| *at <= until) {
            self.process_event(story, at, &event);
        }
    }

    fn next_event(&self) -> Option<(f64, VpsEvent)> {
        [
            (self.starting_until, VpsEvent::Booted),
            (self.task.as_ref().map(|task| task.ends), VpsEvent::TaskDone),
            (self.disk_copies.next_purge(), VpsEvent::Purge),
            (self.disk_copies.next_backup(), VpsEvent::Backup),
            (self.cases.next_deadline(), VpsEvent::Deadline),
            (Some(self.audit.next_login()), VpsEvent::Login),
            (self.planned.last().map(|(at, _)| *at), VpsEvent::Planned),
        ]
        .into_iter()
        .filter_map(|(at, event)| Some((at?, event)))
        .min_by(|(a, _), (b, _)| a.total_cmp(b))
    }

    fn process_event(&mut self, story: &Story, at: f64, event: &VpsEvent) {
        let timestamp = story.wall(at);
        match event {
            VpsEvent::Booted => {
                self.starting_until = None;
                self.audit.push(timestamp, AuditKind::Event, "VM started");
            }
            VpsEvent::TaskDone => {
                if let Some(task) = self.task.take() {
                    self.finish(story, at, task);
                }
            }
            VpsEvent::Purge => self.disk_copies.purge(at),
            VpsEvent::Backup => {
                let disk = (!self.suspended()).then(|| self.copied());
                self.disk_copies.daily_backup(story, at, disk);
            }
            VpsEvent::Deadline => {
                self.cases.enforce(at);
                self.suspend(story, at);
            }
            VpsEvent::Login => self.audit.login(timestamp),
            VpsEvent::Planned => self.carry_out_plan(story, at),
        }
    }

    fn finish(&mut self, story: &Story, at: f64, task: Task) {
        match task.work {
            Work::Snapshot(description) => {
                self.disk_copies.add(story, at, self.copied(), &description);
            }
            Work::Import(snapshot) => self.disk_copies.import(story, at, &snapshot),
            Work::CopyBackup(backup) => self.disk_copies.copy_backup(story, at, &backup),
            Work::Restore(snapshot) => {
                self.disk_used = snapshot.uncompressed.min(self.disk);
                self.settings.os = snapshot.os;
            }
            Work::Reinstall(os) => {
                self.disk_used = INSTALLED;
                self.settings.os = os;
            }
            Work::Clone(_) => self.disk_used = self.disk / 2,
            Work::Migrate { to, addresses } => {
                self.location = to;
                self.network.migrate(addresses);
            }
        }
        if task.resume && !self.suspended() {
            self.start(at);
        }
    }

    fn step(&mut self, story: &Story, ends: f64) {
        if story.transfer(ends) >= self.next_reset {
            self.next_reset += MONTH;
            self.data_counter = 0;
            if self.used_up {
                self.used_up = false;
                self.running = !self.suspended();
            }
        }
        let begins = ends - story.seconds_of(self.usage.next_step());
        let hot =
            self.character == Character::Throttled && (begins / 3600.0).rem_euclid(4.0) >= 3.0;
        let activity = match (self.running, ends <= self.throttled_until) {
            (false, _) => VpsActivity::Off,
            (true, true) => VpsActivity::Throttled,
            (true, false) if hot => VpsActivity::Busy,
            (true, false) => VpsActivity::Usual,
        };
        self.hot_rows = if activity == VpsActivity::Busy {
            self.hot_rows + 1
        } else {
            0
        };
        if self.hot_rows >= HOT_ROWS {
            self.throttled_until = ends + THROTTLE_SECONDS;
            self.hot_rows = 0;
        }
        let row = self.usage.push(story, activity);
        self.data_counter += row.network_in + row.network_out;
        let kept = row.disk_written / (self.written_for_one * 1024) * 1024;
        self.disk_used = (self.disk_used + kept).min(self.disk);
        if !self.suspended() && self.data_counter >= self.monthly_data {
            self.used_up = true;
            self.suspend(story, ends);
        }
    }
}
