//! What of the fleet survives a restart: the last answers with their ages.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::Fleet;
use super::forecast::{Counter, Forecast};
use super::readings::Reading;
use super::usage::UsageHistory;
use super::vps::{Known, VpsState, tells_state};
use crate::clock::Moment;
use crate::kiwivm::model::{Inventory, LiveInfo, Points, ServiceInfo};
use crate::kiwivm::{Call, PerCall, Veid};

/// A value and its age in seconds.
type Aged<T> = Option<(f64, T)>;

/// The last answers of one VPS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VpsValues {
    veid: u64,
    service: Aged<ServiceInfo>,
    live: Aged<LiveInfo>,
    points: Aged<Points>,
    #[serde(deserialize_with = "begun")]
    usage: Option<UsageHistory>,
    #[serde(default)]
    counter: Counter,
    #[serde(default)]
    forecast: Option<Forecast>,
    inventory: PerCall<Aged<Inventory>>,
    authentication_failed: Option<bool>,
    /// Unix seconds.
    last_success: PerCall<Option<f64>>,
    /// Seconds for which each call has brought nothing.
    #[serde(default)]
    silent: PerCall<Option<f64>>,
    /// By the name of the reading, its age in seconds and its value, `None` for infinity, which JSON does not have.
    #[serde(default)]
    readings: BTreeMap<String, (f64, Option<f64>)>,
    /// For how many seconds each condition has held, by the name of the alert and its severity.
    #[serde(default)]
    conditions: BTreeMap<String, f64>,
}

/// Reads a history. The first versions saved one before there was a row; nothing is counted in that.
fn begun<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<UsageHistory>, D::Error> {
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
    /// The last answers of every VPS.
    #[must_use]
    pub fn remember(&self, now: Moment) -> Vec<VpsValues> {
        self.vps.iter().map(|vps| remember(vps, now)).collect()
    }

    /// Takes back what [`Self::remember`] gave `elapsed` ago. Values that were too old then, or are by now, are
    /// dropped by their age as ever. VPSes that are not configured any more are passed over.
    pub fn recall(&mut self, values: Vec<VpsValues>, elapsed: Duration, now: Moment) {
        for values in values {
            let Some(vps) = self.find(Veid(values.veid)) else {
                continue;
            };
            vps.service = aged(values.service, elapsed, now);
            vps.live = aged(values.live, elapsed, now);
            vps.points = aged(values.points, elapsed, now);
            vps.usage_shown = values.usage.as_ref().map(|usage| usage.totals);
            vps.usage = values.usage;
            vps.counter = values.counter;
            vps.forecast = values.forecast;
            vps.inventory = values
                .inventory
                .map(|value| aged(value, elapsed, now).map(Box::new));
            vps.authentication_failed = values.authentication_failed;
            vps.tried = Call::ALL
                .into_iter()
                .any(|call| tells_state(call) && values.last_success[call].is_some());
            for (call, last_success) in vps.calls.values_mut().zip(values.last_success.values()) {
                call.last_success = last_success.filter(|at| *at <= now.unix);
            }
            let before = |age: f64| {
                let age = Duration::try_from_secs_f64(age).ok()?;
                now.elapsed.checked_sub(age.checked_add(elapsed)?)
            };
            for reading in Reading::ALL {
                if let Some((age, value)) = values.readings.get(reading.name())
                    && let Some(at) = before(*age)
                {
                    let value = value.unwrap_or(f64::INFINITY);
                    vps.watched.readings.recall(*reading, value, at);
                }
            }
            // The rules for Prometheus go on while the exporter is down, so this time counts.
            for (condition, held) in &values.conditions {
                if let Some(since) = before(*held) {
                    vps.watched.recall(condition, since);
                }
            }
            // Nobody listened while no process ran.
            for (call, silent) in vps.calls.values_mut().zip(values.silent.values()) {
                let silent = silent.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                let since = silent.and_then(|silent| now.elapsed.checked_sub(silent));
                call.silent_since = since.or(call.silent_since);
            }
        }
    }
}

fn remember(vps: &VpsState, now: Moment) -> VpsValues {
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
            .watched
            .readings
            .iter()
            .map(|(reading, value, at)| {
                let value = value.is_finite().then_some(value);
                (reading.name().to_owned(), (seconds_since(at, now), value))
            })
            .collect(),
        conditions: vps
            .watched
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

/// What is older than the clock can tell is not taken back: no limit of freshness is that long.
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
