//! What goes wrong on demand.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// One fault. Without `veid` it concerns every VPS, without `call` every call.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Of which VPS.
    #[serde(default)]
    pub veid: Option<u64>,
    /// Of which call, for example `getLiveServiceInfo`.
    #[serde(default)]
    pub call: Option<String>,
    /// What happens.
    pub kind: FaultKind,
    /// How slow, for [`FaultKind::Slow`].
    #[serde(default)]
    pub seconds: f64,
    /// Seconds of the story that pass before it begins.
    #[serde(default)]
    pub after: f64,
    /// How many calls of each VPS it concerns, from when it was set; without it, all of them.
    #[serde(default)]
    pub first: Option<u64>,
    /// Points in 15 minutes and in 24 hours, for [`FaultKind::ConstantPoints`] and [`FaultKind::NoisyPoints`].
    #[serde(default)]
    pub points: Option<[u64; 2]>,
}

/// What can happen to a call.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The answer takes longer.
    Slow,
    /// There is no answer.
    Hang,
    /// The connection ends without an answer.
    Reset,
    /// The answer ends in its middle.
    Truncated,
    /// A page of some proxy, with status 200.
    Html,
    /// Nothing, with status 200.
    Empty,
    /// Numbers as text.
    WrongTypes,
    /// A limit that is a word instead of a number.
    OddField,
    /// A multiplier with a fraction where the location counts transfer by one; every recorded multiplier is 1.
    FractionalMultiplier,
    /// An answer without `error`.
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
    /// Every third usage row of the last two hours is not there yet.
    LateRows,
    /// The remaining points are always [`Fault::points`]; without it, as many as the windows hold.
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
    /// The remaining points are any number up to what the windows hold, at random.
    JumpingPoints,
}

impl FaultKind {
    /// The only call that it can concern, if there is one.
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
    /// A fault of every call of every VPS, for ever.
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

    fn concerns(&self, veid: u64, call: &str) -> bool {
        self.veid.is_none_or(|of| of == veid)
            && self.call.as_deref().is_none_or(|of| of == call)
            && self.kind.call().is_none_or(|of| of == call)
    }
}

/// A fault that a call meets.
#[derive(Clone, Debug)]
pub(super) struct Occurrence {
    pub fault: Fault,
    /// How many calls of the VPS have met it before.
    pub number: u64,
}

/// The faults in force, and how many calls have met each.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<(Fault, HashMap<u64, u64>)>);

impl Faults {
    pub fn new(faults: Vec<Fault>) -> Self {
        let unmet = |fault| (fault, HashMap::new());
        Self(faults.into_iter().map(unmet).collect())
    }

    /// The first fault that concerns a call made `age` seconds of the story after the start.
    pub fn meet(&mut self, veid: u64, call: &str, age: f64) -> Option<Occurrence> {
        self.0.iter_mut().find_map(|(fault, met)| {
            if age < fault.after || !fault.concerns(veid, call) {
                return None;
            }
            let met = met.entry(veid).or_default();
            let number = *met;
            if fault.first.is_some_and(|first| number >= first) {
                return None;
            }
            *met += 1;
            Some(Occurrence {
                fault: fault.clone(),
                number,
            })
        })
    }
}

/// Reads faults from YAML (JSON is YAML too).
///
/// # Errors
///
/// What is wrong with the text.
pub fn parse_faults(yaml: &str) -> Result<Vec<Fault>, String> {
    let faults: Vec<Fault> = yaml_serde::from_str(yaml).map_err(|error| error.to_string())?;
    for fault in &faults {
        if !(0.0..=3600.0).contains(&fault.seconds) {
            return Err("seconds must be from 0 to 3600".to_owned());
        }
        if !(fault.after >= 0.0 && fault.after.is_finite()) {
            return Err("after must be a number of seconds".to_owned());
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_and_mistakes_are_named() {
        let faults =
            parse_faults("[{veid: 1, call: getServiceInfo, kind: hang}, {kind: slow, seconds: 2}]")
                .expect("it is right");
        let mut faults = Faults::new(faults);
        let mut kind = |veid, call| faults.meet(veid, call, 0.0).map(|met| met.fault.kind);
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
            let error = parse_faults(yaml).expect_err("it is wrong");
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_fault_lasts_as_long_as_it_says() {
        let faults = "[{kind: null_points, first: 1}, {kind: hang, after: 10, first: 2}]";
        let mut faults = Faults::new(parse_faults(faults).expect("it is right"));
        let mut meet = |veid, call, age| {
            let met = faults.meet(veid, call, age);
            met.map(|met| (met.fault.kind, met.number))
        };
        let reading = "getRateLimitStatus";
        assert_eq!(meet(1, "getServiceInfo", 0.0), None, "it has no points");
        assert_eq!(meet(1, reading, 0.0), Some((FaultKind::NullPoints, 0)));
        assert_eq!(meet(1, reading, 9.9), None);
        assert_eq!(meet(2, reading, 10.0), Some((FaultKind::NullPoints, 0)));
        assert_eq!(meet(1, reading, 10.0), Some((FaultKind::Hang, 0)));
        assert_eq!(meet(1, "getServiceInfo", 11.0), Some((FaultKind::Hang, 1)));
        assert_eq!(meet(1, reading, 12.0), None);
    }
}
