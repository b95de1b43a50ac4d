//! The true state of a VPS, in base units, for tests to compare with metrics.

use serde_json::{Map, Value, json};

use super::disk_copies::DiskSnapshot;
use super::reads::ReadContext;
use super::usage::TrafficRow;

const DAY: f64 = 86_400.0;

impl ReadContext<'_> {
    /// The true state of the VPS.
    pub fn truth(&self) -> Value {
        let mut truth = Map::new();
        for part in [
            self.state(),
            self.disk_copies(),
            self.cases(),
            self.usage_truth(),
        ] {
            if let Value::Object(part) = part {
                truth.extend(part);
            }
        }
        truth.into()
    }

    fn state(&self) -> Value {
        let vps = self.vps;
        let elapsed = self.elapsed();
        let status = vps.status();
        let running = status == "running";
        let (processes, runnable) = vps.processes();
        json!({
            "name": vps.name,
            "veid": vps.veid,
            "key_is_right": vps.key == vps.key_handed_out,
            "vm_type": if vps.openvz() { "ovz" } else { "kvm" },
            "hostname": vps.settings.hostname,
            "os": vps.settings.os,
            "location": vps.location.id,
            "ip_addresses": vps.network.public().collect::<Vec<_>>(),
            "private_ip_addresses": vps.network.private,
            "nullrouted": vps.network.nullroutes.len(),
            "status": status,
            "points": self.points,
            "locked": vps.lock(elapsed).is_some(),
            "cpu_throttled": vps.throttled(elapsed),
            "data_counter": vps.data_counter,
            "plan_monthly_data": vps.monthly_data,
            "monthly_data_multiplier": 1,
            "data_next_reset": self.story.transfer_wall(vps.next_reset),
            "plan_ram": vps.ram,
            "memory_available": running.then(|| vps.memory_available()),
            "swap_total": running.then_some(vps.swap),
            "swap_free": running.then(|| vps.swap_free()),
            "disk_used": vps.disk_used,
            "disk_size": vps.disk,
            "load": running.then(|| vps.load(self.story)),
            "processes": (running && !vps.openvz()).then_some(processes),
            "processes_runnable": (running && !vps.openvz()).then_some(runnable),
        })
    }

    fn disk_copies(&self) -> Value {
        let disk_copies = &self.vps.disk_copies;
        let snapshots = &disk_copies.snapshots;
        let newest = disk_copies.backups.last();
        json!({
            "snapshots": snapshots.len(),
            "snapshots_sticky": snapshots.iter().filter(|snapshot| snapshot.sticky).count(),
            "snapshots_size": snapshots.iter().map(|snapshot| snapshot.size).sum::<u64>(),
            "snapshot_newest": snapshots.iter().map(|snapshot| snapshot.created).max(),
            "snapshot_next_purge": snapshots
                .iter()
                .filter_map(DiskSnapshot::purge_at)
                .map(|at| self.story.wall(at))
                .min(),
            "backups": disk_copies.backups.len(),
            "backup_newest": newest.map(|backup| backup.timestamp),
            "backup_newest_size": newest.map(|backup| backup.size),
        })
    }

    fn cases(&self) -> Value {
        let vps = self.vps;
        let of = |soft| {
            let suspensions = vps.cases.suspensions.iter();
            suspensions.filter(|case| case.soft == soft).count()
        };
        json!({
            "suspended": vps.suspended(),
            "suspensions": vps.suspensions,
            "suspension_cases_clearable": of(true),
            "suspension_cases_not_clearable": of(false),
            "policy_violations": vps.cases.violations.len(),
            "policy_violation_deadline": vps.cases.next_deadline().map(|at| self.story.wall(at)),
            "abuse_points": vps.cases.abuse_points,
            "audit_entries": vps.audit.entries().len(),
            "audit_newest": vps.audit.newest().map(|entry| entry.timestamp),
        })
    }

    fn usage_truth(&self) -> Value {
        let usage = &self.vps.usage;
        let newest = usage.newest(self.story, 1).next();
        let totals = usage.totals(self.story);
        let row = |row: &TrafficRow| {
            json!([
                row.timestamp,
                row.network_in,
                row.network_out,
                row.disk_read,
                row.disk_written
            ])
        };
        let last_day = usage.last(self.story, self.now, DAY);
        json!({
            "usage_timestamp": newest.map(|row| row.timestamp),
            "cpu_percent": newest.map(|row| row.cpu_percent),
            "usage_rows": last_day.iter().map(row).collect::<Vec<_>>(),
            "usage_totals": {
                "rows": totals.rows,
                "in": totals.network_in,
                "out": totals.network_out,
                "read": totals.disk_read,
                "written": totals.disk_written,
            },
        })
    }
}
