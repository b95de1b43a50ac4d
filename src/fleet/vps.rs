//! One VPS: its last responses and their ages.

mod fresh;

use std::time::Duration;

use super::call_record::CallRecord;
use super::conditions::AlertState;
use super::forecast::{Counter, Forecast, HourlyUsage};
use super::usage::{UsageHistory, UsageReading, UsageTotals};
use super::{Identity, bandwidth, carries_service_info};
use crate::clock::Moment;
use crate::kiwivm::model::{
    Inventory, IpAddresses, LiveInfo, Lock, Payload, RateLimitStatus, ServiceInfo,
};
use crate::kiwivm::{Call, CallError, PerCall, Reason};
use crate::units::Points;

/// A value and its time of arrival.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known<T> {
    /// The value.
    pub value: T,
    /// Monotonic time of arrival.
    pub at: Duration,
}

impl<T> Known<T> {
    fn new(value: T, now: Moment) -> Self {
        Self {
            value,
            at: now.elapsed,
        }
    }
}

/// The state of one VPS.
#[derive(Clone, Debug)]
pub struct VpsState {
    /// Its configuration.
    pub identity: Identity,
    /// Outcomes by call.
    pub calls: PerCall<CallRecord>,
    /// True after the first attempt of a call that returns the state of the VPS (live or service info), or of any call
    /// if the key is refused.
    pub tried: bool,
    /// True if the API refused the key at the last call that checked it, or if there is no usable key.
    pub authentication_failed: Option<bool>,
    /// True while there is no usable key.
    pub without_key: bool,
    /// API points that the exporter may spend, by window.
    pub allowed: Option<[Points; 2]>,
    /// True if readings show no points left; `None` before the first reading.
    pub points_exhausted: Option<bool>,
    /// Number of its quota of API points. VPSes with the same number are assumed to share a quota. The numbers are
    /// valid within one plan only.
    pub quota: Option<usize>,
    /// Monotonic time of the next poll for its state; in the past while that call is in flight.
    pub next_poll: Option<Duration>,
    /// The last error of the most important failing call, and its time.
    pub last_error: Option<(Call, Known<String>)>,
    pub(super) service: Option<Known<ServiceInfo>>,
    /// The last addresses that service info listed. A response without any does not remove them.
    pub(super) addresses: Option<IpAddresses>,
    pub(super) live: Option<Known<LiveInfo>>,
    pub(super) usage: Option<UsageHistory>,
    /// The published sums: with a state file, those in the file.
    pub(super) usage_published: Option<UsageTotals>,
    /// Not saved: rebuilt from the first usage response after a start.
    hours: Option<HourlyUsage>,
    pub(super) counter: Counter,
    /// From the newest responses; after a start the saved one until rows arrive.
    pub(super) forecast: Option<Forecast>,
    pub(super) inventory: PerCall<Option<Box<Known<Inventory>>>>,
    pub(super) points: Option<Known<RateLimitStatus>>,
    lock: Option<Known<Option<Lock>>>,
    /// The call that returned the lock. During some tasks other calls still succeed.
    locked_call: Option<Call>,
    /// The last failure of each call that has not succeeded since.
    failures: PerCall<Option<Box<Known<String>>>>,
    /// The last values of the flags, by position in [`FLAGGED`]. Not saved: a case that appeared just before a restart
    /// may be missing from the saved list.
    flags: [bool; FLAGGED.len()],
    pub(super) alert_state: AlertState,
}

/// The calls that list the cases behind the flags of [`flags_of`].
const FLAGGED: [Call; 2] = [Call::PolicyViolations, Call::SuspensionDetails];

const fn flags_of(info: &ServiceInfo) -> [Option<bool>; FLAGGED.len()] {
    [info.policy_violation, info.suspended]
}

impl VpsState {
    pub(super) fn new(identity: Identity) -> Self {
        Self {
            identity,
            calls: PerCall::default(),
            tried: false,
            authentication_failed: None,
            without_key: false,
            allowed: None,
            points_exhausted: None,
            quota: None,
            next_poll: None,
            last_error: None,
            service: None,
            addresses: None,
            live: None,
            usage: None,
            usage_published: None,
            hours: None,
            counter: Counter::default(),
            forecast: None,
            inventory: PerCall::default(),
            points: None,
            lock: None,
            locked_call: None,
            failures: PerCall::default(),
            flags: Default::default(),
            alert_state: AlertState::default(),
        }
    }

    /// Calls that list the cases behind a raised flag of service info. An omitted flag keeps its value, because a
    /// response without the field does not close a case.
    pub fn flagged(&self) -> impl Iterator<Item = Call> {
        let raised = FLAGGED.iter().zip(self.flags).filter(|(_, raised)| *raised);
        raised.map(|(call, _)| *call)
    }

    /// True once live or service info has arrived.
    #[must_use]
    pub const fn has_data(&self) -> bool {
        self.service.is_some()
    }

    /// The last service info and the last addresses, however old.
    #[must_use]
    pub fn last_service(&self) -> Option<(&ServiceInfo, &IpAddresses)> {
        Some((&self.service.as_ref()?.value, self.addresses.as_ref()?))
    }

    /// Published counters of usage rows. They are never dropped.
    #[must_use]
    pub fn usage_totals(&self) -> Option<&UsageTotals> {
        self.usage_published.as_ref()
    }

    /// True if the last service info has transfer bytes but no multiplier.
    #[must_use]
    pub fn lacks_multiplier(&self) -> bool {
        self.service.as_ref().is_some_and(|known| {
            let info = &known.value;
            let omitted = info.data_multiplier.is_none() && !info.data_multiplier_unusable;
            omitted && (info.data_counter.is_some() || info.monthly_data.is_some())
        })
    }

