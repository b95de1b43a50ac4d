use serde_json::Value;

use super::super::vps::Character;
use super::*;

const START: f64 = 1_790_000_000.0;

struct World {
    vps: Vps,
    story: Story,
    exported: Option<Snapshot>,
}

impl World {
    fn new(character: Character) -> Self {
        let story = Story::new(START, 60.0);
        Self {
            vps: Vps::new("x".to_owned(), 1_000_001, character, 7, &story, 288),
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
        let answer = carry_out(call, &mut self.vps, &order).expect("it changes something");
        serde_json::from_str(&answer).expect("it is JSON")
    }

    /// Lets the running task end.
    fn wait(&mut self) {
        assert!(self.vps.task.is_some(), "a task runs");
        self.vps.advance(&self.story, START + 60.0);
        assert!(self.vps.task.is_none());
    }
}

#[test]
fn what_a_call_needs_must_be_there() {
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
        let answer = World::new(Character::Healthy).call(call, parameters);
        assert_eq!(answer["error"], 700_001, "{call}: {answer}");
    }
}

#[test]
fn what_is_not_there_is_an_error_with_words() {
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
        let mut world = World::new(Character::Healthy);
        let answer = world.call(call, parameters);
        assert_eq!(answer["error"], 1, "{call}: {answer}");
        assert!(answer["message"].is_string(), "{call}: {answer}");
        assert!(world.vps.task.is_none(), "{call}");
    }
}

#[test]
fn power_calls_mind_the_power_state() {
    let mut world = World::new(Character::Healthy);
    assert_eq!(world.call("start", &[])["error"], 700_003);
    assert_eq!(world.call("kill", &[])["error"], 0);
    for call in ["stop", "kill", "restart", "resetRootPassword"] {
        assert_eq!(world.call(call, &[])["error"], 700_000, "{call}");
    }
    assert_eq!(world.call("start", &[])["error"], 0);
    assert_eq!(world.vps.status(), "starting");
    let mut world = World::new(Character::UsedUp);
    assert_eq!(world.call("start", &[])["message"], "This VPS is suspended");
}

#[test]
fn an_iso_is_mounted_while_the_vps_is_off() {
    let mut world = World::new(Character::Healthy);
    let iso = [("iso", "systemrescue-12.01-amd64.iso")];
    assert_eq!(world.call("iso/mount", &iso)["error"], 1);
    world.call("stop", &[]);
    assert_eq!(world.call("iso/mount", &[("iso", "nope")])["error"], 1);
    assert_eq!(world.call("iso/mount", &iso)["error"], 0);
    assert_eq!(world.vps.settings.iso, Some(iso[0].1));
    assert_eq!(world.call("iso/unmount", &[])["error"], 0);
    assert_eq!(world.vps.settings.iso, None);
    let openvz = World::new(Character::OpenVz).call("iso/mount", &iso);
    assert_eq!(openvz["error"], 1);
}

#[test]
fn a_snapshot_goes_from_one_vps_to_another() {
    let mut source = World::new(Character::Healthy);
    let name = source.vps.inventory.snapshots[0].file_name.clone();
    let token = source.call("snapshot/export", &[("snapshot", &name)])["token"].clone();
    let token = token.as_str().expect("there is one");
    let parameters = [("sourceVeid", "1000001"), ("sourceToken", token)];
    let owned = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut target = World::new(Character::OpenVz);
    target.exported = exported(&[source.vps], &owned.into());
    assert_eq!(target.call("snapshot/import", &parameters)["error"], 0);
    target.wait();
    assert_eq!(target.vps.inventory.snapshots.len(), 1);
    assert_eq!(
        target.vps.inventory.snapshots[0].description,
        "before-upgrade"
    );
    assert_eq!(target.vps.status(), "running");
}

#[test]
fn a_backup_becomes_a_snapshot() {
    let mut world = World::new(Character::Healthy);
    let backup = world.vps.inventory.backups[1].clone();
    let answer = world.call("backup/copyToSnapshot", &[("backupToken", &backup.token)]);
    assert_eq!(answer["notificationEmail"], "owner@example.com");
    world.wait();
    let newest = world.vps.inventory.snapshots.last().expect("there is one");
    assert_eq!((newest.size, newest.sticky), (backup.size, false));
}

