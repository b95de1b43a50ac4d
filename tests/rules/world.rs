//! A simulated fleet and the responses of the API that it polls.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use kiwivm_exporter::clock::{BEFORE_START, Moment};
use kiwivm_exporter::config::{ConfigSource, Shard, load};
use kiwivm_exporter::exposition::{Reloads, render};
use kiwivm_exporter::fleet::{Active, Fleet, PlannedCalls};
use kiwivm_exporter::kiwivm::model::{
    Hypervisor, Inventory, LiveInfo, Payload, ServiceInfo, Status as Power, UsageRow,
};
use kiwivm_exporter::kiwivm::{Call, CallError, Decoded, PerCall, Reason, Veid};
use kiwivm_exporter::poller::{SharedFleet, fleet_of, lock};
use kiwivm_exporter::units::{Bytes, UnixSeconds};
use kiwivm_exporter::web::Status;

/// Unix time of minute 0 of a story, 2026-10-11 00:00. The clock of promtool begins at 0.
pub const START: i64 = 1_791_676_800;
/// The end of the period, 2026-10-31 00:00.
pub const RESET: i64 = 1_793_404_800;
/// Minutes between two polls. Values are stale after three intervals.
pub const INTERVAL: u64 = 5;
/// Polls take place two minutes after a comparison, so that ranges and hold times never end at one.
pub const POLLED_AT: u64 = 2;
pub const DAY: i64 = 86_400;

pub fn at(minute: u64) -> Moment {
    let unix = START + 60 * i64::try_from(minute).expect("a few hours");
    Moment {
        elapsed: BEFORE_START + Duration::from_secs(60 * minute),
        #[expect(clippy::cast_precision_loss, reason = "a date")]
        unix: UnixSeconds(unix as f64),
    }
}

/// A fleet and the API that it polls.
pub struct World {
    pub fleet: SharedFleet,
    pub reload_successful: bool,
    pub now: Moment,
    /// Responses to the next polls, by VEID; no poll without an entry.
    pub responses: BTreeMap<u64, Response>,
}

#[derive(Clone)]
pub enum Response {
    Live(Box<(ServiceInfo, LiveInfo)>),
    Failure(Reason),
}

impl World {
    pub fn new(vps: &str, thresholds: &[(&str, &str)]) -> Self {
        let threshold = |(name, value): &(&str, &str)| {
            (
                format!("KIWIVM_EXPORTER_THRESHOLDS__{name}"),
                (*value).to_owned(),
            )
        };
        let source = ConfigSource {
            file: PathBuf::from("there-is-no-such-file.yaml"),
            file_is_explicit: false,
            environment: thresholds
                .iter()
                .map(threshold)
                .chain([("KIWIVM_EXPORTER_VPS".to_owned(), vps.to_owned())])
                .collect(),
            shard: Shard::default(),
        };
        let (config, _) = load(&source).unwrap_or_else(|problems| panic!("{problems}"));
        let veids: Vec<_> = config.vps.iter().map(|vps| vps.veid).collect();
        let fleet = fleet_of(&config);
        let planned = PlannedCalls {
            // Other calls are made once or never, so they have no interval and cannot be stale.
            intervals: PerCall::from_fn(|call| {
                let is_polled = call.returns_state();
                is_polled.then_some(Duration::from_secs(60 * INTERVAL))
            }),
            allowed: None,
            points_exhausted: None,
            quota: None,
            next_poll: None,
        };
        for veid in &veids {
            lock(&fleet).set_plan(*veid, planned, at(0));
        }
        Self {
            fleet,
            reload_successful: true,
            now: at(0),
            responses: veids
                .iter()
                .map(|veid| (veid.0, Response::Live(Box::new((service(), live())))))
                .collect(),
        }
    }

    /// Changes the next responses for a VPS.
    pub fn change(&mut self, veid: u64, change: impl FnOnce(&mut ServiceInfo, &mut LiveInfo)) {
        let mut changed = match self.responses.remove(&veid) {
            Some(Response::Live(infos)) => infos,
            _ => Box::new((service(), live())),
        };
        change(&mut changed.0, &mut changed.1);
        self.responses.insert(veid, Response::Live(changed));
    }

    pub fn fail(&mut self, veids: impl IntoIterator<Item = u64>, reason: Reason) {
        for veid in veids {
            self.responses.insert(veid, Response::Failure(reason));
        }
    }

    pub fn recover(&mut self, veids: impl IntoIterator<Item = u64>) {
        for veid in veids {
            self.responses
                .insert(veid, Response::Live(Box::new((service(), live()))));
        }
    }

    pub fn list(&mut self, veid: u64, call: Call, inventory: Inventory) {
        let payload = Payload::Inventory(Some(inventory));
        apply(&mut lock(&self.fleet), veid, call, payload, self.now);
    }

