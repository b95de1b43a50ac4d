//! Finds out which VPSes draw on the same allowance.
//!
//! While nothing else is sent, every VPS that may share is read; then one of them, the spender, is read again and
//! again; after a silence all are read once more, and all of that a second time. The counter of a VPS that shares
//! nothing with the spender did not fall with the spender's. One that did not fall with the others' readings either
//! has an allowance of its own. Those that do share are told apart by the number they show: one allowance shows one.
//! What is parted by mistake would be spent several times over, so both rounds must agree, and a doubt is left to
//! another survey.

use std::collections::BTreeMap;
use std::time::Duration;

use super::allowance::Remaining;
use super::window::Window;
use crate::kiwivm::Veid;
use spending::Spending;

mod spending;

/// What the others must have spent for a drop to tell anything, in points.
pub const TELLING: f64 = 16.0;
/// When the spender's own counter has not shown what readings cost after so much, nobody is parted.
const MOST_SPENT: f64 = 8.0 * TELLING;
/// The silence before a round, in which a counter that lags catches up.
const SILENCE: Duration = Duration::from_secs(20);
/// From this part of what the spender spent on, a drop is taken for the spender's.
const WITH_SPENDER: f64 = 0.5;
/// A counter that falls by this beyond the VPS's own calls is not the VPS's alone: one reading of another may cost
/// little more, and integers hide less.
const ALONE: f64 = 1.0;
/// Readings of one counter taken in a row differ by no more than this, beside what was spent in between.
const SAME: f64 = 4.0;
/// Rounds after the first readings.
const ROUNDS: usize = 2;
/// From this part on it shares with everyone.
const WITH_ALL: f64 = 0.7;
/// A survey that could not be finished in this time is given up: calls wait for it.
const LONGEST: Duration = Duration::from_secs(5 * 60);
/// At most so many VPSes are surveyed at a time.
pub const MOST: usize = 64;

/// What was spent so far, to compare readings by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spent {
    /// By the VPS.
    pub own: f64,
    /// By the whole group.
    pub group: f64,
}

#[derive(Clone, Copy, Debug)]
struct Anchor {
    remaining: Remaining,
    spent: Spent,
}

/// What the counter of a VPS showed in one round.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// The fall since the first reading.
    fall: f64,
    /// What the VPS itself had spent of that.
    own: f64,
    /// What the others had spent by the silence.
    others: f64,
    /// What the spender had spent by the silence.
    spender: f64,
    /// The 24-hour figure.
    level: f64,
    /// What the group had spent since the silence.
    spent: f64,
}

impl Seen {
    /// The fall beyond the VPS's own calls.
    fn net(&self) -> f64 {
        self.fall - self.own
    }
}

/// What was spent when a silence began.
#[derive(Clone, Debug)]
struct Silence {
    begun: Duration,
    group: f64,
    own: BTreeMap<Veid, f64>,
    /// What readings had cost until then, as a part of what was reckoned, if the spender's counter showed it.
    price: Option<f64>,
}

/// What a survey wants done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read those that are pending.
    Read,
    /// Read this one, so that it spends.
    Spend(Veid),
    /// Nothing before this time.
    Wait(Duration),
}

/// Who shares with whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// VPSes with an allowance of their own.
    pub alone: Vec<Veid>,
    /// Groups that share one, and whether that is certain.
    pub together: Vec<(Vec<Veid>, bool)>,
}

/// A survey of one group under way.
#[derive(Clone, Debug)]
pub struct Survey {
    spender: Veid,
    pending: Vec<Veid>,
    members: Vec<Veid>,
    anchors: BTreeMap<Veid, Anchor>,
    seen: BTreeMap<Veid, Vec<Seen>>,
    silences: Vec<Silence>,
    spending: Spending,
    reading: bool,
    until: Duration,
}

impl Survey {
    /// A survey of `members`, of whom `spender` spends.
    #[must_use]
    pub fn new(members: Vec<Veid>, spender: Veid, now: Duration) -> Self {
        Self {
            spender,
            pending: members.clone(),
            members,
            anchors: BTreeMap::new(),
            seen: BTreeMap::new(),
            silences: Vec::new(),
            spending: Spending::default(),
            reading: true,
            until: now + LONGEST,
        }
    }

