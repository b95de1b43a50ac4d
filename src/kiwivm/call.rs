//! The table of read calls: one row per call.

use std::time::Duration;

use super::decode::{inventory, live, service, usage};

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
    /// Actions in the panel and through the API.
    AuditLog,
    /// Where the VPS could move, and how each location counts transfer.
    MigrateLocations,
}

/// One row of the table.
pub(super) struct Row {
    call: Call,
    /// The vendor's name: the last part of the URL.
    name: &'static str,
    /// The fields by which a response shows that it is one to this call.
    pub(super) identified_by: &'static [&'static str],
    /// The longest time from the request to the end of the response.
    pub(super) timeout: Duration,
    /// The longest time without a byte.
    pub(super) silence: Duration,
    /// The largest body in bytes, after decompression.
    pub(super) body_limit: usize,
    /// True if the connection may carry other calls. Its buffer grows with what it carries, and an idle one would keep it.
    pub(super) keeps_connection: bool,
    /// The wanted interval unless one is configured.
    interval: Duration,
    /// The key of `collect` in the configuration, and its default. `None` for a call that is always made.
    collect: Option<(&'static str, bool)>,
    /// Points that a call is taken to cost until its price is learned: the slow call and the large one may cost more than
    /// the others.
    first_price: f64,
}

/// Fast calls. No figures are published; clients that work wait 10 to 45 s.
const SHORT: Duration = Duration::from_secs(15);
/// The vendor gives 15 s as the longest live call; the clients that work wait twice that.
const LIVE: Duration = Duration::from_secs(30);
/// Megabytes of history may take long on a slow line, as long as bytes keep coming.
const USAGE: Duration = Duration::from_secs(180);
const USAGE_SILENCE: Duration = Duration::from_secs(20);

/// A live response with a picture of the console has hundreds of kilobytes.
const SMALL: usize = 4 << 20;
/// Two years of usage rows at five minutes are about 30 MB.
const LARGE: usize = 64 << 20;

/// Data that change within minutes; a live call takes up to 15 s.
const MINUTES: Duration = Duration::from_secs(2 * 60);
/// Usage rows are five minutes long, and points are enough for a reading as often.
const OFTEN: Duration = Duration::from_secs(10 * 60);
/// Inventory changes daily.
const HOURLY: Duration = Duration::from_secs(60 * 60);

impl Row {
    const fn new(call: Call, name: &'static str, identified_by: &'static [&'static str]) -> Self {
        Self {
            call,
            name,
            identified_by,
            timeout: SHORT,
            silence: SHORT,
            body_limit: SMALL,
            keeps_connection: true,
            interval: HOURLY,
            collect: None,
            first_price: 1.0,
        }
    }

    const fn collected(self, key: &'static str, by_default: bool) -> Self {
        Self {
            collect: Some((key, by_default)),
            ..self
        }
    }
}

const TABLE: [Row; 10] = [
    Row {
        timeout: LIVE,
        silence: LIVE,
        interval: MINUTES,
        first_price: 3.0,
        ..Row::new(Call::LiveServiceInfo, "getLiveServiceInfo", live::FIELDS)
    },
    Row {
        interval: OFTEN,
        ..Row::new(
            Call::RateLimitStatus,
            "getRateLimitStatus",
            &["remaining_points_15min", "remaining_points_24h"],
        )
    },
    Row {
        timeout: USAGE,
        silence: USAGE_SILENCE,
        body_limit: LARGE,
        keeps_connection: false,
        interval: OFTEN,
        first_price: 3.0,
        ..Row::new(Call::RawUsageStats, "getRawUsageStats", &[usage::ROWS])
    },
    Row {
        interval: MINUTES,
        ..Row::new(Call::ServiceInfo, "getServiceInfo", service::FIELDS)
    },
    // With nothing outstanding the lists of cases are absent, and abuse points are all that a response has.
    Row::new(
        Call::PolicyViolations,
        "getPolicyViolations",
        &[
            inventory::POLICY_VIOLATIONS,
            "total_abuse_points",
            "max_abuse_points",
        ],
    )
    .collected("policy", true),
    Row::new(
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
    Row::new(Call::BackupList, "backup/list", &[inventory::BACKUPS]).collected("backups", true),
    Row::new(Call::SnapshotList, "snapshot/list", &[inventory::SNAPSHOTS])
        .collected("snapshots", true),
    Row::new(Call::AuditLog, "getAuditLog", &[inventory::LOG_ENTRIES]).collected("audit", false),
    Row::new(
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
        let mut at = 0;
        while at < TABLE.len() {
            all[at] = TABLE[at].call;
            at += 1;
        }
        all
    };

    /// The calls that tell what rarely changes, each of which can be switched off.
    pub const INVENTORY: [Self; 6] = [
        Self::PolicyViolations,
        Self::SuspensionDetails,
        Self::BackupList,
        Self::SnapshotList,
        Self::AuditLog,
        Self::MigrateLocations,
    ];

    /// The keys of `collect` in the configuration. Each switches the calls on and off that name it in the table.
    pub const COLLECT_KEYS: [&str; 5] = ["snapshots", "backups", "policy", "audit", "locations"];

    pub(super) const fn row(self) -> &'static Row {
        const ROWS: &[Row; TABLE.len()] = &TABLE;
        &ROWS[self.index()]
    }

    /// The vendor's name: the last part of the URL and the value of the `call` label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The wanted interval unless one is configured.
    #[must_use]
    pub const fn default_interval(self) -> Duration {
        self.row().interval
    }

    /// The key of `collect` in the configuration that switches the call on and off, and its default. `None` for a call
    /// that is always made.
    #[must_use]
    pub const fn collect(self) -> Option<(&'static str, bool)> {
        self.row().collect
    }

    /// Points that the call is taken to cost until its price is learned.
    #[must_use]
    pub const fn first_price(self) -> f64 {
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
    fn the_rows_stand_in_the_order_of_the_calls() {
        for (index, call) in Call::ALL.into_iter().enumerate() {
            assert_eq!(call.index(), index, "{}", call.name());
        }
    }
    #[test]
    fn each_key_of_the_configuration_switches_a_call_that_is_inventory() {
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
