//! Usage history: splitting the stream makes no difference, and no row is lost without a problem.

use kiwivm_exporter::kiwivm::model::UsageRow;
use kiwivm_exporter::kiwivm::{ApiKey, Call, DecodeError, Decoded, UsageStream, decode};
use serde_json::Value;

use crate::decode::body;
use crate::dice::Dice;
use crate::keys::Key;
use crate::run;

const CALL: Call = Call::RawUsageStats;

type Read = (Vec<UsageRow>, Result<Decoded, DecodeError>);

fn decode_in_pieces(body: &[u8], key: &ApiKey, dice: &mut Dice) -> Read {
    let mut rows = Vec::new();
    let mut stream = UsageStream::default();
    let mut left = body;
    let longest = [1, 2, 7, 150, 4096, body.len()][dice.below(6)];
    while !left.is_empty() {
        let (piece, rest) = left.split_at((1 + dice.below(longest)).min(left.len()));
        if let Err(error) = stream.push(piece, &mut |row| rows.push(row)) {
            return (rows, Err(error));
        }
        left = rest;
    }
    (rows, stream.finish(key))
}

#[test]
fn usage() {
    run("usage", |dice| {
        let key = Key::any(dice);
        let body = body(CALL, dice, &key);
        let input = String::from_utf8_lossy(&body).into_owned();
        let mut rows = Vec::new();
        let whole = decode(CALL, &key.key, &body, &mut |row| rows.push(row));
        let whole = (rows, whole);
        for _ in 0..3 {
            let pieces = decode_in_pieces(&body, &key.key, dice);
            // Compares the `Debug` output, because the percentage is a float.
            assert_eq!(format!("{pieces:?}"), format!("{whole:?}"), "{input}");
        }
        key.assert_hidden_in(&format!("{whole:?}"), &input);
        let (rows, Ok(decoded)) = whole else { return };
        if let Ok(Value::Object(document)) =
            serde_json::from_str(input.trim_start_matches('\u{feff}'))
        {
            let listed = match document.get("data") {
                Some(Value::Array(items)) => items.len(),
                Some(Value::Object(members)) => members.len(),
                _ => 0,
            };
            assert!(
                rows.len() >= listed || !decoded.problems.is_empty(),
                "{} of {listed} rows: {decoded:?}\nof {input}",
                rows.len()
            );
        }
    });
}
