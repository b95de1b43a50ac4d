//! The audit log of a VPS.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::noise::noise;
use super::story::Story;

const DAY: f64 = 86_400.0;
/// Entries kept at most. At a time scale of 100000 many days pass, each with a login.
const MOST_ENTRIES: usize = 2000;
/// 203.0.113.9 as the API writes it.
const OWNER: u32 = 3_405_803_785;

/// The subject of an entry. The vendor documents no codes; these are invented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditKind {
    Login = 1,
    Command = 2,
    Event = 3,
    Api = 4,
}

/// One entry.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    /// Unix seconds.
    pub timestamp: i64,
    /// An IPv4 address as a number; 0 or `None` for events that no client requested.
    pub requestor: Option<u32>,
    pub kind: AuditKind,
    pub summary: Cow<'static, str>,
}

/// The log, oldest first.
#[derive(Clone, Debug)]
pub struct AuditTrail {
    seed: u64,
    veid: u64,
    entries: VecDeque<AuditEntry>,
    logins: i64,
    /// Story seconds of the owner's next login to the panel.
    next_login: f64,
}

impl AuditTrail {
    /// A log with a few entries before `begins`, in story seconds.
    pub fn new(seed: u64, veid: u64, story: &Story, begins: f64) -> Self {
        let mut log = Self {
            seed,
            veid,
            entries: VecDeque::new(),
            logins: 0,
            next_login: begins,
        };
        let past = story.wall(begins - 10.0 * DAY * (1.0 + noise(seed, veid, 0, 15)));
        log.push(past, AuditKind::Login, "Login");
        log.push(past + 460, AuditKind::Command, "Command received: stop");
        log.push(past + 475, AuditKind::Event, "VM stopped");
        log.push(past + 650, AuditKind::Command, "Command received: start");
        log.push(past + 662, AuditKind::Event, "VM started");
        log.schedule_login();
        log
    }

    pub fn entries(&self) -> impl ExactSizeIterator<Item = &AuditEntry> {
        self.entries.iter()
    }

    pub fn newest(&self) -> Option<&AuditEntry> {
        self.entries.back()
    }

    pub const fn next_login(&self) -> f64 {
        self.next_login
    }

    /// Adds a login of the owner to the panel and schedules the next one, about a day later.
    pub fn login(&mut self, timestamp: i64) {
        self.push(timestamp, AuditKind::Login, "Login");
        self.schedule_login();
    }

    fn schedule_login(&mut self) {
        self.logins += 1;
        self.next_login += DAY * (0.5 + noise(self.seed, self.veid, self.logins, 16));
    }

    pub fn push(&mut self, timestamp: i64, kind: AuditKind, summary: impl Into<Cow<'static, str>>) {
        let requestor = match kind {
            // Recordings have both 0 and null for events that no client requested.
            AuditKind::Event if self.entries.len() % 4 < 2 => Some(0),
            AuditKind::Event => None,
            _ => Some(OWNER),
        };
        self.entries.push_back(AuditEntry {
            timestamp,
            requestor,
            kind,
            summary: summary.into(),
        });
        if self.entries.len() > MOST_ENTRIES {
            self.entries.pop_front();
        }
    }
}
