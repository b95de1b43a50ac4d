//! The KiwiVM API: the table of read calls, the client, lenient decoding, errors and the key type.
//!
//! [`Call`] is the whole of what this program can ask. KiwiVM has no read-only keys, so being unable to name a call
//! that changes something is the only protection an owner has.

mod client;
mod decode;
mod error;
mod key;
mod lenient;
pub mod model;

pub use client::{Client, ClientError, ClientOptions, Response, is_loopback};
pub use decode::{DecodeError, Decoded, UsageStream, decode};
pub use error::{CallError, Reason};
pub use key::ApiKey;

use std::fmt;

/// The identifier of one VPS in KiwiVM (`veid`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Veid(pub u64);

impl fmt::Display for Veid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The finaliser of splitmix64: neighbouring VEIDs become numbers that have nothing to do with each other.
#[must_use]
pub const fn mix(value: u64) -> u64 {
    let mixed = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The read calls this program makes, most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// State, load, memory, disk, throttling and everything of [`Call::ServiceInfo`]. Up to 15 s.
    LiveServiceInfo,
    /// Remaining API points.
    RateLimitStatus,
    /// The usage history, one row for about five minutes; always the whole history, megabytes of it.
    RawUsageStats,
    /// Plan, bandwidth, addresses, suspension. Works whatever the power state.
    ServiceInfo,
    /// Open policy cases and their deadlines.
    PolicyViolations,
    /// Open suspension cases.
    SuspensionDetails,
    /// Automatic backups.
    BackupList,
    /// Snapshots.
    SnapshotList,
    /// What was done in the panel and through the API.
    AuditLog,
    /// Where the VPS could move, and how each location counts transfer.
    MigrateLocations,
}

impl Call {
    /// Every call, most important first; `ALL[call.index()] == call`.
    pub const ALL: [Self; 10] = [
        Self::LiveServiceInfo,
        Self::RateLimitStatus,
        Self::RawUsageStats,
        Self::ServiceInfo,
        Self::PolicyViolations,
        Self::SuspensionDetails,
        Self::BackupList,
        Self::SnapshotList,
        Self::AuditLog,
        Self::MigrateLocations,
    ];

    /// The calls that tell what changes seldom, each of which can be switched off.
    pub const INVENTORY: [Self; 6] = [
        Self::PolicyViolations,
        Self::SuspensionDetails,
        Self::BackupList,
        Self::SnapshotList,
        Self::AuditLog,
        Self::MigrateLocations,
    ];

    /// The vendor's name: the last part of the URL and the value of the `call` label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LiveServiceInfo => "getLiveServiceInfo",
            Self::RateLimitStatus => "getRateLimitStatus",
            Self::RawUsageStats => "getRawUsageStats",
            Self::ServiceInfo => "getServiceInfo",
            Self::PolicyViolations => "getPolicyViolations",
            Self::SuspensionDetails => "getSuspensionDetails",
            Self::BackupList => "backup/list",
            Self::SnapshotList => "snapshot/list",
            Self::AuditLog => "getAuditLog",
            Self::MigrateLocations => "migrate/getLocations",
        }
    }

    /// The position in [`Call::ALL`], for arrays indexed by call.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}
