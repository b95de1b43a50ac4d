//! Responses of the read calls, with fields in the order and of the types that recordings show.

use super::cases::MOST_ABUSE_POINTS;
use super::fault::{FaultKind, Occurrence};
use super::json::{Object, list, text};
use super::locations::Location;
use super::network::{MOST_SUBNETS, NULLROUTE_SECONDS};
use super::settings::{ISOS, OWNER};
use super::story::Story;
use super::usage::rows_json;
use super::vps::SimulatedVps;

/// The node of a container. Responses for KVM no longer contain it.
const NODE_ADDRESS: &str = "192.0.2.251";
/// Names of the plans for KVM and for `OpenVZ`.
const PLANS: [&str; 2] = ["kvmv5-20g-1024m-1000g-example", "example10g512m1t"];
/// A console picture: the smallest PNG.
const PICTURE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==";

/// A VPS, its points and its fault at the time of a read call.
pub struct ReadContext<'a> {
    pub vps: &'a SimulatedVps,
    pub story: &'a Story,
    /// Unix seconds.
    pub now: f64,
    /// Points left in both windows.
    pub points: [u64; 2],
    /// Points that the windows hold.
    pub sizes: [u64; 2],
    /// The fault that applies to the call.
    pub occurrence: Option<&'a Occurrence>,
}

