//! Describes the alert conditions that hold, as evaluated by the fleet.

use super::facts::Concern;
use super::words::{Amount, Count, Date, Percent, Size, Span};
use crate::clock::Moment;
use crate::fleet::{Active, Alert, AlertInput, Fleet, SuspensionReason, VpsState};
use crate::kiwivm::Call;
use crate::units::{Bytes, UnixSeconds};

/// Firing and pending concerns, each sorted by severity.
#[derive(Debug, Default)]
pub struct Concerns {
    pub firing: Vec<Concern>,
    pub pending: Vec<Concern>,
}

impl Concerns {
    fn of(
        active: impl Iterator<Item = Active>,
        text: impl Fn(Alert) -> String,
        now: Moment,
    ) -> Self {
        let mut concerns = Self::default();
        for active in active {
            let concern = Concern {
                level: active.condition.severity,
                alert: active.condition.alert.name(),
                text: text(active.condition.alert),
                since_timestamp_seconds: (now.unix - active.held.as_secs_f64()).whole(),
                fires_timestamp_seconds: (now.unix + active.condition.hold.as_secs_f64()
                    - active.held.as_secs_f64())
                .whole(),
            };
            let fires = active.fires();
            let list = if fires {
                &mut concerns.firing
            } else {
                &mut concerns.pending
            };
            list.push(concern);
        }
        for list in [&mut concerns.firing, &mut concerns.pending] {
            list.sort_by_key(|concern| std::cmp::Reverse(concern.level));
        }
        concerns
    }
}

/// Concerns about the exporter or all VPSes together.
pub fn of_fleet(fleet: &Fleet, now: Moment) -> Concerns {
    let text = |alert| {
        match alert {
        Alert::AllKeysRefused => {
            "The API refuses the key of every VPS. No VPS is monitored.".to_owned()
        }
        Alert::APIFailing => {
            let (silent, pollable) = fleet.silent_of_pollable();
            format!(
                "The exporter has no data for {silent} of {pollable} VPSes. The API or the connection to it is failing."
            )
        }
        Alert::APIPointsExhausted => format!(
            "The exporter has no API points left for {}. Another client spends them.",
            Count(fleet.points_exhausted() as usize, "VPS", "VPSes")
        ),
        Alert::ReloadFailed => {
            "The exporter could not load its configuration. The previous one stays active. The log has the reason."
                .to_owned()
        }
        Alert::StateNotWritten => {
            "The exporter cannot write its state file. The next restart loses counters and history."
                .to_owned()
        }
        // Alerts about a single VPS.
        other => other.name().to_owned(),
    }
    };
    Concerns::of(fleet.active(now), text, now)
}

/// Concerns about one VPS.
pub fn of_vps(vps: &VpsState, staleness: f64, now: Moment) -> Concerns {
    let words = Words {
        vps,
        staleness,
        now,
    };
    Concerns::of(vps.active(now), |alert| words.of(alert), now)
}

/// Describes the concerns of a VPS.
struct Words<'a> {
    vps: &'a VpsState,
    staleness: f64,
    now: Moment,
}

