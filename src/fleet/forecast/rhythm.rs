//! The weekly rhythm of a VPS: its transfer in each hour of a week, and current deviations from it.
//!
//! Days are blocks of 24 hours counted back from the newest hour, so neither time zone nor calendar matters. Each day
//! of the ordinary week is the median of that day over the known weeks, scaled so that the week's total is the median
//! of the weekly totals. A burst in one week is not expected again; a burst in every week is, on any day.

/// Hours of a day.
const DAY: usize = 24;
/// Days of a week.
const WEEK: usize = 7;
/// A day or week is known if at least this part of its hours or days is.
const KNOWN: f64 = 0.5;
/// Consecutive hours or days of a deviation that make a run; a single one may be over already. Runs have no pieces of a
/// week, because a burst across two weeks would look like a run.
const RUN: usize = 2;
/// A quiet run is expected to continue for this multiple of its length. This prevents false alarms, and an allowance
/// that does run out is still detected days before.
const QUIET: usize = 3;
/// Length of a piece of a run in hours, and the maximum number of pieces.
const HOURS_RUN: (usize, usize) = (1, 23);
const DAYS_RUN: (usize, usize) = (DAY, 13);
/// Newest weeks to skip, at most, when a run of days is compared with the weeks before it: they may already contain it.
const LONGEST_BEFORE: usize = 2;
/// Known weeks required for growth, and the minimum step from each to the next, as a part of the newest.
const GROWING: usize = 4;
const GROWTH: f64 = 0.05;
/// Uncertainty of an ordinary week, as a part of it: with one or two weeks; with more, to be divided by their number;
/// and the maximum, including the deviation between the weeks.
const FEW_WEEKS: f64 = 0.1;
const ONE_OF_MANY: f64 = 0.15;
const MOST_UNCERTAIN: f64 = 0.25;

/// Bytes of past hours, newest first; `None` for an hour without data.
pub(super) type Past = [Option<f64>];

/// Bytes on each day of an ordinary week, newest first.
type Week = [f64; WEEK];

/// An ordinary week and the current deviations from it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rhythm {
    week: Week,
    /// Share of each hour in a day, newest first; the sum is 1.
    parts: [f64; DAY],
    /// Growth from week to week, as a part of the week.
    growth: f64,
    /// Uncertainty of an ordinary week, as a part of it.
    uncertainty: f64,
    more: Option<Run>,
    less: Option<Run>,
}

/// A time with more or less transfer than usual, and its expected duration.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    /// The ordinary week it is compared with.
    week: Week,
    /// Deviation in bytes per hour; negative for less than usual.
    rate: f64,
    hours: usize,
}

impl Rhythm {
    /// Computes the rhythm of past hours; `None` for less than a week.
    pub(super) fn of(past: &Past) -> Option<Self> {
        let days: Vec<_> = past.chunks_exact(DAY).map(sum).collect();
        let weeks: Vec<_> = days.chunks_exact(WEEK).collect();
        let totals: Vec<f64> = weeks.iter().filter_map(|week| sum(week)).collect();
        let growth = growth(&totals);
        #[expect(clippy::cast_precision_loss, reason = "a few weeks")]
        let weeks_known = totals.len() as f64;
        let (total, uncertainty) = match *totals.as_slice() {
            // A single week does not show which of its days were unusual, so use their median.
            [week] => {
                let day = median(days.iter().flatten().copied().collect());
                (day.map_or(week, |day| week.min(7.0 * day)), FEW_WEEKS)
            }
            [one, other] => (one.min(other), FEW_WEEKS),
            [newest, ..] if growth > 0.0 => (newest, ONE_OF_MANY / weeks_known),
            _ => {
                let total = median(totals.clone())?;
                let off = median(totals.iter().map(|week| (week - total).abs()).collect())?;
                let off = if total > 0.0 { off / total } else { 0.0 };
                (total, ONE_OF_MANY / weeks_known + off)
            }
        };
        let parts = parts(past);
        let usual = ordinary_week(&weeks, total);
        let before = (1..=LONGEST_BEFORE).filter_map(|skip| {
            let weeks = weeks.get(skip..).filter(|weeks| !weeks.is_empty())?;
            let total = median(weeks.iter().filter_map(|week| sum(week)).collect())?;
            Some((ordinary_week(weeks, total), skip * WEEK * DAY))
        });
        let compared: Vec<_> = std::iter::once((usual, usize::MAX)).chain(before).collect();
        let long = |sign: f64| {
            let runs = compared.iter().map(|(week, hours)| {
                let (piece, most) = DAYS_RUN;
                run(past, (piece, most.min(hours / piece)), week, &parts, sign)
            });
            runs.flatten().collect::<Vec<_>>()
        };
        let short = run(past, HOURS_RUN, &usual, &parts, 1.0);
        let by_size = |one: &Run, other: &Run| one.size().total_cmp(&other.size());
        Some(Self {
            week: usual,
            parts,
            growth,
            uncertainty: uncertainty.min(MOST_UNCERTAIN),
            more: long(1.0).into_iter().chain(short).max_by(by_size),
            less: long(-1.0).into_iter().max_by(by_size).map(|run| Run {
                hours: run.hours * QUIET,
                ..run
            }),
        })
    }

