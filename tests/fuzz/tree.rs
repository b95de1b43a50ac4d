//! A JSON tree that may be invalid, with mutations that keep most of its shape.

use std::path::Path;

use serde_json::Value;

use crate::dice::Dice;
use crate::keys::Key;

/// A value as written.
#[derive(Clone, Debug)]
pub enum Tree {
    Raw(String),
    List(Vec<Tree>),
    /// Names without their quotes.
    Object(Vec<(String, Tree)>),
}

/// Values in valid, partly valid and invalid formats.
const VALUES: &[&str] = &[
    "null",
    "true",
    "false",
    "\"\"",
    "\" \"",
    "\"-\"",
    "0",
    "-0",
    "1",
    "-1",
    "\"0\"",
    "\"1\"",
    "\"-1\"",
    "\" 17 \"",
    "\"+5\"",
    "0.5",
    "\"0,33\"",
    "\"0.50\"",
    "1e3",
    "\"1e3\"",
    "1E+2",
    "1e999",
    "-1e999",
    "NaN",
    "Infinity",
    "1e-400",
    "1.7976931348623157e308",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775808",
    "9223372036854775807",
    "9007199254740993",
    "340282366920938463463374607431768211456",
    "00",
    "01",
    "0x10",
    "1_000",
    "1790820301",
    "\"1790820301\"",
    "1790820301.5",
    "4102444800",
    "-62135596800",
    "253402300800",
    "\"yes\"",
    "\"true\"",
    "\"running\"",
    "\"Running\"",
    "\"stopped\"",
    "\"locked\"",
    "\"unlimited\"",
    "\"kvm\"",
    "\"ovz\"",
    "[]",
    "{}",
    "[null]",
    "[[]]",
    "[{}]",
    "{\"0\":{}}",
    "{\"a\":null}",
    "[1,2,3]",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "\"\\u0000\"",
    "\"a\\nb\"",
    "\"\u{202e}x\"",
    "\"\\\"\"",
    "\"\\\\\"",
    "\"0.00 0.01 0.05 1\\/123 4567\"",
    "\"0.1/0.2/0.3\"",
    "\"2001:db8::1\"",
    "\"2001:db8::\\/64\"",
    "\"198.51.100.7\"",
    "\"snapshot-1-2-3-4.tar.gz\"",
    "\"snapshot-1000001-1790000000-2026-09-21-aa.tar.gz\"",
    "\"<b>&amp;</b>\"",
    "\"Too many requests\"",
    "\"API points exhausted\"",
    "\"Retry later, rate limit\"",
    "700005",
    "788888",
    "700001",
    "429",
    "429001",
];
const NAMES: &[&str] = &[
    "error",
    "message",
    "data",
    "Error",
    "err\\u006fr",
    "",
    "0",
    "1",
    "size",
    "timestamp",
    "record_id",
    "suspend_at",
    "is_soft",
    "suspended",
    "policy_violation",
    "vm_type",
    "vz_status",
    "ve_status",
    "hostname",
    "additionalErrorInfo",
    "additionalLockingInfo",
    "completed_percent",
    "\\/",
    "a\\nb",
    "\\ud800",
];
const SPACE: &[&str] = &["", "", "", "", "", " ", "\n", "\t\r\n "];

