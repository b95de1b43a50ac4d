//! The table of read calls: one row per call.

use std::time::Duration;

use super::decode::{inventory, live, service, usage};

use crate::units::Points;

/// The read calls this program makes, most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// State, load, memory, disk, throttling and everything in [`Call::ServiceInfo`]. Takes up to 15 s.
    LiveServiceInfo,
    /// Remaining API points.
    RateLimitStatus,
    /// The usage history, about one row per five minutes. Always the whole history: megabytes.
    RawUsageStats,
    /// Plan, bandwidth, addresses, suspension. Works in every power state.
    ServiceInfo,
    /// Open policy cases and their deadlines.
    PolicyViolations,
    /// Open suspension cases.
    SuspensionDetails,
    /// Automatic backups.
    BackupList,
    /// Snapshots.
    SnapshotList,
    /// Actions in the panel and through the API.
    AuditLog,
    /// The locations that the VPS could move to, and how each of them counts transfer.
    MigrateLocations,
}

/// One row of the table.
pub(super) struct CallRow {
    call: Call,
    /// The vendor's name: the last part of the URL.
    name: &'static str,
    /// The fields that identify a response to this call. At least one must be present.
    pub(super) identified_by: &'static [&'static str],
    /// The time limit from the request to the end of the response.
    pub(super) timeout: Duration,
    /// The time limit without a byte received.
    pub(super) read_timeout: Duration,
    /// The size limit of the body in bytes, after decompression.
    pub(super) body_limit: usize,
    /// True if the connection is reused for other calls. Its read buffer grows with the response and stays allocated.
    pub(super) keeps_connection: bool,
    /// The default of the configured interval.
    interval: Duration,
    /// The key under `collect` in the configuration, and its default. `None` for a call that is always made.
    collect: Option<(&'static str, bool)>,
    /// The assumed price in points until the real one is learned. Higher for the slow call and the large call, which
    /// may cost more than the others.
    first_price: Points,
}

/// Timeout of fast calls. The vendor publishes no figures; other clients wait 10 to 45 s.
const SHORT_TIMEOUT: Duration = Duration::from_secs(15);
/// Timeout of the live call. The vendor documents up to 15 s; other clients wait twice that.
const LIVE_TIMEOUT: Duration = Duration::from_secs(30);
/// Timeout of the usage call. Megabytes take long on a slow line, so `USAGE_READ_TIMEOUT` detects a stalled one.
const USAGE_TIMEOUT: Duration = Duration::from_secs(180);
const USAGE_READ_TIMEOUT: Duration = Duration::from_secs(20);

/// Body limit of most calls. A live response with a screenshot of the console has hundreds of kilobytes.
const SMALL_BODY: usize = 4 << 20;
/// Body limit of the usage call. Two years of five-minute rows are about 30 MB.
const LARGE_BODY: usize = 64 << 20;

/// Interval of data that change within minutes. A live call takes up to 15 s.
const LIVE_INTERVAL: Duration = Duration::from_secs(2 * 60);
/// Interval of usage and points. Usage rows are five minutes long; points are checked at the same pace.
const USAGE_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// Interval of inventory, which changes daily.
const INVENTORY_INTERVAL: Duration = Duration::from_secs(60 * 60);

