//! `basic_auth_users`: who may come in, with the bcrypt hashes of their passwords.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use bcrypt::{BASE_64, HashParts};
use figment::value::{Dict, Value};

use crate::config::{Reader, join, shows_no_secret, text};

const SECTION: &str = "basic_auth_users";
/// What bcrypt itself knows.
const COSTS: std::ops::RangeInclusive<u32> = 4..=31;
/// From here on a password takes seconds to check.
const SLOW: u32 = 16;

/// Some tools leave bits in the last letter of a salt that mean nothing.
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
    /// Reads `$2$` and `$2` with any letter before the second `$`, all as the same version. Go does so.
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

    /// One that takes as long to compare with as any other of this cost. No password is known for it.
    pub fn stand_in(cost: u32) -> Self {
        let text = format!("$2y${cost:02}${}", ".".repeat(53));
        Self { text, cost }
    }

    /// The text, for telling hashes apart.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Takes its time: 2 to the power of the cost.
    pub fn is_of(&self, password: &[u8]) -> bool {
        bcrypt::verify(password, &self.text).unwrap_or(false)
    }
}

/// Users by name.
#[derive(Clone, Debug, Default)]
pub struct Users(BTreeMap<String, Hash>);

impl Users {
    /// True when nobody has to log in.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The hash of a user.
    pub fn get(&self, name: &str) -> Option<&Hash> {
        self.0.get(name)
    }

    /// The cost of some user's hash, always the same for one number.
    pub fn some_cost(&self, number: u64) -> u32 {
        let nth = number % (self.0.len().max(1) as u64);
        let nth = usize::try_from(nth).unwrap_or_default();
        self.0.values().nth(nth).map_or(10, |hash| hash.cost)
    }
}

/// The users, those whose hash is wrong left out and noted.
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
                        format!("has a cost of {}: its password takes seconds to check; 10 or 12 are usual", hash.cost),
                    );
                }
                users.insert(name, hash);
            }
            None => reader.problem(
                &path,
                "must be a bcrypt hash, which begins with $2 and has a cost from 4 to 31, not the password itself: make one with htpasswd -nBC 10 \"\" | tr -d ':\\n'",
            ),
        }
    }
    Users(users)
}

/// What stands in the place of a name may be a hash or a password.
fn shown(name: &str) -> &str {
    let plain = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_-.@".contains(c));
    if plain && shows_no_secret(name) {
        name
    } else {
        "(not shown)"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some tools leave bits in the last letter of the salt; Go compares with such hashes all the same.
    #[test]
    fn a_hash_with_an_odd_salt_is_compared_with() {
        let hash = bcrypt::hash("right", 4).expect("there is chance");
        let odd = |letter: &str| format!("{}{letter}{}", &hash[..28], &hash[29..]);
        let same = ['.', 'O', 'e', 'u']
            .iter()
            .position(|c| hash[28..].starts_with(*c));
        let odd = odd(["/", "P", "f", "v"][same.expect("bcrypt leaves two bits")]);
        let hash = Hash::parse(&odd).expect("it is a hash");
        assert!(hash.is_of(b"right") && !hash.is_of(b"wrong"));
        assert!(!Hash::stand_in(4).is_of(b"right"));
    }
}
