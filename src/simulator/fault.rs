//! What goes wrong on demand.

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
}

impl Fault {
    pub(super) fn concerns(&self, veid: u64, call: &str) -> bool {
        self.veid.is_none_or(|of| of == veid) && self.call.as_deref().is_none_or(|of| of == call)
    }
}

/// Reads faults from YAML (JSON is YAML too).
///
/// # Errors
///
/// What is wrong with the text.
pub fn parse_faults(yaml: &str) -> Result<Vec<Fault>, String> {
    let faults: Vec<Fault> = yaml_serde::from_str(yaml).map_err(|error| error.to_string())?;
    match faults
        .iter()
        .find(|fault| !(0.0..=3600.0).contains(&fault.seconds))
    {
        Some(_) => Err("seconds must be from 0 to 3600".to_owned()),
        None => Ok(faults),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_and_mistakes_are_named() {
        let faults =
            parse_faults("[{veid: 1, call: getServiceInfo, kind: hang}, {kind: slow, seconds: 2}]")
                .expect("it is right");
        assert!(
            faults[0].concerns(1, "getServiceInfo") && !faults[0].concerns(2, "getServiceInfo")
        );
        assert!(faults[1].concerns(7, "anything"));
        for (yaml, word) in [
            ("[{kind: nope}]", "nope"),
            ("[{kind: hang, x: 1}]", "x"),
            ("[{kind: slow, seconds: -1}]", "seconds"),
        ] {
            let error = parse_faults(yaml).expect_err("it is wrong");
            assert!(error.contains(word), "{error}");
        }
    }
}
