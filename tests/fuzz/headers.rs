//! Accept headers: case, white space, and the split into several headers make no difference.

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

/// A list entry.
fn entry(dice: &mut Dice) -> String {
    let parts: Vec<&str> = (0..=dice.below(4)).map(|_| dice.pick(&PARTS)).collect();
    let mut entry = parts.join(dice.pick(&[";", "; ", " ;\t"]));
    if dice.chance(10) {
        let mut bytes = entry.into_bytes();
        dice.damage(&mut bytes);
        // Commas separate entries, and only visible ASCII reaches the negotiation.
        bytes.retain(|byte| (b' '..=b'~').contains(byte) && *byte != b',');
        entry = String::from_utf8(bytes).expect("it is ASCII");
    }
    entry
}

#[test]
fn accept() {
    run("accept", |dice| {
        let entries: Vec<String> = (0..dice.below(8)).map(|_| entry(dice)).collect();
        let evaluate = |values: &[String]| {
            let values = || values.iter().map(String::as_str);
            (
                negotiate(values()),
                prefers_json(values()),
                accepts_gzip(values()),
            )
        };
        let expected = evaluate(&[entries.join(",")]);
        assert_eq!(
            evaluate(&entries),
            expected,
            "{entries:?} as several headers"
        );
        assert_eq!(
            evaluate(&[entries.join(" ,\t")]),
            expected,
            "{entries:?} with white space"
        );
        assert_eq!(
            evaluate(&[entries.join(",").to_uppercase()]),
            expected,
            "{entries:?} in capitals"
        );
        // Refusing one type does not affect the others.
        let more = [entries, vec!["image/png;q=0".to_owned()]].concat();
        assert_eq!(evaluate(&more), expected, "{more:?}");
    });
}
