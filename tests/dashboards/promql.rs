//! Expressions shared by panels.

use kiwivm_exporter::config::Threshold;

use crate::names::{
    BANDWIDTH_ALLOWANCE, BANDWIDTH_EXHAUSTION, BANDWIDTH_FORECAST, BANDWIDTH_USED, BUILD_INFO,
    DISK_SIZE, DISK_USED, LAST_SUCCESS, MEMORY_AVAILABLE, MEMORY_TOTAL, POLL_INTERVAL, SCRAPE_UP,
    SUSPENDED, THRESHOLD,
};

/// Minimum step for rates of usage rows, a quarter of their window. With two months of history a response has 2.6 MB,
/// so the default download budget allows one every 36 minutes.
pub const USAGE_STEP: &str = "30m";

/// Matchers for the selected VPSes.
pub const SELECTED: &str = r#"job=~"$job", instance=~"$instance", vps=~"$vps""#;

/// Labels that identify a VPS, also if two exporters poll it.
pub const VPS_KEY: &str = "job, instance, veid, vps";

/// A metric of the selected exporters.
pub fn exporter(metric: &str) -> String {
    exporter_where(metric, "")
}

/// A metric of the selected exporters, with further matchers, for example `window="24h"`.
pub fn exporter_where(metric: &str, matchers: &str) -> String {
    let comma = if matchers.is_empty() { "" } else { ", " };
    format!(r#"{metric}{{job=~"$job", instance=~"$instance"{comma}{matchers}}}"#)
}

/// A metric of the selected VPSes.
pub fn vps(metric: &str) -> String {
    vps_where(metric, "")
}

/// A metric of the selected VPSes, with further matchers, for example `call="getServiceInfo"`.
pub fn vps_where(metric: &str, matchers: &str) -> String {
    let comma = if matchers.is_empty() { "" } else { ", " };
    format!("{metric}{{{SELECTED}{comma}{matchers}}}")
}

/// One sample per VPS, without other labels.
pub fn each_vps(expression: &str) -> String {
    format!("max by ({VPS_KEY}) ({expression})")
}

/// The selected exporters that cannot be scraped.
pub fn exporters_down() -> String {
    format!(
        "{} == 0 and on (job, instance) last_over_time({}[1d])",
        exporter(SCRAPE_UP),
        exporter(BUILD_INFO)
    )
}

/// 0 for every selected VPS, including those without data and those of an exporter that is down.
pub fn every_vps() -> String {
    let configured = vps(THRESHOLD);
    let known = format!(
        "{configured} or last_over_time({configured}[1d]) and on (job, instance) ({})",
        exporters_down()
    );
    format!("0 * {}", each_vps(&known))
}

/// A threshold of the selected VPSes, absent while it is off.
pub fn threshold(name: &str) -> String {
    let mut known = Threshold::ALL.iter().map(|threshold| threshold.name());
    assert!(
        known.any(|known| known == name),
        "{name} is not a threshold"
    );
    vps_where(THRESHOLD, &format!("threshold=\"{name}\""))
}

/// The samples beyond their threshold. `compare` is `>=` or `<=`.
pub fn beyond(series: &str, compare: &str, name: &str) -> String {
    format!(
        "{series} {compare} ignoring (threshold) {}",
        threshold(name)
    )
}

/// One metric of the selected VPSes as a share of another. No sample if that one is 0.
pub fn share(part: &str, whole: &str) -> String {
    format!("{} / ({} > 0)", vps(part), vps(whole))
}

/// Planned intervals after which a call counts as overdue. Calls on time exceed one interval by the duration of the call
/// and the time until the next scrape.
const OVERDUE: f64 = 1.5;

/// Age of the last success in planned intervals, only of overdue calls. `timestamp` gives the time of the scrape; with
/// the time of the step, a long scrape interval would add to the age.
pub fn overdue() -> String {
    format!(
        "(timestamp({0}) - {0}) / {1} > {OVERDUE}",
        vps(LAST_SUCCESS),
        vps(POLL_INTERVAL)
    )
}

/// Used share of the transfer allowance.
pub fn bandwidth_ratio() -> String {
    share(BANDWIDTH_USED, BANDWIDTH_ALLOWANCE)
}

/// Forecast share of the transfer allowance used at the reset. Absent for a suspended VPS, which uses nothing.
pub fn forecast_ratio() -> String {
    format!(
        "{} unless {} == 1",
        share(BANDWIDTH_FORECAST, BANDWIDTH_ALLOWANCE),
        vps(SUSPENDED)
    )
}

/// The conditions `critical` and `warning` for the used share.
pub fn used_severity() -> [String; 2] {
    severity(&bandwidth_ratio(), ">=", "bandwidth_used_ratio")
}

/// The conditions `critical` and `warning` for an allowance that runs out before the reset.
pub fn exhaustion_severity() -> [String; 2] {
    let left = format!("({} - time())", vps(BANDWIDTH_EXHAUSTION));
    severity(&left, "<=", "bandwidth_exhaustion_seconds")
}

fn severity(series: &str, compare: &str, name: &str) -> [String; 2] {
    ["critical", "warning"].map(|level| beyond(series, compare, &format!("{name}_{level}")))
}

/// Used share of the disk image (KVM, mapped blocks) or quota (OpenVZ).
pub fn disk_ratio() -> String {
    share(DISK_USED, DISK_SIZE)
}

/// Share of the memory that is not available to new programs.
pub fn memory_ratio() -> String {
    format!("1 - {}", share(MEMORY_AVAILABLE, MEMORY_TOTAL))
}