    /// True when it can not be finished any more.
    #[must_use]
    pub fn expired(&self, now: Duration) -> bool {
        now >= self.until || self.members.len() < 2
    }

    /// True before the first reading.
    #[must_use]
    pub fn untouched(&self) -> bool {
        self.anchors.is_empty()
    }

    /// Who is still to be read in this round, in order.
    #[must_use]
    pub fn pending(&self) -> &[Veid] {
        &self.pending
    }

    /// What to do next. `group` and `own` tell what has been spent so far.
    pub fn step(&mut self, group: f64, own: impl Fn(Veid) -> f64, now: Duration) -> Step {
        if self.reading {
            let ends = self
                .silences
                .last()
                .map_or(Duration::ZERO, |silence| silence.begun + SILENCE);
            return if now < ends {
                Step::Wait(ends)
            } else {
                Step::Read
            };
        }
        let spent_before = match self.silences.last() {
            Some(silence) => silence.own.get(&self.spender).copied(),
            None => self
                .anchors
                .get(&self.spender)
                .map(|anchor| anchor.spent.own),
        };
        let spent = own(self.spender) - spent_before.unwrap_or(0.0);
        let price = self.spending.price(spent);
        if spent < TELLING || (price.is_none() && spent < MOST_SPENT) {
            return Step::Spend(self.spender);
        }
        self.spending = Spending::default();
        let own = self
            .members
            .iter()
            .map(|veid| (*veid, own(*veid)))
            .collect();
        self.silences.push(Silence {
            begun: now,
            group,
            own,
            price,
        });
        self.pending.clone_from(&self.members);
        if self.silences.len() == ROUNDS {
            // What others spend during a round looks the other way round then.
            self.pending.reverse();
        }
        self.reading = true;
        Step::Wait(now + SILENCE)
    }

    /// Takes in a reading; the verdict, when that was the last one.
    pub fn read(&mut self, veid: Veid, remaining: Remaining, spent: Spent) -> Option<Verdict> {
        if !self.reading {
            if veid == self.spender {
                self.spending.read(remaining, spent);
            }
            return None;
        }
        let position = self.pending.iter().position(|pending| *pending == veid)?;
        self.pending.remove(position);
        match self.silences.last() {
            None => {
                self.anchors.insert(veid, Anchor { remaining, spent });
            }
            Some(silence) => {
                let anchor = self.anchors.get(&veid)?;
                let own_then = silence.own.get(&veid).copied().unwrap_or(spent.own);
                // What is seen in either window was spent; a day that began anew tells nothing, which is taken for
                // sharing.
                let falls = [0, 1].map(|window| anchor.remaining[window] - remaining[window]);
                let fall = if falls[1] < 0.0 {
                    f64::INFINITY
                } else {
                    falls[1].max(falls[0])
                };
                self.seen.entry(veid).or_default().push(Seen {
                    fall,
                    own: spent.own - anchor.spent.own,
                    others: (silence.group - anchor.spent.group) - (own_then - anchor.spent.own),
                    spender: silence.own.get(&self.spender).unwrap_or(&0.0)
                        - self
                            .anchors
                            .get(&self.spender)
                            .map_or(0.0, |anchor| anchor.spent.own),
                    level: remaining[Window::Day as usize],
                    spent: spent.group - silence.group,
                });
            }
        }
        if !self.pending.is_empty() {
            return None;
        }
        self.reading = false;
        (self.silences.len() == ROUNDS).then(|| self.verdict())
    }

    /// Puts all that was reckoned at the price that readings had. False when that is not known.
    fn put_at_price(&mut self) -> bool {
        let prices: Option<Vec<f64>> = self.silences.iter().map(|silence| silence.price).collect();
        let Some(prices) = prices else {
            return false;
        };
        let price = prices.into_iter().fold(1.0, f64::min);
        for seen in self.seen.values_mut().flatten() {
            seen.own *= price;
            seen.others *= price;
            seen.spender *= price;
        }
        for silence in &mut self.silences {
            silence.own.values_mut().for_each(|own| *own *= price);
        }
        true
    }

    /// What the counter of a VPS showed, if it was read in both rounds.
    fn seen(&self, veid: Veid) -> Option<&[Seen]> {
        let seen = self.seen.get(&veid)?;
        (seen.len() == ROUNDS).then_some(seen)
    }

