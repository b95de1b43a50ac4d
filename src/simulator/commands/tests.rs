use serde_json::Value;

use super::super::vps::Character;
use super::*;

const START: f64 = 1_790_000_000.0;

struct Fixture {
    vps: SimulatedVps,
    story: Story,
    exported: Option<DiskSnapshot>,
}

impl Fixture {
    fn new(character: Character) -> Self {
        let story = Story::new(START, 60.0);
        Self {
            vps: SimulatedVps::new("x".to_owned(), 1_000_001, character, 7, &story, 288),
            story,
            exported: None,
        }
    }

    fn call(&mut self, call: &str, parameters: &[(&str, &str)]) -> Value {
        let parameters = parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let order = Order {
            parameters: &parameters,
            story: &self.story,
            at: 0.0,
            exported: self.exported.take(),
        };
        let response = carry_out(call, &mut self.vps, &order).expect("it changes something");
        serde_json::from_str(&response).expect("it is JSON")
    }

    /// Lets the running task end.
    fn wait(&mut self) {
        assert!(self.vps.task.is_some(), "a task runs");
        self.vps.advance(&self.story, START + 60.0);
        assert!(self.vps.task.is_none());
    }
}

#[test]
fn missing_parameters_are_errors() {
    for (call, parameters) in [
        ("reinstallOS", &[][..]),
        ("updateSshKeys", &[]),
        ("setHostname", &[]),
        ("setHostname", &[("newHostname", "")]),
        ("setPTR", &[("ip", "198.51.100.1")]),
        ("setPTR", &[("ptr", "x")]),
        ("iso/mount", &[]),
        ("basicShell/cd", &[("currentDir", "/")]),
        ("basicShell/exec", &[]),
        ("shellScript/exec", &[]),
        ("snapshot/delete", &[]),
        ("snapshot/restore", &[]),
        ("snapshot/toggleSticky", &[("snapshot", "x")]),
        ("snapshot/export", &[]),
        ("snapshot/import", &[("sourceVeid", "1")]),
        ("backup/copyToSnapshot", &[]),
        ("ipv6/delete", &[]),
        ("migrate/start", &[]),
        (
            "cloneFromExternalServer",
            &[("externalServerIP", "192.0.2.1")],
        ),
        ("unsuspend", &[]),
        ("resolvePolicyViolation", &[]),
        ("privateIp/delete", &[]),
        ("kiwivm/setNotificationPreferences", &[]),
    ] {
        let response = Fixture::new(Character::Healthy).call(call, parameters);
        assert_eq!(response["error"], 700_001, "{call}: {response}");
    }
}

#[test]
fn unknown_objects_are_errors_with_a_message() {
    for (call, parameters) in [
        ("reinstallOS", &[("os", "nope")][..]),
        ("setPTR", &[("ip", "192.0.2.1"), ("ptr", "x")]),
        ("snapshot/delete", &[("snapshot", "nope")]),
        ("snapshot/restore", &[("snapshot", "nope")]),
        (
            "snapshot/toggleSticky",
            &[("snapshot", "nope"), ("sticky", "1")],
        ),
        ("snapshot/export", &[("snapshot", "nope")]),
        (
            "snapshot/import",
            &[("sourceVeid", "1"), ("sourceToken", "nope")],
        ),
        ("backup/copyToSnapshot", &[("backupToken", "nope")]),
        ("ipv6/delete", &[("ip", "2001:db8:ffff::")]),
        ("migrate/start", &[("location", "nope")]),
        ("migrate/start", &[("location", "USCA_2")]),
        ("unsuspend", &[("record_id", "1")]),
        ("unsuspend", &[("record_id", "nope")]),
        ("resolvePolicyViolation", &[("record_id", "1")]),
        ("privateIp/assign", &[("ip", "10.255.255.255")]),
        ("privateIp/delete", &[("ip", "10.0.0.1")]),
        (
            "kiwivm/setNotificationPreferences",
            &[("json_notification_preferences", "{\"nope\":1}")],
        ),
        (
            "cloneFromExternalServer",
            &[
                ("externalServerIP", "192.0.2.1"),
                ("externalServerSSHport", "22"),
                ("externalServerRootPassword", "x"),
            ],
        ),
    ] {
        let mut fixture = Fixture::new(Character::Healthy);
        let response = fixture.call(call, parameters);
        assert_eq!(response["error"], 1, "{call}: {response}");
        assert!(response["message"].is_string(), "{call}: {response}");
        assert!(fixture.vps.task.is_none(), "{call}");
    }
}

