//! Tasks that lock a VPS. While one runs, every call returns an error.

use super::disk_copies::{Backup, DiskSnapshot};
use super::locations::Location;

/// The effect of a task, which it has at its end.
#[derive(Clone, Debug)]
pub enum Work {
    /// Keeps a snapshot with this description.
    Snapshot(String),
    Restore(DiskSnapshot),
    /// Installs this template.
    Reinstall(&'static str),
    Migrate {
        to: &'static Location,
        addresses: Vec<String>,
    },
    Import(DiskSnapshot),
    CopyBackup(Backup),
    /// Takes over the disk of a server elsewhere.
    Clone(String),
}

/// A running task.
#[derive(Clone, Debug)]
pub struct Task {
    pub work: Work,
    /// Story seconds.
    started: f64,
    /// Story seconds.
    pub ends: f64,
    /// The VPS was stopped for it and is started again afterwards.
    pub resume: bool,
}

/// The task that locks a VPS, as the API reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskLock {
    pub percent: u64,
    pub task: String,
    pub progress: &'static str,
}

impl Work {
    /// Duration in seconds of the story.
    const fn seconds(&self) -> f64 {
        match self {
            Self::Snapshot(_) | Self::Import(_) | Self::CopyBackup(_) => 300.0,
            Self::Restore(_) | Self::Reinstall(_) => 420.0,
            Self::Migrate { .. } | Self::Clone(_) => 900.0,
        }
    }

    /// True if the VPS must be stopped for it.
    pub const fn needs_stop(&self) -> bool {
        matches!(
            self,
            Self::Restore(_) | Self::Reinstall(_) | Self::Migrate { .. } | Self::Clone(_)
        )
    }

    fn describe(&self) -> (String, &'static str) {
        match self {
            Self::Snapshot(description) => {
                (format!("Snapshot: {description}"), "Copying disk image")
            }
            Self::Restore(of) => (format!("Restore: {}", of.file_name), "Writing disk image"),
            Self::Reinstall(os) => (format!("Reinstall: {os}"), "Installing operating system"),
            Self::Migrate { to, .. } => {
                (format!("Migration: {}", to.id), "Transferring disk image")
            }
            Self::Import(_) => ("Snapshot import".to_owned(), "Transferring snapshot"),
            Self::CopyBackup(_) => ("Backup: copy to snapshot".to_owned(), "Copying backup"),
            Self::Clone(host) => (format!("Clone: {host}"), "Copying files"),
        }
    }
}

impl Task {
    /// A task that starts at a moment of the story.
    pub fn new(work: Work, started: f64, resume: bool) -> Self {
        let ends = started + work.seconds();
        Self {
            work,
            started,
            ends,
            resume,
        }
    }

    /// The progress at a moment of the story.
    pub fn lock(&self, elapsed: f64) -> TaskLock {
        let (task, progress) = self.work.describe();
        let done = (elapsed - self.started) / (self.ends - self.started);
        TaskLock {
            percent: super::noise::scaled(100, done.clamp(0.0, 0.99)),
            task,
            progress,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_stays_below_100_percent() {
        let task = Task::new(Work::Snapshot("x".to_owned()), 1000.0, false);
        assert_eq!(task.ends.to_bits(), 1300.0_f64.to_bits());
        let percents = [1000.0, 1150.0, 1300.0].map(|at| task.lock(at).percent);
        assert_eq!(percents, [0, 50, 99]);
        assert_eq!(task.lock(1000.0).task, "Snapshot: x");
    }
}
