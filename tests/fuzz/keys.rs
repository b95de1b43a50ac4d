//! A key, in every encoding in which a response may repeat it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use std::fmt::Write as _;

use kiwivm_exporter::kiwivm::ApiKey;

use crate::dice::Dice;

/// A key as KiwiVM issues them, and one with every character that encodings change.
const KEYS: [&str; 2] = ["private_CanaryCanaryCanary012345", "p/k+e&y<4>'=%x[é]"];

pub struct Key {
    pub text: &'static str,
    pub key: ApiKey,
}

impl Key {
    pub fn any(dice: &mut Dice) -> Self {
        let text = dice.pick(&KEYS);
        let key = ApiKey::new(text).expect("it is one word");
        Self { text, key }
    }

    /// A random encoding, as the content of a JSON string.
    pub fn form(&self, dice: &mut Dice) -> String {
        let plain = self.text;
        let text = match dice.below(8) {
            0 => percent(plain, true),
            1 => percent(plain, false),
            2 => percent(&percent(plain, false), false),
            3 => html(plain),
            4 => numeric(plain),
            5 => STANDARD.encode(format!("veid=1&api_key={plain}")),
            6 => URL_SAFE_NO_PAD.encode(plain),
            _ => plain.to_owned(),
        };
        match dice.below(3) {
            0 => escaped(&text),
            _ => text.replace('\\', "\\\\").replace('"', "\\\""),
        }
    }

    /// Panics if the output contains the key in any encoding.
    pub fn assert_hidden_in(&self, output: &str, input: &dyn std::fmt::Debug) {
        let plain = self.text;
        let forms = [
            plain.to_owned(),
            percent(plain, true),
            percent(plain, false),
            percent(&percent(plain, false), false),
            html(plain),
            numeric(plain),
            STANDARD.encode(plain).trim_end_matches('=').to_owned(),
            URL_SAFE_NO_PAD.encode(plain),
        ];
        for form in &forms {
            assert!(
                !output.contains(form),
                "{form} is in {output}\nof {input:?}"
            );
        }
    }
}

fn percent(text: &str, all: bool) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if !all && byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

fn html(text: &str) -> String {
    [
        ("&", "&amp;"),
        ("<", "&lt;"),
        (">", "&gt;"),
        ("'", "&#039;"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (letter, entity)| {
        text.replace(letter, entity)
    })
}

fn numeric(text: &str) -> String {
    text.chars().fold(String::new(), |mut encoded, letter| {
        let _ = write!(encoded, "&#{};", u32::from(letter));
        encoded
    })
}

fn escaped(text: &str) -> String {
    let mut units = [0; 2];
    text.chars().fold(String::new(), |mut encoded, letter| {
        for unit in letter.encode_utf16(&mut units) {
            let _ = write!(encoded, "\\u{unit:04x}");
        }
        encoded
    })
}