impl Tree {
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Array(items) => Self::List(items.iter().map(Self::of).collect()),
            Value::Object(members) => {
                let member =
                    |(name, value): (&String, &Value)| (name.replace('"', ""), Self::of(value));
                Self::Object(members.iter().map(member).collect())
            }
            other => Self::Raw(other.to_string()),
        }
    }

    /// Loads a sample by its name.
    pub fn sample(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/samples")
            .join(name);
        let text = std::fs::read(path).expect("the sample exists");
        Self::of(&serde_json::from_slice(&text).expect("it is JSON"))
    }

    pub fn write(&self, dice: &mut Dice, out: &mut String) {
        out.push_str(dice.pick(SPACE));
        match self {
            Self::Raw(raw) => out.push_str(raw),
            Self::List(items) => {
                out.push('[');
                for (position, item) in items.iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    item.write(dice, out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (position, (name, value)) in members.iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    out.push('"');
                    out.push_str(name);
                    out.push_str("\":");
                    value.write(dice, out);
                }
                out.push('}');
            }
        }
        out.push_str(dice.pick(SPACE));
    }

    fn nodes(&self) -> usize {
        1 + match self {
            Self::Raw(_) => 0,
            Self::List(items) => items.iter().map(Self::nodes).sum(),
            Self::Object(members) => members.iter().map(|(_, value)| value.nodes()).sum(),
        }
    }

    /// Applies `change` to the node with this number. The root has number 0.
    fn at(&mut self, number: &mut usize, change: &mut dyn FnMut(&mut Self)) {
        if *number == 0 {
            change(self);
            *number = usize::MAX;
            return;
        }
        *number -= 1;
        let children: Vec<&mut Self> = match self {
            Self::Raw(_) => Vec::new(),
            Self::List(items) => items.iter_mut().collect(),
            Self::Object(members) => members.iter_mut().map(|(_, value)| value).collect(),
        };
        for child in children {
            if *number == usize::MAX {
                return;
            }
            child.at(number, change);
        }
    }

    /// Mutates a few nodes.
    pub fn mutate(&mut self, dice: &mut Dice, key: &Key) {
        for _ in 0..=dice.below(6) {
            let mut number = dice.below(self.nodes());
            self.at(&mut number, &mut |node| node.change(dice, key));
        }
    }

    fn change(&mut self, dice: &mut Dice, key: &Key) {
        if dice.chance(20) {
            *self = Self::any(dice, key);
            return;
        }
        match self {
            Self::Raw(raw) => match dice.below(4) {
                0 if raw.starts_with('"') && raw.is_ascii() && raw.len() > 2 => {
                    *raw = raw[1..raw.len() - 1].to_owned();
                }
                0 => *raw = format!("\"{}\"", raw.replace('"', "")),
                1 if raw.is_ascii() => {
                    // Insert before or after the first character.
                    let at = dice.below(2).min(raw.len());
                    raw.insert_str(at, dice.pick(&["-", "0", " ", "9", "."]));
                }
                2 => *self = Self::List(vec![self.clone()]),
                _ => *self = Self::any(dice, key),
            },
            Self::List(items) => match dice.below(7) {
                0 if !items.is_empty() => drop(items.remove(dice.below(items.len()))),
                1 if !items.is_empty() => {
                    let copy = items[dice.below(items.len())].clone();
                    items.insert(dice.below(items.len() + 1), copy);
                }
                2 => dice.shuffle(items),
                3 => {
                    let named = items
                        .drain(..)
                        .enumerate()
                        .map(|(at, item)| (at.to_string(), item));
                    *self = Self::Object(named.collect());
                }
                4 if !items.is_empty() => *self = items.remove(dice.below(items.len())),
                5 => items.clear(),
                _ => items.insert(dice.below(items.len() + 1), Self::any(dice, key)),
            },
            Self::Object(members) => match dice.below(8) {
                0 if !members.is_empty() => drop(members.remove(dice.below(members.len()))),
                1 if !members.is_empty() => {
                    let name = members[dice.below(members.len())].0.clone();
                    members.insert(dice.below(members.len() + 1), (name, Self::any(dice, key)));
                }
                2 => dice.shuffle(members),
                3 => *self = Self::List(members.drain(..).map(|(_, value)| value).collect()),
                4 if !members.is_empty() => {
                    let at = dice.below(members.len());
                    dice.pick(NAMES).clone_into(&mut members[at].0);
                }
                5 if dice.chance(20) => members.clear(),
                6 => *self = Self::List(vec![self.clone()]),
                _ => {
                    let name = if dice.chance(10) {
                        key.form(dice)
                    } else {
                        dice.pick(NAMES).to_owned()
                    };
                    members.insert(dice.below(members.len() + 1), (name, Self::any(dice, key)));
                }
            },
        }
    }

    fn any(dice: &mut Dice, key: &Key) -> Self {
        if dice.chance(10) {
            let around = ["", "x ", "api_key=", "\\n", "<a href='", "{\\\"k\\\":\\\""];
            let (before, after) = (
                dice.pick(&around),
                dice.pick(&["", " y", "'>", "\\\"}", "&b=1", "."]),
            );
            return Self::Raw(format!("\"{before}{}{after}\"", key.form(dice)));
        }
        if dice.chance(3) {
            return Self::Raw(format!("\"{}\"", "é".repeat(dice.below(6000))));
        }
        if dice.chance(2) {
            let depth = dice.below(3000);
            return Self::Raw("[".repeat(depth) + &"]".repeat(depth));
        }
        Self::Raw(dice.pick(VALUES).to_owned())
    }

    /// The bytes of a body with this value, one in six of them damaged.
    pub fn body(&self, dice: &mut Dice) -> Vec<u8> {
        let mut text = String::new();
        if dice.chance(5) {
            text.push('\u{feff}');
        }
        self.write(dice, &mut text);
        let mut bytes = text.into_bytes();
        if dice.chance(16) {
            dice.damage(&mut bytes);
        }
        bytes
    }
}
