//! Injected faults.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// One fault. Without `veid` it applies to every VPS, without `call` to every call.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The VPS that it applies to.
    #[serde(default)]
    pub veid: Option<u64>,
    /// The call that it applies to, for example `getLiveServiceInfo`.
    #[serde(default)]
    pub call: Option<String>,
    /// The kind of failure.
    pub kind: FaultKind,
    /// Additional latency for [`FaultKind::Slow`].
    #[serde(default)]
    pub seconds: f64,
    /// Seconds of the story before it begins.
    #[serde(default)]
    pub after: f64,
    /// Number of calls of each VPS that it applies to, counted from when it was set; without it, all of them.
    #[serde(default)]
    pub first: Option<u64>,
    /// Points in 15 minutes and in 24 hours, for [`FaultKind::ConstantPoints`] and [`FaultKind::NoisyPoints`].
    #[serde(default)]
    pub points: Option<[u64; 2]>,
}

/// Kinds of faults.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The response takes longer.
    Slow,
    /// The call never returns.
    Hang,
    /// The connection ends without a response.
    Reset,
    /// The response ends in its middle.
    Truncated,
    /// A page of a proxy, with status 200.
    Html,
    /// An empty body, with status 200.
    Empty,
    /// Numbers as text.
    WrongTypes,
    /// A limit that is a word instead of a number.
    OddField,
    /// The multiplier of a location is its `fraction`; every recorded multiplier is 1.
    FractionalMultiplier,
    /// A response without `error`.
    MissingError,
    /// The key is refused.
    Auth,
    /// A task holds the VPS.
    Locked,
    /// Status 429.
    RateLimited,
    /// Status 500.
    Http500,
    /// Usage rows in no order, some of them twice.
    ShuffledRows,
    /// Every third usage row of the last two hours is missing until it is older.
    LateRows,
    /// The remaining points are always [`Fault::points`]; without it, the sizes of the windows.
    ConstantPoints,
    /// The remaining points are `null`.
    NullPoints,
    /// The remaining points are a word.
    TextPoints,
    /// The remaining points are below zero.
    NegativePoints,
    /// The remaining points have a fraction.
    FractionalPoints,
    /// The remaining points are left out.
    MissingPoints,
    /// The remaining points are off by up to [`Fault::points`], at random; without it, by up to 15.
    NoisyPoints,
    /// The remaining points are random, up to the sizes of the windows.
    JumpingPoints,
}

impl FaultKind {
    /// The only call that it can apply to, if there is one.
    const fn call(self) -> Option<&'static str> {
        match self {
            Self::ShuffledRows | Self::LateRows => Some("getRawUsageStats"),
            Self::ConstantPoints
            | Self::NullPoints
            | Self::TextPoints
            | Self::NegativePoints
            | Self::FractionalPoints
            | Self::MissingPoints
            | Self::NoisyPoints
            | Self::JumpingPoints => Some("getRateLimitStatus"),
            _ => None,
        }
    }
}

impl Fault {
    /// A fault of every call of every VPS, without end.
    #[must_use]
    pub const fn new(kind: FaultKind) -> Self {
        Self {
            veid: None,
            call: None,
            kind,
            seconds: 0.0,
            after: 0.0,
            first: None,
            points: None,
        }
    }

    fn applies_to(&self, veid: u64, call: &str) -> bool {
        self.veid.is_none_or(|of| of == veid)
            && self.call.as_deref().is_none_or(|of| of == call)
            && self.kind.call().is_none_or(|of| of == call)
    }
}

/// A fault that applies to a call.
#[derive(Clone, Debug)]
pub(super) struct Occurrence {
    pub fault: Fault,
    /// Number of earlier calls of the VPS with this fault.
    pub number: u64,
}

/// The active faults, each with its number of calls by VEID.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<(Fault, HashMap<u64, u64>)>);

impl Faults {
    pub fn new(faults: Vec<Fault>) -> Self {
        let uncounted = |fault| (fault, HashMap::new());
        Self(faults.into_iter().map(uncounted).collect())
    }

