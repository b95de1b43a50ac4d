//! Responses of the read calls that list something: snapshots, backups, cases, the audit log, settings.

use super::cases::MOST_ABUSE_POINTS;
use super::disk_copies::DiskSnapshot;
use super::json::{Object, list, text};
use super::locations::{LOCATIONS, Location};
use super::reads::ReadContext;
use super::settings::{OWNER, OWNER_SSH_KEYS, PREFERENCES, shortened, templates};

impl ReadContext<'_> {
    pub(super) fn listing(&self, call: &str) -> Option<Object> {
        Some(match call {
            "getAuditLog" => self.audit_log(),
            "snapshot/list" => self.snapshots(),
            "backup/list" => self.backups(),
            "getSuspensionDetails" => self.suspensions(),
            "getPolicyViolations" => self.violations(),
            "getAvailableOS" => Object::new()
                .text("installed", self.vps.settings.os)
                .raw(
                    "templates",
                    list(templates(self.vps.openvz()).iter().map(|os| text(os))),
                )
                .raw("error", 0),
            "getSshKeys" => self.ssh_keys(),
            "migrate/getLocations" => self.locations(),
            "privateIp/getAvailableIps" => self.private_addresses(),
            "kiwivm/getNotificationPreferences" => self.preferences(),
            _ => return None,
        })
    }

    fn audit_log(&self) -> Object {
        let entries = self.vps.audit.entries().map(|entry| {
            let requestor = entry
                .requestor
                .map_or("null".to_owned(), |ip| ip.to_string());
            Object::new()
                .raw("timestamp", entry.timestamp)
                .raw("requestor_ipv4", requestor)
                .raw("type", entry.kind as u8)
                .text("summary", &entry.summary)
                .end()
        });
        Object::new()
            .raw("log_entries", list(entries))
            .raw("error", 0)
    }

    fn snapshots(&self) -> Object {
        let snapshots = self.vps.disk_copies.snapshots.iter().map(|snapshot| {
            let file = &snapshot.file_name;
            let links = ["http://192.0.2.200", "https://node.example.com"]
                .map(|host| format!("{host}/snapshots/{file}"));
            Object::new()
                .text("fileName", file)
                .text("os", snapshot.os)
                .text("description", &snapshot.description)
                .text("size", &snapshot.size.to_string())
                .text("md5", &snapshot.md5)
                .raw("sticky", snapshot.sticky)
                .raw("uncompressed", snapshot.uncompressed)
                .raw("purgesIn", self.purges_in(snapshot))
                .text("downloadLink", &links[0])
                .text("downloadLinkSSL", &links[1])
                .end()
        });
        Object::new()
            .raw("error", 0)
            .raw("snapshots", list(snapshots))
    }

    /// Seconds of the wall clock, because clients add them to the wall clock.
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds are meant")]
    fn purges_in(&self, snapshot: &DiskSnapshot) -> i64 {
        match snapshot.purge_at() {
            None => 0,
            Some(at) => (self.story.wall(at) - self.now.round() as i64).max(1),
        }
    }

    fn backups(&self) -> Object {
        let backups = &self.vps.disk_copies.backups;
        let backups = backups.iter().fold(Object::new(), |backups, backup| {
            let values = Object::new()
                .raw("size", backup.size)
                .text("os", backup.os)
                .text("md5", &backup.md5)
                .raw("timestamp", backup.timestamp);
            backups.raw(&backup.token, values.end())
        });
        Object::new().raw("error", 0).raw("backups", backups.end())
    }

    fn abuse_points(&self, object: Object) -> Object {
        object
            .raw("total_abuse_points", self.vps.cases.abuse_points)
            .raw("max_abuse_points", MOST_ABUSE_POINTS)
            .raw("error", 0)
    }

    fn suspensions(&self) -> Object {
        let cases = &self.vps.cases.suspensions;
        let mut response = Object::new();
        if !cases.is_empty() {
            let suspensions = cases.iter().map(|case| {
                Object::new()
                    .raw("record_id", case.record_id)
                    .text("flag", case.flag)
                    .raw("is_soft", u8::from(case.soft))
                    .raw("evidence_record_id", case.evidence_record_id)
                    .raw("abuse_points", case.abuse_points)
                    .end()
            });
            let evidence = cases.iter().fold(Object::new(), |evidence, case| {
                evidence.text(&case.evidence_record_id.to_string(), case.evidence)
            });
            response = response
                .raw("suspensions", list(suspensions))
                .raw("evidence", evidence.end());
        }
        let count = match self.vps.suspensions {
            0 => "null".to_owned(),
            count => count.to_string(),
        };
        self.abuse_points(response.raw("suspension_count", count))
    }

    fn violations(&self) -> Object {
        let cases = &self.vps.cases.violations;
        let mut response = Object::new();
        if !cases.is_empty() {
            let violations = cases.iter().map(|case| {
                Object::new()
                    .raw("record_id", case.record_id)
                    .raw("timestamp", case.timestamp)
                    .raw("suspend_at", self.story.wall(case.suspend_at))
                    .text("flag", case.flag)
                    .raw("is_soft", u8::from(case.soft))
                    .raw("abuse_points", case.abuse_points)
                    .text("evidence_data", case.evidence)
                    .end()
            });
            response = response.raw("policy_violations", list(violations));
        }
        self.abuse_points(response)
    }

    fn ssh_keys(&self) -> Object {
        let settings = &self.vps.settings;
        let keys = [
            ("veid", settings.ssh_keys.as_str()),
            ("user", OWNER_SSH_KEYS),
            ("preferred", settings.preferred_ssh_keys()),
        ];
        let response = keys
            .iter()
            .fold(Object::new().raw("error", 0), |response, (owner, keys)| {
                response.text(&format!("ssh_keys_{owner}"), keys)
            });
        keys.iter().fold(response, |response, (owner, keys)| {
            response.text(&format!("shortened_ssh_keys_{owner}"), &shortened(keys))
        })
    }

    fn locations(&self) -> Object {
        let map = |value: &dyn Fn(&Location) -> String| {
            LOCATIONS
                .iter()
                .fold(Object::new(), |map, to| map.raw(to.id, value(to)))
                .end()
        };
        Object::new()
            .raw("error", 0)
            .text("currentLocation", self.vps.location.id)
            .raw("locations", list(LOCATIONS.iter().map(|to| text(to.id))))
            .raw("descriptions", map(&|to| text(to.datacenter)))
            .raw(
                "dataTransferMultipliers",
                map(&|to| self.multiplier(to).to_string()),
            )
    }

    fn private_addresses(&self) -> Object {
        let available = if self.vps.location.private_network {
            self.vps.network.private_available()
        } else {
            Vec::new()
        };
        Object::new()
            .raw("error", 0)
            .raw("available_ips", list(available.iter().map(|ip| text(ip))))
    }

    fn preferences(&self) -> Object {
        let groups = PREFERENCES
            .iter()
            .fold(Object::new(), |groups, (name, group)| {
                let group = group.iter().fold(Object::new(), |group, preference| {
                    let (enabled, changed) = self.vps.settings.is_enabled(preference);
                    let values = Object::new()
                        .text("friendly_description", preference.description)
                        .raw("is_enabled", u8::from(enabled))
                        .raw("changed_timestamp", changed)
                        .text("s_value", "");
                    group.raw(preference.id, values.end())
                });
                groups.raw(name, group.end())
            });
        Object::new()
            .raw("email_preferences", groups.end())
            .text("notificationEmail", OWNER)
            .raw("error", 0)
    }
}
