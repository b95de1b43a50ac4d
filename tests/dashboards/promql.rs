//! Expressions that many panels share.

use kiwivm_exporter::config::Threshold;

use crate::names::{
    BANDWIDTH_ALLOWANCE, BANDWIDTH_EXHAUSTION, BANDWIDTH_FORECAST, BANDWIDTH_USED, BUILD_INFO,
    DISK_SIZE, DISK_USED, MEMORY_AVAILABLE, MEMORY_TOTAL, SCRAPE_UP, SUSPENDED, THRESHOLD,
};

/// The least step of rates of usage rows, a quarter of their window: with two months of history an answer weighs 2.6 MB, and
/// the usual limit of downloads lets one come every 36 minutes.
pub const USAGE_STEP: &str = "30m";

/// The matchers for the VPSes chosen.
pub const CHOSEN: &str = r#"job=~"$job", instance=~"$instance", vps=~"$vps""#;

/// The labels that tell VPSes apart, also those that two exporters watch.
pub const VPS_KEY: &str = "job, instance, veid, vps";

/// A metric of the exporters chosen.
pub fn exporter(metric: &str) -> String {
    exporter_where(metric, "")
}

/// A metric of the exporters chosen, with further matchers: `window="24h"`.
pub fn exporter_where(metric: &str, matchers: &str) -> String {
    let comma = if matchers.is_empty() { "" } else { ", " };
    format!(r#"{metric}{{job=~"$job", instance=~"$instance"{comma}{matchers}}}"#)
}

/// A metric of the VPSes chosen.
pub fn vps(metric: &str) -> String {
    vps_where(metric, "")
}

/// A metric of the VPSes chosen, with further matchers: `call="getServiceInfo"`.
pub fn vps_where(metric: &str, matchers: &str) -> String {
    let comma = if matchers.is_empty() { "" } else { ", " };
    format!("{metric}{{{CHOSEN}{comma}{matchers}}}")
}

/// One sample a VPS, without any other label.
pub fn each_vps(expression: &str) -> String {
    format!("max by ({VPS_KEY}) ({expression})")
}

/// The exporters chosen that cannot be scraped.
pub fn exporters_down() -> String {
    format!(
        "{} == 0 and on (job, instance) last_over_time({}[1d])",
        exporter(SCRAPE_UP),
        exporter(BUILD_INFO)
    )
}

/// 0 for every VPS chosen, also for those of which nothing is known, and those of an exporter that is down.
pub fn every_vps() -> String {
    let configured = vps(THRESHOLD);
    let known = format!(
        "{configured} or last_over_time({configured}[1d]) and on (job, instance) ({})",
        exporters_down()
    );
    format!("0 * {}", each_vps(&known))
}

/// A limit of the VPSes chosen, absent while it is off.
pub fn threshold(name: &str) -> String {
    let mut known = Threshold::ALL.iter().map(|threshold| threshold.name());
    assert!(known.any(|known| known == name), "{name} is no threshold");
    vps_where(THRESHOLD, &format!("threshold=\"{name}\""))
}

/// What of the series is beyond its limit: `compare` is `>=` or `<=`.
pub fn beyond(series: &str, compare: &str, name: &str) -> String {
    format!(
        "{series} {compare} ignoring (threshold) {}",
        threshold(name)
    )
}

/// One metric of the VPSes chosen as a share of another; none where that is 0.
pub fn share(part: &str, whole: &str) -> String {
    format!("{} / ({} > 0)", vps(part), vps(whole))
}

/// Used share of the transfer allowance.
pub fn bandwidth_ratio() -> String {
    share(BANDWIDTH_USED, BANDWIDTH_ALLOWANCE)
}

/// Share of the transfer allowance that will be used at the reset. A suspended VPS uses nothing.
pub fn forecast_ratio() -> String {
    format!(
        "{} unless {} == 1",
        share(BANDWIDTH_FORECAST, BANDWIDTH_ALLOWANCE),
        vps(SUSPENDED)
    )
}

/// The conditions `critical` and `warning`: the used share is beyond its limits.
pub fn used_severity() -> [String; 2] {
    severity(&bandwidth_ratio(), ">=", "bandwidth_used_ratio")
}

/// The same: the allowance is used up soon, and before the reset.
pub fn exhaustion_severity() -> [String; 2] {
    let left = format!("({} - time())", vps(BANDWIDTH_EXHAUSTION));
    severity(&left, "<=", "bandwidth_exhaustion_seconds")
}

fn severity(series: &str, compare: &str, name: &str) -> [String; 2] {
    ["critical", "warning"].map(|level| beyond(series, compare, &format!("{name}_{level}")))
}

/// Used share of the disk: mapped blocks (KVM) or quota (OpenVZ).
pub fn disk_ratio() -> String {
    share(DISK_USED, DISK_SIZE)
}

/// Share of the memory that is not available to new programs.
pub fn memory_ratio() -> String {
    format!("1 - {}", share(MEMORY_AVAILABLE, MEMORY_TOTAL))
}
