//! The state of the planner that is kept over a restart. Times are seconds relative to the time of saving. Calls are
//! saved by name.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Planner;
use crate::budget::backoff::AUTHENTICATION_PAUSE;
use crate::budget::downloads::Downloads;
use crate::budget::pace::Pace;
use crate::budget::prices::{Prices, SavedPrices};
use crate::budget::quota::{Quota, Reading, Remaining, Sizes, USUAL_SIZES};
use crate::budget::window::SavedAmount;
use crate::config::Scope;
use crate::kiwivm::{Call, PerCall, Veid};
use crate::units::{AccountTime, Bytes, Points};

/// Upper bound, in seconds, of restored waits. They are also limited to two intervals or the pause after a refused key,
/// because a damaged number must not stop a call.
const MAX_WAIT: f64 = 24.0 * 3600.0;

/// The saved state of a planner.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedState {
    prices: SavedPrices,
    /// Seconds until the next price sample of each call.
    samples: PerCall<Option<f64>>,
    /// True if readings confirmed that VPSes share a quota.
    sharing_confirmed: bool,
    quotas: Vec<SavedQuota>,
    vps: Vec<SavedVps>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct SavedQuota {
    members: Vec<u64>,
    /// Points spent, by window.
    spent: [Vec<SavedAmount>; 2],
    sizes: [[Points; 2]; 2],
    /// The age of the last reading in seconds, and the points left by it.
    reading: Option<(f64, Remaining)>,
    /// The age of the last halving in seconds, and its factor.
    brake: Option<(f64, f64)>,
    /// The age of the last live call in seconds.
    last_live: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct SavedVps {
    veid: u64,
    /// Seconds until each call is due; negative if overdue.
    due: PerCall<Option<f64>>,
    /// Planned intervals in seconds.
    intervals: PerCall<Option<f64>>,
    failures: PerCall<Option<u32>>,
    /// Bytes of the last response.
    bytes: PerCall<Option<Bytes>>,
    /// Bytes of the trailing day.
    received: Vec<SavedAmount>,
}

/// Learned values of a saved state, for display.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// Prices of sampled calls.
    pub prices: PerCall<Option<Points>>,
    /// The largest confirmed readings, by window.
    pub sizes: Remaining,
    /// True if any VPSes are assumed to share a quota.
    pub shared: bool,
    /// Mean size of a response, over the VPSes.
    pub bytes: PerCall<Bytes<f64>>,
    bytes_of: Vec<(Veid, PerCall<Bytes>)>,
}

impl Learned {
    /// Returns the intervals of a VPS that keep its downloads within `download` per day.
    #[must_use]
    pub fn affordable(&self, veid: Veid, pace: Pace, download: Bytes) -> Pace {
        let sizes = self.bytes_of.iter().find(|(of, _)| *of == veid);
        sizes.map_or(pace, |(_, sizes)| {
            Downloads::with_sizes(*sizes).affordable(pace, download)
        })
    }
}

impl SavedState {
    /// Returns the learned values.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "bytes for display")]
    pub fn learned(&self) -> Learned {
        let prices = Prices::restore(&self.prices);
        let sizes = self
            .quotas
            .iter()
            .filter_map(|quota| {
                Sizes {
                    largest: quota.sizes,
                }
                .confirmed()
            })
            .reduce(|a, b| [a[0].max(b[0]), a[1].max(b[1])]);
        let bytes_of: Vec<_> = self
            .vps
            .iter()
            .map(|vps| (Veid(vps.veid), vps.bytes.map(Option::unwrap_or_default)))
            .collect();
        let mean = |call: Call| {
            let sum: u64 = bytes_of.iter().map(|(_, bytes)| bytes[call].0).sum();
            Bytes(sum as f64 / bytes_of.len().max(1) as f64)
        };
        Learned {
            prices: PerCall::from_fn(|call| prices.learned(call)),
            sizes: sizes.unwrap_or(USUAL_SIZES),
            shared: self.quotas.iter().any(|quota| quota.members.len() > 1),
            bytes: PerCall::from_fn(mean),
            bytes_of,
        }
    }
}

impl Planner {
    /// Returns the state to save at `now`.
    #[must_use]
    pub fn save_state(&self, now: AccountTime) -> SavedState {
        let quota = |quota: &Quota| SavedQuota {
            members: quota.members.iter().map(|veid| veid.0).collect(),
            spent: quota.ledger.save(now),
            sizes: quota.sizes.largest,
            reading: quota.readings.last[0]
                .map(|reading| (age(reading.at, now), left_of(quota, &reading))),
            brake: quota
                .brake
                .halved()
                .map(|(at, factor)| (age(at, now), factor)),
            last_live: Some(age(quota.last_live, now)),
        };
        SavedState {
            prices: self.prices.save(),
            samples: self.sampling.save(now),
            sharing_confirmed: !self.votes.is_open(),
            quotas: self.quotas.iter().map(quota).collect(),
            vps: self
                .order
                .iter()
                .filter_map(|veid| self.save_vps(*veid, now))
                .collect(),
        }
    }

    fn save_vps(&self, veid: Veid, now: AccountTime) -> Option<SavedVps> {
        let (account, entry) = (self.accounts.get(&veid)?, self.schedule.of(veid)?);
        let mut due = entry.due;
        for flight in entry.in_flight.iter().flatten() {
            // The result is not saved, so the call is repeated after an interval.
            due[flight.call] = Some(flight.started + entry.interval(flight.call));
        }
        let seconds =
            |time: AccountTime| time.since(now).as_secs_f64() - now.since(time).as_secs_f64();
        Some(SavedVps {
            veid: veid.0,
            due: due.map(|due| due.map(seconds)),
            intervals: entry
                .intervals
                .map(|interval| Some(interval?.as_secs_f64())),
            failures: entry.failures.map(|count| (count > 0).then_some(count)),
            bytes: account
                .downloads
                .sizes()
                .map(|size| (size > Bytes(0)).then_some(size)),
            received: account.downloads.save(now),
        })
    }