    /// Applies five weeks of usage rows with `bytes` an hour, up to now.
    pub fn usage(&mut self, veid: u64, bytes: u64) {
        let mut fleet = lock(&self.fleet);
        let mut usage = fleet.start_usage(Veid(veid), self.now);
        for hour in 0..35 * 24 {
            usage.take(UsageRow {
                timestamp: self.now.unix.whole() - hour * 3600,
                cpu_percent: None,
                network_in: Some(Bytes(bytes)),
                network_out: None,
                disk_read: None,
                disk_written: None,
            });
        }
        apply(
            &mut fleet,
            veid,
            Call::RawUsageStats,
            Payload::Usage,
            self.now,
        );
        fleet.apply_usage(Veid(veid), usage);
    }

    pub fn points_exhausted(&mut self, veid: u64, exhausted: bool) {
        let mut fleet = lock(&self.fleet);
        let calls = fleet
            .by_veid(Veid(veid))
            .expect("it is there")
            .calls
            .clone();
        let planned = PlannedCalls {
            intervals: calls.map(|call| call.interval),
            allowed: None,
            points_exhausted: Some(exhausted),
            quota: None,
            next_poll: None,
        };
        fleet.set_plan(Veid(veid), planned, self.now);
    }

    pub fn state_written(&mut self, successful: bool) {
        let mut fleet = lock(&self.fleet);
        fleet.totals_mut().state_written(successful, self.now.unix);
    }

    /// Polls every VPS once.
    pub fn poll(&mut self) {
        let mut fleet = lock(&self.fleet);
        for (veid, response) in &self.responses {
            let call = Call::LiveServiceInfo;
            match response {
                Response::Live(infos) => {
                    let (service, live) = &**infos;
                    let payload = Payload::Live(Box::new(service.clone()), Box::new(live.clone()));
                    apply(&mut fleet, *veid, call, payload, self.now);
                }
                Response::Failure(reason) => {
                    let error = CallError {
                        veid: Veid(*veid),
                        call,
                        reason: *reason,
                        detail: "for the test".to_owned(),
                        lock: None,
                        timed_out_phase: None,
                        retry_after: None,
                        without_key: false,
                    };
                    fleet.apply(Veid(*veid), call, &Err(error), self.now);
                }
            }
        }
    }

    pub fn page(&self) -> String {
        render(&self.fleet, self.reloads(), Vec::new(), self.now)
    }

    pub fn reloads(&self) -> Reloads {
        Reloads {
            successful: self.reload_successful,
            last_success: at(0).unix,
        }
    }

    pub fn evaluate(&mut self) {
        lock(&self.fleet).evaluate_conditions(self.reload_successful, self.now);
    }

    /// The status page, as of the last evaluation.
    pub fn status(&self) -> Status {
        Status::new(&lock(&self.fleet), self.reloads(), "/metrics", self.now)
    }

    /// Firing and pending alerts, in the form of `ALERTS`.
    pub fn alerts(&self) -> BTreeSet<String> {
        let fleet = lock(&self.fleet);
        let sample = |active: Active, vps: &str| {
            let state = if active.fires() { "firing" } else { "pending" };
            let condition = active.condition;
            let (alert, severity) = (condition.alert.name(), condition.severity.name());
            format!(r#"{{alertname="{alert}",alertstate="{state}",severity="{severity}"{vps}}}"#)
        };
        let mut all: BTreeSet<_> = fleet
            .active(self.now)
            .map(|active| sample(active, ""))
            .collect();
        for vps in fleet.vps() {
            let label = format!(r#",vps="{}""#, vps.identity.name);
            all.extend(vps.active(self.now).map(|active| sample(active, &label)));
        }
        all
    }
}

pub fn apply(fleet: &mut Fleet, veid: u64, call: Call, payload: Payload, now: Moment) {
    let decoded = Decoded {
        payload,
        problems: Vec::new(),
    };
    fleet.apply(Veid(veid), call, &Ok(decoded), now);
}

pub fn service() -> ServiceInfo {
    ServiceInfo {
        hypervisor: Some(Hypervisor::OpenVz),
        data_counter: Some(Bytes(100 << 30)),
        monthly_data: Some(Bytes(1000 << 30)),
        data_multiplier: Some(1.0),
        data_next_reset: Some(UnixSeconds(RESET)),
        plan_ram: Some(Bytes(1 << 30)),
        suspended: Some(false),
        policy_violation: Some(false),
        nullrouted_ip_addresses: Some(0),
        abuse_points: Some(10),
        abuse_points_limit: Some(100),
        ..ServiceInfo::default()
    }
}

pub fn live() -> LiveInfo {
    LiveInfo {
        status: Some(Power::Running),
        cpu_throttled: Some(false),
        disk_throttled: Some(false),
        disk_used: Some(Bytes(5 << 30)),
        disk_size: Some(Bytes(20 << 30)),
        memory_available: Some(Bytes(512 << 20)),
        swap_total: Some(Bytes(512 << 20)),
        swap_free: Some(Bytes(512 << 20)),
        inodes_used: Some(1000),
        inodes_limit: Some(100_000),
        ..LiveInfo::default()
    }
}
