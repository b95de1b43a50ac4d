//! Problems that need attention: one series per problem of a VPS, by the thresholds of the alerts.

use crate::grafana::{Mapping, ORANGE, RED};
use crate::names::{
    ABUSE_POINTS, ABUSE_POINTS_LIMIT, AUTHENTICATION_FAILED, BACKUP_NEWEST, BANDWIDTH_EXHAUSTION,
    BANDWIDTH_FORECAST, CPU_THROTTLED, DATA_STALE, DISK_THROTTLED, EXPECTED_RUNNING, INODES_LIMIT,
    INODES_USED, LOCKED, MEMORY_AVAILABLE, MEMORY_TOTAL, NULLROUTED, POLICY_DEADLINE, POLICY_OPEN,
    POLICY_VIOLATION, RUNNING, SNAPSHOT_NEWEST, SUSPENDED, SUSPENSION_REASON, SWAP_FREE,
    SWAP_TOTAL, THRESHOLD, UP, VPS_INFO,
};
use crate::promql::{
    SELECTED, VPS_KEY, bandwidth_ratio, beyond, disk_ratio, exporters_down, share, vps, vps_where,
};

/// Severity of a problem that needs action now.
pub const CRITICAL: u32 = 2;
/// Severity of a problem that needs action soon.
pub const WARNING: u32 = 1;
/// Texts of the severities.
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

/// Every problem of the selected VPSes and their exporters. The label `problem` describes it, the value is its
/// severity. A problem of an exporter has no VPS labels.
pub fn problems() -> String {
    let down = format!(
        "max by ({VPS_KEY}, problem) ({})",
        problem(CRITICAL, "Exporter down", &exporters_down())
    );
    format!("{} or {down}", problems_of_vpses())
}

/// Every problem of the selected VPSes. The VPSes are selected once at the end instead of in each of fifty selectors,
/// to keep the expression readable.
pub fn problems_of_vpses() -> String {
    let all = [state(), transfer(), resources(), policy(), data()].concat();
    let all = [", ", ""].iter().fold(all.join(" or "), |all, comma| {
        all.replace(&format!("{SELECTED}{comma}"), "")
    });
    format!(
        "max by ({VPS_KEY}, problem) ({}) and on ({VPS_KEY}) {}",
        all.replace("{}", ""),
        vps(THRESHOLD)
    )
}

fn problem(severity: u32, text: &str, series: &str) -> String {
    format!(r#"label_replace(0 * ({series}) + {severity}, "problem", "{text}", "", "")"#)
}

/// Critical beyond the threshold `name` + `_critical`, a warning beyond `name` + `_warning`.
fn levels(text: &str, series: &str, compare: &str, name: &str) -> Vec<String> {
    [(CRITICAL, "critical"), (WARNING, "warning")]
        .map(|(severity, level)| {
            let series = beyond(series, compare, &format!("{name}_{level}"));
            problem(severity, text, &series)
        })
        .into()
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
    let reasons = [
        ("bandwidth", "Suspended: transfer used up"),
        ("policy", "Suspended: policy case"),
        ("unknown", "Suspended"),
    ];
    let suspended = reasons.map(|(reason, text)| {
        let series = vps_where(SUSPENSION_REASON, &format!("reason=\"{reason}\""));
        problem(CRITICAL, text, &format!("{series} == 1"))
    });
    let power = [
        problem(CRITICAL, "Not running", &stopped),
        problem(
            WARNING,
            "Running, should be stopped",
            &format!("{} and {expected} == 0", is(RUNNING)),
        ),
    ];
    suspended.into_iter().chain(power).collect()
}

/// Bandwidth problems. A suspended VPS has none, because it cannot use more.
fn transfer() -> Vec<String> {
    let active = |series: String| format!("({series}) unless {}", is(SUSPENDED));
    // Only without a forecast, as in the rules. The forecast is more precise.
    let used = format!(
        "{} unless {}",
        active(bandwidth_ratio()),
        vps(BANDWIDTH_FORECAST)
    );
    let left = active(format!("{} - time()", vps(BANDWIDTH_EXHAUSTION)));
    [
        levels(
            "Transfer nearly used up",
            &format!("({used})"),
            ">=",
            "bandwidth_used_ratio",
        ),
        levels(
            "Transfer runs out before the reset",
            &format!("({left})"),
            "<=",
            "bandwidth_exhaustion_seconds",
        ),
    ]
    .concat()
}

fn resources() -> Vec<String> {
    let available = share(MEMORY_AVAILABLE, MEMORY_TOTAL);
    // On KVM the used space is the mapped part of the image, which is no measure of how full the file systems are.
    let quota = format!(
        "({} and on ({VPS_KEY}) {})",
        disk_ratio(),
        vps_where(VPS_INFO, r#"vm_type="ovz""#)
    );
    let inodes = beyond(&share(INODES_USED, INODES_LIMIT), ">=", "inodes_used_ratio");
    // A full swap alone is harmless: it holds pages that are never used.
    let swap = format!(
        "{} and {}",
        beyond(
            &format!("1 - {}", share(SWAP_FREE, SWAP_TOTAL)),
            ">=",
            "swap_used_ratio"
        ),
        beyond(&available, "<=", "swap_memory_available_ratio")
    );
    [
        levels(
            "Available memory low",
            &available,
            "<=",
            "memory_available_ratio",
        ),
        levels("Disk nearly full", &quota, ">=", "disk_used_ratio"),
        vec![
            problem(WARNING, "Inodes nearly used up", &inodes),
            problem(WARNING, "Swap nearly full", &swap),
            problem(WARNING, "CPU throttled", &is(CPU_THROTTLED)),
            problem(WARNING, "Disk I/O throttled", &is(DISK_THROTTLED)),
        ],
    ]
    .concat()
}

fn policy() -> Vec<String> {
    let deadline = beyond(
        &format!("({} - time())", vps(POLICY_DEADLINE)),
        "<=",
        "policy_deadline_seconds",
    );
    let open = format!("({} > 0 or {})", vps(POLICY_OPEN), is(POLICY_VIOLATION));
    let abuse = share(ABUSE_POINTS, ABUSE_POINTS_LIMIT);
    let (backup, snapshot) = (vps(BACKUP_NEWEST), vps(SNAPSHOT_NEWEST));
    let age = format!("(time() - ({backup} >= {snapshot} or {snapshot} or {backup}))");
    [
        levels("Many abuse points", &abuse, ">=", "abuse_points_ratio"),
        vec![
            problem(CRITICAL, "Policy deadline is near", &deadline),
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
            problem(
                WARNING,
                "Backup or snapshot too old",
                &beyond(&age, ">=", "backup_age_seconds"),
            ),
        ],
    ]
    .concat()
}

fn data() -> Vec<String> {
    let unless_explained = format!("unless {} unless {}", is(AUTHENTICATION_FAILED), is(LOCKED));
    let no_data = format!("{} == 0 {unless_explained}", vps(UP));
    let stale = format!(
        "max by ({VPS_KEY}) ({}) unless on ({VPS_KEY}) {} == 0",
        is(DATA_STALE),
        vps(UP)
    );
    vec![
        problem(WARNING, "API key refused", &is(AUTHENTICATION_FAILED)),
        problem(WARNING, "No data", &no_data),
        problem(WARNING, "Data is stale", &stale),
    ]
}