impl CallRow {
    const fn new(call: Call, name: &'static str, identified_by: &'static [&'static str]) -> Self {
        Self {
            call,
            name,
            identified_by,
            timeout: SHORT_TIMEOUT,
            read_timeout: SHORT_TIMEOUT,
            body_limit: SMALL_BODY,
            keeps_connection: true,
            interval: INVENTORY_INTERVAL,
            collect: None,
            first_price: Points(1.0),
        }
    }

    const fn collected(self, key: &'static str, by_default: bool) -> Self {
        Self {
            collect: Some((key, by_default)),
            ..self
        }
    }
}

const TABLE: [CallRow; 10] = [
    CallRow {
        timeout: LIVE_TIMEOUT,
        read_timeout: LIVE_TIMEOUT,
        interval: LIVE_INTERVAL,
        first_price: Points(3.0),
        ..CallRow::new(Call::LiveServiceInfo, "getLiveServiceInfo", live::FIELDS)
    },
    CallRow {
        interval: USAGE_INTERVAL,
        ..CallRow::new(
            Call::RateLimitStatus,
            "getRateLimitStatus",
            &["remaining_points_15min", "remaining_points_24h"],
        )
    },
    CallRow {
        timeout: USAGE_TIMEOUT,
        read_timeout: USAGE_READ_TIMEOUT,
        body_limit: LARGE_BODY,
        keeps_connection: false,
        interval: USAGE_INTERVAL,
        first_price: Points(3.0),
        ..CallRow::new(Call::RawUsageStats, "getRawUsageStats", &[usage::ROWS])
    },
    CallRow {
        interval: LIVE_INTERVAL,
        ..CallRow::new(Call::ServiceInfo, "getServiceInfo", service::FIELDS)
    },
    // Without an open case the API omits the lists. Only the abuse points identify such a response.
    CallRow::new(
        Call::PolicyViolations,
        "getPolicyViolations",
        &[
            inventory::POLICY_VIOLATIONS,
            "total_abuse_points",
            "max_abuse_points",
        ],
    )
    .collected("policy", true),
    CallRow::new(
        Call::SuspensionDetails,
        "getSuspensionDetails",
        &[
            inventory::SUSPENSIONS,
            "suspension_count",
            "total_abuse_points",
            "max_abuse_points",
        ],
    )
    .collected("policy", true),
    CallRow::new(Call::BackupList, "backup/list", &[inventory::BACKUPS]).collected("backups", true),
    CallRow::new(Call::SnapshotList, "snapshot/list", &[inventory::SNAPSHOTS])
        .collected("snapshots", true),
    CallRow::new(Call::AuditLog, "getAuditLog", &[inventory::LOG_ENTRIES])
        .collected("audit", false),
    CallRow::new(
        Call::MigrateLocations,
        "migrate/getLocations",
        &[inventory::MULTIPLIERS, "locations", "currentLocation"],
    )
    .collected("locations", false),
];

impl Call {
    /// Every call, most important first; `ALL[call.index()] == call`.
    pub const ALL: [Self; TABLE.len()] = {
        let mut all = [Self::LiveServiceInfo; TABLE.len()];
        let mut index = 0;
        while index < TABLE.len() {
            all[index] = TABLE[index].call;
            index += 1;
        }
        all
    };

    /// The calls that return the state of a VPS. A response of the first includes that of the second.
    pub const STATE: [Self; 2] = [Self::LiveServiceInfo, Self::ServiceInfo];

    /// The calls for data that rarely change. Each can be switched off.
    pub const INVENTORY: [Self; 6] = [
        Self::PolicyViolations,
        Self::SuspensionDetails,
        Self::BackupList,
        Self::SnapshotList,
        Self::AuditLog,
        Self::MigrateLocations,
    ];

    /// The keys under `collect` in the configuration. Each enables the calls that name it in the table.
    pub const COLLECT_KEYS: [&str; 5] = ["snapshots", "backups", "policy", "audit", "locations"];

    pub(super) const fn row(self) -> &'static CallRow {
        const ROWS: &[CallRow; TABLE.len()] = &TABLE;
        &ROWS[self.index()]
    }

    /// Returns true for a call of [`Self::STATE`].
    #[must_use]
    pub const fn returns_state(self) -> bool {
        matches!(self, Self::LiveServiceInfo | Self::ServiceInfo)
    }

    /// The vendor's name, used as the last part of the URL and as the value of the `call` label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The interval unless one is configured.
    #[must_use]
    pub const fn default_interval(self) -> Duration {
        self.row().interval
    }

    /// The key under `collect` in the configuration that enables the call, and its default. `None` for a call that is
    /// always made.
    #[must_use]
    pub const fn collect(self) -> Option<(&'static str, bool)> {
        self.row().collect
    }

    /// The assumed price in points until the real one is learned.
    #[must_use]
    pub const fn first_price(self) -> Points {
        self.row().first_price
    }

    /// The position in [`Call::ALL`], for arrays indexed by call.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_rows_are_in_the_order_of_the_enum() {
        for (index, call) in Call::ALL.into_iter().enumerate() {
            assert_eq!(call.index(), index, "{}", call.name());
        }
    }
    #[test]
    fn collect_keys_match_the_inventory_calls() {
        let collected = |call: &Call| call.collect().is_some();
        assert!(Call::INVENTORY.iter().all(collected));
        assert_eq!(
            Call::ALL.iter().filter(|call| collected(call)).count(),
            Call::INVENTORY.len()
        );
        let mut keys: Vec<_> = Call::ALL
            .into_iter()
            .filter_map(Call::collect)
            .map(|(key, _)| key)
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let mut known = Call::COLLECT_KEYS.to_vec();
        known.sort_unstable();
        assert_eq!(keys, known);
    }
}
