//! The answers of the read calls, in the order and with the types that recorded answers show.

use super::json::{Object, list, text};
use super::story::Story;
use super::vps::{Character, Vps};

/// A console picture: the smallest PNG.
const PICTURE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==";

/// A VPS at one moment.
pub struct Moment<'a> {
    pub vps: &'a Vps,
    pub story: &'a Story,
    /// Unix seconds.
    pub now: f64,
    /// Points left in both windows.
    pub points: [u64; 2],
}

impl Moment<'_> {
    fn elapsed(&self) -> f64 {
        self.story.elapsed(self.now)
    }

    /// The answer to a read call; `None` for a call that is not simulated.
    pub fn answer(&self, call: &str) -> Option<String> {
        let answer = match call {
            "getServiceInfo" => self.service().raw("error", 0).raw("veid", self.vps.veid),
            "getLiveServiceInfo" => self
                .live()
                .then(&self.service())
                .raw("error", 0)
                .raw("veid", self.vps.veid),
            "getRawUsageStats" => self.usage(),
            "getRateLimitStatus" => Object::new()
                .raw("error", 0)
                .raw("remaining_points_15min", self.points[0])
                .raw("remaining_points_24h", self.points[1]),
            "getUsageGraphs" => Object::new()
                .raw("error", 0)
                .text("message", "Obsolete, use getRawUsageStats instead"),
            "getAuditLog" => self.audit_log(),
            "snapshot/list" => self.snapshots(),
            "backup/list" => Object::new().raw("error", 0).raw("backups", "[]"),
            "getSuspensionDetails" => abuse(
                Object::new()
                    .raw("error", 0)
                    .raw("suspension_count", self.suspension_count()),
            ),
            "getPolicyViolations" => abuse(Object::new().raw("error", 0)),
            "getAvailableOS" => Object::new()
                .raw("error", 0)
                .text("installed", self.os())
                .raw(
                    "templates",
                    list([text("debian-12-x86_64"), text("ubuntu-24.04-x86_64")]),
                ),
            "getSshKeys" => Object::new()
                .raw("error", 0)
                .text("ssh_keys_veid", "")
                .text("ssh_keys_user", "")
                .text("ssh_keys_preferred", "")
                .text("shortened_ssh_keys_veid", "")
                .text("shortened_ssh_keys_user", "")
                .text("shortened_ssh_keys_preferred", ""),
            "migrate/getLocations" => locations(),
            "privateIp/getAvailableIps" => Object::new().raw("error", 0).raw(
                "available_ips",
                list([text("10.10.0.5"), text("10.10.0.6")]),
            ),
            "kiwivm/getNotificationPreferences" => Object::new()
                .raw("error", 0)
                .raw(
                    "email_preferences",
                    Object::new().raw("Bandwidth Alerts", "[]").end(),
                )
                .text("notificationEmail", "owner@example.com"),
            _ => return None,
        };
        Some(answer.end())
    }

    fn openvz(&self) -> bool {
        self.vps.character == Character::OpenVz
    }

    fn os(&self) -> &'static str {
        if self.openvz() {
            "debian-9.0-x86_64"
        } else {
            "debian-12-x86_64"
        }
    }

    fn hostname(&self) -> String {
        format!("{}.example.com", self.vps.name)
    }

    fn suspension_count(&self) -> String {
        match self.vps.suspensions {
            0 => "null".to_owned(),
            count => count.to_string(),
        }
    }

    fn service(&self) -> Object {
        let vps = self.vps;
        let address = vps.address();
        let subnet = format!("2001:db8:{:x}::", vps.veid % 0xFFFF);
        let hostname = self.hostname();
        let service = Object::new()
            .text("hostname", &hostname)
            .text("node_alias", if self.openvz() { "v201" } else { "v1001" })
            .text("node_location_id", "USCA_2")
            .text("node_location", "US, California")
            .text(
                "node_datacenter",
                "US: Example City, California (DC2 Transit/Mixed)",
            )
            .raw("location_ipv6_ready", true)
            .text("plan", "kvmv5-20g-1024m-1000g-example")
            .raw("plan_monthly_data", vps.monthly_data)
            .raw("monthly_data_multiplier", vps.multiplier)
            .raw("plan_disk", vps.disk)
            .raw("plan_ram", vps.ram)
            // On KVM swap lives on the disk of the guest and the plan knows nothing of it.
            .raw("plan_swap", if self.openvz() { vps.swap } else { 0 })
            .raw("plan_max_ipv6s", 3)
            .text("os", self.os())
            .text("email", "owner@example.com")
            .raw("data_counter", vps.data_counter)
            .raw("data_next_reset", self.story.wall(vps.next_reset))
            .raw("ip_addresses", list([text(&address), text(&subnet)]));
        if self.openvz() {
            return Object::new()
                .then(&service)
                .raw("rdns_api_available", true)
                .raw("ptr", Object::new().raw(&address, "null").end())
                .raw("suspended", vps.suspended);
        }
        service
            .text("ipv6_sit_tunnel_endpoint", "")
            .raw("private_ip_addresses", "[]")
            .raw("ip_nullroutes", "[]")
            .text("iso1", "")
            .text("iso2", "")
            .raw(
                "available_isos",
                list([text("debian-12.11.0-amd64-netinst.iso")]),
            )
            .raw("plan_private_network_available", true)
            .raw("location_private_network_available", false)
            .raw("rdns_api_available", true)
            .raw(
                "ptr",
                Object::new()
                    .text(&address, &hostname)
                    .text(&subnet, "")
                    .end(),
            )
            .raw("suspended", vps.suspended)
            .raw("policy_violation", false)
            .raw("suspension_count", vps.suspensions)
            .raw("total_abuse_points", 0)
            .raw("max_abuse_points", 1000)
            .raw("free_ip_replacement_interval", -100)
    }

    fn live(&self) -> Object {
        let vps = self.vps;
        let status = vps.status(self.elapsed());
        let throttled = if vps.throttled(self.elapsed()) {
            "1"
        } else {
            ""
        };
        if self.openvz() {
            return Object::new()
                .text("vm_type", "ovz")
                .raw("vz_status", self.beancounters(status))
                .raw("vz_quota", self.quota())
                .text("is_cpu_throttled", throttled)
                .raw("ssh_port", 27022);
        }
        let live = Object::new()
            .text("vm_type", "kvm")
            .text("ve_status", status)
            .text("ve_mac1", "02:00:5e:10:00:01")
            .raw("ve_used_disk_space_b", vps.disk_used)
            .text("ve_disk_quota_gb", &(vps.disk >> 30).to_string())
            .text("is_cpu_throttled", throttled)
            .text("is_disk_throttled", "");
        if status != "running" {
            return live;
        }
        let [one, five, fifteen] = vps.load();
        let (processes, runnable) = vps.processes();
        let load = format!("{one:.2} {five:.2} {fifteen:.2} {runnable}/{processes} 2886523");
        live.raw("ssh_port", 22022)
            .text("live_hostname", &self.hostname())
            .text("load_average", &load)
            .raw("mem_available_kb", vps.memory_available() >> 10)
            .raw("swap_total_kb", vps.swap >> 10)
            .raw("swap_available_kb", vps.swap_free() >> 10)
            .text("screendump_png_base64", PICTURE)
    }

    fn beancounters(&self, status: &str) -> String {
        let vps = self.vps;
        let running = status == "running";
        let number = |value: u64| {
            if running {
                value.to_string()
            } else {
                "-".to_owned()
            }
        };
        let [one, five, fifteen] = vps.load();
        let load = format!("{one:.2}/{five:.2}/{fifteen:.2}");
        let (processes, _) = vps.processes();
        let pages = |bytes: u64| number(bytes / 4096);
        Object::new()
            .text("status", status)
            .text("hostname", &self.hostname())
            .text("load_average", if running { &load } else { "-" })
            .text("nproc", &number(processes))
            .text("nproc_b", &number(320))
            .text("kmemsize", &number(9_120_448))
            .text("kmemsize_b", &number(268_435_456))
            .text("privvmpages", &pages(vps.ram / 2))
            .text("privvmpages_b", &pages(vps.ram * 4))
            .text("oomguarpages", &pages(vps.ram - vps.memory_available()))
            .text("oomguarpages_b", &pages(vps.ram))
            .text("numtcpsock", &number(29))
            .text("numtcpsock_b", &number(3010))
            .text("numfile", &number(471))
            .text("numfile_b", &number(20_480))
            .text("swappages", &pages(vps.swap - vps.swap_free()))
            .text("swappages_b", &pages(vps.swap))
            .text("physpages", &pages(vps.ram / 3))
            .text("physpages_l", &pages(vps.ram))
            .end()
    }

    fn quota(&self) -> String {
        let vps = self.vps;
        let kib = |bytes: u64| (bytes >> 10).to_string();
        Object::new()
            .text("occupied_kb", &kib(vps.disk_used))
            .text("softlimit_kb", &kib(vps.disk))
            .text("hardlimit_kb", &kib(vps.disk / 20 * 21))
            .text("occupied_inodes", "68912")
            .text("softlimit_inodes", "10240000")
            .text("hardlimit_inodes", "10752000")
            .end()
    }

    fn usage(&self) -> Object {
        let rows = self.vps.rows.iter().map(|row| {
            Object::new()
                .raw("timestamp", row.timestamp)
                .raw("cpu_usage", row.cpu_percent)
                .raw("network_in_bytes", row.network_in)
                .raw("network_out_bytes", row.network_out)
                .raw("disk_read_bytes", row.disk_read)
                .raw("disk_write_bytes", row.disk_written)
                .end()
        });
        Object::new()
            .raw("data", list(rows))
            .text("vm_type", if self.openvz() { "ovz" } else { "kvm" })
            .raw("error", 0)
    }

    fn audit_log(&self) -> Object {
        let entry = Object::new()
            .raw("timestamp", self.story.wall(0.0))
            .raw("requestor_ipv4", 3_325_256_714_u32)
            .raw("type", 1)
            .text("summary", "Command received: start");
        Object::new()
            .raw("log_entries", list([entry.end()]))
            .raw("error", 0)
    }

    fn snapshots(&self) -> Object {
        let snapshots = self.vps.snapshots.iter().map(|snapshot| {
            let file = format!(
                "snapshot-{}-{}-2026-01-01-{:040x}.tar.gz",
                self.vps.veid, snapshot.created, snapshot.size
            );
            Object::new()
                .text("fileName", &file)
                .text("os", self.os())
                .text("description", &snapshot.description)
                .text("size", &snapshot.size.to_string())
                .text("md5", &format!("{:032x}", snapshot.size))
                .raw("sticky", snapshot.sticky)
                .raw("uncompressed", snapshot.uncompressed)
                .raw("purgesIn", 0)
                .text(
                    "downloadLink",
                    &format!("http://192.0.2.200/snapshots/{file}"),
                )
                .text(
                    "downloadLinkSSL",
                    &format!("https://node.example.com/snapshots/{file}"),
                )
                .end()
        });
        Object::new()
            .raw("error", 0)
            .raw("snapshots", list(snapshots))
    }

    /// The truth about the VPS in base units, for tests.
    pub fn truth(&self) -> serde_json::Value {
        let vps = self.vps;
        let elapsed = self.elapsed();
        let status = vps.status(elapsed);
        let running = status == "running";
        let (processes, runnable) = vps.processes();
        let newest = vps.rows.last();
        serde_json::json!({
            "name": vps.name,
            "veid": vps.veid,
            "key_is_right": vps.key == vps.key_handed_out,
            "vm_type": if self.openvz() { "ovz" } else { "kvm" },
            "status": status,
            "points": self.points,
            "locked": vps.lock_progress(elapsed).is_some(),
            "suspended": vps.suspended,
            "cpu_throttled": vps.throttled(elapsed),
            "data_counter": vps.data_counter,
            "plan_monthly_data": vps.monthly_data,
            "monthly_data_multiplier": vps.multiplier,
            "data_next_reset": self.story.wall(vps.next_reset),
            "plan_ram": vps.ram,
            "memory_available": running.then(|| vps.memory_available()),
            "swap_total": running.then_some(vps.swap),
            "swap_free": running.then(|| vps.swap_free()),
            "disk_used": vps.disk_used,
            "disk_size": vps.disk,
            "load": running.then(|| vps.load()),
            "processes": (running && !self.openvz()).then_some(processes),
            "processes_runnable": (running && !self.openvz()).then_some(runnable),
            "usage_timestamp": newest.map(|row| row.timestamp),
            "cpu_percent": newest.map(|row| row.cpu_percent),
        })
    }
}

/// A year without abuse.
fn abuse(object: Object) -> Object {
    object
        .raw("total_abuse_points", 0)
        .raw("max_abuse_points", 1000)
}

fn locations() -> Object {
    let ids = ["USCA_2", "USNY_2", "EUNL_3"];
    let map = |value: fn(&str) -> String| {
        ids.iter()
            .fold(Object::new(), |map, id| map.raw(id, value(id)))
            .end()
    };
    Object::new()
        .raw("error", 0)
        .text("currentLocation", "USCA_2")
        .raw("locations", list(ids.map(text)))
        .raw("descriptions", map(|id| text(&format!("{id} (example)"))))
        .raw("dataTransferMultipliers", map(|_| "1".to_owned()))
}
