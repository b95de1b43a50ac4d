//! Basic auth. bcrypt is slow on purpose, so results are cached, equal checks run once, and clients take turns with the
//! others.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::header::HeaderValue;
use ring::hmac;
use ring::rand::SystemRandom;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::config::{Hash, Users};
use super::turns::{LONGEST_WAIT, Turns};

/// Cached results, for right and for wrong passwords each. The exporter toolkit caches as many.
const CACHE_SIZE: usize = 100;

/// The decision about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordVerdict {
    /// Name and password are right.
    Accepted,
    /// Name or password is missing or wrong.
    Refused,
    /// Too many password checks are pending.
    Busy,
}

/// Checks passwords and caches the results.
pub struct BasicAuth {
    cache: Arc<Cache>,
    turns: Turns,
    /// Checks in progress, which equal ones join.
    checks: Mutex<HashMap<Digest, Weak<OnceCell<bool>>>>,
}

impl BasicAuth {
    /// Creates an empty cache.
    ///
    /// # Errors
    ///
    /// Fails if the machine has no random numbers.
    pub fn new() -> Result<Self, ring::error::Unspecified> {
        Ok(Self {
            cache: Arc::new(Cache {
                key: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())?,
                known: Mutex::default(),
            }),
            turns: Turns::default(),
            checks: Mutex::default(),
        })
    }

    /// Verifies an `Authorization` header from this client.
    pub async fn verify(
        &self,
        users: &Users,
        authorization: Option<&HeaderValue>,
        client: IpAddr,
    ) -> PasswordVerdict {
        let Some(credentials) = authorization.and_then(credentials) else {
            return PasswordVerdict::Refused;
        };
        let Some((name, password)) = split(&credentials) else {
            return PasswordVerdict::Refused;
        };
        // Unknown names take as long as known ones, so timing does not reveal them.
        let known = std::str::from_utf8(name)
            .ok()
            .and_then(|name| users.get(name));
        let hash = known.map_or_else(
            || Hash::decoy(users.cost_for(self.cache.number_of(name))),
            Hash::clone,
        );
        let digest = self.cache.digest(name, &hash, password);
        let verdict = |right| {
            if right {
                PasswordVerdict::Accepted
            } else {
                PasswordVerdict::Refused
            }
        };
        if let Some(right) = self.cache.find(&digest) {
            return verdict(right);
        }
        let check = self.check(digest);
        let right = check.get_or_init(async || {
            let turn = self.turns.take(client).await;
            // A client with an equal check may have disconnected before its check finished.
            if let Some(right) = self.cache.find(&digest) {
                return right;
            }
            let (cache, exists) = (self.cache.clone(), known.is_some());
            let password = Zeroizing::new(password.to_vec());
            let checking = tokio::task::spawn_blocking(move || {
                // The check continues if the client disconnects. The next turn starts when it is done.
                let _turn = turn;
                let right = hash.matches(&password) && exists;
                cache.insert(digest, right);
                right
            });
            checking.await.unwrap_or(false)
        });
        match tokio::time::timeout(LONGEST_WAIT, right).await {
            Ok(right) => verdict(*right),
            Err(_) => PasswordVerdict::Busy,
        }
    }

    /// Returns the check of this digest, which equal requests share.
    fn check(&self, digest: Digest) -> Arc<OnceCell<bool>> {
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(check) = checks.get(&digest).and_then(Weak::upgrade) {
            return check;
        }
        checks.retain(|_, check| check.strong_count() > 0);
        let check = Arc::default();
        checks.insert(digest, Arc::downgrade(&check));
        check
    }
}

/// Keyed digest of name, hash and password. The password cannot be derived from it.
type Digest = [u8; 32];

struct Cache {
    /// Random in every process, so that digests cannot be precomputed.
    key: hmac::Key,
    known: Mutex<KnownPasswords>,
}

/// Separate queues, so that a flood of wrong passwords does not evict the right ones.
#[derive(Default)]
struct KnownPasswords {
    right: VecDeque<Digest>,
    wrong: VecDeque<Digest>,
}

impl Cache {
    fn digest(&self, name: &[u8], hash: &Hash, password: &[u8]) -> Digest {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [name, hash.as_bytes(), password] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let mut digest = Digest::default();
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }

    /// Derives a number from a name. Clients cannot predict it.
    fn number_of(&self, name: &[u8]) -> u64 {
        let digest = hmac::sign(&self.key, name);
        digest
            .as_ref()
            .iter()
            .take(8)
            .fold(0, |number, byte| (number << 8) | u64::from(*byte))
    }

    fn find(&self, digest: &Digest) -> Option<bool> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.right.contains(digest) {
            return Some(true);
        }
        known.wrong.contains(digest).then_some(false)
    }

    fn insert(&self, digest: Digest, right: bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let digests = if right {
            &mut known.right
        } else {
            &mut known.wrong
        };
        if digests.len() == CACHE_SIZE {
            digests.pop_front();
        }
        digests.push_back(digest);
    }
}

/// Decodes the credentials after `Basic `.
fn credentials(header: &HeaderValue) -> Option<Zeroizing<Vec<u8>>> {
    let (scheme, encoded) = header.as_bytes().split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    BASE64_STANDARD.decode(encoded).ok().map(Zeroizing::new)
}

/// Splits at the first colon. A password may contain colons, a name may not.
fn split(credentials: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = credentials.iter().position(|byte| *byte == b':')?;
    Some((&credentials[..colon], &credentials[colon + 1..]))
}
