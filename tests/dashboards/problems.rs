//! What needs somebody's attention: one series a problem of a VPS, by the thresholds of the alerts.

use crate::grafana::{Mapping, ORANGE, RED};
use crate::names::{
    ABUSE_POINTS, ABUSE_POINTS_LIMIT, AUTHENTICATION_FAILED, BACKUP_NEWEST, CPU_THROTTLED,
    DISK_THROTTLED, EXPECTED_RUNNING, INODES_LIMIT, INODES_USED, LAST_SUCCESS, LOCKED,
    MEMORY_AVAILABLE, MEMORY_TOTAL, NULLROUTED, POLICY_DEADLINE, POLICY_OPEN, POLICY_VIOLATION,
    POLL_INTERVAL, RUNNING, SNAPSHOT_NEWEST, SUSPENDED, SWAP_FREE, SWAP_TOTAL, UP, VPS_INFO,
    recorded,
};
use crate::promql::{VPS_KEY, bandwidth_ratio, disk_ratio, exporters_down, share, vps, vps_where};

/// The value of a problem that needs action now.
pub const CRITICAL: u32 = 2;
/// The value of a problem that needs action soon.
pub const WARNING: u32 = 1;
/// The two in words.
pub const SEVERITIES: &[Mapping] = &[
    Mapping {
        value: 2,
        text: "Critical",
        colour: RED,
    },
    Mapping {
        value: 1,
        text: "Warning",
        colour: ORANGE,
    },
];

/// The thresholds of the alerts that are used here, with their defaults, which hold where the rules are not loaded.
pub const THRESHOLDS: &[(&str, f64)] = &[
    ("abuse_points_critical", 0.8),
    ("abuse_points_warning", 0.5),
    ("backup_age_seconds", 259_200.0),
    ("bandwidth_projected", 1.0),
    ("bandwidth_used_critical", 0.95),
    ("bandwidth_used_warning", 0.8),
    ("data_age_intervals", 5.0),
    ("data_age_seconds", 900.0),
    ("disk_used_critical", 0.95),
    ("disk_used_warning", 0.85),
    ("inodes_used", 0.9),
    ("memory_available_critical", 0.05),
    ("memory_available_warning", 0.1),
    ("policy_deadline_seconds", 86_400.0),
    ("swap_memory_available", 0.2),
    ("swap_used", 0.8),
];

