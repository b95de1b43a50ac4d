//! Derives the facts from the state of the fleet. Data expire as they do on the metrics page.

use std::collections::BTreeMap;
use std::time::Duration;

use super::concerns::{of_fleet, of_vps};
use super::facts::{
    ApiPoints, Bandwidth, CallFacts, DiskFacts, ExporterFacts, LastError, LockFacts, Memory,
    PowerState, QuotaFacts, Severity, Status, Summary, VpsFacts,
};
use crate::clock::{BEFORE_START, Moment};
use crate::config::Expect;
use crate::exposition::Reloads;
use crate::fleet::{Fleet, VpsState, bandwidth};
use crate::kiwivm::Call;
use crate::kiwivm::model::{self, Inventory, LiveInfo, ServiceInfo};
use crate::units::{Bytes, UnixSeconds};

impl Status {
    /// The status of a fleet at `now`. Call [`Fleet::evaluate_conditions`] first to evaluate its conditions.
    #[must_use]
    pub fn new(fleet: &Fleet, reloads: Reloads, telemetry_path: &str, now: Moment) -> Self {
        let (quotas, positions) = quotas(fleet, now);
        let mut vps: Vec<VpsFacts> = fleet
            .vps()
            .iter()
            .zip(positions)
            .map(|(state, quota)| vps(state, quota, fleet.staleness(), now))
            .collect();
        // A stable sort: equally urgent VPSes stay in the order of the configuration.
        vps.sort_by_key(|vps| std::cmp::Reverse(vps.attention));
        let concerns = of_fleet(fleet, now);
        Self {
            timestamp_seconds: now.unix.whole(),
            summary: summary(&vps),
            concerns: concerns.firing,
            pending: concerns.pending,
            vps,
            api_points: ApiPoints {
                shared: fleet.totals().points.shared,
                quotas,
                calls: calls(fleet),
            },
            exporter: ExporterFacts {
                version: env!("CARGO_PKG_VERSION"),
                revision: env!("KIWIVM_BUILD_REVISION"),
                uptime_seconds: now.elapsed.saturating_sub(BEFORE_START).as_secs(),
                config_loaded_timestamp_seconds: reloads.last_success.whole(),
                config_last_reload_successful: reloads.successful,
                shard_ordinal: fleet.shard().ordinal(),
                total_shards: fleet.shard().total(),
                telemetry_path: telemetry_path.to_owned(),
            },
        }
    }
}

/// A group of the summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Critical,
    Warning,
    Locked,
    Pending,
    Unknown,
    Well,
}

impl VpsFacts {
    /// The group of the summary that this VPS belongs to.
    pub(super) fn group(&self) -> Group {
        let pending = self.pending.first().map(|concern| concern.level);
        match (self.attention, self.state) {
            (Some(Severity::Critical), _) => Group::Critical,
            (Some(Severity::Warning), _) => Group::Warning,
            (_, PowerState::Locked) => Group::Locked,
            _ if pending >= Some(Severity::Warning) => Group::Pending,
            // If all keys are refused, that is a concern of the exporter, and its VPSes have none.
            (_, PowerState::NotAskedYet | PowerState::Unknown | PowerState::KeyRefused) => {
                Group::Unknown
            }
            _ => Group::Well,
        }
    }
}

fn summary(vps: &[VpsFacts]) -> Summary {
    let mut summary = Summary {
        vps: vps.len(),
        ..Summary::default()
    };
    for vps in vps {
        let group = match vps.group() {
            Group::Critical => &mut summary.critical,
            Group::Warning => &mut summary.warning,
            Group::Locked => &mut summary.locked,
            Group::Pending => &mut summary.pending,
            Group::Unknown => &mut summary.unknown,
            Group::Well => &mut summary.well,
        };
        *group += 1;
    }
    summary
}