    /// True while the last attempt of a call failed.
    #[must_use]
    pub fn failing(&self, call: Call) -> bool {
        self.failures[call].is_some()
    }

    /// True while the last response of any call reports a task that holds the VPS.
    #[must_use]
    pub fn locked(&self) -> bool {
        self.locked_call.is_some()
    }

    /// Age of the newest live info, service info or points.
    #[must_use]
    pub fn age(&self, now: Moment) -> Option<Duration> {
        let latest = [
            self.service.as_ref().map(|known| known.at),
            self.live.as_ref().map(|known| known.at),
            self.points.as_ref().map(|known| known.at),
        ]
        .into_iter()
        .flatten()
        .max()?;
        Some(now.elapsed.saturating_sub(latest))
    }

    /// Applies the rows of a successful response.
    pub(super) fn apply_usage(&mut self, reading: UsageReading) {
        self.hours = reading.hours(self.hours.as_ref());
        self.usage = reading.finish();
        self.update_forecast();
    }

    /// Applies a new configuration.
    pub(super) fn reconfigure(&mut self, identity: Identity) {
        self.identity = identity;
        self.update_forecast();
    }

    /// Recomputes the forecast.
    fn update_forecast(&mut self) {
        let received = self.calls[Call::ServiceInfo].last_success;
        let service = self.service.as_ref().zip(received);
        let Some(reading) = service
            .and_then(|(known, at)| bandwidth::reading(&known.value, self.identity.multiplier, at))
        else {
            self.forecast = None;
            return;
        };
        self.counter.observe(&reading);
        if let Some(hours) = &self.hours {
            self.counter.learn(hours, &reading);
            self.forecast = Forecast::new(hours, &self.counter, &reading);
        } else if let Some(forecast) = &mut self.forecast {
            forecast.bytes.0 = forecast.bytes.0.max(reading.bytes.0);
        }
    }

    pub(super) fn succeed(&mut self, call: Call, payload: &Payload, now: Moment) {
        self.tried |= call.returns_state();
        self.failures[call] = None;
        self.authentication_failed = Some(false);
        self.without_key = false;
        let still_locked = self
            .locked_call
            .is_some_and(|locked| locked != call && call != Call::LiveServiceInfo);
        if !still_locked {
            self.locked_call = None;
            self.lock = Some(Known::new(None, now));
        }
        self.calls[call].successes += 1;
        self.calls[call].succeeded(now);
        if carries_service_info(payload) {
            self.calls[Call::ServiceInfo].succeeded(now);
            self.failures[Call::ServiceInfo] = None;
        }
        self.update_last_error();
        self.update_flags(payload);
        match payload {
            Payload::Service(service) => self.set_service((**service).clone(), now),
            Payload::Live(service, live) => {
                self.set_service((**service).clone(), now);
                self.live = Some(Known::new((**live).clone(), now));
            }
            Payload::RateLimit(points) => self.points = Some(Known::new(*points, now)),
            Payload::Usage => {}
            Payload::Inventory(inventory) => {
                let known = &mut self.inventory[call];
                match inventory {
                    Some(value) => *known = Some(Box::new(Known::new(value.clone(), now))),
                    // An unreadable list does not close a case: the case stays until it is stale.
                    None if known.as_ref().is_some_and(|known| known.value.has_cases()) => {}
                    None => *known = None,
                }
            }
        }
        if carries_service_info(payload) {
            self.update_forecast();
        }
    }

    fn set_service(&mut self, info: ServiceInfo, now: Moment) {
        self.service = Some(Known::new(info, now));
        self.remember_addresses();
    }

    /// Remembers the addresses of service info, if it lists any.
    pub(super) fn remember_addresses(&mut self) {
        let listed = |known: &Known<ServiceInfo>| known.value.ip_addresses.clone();
        let listed = self.service.as_ref().and_then(listed);
        let listed = listed.filter(|addresses| addresses.primary.is_some());
        self.addresses = listed.or(self.addresses.take());
    }

    fn update_flags(&mut self, payload: &Payload) {
        let (Payload::Service(info) | Payload::Live(info, _)) = payload else {
            return;
        };
        for (flag, raised) in flags_of(info).into_iter().zip(&mut self.flags) {
            *raised = flag.unwrap_or(*raised);
        }
    }

    pub(super) fn fail(&mut self, call: Call, error: &CallError, now: Moment) {
        // A VPS with a refused key gets no other call, so this one counts as an attempt.
        self.tried |= call.returns_state() || error.reason == Reason::Auth;
        self.calls[call].failed();
        if call == Call::LiveServiceInfo {
            self.calls[Call::ServiceInfo].failed();
        }
        self.calls[call].count_error(error.reason);
        match error.reason {
            Reason::Auth => {
                self.authentication_failed = Some(true);
                self.without_key = error.without_key;
            }
            Reason::Locked => {
                self.authentication_failed = Some(false);
                self.locked_call = Some(call);
                // A locked VPS is not stale, even though most calls are skipped meanwhile.
                for record in self.calls.values_mut() {
                    record.reset_silence(now);
                }
                self.lock = Some(Known::new(
                    Some(error.lock.clone().unwrap_or_default()),
                    now,
                ));
            }
            _ => {}
        }
        let failure = Known::new(error.to_string(), now);
        self.failures[call] = Some(Box::new(failure));
        self.update_last_error();
    }

    fn update_last_error(&mut self) {
        let failure = |call: Call| Some((call, (**self.failures[call].as_ref()?).clone()));
        self.last_error = Call::ALL.into_iter().find_map(failure);
    }
}
