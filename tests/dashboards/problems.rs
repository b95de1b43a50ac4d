//! What needs somebody's attention: one series a problem of a VPS, by the thresholds of the alerts.

use crate::names::{
    AUTHENTICATION_FAILED, CPU_THROTTLED, DISK_THROTTLED, EXPECTED_RUNNING, LOCKED,
    POLICY_VIOLATION, RUNNING, SUSPENDED, UP,
};
use crate::promql::{VPS_KEY, bandwidth_ratio, vps};

/// The value of a problem that needs action now.
pub const CRITICAL: u32 = 2;
/// The value of a problem that needs action soon.
pub const WARNING: u32 = 1;

/// Every problem of the VPSes chosen: its words in the label `problem`, its severity as value.
pub fn problems() -> String {
    let is = |metric| format!("{} == 1", vps(metric));
    let all = [
        problem(CRITICAL, "Suspended", &is(SUSPENDED)),
        problem(
            CRITICAL,
            "Not running",
            &format!(
                "{} == 0 and {} == 1 unless {}",
                vps(RUNNING),
                vps(EXPECTED_RUNNING),
                is(SUSPENDED)
            ),
        ),
        problem(
            CRITICAL,
            "Transfer allowance used up to 95 %",
            &format!("{} > 0.95", bandwidth_ratio()),
        ),
        problem(
            WARNING,
            "Transfer allowance used up to 80 %",
            &format!("({0} > 0.8) <= 0.95", bandwidth_ratio()),
        ),
        problem(WARNING, "Wrong API key", &is(AUTHENTICATION_FAILED)),
        problem(
            WARNING,
            "No data",
            &format!(
                "{} == 0 unless {} unless {}",
                vps(UP),
                is(AUTHENTICATION_FAILED),
                is(LOCKED)
            ),
        ),
        problem(WARNING, "Policy violation", &is(POLICY_VIOLATION)),
        problem(WARNING, "CPU throttled", &is(CPU_THROTTLED)),
        problem(WARNING, "Disk I/O throttled", &is(DISK_THROTTLED)),
    ];
    format!("max by ({VPS_KEY}, problem) ({})", all.join(" or "))
}

fn problem(severity: u32, words: &str, series: &str) -> String {
    format!(r#"label_replace(0 * ({series}) + {severity}, "problem", "{words}", "", "")"#)
}
