//! What of the planner survives a restart. Times are ages in seconds, so that the clock it was measured with may end.

use std::collections::HashSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Account, Planner};
use crate::budget::allowance::{Remaining, USUAL_SIZES};
use crate::budget::costs::Costs;
use crate::budget::downloads::Downloads;
use crate::budget::lag::Lag;
use crate::budget::pace::Pace;
use crate::budget::schedule::Remembered;
use crate::budget::window::Entry;
use crate::config::Scope;
use crate::kiwivm::{Call, Veid};

/// What the planner remembers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    costs: Costs,
    lag_votes: i32,
    groups: Vec<GroupMemory>,
    vps: Vec<VpsMemory>,
}

/// VPSes that were found to share an allowance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct GroupMemory {
    members: Vec<u64>,
    certain: bool,
    sliding: i32,
    brake: Option<(f64, f64)>,
    assumed: Option<(f64, Remaining)>,
}

/// One VPS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct VpsMemory {
    veid: u64,
    /// By window.
    spent: [Vec<Entry>; 2],
    largest: Remaining,
    reading: Option<(f64, Remaining)>,
    /// Seconds, by [`Call::index`].
    intervals: [Option<f64>; Call::ALL.len()],
    /// Seconds from now, by [`Call::index`]; below 0 when overdue.
    due: [Option<f64>; Call::ALL.len()],
    failures: [u32; Call::ALL.len()],
    sizes: [u64; Call::ALL.len()],
    received: Vec<Entry>,
    brake: Option<(f64, f64)>,
}

/// What was learned, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Learnt {
    /// Costs in points, by [`Call::index`], of calls that were measured.
    pub costs: [Option<f64>; Call::ALL.len()],
    /// The largest remaining points seen, by window.
    pub sizes: Remaining,
    /// Whether any VPSes are taken to share an allowance.
    pub shared: bool,
    /// Bytes of an answer by [`Call::index`], on average over the VPSes.
    pub bytes: [f64; Call::ALL.len()],
    sizes_of: Vec<(Veid, [u64; Call::ALL.len()])>,
}

impl Learnt {
    /// The intervals of a VPS that keep its downloads within `download` bytes a day.
    #[must_use]
    pub fn bearable(&self, veid: Veid, pace: Pace, download: u64) -> Pace {
        let sizes = self.sizes_of.iter().find(|(of, _)| *of == veid);
        sizes.map_or(pace, |(_, sizes)| {
            Downloads::with_sizes(*sizes).bearable(pace, download)
        })
    }
}

impl Memory {
    /// What is of interest in it.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "bytes for people")]
    pub fn learnt(&self) -> Learnt {
        let largest = |window: usize| {
            self.vps
                .iter()
                .map(|vps| vps.largest[window])
                .fold(0.0, f64::max)
        };
        let sizes = std::array::from_fn(|window| {
            let largest = largest(window);
            if largest > 0.0 {
                largest
            } else {
                USUAL_SIZES[window]
            }
        });
        let bytes = std::array::from_fn(|call| {
            self.vps
                .iter()
                .map(|vps| vps.sizes[call] as f64)
                .sum::<f64>()
                / self.vps.len().max(1) as f64
        });
        Learnt {
            costs: Call::ALL.map(|call| self.costs.learned(call)),
            sizes,
            shared: self.groups.iter().any(|group| group.members.len() > 1),
            bytes,
            sizes_of: self
                .vps
                .iter()
                .map(|vps| (Veid(vps.veid), vps.sizes))
                .collect(),
        }
    }
}

impl Planner {
    /// What is to be written before the calls that [`Planner::take_due`] gave are sent. Calls that become due within
    /// `ahead` are written as sent, so that nothing needs to be written before they are.
    pub fn remember(&mut self, ahead: Duration, now: Duration) -> Memory {
        let soon = if ahead.is_zero() {
            Vec::new()
        } else {
            self.schedule.waiting(now + ahead)
        };
        self.promised = soon
            .into_iter()
            .map(|(call, _, veid)| (veid, call))
            .collect();
        let groups = self
            .groups
            .iter()
            .map(|group| GroupMemory {
                members: group.allowance.members.iter().map(|veid| veid.0).collect(),
                certain: group.certain
                    && !group
                        .allowance
                        .members
                        .iter()
                        .any(|veid| self.unsurveyed.contains(veid)),
                sliding: group.allowance.sliding,
                brake: saved(group.allowance.brake.halved(), now),
                assumed: group
                    .allowance
                    .assumed
                    .map(|(at, points)| (age(at, now), points)),
            })
            .collect();
        let vps = self
            .order
            .iter()
            .filter_map(|veid| self.remember_vps(*veid, now))
            .collect();
        Memory {
            costs: self.costs.clone(),
            lag_votes: self.lag.votes(),
            groups,
            vps,
        }
    }