    /// Expected bytes in the hour that starts `hours` hours after the last one.
    pub(super) fn ahead(&self, hours: usize) -> f64 {
        let (day, part) = (
            WEEK - 1 - hours / DAY % WEEK,
            self.parts[DAY - 1 - hours % DAY],
        );
        #[expect(clippy::cast_precision_loss, reason = "weeks of a month")]
        let grown = 1.0 + self.growth * (hours / (DAY * WEEK) + 1) as f64;
        let usual = self.week[day] * part * grown;
        let of = |run: &Option<Run>| {
            let run = run.filter(|run| hours < run.hours)?;
            Some((run.week[day] * part + run.rate).max(0.0))
        };
        match (of(&self.more), of(&self.less)) {
            (Some(more), _) => usual.max(more),
            (None, Some(less)) => usual.min(less),
            (None, None) => usual,
        }
    }

    /// Uncertainty of an ordinary week, as a part of it.
    pub(super) const fn uncertainty(&self) -> f64 {
        self.uncertainty
    }
}

impl Run {
    #[expect(clippy::cast_precision_loss, reason = "hours of a month")]
    fn size(self) -> f64 {
        self.rate.abs() * self.hours as f64
    }
}

/// Finds the current run of more (`sign` 1) or less (-1) transfer than in an ordinary week. Its rate is that of its
/// weakest piece, and it is expected to continue for as long as it has lasted. Of all lengths, the one with the most
/// bytes wins.
fn run(
    past: &Past,
    (piece, most): (usize, usize),
    week: &Week,
    parts: &[f64; DAY],
    sign: f64,
) -> Option<Run> {
    let usual = |back: usize| week[back / DAY % WEEK] * parts[back % DAY];
    let mut weakest = f64::INFINITY;
    let mut best: Option<Run> = None;
    for (index, hours) in past.chunks_exact(piece).take(most).enumerate() {
        let begin = index * piece;
        let expected: f64 = (begin..begin + piece).map(usual).sum();
        let Some(moved) = sum(hours) else { break };
        weakest = weakest.min(sign * (moved - expected));
        if weakest <= 0.0 {
            break;
        }
        #[expect(clippy::cast_precision_loss, reason = "hours of a week")]
        let run = Run {
            week: *week,
            rate: sign * weakest / piece as f64,
            hours: begin + piece,
        };
        if index + 1 >= RUN && best.is_none_or(|best| run.size() > best.size()) {
            best = Some(run);
        }
    }
    best
}

/// Medians of the days, scaled to `total` bytes a week.
fn ordinary_week(weeks: &[&[Option<f64>]], total: f64) -> Week {
    let usual = |day: usize| median(weeks.iter().filter_map(|week| week[day]).collect());
    let week: Week = std::array::from_fn(|day| usual(day).unwrap_or(0.0));
    let of_days: f64 = week.iter().sum();
    if of_days > 0.0 {
        week.map(|day| day * total / of_days)
    } else {
        [total / 7.0; WEEK]
    }
}

/// Growth from week to week, as a part of the newest week: the smallest step of the last weeks, or 0 unless all grew.
fn growth(weeks: &[f64]) -> f64 {
    let Some((newest, weeks)) = weeks
        .get(..GROWING)
        .and_then(|weeks| Some((weeks.first()?, weeks)))
    else {
        return 0.0;
    };
    let steps = weeks.windows(2).map(|pair| (pair[0] - pair[1]) / newest);
    steps
        .reduce(f64::min)
        .filter(|step| *step >= GROWTH)
        .unwrap_or(0.0)
}

/// Share of each hour in a day, newest first; equal shares without traffic.
fn parts(past: &Past) -> [f64; DAY] {
    let mut means = [0.0; DAY];
    for (hour, mean) in means.iter_mut().enumerate() {
        let same = past.iter().skip(hour).step_by(DAY).flatten();
        let (count, total) = same.fold((0.0, 0.0), |(count, total), bytes| {
            (count + 1.0, total + bytes)
        });
        *mean = if count > 0.0 { total / count } else { 0.0 };
    }
    let total: f64 = means.iter().sum();
    if total > 0.0 {
        means.map(|mean| mean / total)
    } else {
        [1.0 / 24.0; DAY]
    }
}

/// Sum of hours or days, extrapolated to those that are unknown; `None` if too few are known.
#[expect(clippy::cast_precision_loss, reason = "hours of a week")]
fn sum(pieces: &[Option<f64>]) -> Option<f64> {
    let known = pieces.iter().flatten();
    let (count, total) = known.fold((0.0, 0.0), |(count, total), bytes| {
        (count + 1.0, total + bytes)
    });
    let all = pieces.len() as f64;
    (count > 0.0 && count >= KNOWN * all).then(|| total * all / count)
}

/// The median. Of two values it is the lower one, because one of them may be unusual.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    match *values.as_slice() {
        [] => None,
        [lower, _] => Some(lower),
        ref values => {
            let middle = values.len() / 2;
            let upper = values[middle];
            Some(if values.len().is_multiple_of(2) {
                f64::midpoint(values[middle - 1], upper)
            } else {
                upper
            })
        }
    }
}
