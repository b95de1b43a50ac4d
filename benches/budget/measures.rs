//! Measurements of the exporter in one simulation.

use std::collections::HashSet;
use std::ops::Range;

use kiwivm_exporter::kiwivm::Call;

/// Minimum time in seconds between two readings of one VPS.
const CLOSE: f64 = 1.0;

/// Results of a simulation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub windows_exceeded: usize,
    /// Maximum points above the share in any window.
    pub excess: f64,
    /// Refused calls of other clients that would have succeeded without the measured exporter.
    pub refusals_of_others: u64,
    pub refused: u64,
    /// Minimum fraction of a quota that was left, over both windows.
    pub least_left: f64,
    pub mean_age: f64,
    pub age_99: f64,
    /// Longest time without any response but readings while many points were left, and its end.
    pub silence: f64,
    pub silence_ended: f64,
    /// Longest mean time between two live calls, as planned by the clairvoyant.
    pub planned_live_gap: f64,
    /// Time until every VPS had data; infinite if one never had.
    pub first_live: f64,
    pub first_usage: f64,
    pub calls: u64,
    pub readings: u64,
    /// Readings of a VPS less than [`CLOSE`] after its previous one, without another call of it in between.
    pub close_readings: u64,
    /// Maximum number of consecutive readings of this kind. A price sample of a reading may cause three.
    pub readings_in_a_row: u64,
    /// Number of times that the planner was paused for too many calls or wakes within a second.
    pub capped: u64,
}

impl Figures {
    pub fn readings_part(&self) -> f64 {
        self.readings as f64 / self.calls.max(1) as f64
    }
}

/// Observations of one VPS.
#[derive(Clone, Debug)]
struct Seen {
    last_live: f64,
    first_live: f64,
    first_usage: f64,
    last_call: Option<(Call, f64)>,
    readings_in_a_row: u64,
}

pub struct Measures {
    pub figures: Figures,
    vps: Vec<Seen>,
    /// VPSes that can have data.
    counted: Range<usize>,
    /// Range of time in which ages are measured.
    ages: Range<f64>,
    /// Ages of live data at the start and the end of each time between updates.
    aged: Vec<(f64, f64)>,
    quiet_since: f64,
    /// Quota, kind and number of each window in which the share was exceeded.
    exceeded: HashSet<(usize, usize, u64)>,
}

impl Measures {
    pub fn new(vps: usize, counted: Range<usize>, ages: Range<f64>) -> Self {
        let seen = Seen {
            last_live: 0.0,
            first_live: f64::INFINITY,
            first_usage: f64::INFINITY,
            last_call: None,
            readings_in_a_row: 0,
        };
        Self {
            figures: Figures {
                least_left: 1.0,
                ..Figures::default()
            },
            vps: vec![seen; vps],
            counted,
            ages,
            aged: Vec::new(),
            quiet_since: 0.0,
            exceeded: HashSet::new(),
        }
    }

    /// Records a call that was sent at `now`, its outcome and the time of its response.
    pub fn called(&mut self, vps: usize, call: Call, success: bool, now: f64, arrived: f64) {
        self.figures.calls += 1;
        let seen = &mut self.vps[vps];
        if call == Call::RateLimitStatus {
            self.figures.readings += 1;
            let close = seen
                .last_call
                .is_some_and(|(last, at)| last == call && now - at < CLOSE);
            self.figures.close_readings += u64::from(close);
            seen.readings_in_a_row = if close { seen.readings_in_a_row + 1 } else { 1 };
            let most = &mut self.figures.readings_in_a_row;
            *most = seen.readings_in_a_row.max(*most);
        }
        seen.last_call = Some((call, now));
        if !success {
            return;
        }
        if call != Call::RateLimitStatus {
            self.quiet_since = now;
        }
        match call {
            Call::LiveServiceInfo => {
                seen.first_live = seen.first_live.min(arrived);
                let last = std::mem::replace(&mut seen.last_live, now);
                self.age(vps, last, now);
            }
            Call::RawUsageStats => seen.first_usage = seen.first_usage.min(arrived),
            _ => {}
        }
    }

    /// Records that live data of `from` were the latest until `until`.
    fn age(&mut self, vps: usize, from: f64, until: f64) {
        let (start, end) = (from.max(self.ages.start), until.min(self.ages.end));
        if start < end && self.counted.contains(&vps) {
            self.aged.push((start - from, end - from));
        }
    }

    /// Updates the longest silence, which counts only while there is plenty.
    pub fn look(&mut self, now: f64, plenty: bool) {
        if !plenty {
            self.quiet_since = now;
        } else if now - self.quiet_since > self.figures.silence {
            self.figures.silence = now - self.quiet_since;
            self.figures.silence_ended = now;
        }
    }

    pub fn left(&mut self, part: f64) {
        self.figures.least_left = self.figures.least_left.min(part);
    }

    pub fn over_share(&mut self, excess: f64, quota: usize, window: usize, number: u64) {
        if excess <= 1e-6 {
            return;
        }
        self.figures.excess = self.figures.excess.max(excess);
        self.exceeded.insert((quota, window, number));
    }

    /// Computes the results. `online` is the time since which the API was reachable.
    pub fn finish(mut self, online: f64) -> Figures {
        for vps in 0..self.vps.len() {
            self.age(vps, self.vps[vps].last_live, f64::INFINITY);
        }
        self.figures.windows_exceeded = self.exceeded.len();
        let latest = |first: fn(&Seen) -> f64| {
            let times = self.vps[self.counted.clone()].iter().map(first);
            times.fold(0.0, f64::max) - online
        };
        self.figures.first_live = latest(|seen| seen.first_live);
        self.figures.first_usage = latest(|seen| seen.first_usage);
        let time: f64 = self.aged.iter().map(|(from, to)| to - from).sum();
        let squares = self.aged.iter().map(|(from, to)| to * to - from * from);
        self.figures.mean_age = squares.sum::<f64>() / 2.0 / time;
        let older = |age: f64| {
            let times = self
                .aged
                .iter()
                .map(|(from, to)| (to - from.max(age)).max(0.0));
            times.sum::<f64>() / time
        };
        let (mut low, mut high) = (0.0, self.ages.end);
        // Forty halvings are enough for microseconds.
        for _ in 0..40 {
            let middle = f64::midpoint(low, high);
            if older(middle) > 0.01 {
                low = middle;
            } else {
                high = middle;
            }
        }
        self.figures.age_99 = high;
        self.figures
    }
}
