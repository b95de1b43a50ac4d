//! What a client accepts: its letters' case, the white space and how a list is divided make no difference.

use kiwivm_exporter::exposition::format::{accepts_gzip, negotiate, prefers_json};

use crate::dice::Dice;
use crate::run;

const PARTS: [&str; 26] = [
    "application/openmetrics-text",
    "text/plain",
    "text/html",
    "text/*",
    "*/*",
    "application/json",
    "application/*",
    "gzip",
    "x-gzip",
    "identity",
    "br",
    "*",
    "q=0",
    "q=1",
    "q=0.5",
    "q=0.001",
    "q=1.5",
    "q=-1",
    "q=nan",
    "q=inf",
    "q=",
    "version=1.0.0",
    "version=0.0.4",
    "version=\"1.0.0\"",
    "charset=utf-8",
    "=",
];

/// A member of a list.
fn entry(dice: &mut Dice) -> String {
    let parts: Vec<&str> = (0..=dice.below(4)).map(|_| dice.pick(&PARTS)).collect();
    let mut entry = parts.join(dice.pick(&[";", "; ", " ;\t"]));
    if dice.chance(10) {
        let mut bytes = entry.into_bytes();
        dice.damage(&mut bytes);
        // Commas divide members, and visible ASCII is all that reaches the negotiation.
        bytes.retain(|byte| (b' '..=b'~').contains(byte) && *byte != b',');
        entry = String::from_utf8(bytes).expect("it is ASCII");
    }
    entry
}

#[test]
fn accept() {
    run("accept", |dice| {
        let entries: Vec<String> = (0..dice.below(8)).map(|_| entry(dice)).collect();
        let judge = |values: &[String]| {
            let values = || values.iter().map(String::as_str);
            (
                negotiate(values()),
                prefers_json(values()),
                accepts_gzip(values()),
            )
        };
        let judged = judge(&[entries.join(",")]);
        assert_eq!(judge(&entries), judged, "{entries:?} as several headers");
        assert_eq!(
            judge(&[entries.join(" ,\t")]),
            judged,
            "{entries:?} with white space"
        );
        assert_eq!(
            judge(&[entries.join(",").to_uppercase()]),
            judged,
            "{entries:?} in capitals"
        );
        // An entry that is refused says nothing about others.
        let more = [entries, vec!["image/png;q=0".to_owned()]].concat();
        assert_eq!(judge(&more), judged, "{more:?}");
    });
}
