//! The part of the planner that survives a restart. Times are seconds before or after the moment of saving, and calls
//! go by name.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Planner;
use crate::budget::backoff::AUTHENTICATION_PAUSE;
use crate::budget::downloads::Downloads;
use crate::budget::pace::Pace;
use crate::budget::prices::{Prices, SavedPrices};
use crate::budget::quota::{Quota, Reading, Remaining, Sizes, USUAL_SIZES};
use crate::budget::window::Entry;
use crate::config::Scope;
use crate::kiwivm::{Call, Veid};

/// Waits in a saved state are not longer, nor than two intervals or the pause after a refused key: a damaged number
/// must not silence a call.
const LONGEST_WAIT: f64 = 24.0 * 3600.0;

/// Values by name of the call; calls without a value are missing.
type ByName<T> = BTreeMap<String, T>;

/// The saved state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    prices: SavedPrices,
    quotas: Vec<SavedQuota>,
    vps: Vec<SavedVps>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct SavedQuota {
    members: Vec<u64>,
    /// Points spent, by window.
    spent: [Vec<Entry>; 2],
    sizes: [[f64; 2]; 2],
    /// The last reading and its age in seconds.
    reading: Option<(f64, Remaining)>,
    /// The age and the factor of the last halving.
    brake: Option<(f64, f64)>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct SavedVps {
    veid: u64,
    /// Seconds from now, below 0 when overdue.
    due: ByName<f64>,
    /// Seconds.
    intervals: ByName<f64>,
    failures: ByName<u32>,
    /// Bytes of the last response.
    bytes: ByName<u64>,
    /// Bytes of the trailing day.
    received: Vec<Entry>,
}

/// The knowledge in a saved state, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// Prices in points, by [`Call::index`], of calls that were sampled.
    pub prices: [Option<f64>; Call::ALL.len()],
    /// The largest confirmed readings, by window.
    pub sizes: Remaining,
    /// Whether any VPSes are taken to share a quota.
    pub shared: bool,
    /// Bytes of a response by [`Call::index`], on average over the VPSes.
    pub bytes: [f64; Call::ALL.len()],
    bytes_of: Vec<(Veid, [u64; Call::ALL.len()])>,
}

impl Learned {
    /// The intervals of a VPS that keep its downloads within `download` bytes a day.
    #[must_use]
    pub fn affordable(&self, veid: Veid, pace: Pace, download: u64) -> Pace {
        let sizes = self.bytes_of.iter().find(|(of, _)| *of == veid);
        sizes.map_or(pace, |(_, sizes)| {
            Downloads::with_sizes(*sizes).affordable(pace, download)
        })
    }
}

impl Memory {
    /// The knowledge in it.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "bytes for people")]
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
            .map(|vps| {
                (
                    Veid(vps.veid),
                    by_index(&vps.bytes).map(Option::unwrap_or_default),
                )
            })
            .collect();
        let mean = |call: usize| {
            let sum: u64 = bytes_of.iter().map(|(_, bytes)| bytes[call]).sum();
            sum as f64 / bytes_of.len().max(1) as f64
        };
        Learned {
            prices: Call::ALL.map(|call| prices.learned(call)),
            sizes: sizes.unwrap_or(USUAL_SIZES),
            shared: self.quotas.iter().any(|quota| quota.members.len() > 1),
            bytes: std::array::from_fn(mean),
            bytes_of,
        }
    }
}

