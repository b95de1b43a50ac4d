//! `basic_auth_users`: user names with the bcrypt hashes of their passwords.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use bcrypt::{BASE_64, HashParts};
use figment::value::{Dict, Value};

use crate::config::{Reader, is_safe_to_show, join, text};

const SECTION: &str = "basic_auth_users";
/// Costs that bcrypt supports.
const COSTS: std::ops::RangeInclusive<u32> = 4..=31;
/// Above this cost, checking a password takes seconds.
const SLOW: u32 = 16;

/// Some tools set unused bits in the last character of a salt.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::BCRYPT,
    NO_PAD.with_decode_allow_trailing_bits(true),
);

/// A bcrypt hash. It cannot be printed.
#[derive(Clone)]
pub struct Hash {
    text: String,
    cost: u32,
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash")
    }
}

impl Hash {
    /// Parses `$2$`, and `$2` with any letter before the second `$`, all as the same version, like Go.
    fn parse(text: &str) -> Option<Self> {
        let version = text.strip_prefix("$2")?;
        let version = version.strip_prefix(|c: char| c.is_ascii_alphabetic());
        let rest = version.or(text.strip_prefix("$2"))?.strip_prefix('$')?;
        let (cost, salt, tail) = (rest.get(..3)?, rest.get(3..25)?, rest.get(25..)?);
        let salt = BASE_64.encode(LENIENT.decode(salt).ok()?);
        let text = format!("$2b${cost}{salt}{tail}");
        let cost = text.parse::<HashParts>().ok()?.get_cost();
        COSTS.contains(&cost).then_some(Self { text, cost })
    }

    /// Creates a hash that takes as long to check as any other of this cost. No password is known for it.
    pub fn decoy(cost: u32) -> Self {
        let text = format!("$2y${cost:02}${}", ".".repeat(53));
        Self { text, cost }
    }

    /// Returns the text of the hash, to distinguish hashes.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Checks a password. The time is proportional to 2 to the power of the cost.
    pub fn matches(&self, password: &[u8]) -> bool {
        bcrypt::verify(password, &self.text).unwrap_or(false)
    }
}

/// Users by name.
#[derive(Clone, Debug, Default)]
pub struct Users(BTreeMap<String, Hash>);

impl Users {
    /// Returns true if no login is required.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the hash of a user.
    pub fn get(&self, name: &str) -> Option<&Hash> {
        self.0.get(name)
    }

    /// Returns the cost of some user's hash, always the same for the same number.
    pub fn cost_for(&self, number: u64) -> u32 {
        let nth = number % (self.0.len().max(1) as u64);
        let nth = usize::try_from(nth).unwrap_or_default();
        self.0.values().nth(nth).map_or(10, |hash| hash.cost)
    }
}

/// Reads the users. Invalid hashes are skipped and recorded as problems.
pub fn users(reader: &mut Reader, top: &Dict) -> Users {
    let section: Dict = match top.get(SECTION) {
        None | Some(Value::Empty(..)) => Dict::new(),
        Some(Value::Dict(_, users)) => users.clone(),
        Some(_) => {
            reader.problem(
                SECTION,
                "must be a section with a line for each user, name: hash",
            );
            Dict::new()
        }
    };
    let mut users = BTreeMap::new();
    for (name, value) in section {
        let path = join(SECTION, shown(&name));
        match text(&value).as_deref().and_then(Hash::parse) {
            Some(hash) => {
                if hash.cost > SLOW {
                    reader.warn(
                        &path,
                        format!("has cost {}, so the password takes seconds to check; use 10 or 12", hash.cost),
                    );
                }
                users.insert(name, hash);
            }
            None => reader.problem(
                &path,
                "must be a bcrypt hash (starts with $2, cost 4 to 31), not the password itself; create one with htpasswd -nBC 10 \"\" | tr -d ':\\n'",
            ),
        }
    }
    Users(users)
}

/// Hides a name that may be a misplaced hash or password.
fn shown(name: &str) -> &str {
    let plain = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_-.@".contains(c));
    if plain && is_safe_to_show(name) {
        name
    } else {
        "(not shown)"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some tools set unused bits in the last character of the salt. Go accepts such hashes.
    #[test]
    fn accepts_a_hash_with_unused_bits_in_the_salt() {
        let hash = bcrypt::hash("right", 4).expect("random numbers");
        let odd = |letter: &str| format!("{}{letter}{}", &hash[..28], &hash[29..]);
        let same = ['.', 'O', 'e', 'u']
            .iter()
            .position(|c| hash[28..].starts_with(*c));
        let odd = odd(["/", "P", "f", "v"][same.expect("bcrypt leaves two bits")]);
        let hash = Hash::parse(&odd).expect("a valid hash");
        assert!(hash.matches(b"right") && !hash.matches(b"wrong"));
        assert!(!Hash::decoy(4).matches(b"right"));
    }
}
