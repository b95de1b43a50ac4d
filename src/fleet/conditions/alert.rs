//! Names and severities of the alerts.

use serde::Serialize;

/// Severity of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Needs no action.
    Info,
    /// Needs action during working hours.
    Warning,
    /// Needs action now.
    Critical,
}

impl Severity {
    /// The value of the `severity` label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// An alert. The variants are its name without the prefix `KiwiVM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the runbooks explain each by this name")]
pub enum Alert {
    AllKeysRefused,
    APIFailing,
    APIPointsExhausted,
    ReloadFailed,
    StateNotWritten,
    BandwidthWillRunOut,
    BandwidthNearlyUsed,
    Suspended,
    NotAsExpected,
    AddressNullRouted,
    LockedTooLong,
    CPUThrottled,
    DiskThrottled,
    DiskNearlyFull,
    InodesNearlyUsed,
    DiskImageMapped,
    MemoryLow,
    SwapBusy,
    PolicyDeadlineNear,
    PolicyViolationOpen,
    AbusePointsHigh,
    BackupTooOld,
    SnapshotPurgedSoon,
    AuthenticationFailed,
    DataStale,
}

impl Alert {
    /// The value of the `alertname` label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AllKeysRefused => "KiwiVMAllKeysRefused",
            Self::APIFailing => "KiwiVMAPIFailing",
            Self::APIPointsExhausted => "KiwiVMAPIPointsExhausted",
            Self::ReloadFailed => "KiwiVMReloadFailed",
            Self::StateNotWritten => "KiwiVMStateNotWritten",
            Self::BandwidthWillRunOut => "KiwiVMBandwidthWillRunOut",
            Self::BandwidthNearlyUsed => "KiwiVMBandwidthNearlyUsed",
            Self::Suspended => "KiwiVMSuspended",
            Self::NotAsExpected => "KiwiVMNotAsExpected",
            Self::AddressNullRouted => "KiwiVMAddressNullRouted",
            Self::LockedTooLong => "KiwiVMLockedTooLong",
            Self::CPUThrottled => "KiwiVMCPUThrottled",
            Self::DiskThrottled => "KiwiVMDiskThrottled",
            Self::DiskNearlyFull => "KiwiVMDiskNearlyFull",
            Self::InodesNearlyUsed => "KiwiVMInodesNearlyUsed",
            Self::DiskImageMapped => "KiwiVMDiskImageMapped",
            Self::MemoryLow => "KiwiVMMemoryLow",
            Self::SwapBusy => "KiwiVMSwapBusy",
            Self::PolicyDeadlineNear => "KiwiVMPolicyDeadlineNear",
            Self::PolicyViolationOpen => "KiwiVMPolicyViolationOpen",
            Self::AbusePointsHigh => "KiwiVMAbusePointsHigh",
            Self::BackupTooOld => "KiwiVMBackupTooOld",
            Self::SnapshotPurgedSoon => "KiwiVMSnapshotPurgedSoon",
            Self::AuthenticationFailed => "KiwiVMAuthenticationFailed",
            Self::DataStale => "KiwiVMDataStale",
        }
    }
}
