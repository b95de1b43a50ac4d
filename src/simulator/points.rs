//! API points: two windows, costs, and refusals when they are spent.
//!
//! The rules of `KiwiVM` are not documented, so everything is a parameter.

use std::collections::{BTreeMap, HashMap, VecDeque};

/// The windows in seconds: 15 minutes and 24 hours.
const WINDOWS: [f64; 2] = [15.0 * 60.0, 24.0 * 60.0 * 60.0];

/// Options of the API points.
#[derive(Clone, Debug)]
pub struct PointsOptions {
    /// Points in 15 minutes and in 24 hours.
    pub sizes: [f64; 2],
    /// Costs of calls by name; 1 for those not named.
    pub costs: BTreeMap<String, Cost>,
    /// The VPSes that share a quota.
    pub scope: PointsScope,
    /// True for sliding windows, false for fixed ones.
    pub sliding: bool,
    /// Seconds until spent points show in the remaining points.
    pub lag: f64,
    /// The reply to a call without points.
    pub refusal: PointsRefusal,
}

/// Cost of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Points; fractions are counted, but not shown.
    pub points: f64,
    /// One call in this many costs this instead.
    pub sometimes: Option<(u64, f64)>,
    /// From this second of the story on, a call costs this instead.
    pub then: Option<(f64, f64)>,
}

impl From<f64> for Cost {
    fn from(points: f64) -> Self {
        Self {
            points,
            sometimes: None,
            then: None,
        }
    }
}

/// The VPSes that share a quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PointsScope {
    /// Each VPS has its own quota.
    Vps,
    /// The account has one quota.
    Account,
    /// VPSes with the same VEID modulo this number share one.
    Groups(u64),
}

/// The reply to a call when not enough points are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointsRefusal {
    /// HTTP 429.
    Status,
    /// The connection is dropped.
    Drop,
    /// An error of the API.
    Message,
}

impl Default for PointsOptions {
    fn default() -> Self {
        Self {
            sizes: [1000.0, 20_000.0],
            costs: BTreeMap::new(),
            scope: PointsScope::Vps,
            sliding: false,
            lag: 0.0,
            refusal: PointsRefusal::Status,
        }
    }
}

/// The points spent of all quotas.
#[derive(Debug)]
pub struct PointsAccount {
    options: PointsOptions,
    quotas: HashMap<u64, [PointsWindow; 2]>,
    calls: u64,
}

/// One window of one quota.
#[derive(Debug, Default)]
struct PointsWindow {
    spent: VecDeque<(f64, f64)>,
    sum: f64,
    begun: f64,
    /// Points spent within the lag.
    unseen: VecDeque<(f64, f64)>,
}

impl PointsWindow {
    /// Drops spending that is no longer in the window, which is `length` seconds long.
    fn expire(&mut self, length: f64, sliding: bool, now: f64) {
        let from = if sliding {
            now - length
        } else {
            (now / length).floor() * length
        };
        if !sliding && from > self.begun {
            self.begun = from;
            self.spent.clear();
            self.sum = 0.0;
        }
        while let Some((_, points)) = self
            .spent
            .front()
            .filter(|(at, _)| *at <= from && sliding)
            .copied()
        {
            self.spent.pop_front();
            self.sum -= points;
        }
        if self.spent.is_empty() {
            self.sum = 0.0;
        }
    }
}

impl PointsAccount {
    /// An account that has spent no points.
    #[must_use]
    pub fn new(options: PointsOptions) -> Self {
        Self {
            options,
            quotas: HashMap::new(),
            calls: 0,
        }
    }

    /// Spends the points of a call and returns how many; `now` is in seconds of the story.
    ///
    /// # Errors
    ///
    /// The kind of refusal, if not enough points are left for it.
    pub fn spend(&mut self, veid: u64, call: &str, now: f64) -> Result<f64, PointsRefusal> {
        self.calls += 1;
        let cost = self.cost(call, now);
        self.spend_points(veid, cost, now)
    }

    /// Spends points as another client of the same account would.
    ///
    /// # Errors
    ///
    /// The kind of refusal, if not enough points are left.
    pub fn spend_points(&mut self, veid: u64, points: f64, now: f64) -> Result<f64, PointsRefusal> {
        let (sizes, sliding, refusal) = (
            self.options.sizes,
            self.options.sliding,
            self.options.refusal,
        );
        let lag = self.options.lag;
        let counters = self.counters(veid);
        for (window, counter) in counters.iter_mut().enumerate() {
            counter.expire(WINDOWS[window], sliding, now);
        }
        if counters
            .iter()
            .zip(sizes)
            .any(|(counter, size)| counter.sum + points > size)
        {
            return Err(refusal);
        }
        for counter in counters {
            counter.sum += points;
            counter.spent.push_back((now, points));
            if lag > 0.0 {
                counter.unseen.push_back((now, points));
            }
        }
        Ok(points)
    }

