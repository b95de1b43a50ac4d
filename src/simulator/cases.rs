//! Abuse cases: violations with a deadline, and suspensions.

/// Abuse points that a plan allows.
pub const MOST_ABUSE_POINTS: u64 = 1000;
const POINTS_OF_A_CASE: u64 = 100;

/// A case for which a VPS is suspended.
#[derive(Clone, Debug)]
pub struct Suspension {
    pub record_id: u64,
    pub flag: &'static str,
    /// The owner can clear it by the API.
    pub soft: bool,
    pub evidence_record_id: u64,
    pub abuse_points: u64,
    pub evidence: &'static str,
}

/// A case that the owner has to resolve before a deadline.
#[derive(Clone, Debug)]
pub struct Violation {
    pub record_id: u64,
    /// Unix seconds.
    pub timestamp: i64,
    /// The deadline in story seconds.
    pub suspend_at: f64,
    pub flag: &'static str,
    pub soft: bool,
    pub abuse_points: u64,
    pub evidence: &'static str,
}

/// Reasons for which a case is not closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotClosed {
    Unknown,
    /// Only the vendor can close it.
    Hard,
}

/// All open cases, and the abuse points of all.
#[derive(Clone, Debug, Default)]
pub struct Cases {
    veid: u64,
    pub suspensions: Vec<Suspension>,
    pub violations: Vec<Violation>,
    /// Abuse points of this year; they stay when a case is closed.
    pub abuse_points: u64,
    opened: u64,
}

impl Cases {
    /// No cases.
    pub fn new(veid: u64) -> Self {
        Self {
            veid,
            ..Self::default()
        }
    }

    fn next_record(&mut self) -> u64 {
        self.opened += 1;
        self.veid % 10_000 * 100 + self.opened
    }

    /// Opens a case for which the VPS is suspended at once.
    pub fn suspend(&mut self, soft: bool) {
        let record_id = self.next_record();
        self.abuse_points += POINTS_OF_A_CASE;
        self.suspensions.push(Suspension {
            record_id,
            flag: if soft { "copyright" } else { "spam" },
            soft,
            evidence_record_id: record_id + 3300,
            abuse_points: POINTS_OF_A_CASE,
            evidence: "Example complaint text.\nReported address: 192.0.2.10",
        });
    }

    /// Opens a case with a deadline.
    pub fn warn(&mut self, timestamp: i64, suspend_at: f64) {
        let record_id = self.next_record();
        self.abuse_points += POINTS_OF_A_CASE;
        self.violations.push(Violation {
            record_id,
            timestamp,
            suspend_at,
            flag: "copyright",
            soft: true,
            abuse_points: POINTS_OF_A_CASE,
            evidence: "Example notice text.",
        });
    }

    /// The earliest deadline in story seconds.
    pub fn next_deadline(&self) -> Option<f64> {
        let deadlines = self.violations.iter().map(|case| case.suspend_at);
        deadlines.min_by(f64::total_cmp)
    }

    /// Turns the cases whose deadline is over into suspensions; their points are counted already.
    pub fn enforce(&mut self, elapsed: f64) {
        let expired = self
            .violations
            .extract_if(.., |case| case.suspend_at <= elapsed);
        self.suspensions.extend(expired.map(|case| Suspension {
            record_id: case.record_id,
            flag: case.flag,
            soft: case.soft,
            evidence_record_id: case.record_id + 3300,
            abuse_points: case.abuse_points,
            evidence: case.evidence,
        }));
    }

    /// Closes a case for which the VPS is suspended.
    pub fn clear(&mut self, record_id: u64) -> Result<(), NotClosed> {
        close(&mut self.suspensions, |case| {
            (case.record_id == record_id).then_some(case.soft)
        })
    }

    /// Closes a case with a deadline.
    pub fn resolve(&mut self, record_id: u64) -> Result<(), NotClosed> {
        close(&mut self.violations, |case| {
            (case.record_id == record_id).then_some(case.soft)
        })
    }
}

fn close<Case>(
    cases: &mut Vec<Case>,
    softness: impl Fn(&Case) -> Option<bool>,
) -> Result<(), NotClosed> {
    let found = cases
        .iter()
        .enumerate()
        .find_map(|(index, case)| Some((index, softness(case)?)));
    match found {
        None => Err(NotClosed::Unknown),
        Some((_, false)) => Err(NotClosed::Hard),
        Some((index, true)) => {
            cases.remove(index);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closes_only_soft_cases_and_keeps_their_points() {
        let mut cases = Cases::new(1_000_002);
        cases.suspend(true);
        cases.suspend(false);
        let [soft, hard] = [0, 1].map(|index| cases.suspensions[index].record_id);
        assert_eq!(cases.clear(1), Err(NotClosed::Unknown));
        assert_eq!(cases.clear(hard), Err(NotClosed::Hard));
        assert_eq!(cases.clear(soft), Ok(()));
        assert_eq!((cases.suspensions.len(), cases.abuse_points), (1, 200));
    }

    #[test]
    fn a_missed_deadline_suspends() {
        let mut cases = Cases::new(1_000_002);
        cases.warn(1_790_000_000, 200.0);
        cases.warn(1_790_000_000, 100.0);
        assert_eq!(cases.next_deadline(), Some(100.0));
        cases.enforce(100.0);
        assert_eq!(cases.next_deadline(), Some(200.0));
        assert_eq!((cases.suspensions.len(), cases.abuse_points), (1, 200));
        let open = cases.violations[0].record_id;
        assert_eq!(cases.resolve(open), Ok(()));
        assert_eq!(cases.next_deadline(), None);
    }
}