impl Planner {
    /// The state to save at `now`.
    #[must_use]
    pub fn remember(&self, now: Duration) -> Memory {
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
        };
        Memory {
            prices: self.prices.save(),
            quotas: self.quotas.iter().map(quota).collect(),
            vps: self
                .order
                .iter()
                .filter_map(|veid| self.remember_vps(*veid, now))
                .collect(),
        }
    }

    fn remember_vps(&self, veid: Veid, now: Duration) -> Option<SavedVps> {
        let (account, entry) = (self.accounts.get(&veid)?, self.schedule.of(veid)?);
        let mut due = entry.due;
        for flight in entry.in_flight.iter().flatten() {
            // It is on its way, and is repeated after an interval whatever its result.
            due[flight.call.index()] = Some(flight.started + entry.interval(flight.call));
        }
        let seconds = |time: Duration| time.as_secs_f64() - now.as_secs_f64();
        Some(SavedVps {
            veid: veid.0,
            due: by_name(due.map(|due| due.map(seconds))),
            intervals: by_name(
                entry
                    .intervals
                    .map(|interval| Some(interval?.as_secs_f64())),
            ),
            failures: by_name(entry.failures.map(|count| (count > 0).then_some(count))),
            bytes: by_name(
                account
                    .downloads
                    .sizes()
                    .map(|size| (size > 0).then_some(size)),
            ),
            received: account.downloads.save(now),
        })
    }

    /// Goes on from a state that was saved `elapsed` ago.
    pub fn recall(&mut self, memory: &Memory, elapsed: Duration, now: Duration) {
        self.prices = Prices::restore(&memory.prices);
        if self.limits.scope == Scope::Auto {
            let grouped = |veid: u64| {
                self.accounts
                    .get(&Veid(veid))
                    .is_some_and(|account| account.group.is_some())
            };
            let parted =
                |quota: &SavedQuota| quota.members.len() == 1 && !grouped(quota.members[0]);
            let united = |quota: &SavedQuota| quota.members.len() > 1 && !grouped(quota.members[0]);
            let is_parted = memory.quotas.iter().any(parted) && !memory.quotas.iter().any(united);
            self.regroup(!is_parted);
        }
        for quota in &mut self.quotas {
            for old in &memory.quotas {
                if old
                    .members
                    .iter()
                    .any(|veid| quota.members.contains(&Veid(*veid)))
                {
                    recall_quota(quota, old, elapsed, now);
                }
            }
        }
        for saved in &memory.vps {
            self.recall_vps(saved, elapsed, now);
        }
        self.report.moved.extend(&self.order);
    }

    fn recall_vps(&mut self, saved: &SavedVps, elapsed: Duration, now: Duration) {
        let veid = Veid(saved.veid);
        let Some(account) = self.accounts.get_mut(&veid) else {
            return;
        };
        let bytes = by_index(&saved.bytes).map(Option::unwrap_or_default);
        account
            .downloads
            .restore(bytes, &saved.received, elapsed, now);
        let (due, intervals) = (by_index(&saved.due), by_index(&saved.intervals));
        self.schedule.edit(veid, |entry| {
            let paused = due[Call::LiveServiceInfo.index()].is_none();
            for call in Call::ALL {
                let index = call.index();
                // Overdue calls keep the place that the first round gives them.
                let first = entry.due[index];
                let longest = intervals[index].map_or(0.0, |interval| 2.0 * interval);
                let longest = longest.clamp(AUTHENTICATION_PAUSE.as_secs_f64(), LONGEST_WAIT);
                let wait = due[index].map(|due| (due - elapsed.as_secs_f64()).min(longest));
                entry.tried[index] = wait.is_some_and(|wait| wait > 0.0);
                entry.due[index] = match wait {
                    Some(wait) if wait > 0.0 => {
                        Some(now + Duration::try_from_secs_f64(wait).unwrap_or_default())
                    }
                    Some(_) => first.or(Some(now)),
                    None if paused => None,
                    None => first,
                };
                if call != Call::ServiceInfo && entry.intervals[index].is_none() {
                    entry.due[index] = None;
                }
                // The waits belong to these intervals; the next plan rescales them.
                if let (Some(interval), Some(saved)) =
                    (&mut entry.intervals[index], intervals[index])
                    && let Ok(saved) =
                        Duration::try_from_secs_f64(saved.clamp(0.01, 30.0 * LONGEST_WAIT))
                {
                    *interval = saved;
                }
            }
            entry.failures = by_index(&saved.failures).map(Option::unwrap_or_default);
        });
    }
}

/// Adds the saved knowledge of a quota, or of a part of it, to `quota`.
fn recall_quota(quota: &mut Quota, saved: &SavedQuota, elapsed: Duration, now: Duration) {
    let believable = |points: f64| points.is_finite() && points >= 0.0;
    quota.ledger.restore(&saved.spent, elapsed, now);
    if saved.sizes.iter().flatten().all(|size| believable(*size)) {
        quota.sizes.merge(&Sizes {
            largest: saved.sizes,
        });
    }
    if let Some((age, remaining)) = saved.reading
        && remaining.iter().all(|points| believable(*points))
        && let Some(at) = before(now, elapsed, age)
        && quota.readings.last[0].is_none_or(|last| last.at < at)
    {
        let reading = Reading {
            at,
            remaining,
            spent: quota.spent,
        };
        quota.readings.last[0] = Some(reading);
        quota.readings.asked = at;
        quota.readings.since = Some(at);
    }
    let brake = saved
        .brake
        .and_then(|(age, factor)| Some((before(now, elapsed, age)?, factor)));
    quota
        .brake
        .restore(brake.filter(|(_, factor)| factor.is_finite()));
    quota.started = None;
}

/// The points that a reading shows, less the spending since.
fn left_of(quota: &Quota, reading: &Reading) -> Remaining {
    reading
        .remaining
        .map(|left| (left - (quota.spent - reading.spent)).max(0.0))
}

fn age(at: Duration, now: Duration) -> f64 {
    now.saturating_sub(at).as_secs_f64()
}

fn before(now: Duration, elapsed: Duration, age: f64) -> Option<Duration> {
    let age = Duration::try_from_secs_f64(age).ok()?;
    now.checked_sub(elapsed)?.checked_sub(age)
}

fn by_name<T: Copy>(values: [Option<T>; Call::ALL.len()]) -> ByName<T> {
    let named = |call: Call| Some((call.name().to_owned(), values[call.index()]?));
    Call::ALL.into_iter().filter_map(named).collect()
}

fn by_index<T: Copy>(values: &ByName<T>) -> [Option<T>; Call::ALL.len()] {
    Call::ALL.map(|call| values.get(call.name()).copied())
}

#[cfg(test)]
mod tests;
