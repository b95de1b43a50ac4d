//! The state of the fleet that survives a restart: the last responses with their ages.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::Fleet;
use super::alert_inputs::AlertInput;
use super::forecast::{Counter, Forecast};
use super::usage::UsageHistory;
use super::vps::{Known, VpsState};
use crate::clock::Moment;
use crate::kiwivm::model::{Inventory, LiveInfo, RateLimitStatus, ServiceInfo};
use crate::kiwivm::{Call, PerCall, Veid};
use crate::units::UnixSeconds;

/// A value and its age in seconds.
type Aged<T> = Option<(f64, T)>;

/// The last responses of one VPS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VpsValues {
    veid: u64,
    service: Aged<ServiceInfo>,
    live: Aged<LiveInfo>,
    points: Aged<RateLimitStatus>,
    #[serde(deserialize_with = "history")]
    usage: Option<UsageHistory>,
    #[serde(default)]
    counter: Counter,
    #[serde(default)]
    forecast: Option<Forecast>,
    inventory: PerCall<Aged<Inventory>>,
    authentication_failed: Option<bool>,
    /// Time of the last success of each call.
    last_success: PerCall<Option<UnixSeconds>>,
    /// Seconds without success of each call.
    #[serde(default)]
    silent: PerCall<Option<f64>>,
    /// Age in seconds and value of each [`AlertInput`], by its name. `None` is infinity, which JSON lacks.
    #[serde(default)]
    readings: BTreeMap<String, (f64, Option<f64>)>,
    /// Seconds that each condition has held, by alert and severity.
    #[serde(default)]
    conditions: BTreeMap<String, f64>,
}

/// Reads a history. Early versions also saved empty ones, before the first row; those are dropped.
fn history<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<UsageHistory>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Saved {
        Begun(UsageHistory),
        Empty {
            #[serde(rename = "newest")]
            _newest: Option<()>,
        },
    }
    Ok(match Option::deserialize(deserializer)? {
        Some(Saved::Begun(history)) => Some(history),
        Some(Saved::Empty { .. }) | None => None,
    })
}

impl Fleet {
    /// Returns the last responses of all VPSes.
    #[must_use]
    pub fn save_state(&self, now: Moment) -> Vec<VpsValues> {
        self.vps.iter().map(|vps| save_vps(vps, now)).collect()
    }

    /// Restores the result of [`Self::save_state`], saved `elapsed` ago. Stale values are dropped by their age as
    /// usual. VPSes that are no longer configured are skipped.
    pub fn restore_state(&mut self, values: Vec<VpsValues>, elapsed: Duration, now: Moment) {
        for values in values {
            let Some(vps) = self.find(Veid(values.veid)) else {
                continue;
            };
            vps.service = aged(values.service, elapsed, now);
            vps.remember_addresses();
            vps.live = aged(values.live, elapsed, now);
            vps.points = aged(values.points, elapsed, now);
            vps.usage_published = values.usage.as_ref().map(|usage| usage.totals);
            vps.usage = values.usage;
            vps.counter = values.counter;
            vps.forecast = values.forecast;
            vps.inventory = values
                .inventory
                .map(|value| aged(value, elapsed, now).map(Box::new));
            vps.authentication_failed = values.authentication_failed;
            vps.tried = Call::ALL
                .into_iter()
                .any(|call| call.returns_state() && values.last_success[call].is_some());
            for (call, last_success) in vps.calls.values_mut().zip(values.last_success.values()) {
                call.last_success = last_success.filter(|at| *at <= now.unix);
            }
            let before = |age: f64| {
                let age = Duration::try_from_secs_f64(age).ok()?;
                now.elapsed.checked_sub(age.checked_add(elapsed)?)
            };
            for input in AlertInput::ALL {
                if let Some((age, value)) = values.readings.get(input.name())
                    && let Some(at) = before(*age)
                {
                    let value = value.unwrap_or(f64::INFINITY);
                    vps.alert_state.inputs.restore(*input, value, at);
                }
            }
            // Prometheus keeps evaluating its rules while the exporter is down, so downtime counts.
            for (condition, held) in &values.conditions {
                if let Some(since) = before(*held) {
                    vps.alert_state.restore(condition, since);
                }
            }
            // Downtime does not count: no call was made.
            for (call, silent) in vps.calls.values_mut().zip(values.silent.values()) {
                let silent = silent.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                let since = silent.and_then(|silent| now.elapsed.checked_sub(silent));
                call.silent_since = since.or(call.silent_since);
            }
        }
    }
}

fn save_vps(vps: &VpsState, now: Moment) -> VpsValues {
    VpsValues {
        veid: vps.identity.veid.0,
        service: age(vps.service.as_ref(), now),
        live: age(vps.live.as_ref(), now),
        points: age(vps.points.as_ref(), now),
        usage: vps.usage.clone(),
        counter: vps.counter,
        forecast: vps.forecast,
        inventory: PerCall::from_fn(|call| age(vps.inventory[call].as_deref(), now)),
        authentication_failed: vps.authentication_failed,
        last_success: PerCall::from_fn(|call| vps.calls[call].last_success),
        silent: PerCall::from_fn(|call| {
            let since = vps.calls[call].silent_since?;
            Some(now.elapsed.saturating_sub(since).as_secs_f64())
        }),
        readings: vps
            .alert_state
            .inputs
            .iter()
            .map(|(input, value, at)| {
                let value = value.is_finite().then_some(value);
                (input.name().to_owned(), (seconds_since(at, now), value))
            })
            .collect(),
        conditions: vps
            .alert_state
            .since()
            .map(|(condition, since)| (condition, seconds_since(since, now)))
            .collect(),
    }
}

fn seconds_since(at: Duration, now: Moment) -> f64 {
    now.elapsed.saturating_sub(at).as_secs_f64()
}

fn age<T: Clone>(known: Option<&Known<T>>, now: Moment) -> Aged<T> {
    known.map(|known| {
        (
            now.elapsed.saturating_sub(known.at).as_secs_f64(),
            known.value.clone(),
        )
    })
}

/// `None` if the value is older than the monotonic clock; every freshness limit is shorter than that.
fn aged<T>(value: Aged<T>, elapsed: Duration, now: Moment) -> Option<Known<T>> {
    let (age, value) = value?;
    let age = Duration::try_from_secs_f64(age)
        .ok()?
        .checked_add(elapsed)?;
    Some(Known {
        value,
        at: now.elapsed.checked_sub(age)?,
    })
}
