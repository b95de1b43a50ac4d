//! Names and passwords. bcrypt is slow on purpose, so answers are remembered and one password is looked at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::header::HeaderValue;
use ring::hmac;
use ring::rand::SystemRandom;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::config::{Hash, Users};

/// Answers remembered, of the right passwords and of the wrong ones each; as many as the toolkit remembers.
const REMEMBERED: usize = 100;
/// Passwords that wait for their turn; beyond, they are not looked at. At a cost of 10 this many take about a second.
const WAITING: usize = 16;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is answered.
    Welcome,
    /// A name and a password are missing or wrong.
    Refused,
    /// Too many passwords wait to be looked at.
    Busy,
}

/// Knows which passwords are right, once it has found out.
pub struct BasicAuth {
    answers: Arc<Answers>,
    turn: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl BasicAuth {
    /// Knows nothing yet.
    ///
    /// # Errors
    ///
    /// That the machine has no random numbers.
    pub fn new() -> Result<Self, ring::error::Unspecified> {
        Ok(Self {
            answers: Arc::new(Answers {
                key: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())?,
                known: Mutex::default(),
            }),
            turn: Arc::new(Semaphore::new(1)),
            waiting: Arc::new(Semaphore::new(WAITING)),
        })
    }

    /// Looks at an `Authorization` header.
    pub async fn judge(&self, users: &Users, authorization: Option<&HeaderValue>) -> Verdict {
        let Some(credentials) = authorization.and_then(credentials) else {
            return Verdict::Refused;
        };
        let Some((name, password)) = split(&credentials) else {
            return Verdict::Refused;
        };
        // A name that nobody has takes as long as one that somebody has.
        let known = std::str::from_utf8(name)
            .ok()
            .and_then(|name| users.get(name));
        let hash = known.map_or_else(
            || Hash::stand_in(users.some_cost(self.answers.number_of(name))),
            Hash::clone,
        );
        let question = self.answers.question(name, &hash, password);
        let verdict = |right| {
            if right {
                Verdict::Welcome
            } else {
                Verdict::Refused
            }
        };
        if let Some(right) = self.answers.find(&question) {
            return verdict(right);
        }
        let Ok(place) = self.waiting.clone().try_acquire_owned() else {
            return Verdict::Busy;
        };
        let Ok(turn) = self.turn.clone().acquire_owned().await else {
            return Verdict::Busy;
        };
        if let Some(right) = self.answers.find(&question) {
            return verdict(right);
        }
        let (answers, exists) = (self.answers.clone(), known.is_some());
        let password = Zeroizing::new(password.to_vec());
        let looking = tokio::task::spawn_blocking(move || {
            // It goes on when the client has gone away, and nobody else's turn comes before it is done.
            let _held = (place, turn);
            let right = hash.is_of(&password) && exists;
            answers.remember(question, right);
            right
        });
        verdict(looking.await.unwrap_or(false))
    }
}

/// What a digest says: who asked with which password against which hash. It cannot be turned back.
type Question = [u8; 32];

struct Answers {
    /// New in every process, so that nothing can be computed beforehand.
    key: hmac::Key,
    known: Mutex<Known>,
}

/// Apart, so that no flood of wrong passwords makes a right one forgotten.
#[derive(Default)]
struct Known {
    right: VecDeque<Question>,
    wrong: VecDeque<Question>,
}

impl Answers {
    fn question(&self, name: &[u8], hash: &Hash, password: &[u8]) -> Question {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [name, hash.as_bytes(), password] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let mut question = Question::default();
        question.copy_from_slice(context.sign().as_ref());
        question
    }

    /// A number for a name, which nobody outside can know.
    fn number_of(&self, name: &[u8]) -> u64 {
        let digest = hmac::sign(&self.key, name);
        digest
            .as_ref()
            .iter()
            .take(8)
            .fold(0, |number, byte| (number << 8) | u64::from(*byte))
    }

    fn find(&self, question: &Question) -> Option<bool> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.right.contains(question) {
            return Some(true);
        }
        known.wrong.contains(question).then_some(false)
    }

    fn remember(&self, question: Question, right: bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let questions = if right {
            &mut known.right
        } else {
            &mut known.wrong
        };
        if questions.len() == REMEMBERED {
            questions.pop_front();
        }
        questions.push_back(question);
    }
}

/// What is behind `Basic `, decoded.
fn credentials(header: &HeaderValue) -> Option<Zeroizing<Vec<u8>>> {
    let (scheme, encoded) = header.as_bytes().split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    BASE64_STANDARD.decode(encoded).ok().map(Zeroizing::new)
}

/// A password may have colons in it, a name may not.
fn split(credentials: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = credentials.iter().position(|byte| *byte == b':')?;
    Some((&credentials[..colon], &credentials[colon + 1..]))
}