    /// Sizes of the windows.
    #[must_use]
    pub fn sizes(&self) -> [u64; 2] {
        self.options.sizes.map(whole)
    }

    /// Points left in both windows, as the API reports them.
    pub fn remaining(&mut self, veid: u64, now: f64) -> [u64; 2] {
        let (sizes, sliding, lag) = (self.options.sizes, self.options.sliding, self.options.lag);
        let counters = self.counters(veid);
        std::array::from_fn(|window| {
            let counter = &mut counters[window];
            counter.expire(WINDOWS[window], sliding, now);
            while counter
                .unseen
                .front()
                .is_some_and(|(at, _)| now - at >= lag)
            {
                counter.unseen.pop_front();
            }
            let unseen: f64 = counter.unseen.iter().map(|(_, points)| points).sum();
            whole((sizes[window] - counter.sum + unseen).min(sizes[window]))
        })
    }

    fn cost(&self, call: &str, now: f64) -> f64 {
        let Some(cost) = self.options.costs.get(call) else {
            return 1.0;
        };
        match (cost.then, cost.sometimes) {
            (Some((from, points)), _) if now >= from => points,
            (_, Some((one_in, points))) if scattered(self.calls).is_multiple_of(one_in.max(1)) => {
                points
            }
            _ => cost.points,
        }
    }

    fn counters(&mut self, veid: u64) -> &mut [PointsWindow; 2] {
        let quota = match self.options.scope {
            PointsScope::Vps => veid,
            PointsScope::Account => 0,
            PointsScope::Groups(groups) => veid % groups.max(1),
        };
        self.quotas.entry(quota).or_default()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most the size of a window"
)]
fn whole(points: f64) -> u64 {
    points.max(0.0).floor() as u64
}

/// Scatters the counts, so that a regular schedule does not always meet the same costs.
const fn scattered(count: u64) -> u64 {
    let mixed = count.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed ^ (mixed >> 27)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(sliding: bool, scope: PointsScope) -> PointsAccount {
        PointsAccount::new(PointsOptions {
            sizes: [10.0, 100.0],
            costs: BTreeMap::from([("dear".to_owned(), 4.0.into())]),
            scope,
            sliding,
            refusal: PointsRefusal::Drop,
            ..PointsOptions::default()
        })
    }

    #[test]
    fn fixed_windows_reset_and_sliding_windows_recover() {
        for (sliding, at_900, at_1700) in [(false, 10, 10), (true, 6, 10)] {
            let mut points = points(sliding, PointsScope::Vps);
            points.spend(1, "dear", 800.0).expect("there are points");
            assert_eq!(points.remaining(1, 800.0), [6, 96]);
            assert_eq!(points.remaining(1, 900.0)[0], at_900);
            assert_eq!(points.remaining(1, 1701.0)[0], at_1700);
        }
    }

    #[test]
    fn refuses_a_call_without_points() {
        let mut points = points(true, PointsScope::Account);
        assert_eq!(points.spend(1, "dear", 1.0), Ok(4.0));
        assert_eq!(points.spend(2, "dear", 2.0), Ok(4.0));
        assert_eq!(points.spend(3, "dear", 3.0), Err(PointsRefusal::Drop));
        assert_eq!(points.spend(3, "cheap", 3.0), Ok(1.0));
        assert_eq!(points.remaining(9, 3.0), [1, 91]);
    }

    #[test]
    fn vpses_of_a_group_share_a_quota() {
        let mut points = points(true, PointsScope::Groups(2));
        points.spend(1, "dear", 1.0).expect("there are points");
        assert_eq!([2, 3].map(|veid| points.remaining(veid, 1.0)[0]), [10, 6]);
    }

    #[test]
    fn costs_vary_and_remaining_points_lag() {
        let cost = Cost {
            points: 0.5,
            sometimes: Some((4, 3.0)),
            then: Some((100.0, 2.0)),
        };
        let mut points = PointsAccount::new(PointsOptions {
            costs: BTreeMap::from([("odd".to_owned(), cost)]),
            lag: 10.0,
            ..PointsOptions::default()
        });
        let spent: Vec<f64> = (0..40)
            .map(|_| points.spend(1, "odd", 1.0).expect("there are points"))
            .collect();
        let dear = spent.iter().filter(|points| **points > 1.0).count();
        assert!((4..=16).contains(&dear), "{spent:?}");
        assert_eq!(points.spend(1, "odd", 100.0), Ok(2.0));
        assert_eq!(points.remaining(1, 10.0), [1000, 20_000]);
        let seen: f64 = spent.iter().sum();
        assert_eq!(points.remaining(1, 101.0)[0], whole(1000.0 - seen));
    }
}
