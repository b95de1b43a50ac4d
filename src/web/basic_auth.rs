//! Names and passwords. bcrypt is slow on purpose, so verdicts are remembered, equal checks are made once, and clients take
//! turns with the others.

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

/// Answers remembered, of the right passwords and of the wrong ones each; as many as the toolkit remembers.
const REMEMBERED: usize = 100;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is answered.
    Welcome,
    /// A name and a password are missing or wrong.
    Refused,
    /// Too many passwords wait to be checked.
    Busy,
}

/// Knows which passwords are right, once it has found out.
pub struct BasicAuth {
    answers: Arc<Answers>,
    turns: Turns,
    /// Checks under way, which equal ones join.
    checks: Mutex<HashMap<Question, Weak<OnceCell<bool>>>>,
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
            turns: Turns::default(),
            checks: Mutex::default(),
        })
    }

    /// Judges an `Authorization` header that came from this client.
    pub async fn judge(
        &self,
        users: &Users,
        authorization: Option<&HeaderValue>,
        client: IpAddr,
    ) -> Verdict {
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
        let check = self.check(question);
        let right = check.get_or_init(async || {
            let turn = self.turns.take(client).await;
            // The client of an equal check may have gone away before it was done.
            if let Some(right) = self.answers.find(&question) {
                return right;
            }
            let (answers, exists) = (self.answers.clone(), known.is_some());
            let password = Zeroizing::new(password.to_vec());
            let checking = tokio::task::spawn_blocking(move || {
                // It goes on when the client has gone away, and no other turn begins before it is done.
                let _turn = turn;
                let right = hash.is_of(&password) && exists;
                answers.remember(question, right);
                right
            });
            checking.await.unwrap_or(false)
        });
        match tokio::time::timeout(LONGEST_WAIT, right).await {
            Ok(right) => verdict(*right),
            Err(_) => Verdict::Busy,
        }
    }

    /// The check of this question, which equal questions share.
    fn check(&self, question: Question) -> Arc<OnceCell<bool>> {
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(check) = checks.get(&question).and_then(Weak::upgrade) {
            return check;
        }
        checks.retain(|_, check| check.strong_count() > 0);
        let check = Arc::default();
        checks.insert(question, Arc::downgrade(&check));
        check
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
