//! Settings that the owner can change.

use std::collections::BTreeMap;

/// The address of the account.
pub const OWNER: &str = "owner@example.com";
/// The SSH keys of the account, as opposed to those of the VPS.
pub const OWNER_SSH_KEYS: &str =
    "ssh-ed25519 AAAAEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEX owner@example.com";

/// ISO images that can be mounted.
pub const ISOS: [&str; 3] = [
    "debian-12.11.0-amd64-netinst.iso",
    "systemrescue-12.01-amd64.iso",
    "ubuntu-24.04.3-live-server-amd64.iso",
];

const KVM_TEMPLATES: [&str; 6] = [
    "almalinux-9-x86_64",
    "debian-11-x86_64",
    "debian-12-x86_64",
    "debian-13-x86_64",
    "ubuntu-22.04-x86_64",
    "ubuntu-24.04-x86_64",
];
const OPENVZ_TEMPLATES: [&str; 3] = [
    "centos-7-x86_64",
    "debian-9.0-x86_64",
    "ubuntu-16.04-x86_64",
];

/// Templates that can be installed.
pub const fn templates(openvz: bool) -> &'static [&'static str] {
    if openvz {
        &OPENVZ_TEMPLATES
    } else {
        &KVM_TEMPLATES
    }
}

/// A subject for which the owner can enable mail.
pub struct Preference {
    pub id: &'static str,
    pub description: &'static str,
    enabled: bool,
}

/// All preferences by group. The IDs are invented. No group is empty, because it is unknown how the API writes one.
pub const PREFERENCES: [(&str, &[Preference]); 4] = [
    (
        "Bandwidth Alerts",
        &[
            Preference {
                id: "bw_80",
                description: "80 percent of the allowance used",
                enabled: true,
            },
            Preference {
                id: "bw_100",
                description: "Allowance used up",
                enabled: true,
            },
        ],
    ),
    (
        "Security Notifications",
        &[Preference {
            id: "panel_login",
            description: "Somebody logged in to KiwiVM",
            enabled: false,
        }],
    ),
    (
        "System Notifications",
        &[Preference {
            id: "snapshot_done",
            description: "Snapshot finished",
            enabled: false,
        }],
    ),
    (
        "Miscellaneous",
        &[Preference {
            id: "news",
            description: "News of the vendor",
            enabled: true,
        }],
    ),
];

/// The preference with this ID.
pub fn preference(id: &str) -> Option<&'static Preference> {
    PREFERENCES
        .iter()
        .flat_map(|(_, group)| *group)
        .find(|preference| preference.id == id)
}

/// The settings of a VPS.
#[derive(Clone, Debug)]
pub struct Settings {
    pub hostname: String,
    pub os: &'static str,
    /// The mounted ISO image.
    pub iso: Option<&'static str>,
    /// SSH keys of this VPS, one a line.
    pub ssh_keys: String,
    /// Changed preferences with the time of the change, Unix seconds.
    changed: BTreeMap<&'static str, (bool, i64)>,
    /// Number of passwords and other secrets generated so far.
    pub secrets: i64,
}

impl Settings {
    pub fn new(hostname: String, openvz: bool) -> Self {
        Self {
            hostname,
            os: if openvz {
                "debian-9.0-x86_64"
            } else {
                "debian-12-x86_64"
            },
            iso: None,
            ssh_keys: String::new(),
            changed: BTreeMap::new(),
            secrets: 0,
        }
    }

    /// The state of a preference, and the time of its last change (Unix seconds; 0 if it never changed).
    pub fn is_enabled(&self, preference: &Preference) -> (bool, i64) {
        let changed = self.changed.get(preference.id).copied();
        changed.unwrap_or((preference.enabled, 0))
    }

    /// Sets a preference; true if that changed it.
    pub fn enable(&mut self, preference: &'static Preference, enabled: bool, now: i64) -> bool {
        if self.is_enabled(preference).0 == enabled {
            return false;
        }
        self.changed.insert(preference.id, (enabled, now));
        true
    }

    /// The keys that a reinstallation puts on the VPS.
    pub fn preferred_ssh_keys(&self) -> &str {
        if self.ssh_keys.is_empty() {
            OWNER_SSH_KEYS
        } else {
            &self.ssh_keys
        }
    }
}

/// Shortens SSH keys as the panel does.
pub fn shortened(ssh_keys: &str) -> String {
    let shorten = |line: &str| {
        let mut words = line.split_whitespace();
        let kind = words.next().unwrap_or_default().to_owned();
        words.fold(kind, |line, word| {
            let letters: Vec<char> = word.chars().collect();
            if letters.len() <= 24 {
                return format!("{line} {word}");
            }
            let ends = [&letters[..11], &letters[letters.len() - 4..]];
            let [begin, end] = ends.map(|letters| letters.iter().collect::<String>());
            format!("{line} {begin}...{end}")
        })
    };
    ssh_keys.lines().map(shorten).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortens_keys_line_by_line() {
        assert_eq!(
            shortened(OWNER_SSH_KEYS),
            "ssh-ed25519 AAAAEXAMPLE...LEEX owner@example.com"
        );
        assert_eq!(shortened(""), "");
        assert_eq!(shortened("a b\nc"), "a b\nc");
    }

    #[test]
    fn enable_reports_only_changes() {
        let mut settings = Settings::new(String::new(), false);
        let alert = preference("bw_80").expect("there is one");
        assert!(!settings.enable(alert, true, 5));
        assert!(settings.enable(alert, false, 6));
        assert_eq!(settings.is_enabled(alert), (false, 6));
        assert!(preference("nope").is_none());
    }
}