impl Words<'_> {
    fn of(&self, alert: Alert) -> String {
        match alert {
            Alert::BandwidthWillRunOut => self.runs_out(),
            Alert::BandwidthNearlyUsed => {
                let used = self.amount(AlertInput::BandwidthUsed, AlertInput::BandwidthAllowance);
                let then = if self.is_used_up() {
                    "can be suspended at any time"
                } else {
                    "is suspended when the allowance is used up"
                };
                format!("It has used {used}. The VPS {then}.")
            }
            Alert::Suspended => self.suspended().to_owned(),
            Alert::NotAsExpected if self.vps.last(AlertInput::Running, self.now) == Some(1.0) => {
                "It is running. The configuration expects it to be stopped.".to_owned()
            }
            Alert::NotAsExpected => "It is not running. The configuration expects it to run.".to_owned(),
            Alert::AddressNullRouted => format!(
                "It has {} because of an attack.",
                Count(
                    self.number(AlertInput::NullRouted),
                    "null-routed address",
                    "null-routed addresses"
                )
            ),
            Alert::LockedTooLong => {
                "A task (snapshot, restore, migration) has locked it. The API returns no other data until the task ends.".to_owned()
            }
            Alert::CPUThrottled => {
                "The vendor throttles its CPU for two hours because of high usage."
                    .to_owned()
            }
            Alert::DiskThrottled => {
                "The vendor throttles its disk I/O for 15 minutes to three hours because of high usage."
                    .to_owned()
            }
            Alert::DiskNearlyFull => format!(
                "It uses {} of its disk quota.",
                self.amount(AlertInput::DiskUsed, AlertInput::DiskSize)
            ),
            Alert::DiskImageMapped => format!(
                "It has mapped {} of its disk image. The mapped part only grows until the guest runs fstrim.",
                self.amount(AlertInput::DiskUsed, AlertInput::DiskSize)
            ),
            Alert::InodesNearlyUsed => format!(
                "It uses {} of its inodes. At 100 % it cannot create files.",
                self.percent(AlertInput::InodesUsed, AlertInput::InodesLimit)
            ),
            Alert::MemoryLow => format!("It has {} of memory available.", self.memory()),
            Alert::SwapBusy => format!(
                "It has {} of its swap free and {} of memory available. Processes wait for the disk.",
                self.amount(AlertInput::SwapFree, AlertInput::SwapTotal),
                self.memory()
            ),
            Alert::PolicyDeadlineNear | Alert::PolicyViolationOpen => self.policy(),
            Alert::AbusePointsHigh => format!(
                "It has {} of the {} abuse points that its plan allows per year.",
                self.number(AlertInput::AbusePoints),
                self.number(AlertInput::AbusePointsLimit)
            ),
            Alert::BackupTooOld => self.backup(),
            Alert::SnapshotPurgedSoon => format!(
                "The vendor deletes one of its snapshots on {} unless you mark it as sticky.",
                self.date(AlertInput::SnapshotNextPurge)
            ),
            Alert::AuthenticationFailed if self.vps.without_key => {
                "It has no usable key. It is not monitored.".to_owned()
            }
            Alert::AuthenticationFailed => "The API refuses its key. It is not monitored.".to_owned(),
            Alert::DataStale => self.stale(),
            // Alerts about the exporter or all VPSes together.
            other => other.name().to_owned(),
        }
    }

    fn runs_out(&self) -> String {
        let used = self.amount(AlertInput::BandwidthUsed, AlertInput::BandwidthAllowance);
        let exhaustion = self.time(AlertInput::Exhaustion);
        let before = self.time(AlertInput::Reset).zip(exhaustion);
        let before = before.map_or_else(String::new, |(reset, exhaustion)| {
            format!(", {} before the reset", Span(reset - exhaustion))
        });
        let date = self.date(AlertInput::Exhaustion);
        let (runs_out, then) = if self.is_used_up() {
            ("ran out", "can be suspended at any time")
        } else {
            ("is expected to run out", "is then suspended")
        };
        format!("It has used {used}. The allowance {runs_out} on {date}{before}. The VPS {then}.")
    }

    fn is_used_up(&self) -> bool {
        let last = |input| self.vps.last(input, self.now);
        let used = last(AlertInput::BandwidthUsed).zip(last(AlertInput::BandwidthAllowance));
        used.is_some_and(|(used, allowance)| used >= allowance)
    }

    fn suspended(&self) -> &'static str {
        // The last response may lack the flag.
        let vps = self.vps;
        let reasons = vps.likely_suspension_reasons(self.staleness, self.now);
        match reasons[..] {
            [SuspensionReason::Bandwidth] => {
                "It is suspended until the reset, because the transfer allowance is used up."
            }
            [SuspensionReason::Bandwidth, ..] => {
                "It is suspended because the transfer allowance is used up and because of a policy case."
            }
            [SuspensionReason::Policy, ..] => "It is suspended because of a policy case.",
            _ => "It is suspended. The KiwiVM panel may show the reason.",
        }
    }

    fn policy(&self) -> String {
        let (open, urgent) = match self.vps.last(AlertInput::PolicyViolationsOpen, self.now) {
            Some(2.0..) => {
                let open = self.number(AlertInput::PolicyViolationsOpen);
                (
                    format!("It has {open} open policy cases"),
                    "the most urgent one",
                )
            }
            _ => ("It has an open policy case".to_owned(), "the case"),
        };
        let now = self.now.unix.whole();
        let deadline = self.vps.policy_deadline(self.now);
        match deadline.map(UnixSeconds::whole) {
            Some(deadline) if deadline > now => format!(
                "{open}. It is suspended on {}, in {}, unless you settle {urgent}.",
                Date(deadline),
                Span(deadline - now)
            ),
            Some(deadline) => format!(
                "{open}. The deadline passed on {}, so it can be suspended at any time.",
                Date(deadline)
            ),
            None => format!("{open}. Its deadline is not known yet."),
        }
    }

    fn backup(&self) -> String {
        let times = [AlertInput::BackupNewest, AlertInput::SnapshotNewest];
        let newest = times.into_iter().filter_map(|time| self.time(time)).max();
        newest.map_or_else(
            || "It has neither a backup nor a snapshot.".to_owned(),
            |newest| format!("It has no backup or snapshot newer than {}.", Date(newest)),
        )
    }

    fn stale(&self) -> String {
        let stale = Call::ALL.into_iter().filter(|call| {
            let record = &self.vps.calls[*call];
            record.is_stale(self.staleness, self.now) == Some(true)
        });
        let stale: Vec<_> = stale.map(Call::name).collect();
        let calls = if stale.is_empty() {
            "Calls returned no data until a moment ago.".to_owned()
        } else {
            format!(
                "Calls have returned no data for too long ({}).",
                stale.join(", ")
            )
        };
        match self.vps.calls[Call::ServiceInfo].last_success {
            Some(at) => format!(
                "{calls} The last data is {} old.",
                Span::of(self.now.unix - at)
            ),
            None => format!("{calls} No data was ever received."),
        }
    }

    fn memory(&self) -> String {
        self.amount(AlertInput::MemoryAvailable, AlertInput::MemoryTotal)
    }

    fn time(&self, input: AlertInput) -> Option<UnixSeconds<i64>> {
        let last = self.vps.last(input, self.now);
        let finite = last.filter(|at| at.is_finite());
        finite.map(|at| UnixSeconds(at).whole())
    }

    fn date(&self, input: AlertInput) -> String {
        let time = self.time(input);
        time.map_or_else(|| "an unknown date".to_owned(), |at| Date(at).to_string())
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts and sizes"
    )]
    fn number(&self, input: AlertInput) -> usize {
        self.vps.last(input, self.now).unwrap_or_default() as usize
    }

    fn amount(&self, part: AlertInput, whole: AlertInput) -> String {
        let [part, whole] = [part, whole].map(|input| Size(Bytes(self.number(input) as u64)));
        Amount(part, whole).to_string()
    }

    fn percent(&self, part: AlertInput, whole: AlertInput) -> Percent {
        let [part, whole] = [part, whole].map(|input| self.vps.last(input, self.now));
        Percent(part.zip(whole).map_or(0.0, |(part, whole)| part / whole))
    }
}