    /// The part of what the others spent that the counter of a VPS showed, in the round where it was the larger.
    fn part(&self, veid: Veid) -> f64 {
        self.seen(veid).map_or(1.0, |seen| {
            seen.iter()
                .map(|seen| seen.net() / seen.others.max(TELLING / 2.0))
                .fold(0.0, f64::max)
        })
    }

    /// True unless the counter of a VPS fell by less than the spender spent in both rounds.
    fn fell_with_spender(&self, veid: Veid) -> bool {
        self.seen(veid).is_none_or(|seen| {
            seen.iter()
                .any(|seen| seen.net() >= WITH_SPENDER * seen.spender)
        })
    }

    fn verdict(&mut self) -> Verdict {
        let mut verdict = Verdict::default();
        if !self.put_at_price() {
            verdict.together.push((self.members.clone(), false));
            return verdict;
        }
        let (with_spender, rest): (Vec<Veid>, Vec<Veid>) = self
            .members
            .iter()
            .partition(|veid| **veid == self.spender || self.fell_with_spender(**veid));
        let (alone, undecided): (Vec<Veid>, Vec<Veid>) =
            rest.iter().partition(|veid| self.is_alone(**veid, &rest));
        verdict.alone = alone;
        if with_spender.len() == 1 {
            verdict.alone.extend(with_spender);
            if !undecided.is_empty() {
                verdict.together.push((undecided, false));
            }
            return verdict;
        }
        let certain = with_spender
            .iter()
            .all(|veid| *veid == self.spender || self.part(*veid) >= WITH_ALL);
        if certain {
            verdict.together.push((with_spender, true));
            if !undecided.is_empty() {
                verdict.together.push((undecided, false));
            }
        } else {
            // A counter that fell with the readings of the rest looks as if it had fallen with the spender's.
            let mut doubtful = with_spender;
            doubtful.extend(undecided);
            let groups = self.groups(doubtful).into_iter();
            verdict.together.extend(groups.map(|group| (group, false)));
        }
        verdict
    }

    /// True when the counter of a VPS, that did not fall with the spender's, did not fall with the readings of the
    /// rest either, and would have by enough.
    fn is_alone(&self, veid: Veid, rest: &[Veid]) -> bool {
        let [first, second] = self.silences.as_slice() else {
            return false;
        };
        let read = |veid: Veid| {
            second.own.get(&veid).unwrap_or(&0.0) - first.own.get(&veid).unwrap_or(&0.0)
        };
        let others: f64 = rest
            .iter()
            .filter(|other| **other != veid)
            .map(|veid| read(*veid))
            .sum();
        let fall = self
            .seen(veid)
            .into_iter()
            .flatten()
            .map(Seen::net)
            .fold(0.0, f64::max);
        fall < ALONE && (rest.len() == 1 || others >= TELLING)
    }

    /// Groups by the number that readings show, if both rounds say the same.
    fn groups(&self, veids: Vec<Veid>) -> Vec<Vec<Veid>> {
        let of_round = |round: usize| {
            let mut levels: Vec<(f64, Veid)> = veids
                .iter()
                .filter_map(|veid| Some((self.seen.get(veid)?.get(round)?.level, *veid)))
                .collect();
            levels.sort_by(|a, b| a.0.total_cmp(&b.0));
            let mut groups: Vec<Vec<Veid>> = Vec::new();
            // Of one allowance, the last reading is lower than the first by what was spent in between.
            let seen = veids
                .iter()
                .filter_map(|veid| self.seen.get(veid)?.get(round));
            let same = SAME + seen.map(|seen| seen.spent).fold(0.0, f64::max);
            let mut before = f64::NEG_INFINITY;
            for (level, veid) in levels {
                match groups.last_mut().filter(|_| level - before <= same) {
                    Some(group) => group.push(veid),
                    None => groups.push(vec![veid]),
                }
                before = level;
            }
            for group in &mut groups {
                group.sort();
            }
            groups
        };
        let (first, second) = (of_round(0), of_round(ROUNDS - 1));
        let all_there = first.iter().map(Vec::len).sum::<usize>() == veids.len();
        if first == second && all_there {
            first
        } else {
            vec![veids]
        }
    }
}

#[cfg(test)]
mod tests;
