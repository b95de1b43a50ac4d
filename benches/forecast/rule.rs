//! The rule that the forecast replaces: `KiwiVMBandwidthWillRunOut` of the recording rules, evaluated once an hour.

use crate::month::Month;
use crate::stories::HOURS;

/// The state of the rule.
#[derive(Default)]
pub struct Rule {
    /// Hours since the expression became true.
    since: Option<usize>,
}

/// The result of one evaluation.
pub struct Evaluation {
    pub projected: Option<f64>,
    pub firing: bool,
}

impl Rule {
    /// Evaluates the rule at an hour of the period. Amounts are fractions of the allowance.
    pub fn evaluate(&mut self, month: &Month, hour: usize) -> Evaluation {
        let age = hour;
        let used = month.used(hour, 0);
        let median = median_pace(month, hour);
        let average = (age > 0).then(|| used / age as f64 * 24.0);
        let pace = median
            .filter(|_| age >= 4 * 24)
            .or(median.filter(|median| average.is_some_and(|average| *median <= average)))
            .or(average.filter(|_| median.is_some()))
            .or(average.filter(|_| age >= 7 * 24));
        let left = (HOURS - hour) as f64 / 24.0;
        let projected = pace.map(|pace| used + pace * left);
        let firing = self.since.is_some_and(|since| hour > since);
        let holds = projected.zip(pace).is_some_and(|(projected, pace)| {
            projected >= 1.0 || (firing && age >= 24 && projected + pace >= 1.0)
        }) && used < 1.0;
        self.since = if holds {
            self.since.or(Some(hour))
        } else {
            None
        };
        Evaluation {
            projected,
            firing: holds && self.since.is_some_and(|since| hour > since),
        }
    }
}

/// Returns the median usage of 24 hours over the last four days.
fn median_pace(month: &Month, hour: usize) -> Option<f64> {
    let mut used: Vec<f64> = (0..4 * 24)
        .filter_map(|back| month.used_in_a_day(hour, back))
        .collect();
    used.sort_unstable_by(f64::total_cmp);
    (used.len() >= 52).then(|| used[used.len() / 2])
}