    /// Restores a state that was saved `elapsed` ago.
    pub fn restore_state(&mut self, state: &SavedState, elapsed: Duration, now: AccountTime) {
        self.prices = Prices::restore(&state.prices);
        self.sampling.restore(&state.samples, elapsed, now);
        if self.limits.scope == Scope::Auto {
            let grouped = |veid: u64| {
                self.accounts
                    .get(&Veid(veid))
                    .is_some_and(|account| account.group.is_some())
            };
            let separate =
                |quota: &SavedQuota| quota.members.len() == 1 && !grouped(quota.members[0]);
            let shared = |quota: &SavedQuota| quota.members.len() > 1 && !grouped(quota.members[0]);
            let was_split = state.quotas.iter().any(separate) && !state.quotas.iter().any(shared);
            self.regroup(!was_split);
            self.votes.restore(state.sharing_confirmed && !was_split);
        }
        for quota in &mut self.quotas {
            for old in &state.quotas {
                if old
                    .members
                    .iter()
                    .any(|veid| quota.members.contains(&Veid(*veid)))
                {
                    restore_quota(quota, old, elapsed, now);
                }
            }
        }
        for saved in &state.vps {
            self.restore_vps(saved, elapsed, now);
        }
        self.report.changed.extend(&self.order);
    }

    fn restore_vps(&mut self, saved: &SavedVps, elapsed: Duration, now: AccountTime) {
        let veid = Veid(saved.veid);
        let Some(account) = self.accounts.get_mut(&veid) else {
            return;
        };
        let bytes = saved.bytes.map(Option::unwrap_or_default);
        account
            .downloads
            .restore(bytes, &saved.received, elapsed, now);
        let (due, intervals) = (saved.due, saved.intervals);
        self.schedule.edit(veid, |entry| {
            let paused = due[Call::LiveServiceInfo].is_none();
            for call in Call::ALL {
                // Overdue calls keep their time in the first round.
                let first = entry.due[call];
                let longest = intervals[call].map_or(0.0, |interval| 2.0 * interval);
                let longest = longest.clamp(AUTHENTICATION_PAUSE.as_secs_f64(), MAX_WAIT);
                let wait = due[call].map(|due| (due - elapsed.as_secs_f64()).min(longest));
                entry.tried[call] = wait.is_some_and(|wait| wait > 0.0);
                entry.due[call] = match wait {
                    Some(wait) if wait > 0.0 => {
                        Some(now + Duration::try_from_secs_f64(wait).unwrap_or_default())
                    }
                    Some(_) => first.or(Some(now)),
                    None if paused => None,
                    None => first,
                };
                if call != Call::ServiceInfo && entry.intervals[call].is_none() {
                    entry.due[call] = None;
                }
                // The waits belong to the saved intervals. The next plan rescales both.
                if let (Some(interval), Some(saved)) = (&mut entry.intervals[call], intervals[call])
                    && let Ok(saved) =
                        Duration::try_from_secs_f64(saved.clamp(0.01, 30.0 * MAX_WAIT))
                {
                    *interval = saved;
                }
            }
            entry.failures = saved.failures.map(Option::unwrap_or_default);
        });
    }
}

/// Adds the saved state of a quota, or of a part of it, to `quota`.
fn restore_quota(quota: &mut Quota, saved: &SavedQuota, elapsed: Duration, now: AccountTime) {
    let is_valid = |points: Points| points.0.is_finite() && points >= Points::ZERO;
    quota.ledger.restore(&saved.spent, elapsed, now);
    if saved.sizes.iter().flatten().all(|size| is_valid(*size)) {
        quota.sizes.merge(&Sizes {
            largest: saved.sizes,
        });
    }
    if let Some((age, remaining)) = saved.reading
        && remaining.iter().all(|points| is_valid(*points))
        && let Some(at) = before(now, elapsed, age)
        && quota.readings.last[0].is_none_or(|last| last.at < at)
    {
        let reading = Reading {
            at,
            remaining,
            spent: quota.spent,
        };
        quota.readings.last[0] = Some(reading);
        quota.readings.last_request = at;
        // A restart needs no more readings than usual.
        quota.readings.first_request = Some(AccountTime::ZERO);
    }
    let brake = saved
        .brake
        .and_then(|(age, factor)| Some((before(now, elapsed, age)?, factor)));
    quota
        .brake
        .restore(brake.filter(|(_, factor)| factor.is_finite()));
    let last_live = saved
        .last_live
        .and_then(|age| before(now, elapsed, age.max(0.0)));
    quota.last_live = quota.last_live.max(last_live.unwrap_or_default());
}

/// Returns the points of a reading less the spending since.
fn left_of(quota: &Quota, reading: &Reading) -> Remaining {
    reading
        .remaining
        .map(|left| (left - (quota.spent - reading.spent)).max(Points::ZERO))
}

fn age(at: AccountTime, now: AccountTime) -> f64 {
    now.since(at).as_secs_f64()
}

fn before(now: AccountTime, elapsed: Duration, age: f64) -> Option<AccountTime> {
    let age = Duration::try_from_secs_f64(age).ok()?;
    now.checked_sub(elapsed)?.checked_sub(age)
}

#[cfg(test)]
mod tests;