    /// The first fault that applies to a call made at this age of the story, in seconds; counts the call.
    pub fn occurrence(&mut self, veid: u64, call: &str, age: f64) -> Option<Occurrence> {
        self.0.iter_mut().find_map(|(fault, calls)| {
            if age < fault.after || !fault.applies_to(veid, call) {
                return None;
            }
            let count = calls.entry(veid).or_default();
            let number = *count;
            if fault.first.is_some_and(|first| number >= first) {
                return None;
            }
            *count += 1;
            Some(Occurrence {
                fault: fault.clone(),
                number,
            })
        })
    }
}

/// The first mistake in a list of faults.
#[derive(Debug, Error)]
pub enum FaultsError {
    /// The text is not YAML, or not a list of faults.
    #[error(transparent)]
    Yaml(#[from] yaml_serde::Error),
    /// The additional latency is out of range.
    #[error("seconds must be from 0 to 3600")]
    Seconds,
    /// The start is not a time of the story.
    #[error("after must be a number of seconds")]
    After,
}

/// Reads faults from YAML (JSON is YAML too).
///
/// # Errors
///
/// If the text is not a list of valid faults.
pub fn parse_faults(yaml: &str) -> Result<Vec<Fault>, FaultsError> {
    let faults: Vec<Fault> = yaml_serde::from_str(yaml)?;
    for fault in &faults {
        if !(0.0..=3600.0).contains(&fault.seconds) {
            return Err(FaultsError::Seconds);
        }
        if !(fault.after >= 0.0 && fault.after.is_finite()) {
            return Err(FaultsError::After);
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_faults_and_names_mistakes() {
        let faults =
            parse_faults("[{veid: 1, call: getServiceInfo, kind: hang}, {kind: slow, seconds: 2}]")
                .expect("it is right");
        let mut faults = Faults::new(faults);
        let mut kind = |veid, call| {
            faults
                .occurrence(veid, call, 0.0)
                .map(|occurrence| occurrence.fault.kind)
        };
        assert_eq!(kind(1, "getServiceInfo"), Some(FaultKind::Hang));
        assert_eq!(kind(2, "getServiceInfo"), Some(FaultKind::Slow));
        assert_eq!(kind(7, "anything"), Some(FaultKind::Slow));
        for (yaml, word) in [
            ("[{kind: nope}]", "nope"),
            ("[{kind: hang, x: 1}]", "x"),
            ("[{kind: slow, seconds: -1}]", "seconds"),
            ("[{kind: hang, after: -1}]", "after"),
            ("[{kind: hang, after: .nan}]", "after"),
            ("[{kind: hang, first: -1}]", "first"),
            ("[{kind: constant_points, points: [1]}]", "points"),
        ] {
            let error = parse_faults(yaml).expect_err("it is wrong").to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_fault_ends_after_its_number_of_calls() {
        let faults = "[{kind: null_points, first: 1}, {kind: hang, after: 10, first: 2}]";
        let mut faults = Faults::new(parse_faults(faults).expect("it is right"));
        let mut occurrence = |veid, call, age| {
            let found = faults.occurrence(veid, call, age);
            found.map(|found| (found.fault.kind, found.number))
        };
        let reading = "getRateLimitStatus";
        assert_eq!(
            occurrence(1, "getServiceInfo", 0.0),
            None,
            "it has no points"
        );
        assert_eq!(
            occurrence(1, reading, 0.0),
            Some((FaultKind::NullPoints, 0))
        );
        assert_eq!(occurrence(1, reading, 9.9), None);
        assert_eq!(
            occurrence(2, reading, 10.0),
            Some((FaultKind::NullPoints, 0))
        );
        assert_eq!(occurrence(1, reading, 10.0), Some((FaultKind::Hang, 0)));
        assert_eq!(
            occurrence(1, "getServiceInfo", 11.0),
            Some((FaultKind::Hang, 1))
        );
        assert_eq!(occurrence(1, reading, 12.0), None);
    }
}
