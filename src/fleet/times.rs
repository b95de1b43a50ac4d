//! The times of usage rows.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A day has no more rows than seconds; a file that claims to hold more is damaged.
const MOST: usize = 86_400;

/// Ascending times in Unix seconds, kept as runs: nearly all rows are as far apart, and there is a day of them for each
/// VPS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    runs: Vec<Run>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: u32,
    /// From one to the next, in seconds; 0 in a run of one, and only 0 is a multiple of 0.
    step: u32,
    count: u32,
}

impl Run {
    const fn last(self) -> u32 {
        self.first + self.step * (self.count - 1)
    }

    const fn contains(self, time: u32) -> bool {
        self.first <= time && time <= self.last() && (time - self.first).is_multiple_of(self.step)
    }

    fn times(self) -> impl Iterator<Item = u32> {
        (0..self.count).map(move |nth| self.first + self.step * nth)
    }
}

impl Times {
    /// Adds a time later than all; any other is passed over.
    fn push(&mut self, time: u32) {
        if let Some(run) = self.runs.last_mut() {
            let Some(step) = time.checked_sub(run.last()).filter(|step| *step > 0) else {
                return;
            };
            if run.count == 1 || run.step == step {
                run.step = step;
                run.count += 1;
                return;
            }
        }
        self.runs.push(Run {
            first: time,
            step: 0,
            count: 1,
        });
    }

    /// True when this time is one of them.
    pub(super) fn contains(&self, time: u32) -> bool {
        let later = self.runs.partition_point(|run| run.first <= time);
        let run = later.checked_sub(1).map(|run| self.runs[run]);
        run.is_some_and(|run| run.contains(time))
    }

    /// All of them, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.runs.iter().flat_map(|run| run.times())
    }
}

impl FromIterator<u32> for Times {
    /// Of ascending times; one that is not later than those before is passed over.
    fn from_iter<T: IntoIterator<Item = u32>>(times: T) -> Self {
        let mut collected = Self::default();
        times.into_iter().for_each(|time| collected.push(time));
        collected
    }
}

/// In a file, runs of `[distance, how often]`.
impl Serialize for Times {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut last = 0;
        let runs = self.runs.iter().flat_map(|run| {
            let distance = run.first - last;
            last = run.last();
            [(distance, 1), (run.step, run.count - 1)]
        });
        serializer.collect_seq(runs.filter(|(_, count)| *count > 0))
    }
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut times = Self::default();
        let (mut last, mut held) = (0_u32, 0);
        for (distance, count) in Vec::<(u32, u32)>::deserialize(deserializer)? {
            for _ in 0..count {
                last = last.saturating_add(distance);
                held += 1;
                if held > MOST {
                    return Err(D::Error::custom("too many times"));
                }
                times.push(last);
            }
        }
        Ok(times)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_day_of_rows_takes_one_run() {
        let times: Times = (0..288).map(|row| 1_790_000_000 + 300 * row).collect();
        assert_eq!(times.runs.len(), 1);
    }

    proptest! {
        #[test]
        fn what_was_put_in_is_there_and_nothing_else(times in prop::collection::btree_set(0_u32..200, 0..40)) {
            let kept: Times = times.iter().copied().collect();
            prop_assert_eq!(kept.iter().collect::<BTreeSet<u32>>(), times.clone());
            for time in 0..210 {
                prop_assert_eq!(kept.contains(time), times.contains(&time));
            }
            let written = serde_json::to_string(&kept).unwrap();
            prop_assert_eq!(serde_json::from_str::<Times>(&written).unwrap(), kept);
        }
    }
}