fn vps(vps: &VpsState, quota: Option<usize>, staleness: f64, now: Moment) -> VpsFacts {
    let live = vps.live(staleness, now);
    let service = vps.service(staleness, now);
    let lock = vps.lock(staleness, now).and_then(Option::as_ref);
    let text = |of: fn(&ServiceInfo) -> &Option<String>| service.and_then(|info| of(info).clone());
    let last_success = |call: Call| vps.calls[call].last_success.map(UnixSeconds::whole);
    let policy = match vps.inventory(Call::PolicyViolations, staleness, now) {
        Some(Inventory::PolicyViolations(policy)) => Some(policy),
        _ => None,
    };
    let concerns = of_vps(vps, staleness, now);
    VpsFacts {
        name: vps.identity.name.clone(),
        veid: vps.identity.veid.0,
        up: vps.up(staleness, now),
        state: state(vps, live, service, lock),
        expected_state: match vps.identity.expect {
            Expect::Running => Some(PowerState::Running),
            Expect::Stopped => Some(PowerState::Stopped),
            Expect::Any => None,
        },
        attention: concerns.firing.first().map(|concern| concern.level),
        concerns: concerns.firing,
        pending: concerns.pending,
        lock: lock.map(|lock| LockFacts {
            task: lock.task.clone(),
            progress_ratio: lock.progress,
        }),
        hostname: text(|info| &info.hostname),
        plan: text(|info| &info.plan),
        location: text(|info| &info.location),
        vm_type: service.and_then(|info| Some(info.hypervisor?.name())),
        bandwidth: service.map_or_else(Bandwidth::default, |info| {
            bandwidth(info, vps, staleness, now)
        }),
        cpu_throttled: live.and_then(|live| live.cpu_throttled),
        disk_throttled: live.and_then(|live| live.disk_throttled),
        disk: DiskFacts {
            used_bytes: live.and_then(|live| live.disk_used),
            size_bytes: live
                .and_then(|live| live.disk_size)
                .or_else(|| service.and_then(|info| info.plan_disk)),
        },
        memory: Memory {
            total_bytes: service.and_then(|info| info.plan_ram),
            available_bytes: live.and_then(|live| live.memory_available),
            swap_total_bytes: live.and_then(|live| live.swap_total),
            swap_free_bytes: live.and_then(|live| live.swap_free),
        },
        load: live.and_then(|live| Some(live.load?.averages)),
        policy_cases_open: policy.map(|policy| policy.open),
        policy_deadline_timestamp_seconds: policy.and_then(|policy| policy.deadline),
        last_answer_timestamp_seconds: last_success(Call::ServiceInfo),
        last_live_answer_timestamp_seconds: last_success(Call::LiveServiceInfo),
        next_poll_timestamp_seconds: vps.next_poll.map(|next| wall(next, now)),
        poll_interval_seconds: vps.calls[Call::ServiceInfo]
            .interval
            .map(|interval| interval.as_secs_f64()),
        last_error: vps.last_error.as_ref().map(|(call, error)| LastError {
            timestamp_seconds: wall(error.at, now),
            call: call.name(),
            text: error.value.clone(),
        }),
        quota,
    }
}

/// The state in one word; the most important one wins.
fn state(
    vps: &VpsState,
    live: Option<&LiveInfo>,
    service: Option<&ServiceInfo>,
    lock: Option<&model::Lock>,
) -> PowerState {
    if vps.authentication_failed == Some(true) {
        PowerState::KeyRefused
    } else if service.and_then(|info| info.suspended) == Some(true) {
        PowerState::Suspended
    } else if lock.is_some() {
        PowerState::Locked
    } else {
        match live.and_then(|live| live.status) {
            Some(model::Status::Running) => PowerState::Running,
            Some(model::Status::Starting) => PowerState::Starting,
            Some(model::Status::Stopped) => PowerState::Stopped,
            Some(model::Status::Other) => PowerState::Other,
            None if vps.tried => PowerState::Unknown,
            None => PowerState::NotAskedYet,
        }
    }
}