#[test]
fn power_calls_check_the_power_state() {
    let mut fixture = Fixture::new(Character::Healthy);
    assert_eq!(fixture.call("start", &[])["error"], 700_003);
    assert_eq!(fixture.call("kill", &[])["error"], 0);
    for call in ["stop", "kill", "restart", "resetRootPassword"] {
        assert_eq!(fixture.call(call, &[])["error"], 700_000, "{call}");
    }
    assert_eq!(fixture.call("start", &[])["error"], 0);
    assert_eq!(fixture.vps.status(), "starting");
    let mut fixture = Fixture::new(Character::UsedUp);
    assert_eq!(
        fixture.call("start", &[])["message"],
        "This VPS is suspended"
    );
}

#[test]
fn mounts_an_iso_while_the_vps_is_off() {
    let mut fixture = Fixture::new(Character::Healthy);
    let iso = [("iso", "systemrescue-12.01-amd64.iso")];
    assert_eq!(fixture.call("iso/mount", &iso)["error"], 1);
    fixture.call("stop", &[]);
    assert_eq!(fixture.call("iso/mount", &[("iso", "nope")])["error"], 1);
    assert_eq!(fixture.call("iso/mount", &iso)["error"], 0);
    assert_eq!(fixture.vps.settings.iso, Some(iso[0].1));
    assert_eq!(fixture.call("iso/unmount", &[])["error"], 0);
    assert_eq!(fixture.vps.settings.iso, None);
    let openvz = Fixture::new(Character::OpenVz).call("iso/mount", &iso);
    assert_eq!(openvz["error"], 1);
}

#[test]
fn exports_a_snapshot_to_another_vps() {
    let mut source = Fixture::new(Character::Healthy);
    let name = source.vps.disk_copies.snapshots[0].file_name.clone();
    let token = source.call("snapshot/export", &[("snapshot", &name)])["token"].clone();
    let token = token.as_str().expect("there is one");
    let parameters = [("sourceVeid", "1000001"), ("sourceToken", token)];
    let owned = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut target = Fixture::new(Character::OpenVz);
    target.exported = exported(&[source.vps], &owned.into());
    assert_eq!(target.call("snapshot/import", &parameters)["error"], 0);
    target.wait();
    assert_eq!(target.vps.disk_copies.snapshots.len(), 1);
    assert_eq!(
        target.vps.disk_copies.snapshots[0].description,
        "before-upgrade"
    );
    assert_eq!(target.vps.status(), "running");
}

#[test]
fn a_backup_becomes_a_snapshot() {
    let mut fixture = Fixture::new(Character::Healthy);
    let backup = fixture.vps.disk_copies.backups[1].clone();
    let response = fixture.call("backup/copyToSnapshot", &[("backupToken", &backup.token)]);
    assert_eq!(response["notificationEmail"], "owner@example.com");
    fixture.wait();
    let newest = fixture
        .vps
        .disk_copies
        .snapshots
        .last()
        .expect("there is one");
    assert_eq!((newest.size, newest.sticky), (backup.size, false));
}

#[test]
fn clones_a_server_to_a_container() {
    let mut fixture = Fixture::new(Character::OpenVz);
    let parameters = [
        ("externalServerIP", "192.0.2.1"),
        ("externalServerSSHport", "22"),
        ("externalServerRootPassword", "x"),
    ];
    assert_eq!(
        fixture.call("cloneFromExternalServer", &parameters)["error"],
        0
    );
    assert_eq!(fixture.vps.status(), "stopped");
    fixture.wait();
    assert_eq!(fixture.vps.status(), "running");
}

