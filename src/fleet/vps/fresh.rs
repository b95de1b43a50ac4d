//! The values of a VPS that are fresh: no older than `staleness` planned intervals of their call.

use std::time::Duration;

use super::{Known, VpsState};
use crate::clock::Moment;
use crate::fleet::forecast::Forecast;
use crate::fleet::{LIVE_LIMIT, SERVICE_LIMIT};
use crate::kiwivm::Call;
use crate::kiwivm::model::{Inventory, LiveInfo, Lock, RateLimitStatus, ServiceInfo, UsageRow};
use crate::units::UnixSeconds;

impl VpsState {
    /// Service info, while fresh.
    #[must_use]
    pub fn service(&self, staleness: f64, now: Moment) -> Option<&ServiceInfo> {
        self.fresh(self.service.as_ref(), Call::ServiceInfo, staleness, now)
    }

    /// Live info, while fresh.
    #[must_use]
    pub fn live(&self, staleness: f64, now: Moment) -> Option<&LiveInfo> {
        self.fresh(self.live.as_ref(), Call::LiveServiceInfo, staleness, now)
    }

    /// Remaining points as last read, while fresh.
    #[must_use]
    pub fn points(&self, staleness: f64, now: Moment) -> Option<&RateLimitStatus> {
        self.fresh(self.points.as_ref(), Call::RateLimitStatus, staleness, now)
    }

    /// The task that holds the VPS: `Some(None)` if there is none, `None` if unknown or stale.
    #[must_use]
    pub fn lock(&self, staleness: f64, now: Moment) -> Option<&Option<Lock>> {
        self.fresh(self.lock.as_ref(), Call::LiveServiceInfo, staleness, now)
    }

    /// The newest usage row, while fresh by its own time: polling old rows again does not refresh them.
    #[must_use]
    pub fn usage(&self, staleness: f64, now: Moment) -> Option<&UsageRow> {
        let limit = self.limit(Call::RawUsageStats, staleness).as_secs_f64();
        let newest = &self.usage.as_ref()?.newest;
        (now.unix - UnixSeconds::from(newest.timestamp) <= limit).then_some(newest)
    }

    /// The forecast, while rows and service info are fresh. `None` for a suspended VPS, whose use does not grow.
    #[must_use]
    pub fn forecast(&self, staleness: f64, now: Moment) -> Option<&Forecast> {
        let info = self.service(staleness, now)?;
        if info.suspended == Some(true) {
            return None;
        }
        let reset = UnixSeconds::from(info.data_next_reset?);
        self.usage(staleness, now)?;
        self.forecast
            .as_ref()
            .filter(|forecast| forecast.reset == reset && reset > now.unix)
    }

    /// Data of one of [`Call::INVENTORY`], while fresh.
    #[must_use]
    pub fn inventory(&self, call: Call, staleness: f64, now: Moment) -> Option<&Inventory> {
        let known = self.inventory[call].as_deref();
        self.fresh(known, call, staleness, now)
    }

    /// Time at which the vendor deletes the next snapshot, while the list is fresh.
    #[must_use]
    pub fn next_purge(&self, staleness: f64, now: Moment) -> Option<UnixSeconds> {
        let listed = self.calls[Call::SnapshotList].last_success?;
        match self.inventory(Call::SnapshotList, staleness, now)? {
            Inventory::Snapshots(snapshots) => {
                let purges_in = Duration::from_secs(snapshots.purges_in?);
                Some(UnixSeconds(listed.0.round()) + purges_in.as_secs_f64())
            }
            _ => None,
        }
    }

    /// True while live or service info is fresh.
    #[must_use]
    pub fn up(&self, staleness: f64, now: Moment) -> bool {
        self.service(staleness, now).is_some() || self.live(staleness, now).is_some()
    }

    fn fresh<'a, T>(
        &self,
        known: Option<&'a Known<T>>,
        call: Call,
        staleness: f64,
        now: Moment,
    ) -> Option<&'a T> {
        known
            .filter(|known| now.elapsed <= known.at.saturating_add(self.limit(call, staleness)))
            .map(|known| &known.value)
    }

    /// The age at which data of a call are dropped.
    fn limit(&self, call: Call, staleness: f64) -> Duration {
        let longest = match call {
            Call::LiveServiceInfo => LIVE_LIMIT,
            _ => SERVICE_LIMIT,
        };
        self.calls[call]
            .freshness_interval()
            .and_then(|interval| {
                Duration::try_from_secs_f64(interval.as_secs_f64() * staleness).ok()
            })
            .map_or(longest, |limit| limit.min(longest))
    }
}
