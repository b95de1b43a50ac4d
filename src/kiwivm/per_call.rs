//! A map from calls to values.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::call::Call;

/// A value for each call, indexed by [`Call`]. Optional values serialise as a map keyed by the vendor's name of the
/// call, so saved state does not depend on the order of the calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerCall<T>([T; Call::ALL.len()]);

/// The order of the calls in the lists that early versions saved.
const FIRST_ORDER: [&str; 10] = [
    "getLiveServiceInfo",
    "getRateLimitStatus",
    "getRawUsageStats",
    "getServiceInfo",
    "getPolicyViolations",
    "getSuspensionDetails",
    "backup/list",
    "snapshot/list",
    "getAuditLog",
    "migrate/getLocations",
];

impl<T> PerCall<T> {
    /// Builds a map from values in the order of [`Call::ALL`].
    #[must_use]
    pub const fn new(values: [T; Call::ALL.len()]) -> Self {
        Self(values)
    }

    /// Builds a map from the result of `of` for each call.
    #[must_use]
    pub fn from_fn(of: impl FnMut(Call) -> T) -> Self {
        Self(Call::ALL.map(of))
    }

    /// Builds a map with the same value for each call.
    #[must_use]
    pub const fn all(value: T) -> Self
    where
        T: Copy,
    {
        Self([value; Call::ALL.len()])
    }

    /// Applies a function to each value.
    #[must_use]
    pub fn map<U>(self, of: impl FnMut(T) -> U) -> PerCall<U> {
        PerCall(self.0.map(of))
    }

    /// Iterates over the values in the order of [`Call::ALL`].
    pub fn values(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// Iterates over mutable values in the order of [`Call::ALL`].
    pub fn values_mut(&mut self) -> std::slice::IterMut<'_, T> {
        self.0.iter_mut()
    }
}

impl<T> Index<Call> for PerCall<T> {
    type Output = T;

    fn index(&self, call: Call) -> &T {
        &self.0[call.index()]
    }
}

impl<T> IndexMut<Call> for PerCall<T> {
    fn index_mut(&mut self, call: Call) -> &mut T {
        &mut self.0[call.index()]
    }
}

impl<T: Serialize> Serialize for PerCall<Option<T>> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let named = |call: Call| Some((call.name(), self[call].as_ref()?));
        serializer.collect_map(Call::ALL.into_iter().filter_map(named))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for PerCall<Option<T>> {
    /// Accepts a map, ignoring unknown names, or a list in the order of early versions.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Saved<T> {
            ByName(BTreeMap<String, T>),
            ByPosition(Vec<Option<T>>),
        }
        let mut by_name = match Saved::deserialize(deserializer)? {
            Saved::ByName(values) => values,
            Saved::ByPosition(values) => {
                let named = FIRST_ORDER.into_iter().zip(values);
                named
                    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                    .collect()
            }
        };
        Ok(Self::from_fn(|call| by_name.remove(call.name())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> PerCall<Option<u32>> {
        serde_json::from_str(json).expect("valid")
    }

    #[test]
    fn saves_values_by_the_name_of_the_call() {
        let mut values = PerCall::<Option<u32>>::default();
        values[Call::BackupList] = Some(7);
        let saved = serde_json::to_string(&values).expect("serialises");
        assert_eq!(saved, r#"{"backup/list":7}"#);
        assert_eq!(read(&saved), values);
    }

    #[test]
    fn ignores_unknown_names() {
        assert_eq!(read(r#"{"getMoon":1}"#), PerCall::default());
    }

    #[test]
    fn reads_the_lists_of_early_versions() {
        let values = read("[1,null,3]");
        assert_eq!(values[Call::LiveServiceInfo], Some(1));
        assert_eq!(values[Call::RateLimitStatus], None);
        assert_eq!(values[Call::RawUsageStats], Some(3));
    }
}