impl ReadContext<'_> {
    pub(super) fn elapsed(&self) -> f64 {
        self.story.elapsed(self.now)
    }

    /// The response to a read call; `None` for a call that is not simulated.
    pub fn respond(&self, call: &str) -> Option<String> {
        let response = match call {
            "getServiceInfo" => Object::new()
                .text("vm_type", self.vm_type())
                .then(&self.service())
                .raw("error", 0)
                .raw("veid", self.vps.veid),
            "getLiveServiceInfo" => self
                .live()
                .then(&self.service())
                .raw("error", 0)
                .raw("veid", self.vps.veid),
            "getRawUsageStats" => self.usage(),
            "getRateLimitStatus" => self.reading(),
            "getUsageGraphs" => Object::new()
                .raw("error", 0)
                .text("message", "Obsolete, use getRawUsageStats instead"),
            _ => self.listing(call)?,
        };
        Some(response.end())
    }

    const fn vm_type(&self) -> &'static str {
        if self.vps.openvz() { "ovz" } else { "kvm" }
    }

    /// The multiplier of traffic at a location.
    pub(super) fn multiplier(&self, location: &Location) -> f64 {
        match self.occurrence {
            Some(occurrence) if occurrence.fault.kind == FaultKind::FractionalMultiplier => {
                location.fraction
            }
            _ => 1.0,
        }
    }

    /// The fields of both calls, in the order of recordings: those of `OpenVZ` are older.
    fn service(&self) -> Object {
        let vps = self.vps;
        let addresses = list(vps.network.public().map(|address| text(address)));
        let hostname = Object::new().text("hostname", &vps.settings.hostname);
        let [kvm_node, openvz_node] = vps.location.nodes;
        let node = if vps.openvz() {
            hostname
                .text("node_ip", NODE_ADDRESS)
                .text("node_alias", openvz_node)
                .text("node_location", vps.location.place)
                .text("node_location_id", vps.location.id)
        } else {
            hostname
                .text("node_alias", kvm_node)
                .text("node_location_id", vps.location.id)
                .text("node_location", vps.location.place)
        };
        let service = node
            .text("node_datacenter", vps.location.datacenter)
            .raw("location_ipv6_ready", true)
            .text("plan", PLANS[usize::from(vps.openvz())])
            .raw("plan_monthly_data", vps.monthly_data)
            .raw("monthly_data_multiplier", self.multiplier(vps.location))
            .raw("plan_disk", vps.disk)
            .raw("plan_ram", vps.ram)
            // On KVM swap is on the disk of the guest, so the plan has none.
            .raw("plan_swap", if vps.openvz() { vps.swap } else { 0 })
            .raw("plan_max_ipv6s", MOST_SUBNETS)
            .text("os", vps.settings.os)
            .text("email", OWNER)
            .raw("data_counter", vps.data_counter)
            .raw("data_next_reset", self.story.transfer_wall(vps.next_reset))
            .raw("ip_addresses", addresses);
        if vps.openvz() {
            return Object::new()
                .then(&service)
                .raw("rdns_api_available", true)
                .raw("ptr", self.ptr())
                .raw("suspended", vps.suspended());
        }
        service
            .text("ipv6_sit_tunnel_endpoint", "")
            .raw(
                "private_ip_addresses",
                list(vps.network.private.iter().map(|address| text(address))),
            )
            .raw("ip_nullroutes", self.nullroutes())
            .text("iso1", vps.settings.iso.unwrap_or_default())
            .text("iso2", "")
            .raw("available_isos", list(ISOS.map(text)))
            .raw("plan_private_network_available", true)
            .raw(
                "location_private_network_available",
                vps.location.private_network,
            )
            .raw("rdns_api_available", true)
            .raw("ptr", self.ptr())
            .raw("suspended", vps.suspended())
            .raw("policy_violation", !vps.cases.violations.is_empty())
            .raw("suspension_count", vps.suspensions)
            .raw("total_abuse_points", vps.cases.abuse_points)
            .raw("max_abuse_points", MOST_ABUSE_POINTS)
            .raw("free_ip_replacement_interval", -100)
    }

    fn ptr(&self) -> String {
        let network = &self.vps.network;
        let names = network.public().fold(Object::new(), |names, address| {
            match network.ptr.get(address) {
                Some(name) => names.text(address, name),
                // Recordings of OpenVZ have null for IPv4 only.
                None if self.vps.openvz() && network.ipv4.contains(address) => {
                    names.raw(address, "null")
                }
                None => names.text(address, ""),
            }
        });
        names.end()
    }

    fn nullroutes(&self) -> String {
        let routes = &self.vps.network.nullroutes;
        let routes = routes.iter().fold(Object::new(), |routes, (address, since)| {
            let log = format!(
                "12:05:01 IP 192.0.2.7.40000 > {address}.80: UDP, length 1400\n12:05:01 IP 192.0.2.8.40001 > {address}.80: UDP, length 1400\n"
            );
            let route = Object::new()
                .raw("nullroute_timestamp", since)
                .raw("nullroute_duration_s", NULLROUTE_SECONDS)
                .text("log", &log);
            routes.raw(address, route.end())
        });
        routes.end()
    }

    fn live(&self) -> Object {
        let vps = self.vps;
        let status = vps.status();
        let throttled = if vps.throttled(self.elapsed()) {
            "1"
        } else {
            ""
        };
        if vps.openvz() {
            return Object::new()
                .text("vm_type", self.vm_type())
                .raw("vz_status", self.beancounters(status))
                .raw("vz_quota", self.quota(status))
                .text("is_cpu_throttled", throttled)
                .raw("ssh_port", vps.ssh_port());
        }
        let live = Object::new()
            .text("vm_type", self.vm_type())
            .text("ve_status", status)
            .text("ve_mac1", "02:00:5e:10:00:01")
            .raw("ve_used_disk_space_b", vps.disk_used)
            .text("ve_disk_quota_gb", &(vps.disk >> 30).to_string())
            .text("is_cpu_throttled", throttled)
            .text("is_disk_throttled", "");
        if status != "running" {
            return live;
        }
        let [one, five, fifteen] = vps.load(self.story);
        let (processes, runnable) = vps.processes();
        let load = format!("{one:.2} {five:.2} {fifteen:.2} {runnable}/{processes} 2886523");
        live.raw("ssh_port", vps.ssh_port())
            .text("live_hostname", &vps.settings.hostname)
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
        let [one, five, fifteen] = vps.load(self.story);
        let load = format!("{one:.2}/{five:.2}/{fifteen:.2}");
        let (processes, _) = vps.processes();
        let pages = |bytes: u64| number(bytes / 4096);
        Object::new()
            .text("status", status)
            .text("hostname", &vps.settings.hostname)
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

    fn quota(&self, status: &str) -> String {
        let vps = self.vps;
        let numbers = [
            ("occupied_kb", vps.disk_used >> 10),
            ("softlimit_kb", vps.disk >> 10),
            ("hardlimit_kb", (vps.disk / 20 * 21) >> 10),
            ("occupied_inodes", 68_912),
            ("softlimit_inodes", 10_240_000),
            ("hardlimit_inodes", 10_752_000),
        ];
        let quota = numbers.iter().fold(Object::new(), |quota, (name, value)| {
            if status == "running" {
                quota.text(name, &value.to_string())
            } else {
                quota.text(name, "-")
            }
        });
        quota.end()
    }

    fn usage(&self) -> Object {
        let vps = self.vps;
        let rows = match self.occurrence.map(|occurrence| occurrence.fault.kind) {
            Some(FaultKind::ShuffledRows) => vps.usage.shuffled_rows(self.story),
            Some(FaultKind::LateRows) => vps.usage.rows_without_late_ones(self.story, self.now),
            _ => vps.usage.rows(self.story),
        };
        Object::new()
            .raw("data", rows_json(&rows))
            .text("vm_type", self.vm_type())
            .raw("error", 0)
    }
}