#[test]
fn subnets_have_a_limit() {
    let mut fixture = Fixture::new(Character::Healthy);
    let subnet = fixture.call("ipv6/add", &[])["assigned_subnet"].clone();
    assert_eq!(fixture.call("ipv6/add", &[])["error"], 0);
    assert_eq!(fixture.call("ipv6/add", &[])["error"], 1);
    let subnet = subnet.as_str().expect("there is one");
    assert!(subnet.ends_with("::/64"), "{subnet}");
    assert_eq!(fixture.call("ipv6/delete", &[("ip", subnet)])["error"], 0);
    assert_eq!(fixture.vps.network.ipv6.len(), 2);
}

#[test]
fn assigns_private_addresses_at_locations_with_a_network() {
    let mut fixture = Fixture::new(Character::Healthy);
    let response = fixture.call("privateIp/assign", &[]);
    let address = response["assigned_ips"][0].as_str().expect("there is one");
    let second = fixture.vps.network.private_available()[1].clone();
    assert_eq!(
        fixture.call("privateIp/assign", &[("ip", &second)])["error"],
        0
    );
    assert_eq!(
        fixture.call("privateIp/assign", &[("ip", address)])["error"],
        1
    );
    assert_eq!(
        fixture.call("privateIp/delete", &[("ip", address)])["error"],
        0
    );
    assert_eq!(fixture.vps.network.private, [second]);
    fixture.call("migrate/start", &[("location", "EUNL_3")]);
    fixture.wait();
    assert!(fixture.vps.network.private.is_empty());
    assert_eq!(fixture.call("privateIp/assign", &[])["error"], 1);
}

#[test]
fn returns_the_changed_preferences() {
    let mut fixture = Fixture::new(Character::Healthy);
    let submitted = "{\"bw_80\":1,\"panel_login\":1}";
    let parameters = [("json_notification_preferences", submitted)];
    let response = fixture.call("kiwivm/setNotificationPreferences", &parameters);
    assert_eq!(response["submitted_email_preferences"]["bw_80"], 1);
    assert_eq!(response["updated_email_preferences"]["panel_login"], 1);
    assert!(response["updated_email_preferences"]["bw_80"].is_null());
    let again = fixture.call("kiwivm/setNotificationPreferences", &parameters);
    assert_eq!(again["friendly_descriptions"], serde_json::json!([]));
}

#[test]
fn stores_ptr_records_and_keys() {
    let mut fixture = Fixture::new(Character::Healthy);
    let address = fixture.vps.network.primary().to_owned();
    let ptr = |name| [("ip", address.as_str()), ("ptr", name)];
    fixture.call("setPTR", &ptr("a.example.com"));
    assert_eq!(fixture.vps.network.ptr[&address], "a.example.com");
    fixture.call("setPTR", &ptr(""));
    assert!(fixture.vps.network.ptr.is_empty());
    fixture.call("updateSshKeys", &[("ssh_keys", "ssh-ed25519 A b")]);
    assert_eq!(fixture.vps.settings.preferred_ssh_keys(), "ssh-ed25519 A b");
    let passwords = [(); 2].map(|()| fixture.call("resetRootPassword", &[])["password"].clone());
    assert_ne!(passwords[0], passwords[1]);
}

#[test]
fn a_reinstallation_clears_the_disk_and_starts_the_vps() {
    let mut fixture = Fixture::new(Character::Stopped);
    let response = fixture.call("reinstallOS", &[("os", "debian-13-x86_64")]);
    for field in [
        "rootPassword",
        "sshKeys",
        "sshKeysBrief",
        "notificationEmail",
    ] {
        assert!(response[field].is_string(), "{field}: {response}");
    }
    assert!(response["sshPort"].is_u64());
    fixture.wait();
    assert_eq!(
        (fixture.vps.settings.os, fixture.vps.status()),
        ("debian-13-x86_64", "running")
    );
    assert!(fixture.vps.disk_used < 2 << 30);
}

#[test]
fn logs_every_call() {
    let mut fixture = Fixture::new(Character::Healthy);
    let before = fixture.vps.audit.entries().len();
    fixture.call("stop", &[]);
    fixture.call("setHostname", &[("newHostname", "b")]);
    let summaries: Vec<_> = fixture
        .vps
        .audit
        .entries()
        .skip(before)
        .map(|entry| entry.summary.to_string())
        .collect();
    assert_eq!(
        summaries,
        [
            "Command received: stop",
            "VM stopped",
            "API call: setHostname"
        ]
    );
}