/// The threshold in force, which an owner may have set otherwise.
pub fn threshold(name: &str) -> String {
    let (name, default) = THRESHOLDS
        .iter()
        .find(|(known, _)| *known == name)
        .expect("its default is listed");
    let effective = recorded::THRESHOLD;
    format!(r#"scalar(max({effective}{{threshold="{name}"}}) or vector({default}))"#)
}

/// Every problem of the VPSes chosen and of their exporters: its words in the label `problem`, its severity as value.
/// That of an exporter has no VPS.
pub fn problems() -> String {
    let down = format!(
        "max by ({VPS_KEY}, problem) ({})",
        problem(CRITICAL, "Exporter down", &exporters_down())
    );
    format!("{} or {down}", problems_of_vpses())
}

/// Every problem of the VPSes chosen.
pub fn problems_of_vpses() -> String {
    let all = [state(), transfer(), resources(), policy(), data()].concat();
    format!("max by ({VPS_KEY}, problem) ({})", all.join(" or "))
}

fn problem(severity: u32, words: &str, series: &str) -> String {
    named(words, &format!("0 * ({series}) + {severity}"))
}

fn named(words: &str, series: &str) -> String {
    format!(r#"label_replace({series}, "problem", "{words}", "", "")"#)
}

/// A warning beyond the threshold `name` + `_warning`, critical beyond `name` + `_critical`. The series is asked for
/// once: with hundreds of VPSes that counts.
fn beyond(words: &str, series: &str, compare: &str, name: &str) -> String {
    let warning = threshold(&format!("{name}_warning"));
    let critical = threshold(&format!("{name}_critical"));
    let step = CRITICAL - WARNING;
    named(
        words,
        &format!("{step} * (({series} {compare} {warning}) {compare} bool {critical}) + {WARNING}"),
    )
}

fn is(metric: &str) -> String {
    format!("{} == 1", vps(metric))
}

fn state() -> Vec<String> {
    let expected = vps(EXPECTED_RUNNING);
    let stopped = format!(
        "{} == 0 and {expected} == 1 unless {}",
        vps(RUNNING),
        is(SUSPENDED)
    );
    vec![
        problem(CRITICAL, "Suspended", &is(SUSPENDED)),
        problem(CRITICAL, "Not running", &stopped),
        problem(
            WARNING,
            "Runs, should be stopped",
            &format!("{} and {expected} == 0", is(RUNNING)),
        ),
    ]
}

fn transfer() -> Vec<String> {
    // Where there is a projection there is a recorded ratio.
    let left = format!("{} < 1", vps(recorded::BANDWIDTH_RATIO));
    let soon = format!("{} >= 1 and {left}", vps(recorded::BANDWIDTH_PROJECTED_12H));
    let later = format!(
        "{} >= {} and {left} unless ({soon})",
        vps(recorded::BANDWIDTH_PROJECTED),
        threshold("bandwidth_projected")
    );
    vec![
        beyond(
            "Transfer nearly used up",
            &bandwidth_ratio(),
            ">=",
            "bandwidth_used",
        ),
        problem(CRITICAL, "Transfer lasts less than 12 hours", &soon),
        problem(WARNING, "Transfer does not last until the reset", &later),
    ]
}

fn resources() -> Vec<String> {
    let available = share(MEMORY_AVAILABLE, MEMORY_TOTAL);
    // The disk of a KVM VPS is what its image has mapped, which tells nothing about its file systems.
    let quota = format!(
        "{} and on ({VPS_KEY}) {}",
        disk_ratio(),
        vps_where(VPS_INFO, r#"vm_type="ovz""#)
    );
    let inodes = format!(
        "{} >= {}",
        share(INODES_USED, INODES_LIMIT),
        threshold("inodes_used")
    );
    // Full swap alone is harmless: what is never used rests there.
    let swap = format!(
        "1 - {} >= {} and {available} <= {}",
        share(SWAP_FREE, SWAP_TOTAL),
        threshold("swap_used"),
        threshold("swap_memory_available")
    );
    vec![
        beyond(
            "Little memory available",
            &available,
            "<=",
            "memory_available",
        ),
        beyond("Disk nearly full", &format!("({quota})"), ">=", "disk_used"),
        problem(WARNING, "Inodes nearly used up", &inodes),
        problem(WARNING, "Swap nearly full", &swap),
        problem(WARNING, "CPU throttled", &is(CPU_THROTTLED)),
        problem(WARNING, "Disk I/O throttled", &is(DISK_THROTTLED)),
    ]
}

fn policy() -> Vec<String> {
    let deadline = format!(
        "{} - time() <= {}",
        vps(POLICY_DEADLINE),
        threshold("policy_deadline_seconds")
    );
    let open = format!("({} > 0 or {})", vps(POLICY_OPEN), is(POLICY_VIOLATION));
    let abuse = share(ABUSE_POINTS, ABUSE_POINTS_LIMIT);
    let (backup, snapshot) = (vps(BACKUP_NEWEST), vps(SNAPSHOT_NEWEST));
    let copy = format!(
        "time() - ({backup} >= {snapshot} or {snapshot} or {backup}) >= {}",
        threshold("backup_age_seconds")
    );
    vec![
        beyond("Many abuse points", &abuse, ">=", "abuse_points"),
        problem(
            CRITICAL,
            "Suspension is near for a policy violation",
            &deadline,
        ),
        problem(
            WARNING,
            "Policy violation",
            &format!("{open} unless {deadline}"),
        ),
        problem(
            CRITICAL,
            "Address null-routed",
            &format!("{} > 0", vps(NULLROUTED)),
        ),
        problem(WARNING, "Backup or snapshot too old", &copy),
    ]
}

fn data() -> Vec<String> {
    let no_answer = format!("{} == 0", vps(UP));
    let known_why = format!("unless {} unless {}", is(AUTHENTICATION_FAILED), is(LOCKED));
    let late = format!(
        "time() - {} > {}",
        vps(LAST_SUCCESS),
        threshold("data_age_seconds")
    );
    // Mostly nothing is late: then there is nothing to join.
    let interval = format!("({} and {late})", vps(POLL_INTERVAL));
    let old = format!(
        "max by ({VPS_KEY}) (({late}) / {interval} > {}) unless {no_answer} {known_why}",
        threshold("data_age_intervals")
    );
    vec![
        problem(WARNING, "Wrong API key", &is(AUTHENTICATION_FAILED)),
        problem(WARNING, "No answer", &format!("{no_answer} {known_why}")),
        problem(WARNING, "Data is old", &old),
    ]
}
