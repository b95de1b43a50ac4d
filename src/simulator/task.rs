//! Tasks that hold a VPS: while one runs every call is answered with an error.

use super::inventory::{Backup, Snapshot};
use super::locations::Location;

/// What a task does when it is done.
#[derive(Clone, Debug)]
pub enum Work {
    /// Keeps a snapshot with this description.
    Snapshot(String),
    Restore(Snapshot),
    /// Installs this template.
    Reinstall(&'static str),
    Migrate {
        to: &'static Location,
        addresses: Vec<String>,
    },
    Import(Snapshot),
    CopyBackup(Backup),
    /// Takes over the disk of a server elsewhere.
    Clone(String),
}

/// A task that runs.
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

/// What the API tells about the task that holds a VPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    pub percent: u64,
    pub task: String,
    pub progress: &'static str,
}

impl Work {
    /// How long it takes, in seconds of the story.
    const fn seconds(&self) -> f64 {
        match self {
            Self::Snapshot(_) | Self::Import(_) | Self::CopyBackup(_) => 300.0,
            Self::Restore(_) | Self::Reinstall(_) => 420.0,
            Self::Migrate { .. } | Self::Clone(_) => 900.0,
        }
    }

    /// The VPS cannot run meanwhile.
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

    /// How far it is.
    pub fn lock(&self, elapsed: f64) -> Lock {
        let (task, progress) = self.work.describe();
        let done = (elapsed - self.started) / (self.ends - self.started);
        Lock {
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
    fn a_task_proceeds_and_never_says_that_it_is_done() {
        let task = Task::new(Work::Snapshot("x".to_owned()), 1000.0, false);
        assert_eq!(task.ends.to_bits(), 1300.0_f64.to_bits());
        let percents = [1000.0, 1150.0, 1300.0].map(|at| task.lock(at).percent);
        assert_eq!(percents, [0, 50, 99]);
        assert_eq!(task.lock(1000.0).task, "Snapshot: x");
    }
}
