//! The rhythm of a VPS: how much it moves in each hour of a week, and how long it has been moving more or less than that.
//!
//! Days are counted back from the newest hour, in blocks of 24 hours, so that neither time zone nor calendar matters. The
//! amount of a day is the median of the same day in the weeks that are known, scaled so that the week has the median of
//! the weeks: a burst of one week is not expected again, and one that comes each week is, on whichever day.

/// Hours of a day.
const DAY: usize = 24;
/// Days of a week.
const WEEK: usize = 7;
/// Less than this part of the hours of a day or week being known, nothing is known about it.
const KNOWN: f64 = 0.5;
/// Something that has gone on in one hour or day may be over; in two of them in a row it is a run. Weeks are no pieces of a
/// run: a burst at the turn of two of them would look like one.
const RUN: usize = 2;
/// A quiet time is trusted to last so many times as long as it has lasted: a false alarm is read by people, and an
/// allowance that does run out is seen days before in any case.
const QUIET: usize = 3;
/// The lengths of the pieces of a run in hours, with the largest number of pieces.
const HOURS_RUN: (usize, usize) = (1, 23);
const DAYS_RUN: (usize, usize) = (DAY, 13);
/// A run of days is compared with the weeks before it too, because the newest weeks have taken it up already.
const LONGEST_BEFORE: usize = 2;
/// Weeks that have to be known, each larger than the one before by this part of the newest, for growth to be believed.
const GROWING: usize = 4;
const GROWTH: f64 = 0.05;
/// Uncertainty of an ordinary week, in parts of it: of a single week, divided by the number of weeks if three or more can be
/// compared with each other; with their differences at most so much.
const FEW_WEEKS: f64 = 0.1;
const ONE_OF_MANY: f64 = 0.15;
const MOST_UNCERTAIN: f64 = 0.25;

/// The hours before now, newest first; `None` for an hour of which nothing is known.
pub(super) type Past = [Option<f64>];

/// Bytes of the days of an ordinary week, newest first.
type Week = [f64; WEEK];

/// What an ordinary week is like, and what is out of the ordinary now.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rhythm {
    week: Week,
    /// Parts of a day in its hours, newest first; 1 in sum.
    parts: [f64; DAY],
    /// How much more each week has than the one before, in parts of it.
    growth: f64,
    /// How well an ordinary week is known, in parts of it.
    uncertainty: f64,
    more: Option<Run>,
    less: Option<Run>,
}

/// A time in which more or less than usual has been moved, and how long that will go on.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    /// The ordinary week that it is compared with.
    week: Week,
    /// Bytes an hour beside the usual ones; below 0 for less.
    rate: f64,
    hours: usize,
}

impl Rhythm {
    /// The rhythm of the past; `None` if that is shorter than a week.
    pub(super) fn of(past: &Past) -> Option<Self> {
        let days: Vec<_> = past.chunks_exact(DAY).map(sum).collect();
        let weeks: Vec<_> = days.chunks_exact(WEEK).collect();
        let totals: Vec<f64> = weeks.iter().filter_map(|week| sum(week)).collect();
        let growth = growth(&totals);
        #[expect(clippy::cast_precision_loss, reason = "five weeks")]
        let weeks_known = totals.len() as f64;
        let (total, uncertainty) = match *totals.as_slice() {
            // Of a single week nobody knows which days were out of the ordinary.
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

    /// Bytes in the hour that begins so many hours after the past ends.
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

    /// How far from the truth an ordinary week may be, in parts of it.
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

/// The run of more (`sign` 1) or less (-1) than in an ordinary week that goes on now. It is as strong as in the weakest of
/// its pieces and goes on for as long as it has lasted; of all lengths the one that matters most counts.
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

/// The medians of the days, scaled to so many bytes a week.
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

/// How much more each week has than the one before, in parts of the newest; the least of the last weeks if all of them grew.
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

/// The part of a day that is moved in each of its hours, newest first; equal parts if nothing was moved.
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

/// The sum of hours or days, as if those that are not known were like the others; `None` if too few are known.
#[expect(clippy::cast_precision_loss, reason = "hours of a week")]
fn sum(pieces: &[Option<f64>]) -> Option<f64> {
    let known = pieces.iter().flatten();
    let (count, total) = known.fold((0.0, 0.0), |(count, total), bytes| {
        (count + 1.0, total + bytes)
    });
    let all = pieces.len() as f64;
    (count > 0.0 && count >= KNOWN * all).then(|| total * all / count)
}

/// The median; of two values the lower, because one of them may be out of the ordinary.
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