    fn remember_vps(&self, veid: Veid, now: Duration) -> Option<VpsMemory> {
        let account = self.accounts.get(&veid)?;
        let mut schedule = self.schedule.remember(veid)?;
        let mut spent = account.ledger.save(now);
        for call in Call::ALL {
            if self.promised.contains(&(veid, call)) {
                let interval = self.schedule.interval(veid, call).unwrap_or_default();
                schedule.due[call.index()] =
                    schedule.due[call.index()].map(|due| due.max(now) + interval);
                let promised = Entry {
                    age_seconds: 0.0,
                    spread_seconds: 0.0,
                    amount: self.costs.price(call),
                };
                for window in &mut spent {
                    window.push(promised);
                }
            }
        }
        Some(VpsMemory {
            veid: veid.0,
            spent,
            largest: account.largest,
            reading: account
                .reading
                .map(|(at, remaining)| (age(at, now), remaining)),
            intervals: schedule
                .intervals
                .map(|interval| interval.map(|interval| interval.as_secs_f64())),
            due: schedule
                .due
                .map(|due| due.map(|due| due.as_secs_f64() - now.as_secs_f64())),
            failures: schedule.failures,
            sizes: account.downloads.sizes(),
            received: account.downloads.save(now),
            brake: saved(account.brake.halved(), now),
        })
    }

    /// True when everything that was taken is accounted for by what [`Planner::remember`] gave last.
    #[must_use]
    pub fn remembered(&mut self, taken: &[crate::budget::Due]) -> bool {
        let before = self.promised.len();
        for due in taken {
            self.promised.remove(&(due.veid, due.call));
        }
        before - self.promised.len() == taken.len()
    }

    /// Goes on where [`Planner::remember`] left off `elapsed` ago. `now` must be later than anything remembered is
    /// old, or that is forgotten. VPSes that are not configured any more are passed over.
    pub fn recall(&mut self, memory: &Memory, elapsed: Duration, now: Duration) {
        let past = |age: f64| now.saturating_sub(elapsed).saturating_sub(finite(age));
        self.lag = Lag::from_votes(memory.lag_votes);
        self.replace_costs(memory.costs.clone());
        let step = Duration::from_millis(250);
        let mut overdue = 0;
        for vps in &memory.vps {
            let veid = Veid(vps.veid);
            let Some(account) = self.accounts.get_mut(&veid) else {
                continue;
            };
            **account = Account::new(account.pace);
            account.ledger.restore(&vps.spent, elapsed, now);
            account.spent = account.ledger.window(crate::budget::Window::Day).sum();
            account.largest = vps.largest.map(|points| {
                if points.is_finite() {
                    points.max(0.0)
                } else {
                    0.0
                }
            });
            account.reading = vps.reading.map(|(age, remaining)| (past(age), remaining));
            account
                .downloads
                .restore(vps.sizes, &vps.received, elapsed, now);
            account
                .brake
                .restore(vps.brake.map(|(age, factor)| (past(age), factor)));
            let due = vps
                .due
                .map(|due| due.map(|due| moved(now.saturating_sub(elapsed), due)));
            if due.iter().flatten().any(|due| *due <= now) {
                overdue += 1;
            }
            let remembered = Remembered {
                intervals: vps.intervals.map(|seconds| seconds.map(finite)),
                due,
                failures: vps.failures,
            };
            self.schedule
                .restore(veid, &remembered, now + step * overdue);
        }
        if self.limits.scope == Scope::Auto {
            self.regroup(self.parts_of(memory), now);
        } else {
            let parts = self
                .groups
                .iter()
                .map(|group| (group.allowance.members.clone(), group.certain))
                .collect();
            self.regroup(parts, now);
        }
        for group in &mut self.groups {
            // What a start does first is to read the points.
            group.allowance.reading = None;
            let first = group.allowance.members.first().map(|veid| veid.0);
            let saved = memory
                .groups
                .iter()
                .find(|saved| saved.members.first().copied() == first);
            if let Some(saved) = saved {
                group.allowance.sliding = saved.sliding;
                group
                    .allowance
                    .brake
                    .restore(saved.brake.map(|(age, factor)| (past(age), factor)));
                group.allowance.assumed = saved.assumed.map(|(age, points)| (past(age), points));
            }
        }
        for saved in memory
            .groups
            .iter()
            .filter(|saved| saved.members.len() == 1 && !saved.certain)
        {
            self.unsurveyed
                .extend(saved.members.iter().map(|veid| Veid(*veid)));
        }
        self.put_off_experiments(now);
        self.next_replan = now;
    }

    /// The groups as they were, of VPSes that are still configured; all together when there are new ones.
    fn parts_of(&self, memory: &Memory) -> Vec<(Vec<Veid>, bool)> {
        let mut left: HashSet<Veid> = self.order.iter().copied().collect();
        let parts: Vec<(Vec<Veid>, bool)> = memory
            .groups
            .iter()
            .map(|group| {
                let members = group
                    .members
                    .iter()
                    .map(|veid| Veid(*veid))
                    .filter(|veid| left.remove(veid));
                (members.collect::<Vec<_>>(), group.certain)
            })
            .filter(|(members, _)| !members.is_empty())
            .collect();
        if !left.is_empty() {
            // With whom new ones share is to be found out.
            return vec![(self.order.clone(), false)];
        }
        parts
    }
}

fn age(at: Duration, now: Duration) -> f64 {
    now.saturating_sub(at).as_secs_f64()
}

fn saved(halved: Option<(Duration, f64)>, now: Duration) -> Option<(f64, f64)> {
    halved.map(|(at, factor)| (age(at, now), factor))
}

fn finite(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// A time so many seconds after `from`, or before it.
fn moved(from: Duration, seconds: f64) -> Duration {
    if seconds < 0.0 {
        from.saturating_sub(finite(-seconds))
    } else {
        from.saturating_add(finite(seconds))
    }
}