/// The transfer allowance, its use and the forecast.
fn bandwidth(info: &ServiceInfo, vps: &VpsState, staleness: f64, now: Moment) -> Bandwidth {
    let multiplier = vps.identity.multiplier;
    let (used, allowance) = (
        bandwidth::used(info, multiplier),
        bandwidth::allowance(info, multiplier),
    );
    let forecast = vps.forecast(staleness, now);
    let forecast_bytes =
        forecast.and_then(|forecast| bandwidth::of_counter(forecast.bytes, info, multiplier));
    let of_allowance = |bytes: Option<Bytes<f64>>| {
        let allowance = allowance.filter(|allowance| allowance.0 > 0.0)?;
        Some(bytes?.0 / allowance.0)
    };
    let reset = info.data_next_reset;
    let start = reset.and_then(bandwidth::period_start);
    let over = start
        .zip(reset)
        .and_then(|(start, reset)| part_over(start.into(), reset.into(), now));
    let whole_bytes = |Bytes(bytes): Bytes<f64>| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "floats saturate"
        )]
        let whole = bytes.round() as u64;
        Bytes(whole)
    };
    Bandwidth {
        used_bytes: used.map(whole_bytes),
        allowance_bytes: allowance.map(whole_bytes),
        multiplier: info.data_multiplier,
        used_ratio: of_allowance(used),
        period_start_timestamp_seconds: start,
        reset_timestamp_seconds: reset,
        even_pace_ratio: over,
        forecast_ratio: of_allowance(forecast_bytes),
        exhaustion_timestamp_seconds: forecast
            .and_then(|forecast| forecast.exhaustion)
            .map(UnixSeconds::whole),
    }
}

/// The elapsed part of a period; `None` if `now` is outside it.
fn part_over(start: UnixSeconds, reset: UnixSeconds, now: Moment) -> Option<f64> {
    let part = (now.unix - start) / (reset - start);
    (0.0..1.0).contains(&part).then_some(part)
}

/// All quotas of API points, and for each VPS the position of its quota.
fn quotas(fleet: &Fleet, now: Moment) -> (Vec<QuotaFacts>, Vec<Option<usize>>) {
    let mut quotas: Vec<QuotaFacts> = Vec::new();
    let mut known = BTreeMap::new();
    let positions = fleet.vps().iter().map(|vps| {
        let position = *known.entry(vps.quota?).or_insert_with(|| {
            quotas.push(QuotaFacts::default());
            quotas.len() - 1
        });
        let quota = &mut quotas[position];
        quota.vps += 1;
        if let Some([quarter, day]) = vps.allowed {
            quota.allowed_15m = Some(quarter.0);
            quota.allowed_24h = Some(day.0);
        }
        let read = vps.calls[Call::RateLimitStatus].last_success;
        // VPSes may have read the same quota at different times: use the newest reading.
        if let Some((points, read)) = vps
            .points(fleet.staleness(), now)
            .zip(read.map(UnixSeconds::whole))
            && quota.read_timestamp_seconds.is_none_or(|at| at <= read)
        {
            quota.read_timestamp_seconds = Some(read);
            quota.remaining_15m = points.remaining_15m;
            quota.remaining_24h = points.remaining_24h;
        }
        Some(position)
    });
    let positions = positions.collect();
    (quotas, positions)
}

fn calls(fleet: &Fleet) -> BTreeMap<&'static str, CallFacts> {
    let planned = |call: Call| {
        let intervals = fleet
            .vps()
            .iter()
            .filter_map(|vps| vps.calls[call].interval);
        let (shortest, longest) = intervals.fold((Duration::MAX, None), |(short, long), next| {
            (short.min(next), long.max(Some(next)))
        });
        let planned = CallFacts {
            shortest_interval_seconds: shortest.as_secs_f64(),
            longest_interval_seconds: longest?.as_secs_f64(),
            points: fleet.totals().points.costs[call].map(|points| points.0),
        };
        Some((call.name(), planned))
    };
    Call::ALL.into_iter().filter_map(planned).collect()
}

/// Converts a monotonic time.
fn wall(at: Duration, now: Moment) -> UnixSeconds<i64> {
    (now.unix + at.as_secs_f64() - now.elapsed.as_secs_f64()).whole()
}