#[test]
fn a_container_is_cloned_from_elsewhere() {
    let mut world = World::new(Character::OpenVz);
    let parameters = [
        ("externalServerIP", "192.0.2.1"),
        ("externalServerSSHport", "22"),
        ("externalServerRootPassword", "x"),
    ];
    assert_eq!(
        world.call("cloneFromExternalServer", &parameters)["error"],
        0
    );
    assert_eq!(world.vps.status(), "stopped");
    world.wait();
    assert_eq!(world.vps.status(), "running");
}

#[test]
fn subnets_have_a_limit() {
    let mut world = World::new(Character::Healthy);
    let subnet = world.call("ipv6/add", &[])["assigned_subnet"].clone();
    assert_eq!(world.call("ipv6/add", &[])["error"], 0);
    assert_eq!(world.call("ipv6/add", &[])["error"], 1);
    let subnet = subnet.as_str().expect("there is one");
    assert!(subnet.ends_with("::/64"), "{subnet}");
    assert_eq!(world.call("ipv6/delete", &[("ip", subnet)])["error"], 0);
    assert_eq!(world.vps.network.ipv6.len(), 2);
}

#[test]
fn private_addresses_are_assigned_where_there_is_a_network() {
    let mut world = World::new(Character::Healthy);
    let answer = world.call("privateIp/assign", &[]);
    let address = answer["assigned_ips"][0].as_str().expect("there is one");
    let second = world.vps.network.private_available()[1].clone();
    assert_eq!(
        world.call("privateIp/assign", &[("ip", &second)])["error"],
        0
    );
    assert_eq!(
        world.call("privateIp/assign", &[("ip", address)])["error"],
        1
    );
    assert_eq!(
        world.call("privateIp/delete", &[("ip", address)])["error"],
        0
    );
    assert_eq!(world.vps.network.private, [second]);
    world.call("migrate/start", &[("location", "EUNL_3")]);
    world.wait();
    assert!(world.vps.network.private.is_empty());
    assert_eq!(world.call("privateIp/assign", &[])["error"], 1);
}

#[test]
fn preferences_tell_what_changed() {
    let mut world = World::new(Character::Healthy);
    let submitted = "{\"bw_80\":1,\"panel_login\":1}";
    let parameters = [("json_notification_preferences", submitted)];
    let answer = world.call("kiwivm/setNotificationPreferences", &parameters);
    assert_eq!(answer["submitted_email_preferences"]["bw_80"], 1);
    assert_eq!(answer["updated_email_preferences"]["panel_login"], 1);
    assert!(answer["updated_email_preferences"]["bw_80"].is_null());
    let again = world.call("kiwivm/setNotificationPreferences", &parameters);
    assert_eq!(again["friendly_descriptions"], serde_json::json!([]));
}

#[test]
fn names_and_keys_are_kept() {
    let mut world = World::new(Character::Healthy);
    let address = world.vps.network.primary().to_owned();
    let ptr = |name| [("ip", address.as_str()), ("ptr", name)];
    world.call("setPTR", &ptr("a.example.com"));
    assert_eq!(world.vps.network.ptr[&address], "a.example.com");
    world.call("setPTR", &ptr(""));
    assert!(world.vps.network.ptr.is_empty());
    world.call("updateSshKeys", &[("ssh_keys", "ssh-ed25519 A b")]);
    assert_eq!(world.vps.settings.preferred_ssh_keys(), "ssh-ed25519 A b");
    let passwords = [(); 2].map(|()| world.call("resetRootPassword", &[])["password"].clone());
    assert_ne!(passwords[0], passwords[1]);
}

#[test]
fn a_reinstallation_leaves_a_fresh_disk_and_starts() {
    let mut world = World::new(Character::Stopped);
    let answer = world.call("reinstallOS", &[("os", "debian-13-x86_64")]);
    for field in [
        "rootPassword",
        "sshKeys",
        "sshKeysBrief",
        "notificationEmail",
    ] {
        assert!(answer[field].is_string(), "{field}: {answer}");
    }
    assert!(answer["sshPort"].is_u64());
    world.wait();
    assert_eq!(
        (world.vps.settings.os, world.vps.status()),
        ("debian-13-x86_64", "running")
    );
    assert!(world.vps.disk_used < 2 << 30);
}

#[test]
fn every_call_is_in_the_log() {
    let mut world = World::new(Character::Healthy);
    let before = world.vps.audit.entries().len();
    world.call("stop", &[]);
    world.call("setHostname", &[("newHostname", "b")]);
    let summaries: Vec<_> = world
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
