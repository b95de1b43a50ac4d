//! Compact times of usage rows.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Maximum number of times: a day has no more rows than seconds. A file with more is damaged.
const MOST: usize = 86_400;

/// Filler for longer distances: adds its seconds without marking a time.
const FAR: u16 = u16::MAX;

/// Ascending times in Unix seconds, stored as distances of two bytes each. Every VPS has a day of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    first: Option<u32>,
    distances: Box<[u16]>,
}

impl Times {
    /// All times, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        let mut time = self.first.unwrap_or_default();
        let later = self.distances.iter().filter_map(move |distance| {
            time = time.saturating_add(u32::from(*distance));
            (*distance != FAR).then_some(time)
        });
        self.first.into_iter().chain(later)
    }
}

impl FromIterator<u32> for Times {
    /// Collects ascending times. A time that is not later than its predecessor is skipped.
    fn from_iter<T: IntoIterator<Item = u32>>(times: T) -> Self {
        let mut times = times.into_iter();
        let first = times.next();
        let mut last = first.unwrap_or_default();
        let mut distances = Vec::new();
        for time in times {
            let Some(mut distance) = time.checked_sub(last).filter(|distance| *distance > 0) else {
                continue;
            };
            while distance >= u32::from(FAR) {
                distances.push(FAR);
                distance -= u32::from(FAR);
            }
            distances.extend(u16::try_from(distance));
            last = time;
        }
        Self {
            first,
            distances: distances.into(),
        }
    }
}

/// Serialized as runs of `[distance, count]`; nearly all distances are equal.
impl Serialize for Times {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        let mut last = 0;
        for time in self.iter() {
            let distance = time - last;
            last = time;
            match runs.last_mut() {
                Some(run) if run.0 == distance => run.1 += 1,
                _ => runs.push((distance, 1)),
            }
        }
        runs.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut times = Vec::new();
        let mut last = 0_u32;
        for (distance, count) in Vec::<(u32, u32)>::deserialize(deserializer)? {
            for _ in 0..count {
                if times.len() == MOST {
                    return Err(D::Error::custom("too many times"));
                }
                last = last.saturating_add(distance);
                times.push(last);
            }
        }
        Ok(times.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_day_of_rows_serializes_as_one_run() {
        let times: Times = (0..288).map(|row| 1_790_000_000 + 300 * row).collect();
        let written = serde_json::to_string(&times).unwrap();
        assert_eq!(written, "[[1790000000,1],[300,287]]");
    }

    proptest! {
        #[test]
        fn times_survive_storage_and_serialization(
            first in 0_u32..3_000_000,
            distances in prop::collection::vec(prop_oneof![1..700_u32, 65_530..65_540_u32, 1..300_000_u32], 0..40),
        ) {
            let times: Vec<u32> = std::iter::once(first)
                .chain(distances.iter().scan(first, |time, distance| {
                    *time += distance;
                    Some(*time)
                }))
                .collect();
            let kept: Times = times.iter().copied().collect();
            prop_assert_eq!(kept.iter().collect::<Vec<u32>>(), times);
            let written = serde_json::to_string(&kept).unwrap();
            prop_assert_eq!(serde_json::from_str::<Times>(&written).unwrap(), kept);
        }
    }
}
